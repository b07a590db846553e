/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `send` and `receive` say to each other. Over TCP: the sender's bytes up to its end, then a
 * report back. Over UDP: numbered datagrams; the last kind is repeated until a report has come.
 */
#ifndef CLI_NET_TRANSFER_H
#define CLI_NET_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TRANSFER_DATA = 0x6f620001, /* "ob" */
	TRANSFER_END = 0x6f620002,
	TRANSFER_REPORT = 0x6f620003,

	TRANSFER_HEADER = 12,
	TRANSFER_REPORT_SIZE = 52,

	/* Numbers below the highest within which a datagram that comes twice is known. */
	TRANSFER_WINDOW = 65536,
};

/**
 * struct transfer_report - what the receiver saw
 * @lost: datagrams; @late: of those that came, after one with a higher number; @twice: not counted otherwise
 * @damaged: bytes that were not those sent, when they were compared
 */
struct transfer_report {
	uint64_t bytes, datagrams, lost, late, damaged, twice;
};

/**
 * struct transfer_order - which numbers have come
 * @next: one above the highest
 * @seen: by number modulo TRANSFER_WINDOW, a bit each
 */
struct transfer_order {
	uint64_t next;
	uint64_t seen[TRANSFER_WINDOW / 64];
};

/** transfer_count() - a datagram came; false when it had come before. Counts it in @r as late or twice */
bool transfer_count(struct transfer_order *o, uint64_t number, struct transfer_report *r);

void transfer_put_header(uint8_t p[TRANSFER_HEADER], uint32_t kind, uint64_t number);
/** transfer_get_header() - its kind, or 0 when it is none of ours */
uint32_t transfer_get_header(const uint8_t *p, size_t len, uint64_t *number);
void transfer_put_report(uint8_t p[TRANSFER_REPORT_SIZE], const struct transfer_report *r);
bool transfer_get_report(const uint8_t *p, size_t len, struct transfer_report *r);

/*
 * The bytes that are sent: pseudo-random, so that nothing on the way has an easier time with them,
 * and repeated after a prime number, so that pieces of any usual size that change places are found.
 */
enum {
	PATTERN_PERIOD = 65521,
	PATTERN_CHUNK = 1 << 20,
};
/** pattern_create() - PATTERN_PERIOD + PATTERN_CHUNK bytes, to be freed; NULL without memory */
uint8_t *pattern_create(void);

struct net_run;
int net_send_udp(struct net_run *r);
int net_receive_udp(struct net_run *r);

#endif
