/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that a device has been given, or is offered, and does not send: what the kernel's transmit watchdog is for (dev_watchdog() in
 * net/sched/sch_generic.c). Looked at with each tick; a frame costs nothing, a burst an addition.
 */
#ifndef ATTACH_UNSENT_H
#define ATTACH_UNSENT_H

#include "attach/tap_send.h"

/**
 * struct unsent_buffers - of one queue to the device
 * @away: neither in their pools nor with the system: on their way, or with the driver
 * @dry: there are no others: nothing more can be sent
 */
struct unsent_buffers {
	unsigned int away;
	bool dry;
};

/**
 * struct unsent - of one queue
 * @lazy: its driver may keep what was sent until more is to be sent: the kernel's may
 * @held, @handed: what the driver had, and had ever taken, when last looked
 * @pauses: pause frames that the device had received when @pauses_ns of the wait were over
 * @waited_ns: for how long something has been waiting, the link being up, without any progress; 0: it is not
 */
struct unsent {
	bool lazy;
	unsigned int held;
	uint64_t handed;
	uint64_t pauses, pauses_ns;
	uint64_t looked_ns, waited_ns;
};

/** unsent_init() - for frames to this device's driver */
void unsent_init(struct unsent *u, const struct ob_binding *b);

/**
 * unsent_look() - in the loop's thread, with each tick
 * @buffers: those of @arg, the queue that @send is of
 * @up: the device has a link: without one nothing is owed
 *
 * Return: u->waited_ns.
 */
uint64_t unsent_look(struct unsent *u, struct tap_send *send,
		     struct unsent_buffers (*buffers)(const void *arg), const void *arg, bool up,
		     uint64_t now_ns);

/** ob_attach_unsent_ns() - for how long frames have been waiting in an attachment, as of its last tick; 0 for what is no network's */
uint64_t ob_attach_unsent_ns(const struct ob_attach *at);

#endif
