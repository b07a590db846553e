/* SPDX-License-Identifier: GPL-2.0-only */
/* Caches are coherent; what vmalloc changes is a mapping of the host's, applied before it is used. */
#ifndef __ASM_OUTBOARD_CACHEFLUSH_H
#define __ASM_OUTBOARD_CACHEFLUSH_H

#include <asm/tlbflush.h>

#define flush_cache_vmap(start, end)	   flush_tlb_kernel_range(start, end)
#define flush_cache_vmap_early(start, end) flush_tlb_kernel_range(start, end)

#include <asm-generic/cacheflush.h>

#endif
