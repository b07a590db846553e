/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of a virtio block device: Virtual I/O Device (VIRTIO) 1.2, 5.2. Only what they mean; where they come from
 * and who does them is elsewhere.
 */
#ifndef ATTACH_VIRTIO_BLK_H
#define ATTACH_VIRTIO_BLK_H

#include <linux/virtio_blk.h>

#include <outboard/block.h>

#include "attach/virtqueue.h"

enum {
	/* A request of this many pieces of payload at most: 1 MiB of scattered pages is 256. */
	VIRTIO_BLK_SEGMENTS = 254,
	/* And header and status, each of which a driver may cut in two. */
	VIRTIO_BLK_PIECES = VIRTIO_BLK_SEGMENTS + 4,
	/* 5.2.6: "the device ID string ... up to 20 bytes" */
	VIRTIO_BLK_ID = 20,
	VIRTIO_BLK_SECTOR = 512,
};

/**
 * struct virtio_blk_request - one request of the driver's, checked for its form
 * @type: VIRTIO_BLK_T_*
 * @sector: of 512 bytes, as the driver said
 * @data: payload without header and status, pieces of the chain's array
 * @nr_data, @len: how many, and bytes of them
 * @written: the payload is for the device to write
 * @status: where VIRTIO_BLK_S_* goes
 */
struct virtio_blk_request {
	uint32_t type;
	uint64_t sector;
	struct virtqueue_piece *data;
	unsigned int nr_data;
	uint64_t len;
	bool written;
	uint8_t *status;
};

/**
 * virtio_blk_parse() - header, payload, status of a chain, however it is cut (5.2.6 with VERSION_1)
 * @chain: its pieces are changed: what is no payload is cut off
 *
 * Return: 0; -EPROTO when it has no whole header, or no place for a status.
 */
int virtio_blk_parse(struct virtqueue_chain *chain, struct virtio_blk_request *r);

/**
 * struct virtio_blk_range - what DISCARD and WRITE_ZEROES are about
 */
struct virtio_blk_range {
	uint64_t offset, len;
	bool may_unmap;
};

/**
 * virtio_blk_range() - the one range of a DISCARD or WRITE_ZEROES
 *
 * Return: VIRTIO_BLK_S_OK; VIRTIO_BLK_S_IOERR; VIRTIO_BLK_S_UNSUPP for flags that 5.2.6 does not know here.
 */
uint8_t virtio_blk_range(const struct virtio_blk_request *r, struct virtio_blk_range *range);

/** virtio_blk_copy() - between the request's payload, from byte @off on, and @buf; returns bytes copied */
uint64_t virtio_blk_copy(const struct virtio_blk_request *r, uint64_t off, void *buf, uint64_t len,
			 bool to_driver);

/**
 * virtio_blk_config() - the configuration space and the features of a disk
 * @queues: how many
 * @size_max: longest piece of payload
 * @flush: the disk has something to flush
 * @discard, @zeroes: what it can do, longest request in bytes; 0: cannot
 *
 * Return: features, without those of the rings and the transport.
 */
uint64_t virtio_blk_config(const struct ob_block_limits *l, unsigned int queues, uint32_t size_max,
			   bool flush, uint32_t discard, uint32_t zeroes,
			   struct virtio_blk_config *config);

#endif
