/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the kernel's memory lies. The loader has kept addresses free behind the object; the device's arena is mapped there a second time, so that
 * an address, static data included, becomes the device's by one addition:
 *
 *   base                data          data_end                  own         size
 *   | code: the object's | data: moved into the arena | memory  | others' frames |  vmalloc | window
 *
 * The first mapping of the arena stays the library's; the caches know that both are the same memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kit/host.h"

/* The object's first byte, the kernel's data, and what the loader kept free (arch/kernel/vmlinux.lds.S). */
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char outboard_data_start[] __attribute__((visibility("hidden")));
extern char outboard_data_end[] __attribute__((visibility("hidden")));
extern const unsigned long outboard_room __attribute__((visibility("hidden")));

#define PAGE	 4096ul
#define BIG_PAGE (2ul << 20)
#define VMALLOC	 (512ul << 20)
#define WINDOW	 (4ul << 30)
/* Besides the image; the kernel and one network card with its rings need half of it. */
#define LEAST_MEMORY (16ul << 20)

static unsigned long up(unsigned long x, unsigned long to)
{
	return (x + to - 1) & ~(to - 1);
}

/*
 * Three quarters of the arena for the kernel, in which its image takes addresses but only its data take memory; the rest for
 * the frames of attachments.
 */
static int take_block(struct kit *k, struct ob_error *err)
{
	struct ob_kit_memory *m = &k->mem;
	const char *name = ob_device_info(k->dev)->name;
	ob_iova iova;

	m->base = (unsigned long)__ehdr_start;
	m->data = (unsigned long)outboard_data_start;
	m->data_end = (unsigned long)outboard_data_end;
	m->image = up(m->data_end - m->base, PAGE);
	m->own = (k->dma->size / 4 * 3) & ~(PAGE - 1);
	if (m->own < m->image + LEAST_MEMORY) {
		ob_error_set(err, -ENOMEM, "%s: an arena of %lu MiB is too small for a kernel",
			     name, (unsigned long)(k->dma->size >> 20));
		ob_error_fix(err, "open the device with arena=64M");
		return -ENOMEM;
	}
	k->block = ob_dma_reserve(k->dma, m->own, PAGE, "linux", &iova);
	if (!k->block) {
		ob_error_set(err, -ENOMEM, "%s: no %lu MiB in one piece in the DMA arena", name,
			     (unsigned long)(m->own >> 20));
		ob_error_fix(err, "open the device with arena=64M, and bind one driver to it");
		return -ENOMEM;
	}
	/* All that lies behind has addresses, too: there frames of others can be sent from. */
	m->size = k->dma->size - (uint64_t)((char *)k->block - k->dma->base);
	m->dma = iova.addr;
	m->vmalloc = up(m->base + m->size, BIG_PAGE);
	m->vmalloc_end = m->vmalloc + VMALLOC;
	m->window = up(m->vmalloc_end + BIG_PAGE, BIG_PAGE);
	if (m->window + WINDOW > m->data_end + outboard_room) {
		ob_error_set(err, -E2BIG,
			     "%s: an arena of %lu MiB is more than the object has room for", name,
			     (unsigned long)(k->dma->size >> 20));
		ob_error_fix(err, "arena=1G at most");
		ob_dma_free(k->dma, k->block);
		return -E2BIG;
	}
	return 0;
}

/*
 * The same by the file that is mapped, which this process has open somewhere: valgrind does not know the call that alias()
 * makes.
 */
static int alias_file(void *from, unsigned long to, unsigned long len)
{
	unsigned long start, end, off, inode;
	int ret = -EINVAL;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		/* proc(5): start-end rights offset device inode */
		if (sscanf(line, "%lx-%lx %*s %lx %*s %lu", &start, &end, &off, &inode) == 4 &&
		    (unsigned long)from >= start && (unsigned long)from + len <= end) {
			ret = 0;
			break;
		}
	}
	fclose(maps);
	/* An arena's descriptor is among the first of a process. */
	for (int fd = 3; !ret && fd < 4096; fd++) {
		struct stat st;

		if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_ino != inode)
			continue;
		off += (unsigned long)from - start;
		return mmap((void *)to, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    (off_t)off) == MAP_FAILED
			       ? -errno
			       : 0;
	}
	return ret ? ret : -EBADF;
}

/* Shared pages of one mapping at @to, too: mremap(2), "if the value of old_size is zero". Behind the mapping's end its file would go on. */
static int alias_mapping(void *from, unsigned long to, unsigned long len)
{
	void *p = mremap(from, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)to);

	if (p != MAP_FAILED)
		return 0;
	return errno == EINVAL ? alias_file(from, to, len) : -errno;
}

/*
 * Is all of this in one mapping? mremap(2): "EFAULT: some address in the range is an invalid virtual memory address", which is said of
 * two mappings, too. /proc/self/maps is not there in the sandbox.
 */
static bool is_one_mapping(unsigned long at, unsigned long len)
{
	if (mremap((void *)at, len, len + PAGE, 0) == MAP_FAILED)
		return errno != EFAULT;
	munmap((void *)(at + len), PAGE);
	return true;
}

/* How much of it is in the first one. */
static unsigned long first_mapping(unsigned long at, unsigned long len)
{
	unsigned long is = PAGE, is_not = len;

	if (is_one_mapping(at, len))
		return len;
	while (is_not - is > PAGE) {
		unsigned long mid = is + up((is_not - is) / 2, PAGE);

		if (mid >= is_not)
			mid = is_not - PAGE;
		if (is_one_mapping(at, mid))
			is = mid;
		else
			is_not = mid;
	}
	return is;
}

/* The arena at @to, too. By UIO it is put together of pages as they are neighbours in memory, so of many mappings. */
static int alias(void *from, unsigned long to, unsigned long len)
{
	unsigned long at = (unsigned long)from, n;
	int ret = 0;

	for (len = up(len, PAGE); len && !ret; len -= n, at += n, to += n) {
		n = first_mapping(at, len);
		ret = alias_mapping((void *)at, to, n);
	}
	return ret;
}

static int nothing_at(unsigned long va, unsigned long len)
{
	void *p = mmap((void *)va, len, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

/*
 * Of all addresses of the process; what is never written takes no memory. A program with AddressSanitizer has its own there, which
 * knows nothing of the kernel's memory.
 */
static int take_shadow(const struct kit *k, struct ob_error *err)
{
	void *at = (void *)outboard_kernel.shadow;
	size_t len = outboard_kernel.shadow_size;
	int ret;

	if (!len ||
	    mmap(at, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == at) {
		if (len)
			madvise(at, len, MADV_DONTDUMP);
		return 0;
	}
	ret = -errno;
	ob_error_set(err, ret, "%s: no room for KASAN's shadow memory, %zu TiB of addresses: %s",
		     ob_device_info(k->dev)->name, len >> 40, strerror(-ret));
	if (ret == -EEXIST)
		ob_error_fix(err, "a program without AddressSanitizer, which uses the same");
	else
		ob_error_fix(err, "ulimit -v unlimited; sysctl vm.overcommit_memory=1");
	return ret;
}

static void give_back_shadow(void)
{
	if (outboard_kernel.shadow_size)
		munmap((void *)outboard_kernel.shadow, outboard_kernel.shadow_size);
}

int kit_memory_take(struct kit *k, struct ob_error *err)
{
	struct ob_kit_memory *m = &k->mem;
	unsigned long len, off;
	int ret;

	ret = take_block(k, err);
	if (ret)
		return ret;
	ret = take_shadow(k, err);
	if (ret)
		goto free_block;
	len = m->data_end - m->data;
	off = m->data - m->base;
	k->pristine = malloc(len);
	if (!k->pristine) {
		ret = ob_error_set(err, -ENOMEM, "no memory for a copy of the kernel's data");
		goto give_back;
	}
	memcpy(k->pristine, (void *)m->data, len);
	memcpy((char *)k->block + off, (void *)m->data, len);
	ret = alias((char *)k->block + off, m->data, m->size - off);
	if (ret) {
		ob_error_set(err, ret, "%s: the DMA arena cannot be mapped a second time: %s",
			     ob_device_info(k->dev)->name, strerror(-ret));
		/* Of a huge page no part can be mapped elsewhere; the kernel's own mappings are pages. */
		ob_error_fix(
			err,
			"open the device with an arena of small pages: with dma=lazy, or by UIO with pages=small");
		goto free_copy;
	}
	return 0;

free_copy:
	free(k->pristine);
	k->pristine = NULL;
give_back:
	give_back_shadow();
free_block:
	ob_dma_free(k->dma, k->block);
	k->block = NULL;
	return ret;
}

void kit_memory_give_back(struct kit *k)
{
	const struct ob_kit_memory *m = &k->mem;
	unsigned long len = m->data_end - m->data;

	/* As the loader left it, so that the next device finds a kernel that has not booted. */
	if (mmap((void *)m->data, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		memcpy((void *)m->data, k->pristine, len);
	nothing_at(m->data_end, m->vmalloc_end - m->data_end);
	give_back_shadow();
	free(k->pristine);
	k->pristine = NULL;
	ob_dma_free(k->dma, k->block);
	k->block = NULL;
}

int kit_memory_map(void *host, unsigned long va, unsigned long long phys, unsigned long len)
{
	struct kit *k = host;

	if (phys > k->mem.size || len > k->mem.size - phys)
		return -EFAULT;
	return alias((char *)k->block + phys, va, len);
}

int kit_memory_unmap(void *host, unsigned long va, unsigned long len)
{
	return nothing_at(va, len);
}
