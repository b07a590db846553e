/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rights of arena pages where the arena is not mapped as a whole (policies strict and lazy).
 *
 * A page may serve several mappings and allocations at once. Strict: the IOMMU gives it the union of the
 * rights that its present users need, and nothing when there are none. Lazy: rights only grow, and a page
 * without users stays mapped in a list from which the oldest are evicted; that is the mapping cache of
 * Chubb's usr_pci_map: most pages are mapped again soon, and one flush serves many evictions.
 */
#include <errno.h>

#include "access/dma.h"

static unsigned int needed(const struct dma_page *p)
{
	return (p->readers ? OB_DMA_READ : 0) | (p->writers ? OB_DMA_WRITE : 0);
}

static void idle_remove(struct dma_space *s, uint32_t i)
{
	struct dma_page *p = &s->page[i];

	if (p->older != DMA_NO_PAGE)
		s->page[p->older].newer = p->newer;
	else
		s->page_oldest = p->newer;
	if (p->newer != DMA_NO_PAGE)
		s->page[p->newer].older = p->older;
	else
		s->page_newest = p->older;
	p->idle = false;
	s->idle_pages--;
}

static void idle_add(struct dma_space *s, uint32_t i)
{
	struct dma_page *p = &s->page[i];

	p->older = s->page_newest;
	p->newer = DMA_NO_PAGE;
	if (p->older != DMA_NO_PAGE)
		s->page[p->older].newer = i;
	else
		s->page_oldest = i;
	s->page_newest = i;
	p->idle = true;
	s->idle_pages++;
}

/*
 * Where rights cannot be changed in place, a page that is in use keeps those that it has: dma_pages_get() has
 * refused who needs more, and more than is needed is taken back with the last user.
 */
static unsigned int target(const struct dma_space *s, const struct dma_page *p)
{
	if (s->window.fixed_rights && p->mapped && needed(p))
		return p->mapped;
	return s->window.policy == OB_DMA_LAZY ? p->mapped | needed(p) : needed(p);
}

/* One backend call for a run of pages that get the same rights. */
static int set_rights(struct dma_space *s, uint32_t first, uint32_t n, unsigned int prot)
{
	uint64_t off = (uint64_t)first << s->page_shift;
	size_t len = (size_t)n << s->page_shift;
	uint32_t i;
	int ret;

	if (prot)
		ret = dma_backend_map(s, s->dma.base + off, s->dma.iova + off, len, prot);
	else
		ret = dma_backend_unmap(s, s->dma.iova + off, len);
	if (ret)
		return ret;
	for (i = first; i < first + n; i++)
		s->page[i].mapped = (uint8_t)prot;
	return 0;
}

/* Bring pages [first, end) to what their users need. Goes on after an error and returns the first. */
static int settle(struct dma_space *s, uint32_t first, uint32_t end)
{
	uint32_t i = first, run;
	unsigned int prot;
	int ret = 0, err;

	while (i < end) {
		prot = target(s, &s->page[i]);
		if (prot == s->page[i].mapped) {
			i++;
			continue;
		}
		run = i + 1;
		while (run < end && s->page[run].mapped != prot && target(s, &s->page[run]) == prot)
			run++;
		err = set_rights(s, i, run - i, prot);
		if (err && !ret)
			ret = err;
		i = run;
	}
	return ret;
}

static void count(struct dma_space *s, uint32_t first, uint32_t end, unsigned int prot,
		  uint32_t step)
{
	uint32_t i;

	for (i = first; i < end; i++) {
		if (prot & OB_DMA_READ)
			s->page[i].readers += step;
		if (prot & OB_DMA_WRITE)
			s->page[i].writers += step;
	}
}

static void idle_update(struct dma_space *s, uint32_t first, uint32_t end)
{
	uint32_t i;

	for (i = first; i < end; i++) {
		struct dma_page *p = &s->page[i];
		bool idle = s->window.policy == OB_DMA_LAZY && p->mapped && !needed(p);

		if (idle && !p->idle)
			idle_add(s, i);
		else if (!idle && p->idle)
			idle_remove(s, i);
	}
}

static void span(const struct dma_space *s, uint64_t off, size_t len, uint32_t *first,
		 uint32_t *end)
{
	*first = (uint32_t)(off >> s->page_shift);
	*end = (uint32_t)((off + len - 1) >> s->page_shift) + 1;
}

/*
 * Where rights cannot be changed in place: an idle page with too few of them is unmapped first; one in use
 * cannot be taken away from under its users.
 */
static int make_way(struct dma_space *s, uint32_t first, uint32_t end, unsigned int prot)
{
	uint32_t i;
	int ret;

	for (i = first; i < end; i++) {
		const struct dma_page *p = &s->page[i];

		if (p->mapped && needed(p) && (p->mapped & prot) != prot)
			return -EBUSY;
	}
	for (i = first; i < end; i++) {
		if (!s->page[i].mapped || (s->page[i].mapped & prot) == prot)
			continue;
		ret = set_rights(s, i, 1, 0);
		if (ret)
			return ret;
		idle_update(s, i, i + 1);
	}
	return 0;
}

int dma_pages_get(struct dma_space *s, uint64_t off, size_t len, unsigned int prot)
{
	uint32_t first, end;
	int ret;

	if (!s->page)
		return 0;
	span(s, off, len, &first, &end);
	if (s->window.fixed_rights) {
		ret = make_way(s, first, end, prot);
		if (ret)
			return ret;
	}
	count(s, first, end, prot, 1);
	ret = settle(s, first, end);
	if (ret) {
		count(s, first, end, prot, (uint32_t)-1);
		settle(s, first, end);
	}
	idle_update(s, first, end);
	return ret;
}

int dma_pages_put(struct dma_space *s, uint64_t off, size_t len, unsigned int prot)
{
	uint32_t first, end;
	int ret;

	if (!s->page)
		return 0;
	span(s, off, len, &first, &end);
	count(s, first, end, prot, (uint32_t)-1);
	ret = settle(s, first, end);
	idle_update(s, first, end);
	/* Evict a quarter at once: neighbours then go in one call, and so in one IOTLB flush. */
	if (s->idle_pages > s->max_idle_pages)
		dma_pages_evict(s, s->max_idle_pages - s->max_idle_pages / 4);
	return ret;
}

int dma_pages_evict(struct dma_space *s, unsigned int keep)
{
	int ret = 0, err;

	while (s->idle_pages > keep) {
		uint32_t first = s->page_oldest, n = 1;

		idle_remove(s, first);
		while (s->idle_pages > keep && s->page_oldest == first + n) {
			idle_remove(s, first + n);
			n++;
		}
		/* A page that cannot be unmapped keeps its rights on record and leaves the list. */
		err = set_rights(s, first, n, 0);
		if (err && !ret)
			ret = err;
	}
	return ret;
}

void dma_pages_drop_all(struct dma_space *s)
{
	uint32_t pages = (uint32_t)(s->dma.size >> s->page_shift);
	uint32_t i = 0, run;

	if (!s->page)
		return;
	while (i < pages) {
		if (!s->page[i].mapped) {
			i++;
			continue;
		}
		run = i + 1;
		while (run < pages && s->page[run].mapped)
			run++;
		set_rights(s, i, run - i, 0);
		i = run;
	}
}
