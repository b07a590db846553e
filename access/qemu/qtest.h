/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Client of QEMU's qtest text protocol over one stream socket: register access by physical address and
 * port, posted writes, and interrupt lines.
 *
 * The protocol is described in QEMU's system/qtest.c ("qtest protocol"): ASCII lines, one reply per
 * request in order of the requests, "IRQ raise N" and "IRQ lower N" in between at any time.
 */
#ifndef ACCESS_QEMU_QTEST_H
#define ACCESS_QEMU_QTEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum qtest_line_kind {
	QTEST_OK,    /* "OK" or "OK <number>" */
	QTEST_FAIL,  /* "FAIL text" */
	QTEST_RAISE, /* "IRQ raise N" */
	QTEST_LOWER, /* "IRQ lower N" */
	QTEST_BAD,   /* anything else */
};

struct qtest_line {
	enum qtest_line_kind kind;
	uint64_t value; /* of OK, or N */
};

/**
 * qtest_parse_line() - understand one line of QEMU's
 * @line: without its newline, not terminated
 */
void qtest_parse_line(const char *line, size_t len, struct qtest_line *out);

enum {
	QTEST_RX = 8192,
	/* Longest request, and as many posted writes as QEMU takes in one turn. */
	QTEST_LINE = 128,
	QTEST_TX = 1024 + QTEST_LINE,
	QTEST_PLACES = 16,
};

/* Where a write goes, as text: "writeq 0x123456789abcdef0" and what put_hex() may leave behind it. */
struct qtest_place {
	uint64_t addr;
	uint8_t size, len; /* size 0: none yet */
	char kind;	   /* 'w' or 'o' */
	char text[32];
};

/**
 * struct qtest - one connection
 * @lock: whoever holds it owns the socket, both directions
 * @outstanding: posted requests without a reply yet
 * @place: registers that were written lately
 * @tx, @tx_len, @held: posted writes that are held back, and how many; they go in front of whatever is sent next
 * @corked: how often the thread @corker has called qtest_cork(); 0: nobody holds anything back
 * @collect_at: when there are so many, replies are looked for
 * @irq: called with @lock held for each line that rises or falls
 * @watch_fd: epoll instance in which somebody sleeps on the socket, or -1
 * @watched: the socket is armed there now
 * @watch_wanted: it shall be, whenever nobody holds @lock
 * @dead: QEMU is gone, broke the protocol or cannot be talked to; nothing is sent any more
 * @dead_fd: an eventfd that is written when it becomes so, or -1
 * @syscalls: made on this socket
 */
struct qtest {
	int fd;
	pthread_mutex_t lock;
	char rx[QTEST_RX];
	size_t rx_start, rx_end;
	unsigned int outstanding, collect_at;
	struct qtest_place place[QTEST_PLACES];
	char tx[QTEST_TX];
	size_t tx_len;
	unsigned int held, corked;
	pthread_t corker;
	void (*irq)(void *arg, unsigned int line, bool level);
	void *irq_arg;
	int watch_fd;
	bool watched, watch_wanted;
	bool dead;
	int dead_fd;
	unsigned int answer_ms;
	char fail[128]; /* text of the last FAIL or of what was not understood */
	uint64_t syscalls;
};

/** qtest_open() - takes @fd over; @answer_ms bounds every wait for a reply */
void qtest_open(struct qtest *qt, int fd, unsigned int answer_ms);
void qtest_close(struct qtest *qt);

/**
 * qtest_read(), qtest_in() - one read of @size bytes
 *
 * Earlier posted writes have been done when it returns.
 *
 * Return: 0; -ENODEV when QEMU is gone; -EIO on FAIL.
 */
int qtest_read(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t *val);
int qtest_in(struct qtest *qt, uint16_t port, unsigned int size, uint64_t *val);

/** qtest_write(), qtest_out() - posted: sent, its reply is collected later */
int qtest_write(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t val);
int qtest_out(struct qtest *qt, uint16_t port, unsigned int size, uint64_t val);

/**
 * qtest_cork() - from now on qtest_write_corked() and qtest_out_corked() of this thread are held back
 *
 * They are sent, in order, by the last qtest_uncork(), by any other request of any thread, by qtest_drain(), and when
 * they are too many. While one thread has it corked others cannot: theirs are sent at once. Nests.
 */
void qtest_cork(struct qtest *qt);
void qtest_uncork(struct qtest *qt);
int qtest_write_corked(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t val);
int qtest_out_corked(struct qtest *qt, uint16_t port, unsigned int size, uint64_t val);

/** qtest_command() - any request without a value, waited for */
int qtest_command(struct qtest *qt, const char *text);

/**
 * qtest_resync() - the first call on a connection that another process had, and left at any point
 * @addr: of memory that holds @mark, which nothing that was asked before can have read
 *
 * A request is one send(), which a UNIX socket takes as a whole or not at all (unix(7)), so what lies before ours is whole.
 *
 * Return: 0 when all earlier requests have been answered, and their answers thrown away; -ENODEV.
 */
int qtest_resync(struct qtest *qt, uint64_t addr, uint64_t mark);

/** qtest_drain() - collect all outstanding replies */
int qtest_drain(struct qtest *qt);

/** qtest_pump() - take what lies on the socket, without waiting; for the watcher */
int qtest_pump(struct qtest *qt);

/** qtest_watch() - have the socket armed in @epoll_fd whenever nobody else reads it */
int qtest_watch(struct qtest *qt, bool on);

/** qtest_kill() - mark it dead; waits end at once with -ENODEV */
void qtest_kill(struct qtest *qt);

#endif
