/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_TLB_H
#define __ASM_OUTBOARD_TLB_H

#include <asm-generic/tlb.h>
#include <asm/tlbflush.h>

#endif
