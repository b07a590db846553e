/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers of the kernel's that end in a chain of capabilities (include/uapi/linux/vfio.h, struct
 * vfio_info_cap_header). Nothing here reads beyond the answer, whatever it says.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stddef.h>
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

/*
 * A capability lies wherever the chain says, at no alignment: one of 12 bytes (DMA_AVAIL) may stand before it. So its members are
 * copied out of it.
 */
static uint32_t cap_u32(const void *cap, size_t member)
{
	uint32_t n;

	memcpy(&n, (const char *)cap + member, sizeof(n));
	return n;
}

static int cap_entry(const void *info, size_t size, const char *list, uint32_t i, void *entry,
		     size_t entry_size)
{
	size_t off = (size_t)(list - (const char *)info) + (size_t)i * entry_size;

	if (off > size || size - off < entry_size)
		return -EMSGSIZE;
	memcpy(entry, (const char *)info + off, entry_size);
	return 0;
}

int vfio_info_limits(const void *info, size_t size, struct vfio_limits *l)
{
	const void *ranges, *avail;
	struct vfio_iommu_type1_info head;
	uint32_t first, n;

	memset(l, 0, sizeof(*l));
	if (size < sizeof(head))
		return -EMSGSIZE;
	memcpy(&head, info, sizeof(head));
	l->pgsizes = head.flags & VFIO_IOMMU_INFO_PGSIZES ? head.iova_pgsizes : 4096;
	l->avail = UINT32_MAX;
	first = head.flags & VFIO_IOMMU_INFO_CAPS ? head.cap_offset : 0;

	avail = vfio_info_cap(info, size, first, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
			      sizeof(struct vfio_iommu_type1_info_dma_avail));
	if (avail)
		l->avail = cap_u32(avail, offsetof(struct vfio_iommu_type1_info_dma_avail, avail));

	ranges = vfio_info_cap(info, size, first, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
			       sizeof(struct vfio_iommu_type1_info_cap_iova_range));
	if (!ranges) {
		/* A kernel before 5.4 does not say: 39 bits is the narrowest VT-d, less the MSI window. */
		l->range[0] = (struct vfio_range){0, 0xfedfffff};
		l->range[1] = (struct vfio_range){0xfef00000, (1ull << 39) - 1};
		l->nr_ranges = 2;
		return 0;
	}
	n = cap_u32(ranges, offsetof(struct vfio_iommu_type1_info_cap_iova_range, nr_iovas));
	for (uint32_t i = 0; i < n && l->nr_ranges < VFIO_RANGES; i++) {
		struct vfio_iova_range r;

		if (cap_entry(info, size,
			      (const char *)ranges +
				      offsetof(struct vfio_iommu_type1_info_cap_iova_range,
					       iova_ranges),
			      i, &r, sizeof(r)))
			return -EMSGSIZE;
		/* The kernel sorts them; one that is not in order is of no use to us. */
		if (r.end < r.start || (l->nr_ranges && r.start <= l->range[l->nr_ranges - 1].max))
			continue;
		l->range[l->nr_ranges++] = (struct vfio_range){r.start, r.end};
	}
	return l->nr_ranges ? 0 : -ENOSPC;
}

int vfio_info_region(const void *info, size_t size, struct vfio_region *r)
{
	struct vfio_region_info head;
	const void *sparse;
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
			       VFIO_REGION_INFO_CAP_SPARSE_MMAP,
			       sizeof(struct vfio_region_info_cap_sparse_mmap));
	if (!sparse) {
		r->piece[0].size = head.size;
		r->nr_pieces = 1;
		return 0;
	}
	n = cap_u32(sparse, offsetof(struct vfio_region_info_cap_sparse_mmap, nr_areas));
	for (uint32_t i = 0; i < n && r->nr_pieces < VFIO_PIECES; i++) {
		struct vfio_region_sparse_mmap_area a;

		if (cap_entry(info, size,
			      (const char *)sparse +
				      offsetof(struct vfio_region_info_cap_sparse_mmap, areas),
			      i, &a, sizeof(a)))
			return -EMSGSIZE;
		if (!a.size || a.offset >= head.size || a.size > head.size - a.offset)
			continue;
		/* What does not fit here is reached by read() and write(). */
		r->piece[r->nr_pieces].off = a.offset;
		r->piece[r->nr_pieces++].size = a.size;
	}
	return 0;
}
