/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does a driver process still serve? Each of its loops counts its rounds in memory that the keeper sees. One that has not counted
 * for a period is pinged, so that an idle loop costs nothing; one that does not count after that either hangs: it
 * spins in the driver, waits for something that does not come, or was stopped.
 */
#ifndef KEEPER_HEARTBEAT_H
#define KEEPER_HEARTBEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <outboard/loop.h>

enum {
	HEARTBEAT_LOOPS = 16,
	/* A self-test that sets up the link anew, with room. */
	HEARTBEAT_EXCUSE_S = 60,
};

/**
 * struct heartbeat_loop - one loop, in shared memory
 * @beats: rounds, by the loop's own counter of them, which lies here (ob_loop_oversee()): so it costs nothing
 * @tid: the loop's thread, in its own process namespace; 0 before it runs and after it has ended
 * @pinged: its descriptor was written
 * @excused: it does at somebody's request what takes its time
 */
struct heartbeat_loop {
	uint64_t beats; /* relaxed atomics, as @pinged */
	_Atomic int tid;
	bool pinged;
	atomic_bool excused;
	char apart[64 - 16]; /* a cache line each */
};

/* What the keeper knows of a loop. */
struct heartbeat_watch {
	int ping_fd;
	uint64_t beats;
	uint64_t since_ns;  /* when they were seen to change */
	uint64_t pinged_ns; /* 0: not */
	uint64_t cpu_ns;    /* of the thread, when it was pinged */
	int tid, seen_as;   /* the loop's word, and what it is in this process's namespace */
};

struct heartbeat {
	struct heartbeat_loop *loop;
	struct heartbeat_watch watch[HEARTBEAT_LOOPS];
	unsigned int n;
	uint64_t period_ns;
	uint64_t looked_ns;
};

/** heartbeat_open() - for @n loops of processes that this one forks; @period_ms 0: nothing is watched */
int heartbeat_open(struct heartbeat *h, unsigned int n, unsigned int period_ms,
		   struct ob_error *err);
void heartbeat_close(struct heartbeat *h);

/** heartbeat_reset() - another process begins */
void heartbeat_reset(struct heartbeat *h);

/** heartbeat_timeout_ms() - when to look again; -1: no need */
int heartbeat_timeout_ms(const struct heartbeat *h);

/**
 * heartbeat_look() - ping those that are silent
 * @pid: the driver process
 * @why: set for one that hangs: what its thread is at
 *
 * A thread that wants to run and is not let is no hang, nor is one that a debugger stopped.
 *
 * Return: the index of a loop that hangs; -1 when none does.
 */
int heartbeat_look(struct heartbeat *h, pid_t pid, char *why, size_t size);

/** heartbeat_ask() - have each loop that runs report, those that sleep too */
void heartbeat_ask(struct heartbeat *h);

/* ---- in the driver process ---------------------------------------------------------------- */

/** heartbeat_attach() - @loop is number @i; before it runs */
int heartbeat_attach(struct heartbeat *h, unsigned int i, struct ob_loop *loop);
/** heartbeat_excuse() - in the loop's thread: what it does now may take up to HEARTBEAT_EXCUSE_S */
void heartbeat_excuse(struct heartbeat *h, unsigned int i, bool on);
/**
 * heartbeat_report() - call @fn in the loop's thread when the keeper has asked, or pinged
 *
 * After heartbeat_attach(), before the loop runs. @arg must live as long as the loop.
 */
void heartbeat_report(unsigned int i, void (*fn)(void *arg), void *arg);
/** heartbeat_wait() - the same for the loop of this thread, if it runs one */
void heartbeat_wait(bool on);
/** heartbeat_begun() - have all loops had a round, or ended? */
bool heartbeat_begun(const struct heartbeat *h);
/** heartbeat_detach() - it runs no more */
void heartbeat_detach(struct heartbeat *h, unsigned int i);

#endif
