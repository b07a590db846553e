/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a split virtqueue: Virtual I/O Device (VIRTIO) 1.2, 2.7. The rings lie in memory that
 * somebody else writes; every index, length, address and chain is checked before it is used, and read once.
 * One thread per queue; nothing is allocated, no system call is made.
 */
#ifndef ATTACH_VIRTQUEUE_H
#define ATTACH_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	/* Longest ring that is served; the format allows 32768, drivers use 128 to 1024. */
	VIRTQUEUE_SIZE_MAX = 1024,
};

/**
 * struct virtqueue_memory - where the driver's addresses lead
 * @translate: memory of this process for what the driver calls @addr
 *	@len: in: bytes wanted, > 0; out: how many of them are contiguous there, > 0
 *	@write: the device is going to write them
 *	Return: the memory, or NULL when there is none, or not for this
 */
struct virtqueue_memory {
	void *(*translate)(void *arg, uint64_t addr, uint32_t *len, bool write);
	void *arg;
};

/**
 * struct virtqueue_log - what a successor must know of a queue; in memory that outlives this process, or NULL
 * @used: used index as it was when the last entries were cleared below
 * @inflight: by head: 0, or taken and not given back: the how manieth that was taken
 *
 * An entry is set before its request is seen by anybody, and cleared after the driver was given it back. Whoever is killed between two
 * instructions leaves what both stored: what a processor has stored other processes see, in this order.
 */
struct virtqueue_log {
	uint16_t used;
	uint64_t inflight[VIRTQUEUE_SIZE_MAX];
};

/**
 * struct virtqueue_layout - a queue as the driver has set it up
 * @num: entries, a power of two, at most VIRTQUEUE_SIZE_MAX
 * @desc, @avail, @used: the driver's addresses of its three areas
 * @event_idx: VIRTIO_RING_F_EVENT_IDX was negotiated
 * @indirect: VIRTIO_RING_F_INDIRECT_DESC was negotiated
 */
struct virtqueue_layout {
	unsigned int num;
	uint64_t desc, avail, used;
	bool event_idx, indirect;
};

/**
 * struct virtqueue_piece - contiguous memory of a chain
 * @base: in this process, as translate() gave it
 * @addr: the driver's address of it
 * @len: bytes, > 0
 */
struct virtqueue_piece {
	void *base;
	uint64_t addr;
	uint32_t len;
};

/**
 * struct virtqueue_chain - one buffer of the driver's
 * @piece: the caller's room for @max pieces: first those that the device reads, then those it writes
 * @max: set by the caller
 * @head: names the buffer in virtqueue_push()
 * @nr_out, @nr_in: pieces to read, and behind them to write
 * @out_len, @in_len: bytes of them
 */
struct virtqueue_chain {
	struct virtqueue_piece *piece;
	unsigned int max;
	uint16_t head;
	unsigned int nr_out, nr_in;
	uint64_t out_len, in_len;
};

/**
 * struct virtqueue - a queue in use
 * @broken: why nothing more is taken from it, or NULL; a constant string
 * @last_avail: entries of the available ring that were taken
 * @last_used: entries of the used ring that were written
 * @published: of these, visible to the driver
 * @notify: the driver has been told to notify (virtqueue_enable_notify())
 * @taken: how many were taken, also by former processes of which the log tells
 * @inflight: buffers that are out, by head: the log's, or @own
 * @given: heads that were pushed and not published, by entry of the used ring, where the driver could change them
 */
struct virtqueue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	const struct virtqueue_memory *memory;
	struct virtqueue_log *log;
	const char *broken;
	uint16_t num;
	uint16_t last_avail, last_used, published;
	bool event_idx, indirect, notify;
	uint64_t taken;
	uint64_t *inflight;
	uint64_t own[VIRTQUEUE_SIZE_MAX];
	uint16_t given[VIRTQUEUE_SIZE_MAX];
};

/**
 * virtqueue_init() - begin with a queue
 * @q: all zero, or used before; must not have buffers out
 * @memory: must live as long as the queue
 * @log: kept from now on, or NULL
 * @resume: go on where @log and the rings say that another process has stopped; its buffers are then out.
 *	false: the rings are at 0, @log is cleared
 *
 * Notifications are on. The queue needs its place: it is not copied or moved in memory.
 *
 * Return: 0; -EINVAL when num is not possible; -EFAULT when an area is not contiguous memory, or not aligned as 2.7
 * demands (16, 2, 4); -EPROTO when @resume finds indices that cannot be.
 */
int virtqueue_init(struct virtqueue *q, const struct virtqueue_layout *layout,
		   const struct virtqueue_memory *memory, struct virtqueue_log *log, bool resume);

/**
 * virtqueue_pop() - take the next buffer that the driver has made available
 *
 * Return: 1; 0 when there is none; -EPROTO when the driver broke the rules (q->broken says how); then, and
 * whenever it is called again, nothing is taken: the queue is dead until it is set up anew.
 */
int virtqueue_pop(struct virtqueue *q, struct virtqueue_chain *chain);

/**
 * virtqueue_unpop() - give the last @n buffers back untaken: they come again with the next pop
 *
 * Only when they are the last that were popped and none of them was pushed.
 */
void virtqueue_unpop(struct virtqueue *q, const uint16_t *heads, unsigned int n);

/**
 * virtqueue_fetch() - look at a buffer again, from its head; for what virtqueue_resumed() named
 *
 * Return: 1; -EPROTO as virtqueue_pop().
 */
int virtqueue_fetch(struct virtqueue *q, uint16_t head, struct virtqueue_chain *chain);

/**
 * virtqueue_resumed() - the next buffer that was out when the former process stopped, in the order in which they were taken
 * @after: 0 at first; the place of the one that was returned
 *
 * To be asked for all before anything is popped.
 *
 * Return: its head, or -1 when there are no more.
 */
int virtqueue_resumed(const struct virtqueue *q, uint64_t *after);

/**
 * virtqueue_push() - give a buffer back; the driver sees it after virtqueue_publish()
 * @len: bytes that were written to its pieces
 *
 * A head that is not out is ignored.
 */
void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t len);

/**
 * virtqueue_publish() - show the driver all that was pushed
 *
 * Return: true when the driver wants an interrupt for it.
 */
bool virtqueue_publish(struct virtqueue *q);

/** virtqueue_pending() - has the driver made something available that was not taken? */
bool virtqueue_pending(const struct virtqueue *q);

/**
 * virtqueue_enable_notify() - let the driver notify when it makes something available
 *
 * Return: true when something is available already, for which no notification may come.
 */
bool virtqueue_enable_notify(struct virtqueue *q);
/** virtqueue_disable_notify() - notifications are not needed now; some may come all the same */
void virtqueue_disable_notify(struct virtqueue *q);

#endif
