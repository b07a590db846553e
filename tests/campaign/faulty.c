/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver with one fault at a time: loads the driver that the campaign (faults.c) names, gives it out as its own, and places in it, or in
 * the library or the device below it, the fault that lies in the seat: before the driver touches the device, or while it serves.
 *
 * A fault of code is placed as a breakpoint, one byte, which another thread can write while the code runs (Intel SDM 3, 9.1.3 asks for more where
 * more is changed). Who meets it is told, puts the wrong instruction there and goes on with it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <outboard/driver.h>

#include "access/fault.h"
#include "access/faultpoint.h"
#include "tests/campaign/seat.h"

enum {
	BREAKPOINT = 0xcc, /* Intel SDM 2, INT3 */
};

static struct seat *seat;
static const struct ob_driver *victim;
static uint8_t *base, *placed;
static uint32_t self; /* of the processes that loaded the driver */
static struct ob_device *device;

/* Filled when this object is loaded. */
struct ob_driver outboard_driver;

/* ---- a fault of code ---------------------------------------------------------------------------- */

static void at_breakpoint(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint8_t *at = placed;
	uint32_t state = SEAT_PLACED;

	if ((uint8_t *)uc->uc_mcontext.gregs[REG_RIP] != at + 1) {
		/* One of the fault's own: what it would do without us. */
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	if (atomic_compare_exchange_strong(&seat->state, &state, SEAT_REACHED))
		memcpy(at, seat->is, seat->size);
	else
		*at = seat->was[0]; /* it was withdrawn at this moment */
	uc->uc_mcontext.gregs[REG_RIP]--;
}

static int place_code(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const struct sigaction act = {.sa_sigaction = at_breakpoint, .sa_flags = SA_SIGINFO};
	uint8_t *at = base + seat->va;
	uintptr_t from = (uintptr_t)at & ~(page - 1);
	uintptr_t to = ((uintptr_t)at + seat->size + page - 1) & ~(page - 1);

	if (memcmp(at, seat->was, seat->size))
		return -EINVAL; /* not the object that the campaign looked at */
	if (mprotect((void *)from, to - from, PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    sigaction(SIGTRAP, &act, NULL))
		return -errno;
	placed = at;
	atomic_store(&seat->state, SEAT_PLACED);
	*(volatile uint8_t *)at = BREAKPOINT;
	return 0;
}

/* ---- any fault ---------------------------------------------------------------------------------- */

static void place(void)
{
	int ret = -EINVAL;

	atomic_store(&seat->holder, self);
	switch (seat->family) {
	case CODE:
		ret = place_code();
		break;
	case POINT:
		atomic_store(&seat->state, SEAT_PLACED);
		ret = ob_fault_points_arm(seat->points, NULL);
		break;
	case DEVICE:
		atomic_store(&seat->state, SEAT_PLACED);
		ret = ob_fault_device_once(device, (enum fault_kind)seat->kind, seat->at,
					   &seat->struck);
		break;
	}
	if (ret)
		atomic_store(&seat->state, SEAT_REFUSED);
}

static void withdraw(void)
{
	switch (seat->family) {
	case CODE:
		*(volatile uint8_t *)placed = seat->was[0];
		break;
	case POINT:
		ob_fault_points_arm(NULL, NULL);
		break;
	case DEVICE:
		ob_fault_device_once(device, (enum fault_kind)seat->kind, 0, &seat->struck);
		break;
	}
	atomic_store(&seat->state, SEAT_EMPTY);
}

/* Places and withdraws while others serve. */
static void *attend(void *arg)
{
	prctl(PR_SET_NAME, "faults");
	for (;;) {
		uint32_t word = atomic_load(&seat->word), state = atomic_load(&seat->state);

		if (state == SEAT_ASKED)
			place();
		else if (state == SEAT_WITHDRAWN)
			withdraw();
		atomic_store(&seat->done, word);
		syscall(SYS_futex, &seat->done, FUTEX_WAKE, 1, NULL, NULL, 0);
		syscall(SYS_futex, &seat->word, FUTEX_WAIT, word, NULL, NULL, 0);
	}
	return arg;
}

/* ---- the driver --------------------------------------------------------------------------------- */

static int probe(struct ob_binding *b, struct ob_error *err)
{
	pthread_t thread;
	int ret;

	device = b->dev;
	if (!b->config.timeout_ms)
		b->config.timeout_ms = seat->timeout_ms;
	if (pthread_create(&thread, NULL, attend, NULL))
		return ob_error_set(err, -EAGAIN, "faulty: no thread");
	pthread_detach(thread);
	if (atomic_load(&seat->state) == SEAT_PENDING)
		place();
	ret = victim->probe(b, err);
	atomic_store(&seat->probed_ns, ob_clock_ns());
	return ret;
}

static void __attribute__((constructor)) load(void)
{
	const char *path = getenv(SEAT_VARIABLE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	Dl_info info;
	void *object;

	if (fd < 0)
		return;
	seat = mmap(NULL, sizeof(*seat), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (seat == MAP_FAILED)
		return;
	object = dlopen(seat->victim, RTLD_NOW | RTLD_LOCAL);
	victim = object ? dlsym(object, "outboard_driver") : NULL;
	if (!victim || !dladdr(victim, &info)) {
		fprintf(stderr, "faulty: %s: %s\n", seat->victim, dlerror());
		return;
	}
	base = info.dli_fbase;
	outboard_driver = *victim;
	outboard_driver.probe = probe;
	atomic_store(&seat->loaded_ns, ob_clock_ns());
	self = atomic_fetch_add(&seat->processes, 1) + 1;
}
