/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last words of a process whose kernel or driver does what a processor refuses: whose driver, which function, which address; after that the
 * signal does what it did before. Only where nobody else has a handler: a debugger's or a sanitizer's says more.
 */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "kit/host.h"

enum {
	CALLERS = 24,
};

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static struct kit *crash_kit;
static bool taken[SIGNALS];

static bool in_object(const struct kit *k, unsigned long pc)
{
	return pc - k->mem.base < k->mem.image;
}

static const char *what_is(const struct kit *k, int sig, unsigned long at, unsigned long pc)
{
	if (sig == SIGILL)
		return "an end that should not be reached (BUG)";
	if (sig == SIGFPE)
		return "a division that has no result";
	if (at == pc)
		return "a call of what is no function";
	/* A page, as everywhere where null pointers are to be found. */
	if (at < 4096)
		return "a null pointer";
	if (at - k->mem.window < 1ull << 32)
		return "a register of the device's that is used like memory, without readl() or writel()";
	return "an address where nothing is";
}

static void crashed(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	unsigned long at = (unsigned long)info->si_addr, pc[CALLERS];
	struct kit *k = crash_kit;
	unsigned int n;

	kit_crash_stop();
	if (!k)
		return;
	/* One further, as return addresses are. */
	pc[0] = (unsigned long)uc->uc_mcontext.gregs[REG_RIP] + 1;
	n = 1 + outboard_kernel.callers((const void *)uc->uc_mcontext.gregs[REG_RSP], pc + 1,
					CALLERS - 1);
	if (!in_object(k, pc[0]) && (n < 2 || at != pc[0] - 1))
		return;
	ob_device_log(k->dev, OB_LOG_ERROR, "%s: the kernel ends: %s (%s, address 0x%lx)",
		      outboard_driver.name, what_is(k, sig, at, pc[0] - 1), strsignal(sig), at);
	kit_log_callers(k, pc, n);
}

void kit_crash_start(struct kit *k)
{
	struct sigaction ours = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO}, old;

	crash_kit = k;
	for (unsigned int i = 0; i < SIGNALS; i++) {
		if (sigaction(signals[i], NULL, &old) || (old.sa_flags & SA_SIGINFO) ||
		    old.sa_handler != SIG_DFL)
			continue;
		taken[i] = !sigaction(signals[i], &ours, NULL);
	}
}

void kit_crash_stop(void)
{
	for (unsigned int i = 0; i < SIGNALS; i++) {
		if (taken[i])
			signal(signals[i], SIG_DFL);
		taken[i] = false;
	}
	crash_kit = NULL;
}
