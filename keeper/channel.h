/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper and its driver process say to each other: messages over a SOCK_SEQPACKET pair, each with a kind, a number, an
 * error, a text and at most one descriptor. Both are the same program, forked; the keeper trusts nothing that it gets.
 */
#ifndef KEEPER_CHANNEL_H
#define KEEPER_CHANNEL_H

#include <outboard/error.h>

enum channel_kind {
	/* from the driver process, when it likes */
	CHANNEL_READY, /* its devices are attached; text: for people and COMMAND; a network namespace */
	CHANNEL_FAILED,	    /* it cannot begin; value: exit code */
	CHANNEL_ENDED,	    /* value: enum ended_by */
	CHANNEL_WRONG,	    /* what a disk's driver said is not true, and the process ends */
	CHANNEL_UNCONFINED, /* it cannot do its work in a sandbox, and ends; text: why */
	/* asked by the keeper, answered by one ANSWER each */
	CHANNEL_ASK, /* text: a request */
	CHANNEL_ANSWER,
};

enum {
	CHANNEL_TEXT = 160 << 10,
};

/**
 * struct channel_message - one message, as it was received
 * @text: ended by a NUL; malloc()ed, the receiver's; never NULL
 * @fd: or -1; the receiver's
 */
struct channel_message {
	int kind, value;
	struct ob_error err;
	char *text;
	int fd;
};

/** channel_pair() - two ends, both closed by exec */
int channel_pair(int ends[2]);

/**
 * channel_send() - send one
 * @err, @text: or NULL
 * @fd: or -1; stays the caller's
 *
 * Return: 0; -EMSGSIZE for a text of CHANNEL_TEXT bytes or more; what sendmsg(2) says.
 */
int channel_send(int sock, int kind, int value, const struct ob_error *err, const char *text,
		 int fd);

/**
 * channel_receive() - take one
 * @timeout_ms: 0 does not wait, -1 waits for ever
 *
 * Return: 0; -EAGAIN; -ECONNRESET when the other end is closed; -EPROTO for what is no message.
 */
int channel_receive(int sock, struct channel_message *m, int timeout_ms);

#endif
