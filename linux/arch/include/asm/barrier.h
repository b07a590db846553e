/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Barriers, of which a device sees the effect. Write-back memory and uncached registers only: stores are not
 * reordered with stores, nor loads with loads (Intel SDM 3A, 8.2.2), so only mb() costs an instruction.
 */
#ifndef __ASM_OUTBOARD_BARRIER_H
#define __ASM_OUTBOARD_BARRIER_H

#define mb()  asm volatile("lock; addl $0,-4(%%rsp)" ::: "memory", "cc")
#define rmb() asm volatile("" ::: "memory")
#define wmb() asm volatile("" ::: "memory")

#include <asm-generic/barrier.h>

#endif
