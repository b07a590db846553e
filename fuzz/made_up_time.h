/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time that passes when somebody looks at the clock or sleeps, for drivers whose device answers at once: half a minute of
 * time-outs is over in no time, and the same run takes the same way. Who uses it puts its functions in the place of the clock's and of those
 * that sleep.
 */
#ifndef FUZZ_MADE_UP_TIME_H
#define FUZZ_MADE_UP_TIME_H

#include <stdint.h>

/**
 * struct made_up_time - a clock
 * @now: nanoseconds
 * @looks: since the last sleep that its user knows of
 */
struct made_up_time {
	uint64_t now, looks;
};

/* A look takes a microsecond, and longer the more often one looks: who spins gets nowhere by it but to his deadline. */
static inline uint64_t made_up_look(struct made_up_time *t)
{
	t->now += 1000 + 32 * t->looks++;
	return t->now;
}

/* A busy machine lets one sleep for a millisecond longer. */
static inline void made_up_sleep(struct made_up_time *t, uint64_t ns)
{
	t->now += ns + 1000000;
}

#endif
