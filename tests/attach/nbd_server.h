/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk of memory, attached as an NBD export, served by a thread; for the tests of the NBD server. */
#ifndef TESTS_ATTACH_NBD_SERVER_H
#define TESTS_ATTACH_NBD_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <outboard/attach.h>

#include "tests/attach/ram_disk.h"

enum {
	SERVER_SIZE = 16 << 20,
};

struct server {
	struct ram_disk ram;
	struct ob_loop *loop;
	struct ob_attach *at;
	unsigned long thread;
	char uri[128];
	uint16_t port;
};

/* Fill in what the disk shall be like between the two. */
struct server *server_new(void);
void server_start(struct server *s, const char *text, enum ob_mode mode);
/* Ends it whoever is connected; fails the test when something is still held. */
void server_stop(struct server *s);
struct ob_attach_stats server_stats(struct server *s);

/* A connected socket, without a word spoken. */
int raw_connect(const struct server *s);
/* Past the negotiation by NBD_OPT_GO, simple replies. */
int raw_go(const struct server *s);
void raw_send(int fd, const void *data, size_t len);
void raw_receive(int fd, void *data, size_t len);
/* Has the other end closed (after any bytes that are still to come)? */
bool raw_ended(int fd);
/* Writes 28 bytes. */
void raw_request(char *p, uint16_t flags, uint16_t command, uint64_t cookie, uint64_t offset,
		 uint32_t len);
/* One option; returns the type of the last reply to it, payloads are dropped. */
uint32_t raw_option(int fd, uint32_t option, const void *data, uint32_t len);
/* The error of a simple reply, whose cookie must be this. */
uint32_t raw_reply(int fd, uint64_t cookie);

#endif
