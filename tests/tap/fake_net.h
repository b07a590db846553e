/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network device without a device: what is sent is kept, what shall be received is given to it. For what real
 * ones do not do on command: several queues, a full ring, missing offloads, a link that goes down.
 */
#ifndef TESTS_TAP_FAKE_NET_H
#define TESTS_TAP_FAKE_NET_H

#include <outboard/driver.h>

enum {
	FAKE_SENT = 4096,
	FAKE_RX = 64,
};

/* A frame that was sent, with its offloads, as bytes. */
struct sent_frame {
	uint8_t *bytes;
	uint32_t len;
	uint16_t flags, csum_start, csum_offset, gso_size, hdr_len;
	uint8_t gso_type;
	unsigned int segments;
};

/**
 * struct fake_net - set these before the attachment is opened, or while its loop does not run
 * @room: frames that the ring takes from now on
 * @sent: what was sent, of each queue
 */
struct fake_net {
	struct ob_net net;
	struct ob_binding b;
	bool can_csum, can_tso, link_up, running;
	unsigned int room;
	struct sent_frame sent[OB_NET_QUEUES][FAKE_SENT];
	unsigned int nr_sent[OB_NET_QUEUES];
	unsigned int bursts, empty_bursts;
	struct ob_pkt *rx[OB_NET_QUEUES][FAKE_RX];
	unsigned int nr_rx[OB_NET_QUEUES];
	bool promisc;
	uint8_t macs[64][6];
	unsigned int nr_macs;
	unsigned int ticks;
};

/* @dev: any open device, for its arena */
struct fake_net *fake_net_open(struct ob_device *dev, unsigned int queues);
void fake_net_close(struct fake_net *f);
/* Give it a frame to receive, in pieces of at most @piece bytes. */
void fake_net_receive(struct fake_net *f, unsigned int queue, const void *bytes, uint32_t len,
		      uint32_t piece, uint16_t flags);
void fake_net_forget_sent(struct fake_net *f);

#endif
