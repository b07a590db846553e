/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KASAN's shadow: a byte for eight, at a constant distance, of all addresses that a process can have, so that the host's memory has one, too.
 * The host maps it before anything of the kernel runs (linux/kit/shadow.c): zero pages, "all may be used".
 */
#ifndef __ASM_OUTBOARD_KASAN_H
#define __ASM_OUTBOARD_KASAN_H

/* linux/kasan.h wants it for asm/pgtable.h. */
#include <asm/page.h>
#include <linux/types.h>

#define KASAN_SHADOW_SCALE_SHIFT 3
#define KASAN_SHADOW_OFFSET	 _AC(CONFIG_KASAN_SHADOW_OFFSET, UL)
#define KASAN_SHADOW_START	 KASAN_SHADOW_OFFSET
/* 47 bits of address are a process's. */
#define KASAN_SHADOW_SIZE (1UL << (47 - KASAN_SHADOW_SCALE_SHIFT))
#define KASAN_SHADOW_END  (KASAN_SHADOW_START + KASAN_SHADOW_SIZE)

/* What checks its arguments takes the plain names (mm/kasan/shadow.c). */
void *__memcpy(void *to, const void *from, size_t n);
void *__memmove(void *to, const void *from, size_t n);
void *__memset(void *to, int c, size_t n);

#endif
