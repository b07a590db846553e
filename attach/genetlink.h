/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic netlink, as the control interfaces of nbd and vdpa have it: one request, one answer. On libmnl.
 */
#ifndef ATTACH_GENETLINK_H
#define ATTACH_GENETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>

#include <outboard/error.h>

enum {
	/* Longest request: some names and up to 64 sockets. */
	GENETLINK_REQUEST = 4096,
};

/**
 * struct genetlink - a connection to one family
 * @name: the family's
 * @version: of its interface
 */
struct genetlink {
	struct mnl_socket *sock;
	const char *name;
	uint8_t version;
	uint16_t id;
	uint32_t seq;
};

/**
 * genetlink_open() - connect, and find the family's number
 * @name: lives as long as @g
 *
 * Return: 0; -ENOENT when the kernel has no such family (its module is not loaded).
 */
int genetlink_open(struct genetlink *g, const char *name, uint8_t version, struct ob_error *err);
void genetlink_close(struct genetlink *g);

/**
 * genetlink_allowed() - may this process send what needs the capability @cap (linux/capability.h)?
 *
 * Of the initial user namespace; a process that is root in another one is told so only when it tries.
 */
bool genetlink_allowed(unsigned int cap);

/** genetlink_begin() - a request's head; the caller adds attributes by mnl_attr_put() and its kind */
struct nlmsghdr *genetlink_begin(struct genetlink *g, char request[GENETLINK_REQUEST], uint8_t cmd);

/**
 * genetlink_talk() - send a request, take what comes until it is acknowledged
 * @answer: called for each message that comes before that, may be NULL; a mnl_cb_t on its attributes
 * @why: what the kernel says of a failure in words, "" when it says nothing; may be NULL
 *
 * The kernel does what was asked before this returns, however long it takes.
 *
 * Return: 0 or a negative errno value.
 */
int genetlink_talk(struct genetlink *g, struct nlmsghdr *request, mnl_cb_t answer, void *arg,
		   char *why, size_t size);

/** genetlink_attrs() - an answer's attributes by number, @nr of them; others are left out */
void genetlink_attrs(const struct nlmsghdr *nlh, const struct nlattr **attr, unsigned int nr);

#endif
