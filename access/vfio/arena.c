/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arena's memory, a memfd in huge pages where the system has some, and how much memory this process may lock: VFIO
 * pins what it maps and charges it to RLIMIT_MEMLOCK (drivers/vfio/vfio_iommu_type1.c, vfio_lock_acct()).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/vfio/vfio.h"

#define HUGE_PAGE (2ull << 20)

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26) /* linux/memfd.h: log2 of the size above bit 26 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* include/linux/proc_ns.h: the inode of the initial user namespace. */
#define INIT_USER_NS 0xeffffffdul

enum {
	CAP_IPC_LOCK_BIT = 14, /* linux/capability.h */
};

/* ---- locked memory -------------------------------------------------------------------------- */

void vfio_lock_room(struct vfio_lock_room *room)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	uint64_t caps = 0, locked = 0;
	struct stat ns;
	char line[128];
	FILE *f;

	memset(room, 0, sizeof(*room));
	f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "CapEff: %" SCNx64, &caps);
		sscanf(line, "VmLck: %" SCNu64, &locked);
	}
	if (f)
		fclose(f);
	getrlimit(RLIMIT_MEMLOCK, &limit);
	room->used = locked << 10;
	room->limit = limit.rlim_cur;
	/* A capability that holds in a user namespace only does not count for the kernel. */
	room->unlimited = limit.rlim_cur == RLIM_INFINITY ||
			  (caps >> CAP_IPC_LOCK_BIT & 1 &&
			   (stat("/proc/self/ns/user", &ns) || ns.st_ino == INIT_USER_NS));
}

int vfio_lock_check(const struct vfio_lock_room *room, const char *name, uint64_t need,
		    struct ob_error *err)
{
	uint64_t kib = (room->used + need + 1023) >> 10;

	if (room->unlimited || (room->used <= room->limit && need <= room->limit - room->used))
		return 0;
	ob_error_set(err, -ENOMEM,
		     "%s needs %" PRIu64 " KiB of locked memory for DMA, %" PRIu64
		     " KiB are allowed",
		     name, need >> 10, room->limit >> 10);
	if (room->used)
		ob_error_why(err,
			     "the limit (RLIMIT_MEMLOCK) is %" PRIu64
			     " KiB, of which this process uses "
			     "%" PRIu64 " KiB",
			     room->limit >> 10, room->used >> 10);
	else
		ob_error_why(err, "the limit (RLIMIT_MEMLOCK, `ulimit -l`) is %" PRIu64 " KiB",
			     room->limit >> 10);
	ob_error_fix(err,
		     "`ulimit -l %" PRIu64 "`, where the hard limit allows it; else, in "
		     "/etc/security/limits.conf, `YOU - memlock %" PRIu64
		     "` and a new login, or LimitMEMLOCK=%" PRIu64
		     "K in the service; or a smaller arena=SIZE",
		     kib, kib, kib);
	return -ENOMEM;
}

/* ---- memory --------------------------------------------------------------------------------- */

static char *map_aligned(int fd, uint64_t size)
{
	/* An address that is as aligned as the IOVA: else a huge page here would be no superpage there. */
	size_t room = size + HUGE_PAGE;
	char *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *base;
	size_t front;

	if (p == MAP_FAILED)
		return NULL;
	base = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	front = (size_t)(base - p);
	if (front)
		munmap(p, front);
	munmap(base + size, room - front - size);
	if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
		return base;
	munmap(base, size);
	return NULL;
}

static char *make(uint64_t size, unsigned int flags, bool fill)
{
	int fd = memfd_create("outboard-arena", MFD_CLOEXEC | flags);
	char *base = NULL;

	if (fd >= 0 && !ftruncate(fd, (off_t)size)) {
		/*
		 * One byte for each huge page, because a part without any memory is not collapsed; by write(), which
		 * fails where a store would end in SIGBUS. hugetlb has no write() and reserves at mmap().
		 */
		for (uint64_t off = 0; fill && off + HUGE_PAGE <= size; off += HUGE_PAGE)
			if (pwrite(fd, "", 1, (off_t)off) != 1)
				goto out;
		base = map_aligned(fd, size);
	}
out:
	if (fd >= 0)
		close(fd);
	return base;
}

int vfio_arena_create(uint64_t *size, bool whole, char **base)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t huge = (*size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

	*size = (*size + page - 1) & ~(page - 1);
	/* What the administrator has set aside. Not for a small arena: that would waste most of a page. */
	if (whole && *size > HUGE_PAGE / 2) {
		*base = make(huge, MFD_HUGETLB | MFD_HUGE_2MB, false);
		if (*base) {
			*size = huge;
			return 0;
		}
	}
	*base = make(*size, 0, whole);
	if (!*base)
		return -ENOMEM;
	/* Best effort: kernels before 6.1, fragmented memory and "deny" leave small pages. */
	if (whole && *size >= HUGE_PAGE)
		madvise(*base, *size & ~(HUGE_PAGE - 1), MADV_COLLAPSE);
	return 0;
}
