/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traffic that knows what it sent: frames that come back from the other end of a card's cable, requests whose data are read again. For tests in
 * which drivers come and go, or in which their device misbehaves.
 */
#ifndef TESTS_LINUX_TRAFFIC_H
#define TESTS_LINUX_TRAFFIC_H

#include <pthread.h>

#include <outboard/outboard.h>

/**
 * struct echo - the other end of a card's cable: gives back what comes, with the addresses exchanged
 * @fd: what the card's QEMU gets, as netdev=fd:N
 */
struct echo {
	int fd, own, stop;
	pthread_t thread;
};

int echo_start(struct echo *e);
void echo_stop(struct echo *e);

/**
 * struct traffic - what has been counted
 * @wrong: came back changed, twice, or was never sent
 * @lost: did not come back within LOST_MS
 * @longest_ms: the longest time in which nothing came back
 */
struct traffic {
	uint64_t sent, back, wrong, lost;
	uint64_t longest_ms;
	uint64_t serial;
	unsigned int seed;
};

/** wait_link() - until the card says that its cable is in. Return: 0 or -ETIMEDOUT */
int wait_link(struct ob_net *net, unsigned int ms);

/**
 * net_traffic() - send frames and take them back, sleeping in between as a program would
 * @count: until so many have come back; @ms: but no longer than that, 0 for no limit
 *
 * Return: 0; -ETIMEDOUT when nothing came back for @stall_ms; -ENODEV when the device is gone.
 */
int net_traffic(struct ob_net *net, struct traffic *t, uint64_t count, uint64_t ms,
		unsigned int stall_ms);

/**
 * block_traffic() - write blocks of the first MiB, read them again and compare; as net_traffic()
 *
 * A request that ends with an error counts as lost; one with other data than were written as wrong.
 */
int block_traffic(struct ob_block *blk, struct traffic *t, uint64_t count, uint64_t ms,
		  unsigned int stall_ms);

#endif
