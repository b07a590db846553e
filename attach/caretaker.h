/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The caretaker: a child process that waits for the death of the process that serves a disk, and then takes down
 * what the kernel would wait for: a disk whose server is gone keeps its clients in uninterruptible sleep for ever
 * (virtio-blk has no time-out; nbd only asks itself every 30 s whether its server is stuck).
 */
#ifndef ATTACH_CARETAKER_H
#define ATTACH_CARETAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <outboard/error.h>

enum {
	CARETAKER_FDS = 4,
};

/**
 * struct caretaker_job - what the child does
 * @take_down: called in the child when the parent has died. A fork of a threaded process, so with
 *	async-signal-safe calls only (signal-safety(7)). All signals are blocked
 * @set_up: called in a child of the child's own, by caretaker_set_up(), under the same rules; or NULL
 * @keep: called before the child is started with our end of what it waits on: it waits until all who have it are dead or have
 *	closed it, so whoever is given a duplicate lives on in our place, and caretaker_adopt() gives it to a successor; or NULL
 * @arg: for all; read as it was when the child was started
 * @fd, @nr_fds: descriptors that the child keeps, at the same numbers; all others are closed there
 * @shared, @size: shared memory that it keeps; all other shared memory (BARs, the arena) is unmapped there, so that
 *	it keeps no device in use
 */
struct caretaker_job {
	void (*take_down)(void *arg);
	void (*set_up)(void *arg);
	int (*keep)(void *arg, int fd);
	void *arg;
	int fd[CARETAKER_FDS];
	unsigned int nr_fds;
	void *shared;
	size_t size;
};

struct caretaker {
	pid_t pid;   /* 0: none; -1: a former driver process has started it */
	bool others; /* another process has started it: it is not waited for as a child */
	int fd;
};

/**
 * caretaker_adopt() - go on with one that a process before this one has started
 * @fd: what its @keep was given; taken over
 *
 * Return: false when it is not there any more, or never came to be.
 */
bool caretaker_adopt(struct caretaker *c, int fd);

/**
 * caretaker_let_go() - in a child of a threaded process: close all descriptors but those from 0 to @last that @kept allows, and
 *	unmap all shared memory but [@keep, @keep + @size): either keeps a device in use
 */
void caretaker_let_go(bool (*kept)(const void *arg, int fd), const void *arg, int last, void *keep,
		      size_t size);

int caretaker_start(struct caretaker *c, const struct caretaker_job *job, struct ob_error *err);

/**
 * caretaker_set_up() - what must not be done by the process that serves: it may wait until requests have been served
 * @timeout_ms: it is waited for so long; then it goes on alone
 */
void caretaker_set_up(struct caretaker *c, int timeout_ms);

/** caretaker_dismiss() - everything was taken down in order; the child ends without doing anything */
void caretaker_dismiss(struct caretaker *c);

/** caretaker_leave() - nothing more is said to it from here; somebody else has the same end, too (@keep) */
void caretaker_leave(struct caretaker *c);

/** caretaker_act() - it takes down now, as if this process had died; returns when it has */
void caretaker_act(struct caretaker *c);

#endif
