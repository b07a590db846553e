/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path of the tap attachment: one pair of queues, frames from the tap to the device and from the
 * device to the tap.
 */
#ifndef ATTACH_TAP_IO_H
#define ATTACH_TAP_IO_H

#include "attach/unsent.h"

struct vhost_pair;

/**
 * struct tap_queue - a queue of the tap with the same queue of the device
 * @fd: of the tap
 * @vhost: frames go through vhost-net (vhost_net.h), which then uses none of what is only for reads
 * @loop: what it is a source of
 * @watch: what the loop sleeps on: @fd, or what vhost-net wakes it by
 * @masked: @watch does not wake it now, as nothing can be read
 * @small, @large: where frames to the device are read: the beginning into a small buffer, what does not fit
 *	(64 KiB segmentation frames) into a large one
 * @next_small, @next_large: taken from the pools for the next read
 * @send: read, on its way to the device; tso and csum are set by who opens the queue
 * @gro: coalesce received TCP segments
 * @tap_gone: the interface was deleted
 * @no_buffers: the last read ended because none was left
 * @device_idle: the device had nothing when last asked
 * @tap_idle: the tap, too
 * @skip: rounds in which the tap need not be asked either
 */
struct tap_queue {
	struct vhost_pair *vhost;
	struct ob_net *net;
	struct ob_loop *loop;
	unsigned int index;
	int fd, watch;
	bool masked;
	bool gro;
	bool tap_gone, no_buffers, device_idle, tap_idle;
	unsigned int skip;
	struct ob_pool *small, *large;
	struct ob_pkt *next_small, *next_large;
	struct tap_send send;
	struct unsent unsent;
	struct ob_attach_stats stats;
	uint64_t merged; /* received frames that went to the kernel in one with others */
};

/** tap_queue_open() - buffers and @watch; @net, @loop, @index and @fd are set */
int tap_queue_open(struct tap_queue *q, struct ob_error *err);
/** tap_queue_close() - the device is stopped and has given back what it was sending */
void tap_queue_close(struct tap_queue *q);

/** tap_queue_to_device() - the loop's poll for frames that the kernel sends */
unsigned int tap_queue_to_device(void *queue, unsigned int budget);
/** tap_queue_waits() - the loop's arm: are there frames that the device's ring has no room for? */
bool tap_queue_waits(void *queue, bool on);
/** tap_queue_buffers() - of the frames to the device */
struct unsent_buffers tap_queue_buffers(const void *queue);
/** tap_queue_from_device() - the loop's poll for frames that the device received */
unsigned int tap_queue_from_device(void *queue, unsigned int budget);

#endif
