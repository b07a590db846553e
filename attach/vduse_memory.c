/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the kernel's driver names by IOVA, mapped when it is named first. Also runs in the caretaker, a
 * fork of a threaded process: nothing but system calls.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/vduse.h"

static const struct vduse_region *find(const struct vduse_memory *m, uint64_t addr)
{
	for (unsigned int i = 0; i < m->nr_regions; i++)
		if (addr >= m->region[i].start && addr <= m->region[i].last)
			return &m->region[i];
	return NULL;
}

static const struct vduse_region *map_region(struct vduse_memory *m, uint64_t addr)
{
	struct vduse_iotlb_entry entry = {.start = addr, .last = addr};
	struct vduse_region *r = &m->region[m->nr_regions];
	int prot = PROT_READ, fd;
	void *base;

	if (m->nr_regions == VDUSE_REGIONS)
		return NULL;
	fd = ioctl(m->fd, VDUSE_IOTLB_GET_FD, &entry);
	if (fd < 0)
		return NULL;
	if (entry.perm != VDUSE_ACCESS_RO)
		prot |= PROT_WRITE;
	base = MAP_FAILED;
	if (entry.start <= addr && addr <= entry.last && entry.last - entry.start < SIZE_MAX)
		base = mmap(NULL, entry.last - entry.start + 1, prot, MAP_SHARED, fd,
			    (off_t)entry.offset);
	close(fd);
	if (base == MAP_FAILED)
		return NULL;
	r->start = entry.start;
	r->last = entry.last;
	r->base = base;
	r->write = prot & PROT_WRITE;
	m->nr_regions++;
	return r;
}

void *vduse_translate(void *memory, uint64_t addr, uint32_t *len, bool write)
{
	struct vduse_memory *m = memory;
	const struct vduse_region *r;

	if (m->umem && addr < m->bounce) {
		if (*len > m->bounce - addr)
			*len = (uint32_t)(m->bounce - addr);
		return m->umem + addr;
	}
	r = find(m, addr);
	if (!r)
		r = map_region(m, addr);
	if (!r || (write && !r->write))
		return NULL;
	if (*len - 1 > r->last - addr)
		*len = (uint32_t)(r->last - addr + 1);
	return r->base + (addr - r->start);
}

void vduse_unmap_all(struct vduse_memory *m)
{
	while (m->nr_regions) {
		struct vduse_region *r = &m->region[--m->nr_regions];

		munmap(r->base, r->last - r->start + 1);
	}
}
