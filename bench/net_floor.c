/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare transmit loop for Intel's 8254x and 82574 (317453, 3.3 and 14.5): every shortcut that a program may
 * take that sends frames of one size from one thread.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/device.h>

#include "bench/floor_machine.h"
#include "bench/net_floor.h"

enum {
	RING = 256,
	RING_AT = 0x100000,
	FRAMES_AT = 0x200000, /* a frame every 2 KiB */
	FRAME = 60,
	TCTL = 0x400,
	TDBAL = 0x3800,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
};

struct tx_desc {
	uint64_t addr;
	uint32_t cmd, status;
};

struct net_floor {
	struct floor_machine m;
	struct tx_desc *ring;
	unsigned int tail, clean;
	unsigned int report[RING], report_head, report_tail;
	char door[40];
	unsigned int door_len;
};

struct net_floor *net_floor_open(const char *qemu, const char *model)
{
	struct net_floor *f = calloc(1, sizeof(*f));
	char device[64];
	const char *args[] = {"-device", device, NULL};
	uint8_t frame[FRAME] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

	if (!f)
		return NULL;
	snprintf(device, sizeof(device), "%s,addr=4", model);
	if (!floor_machine_start(&f->m, qemu, args)) {
		net_floor_close(f);
		return NULL;
	}
	floor_machine_enable(&f->m, 4);
	f->ring = (struct tx_desc *)(f->m.ram + RING_AT);
	for (unsigned int i = 0; i < RING; i++)
		memcpy(f->m.ram + FRAMES_AT + i * 2048, frame, sizeof(frame));
	floor_write(&f->m, 'l', FLOOR_BAR + TDBAL, RING_AT);
	floor_write(&f->m, 'l', FLOOR_BAR + TDLEN, RING * sizeof(struct tx_desc));
	floor_write(&f->m, 'l', FLOOR_BAR + TDH, 0);
	floor_write(&f->m, 'l', FLOOR_BAR + TDT, 0);
	floor_write(&f->m, 'l', FLOOR_BAR + TCTL, 2 | 8);
	f->door_len =
		(unsigned int)snprintf(f->door, sizeof(f->door), "writel 0x%x 0x", FLOOR_BAR + TDT);
	if (f->m.dead) {
		net_floor_close(f);
		return NULL;
	}
	return f;
}

void net_floor_close(struct net_floor *f)
{
	if (!f)
		return;
	floor_machine_stop(&f->m);
	free(f);
}

static inline void reclaim(struct net_floor *f)
{
	while (f->report_head != f->report_tail) {
		unsigned int last = f->report[f->report_head % RING];

		if (!(__atomic_load_n(&f->ring[last].status, __ATOMIC_ACQUIRE) & 1))
			break;
		f->clean = (last + 1) % RING;
		f->report_head++;
	}
}

/* Two hexadecimal digits: the ring has 256 entries. */
static inline void doorbell(struct net_floor *f)
{
	static const char digit[16] = "0123456789abcdef";

	f->door[f->door_len] = digit[f->tail >> 4];
	f->door[f->door_len + 1] = digit[f->tail & 15];
	f->door[f->door_len + 2] = '\n';
	floor_post(&f->m, f->door, f->door_len + 3);
}

bool net_floor_run(void *floor, unsigned int burst, uint64_t ns, bool yield, struct counts *counts)
{
	struct net_floor *f = floor;
	uint64_t start = ob_clock_ns(), end = start + ns, now = start, syscalls = f->m.syscalls;
	unsigned int rounds = 0, empty = 0;

	*counts = (struct counts){0};
	while ((now < end || f->clean != f->tail) && !f->m.dead) {
		bool waiting = true;

		reclaim(f);
		if (now < end && ((f->clean - f->tail - 1) & (RING - 1)) >= burst) {
			for (unsigned int i = 0; i < burst; i++) {
				struct tx_desc *d = &f->ring[f->tail];

				d->addr = FRAMES_AT + f->tail * 2048;
				d->cmd = 0x03000000 | FRAME; /* EOP, IFCS */
				d->status = 0;
				if (i + 1 == burst) {
					d->cmd |= 0x08000000; /* RS */
					f->report[f->report_tail++ % RING] = f->tail;
				}
				f->tail = (f->tail + 1) % RING;
			}
			doorbell(f);
			counts->done += burst;
			counts->doorbells++;
			waiting = false;
			empty = 0;
		}
		if (waiting) {
			if (yield)
				sched_yield();
			/* Now and then, so that a QEMU that died is noticed. */
			if (!(++empty & 0xffff))
				floor_poll(&f->m);
		}
		if (!(++rounds & 15) || waiting)
			now = ob_clock_ns();
	}
	counts->syscalls = f->m.syscalls - syscalls;
	counts->ns = ob_clock_ns() - start;
	return !f->m.dead;
}
