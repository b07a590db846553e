// SPDX-License-Identifier: GPL-2.0-only
/* What vmalloc() and vmap() wrote to the page tables is made true by mappings of the host's. */
#include <asm/outboard.h>
#include <asm/tlbflush.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

static pte_t *entry(unsigned long addr)
{
	pgd_t *pgd = pgd_offset_k(addr);
	p4d_t *p4d = p4d_offset(pgd, addr);
	pud_t *pud;
	pmd_t *pmd;

	pud = pud_offset(p4d, addr);
	if (pud_none(*pud))
		return NULL;
	pmd = pmd_offset(pud, addr);
	if (pmd_none(*pmd))
		return NULL;
	return pte_offset_kernel(pmd, addr);
}

/* A run of pages that are to be mapped one behind the other, or to be unmapped. */
struct run {
	unsigned long addr, len;
	phys_addr_t phys;
	bool map;
};

static void apply(struct run *run)
{
	int ret;

	if (!run->len)
		return;
	if (run->map)
		ret = outboard_ops->map(outboard_host, run->addr, run->phys, run->len);
	else
		ret = outboard_ops->unmap(outboard_host, run->addr, run->len);
	if (ret)
		panic("vmalloc: %lu bytes at %lx: the host says %d", run->len, run->addr, ret);
	run->len = 0;
}

void flush_tlb_kernel_range(unsigned long start, unsigned long end)
{
	struct run run = {0};
	unsigned long addr;

	start = max(start & PAGE_MASK, VMALLOC_START);
	end = min(end, VMALLOC_END);
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		pte_t *pte = entry(addr);
		phys_addr_t phys;
		bool map;

		if (!pte) {
			addr = (addr & PMD_MASK) + PMD_SIZE - PAGE_SIZE;
			continue;
		}
		if (!pte_stale(*pte))
			continue;
		map = pte_present(*pte);
		phys = pte_val(*pte) & PAGE_MASK;
		*pte = __pte(pte_val(*pte) & ~_PAGE_STALE);
		if (run.len && run.map == map && run.addr + run.len == addr &&
		    (!map || run.phys + run.len == phys)) {
			run.len += PAGE_SIZE;
			continue;
		}
		apply(&run);
		run = (struct run){.addr = addr, .len = PAGE_SIZE, .phys = phys, .map = map};
	}
	apply(&run);
}
