/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue of a tap by the kernel's vhost-net (linux/vhost.h, virtio 1.2, 5.1): rings shared with a thread of
 * the kernel, which copies frames between the network stack and the device's arena. We make a system call
 * only to wake that thread, and to sleep.
 */
#ifndef ATTACH_VHOST_NET_H
#define ATTACH_VHOST_NET_H

#include "attach/tap_io.h"

/** vhost_net_probe() - may this process use /dev/vhost-net? 0, or why not */
int vhost_net_probe(struct ob_error *err);

/**
 * vhost_net_set_header() - make all queues of a tap have the header that vhost-net's frames have
 * @on: false: that of struct virtio_net_hdr, as without vhost-net; a tap that was made before may have either
 */
int vhost_net_set_header(int tap, bool on);

/**
 * vhost_net_open() - rings and buffers for a queue, and the kernel's thread
 * @q: as for tap_queue_open(); @q->watch becomes an eventfd, @q->vhost is set
 */
int vhost_net_open(struct tap_queue *q, struct ob_error *err);
/** vhost_net_stop() - the kernel lets go of the device's buffers; from then on nothing moves */
void vhost_net_stop(struct tap_queue *q);
/** vhost_net_close() - the device is stopped and has given back what it was sending */
void vhost_net_close(struct tap_queue *q);

/** vhost_net_to_device() - the loop's poll for frames that the kernel sends */
unsigned int vhost_net_to_device(void *queue, unsigned int budget);
/** vhost_net_waits() - the loop's arm for them */
bool vhost_net_waits(void *queue, bool on);
/** vhost_net_buffers() - of the frames to the device */
struct unsent_buffers vhost_net_buffers(const void *queue);
/** vhost_net_from_device() - the loop's poll for frames that the device received */
unsigned int vhost_net_from_device(void *queue, unsigned int budget);
/** vhost_net_full() - the loop's arm for them, beside the device's interrupt: waits for the kernel? */
bool vhost_net_full(struct tap_queue *q, bool on);

#endif
