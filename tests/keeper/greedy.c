/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nvme driver, which takes of one thing as much as there is where a fault point says so (exhaustion.sh): of memory and descriptors a
 * moment after it began to serve, or while it is bound; of threads while it is bound.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <outboard/driver.h>

#include "access/faultpoint.h"

enum {
	PIECE = 1 << 20,
	SERVES_US = 400000,
	THREADS_MOST = 4096, /* where there is no limit, as with --sandbox off */
};

/* The driver's name within this object. */
extern const struct ob_driver ob_driver_greedy;
struct ob_driver outboard_driver;

static void take_memory(void)
{
	for (;;) {
		char *p = malloc(PIECE);

		if (!p)
			return;
		memset(p, 1, PIECE);
	}
}

/* Of this there is no limit but the cgroup's (tests/rig/keeper_memory.sh). */
static void take_shared(void)
{
	for (;;) {
		char *p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			return;
		memset(p, 1, PIECE);
	}
}

static void take_descriptors(void)
{
	while (dup(STDERR_FILENO) >= 0)
		continue;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		usleep(SERVES_US);
	return arg;
}

static void take_threads(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (unsigned int i = 0; i < THREADS_MOST; i++)
		if (pthread_create(&thread, &attr, wait_for_ever, NULL))
			break;
	pthread_attr_destroy(&attr);
}

static void *be_greedy_later(void *arg)
{
	usleep(SERVES_US);
	if (OB_FAULT_ERROR("greedy.memory"))
		take_memory();
	if (OB_FAULT_ERROR("greedy.shared"))
		take_shared();
	if (OB_FAULT_ERROR("greedy.descriptors"))
		take_descriptors();
	return arg;
}

static int greedy_probe(struct ob_binding *b, struct ob_error *err)
{
	pthread_t thread;

	if (OB_FAULT_ERROR("greedy.early-memory"))
		take_memory();
	if (OB_FAULT_ERROR("greedy.early-descriptors"))
		take_descriptors();
	if (OB_FAULT_ERROR("greedy.early-threads"))
		take_threads();
	else if (pthread_create(&thread, NULL, be_greedy_later, NULL))
		return ob_error_set(err, -EAGAIN, "greedy: no thread");
	return ob_driver_greedy.probe(b, err);
}

static void __attribute__((constructor)) load(void)
{
	outboard_driver = ob_driver_greedy;
	outboard_driver.probe = greedy_probe;
}
