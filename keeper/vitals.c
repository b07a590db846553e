/* SPDX-License-Identifier: BSD-2-Clause */
/* The keeper's side of keeper/vitals.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keeper/vitals.h"

#define NS_PER_S 1000000000ull

enum {
	/*
	 * A unit of work (a request, a frame) explains so many interrupts: its own, one that came while the loop was busy with it, and the same
	 * twice where a vector is shared by queues and passed on by a thread.
	 */
	IRQS_PER_WORK = 4,
};

int vitals_open(struct vitals *v, unsigned int n, struct ob_error *err)
{
	void *mem;

	memset(v, 0, sizeof(*v));
	v->order_fd = -1;
	mem = mmap(NULL, HEARTBEAT_LOOPS * sizeof(*v->unit), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return ob_error_set(err, -errno, "no memory to watch a driver process by");
	v->unit = mem;
	v->n = n < HEARTBEAT_LOOPS ? n : HEARTBEAT_LOOPS;
	v->order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->order_fd < 0)
		return ob_error_set(err, -errno, "no descriptor to watch a driver process by: %s",
				    strerror(errno));
	return 0;
}

void vitals_close(struct vitals *v)
{
	if (!v->unit)
		return;
	if (v->order_fd >= 0)
		close(v->order_fd);
	munmap(v->unit, HEARTBEAT_LOOPS * sizeof(*v->unit));
	v->unit = NULL;
}

void vitals_reset(struct vitals *v)
{
	uint64_t n;

	memset(v->unit, 0, HEARTBEAT_LOOPS * sizeof(*v->unit));
	memset(v->watch, 0, sizeof(v->watch));
	/* Non-blocking; its reader has died. */
	if (read(v->order_fd, &n, sizeof(n)) < 0)
		n = 0;
}

uint64_t vitals_storm(struct vitals *v, unsigned int i, uint64_t now_ns, uint64_t kernel_irqs,
		      unsigned int rate)
{
	const struct vitals_unit *u = &v->unit[i];
	struct vitals_watch *w = &v->watch[i];
	uint64_t irqs = __atomic_load_n(&u->irqs, __ATOMIC_RELAXED) +
			__atomic_load_n(&u->loop.irqs, __ATOMIC_RELAXED);
	uint64_t work = __atomic_load_n(&u->loop.work, __ATOMIC_RELAXED);
	uint64_t came = irqs - w->irqs, by_kernel = kernel_irqs - w->kernel_irqs, explained;
	uint64_t ns = now_ns - w->since_ns;
	bool first = !w->since_ns;

	if (!first && ns < VITALS_LOOK_MS / 2 * (NS_PER_S / 1000))
		return 0;
	/* A driver that does not read its interrupts does not stop them; what it says it read is believed only where it is more. */
	if (w->kernel_irqs && kernel_irqs > w->kernel_irqs && by_kernel > came)
		came = by_kernel;
	w->came_before = w->came;
	w->came = came;
	explained = (work - w->work) * IRQS_PER_WORK;
	w->irqs = irqs;
	w->work = work;
	w->kernel_irqs = kernel_irqs;
	w->since_ns = now_ns;
	if (first || came <= explained || came - explained < (uint64_t)rate * ns / NS_PER_S)
		return 0;
	return (came - explained) * NS_PER_S / ns;
}

unsigned int vitals_next_ms(const struct vitals *v)
{
	unsigned int ms = VITALS_IDLE_MS;

	for (unsigned int i = 0; i < v->n; i++) {
		const struct vitals_watch *w = &v->watch[i];
		unsigned int of_this = w->muted_ns || (w->came && w->came_before) ? VITALS_LOOK_MS
				       : w->came				  ? VITALS_SOON_MS
										  : VITALS_IDLE_MS;

		ms = of_this < ms ? of_this : ms;
	}
	return ms;
}

void vitals_mute(struct vitals *v, unsigned int i, bool on)
{
	const uint64_t one = 1;

	atomic_store(&v->unit[i].mute, on);
	/* Not written only when it is full, and then it is readable. */
	if (write(v->order_fd, &one, sizeof(one)) < 0)
		return;
}

uint64_t vitals_blocked(struct vitals *v, unsigned int i, char text[VITALS_TEXT])
{
	uint64_t blocked = atomic_load(&v->unit[i].blocked);
	uint64_t more = blocked - v->watch[i].blocked;

	v->watch[i].blocked = blocked;
	/* Written by a process that is not trusted, maybe just now: cut off, not believed to be ended. */
	snprintf(text, VITALS_TEXT, "%.*s", VITALS_TEXT - 1, v->unit[i].fault);
	return more;
}
