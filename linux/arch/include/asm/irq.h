/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_IRQ_H
#define __ASM_OUTBOARD_IRQ_H

/* Room for every vector of a device with the most that the host gives (64), and what the core allocates. */
#define NR_IRQS 128

#include <asm-generic/irq.h>

#endif
