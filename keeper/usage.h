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
 * @data: bytes of private memory that can be written, in use or not yet: what RLIMIT_DATA is about
 * @data_most, @descriptors_most: what its limits allow; 0: everything, or not known
 */
struct usage {
	uint64_t memory, pinned;
	uint64_t data, data_most, descriptors_most;
	unsigned int descriptors;
};

/** usage_read() - false: there is no such process */
bool usage_read(pid_t pid, struct usage *u);

/**
 * usage_exceeds() - has it grown beyond what the policy allows, or until its limits leave it next to nothing? @why: what, for people
 *
 * What a policy of 0 says nothing of is not looked at.
 */
bool usage_exceeds(const struct usage *now, const struct usage *first,
		   const struct restart_policy *policy, char *why, size_t size);

#endif
