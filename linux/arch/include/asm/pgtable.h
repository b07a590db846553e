/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables for vmalloc() and vmap() only. The host maps pages; the tables tell it what, by
 * flush_tlb_kernel_range(). Three levels span 512 GiB, and an address is taken modulo that: the range in
 * use is far smaller.
 */
#ifndef __ASM_OUTBOARD_PGTABLE_H
#define __ASM_OUTBOARD_PGTABLE_H

#include <asm-generic/pgtable-nopud.h>
#include <linux/version.h>

#define PMD_SHIFT	    21
#define PMD_SIZE	    (1UL << PMD_SHIFT)
#define PMD_MASK	    (~(PMD_SIZE - 1))
#define PGDIR_SHIFT	    30
#define PGDIR_SIZE	    (1UL << PGDIR_SHIFT)
#define PGDIR_MASK	    (~(PGDIR_SIZE - 1))
#define PTRS_PER_PTE	    512
#define PTRS_PER_PMD	    512
#define PTRS_PER_PGD	    512
#define USER_PTRS_PER_PGD   512

#define _PAGE_PRESENT	    0x001
#define _PAGE_RW	    0x002
#define _PAGE_ACCESSED	    0x004
#define _PAGE_DIRTY	    0x008
#define _PAGE_PROTNONE	    0x010
#define _PAGE_SWP_EXCLUSIVE 0x020
/* The host's mapping is not yet as this entry says. */
#define _PAGE_STALE	 0x040
#define _PAGE_TABLE	 (_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY)
#define _PAGE_CHG_MASK	 (PAGE_MASK | _PAGE_ACCESSED | _PAGE_DIRTY)

#define PAGE_NONE	 __pgprot(_PAGE_PROTNONE | _PAGE_ACCESSED)
#define PAGE_SHARED	 __pgprot(_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED)
#define PAGE_COPY	 __pgprot(_PAGE_PRESENT | _PAGE_ACCESSED)
#define PAGE_READONLY	 __pgprot(_PAGE_PRESENT | _PAGE_ACCESSED)
#define PAGE_KERNEL	 __pgprot(_PAGE_TABLE)
#define PAGE_KERNEL_EXEC PAGE_KERNEL

extern pgd_t swapper_pg_dir[PTRS_PER_PGD];
extern unsigned long outboard_vmalloc_start, outboard_vmalloc_end;

#define VMALLOC_START outboard_vmalloc_start
#define VMALLOC_END   outboard_vmalloc_end
#define MODULES_VADDR VMALLOC_START
#define MODULES_END   VMALLOC_END
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
extern char empty_zero_page[PAGE_SIZE];
#define ZERO_PAGE(addr) virt_to_page(empty_zero_page)
#endif

#define pte_ERROR(e)	 pr_err("bad pte %016lx\n", pte_val(e))
#define pmd_ERROR(e)	 pr_err("bad pmd %016lx\n", pmd_val(e))
#define pgd_ERROR(e)	 pr_err("bad pgd %016lx\n", pgd_val(e))

#define PFN_PTE_SHIFT	 PAGE_SHIFT
#define pte_pfn(x)	 (pte_val(x) >> PAGE_SHIFT)
#define pte_page(x)	 pfn_to_page(pte_pfn(x))
#define pfn_pte(pfn, pr) __pte(((unsigned long)(pfn) << PAGE_SHIFT) | pgprot_val(pr))
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
#define mk_pte(page, pr) pfn_pte(page_to_pfn(page), pr)
#endif
#define pfn_pmd(pfn, pr) __pmd(((unsigned long)(pfn) << PAGE_SHIFT) | pgprot_val(pr))

static inline int pte_none(pte_t pte)
{
	return !(pte_val(pte) & ~_PAGE_STALE);
}
static inline int pte_present(pte_t pte)
{
	return !!(pte_val(pte) & (_PAGE_PRESENT | _PAGE_PROTNONE));
}
static inline int pte_write(pte_t pte)
{
	return !!(pte_val(pte) & _PAGE_RW);
}
static inline int pte_dirty(pte_t pte)
{
	return !!(pte_val(pte) & _PAGE_DIRTY);
}
static inline int pte_young(pte_t pte)
{
	return !!(pte_val(pte) & _PAGE_ACCESSED);
}
static inline int pte_stale(pte_t pte)
{
	return !!(pte_val(pte) & _PAGE_STALE);
}

static inline pte_t pte_wrprotect(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_RW);
}
static inline pte_t pte_mkclean(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_DIRTY);
}
static inline pte_t pte_mkold(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_ACCESSED);
}
static inline pte_t pte_mkdirty(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_DIRTY);
}
static inline pte_t pte_mkyoung(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_ACCESSED);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static inline pte_t pte_mkwrite(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_RW);
}
#else
static inline pte_t pte_mkwrite_novma(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_RW);
}
#endif

static inline pte_t pte_modify(pte_t pte, pgprot_t prot)
{
	return __pte((pte_val(pte) & _PAGE_CHG_MASK) | pgprot_val(prot));
}

static inline void set_pte(pte_t *ptep, pte_t pte)
{
	*ptep = __pte(pte_val(pte) | _PAGE_STALE);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define set_pte_at(mm, addr, ptep, pte) set_pte(ptep, pte)
#endif

#define pte_clear(mm, addr, ptep) set_pte(ptep, __pte(0))

#define __HAVE_ARCH_PTE_SAME
static inline int pte_same(pte_t a, pte_t b)
{
	return !((pte_val(a) ^ pte_val(b)) & ~_PAGE_STALE);
}

#define pmd_none(x)	  (!pmd_val(x))
#define pmd_bad(x)	  ((pmd_val(x) & ~PAGE_MASK) != _PAGE_TABLE)
#define pmd_present(x)	  (pmd_val(x) & _PAGE_PRESENT)
#define pmd_clear(p)	  (*(p) = __pmd(0))
#define pmd_pfn(x)	  (pmd_val(x) >> PAGE_SHIFT)
#define pmd_page(x)	  pfn_to_page(pmd_pfn(x))
#define pmd_page_vaddr(x) ((unsigned long)__va(pmd_val(x) & PAGE_MASK))
#define set_pmd(p, x)	  (*(p) = (x))

#define pud_none(x)	  (!pud_val(x))
#define pud_bad(x)	  ((pud_val(x) & ~PAGE_MASK) != _PAGE_TABLE)
#define pud_present(x)	  (pud_val(x) & _PAGE_PRESENT)
#define pud_clear(p)	  set_pud(p, __pud(0))
#define pud_page(x)	  pfn_to_page(pud_val(x) >> PAGE_SHIFT)
#define pud_pgtable(x)	  ((pmd_t *)__va(pud_val(x) & PAGE_MASK))
#define set_pud(p, x)	  (*(p) = (x))

/* There is no swap, but migration and the like use its entries' form. */
#define __swp_type(x)	(((x).val >> 7) & 0x1f)
#define __swp_offset(x) ((x).val >> PAGE_SHIFT)
#define __swp_entry(type, off)                                                                     \
	((swp_entry_t){(((type)&0x1f) << 7) | ((unsigned long)(off) << PAGE_SHIFT)})
#define __pte_to_swp_entry(pte) ((swp_entry_t){pte_val(pte) & ~_PAGE_STALE})
#define __swp_entry_to_pte(x)	((pte_t){(x).val})
#define __HAVE_ARCH_PTE_SWP_EXCLUSIVE
static inline int pte_swp_exclusive(pte_t pte)
{
	return !!(pte_val(pte) & _PAGE_SWP_EXCLUSIVE);
}
static inline pte_t pte_swp_mkexclusive(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_SWP_EXCLUSIVE);
}
static inline pte_t pte_swp_clear_exclusive(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_SWP_EXCLUSIVE);
}

#define update_mmu_cache(vma, addr, ptep)                                                          \
	do {                                                                                       \
	} while (0)
#define update_mmu_cache_range(vmf, vma, addr, ptep, nr)                                           \
	do {                                                                                       \
	} while (0)

#endif
