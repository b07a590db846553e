/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_PGALLOC_H
#define __ASM_OUTBOARD_PGALLOC_H

#include <linux/mm.h>

#include <asm-generic/pgalloc.h>

pgd_t *pgd_alloc(struct mm_struct *mm);

static inline void pmd_populate_kernel(struct mm_struct *mm, pmd_t *pmd, pte_t *pte)
{
	*pmd = __pmd(__pa(pte) | _PAGE_TABLE);
}

static inline void pmd_populate(struct mm_struct *mm, pmd_t *pmd, pgtable_t pte)
{
	*pmd = __pmd(page_to_phys(pte) | _PAGE_TABLE);
}

static inline void pud_populate(struct mm_struct *mm, pud_t *pud, pmd_t *pmd)
{
	set_pud(pud, __pud(__pa(pmd) | _PAGE_TABLE));
}

/* Page tables of user space are never made, so never freed. */
#define __pte_free_tlb(tlb, pte, address) BUG()
#define __pmd_free_tlb(tlb, pmd, address) BUG()

#endif
