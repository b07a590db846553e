/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_MMU_H
#define __ASM_OUTBOARD_MMU_H

typedef struct {
	unsigned long none;
} mm_context_t;

#endif
