// SPDX-License-Identifier: GPL-2.0-only
/* Memory at boot, and what is left of page tables where there is no user space. */
#include <asm/pgalloc.h>
#include <linux/gfp.h>
#include <linux/memblock.h>
#include <linux/mm.h>

pgd_t swapper_pg_dir[PTRS_PER_PGD] __page_aligned_bss;
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
char empty_zero_page[PAGE_SIZE] __page_aligned_bss;
EXPORT_SYMBOL(empty_zero_page);

void __init mem_init(void)
{
	memblock_free_all();
}
#endif

pgd_t *pgd_alloc(struct mm_struct *mm)
{
	return (pgd_t *)get_zeroed_page(GFP_KERNEL);
}

pgprot_t vm_get_page_prot(unsigned long flags)
{
	return PAGE_SHARED;
}
