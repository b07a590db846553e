/* SPDX-License-Identifier: BSD-2-Clause */
/* What systemd is told of an instance that it started: that it is ready, how it fares, that it is alive. sd_notify(3). */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/keep.h"
#include "keeper/notify.h"

#define NS_PER_MS 1000000ull

enum {
	/* The kernel may have to write back what is dirty, and a driver to end: both waits of keep.c, and some. */
	STOPPING_US = 200000000,
};

void keep_manager_tell(const struct keeper *k)
{
	char cause[sizeof(k->cause)];

	/* A driver process had a say in it: it must not begin a line, which would be the keeper's word. */
	snprintf(cause, sizeof(cause), "%s", k->cause);
	for (char *p = cause; *p; p++)
		if (*p == '\n')
			*p = ' ';
	cli_clean(cause);
	switch (k->state) {
	case KEEP_SERVING:
		/* READY again is no mistake: a manager that has it takes the status. */
		notify("READY=1\nSTATUS=%s serves by driver process %d, number %u; %u died",
		       k->ins->name, k->pid, k->generation, k->deaths);
		break;
	case KEEP_STARTING:
		notify("STATUS=driver process %d of %s begins, number %u; %u died", k->pid,
		       k->ins->name, k->generation, k->deaths);
		break;
	case KEEP_WAITING:
	case KEEP_DOWN:
		notify("STATUS=%s has no driver process; %u died, the last one: %s", k->ins->name,
		       k->deaths, cause);
		break;
	}
}

/*
 * Said by the thread that looks after the driver process, after it has looked: while it says so, a driver process that hangs or dies is
 * dealt with. Whether that one serves is not systemd's to judge: it would kill the keeper for it.
 */
void keep_manager_look(struct keeper *k, int *timeout_ms)
{
	unsigned int every = notify_watchdog_ms();
	uint64_t now = ob_clock_ns();

	if (!every)
		return;
	if (now - k->alive_ns >= every * NS_PER_MS / 2) {
		notify("WATCHDOG=1");
		k->alive_ns = now;
	}
	if (*timeout_ms < 0 || *timeout_ms > (int)every / 2)
		*timeout_ms = (int)every / 2;
}

void keep_manager_stopping(const struct keeper *k)
{
	notify("STOPPING=1\nSTATUS=%s ends\nEXTEND_TIMEOUT_USEC=%d\nWATCHDOG_USEC=%d\nWATCHDOG=1",
	       k->ins->name, STOPPING_US, STOPPING_US);
}
