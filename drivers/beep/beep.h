/* SPDX-License-Identifier: BSD-2-Clause */
/* What the beep driver's character device can do: numbers for ob_char_ops.ioctl. */
#ifndef DRIVERS_BEEP_BEEP_H
#define DRIVERS_BEEP_BEEP_H

/* The 8254's clock: 14.31818 MHz / 12 (PC/AT), and what its 16-bit divisor makes of it. */
enum {
	BEEP_CLOCK_HZ = 1193182,
	BEEP_MIN_HZ = 19,
	BEEP_MAX_HZ = 20000, /* nobody hears more */
};

/* Errors: -ERANGE, -EIO (nothing moves), -EAGAIN (too busy to tell), -ENODEV (gone), -ENOTTY (no such command). */
enum beep_ioctl {
	BEEP_START,   /* in: frequency in Hz; out: the one that the divisor gives, rounded */
	BEEP_STOP,    /* silence; in and out: nothing */
	BEEP_MEASURE, /* in: milliseconds to listen for at most; out: Hz at the counter's output */
};

#endif
