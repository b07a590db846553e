/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive coalescing: TCP segments of one burst that follow each other become one segmentation frame, so
 * that the kernel takes up to 64 KiB with one system call and walks its stack once.
 */
#ifndef ATTACH_TAP_GRO_H
#define ATTACH_TAP_GRO_H

#include <outboard/net.h>

enum {
	TAP_GRO_MAX = 64, /* frames of one call */
};

/**
 * tap_gro() - merge what may be merged
 * @pkts: received frames in the order of their arrival; afterwards the frames to hand on
 * @n: how many, at most TAP_GRO_MAX
 *
 * A merged frame is a chain: the first frame, then the payloads of the others; gso_type, gso_size,
 * hdr_len and a partial checksum are set. Nothing is copied. A frame that is not merged is not changed.
 * Frames of one flow stay in their order. What can be merged can be taken apart again into the same
 * segments (RFC 9293; IPv4 identifications count up or stand still):
 *
 *   same Ethernet header and tags, addresses, ports, TOS/traffic class, TTL, DF, flow label;
 *   no IP options, no fragments, no extension headers; same acknowledgement, window, TCP options;
 *   sequence numbers without gap; no SYN, RST, URG, CWR; FIN or PSH only on the last;
 *   all payloads of the first one's size, only the last may be shorter;
 *   checksums right: said by the device (OB_PKT_CSUM_OK) or summed here.
 *
 * Return: frames now in @pkts.
 */
unsigned int tap_gro(struct ob_pkt **pkts, unsigned int n);

#endif
