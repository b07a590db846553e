/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which addresses of an IOMMU address space a device uses. Devices of one group have one space, but each has
 * an ob_dma of its own that gives out addresses without asking the others, so each gets its own part.
 */
#include <errno.h>

#include "access/vfio/vfio.h"

/* Superpages of VT-d and AMD-Vi: one IOTLB entry for 2 MiB. */
#define SUPERPAGE (2ull << 20)

/*
 * Below 1 MiB lie legacy regions, and 0 is "none" to many devices; a page or two more costs nothing and makes
 * small numbers that a driver mistakes for addresses fault.
 */
#define IOVA_MIN (16ull << 20)

/* Steps of what devices reach: QEMU's edu has 28 bits, old devices 32. */
static const uint64_t step[] = {IOVA_MIN, 1ull << 28, 1ull << 32};
enum {
	STEPS = sizeof(step) / sizeof(step[0]),
};

static int add_hole(struct ob_dma_window *w, uint64_t min, uint64_t max)
{
	struct ob_dma_hole *last = w->nr_holes ? &w->hole[w->nr_holes - 1] : NULL;

	if (min < w->aperture_min)
		min = w->aperture_min;
	if (max > w->aperture_max)
		max = w->aperture_max;
	if (max < min)
		return 0;
	/* Neighbours and overlapping ones become one; they come in ascending order of their begin. */
	if (last && min <= last->max + 1) {
		if (max > last->max)
			last->max = max;
		return 0;
	}
	if (w->nr_holes == OB_DMA_HOLES)
		return -ENOSPC;
	w->hole[w->nr_holes++] = (struct ob_dma_hole){min, max};
	return 0;
}

/* Share @slice of @slices of [min, max], in whole superpages. */
static struct vfio_range share(uint64_t min, uint64_t max, unsigned int slice, unsigned int slices)
{
	uint64_t part = ((max - min) / slices) & ~(SUPERPAGE - 1);
	struct vfio_range r = {min + slice * part, min + (slice + 1) * part - 1};

	if (slice + 1 == slices)
		r.max = max;
	return r;
}

/* The ranges that this device may use: what the kernel allows and its share, ascending. */
static unsigned int usable(const struct vfio_limits *l, unsigned int slice, unsigned int slices,
			   struct vfio_range *out, unsigned int room)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < STEPS; i++) {
		uint64_t end = i + 1 < STEPS ? step[i + 1] - 1 : l->range[l->nr_ranges - 1].max;
		struct vfio_range mine;

		if (end <= step[i])
			break;
		mine = share(step[i], end, slice, slices);
		for (unsigned int k = 0; k < l->nr_ranges && n < room; k++) {
			uint64_t min = l->range[k].min > mine.min ? l->range[k].min : mine.min;
			uint64_t max = l->range[k].max < mine.max ? l->range[k].max : mine.max;

			if (max <= min)
				continue;
			if (n && out[n - 1].max + 1 == min)
				out[n - 1].max = max;
			else
				out[n++] = (struct vfio_range){min, max};
		}
	}
	return n;
}

int vfio_iova_window(const struct vfio_limits *l, unsigned int slice, unsigned int slices,
		     struct ob_dma_window *w)
{
	struct vfio_range r[VFIO_RANGES + STEPS];
	unsigned int i, n = usable(l, slice, slices, r, VFIO_RANGES + STEPS);
	uint64_t at = 0;

	if (!n)
		return -ENOSPC;
	/* The lowest place that is good for superpages: within reach of as many devices as possible. */
	for (i = 0; i < n && !at; i++) {
		uint64_t start = (r[i].min + SUPERPAGE - 1) & ~(SUPERPAGE - 1);

		if (start >= r[i].min && start <= r[i].max && w->size - 1 <= r[i].max - start)
			at = start;
	}
	if (!at)
		return -ENOSPC;
	w->iova = at;
	w->aperture_min = r[0].min;
	w->aperture_max = r[n - 1].max;
	w->nr_holes = 0;
	for (i = 1; i < n; i++)
		if (add_hole(w, r[i - 1].max + 1, r[i].min - 1)) {
			/* More holes than we can name: what lies above them is not used. */
			w->aperture_max = r[i - 1].max;
			break;
		}
	return w->iova > w->aperture_max || w->size - 1 > w->aperture_max - w->iova ? -ENOSPC : 0;
}
