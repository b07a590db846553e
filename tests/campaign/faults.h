/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the fault campaign: faults.c chooses and places faults, a client uses the device and judges. */
#ifndef CAMPAIGN_FAULTS_H
#define CAMPAIGN_FAULTS_H

#include <sys/types.h>

#include "access/fault.h"
#include "access/faultpoint.h"
#include "tests/campaign/client.h"
#include "tests/campaign/mutations.h"
#include "tests/campaign/seat.h"

/* What told of it first. */
enum detected {
	BY_NOTHING,
	BY_EXIT,
	BY_SIGNAL,
	BY_HEARTBEAT, /* a loop that does not go round */
	BY_START,     /* the time that a start may take */
	BY_ERROR,     /* the driver's or the library's own error */
	BY_AGE,	      /* of a request */
	BY_IOMMU,
	BY_DATA, /* --verify: data are not what was written */
};

/**
 * struct outcome - what came of a fault
 * @struck: a fault point said so
 * @by: what ended the driver process
 * @errors: requests that failed, as the client saw it
 * @late: the client waited for longer than it is willing to, whether or not somebody has noticed by then, or does soon
 * @wrong: blocks (or datagrams) that were read by the process with the fault, and were not what had been written
 * @lost: blocks that its successor read, and which are not
 */
struct outcome {
	bool injected, reached, struck;
	enum detected by;
	unsigned int errors, wrong, lost;
	bool late;
};

struct fault {
	uint64_t number;
	enum family family;
	const char *class_;
	bool at_load; /* before the driver touches the device */
	struct mutation mutation;
	char points[192];
	unsigned int kind;
	uint64_t at;
};

/**
 * struct client - uses one kind of device
 * @driver: its name
 * @model: QEMU's
 * @start_ms: longer than a start without a fault takes on a busy machine
 * @age_s: of --restart; 0: the default. Its frames are sent in time without a fault
 * @disk: it has an image, and is attached by NBD; else by a tap
 */
struct client {
	const char *driver, *model;
	unsigned int start_ms, age_s;
	bool disk;
	/** @prepare: optional: what it needs outside of the instances of a shard; @options of the device that follow of it */
	bool (*prepare)(char *options, size_t size);
	/** @begin: the instance is there */
	bool (*begin)(void);
	/** @work: use the device in all ways, for o.patience_ms at most */
	void (*work)(struct outcome *out);
	/** @check: by a process without a fault. Return: false when it cannot be used any more */
	bool (*check)(struct outcome *out);
};

extern const struct client disk_nvme, disk_ide, net_e1000;

extern struct campaign {
	uint64_t seed, count, until_ns;
	unsigned int shards, shard, patience_ms;
	unsigned int spoil; /* a control: of so many datagrams one comes back wrong */
	bool verify;
	const char *outboard, *faulty, *victim, *dir, *device, *only, *json, *git, *policy;
	char kernel[160];
	const struct client *client;
	pid_t keeper;
} o;

#endif
