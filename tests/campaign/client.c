/* SPDX-License-Identifier: BSD-2-Clause */
/* What the clients of the campaigns share: client.h. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/campaign/client.h"

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

void pause_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	nanosleep(&ts, NULL);
}

uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* ---- blocks ------------------------------------------------------------------------------------- */

struct label {
	uint64_t seed;
	uint32_t block, generation;
	uint64_t sum; /* of all that follows it and of what stands above */
};

static uint64_t checksum(const char *buf)
{
	/* FNV-1a over words; the field itself counts as zero. */
	const uint64_t *word = (const uint64_t *)(const void *)buf;
	uint64_t h = 0xcbf29ce484222325ull;

	for (unsigned int i = 0; i < BLOCK / 8; i++)
		h = (h ^ (i == 2 ? 0 : word[i])) * 0x100000001b3ull;
	return h;
}

void block_fill(char *buf, uint64_t seed, uint32_t block, uint32_t generation)
{
	struct label *label = (struct label *)(void *)buf;
	uint64_t state = seed + ((uint64_t)block << 32 | generation) + 1;
	uint64_t *word = (uint64_t *)(void *)buf;

	for (unsigned int i = 3; i < BLOCK / 8; i++)
		word[i] = next_random(&state);
	*label = (struct label){.seed = seed, .block = block, .generation = generation};
	label->sum = checksum(buf);
}

const char *block_judge(const char *buf, uint64_t seed, uint32_t block, uint32_t done,
			uint32_t begun, uint32_t *generation)
{
	const struct label *label = (const struct label *)(const void *)buf;

	*generation = label->generation;
	if (!label->seed && !label->generation)
		return done ? "an acknowledged write is not there" : NULL;
	if (label->seed != seed || label->block != block || label->sum != checksum(buf))
		return "is not what was written";
	if (label->generation < done)
		return "an acknowledged write is lost";
	if (label->generation > begun)
		return "is newer than what was begun";
	return NULL;
}

/* ---- the driver process -------------------------------------------------------------------------- */

/* By its name (proc(5): "children"). */
pid_t driver_process_of(pid_t keeper)
{
	char path[64], text[512], name[32];
	pid_t found = 0;
	FILE *f;
	char *p = text;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (long pid; !found && (pid = strtol(p, &p, 10)) > 0;) {
		snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && !strcmp(name, "outboard-driver\n"))
			found = (pid_t)pid;
		fclose(f);
	}
	return found;
}
