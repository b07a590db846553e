/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the edu driver's character device can do, for those who call it: numbers for ob_char_ops.ioctl,
 * and the size of what read and write reach.
 */
#ifndef DRIVERS_EDU_EDU_H
#define DRIVERS_EDU_EDU_H

enum {
	/*
	 * Bytes of the device's 4096 that read and write reach. QEMU 7.2 ends itself when a transfer
	 * touches the last one (its range check is off by one), later versions take it.
	 */
	EDU_REACH = 4095,
	EDU_FACTORIAL_MAX = 12, /* 13! does not fit the 32-bit register */
};

/*
 * Each takes *val and may change it. Errors: -ETIMEDOUT, -ENODEV (gone), -EIO (DMA failed before),
 * -ERANGE, -EOPNOTSUPP (needs an interrupt and the driver runs without), -ENOTTY (no such command).
 */
enum edu_ioctl {
	EDU_IDENT,	   /* out: identification register, 0xRRrr00ed */
	EDU_LIVE,	   /* in: 32 bits; out: what the device made of them, its complement */
	EDU_FACTORIAL,	   /* in: n up to EDU_FACTORIAL_MAX; out: n!, waited for by polling */
	EDU_FACTORIAL_IRQ, /* the same, waited for by interrupt */
	EDU_RAISE,	   /* in: bits to raise an interrupt with; out: bits that it came with */
	EDU_IRQ_KIND,	   /* in: enum ob_irq_kind to use from now on; out: the one before */
};

#endif
