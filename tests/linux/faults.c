/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * faults SECONDS DRIVER SPEC [DRIVER SPEC]...: Linux drivers, each in a process of its own and all at the same time, move data while their devices lose
 * interrupts, send some without a cause, or too many of them: SPEC begins with fault[...]. The kernel's own watchdogs get a driver going again; where
 * they do not look (a receive interrupt that is lost), the interface is set down and up, as its owner would. Nothing may come back changed, and
 * nothing may stand still for good. DRIVER may be followed by + and parameters, as OUTBOARD_LINUX_ARGS has them. "netdev=echo" and "file=own" in SPEC are a cable that sends everything back, and a file.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "tests/linux/traffic.h"

enum {
	PROCESSES = 4,
	LINK_MS = 120000,
	/* A transmitter's watchdog wants 5 s, a disk's time-out was set to less: beyond that the owner acts. */
	STALL_MS = 15000,
	/* So often in a row without anything coming back is what we call a hang. */
	TRIES = 5,
};

/**
 * struct result - what a process says of itself, through shared memory
 * @why: of a failure
 * @faults: what the wrapper said it did
 */
struct result {
	struct traffic t;
	unsigned int restarts;
	int ret;
	char why[256], faults[256];
	bool skipped;
};

static int nr;
static bool failed;

static void tell(bool ok, const char *driver, const char *name, const char *why)
{
	if (!ok && *why)
		printf("# %s\n", why);
	printf("%sok %d - %s: %s\n", ok ? "" : "not ", ++nr, driver, name);
	failed |= !ok;
}

static void keep_faults(void *arg, enum ob_log_level level, const char *line)
{
	static const char words[] = "faults injected: ";
	const char *at = strstr(line, words);
	struct result *r = arg;

	if (at)
		snprintf(r->faults, sizeof(r->faults), "%s", at + strlen(words));
	else if (level <= OB_LOG_ERROR)
		fprintf(stderr, "%s\n", line);
}

/* ---- one process -------------------------------------------------------------------------------- */

static int net_once(struct ob_net *net, struct traffic *t, uint64_t ms, struct ob_error *err)
{
	int ret = ob_net_start(net, err);

	if (ret)
		return ret;
	ret = wait_link(net, LINK_MS);
	if (!ret)
		ret = net_traffic(net, t, UINT64_MAX, ms, STALL_MS);
	else
		ob_net_stop(net);
	return ret;
}

static int block_once(struct ob_block *blk, struct traffic *t, uint64_t ms, struct ob_error *err)
{
	int ret = ob_block_start(blk, err);

	return ret ? ret : block_traffic(blk, t, UINT64_MAX, ms, STALL_MS);
}

static int run(struct ob_binding *b, struct result *r, unsigned int seconds, struct ob_error *err)
{
	uint64_t end = ob_clock_ms() + seconds * 1000ull, now;
	unsigned int tries = 0;
	int ret = 0;

	while ((now = ob_clock_ms()) < end) {
		uint64_t before = r->t.back;

		ret = b->net ? net_once(b->net, &r->t, end - now, err)
			     : block_once(b->block[0], &r->t, end - now, err);
		if (ret && ret != -ETIMEDOUT)
			return ret;
		tries = r->t.back == before ? tries + 1 : 0;
		if (tries == TRIES)
			return ob_error_set(err, -ETIMEDOUT, "it hangs, down and up do not help");
		r->restarts += ret != 0;
	}
	return 0;
}

/* @word in @text becomes @with */
static void put(char *to, size_t size, const char *text, const char *word, const char *with)
{
	const char *at = strstr(text, word);

	if (at)
		snprintf(to, size, "%.*s%s%s", (int)(at - text), text, with, at + strlen(word));
	else
		snprintf(to, size, "%s", text);
}

static int process(const char *name, const char *text, unsigned int seconds, struct result *r)
{
	char spec[512], with[64], driver_name[64], image[] = "/tmp/outboard-faults-XXXXXX";
	bool cable = strstr(text, "netdev=echo"), file = strstr(text, "file=own");
	const struct ob_driver *driver;
	struct ob_error err = {0};
	struct echo echo = {0};
	struct ob_binding *b;
	struct ob_device *dev;
	const char *args = strchr(name, '+');
	int ret, fd;

	snprintf(driver_name, sizeof(driver_name), "%.*s", (int)strcspn(name, "+"), name);
	if (args && setenv("OUTBOARD_LINUX_ARGS", args + 1, 1))
		return -errno;
	snprintf(spec, sizeof(spec), "%s", text);
	if (cable) {
		ret = echo_start(&echo);
		if (ret)
			return ret;
		snprintf(with, sizeof(with), "netdev=fd:%d", echo.fd);
		put(spec, sizeof(spec), text, "netdev=echo", with);
	}
	if (file) {
		fd = mkstemp(image);
		if (fd < 0 || ftruncate(fd, 16 << 20))
			return -errno;
		close(fd);
		snprintf(with, sizeof(with), "file=%s", image);
		put(spec, sizeof(spec), text, "file=own", with);
	}
	ret = ob_driver_load(driver_name, &driver, &err);
	if (ret) {
		r->skipped = ret == -ENOENT;
		goto out;
	}
	ret = ob_device_open(spec, &dev, &err);
	if (ret)
		goto out;
	ob_device_set_log(dev, keep_faults, r);
	ret = ob_driver_bind(dev, driver, NULL, &b, &err);
	if (!ret) {
		ret = run(b, r, seconds, &err);
		ob_driver_unbind(b);
	}
	ob_device_close(dev);
out:
	if (ret)
		snprintf(r->why, sizeof(r->why), "%.250s", err.code ? err.what : strerror(-ret));
	if (cable)
		echo_stop(&echo);
	if (file)
		unlink(image);
	r->ret = ret;
	return 0;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static void judge(const char *name, const char *spec, const struct result *r, int status)
{
	char text[700];

	snprintf(text, sizeof(text),
		 "%" PRIu64 " back, %" PRIu64 " lost, %" PRIu64 " wrong, at most %" PRIu64
		 " ms without any, set down and up %u times; %.250s",
		 r->t.back, r->t.lost, r->t.wrong, r->t.longest_ms, r->restarts, r->faults);
	printf("# %s: %s\n", name, text);
	tell(WIFEXITED(status) && !WEXITSTATUS(status), name, "the process lives", text);
	tell(!r->ret, name, "it goes on to the end", r->why);
	tell(r->t.back > 100, name, "data come back", text);
	tell(!r->t.wrong, name, "as they were sent", text);
	if (strstr(spec, "irq="))
		tell(strstr(r->faults, "interrupts dropped"), name, "although interrupts were lost",
		     text);
	if (strstr(spec, "spurious=") || strstr(spec, "storm="))
		tell(strstr(r->faults, "spurious interrupts"), name,
		     "although others came without a cause", text);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? (unsigned int)atoi(argv[1]) : 0, n = 0;
	struct result *r;
	pid_t pid[PROCESSES];

	if (argc < 4 || argc % 2 || argc > 2 + 2 * PROCESSES || !seconds)
		return 2;
	r = mmap(NULL, PROCESSES * sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		 -1, 0);
	if (r == MAP_FAILED)
		return 1;
	for (int i = 2; i < argc; i += 2, n++) {
		r[n].t.seed = n + 1;
		pid[n] = fork();
		if (!pid[n]) {
			/* The kernel's drivers are loaded by this process alone. */
			exit(process(argv[i], argv[i + 1], seconds, &r[n]) ? 1 : 0);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		int status = -1;

		if (pid[i] > 0)
			waitpid(pid[i], &status, 0);
		if (r[i].skipped)
			printf("ok %d - %s # SKIP %s\n", ++nr, argv[2 + 2 * i], r[i].why);
		else
			judge(argv[2 + 2 * i], argv[3 + 2 * i], &r[i], status);
	}
	printf("1..%d\n", nr);
	return failed;
}
