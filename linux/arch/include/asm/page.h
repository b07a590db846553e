/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical address 0 is the first byte of the kernel's image; memory follows at the same distance, so that
 * static data have physical addresses, too.
 */
#ifndef __ASM_OUTBOARD_PAGE_H
#define __ASM_OUTBOARD_PAGE_H

#include <linux/const.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#include <vdso/page.h>
#else
#define PAGE_SHIFT 12
#define PAGE_SIZE  (_AC(1, UL) << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#endif

#ifndef __ASSEMBLY__

#include <linux/types.h>

#define clear_page(page)		 memset((void *)(page), 0, PAGE_SIZE)
#define copy_page(to, from)		 memcpy((void *)(to), (void *)(from), PAGE_SIZE)
#define clear_user_page(page, va, pg)	 clear_page(page)
#define copy_user_page(to, from, va, pg) copy_page(to, from)

typedef struct {
	unsigned long pte;
} pte_t;
typedef struct {
	unsigned long pmd;
} pmd_t;
typedef struct {
	unsigned long pgd;
} pgd_t;
typedef struct {
	unsigned long pgprot;
} pgprot_t;
struct page;
typedef struct page *pgtable_t;

#define pte_val(x)    ((x).pte)
#define pmd_val(x)    ((x).pmd)
#define pgd_val(x)    ((x).pgd)
#define pgprot_val(x) ((x).pgprot)
#define __pte(x)      ((pte_t){(x)})
#define __pmd(x)      ((pmd_t){(x)})
#define __pgd(x)      ((pgd_t){(x)})
#define __pgprot(x)   ((pgprot_t){(x)})

extern unsigned long outboard_physmem;

#define PAGE_OFFSET	   outboard_physmem
#define __pa(x)		   ((unsigned long)(x)-outboard_physmem)
#define __va(x)		   ((void *)((unsigned long)(x) + outboard_physmem))

#define virt_to_pfn(x)	   (__pa(x) >> PAGE_SHIFT)
#define virt_to_page(x)	   pfn_to_page(virt_to_pfn(x))
#define virt_addr_valid(x) pfn_valid(virt_to_pfn(x))
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define page_to_phys(page) (page_to_pfn(page) << PAGE_SHIFT)
#define phys_to_page(x)	   pfn_to_page((x) >> PAGE_SHIFT)
#endif

#include <asm-generic/getorder.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define pfn_valid(pfn) ((pfn) < max_mapnr)
#endif

#include <asm-generic/memory_model.h>

#endif

#endif
