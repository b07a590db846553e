/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP frames made and taken apart by plain computation, for the tests of coalescing. */
#ifndef TESTS_TAP_TCP_FRAME_H
#define TESTS_TAP_TCP_FRAME_H

#include <outboard/net.h>

enum {
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	PSH = 0x08,
	ACK = 0x10,
	URG = 0x20,
	ECE = 0x40,
	CWR = 0x80,
};

/* Everything that a frame is made of. */
struct tcp_frame {
	bool ipv6, vlan, df, bad_csum, bad_ip_csum, no_csum_ok;
	uint8_t tos, ttl, flags;
	uint8_t host, station;		 /* last bytes of the sender's IP and Ethernet address */
	uint8_t reserved;		 /* the bits beside TCP's data offset */
	uint8_t options[40], ip_options; /* in units of 4 bytes */
	unsigned int options_len;
	uint16_t sport, dport, window, ip_id, fragment;
	uint32_t seq, ack, flow_label;
	unsigned int payload;
	uint32_t seed;	      /* of the payload */
	unsigned int padding; /* bytes behind the packet */
};

/* A frame with usual values: ACK, DF, 1448 bytes, 12 bytes of options. */
struct tcp_frame tcp_frame_usual(void);
/* The frame's bytes in memory of exactly their size; the device said that its checksum is right. */
struct ob_pkt *tcp_frame_make(const struct tcp_frame *f);
/* A frame of these bytes. */
struct ob_pkt *tcp_frame_raw(const uint8_t *bytes, uint32_t len);
void tcp_frame_free(struct ob_pkt *pkt);

/* All of a chain in one piece; the caller frees it. */
uint8_t *tcp_frame_bytes(const struct ob_pkt *pkt, uint32_t *len);
/*
 * Take a coalesced frame apart as a network device would, with checksums in full; returns segments, of
 * which each is to be freed.
 */
unsigned int tcp_frame_split(const struct ob_pkt *pkt, uint8_t **out, uint32_t *lens,
			     unsigned int max);
/* Are IPv4 and TCP checksums of a frame right? */
bool tcp_frame_sums_right(const uint8_t *bytes, uint32_t len);

#endif
