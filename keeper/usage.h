/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process uses, as the kernel says it: proc(5), /proc/PID/status and /proc/PID/fd. */
#ifndef KEEPER_USAGE_H
#define KEEPER_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/restart.h"

/**
 * struct usage - at one moment
 * @memory: bytes of private memory, in use or swapped out
 * @pinned: bytes that are pinned for DMA, or locked
 * @descriptors: open; 0 when they cannot be seen (the keeper is not root, and its driver process not dumpable)
 */
struct usage {
	uint64_t memory, pinned;
	unsigned int descriptors;
};

/** usage_read() - false: there is no such process */
bool usage_read(pid_t pid, struct usage *u);

/** usage_exceeds() - has it grown beyond what the policy allows? @why: what, for people */
bool usage_exceeds(const struct usage *now, const struct usage *first,
		   const struct restart_policy *policy, char *why, size_t size);

#endif
