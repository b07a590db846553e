/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is one piece for a device without an IOMMU: pages are taken, their physical addresses looked up in
 * /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst), the longest run of neighbours is put
 * together in the order of its addresses, and the rest is given back.
 *
 * It must not move afterwards. mlock() does not promise that: compaction moves locked pages
 * (vm.compact_unevictable_allowed). Pages that an io_uring has registered as buffers are pinned for long
 * (pin_user_pages() with FOLL_LONGTERM), so they never do. They also outlive the process for a moment:
 * its mappings go first, then its descriptors; so when it is killed, uio_pci_generic has switched bus mastering
 * off before the pages are anybody else's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "access/uio/uio.h"

#define HUGE ((uint64_t)2 << 20)
#define SMALL_MOST                                                                                 \
	((uint64_t)16 << 20) /* longer runs of 4 KiB pages are not found, and each is a mapping */
#define DMA_ZONE  ((uint64_t)16 << 20)
#define PIN_PIECE (1ull << 30) /* the most that one registered buffer may have */

/* From the kernel's include/uapi/asm-generic/mman-common.h; newer than Debian 12's headers. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct piece {
	uint64_t phys;
	uint64_t off; /* in the area */
};

/**
 * struct area - pages on trial
 * @at: address space for all that may be tried
 * @size: its size
 * @used: how much of it has pages
 * @grain: bytes of a piece
 * @fd: memfd that the pages belong to; -1: they are anonymous
 */
struct area {
	enum uio_pages pages;
	char *at;
	uint64_t size, used;
	uint64_t grain;
	uint64_t page;
	int fd;
	int pagemap;
	struct piece *piece;
	size_t n;
};

const char *uio_pages_name(enum uio_pages pages)
{
	static const char *const names[] = {"auto", "hugetlb", "transparent", "small"};

	return names[pages];
}

/* ---- physical addresses ---------------------------------------------------------------------- */

/* Bit 63: present (bit 62, swapped, is not); bits 54:0: page frame, 0 without CAP_SYS_ADMIN. */
static bool present(uint64_t entry, uint64_t *frame)
{
	*frame = entry & ((1ull << 55) - 1);
	return entry >> 63;
}

/* Up to 512 entries; returns how many. */
static ssize_t read_pagemap(const struct area *a, const void *va, uint64_t n, uint64_t entry[512])
{
	ssize_t bytes;

	if (n > 512)
		n = 512;
	bytes = pread(a->pagemap, entry, n * sizeof(*entry),
		      (off_t)((uintptr_t)va / a->page * sizeof(*entry)));
	return bytes < 0 ? -1 : bytes / (ssize_t)sizeof(*entry);
}

/* Return: 0; -EPERM: the kernel does not say; -ENXIO: not there, or not one piece. */
static int physical(const struct area *a, const void *va, uint64_t len, uint64_t *phys)
{
	uint64_t entry[512], first = 0, frame;

	for (uint64_t done = 0; done < len / a->page;) {
		ssize_t n = read_pagemap(a, (const char *)va + done * a->page, len / a->page - done,
					 entry);

		if (n <= 0)
			return -ENXIO;
		for (ssize_t i = 0; i < n; i++, done++) {
			if (!present(entry[i], &frame))
				return -ENXIO;
			if (!frame)
				return -EPERM;
			if (!done)
				first = frame;
			if (frame != first + done)
				return -ENXIO;
		}
	}
	*phys = first * a->page;
	return 0;
}

/* ---- pages on trial ---------------------------------------------------------------------------- */

static void *reserve(uint64_t size, uint64_t align)
{
	char *at = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	uint64_t skip;

	if (at == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)at & (align - 1);
	if (skip)
		munmap(at, skip);
	munmap(at + skip + size, align - skip);
	return at + skip;
}

static uint64_t memory_available(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

static uint64_t reserved_huge_pages(void)
{
	char text[32];

	if (!sysfs_line(text, sizeof(text), "",
			"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"))
		return 0;
	return strtoull(text, NULL, 10) * HUGE;
}

static int area_init(struct area *a, enum uio_pages pages, uint64_t budget)
{
	memset(a, 0, sizeof(*a));
	a->pages = pages;
	a->page = (uint64_t)sysconf(_SC_PAGESIZE);
	a->grain = pages == UIO_PAGES_SMALL ? a->page : HUGE;
	a->fd = -1;
	if (pages == UIO_PAGES_HUGETLB) {
		a->fd = memfd_create("outboard-arena", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
		if (a->fd < 0)
			return -errno;
	} else if (pages == UIO_PAGES_SMALL) {
		a->fd = memfd_create("outboard-arena", MFD_CLOEXEC);
		if (a->fd < 0)
			return -errno;
	}
	a->size = budget & ~(HUGE - 1);
	a->piece = a->size ? malloc(a->size / a->grain * sizeof(*a->piece)) : NULL;
	a->at = a->piece ? reserve(a->size, HUGE) : NULL;
	a->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (!a->at)
		return -ENOMEM;
	return a->pagemap < 0 ? -EPERM : 0;
}

static void area_fini(struct area *a)
{
	if (a->at)
		munmap(a->at, a->size);
	if (a->fd >= 0)
		close(a->fd);
	if (a->pagemap >= 0)
		close(a->pagemap);
	free(a->piece);
}

/* A whole 2 MiB page where the kernel has one free, or can make one by moving others. */
static bool take_transparent(const struct area *a, char *at, uint64_t *phys)
{
	*(volatile char *)at = 0;
	if (!physical(a, at, HUGE, phys))
		return true;
	/* Also where transparent huge pages are switched off for everybody else. */
	if (!madvise(at, HUGE, MADV_COLLAPSE) && !physical(a, at, HUGE, phys))
		return true;
	madvise(at, HUGE, MADV_DONTNEED);
	return false;
}

static int add_huge(struct area *a, char *at, uint64_t len)
{
	for (uint64_t off = 0; off < len; off += a->grain) {
		struct piece *p = &a->piece[a->n];
		int ret = 0;

		p->off = a->used + off;
		if (a->pages == UIO_PAGES_TRANSPARENT) {
			if (!take_transparent(a, at + off, &p->phys))
				continue;
		} else {
			ret = physical(a, at + off, a->grain, &p->phys);
		}
		if (ret == -EPERM)
			return ret;
		if (!ret)
			a->n++;
	}
	return 0;
}

/* Any pages, so many are asked for at once. */
static int add_small(struct area *a, char *at, uint64_t len)
{
	uint64_t entry[512], frame;

	for (uint64_t done = 0; done < len / a->page;) {
		ssize_t n = read_pagemap(a, at + done * a->page, len / a->page - done, entry);

		if (n <= 0)
			return -ENOMEM;
		for (ssize_t i = 0; i < n; i++, done++) {
			if (!present(entry[i], &frame))
				continue;
			if (!frame)
				return -EPERM;
			a->piece[a->n++] = (struct piece){
				.phys = frame * a->page,
				.off = a->used + done * a->page,
			};
		}
	}
	return 0;
}

/* Try @len bytes more. Return: 0; -ENOMEM when there are no more; -EPERM. */
static int area_grow(struct area *a, uint64_t len)
{
	char *at = a->at + a->used;
	size_t before = a->n;
	int flags = MAP_FIXED, ret;

	if (len > a->size - a->used)
		len = a->size - a->used;
	if (!len)
		return -ENOMEM;
	flags |= a->fd >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS;
	if (a->fd >= 0 && ftruncate(a->fd, (off_t)(a->used + len)))
		return -ENOMEM;
	if (mmap(at, len, PROT_READ | PROT_WRITE, flags, a->fd, (off_t)(a->fd < 0 ? 0 : a->used)) ==
	    MAP_FAILED) {
		/* MAP_FIXED may have removed what was reserved here. */
		a->size = a->used;
		return -ENOMEM;
	}
	if (a->fd < 0) {
		madvise(at, len, MADV_HUGEPAGE);
		/* A child that writes would leave us with a copy that the device does not know. */
		madvise(at, len, MADV_DONTFORK);
	}
	if (a->grain == a->page)
		ret = add_small(a, at, len);
	else
		ret = add_huge(a, at, len);
	if (ret)
		return ret;
	a->used += len;
	return a->n > before ? 0 : -ENOMEM;
}

static int by_phys(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->phys > y->phys) - (x->phys < y->phys);
}

/* The first run of @want pieces below @last, else the longest; returns its length. */
static size_t longest_run(struct area *a, uint64_t last, size_t want, size_t *start)
{
	size_t best = 0, from = 0;

	qsort(a->piece, a->n, sizeof(*a->piece), by_phys);
	for (size_t i = 0; i < a->n && best < want; i++) {
		if (a->piece[i].phys > last || last - a->piece[i].phys < a->grain - 1)
			break;
		if (i && a->piece[i].phys != a->piece[i - 1].phys + a->grain)
			from = i;
		if (i + 1 - from > best) {
			best = i + 1 - from;
			*start = from;
		}
	}
	return best;
}

/* ---- put together and pinned ------------------------------------------------------------------- */

static int assemble(const struct area *a, const struct piece *piece, size_t n, char *base)
{
	for (size_t i = 0; i < n; i++) {
		char *to = base + i * a->grain;
		void *got;

		if (a->fd >= 0)
			got = mmap(to, a->grain, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				   a->fd, (off_t)piece[i].off);
		else
			got = mremap(a->at + piece[i].off, a->grain, a->grain,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (got == MAP_FAILED)
			return -errno;
	}
	return 0;
}

/* The file's other pages; what is mapped elsewhere goes with the area. */
static void give_rest_back(const struct area *a, const struct piece *keep, size_t n)
{
	for (size_t i = 0; a->fd >= 0 && i < a->n; i++)
		if (&a->piece[i] < keep || &a->piece[i] >= keep + n)
			fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)a->piece[i].off, (off_t)a->grain);
}

/* Return: the ring, or a negative errno value. */
static int pin(char *base, uint64_t size)
{
	struct io_uring_params params = {0};
	uint64_t n = (size + PIN_PIECE - 1) / PIN_PIECE;
	struct iovec *iov = calloc(n, sizeof(*iov));
	long ring, ret;

	if (!iov)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++) {
		iov[i].iov_base = base + i * PIN_PIECE;
		iov[i].iov_len = i + 1 < n ? PIN_PIECE : size - i * PIN_PIECE;
	}
	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0) {
		ret = -errno;
		goto out;
	}
	ret = syscall(SYS_io_uring_register, (int)ring, IORING_REGISTER_BUFFERS, iov,
		      (unsigned int)n);
	if (ret < 0) {
		ret = -errno;
		close((int)ring);
		goto out;
	}
	ret = ring;
out:
	free(iov);
	return (int)ret;
}

static int keep_run(struct area *a, size_t start, size_t n, struct uio_memory *mem)
{
	const struct piece *run = &a->piece[start];
	uint64_t phys;
	int ret;

	mem->size = n * a->grain;
	mem->phys = run->phys;
	mem->pages = a->pages;
	mem->ring_fd = -1;
	mem->base = reserve(mem->size, HUGE);
	if (!mem->base)
		return -ENOMEM;
	ret = assemble(a, run, n, mem->base);
	if (ret)
		goto fail;
	give_rest_back(a, run, n);
	mlock(mem->base, mem->size);
	ret = pin(mem->base, mem->size);
	if (ret >= 0)
		mem->ring_fd = ret;
	/* Pinning moves pages that lie where memory can be unplugged or given to CMA. */
	ret = physical(a, mem->base, mem->size, &phys);
	if (!ret && phys != mem->phys)
		ret = -ENXIO;
	if (!ret)
		return 0;
fail:
	uio_memory_put(mem);
	return ret;
}

/* ---- all of it --------------------------------------------------------------------------------- */

/* Return: 0 with @mem, maybe less than wanted; -ENOMEM; -EPERM; *longest: bytes that were found at best. */
static int try_pages(enum uio_pages pages, const struct uio_memory_want *want,
		     struct uio_memory *mem, uint64_t *longest)
{
	uint64_t available = memory_available() / 2;
	/* Neighbours are frequent among a few times as much; low memory may come last. */
	uint64_t budget = want->last == UINT64_MAX ? want->size * 4 + 8 * HUGE : available;
	struct area a;
	size_t run = 0, start = 0, need;
	int ret;

	if (pages == UIO_PAGES_HUGETLB)
		available = reserved_huge_pages();
	if (want->min > (pages == UIO_PAGES_SMALL ? SMALL_MOST : available))
		return -ENOMEM;
	if (budget > available)
		budget = available;
	if (pages == UIO_PAGES_SMALL && budget > 4 * SMALL_MOST)
		budget = 4 * SMALL_MOST;
	ret = area_init(&a, pages, budget);
	need = (size_t)((want->size + a.grain - 1) / a.grain);
	while (!ret && run < need) {
		/* Twice as much each time: what is tried is sorted anew. */
		ret = area_grow(&a, a.used ? a.used : want->size + HUGE);
		if (!ret)
			run = longest_run(&a, want->last, need, &start);
	}
	if (ret != -EPERM)
		ret = run * a.grain >= want->min && run ? 0 : -ENOMEM;
	if (run * a.grain > *longest)
		*longest = run * a.grain;
	if (!ret)
		ret = keep_run(&a, start, run < need ? run : need, mem);
	area_fini(&a);
	return ret;
}

static int no_memory(const char *name, const struct uio_memory_want *want, uint64_t longest,
		     struct ob_error *err)
{
	ob_error_set(err, -ENOMEM,
		     "%s: no DMA arena of %" PRIu64 " KiB of neighbouring memory below 0x%" PRIx64,
		     name, want->min >> 10, want->last);
	ob_error_why(err,
		     "without an IOMMU it must be one piece; the longest was %" PRIu64
		     " KiB (pages=%s)",
		     longest >> 10, uio_pages_name(want->pages));
	if (want->last != UINT64_MAX)
		ob_error_fix(err, "low memory is scarce: use the device with an IOMMU (vfio), or "
				  "early after boot");
	else
		ob_error_fix(err,
			     "reserve pages: echo %" PRIu64
			     " | sudo tee /proc/sys/vm/nr_hugepages, or open it with arena=%" PRIu64
			     "K",
			     (want->size + HUGE - 1) / HUGE, (longest ? longest : HUGE) >> 10);
	return -ENOMEM;
}

int uio_memory_get(const char *name, const struct uio_memory_want *want, struct uio_memory *mem,
		   struct ob_error *err)
{
	static const enum uio_pages order[] = {UIO_PAGES_HUGETLB, UIO_PAGES_TRANSPARENT,
					       UIO_PAGES_SMALL};
	struct uio_memory best = {.ring_fd = -1};
	uint64_t longest = 0;

	/* The kernel keeps the first 16 MiB (ZONE_DMA) for those who ask for them, and processes cannot. */
	if (want->last < DMA_ZONE)
		return no_memory(name, want, 0, err);
	for (unsigned int i = 0; i < 3 && best.size < want->size; i++) {
		struct uio_memory got = {.ring_fd = -1};
		int ret;

		if (want->pages != UIO_PAGES_AUTO && want->pages != order[i])
			continue;
		/* Thousands of mappings for little memory: only when nothing better is there. */
		if (want->pages == UIO_PAGES_AUTO && order[i] == UIO_PAGES_SMALL && best.size)
			continue;
		ret = try_pages(order[i], want, &got, &longest);
		if (ret == -EPERM) {
			uio_memory_put(&best);
			ob_error_set(err, ret,
				     "%s: physical addresses are hidden from this process", name);
			ob_error_why(err, "without an IOMMU a device needs them, and the kernel "
					  "shows them to root only (CAP_SYS_ADMIN)");
			ob_error_fix(err, "run it with sudo");
			return ret;
		}
		if (!ret && got.size > best.size) {
			uio_memory_put(&best);
			best = got;
		} else if (!ret) {
			uio_memory_put(&got);
		}
	}
	if (!best.size)
		return no_memory(name, want, longest, err);
	*mem = best;
	return 0;
}

void uio_memory_put(struct uio_memory *mem)
{
	if (mem->base)
		munmap(mem->base, mem->size);
	if (mem->ring_fd >= 0)
		close(mem->ring_fd);
	mem->base = NULL;
	mem->size = 0;
	mem->ring_fd = -1;
}
