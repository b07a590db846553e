/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that watch a device, now or later: access/threads.h. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>

#include "access/threads.h"

enum {
	WAITING = 64, /* devices of one process, with a wrapper each */
};

static struct {
	pthread_t *thread;
	void *(*fn)(void *arg);
	void *arg;
} waiting[WAITING];
static unsigned int nr_waiting;
static bool held;

static int start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = -pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int ob_thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	if (!held)
		return start(thread, fn, arg);
	if (nr_waiting == WAITING)
		return -EAGAIN;
	waiting[nr_waiting].thread = thread;
	waiting[nr_waiting].fn = fn;
	waiting[nr_waiting++].arg = arg;
	return 0;
}

void ob_threads_hold(void)
{
	held = true;
}

int ob_threads_go(void)
{
	int ret = 0;

	held = false;
	for (unsigned int i = 0; i < nr_waiting && !ret; i++)
		ret = start(waiting[i].thread, waiting[i].fn, waiting[i].arg);
	nr_waiting = 0;
	return ret;
}
