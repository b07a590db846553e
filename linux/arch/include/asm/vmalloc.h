/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_VMALLOC_H
#define __ASM_OUTBOARD_VMALLOC_H
#endif
