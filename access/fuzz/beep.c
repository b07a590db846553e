/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PC speaker for the fuzz backend: counter 2 of an 8254 (Intel 231164) and port 61h (82371AB, 4.2.4.1). Its output is a square wave by
 * the clock of this process.
 */
#include <string.h>

#include "access/fuzz/fuzz.h"

enum {
	COUNTER_2 = 0x42,
	CONTROL = 0x43,
	READ_STATUS = 0xe8, /* of counter 2 */
	STATUS = 0x36,	    /* low and high byte, mode 3 */
	GATE = 0x61,
	GATE_OWN = 0x0f,
	GATE_OUT2 = 0x20,
	CLOCK_HZ = 1193182,
};

static void beep_reset(struct fuzz_device *fd)
{
	memset(fd->regs[FUZZ_PORTS], 0, FUZZ_PORTS_END);
	memset(&fd->timer, 0, sizeof(fd->timer));
}

static bool output(const struct fuzz_device *fd)
{
	/* 0 is the longest period, 65536 ticks. */
	uint64_t ticks = fd->timer.divisor ? fd->timer.divisor : 65536;
	uint64_t period = ticks * 1000000000 / CLOCK_HZ;

	return ob_clock_ns() % period < period / 2;
}

static uint64_t beep_read(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size)
{
	switch (off) {
	case COUNTER_2:
		if (!fd->timer.status)
			return 0;
		fd->timer.status = false;
		return STATUS | (output(fd) ? 0x80 : 0);
	case GATE:
		return (fd->regs[bar][GATE] & GATE_OWN) | (output(fd) ? GATE_OUT2 : 0);
	default:
		return fd->regs[bar][off];
	}
}

static void beep_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		       uint64_t val)
{
	if (off == CONTROL) {
		fd->timer.status = val == READ_STATUS;
		fd->timer.high = false;
	} else if (off == COUNTER_2) {
		if (fd->timer.high)
			fd->timer.divisor =
				(uint16_t)((fd->timer.divisor & 0xff) | (val & 0xff) << 8);
		else
			fd->timer.divisor = (uint16_t)((fd->timer.divisor & 0xff00) | (val & 0xff));
		fd->timer.high = !fd->timer.high;
	}
}

const struct fuzz_model fuzz_beep = {
	.name = "beep",
	.summary = "PC speaker",
	.ports = {{COUNTER_2, 2}, {GATE, 1}},
	.reset = beep_reset,
	.read = beep_read,
	.write = beep_write,
};
