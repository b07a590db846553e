/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_DELAY_H
#define __ASM_OUTBOARD_DELAY_H

#include <asm-generic/delay.h>

#endif
