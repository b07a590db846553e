/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fault campaign (faults.c) and the driver process that has the faults (faulty.c) share: a file that both map. */
#ifndef CAMPAIGN_SEAT_H
#define CAMPAIGN_SEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the environment: the file. */
#define SEAT_VARIABLE "OUTBOARD_CAMPAIGN_SEAT"

enum family {
	CODE,	/* an instruction of the driver */
	POINT,	/* a fault point */
	DEVICE, /* the device misbehaves once */
	FAMILIES,
};

enum seat_state {
	SEAT_EMPTY,
	SEAT_PENDING,	/* for the next process, before it touches the device */
	SEAT_ASKED,	/* for this process, while it serves */
	SEAT_PLACED,	/* it is there */
	SEAT_REACHED,	/* and was executed, or struck */
	SEAT_WITHDRAWN, /* to be taken out */
	SEAT_REFUSED,	/* it cannot be placed */
};

/**
 * struct seat - one fault, and how far it has got
 * @victim: the driver's object
 * @timeout_ms: of its requests
 * @until_ns: the campaign's end; 0: when all is done
 * @trial: number of the fault, for who finds the campaign dead
 * @processes: that loaded the driver so far
 * @holder: the one of these, from 1, that has the fault
 * @loaded_ns, @probed_ns: when the last process had loaded the driver, and bound it
 * @word: counted up, and a futex: there is something to do
 * @done: as far as the driver process has done it
 */
struct seat {
	char victim[512];
	uint32_t timeout_ms;
	uint64_t until_ns;
	_Atomic uint64_t trial;
	_Atomic uint32_t processes, holder;
	_Atomic uint64_t loaded_ns, probed_ns; /* ob_clock_ns() */
	_Atomic uint32_t word, done;
	_Atomic uint32_t state; /* enum seat_state */

	uint32_t family;
	/* CODE */
	uint64_t va;
	uint32_t size;
	uint8_t was[16], is[16];
	/* POINT */
	char points[192];
	/* DEVICE */
	uint32_t kind;
	uint64_t at;
	_Atomic uint32_t struck;
};

#endif
