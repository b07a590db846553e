/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time for a driver that waits for jiffies without looking at anything else, as the loopback tests of Intel's cards do: a processor's timer would
 * interrupt it, and nothing interrupts us. So a thread looks while the kernel is in a call: when for 10 ms nothing was polled for, it
 * moves the kernel's clock of ticks, and nothing else; the kernel sets it right when it looks at the time again.
 */
#include <errno.h>
#include <time.h>

#include "kit/host.h"

enum {
	PERIOD_MS = 10,
};

static void *pace(void *arg)
{
	const struct timespec period = {.tv_nsec = PERIOD_MS * 1000000};
	struct kit_pacer *p = arg;
	unsigned long looks;

	pthread_mutex_lock(&p->lock);
	while (!p->end) {
		if (!p->busy) {
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		looks = outboard_kernel.looks();
		pthread_mutex_unlock(&p->lock);
		nanosleep(&period, NULL);
		pthread_mutex_lock(&p->lock);
		if (p->busy && !__atomic_load_n(&p->asleep, __ATOMIC_RELAXED) &&
		    looks == outboard_kernel.looks())
			outboard_kernel.lend_ms(PERIOD_MS);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int kit_pacer_start(struct kit_pacer *p)
{
	int ret;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->busy = p->end = false;
	ret = pthread_create(&p->thread, NULL, pace, p);
	if (!ret)
		return 0;
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	return -ret;
}

void kit_pacer_stop(struct kit_pacer *p)
{
	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
}

void kit_pacer_busy(struct kit_pacer *p, bool busy)
{
	pthread_mutex_lock(&p->lock);
	p->busy = busy;
	if (busy)
		pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}
