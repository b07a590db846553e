/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames from the kernel, made what one queue of a device can send: what the device does not segment or
 * checksum is done here. Shared by all ways in which a tap's frames come in.
 */
#ifndef ATTACH_TAP_SEND_H
#define ATTACH_TAP_SEND_H

#include <outboard/attach.h>

enum {
	/* Frames on their way to the device: one segmentation frame in 64-byte payloads fits. */
	TAP_PENDING = 1024,
	/* Give the device what has come before taking more, when there is this much of it. */
	TAP_PUSH_AT = 256,
};

/**
 * struct tap_send - frames on their way into a queue of the device
 * @net, @index: the queue
 * @tso, @csum: what the device does by itself
 * @small: where segments of the usual size come from
 * @large: for longer ones; NULL when those of @small hold what the device's largest MTU allows
 * @stats: of the attachment's queue
 * @pending: not yet taken by the device's ring: @count from @head
 * @unsegmented: waits for buffers for its segments
 * @handed: frames that the driver has taken
 */
struct tap_send {
	struct ob_net *net;
	unsigned int index;
	bool tso, csum;
	struct ob_pool *small, *large;
	struct ob_attach_stats *stats;
	struct ob_pkt *unsegmented;
	struct ob_pkt *pending[TAP_PENDING];
	unsigned int head, count;
	uint64_t handed;
};

/**
 * tap_send_push() - hand over what is pending, with one doorbell
 *
 * What the ring has no room for stays; nothing is dropped. Return: frames handed over.
 */
unsigned int tap_send_push(struct tap_send *s);

/**
 * tap_send_resume() - push, and go on with a frame that waited for buffers
 *
 * Return: frames handed over.
 */
unsigned int tap_send_resume(struct tap_send *s);

/** tap_send_blocked() - no further frame can be taken now */
static inline bool tap_send_blocked(const struct tap_send *s)
{
	return s->count || s->unsegmented;
}

/**
 * tap_send_accept() - take a frame; it is pending, or dropped and counted
 * @pkt: owned from now on; its headers in the first segment
 *
 * To be called only after tap_send_resume() with nothing blocked, and TAP_PUSH_AT observed.
 * Return: whether a further frame can be taken before the next tap_send_resume().
 */
bool tap_send_accept(struct tap_send *s, struct ob_pkt *pkt);

/**
 * tap_send_frames() - take up to @budget frames from a source and hand them over
 * @next: gives a frame; or NULL, with *more whether to ask on: a frame was refused, which is counted by the source
 *
 * For when nothing is blocked. Inlined with its source: it runs once for every frame. Return: frames taken.
 */
static inline __attribute__((always_inline)) unsigned int tap_send_frames(
	struct tap_send *s, struct ob_pkt *(*next)(void *source, bool *more), void *source,
	unsigned int budget)
{
	unsigned int taken = 0;
	bool more = true;

	for (unsigned int i = 0; i < budget && more; i++) {
		struct ob_pkt *pkt = next(source, &more);

		if (!pkt)
			continue;
		taken++;
		if (!tap_send_accept(s, pkt))
			break;
		if (s->count >= TAP_PUSH_AT) {
			tap_send_push(s);
			if (s->count)
				break;
		}
	}
	tap_send_push(s);
	return taken;
}

/** tap_send_drain() - free what is pending; the device is stopped */
void tap_send_drain(struct tap_send *s);

#endif
