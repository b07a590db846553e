/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the clients of the campaigns share: blocks that say which they are, how often they were written, and a checksum; and who drives the
 * device below a keeper just now.
 */
#ifndef CAMPAIGN_CLIENT_H
#define CAMPAIGN_CLIENT_H

#include <stdint.h>
#include <sys/types.h>

enum {
	BLOCK = 4096,
};

#define NS 1000000000ull

uint64_t now_ns(void);
void pause_ms(unsigned int ms);

/** next_random() - xorshift64* (Vigna 2016); *@state is not 0 */
uint64_t next_random(uint64_t *state);

/** block_fill() - a block as it is after its write number @generation */
void block_fill(char *buf, uint64_t seed, uint32_t block, uint32_t generation);

/**
 * block_judge() - is a block that was read back one that can be there?
 * @done, @begun: writes of it that were acknowledged, and begun
 * @generation: what it says itself
 *
 * Return: NULL, or what is wrong with it.
 */
const char *block_judge(const char *buf, uint64_t seed, uint32_t block, uint32_t done,
			uint32_t begun, uint32_t *generation);

/** driver_process_of() - the child of @keeper that drives its devices; 0: none just now */
pid_t driver_process_of(pid_t keeper);

#endif
