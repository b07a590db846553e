/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor's own instructions: x86's header, as it is (see the architecture's Makefile). */
#include_next <asm/bitops.h>
