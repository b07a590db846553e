/* SPDX-License-Identifier: BSD-2-Clause */
/* When a driver process that died is followed by another: at once, after a while, or not any more. Nothing here touches a process. */
#ifndef KEEPER_RESTART_H
#define KEEPER_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include <outboard/access.h>
#include <outboard/error.h>

enum {
	RESTART_LIMIT_MAX = 100,
	/* A process that served for less has died of its start, for the back-off. */
	RESTART_SETTLED_MS = 1000,
};

/**
 * struct restart_policy - what was asked for
 * @restart: false: the first death is the end
 * @limit, @within_s: so many deaths in that time are followed by another process, one more is not; @limit 0: no limit
 * @first_ms, @most_ms: the pause before the second start in a row that did not settle; doubled for each further one
 * @heartbeat_given: and not the default
 * @heartbeat_ms: a loop that does not answer for two of these hangs; 0: hangs are not looked for
 * @start_ms: a process that does not serve by then hangs, too
 * @age_s: a request that the device has owed an answer for so long is a reason to restart; 0: none is
 * @unsent_s: and so are frames that it has not sent for so long
 * @storm: so many interrupts a second beyond what the work explains are a storm; 0: none is
 * @on_storm: what is done about one
 * @memory, @pinned: bytes of private memory, and of memory that it has pinned or locked, by which it may have grown since it
 *	first served; 0: no limit
 * @descriptors: the same of open descriptors
 * @on_iommu: what is done when the IOMMU has blocked an access of a device
 */
struct restart_policy {
	bool restart;
	unsigned int limit, within_s;
	unsigned int first_ms, most_ms;
	bool heartbeat_given;
	unsigned int heartbeat_ms, start_ms;
	unsigned int age_s, unsent_s;
	unsigned int storm;
	unsigned int on_storm, on_iommu;
	unsigned int descriptors;
	uint64_t memory, pinned;
};

enum restart_on_storm {
	STORM_MASK, /* its vectors are masked for a while, and its loop polls */
	STORM_RESTART,
};

enum restart_on_iommu {
	IOMMU_LOG,
	IOMMU_RESTART,
};

/* What `--restart` says of itself, for errors and --help. */
#define RESTART_HELP                                                                                       \
	"never, or on-failure[,limit=N][,within=SECONDS][,backoff=MS][,most=MS][,heartbeat=MS][,start=MS]" \
	"[,age=SECONDS][,storm=N][,on-storm=mask|restart][,iommu-fault=log|restart]"                       \
	"[,memory=SIZE][,pinned=SIZE][,descriptors=N]"

/** restart_get() - ob_spec_get_u64() for an unsigned int, which stays as it is where the key is not there */
int restart_get(struct ob_spec_part *part, const char *key, uint64_t min, uint64_t max,
		unsigned int *val, struct ob_error *err);

/** restart_parse() - from the command line's text */
int restart_parse(const char *text, struct restart_policy *policy, struct ob_error *err);

/** struct restart_history - the deaths so far; zeroed at first */
struct restart_history {
	uint64_t death_ms[RESTART_LIMIT_MAX + 1];
	unsigned int deaths;
	unsigned int unsettled; /* in a row */
};

/**
 * restart_after() - a process died
 * @now_ms: of any clock that does not go back
 * @served_ms: for how long it had served; 0: it never did
 *
 * Return: milliseconds until the next one is started; -1: there is none.
 */
int restart_after(const struct restart_policy *policy, struct restart_history *history,
		  uint64_t now_ms, uint64_t served_ms);

#endif
