/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a driver process fares beside its heartbeat, in memory that the keeper sees: interrupts against work, the age of the oldest
 * request, for how long frames have not been sent, what the IOMMU blocked. The driver process writes it when it has read an interrupt, or is asked: nothing is counted for
 * each request or frame that is not counted anyway. It may lie; what it then can hide is its own misfortune, and a storm of
 * a real device's messages, which the kernel counts (keeper/irq_counts.h).
 */
#ifndef KEEPER_VITALS_H
#define KEEPER_VITALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <outboard/attach.h>
#include <outboard/driver.h>
#include <outboard/loop.h>

#include "keeper/heartbeat.h"

enum {
	VITALS_TEXT = 160,
	/*
	 * From the first interrupt of a storm it takes two looks at most to see it: the first may come when too few have come. While there are
	 * interrupts they are so far apart; while there are none for longer, and then the next look comes sooner, so that both are 90 ms.
	 */
	VITALS_LOOK_MS = 40,
	VITALS_IDLE_MS = 60,
	VITALS_SOON_MS = 30,
};

/**
 * struct vitals_unit - one device, in shared memory
 * @loop: its loop's
 * @irqs: read by others than the loop
 * @oldest_ms: how old the oldest request in flight is at least; 0: none is old
 * @unsent_ms: for how long frames have been waiting for the device, the link being up, without any progress
 * @mute: the keeper wants interrupts to be held back
 * @muted: they are; -1: they cannot be
 * @blocked: accesses that the backend says were blocked by the IOMMU
 * @fault: the last of them, for people
 */
struct vitals_unit {
	struct ob_loop_mirror loop;
	uint64_t irqs;
	_Atomic uint64_t oldest_ms, unsent_ms;
	atomic_bool mute;
	atomic_int muted;
	_Atomic uint64_t blocked;
	char fault[VITALS_TEXT];
};

/* What the keeper knows of one. */
struct vitals_watch {
	uint64_t irqs, work, kernel_irqs; /* when the window began */
	uint64_t since_ns;
	uint64_t blocked;
	bool came, came_before; /* any interrupt in the last window, and in the one before */

	unsigned int storms; /* in a row */
	uint64_t muted_ns;   /* 0: not held back */
	uint64_t until_ns;
};

struct vitals {
	struct vitals_unit *unit;
	struct vitals_watch watch[HEARTBEAT_LOOPS];
	unsigned int n;
	int order_fd; /* the driver process is to look at mute */
	bool ask_faults
		[HEARTBEAT_LOOPS]; /* the driver process tells of blocked accesses: nobody else can */
};

/* ---- the keeper's side ------------------------------------------------------------------------- */

int vitals_open(struct vitals *v, unsigned int n, struct ob_error *err);
void vitals_close(struct vitals *v);
/** vitals_reset() - another process begins */
void vitals_reset(struct vitals *v);

/**
 * vitals_storm() - has unit @i had more than @rate interrupts a second, beyond what its work explains?
 * @kernel_irqs: as the kernel counts them, or 0: unknown
 *
 * Return: their rate when so; 0 when not, or not known yet.
 */
uint64_t vitals_storm(struct vitals *v, unsigned int i, uint64_t now_ns, uint64_t kernel_irqs,
		      unsigned int rate);

/** vitals_next_ms() - how long after the last look for storms is the next one due? */
unsigned int vitals_next_ms(const struct vitals *v);

/** vitals_mute() - hold unit @i's interrupts back, or let them come again; the driver process does it */
void vitals_mute(struct vitals *v, unsigned int i, bool on);

/** vitals_blocked() - accesses that the IOMMU blocked since the last call; @text: the last one */
uint64_t vitals_blocked(struct vitals *v, unsigned int i, char text[VITALS_TEXT]);

/* ---- in the driver process ----------------------------------------------------------------------- */

/**
 * vitals_attach() - unit @i has this loop, device and driver; before the loop runs, after heartbeat_attach()
 * @at: the first attachment of its binding, which a network card has no other than; or NULL
 */
void vitals_attach(struct vitals *v, unsigned int i, struct ob_loop *loop, struct ob_device *dev,
		   struct ob_binding *binding, const struct ob_attach *at);
/** vitals_obey() - v->order_fd is readable: do what is wanted. Not in a loop's thread, which may be what storms */
void vitals_obey(struct vitals *v);

#endif
