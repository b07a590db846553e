/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adaptive loop: interrupt → poll while there is work → interrupt. One loop is one thread; it
 * serves any number of sources (a queue of a device, an attachment's descriptor).
 */
#ifndef OUTBOARD_LOOP_H
#define OUTBOARD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <outboard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ob_mode {
	OB_MODE_ADAPTIVE,
	OB_MODE_POLL,	   /* never sleeps, never arms an interrupt */
	OB_MODE_INTERRUPT, /* goes back to sleep as soon as one round finds nothing */
};

/**
 * struct ob_loop_source - something that has work from time to time
 * @name: for statistics
 * @poll: do up to @budget units of work; returns units done, 0 when there was nothing
 * @arm: on: from now on make @fd readable when work comes, and return true when work is there
 *	already (the loop then polls again instead of sleeping). off: be quiet. Optional for a
 *	source whose @fd is readable whenever there is work
 * @tick: called about every 100 ms (time-outs, link state); optional
 * @fd: descriptor to sleep on, or -1
 * @level: @fd is a level (a tap, a socket) and not to be read by the loop, and its source is left out of the first
 *	round after a wake-up that it had no part in; false for an eventfd, whose wake-ups the loop counts as
 *	interrupts, and which it reads now and then
 */
struct ob_loop_source {
	const char *name;
	unsigned int (*poll)(void *arg, unsigned int budget);
	bool (*arm)(void *arg, bool on);
	void (*tick)(void *arg, uint64_t now_ns);
	void *arg;
	int fd;
	bool level;
};

/**
 * struct ob_loop_stats - what a loop did
 * @rounds: times all sources were polled
 * @idle_rounds: of these, without any work
 * @work: units of work
 * @sleeps: times it slept in epoll
 * @wakeups: of these, ended by a descriptor
 * @irqs: interrupts read from eventfds
 */
struct ob_loop_stats {
	uint64_t rounds, idle_rounds, work, sleeps, wakeups, irqs;
};

/**
 * struct ob_loop_mirror - two of them, for a reader in another process: memory that it shares, read as relaxed atomics
 *
 * As they were when the loop last read an interrupt, or at most 64 busy rounds ago.
 */
struct ob_loop_mirror {
	uint64_t irqs, work;
};

/**
 * struct ob_loop_overseer - somebody who looks whether the loop runs, in another process perhaps
 * @rounds: where the loop counts its rounds instead of in memory of its own
 * @asks: he wants an answer; a loop that works looks every 64 rounds
 * @fd: becomes readable then, which wakes the loop; @answer reads it
 * @answer: called with @arg in the loop's thread, when it begins and when it was asked
 *
 * What is pointed to must live as long as the loop.
 */
struct ob_loop_overseer {
	uint64_t *rounds;
	const bool *asks;
	int fd;
	void (*answer)(void *arg);
	void *arg;
};

struct ob_loop;

int ob_loop_create(enum ob_mode mode, struct ob_loop **loop);
void ob_loop_destroy(struct ob_loop *loop);

/** ob_loop_add() - add a source; it is copied. Before ob_loop_run() or from the loop's thread */
int ob_loop_add(struct ob_loop *loop, const struct ob_loop_source *source);
/** ob_loop_remove() - remove the sources with this @arg */
void ob_loop_remove(struct ob_loop *loop, void *arg);

/** ob_loop_run() - serve until ob_loop_stop(); returns 0, or a negative errno value */
int ob_loop_run(struct ob_loop *loop);
/** ob_loop_once() - one round; sleeps at most @timeout_ms (0: never). Returns units of work */
int ob_loop_once(struct ob_loop *loop, int timeout_ms);
/** ob_loop_stop() - from any thread or signal handler */
void ob_loop_stop(struct ob_loop *loop);
/** ob_loop_stats() - may be called from any thread */
void ob_loop_stats(const struct ob_loop *loop, struct ob_loop_stats *stats);

/** ob_loop_mirror() - keep @mirror up to date; before ob_loop_run(). It must live as long as the loop */
void ob_loop_mirror(struct ob_loop *loop, struct ob_loop_mirror *mirror);
/** ob_loop_oversee() - have one; before ob_loop_run(). @overseer is copied. Return: 0 or a negative errno value */
int ob_loop_oversee(struct ob_loop *loop, const struct ob_loop_overseer *overseer);
/**
 * ob_loop_silent() - interrupts are held back: look at the sources every millisecond instead
 *
 * From any thread. What came while the loop was silent is looked for once more when it is not any more.
 */
void ob_loop_silent(struct ob_loop *loop, bool on);

/** ob_mode_parse() - "adaptive", "poll" or "interrupt"; -EINVAL lists them */
int ob_mode_parse(const char *text, enum ob_mode *mode, struct ob_error *err);
const char *ob_mode_name(enum ob_mode mode);

#ifdef __cplusplus
}
#endif
#endif
