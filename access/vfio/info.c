/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers of the kernel's that end in a chain of capabilities (include/uapi/linux/vfio.h, struct
 * vfio_info_cap_header). Nothing here reads beyond the answer, whatever it says.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "access/vfio/vfio.h"

enum {
	/* A chain that is longer loops: the kernel has fewer than ten kinds. */
	CAPS = 64,
	/* No answer is near that; a region has at most some dozens of holes. */
	ANSWER_MAX = 1 << 20,
};

const void *vfio_info_cap(const void *info, size_t size, uint32_t first, uint16_t id, size_t room)
{
	struct vfio_info_cap_header head;
	uint32_t off = first;

	for (unsigned int i = 0; off && i < CAPS; i++) {
		if (off > size || size - off < sizeof(head))
			return NULL;
		memcpy(&head, (const char *)info + off, sizeof(head));
		if (head.id == id)
			return size - off >= room ? (const char *)info + off : NULL;
		off = head.next;
	}
	return NULL;
}

int vfio_info_get(int fd, unsigned long request, size_t head, uint32_t index, void **info,
		  size_t *size)
{
	size_t room = head;

	/* The first answer tells how long the whole is; it may grow before the second. */
	for (unsigned int tries = 0; tries < 4; tries++) {
		uint32_t *answer = calloc(1, room);

		if (!answer)
			return -ENOMEM;
		answer[0] = (uint32_t)room;
		if (head >= 3 * sizeof(uint32_t))
			answer[2] = index;
		if (ioctl(fd, request, answer)) {
			int ret = -errno;

			free(answer);
			return ret;
		}
		if (answer[0] <= room || answer[0] > ANSWER_MAX) {
			*info = answer;
			*size = room;
			return 0;
		}
		room = answer[0];
		free(answer);
	}
	return -EMSGSIZE;
}

int vfio_info_limits(const void *info, size_t size, struct vfio_limits *l)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	const struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info head;
	uint32_t first, n;

	memset(l, 0, sizeof(*l));
	if (size < sizeof(head))
		return -EMSGSIZE;
	memcpy(&head, info, sizeof(head));
	l->pgsizes = head.flags & VFIO_IOMMU_INFO_PGSIZES ? head.iova_pgsizes : 4096;
	l->avail = UINT32_MAX;
	first = head.flags & VFIO_IOMMU_INFO_CAPS ? head.cap_offset : 0;

	avail = vfio_info_cap(info, size, first, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail));
	if (avail)
		memcpy(&l->avail, &avail->avail, sizeof(l->avail));

	ranges = vfio_info_cap(info, size, first, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
			       sizeof(*ranges));
	if (!ranges) {
		/* A kernel before 5.4 does not say: 39 bits is the narrowest VT-d, less the MSI window. */
		l->range[0] = (struct vfio_range){0, 0xfedfffff};
		l->range[1] = (struct vfio_range){0xfef00000, (1ull << 39) - 1};
		l->nr_ranges = 2;
		return 0;
	}
	memcpy(&n, &ranges->nr_iovas, sizeof(n));
	for (uint32_t i = 0; i < n && l->nr_ranges < VFIO_RANGES; i++) {
		size_t off = (size_t)((const char *)&ranges->iova_ranges[i] - (const char *)info);
		struct vfio_iova_range r;

		if (off > size || size - off < sizeof(r))
			return -EMSGSIZE;
		memcpy(&r, &ranges->iova_ranges[i], sizeof(r));
		/* The kernel sorts them; one that is not in order is of no use to us. */
		if (r.end < r.start || (l->nr_ranges && r.start <= l->range[l->nr_ranges - 1].max))
			continue;
		l->range[l->nr_ranges++] = (struct vfio_range){r.start, r.end};
	}
	return l->nr_ranges ? 0 : -ENOSPC;
}

int vfio_info_region(const void *info, size_t size, struct vfio_region *r)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse;
	struct vfio_region_info head;
	uint32_t n;

	memset(r, 0, sizeof(*r));
	if (size < sizeof(head))
		return -EMSGSIZE;
	memcpy(&head, info, sizeof(head));
	r->size = head.size;
	r->offset = head.offset;
	if (!(head.flags & VFIO_REGION_INFO_FLAG_MMAP) || !head.size)
		return 0;
	r->mappable = true;
	sparse = vfio_info_cap(info, size,
			       head.flags & VFIO_REGION_INFO_FLAG_CAPS ? head.cap_offset : 0,
			       VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(*sparse));
	if (!sparse) {
		r->piece[0].size = head.size;
		r->nr_pieces = 1;
		return 0;
	}
	memcpy(&n, &sparse->nr_areas, sizeof(n));
	for (uint32_t i = 0; i < n && r->nr_pieces < VFIO_PIECES; i++) {
		size_t off = (size_t)((const char *)&sparse->areas[i] - (const char *)info);
		struct vfio_region_sparse_mmap_area a;

		if (off > size || size - off < sizeof(a))
			return -EMSGSIZE;
		memcpy(&a, &sparse->areas[i], sizeof(a));
		if (!a.size || a.offset >= head.size || a.size > head.size - a.offset)
			continue;
		/* What does not fit here is reached by read() and write(). */
		r->piece[r->nr_pieces].off = a.offset;
		r->piece[r->nr_pieces++].size = a.size;
	}
	return 0;
}
