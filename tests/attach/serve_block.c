/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_block SPEC ATTACHMENT... [-- COMMAND...]: drive a device and attach its disks in turn, as the program
 * does, with nothing but the library.
 *
 * With a COMMAND it is run with $NAME (and $NAME1, ... for further attachments), and its exit code is ours.
 * Without, until SIGINT or SIGTERM. "ready NAME..." goes to standard output when all are there; the first
 * attachment's counters as one JSON line to $SERVE_STATS (a file) at the end. $SERVE_MODE: the loop's.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/serve.h"

enum {
	ATTACHMENTS = 8,
};

static void write_stats(struct ob_attach *at, struct ob_loop *loop, struct ob_block *blk)
{
	const char *path = getenv("SERVE_STATS");
	struct ob_block_stats bs;
	struct ob_attach_stats as;
	struct ob_loop_stats ls;
	FILE *f;

	if (!path || !(f = fopen(path, "w")))
		return;
	at->ops->stats(at, &as);
	ob_loop_stats(loop, &ls);
	ob_block_stats(blk, &bs);
	fprintf(f,
		"{\"in\": %" PRIu64 ", \"out\": %" PRIu64 ", \"bytes_in\": %" PRIu64
		", \"bytes_out\": %" PRIu64 ", \"kernel_copies\": %" PRIu64
		", \"own_copies\": %" PRIu64 ", \"syscalls\": %" PRIu64 ", \"errors\": %" PRIu64
		", \"dropped\": %" PRIu64 ", \"rounds\": %" PRIu64 ", \"idle_rounds\": %" PRIu64
		", \"sleeps\": %" PRIu64 ", \"irqs\": %" PRIu64 ", \"reads\": %" PRIu64
		", \"writes\": %" PRIu64 ", \"flushes\": %" PRIu64 ", \"discards\": %" PRIu64
		", \"zeroes\": %" PRIu64 ", \"bounced\": %" PRIu64 ", \"doorbells\": %" PRIu64
		", \"disk_errors\": %" PRIu64 ", \"cpu\": %.3f}\n",
		as.requests_in, as.requests_out, as.bytes_in, as.bytes_out, as.kernel_copies,
		as.own_copies, as.syscalls, as.errors, as.dropped, ls.rounds, ls.idle_rounds,
		ls.sleeps, ls.irqs, bs.reads, bs.writes, bs.flushes, bs.discards, bs.zeroes,
		bs.bounced, bs.doorbells, bs.errors, cpu_seconds());
	fclose(f);
}

int main(int argc, char **argv)
{
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	struct ob_attach *at[ATTACHMENTS] = {NULL};
	struct ob_device *dev = NULL;
	struct ob_binding *b = NULL;
	struct ob_loop *loop = NULL;
	struct ob_error err = {0};
	unsigned int n = 0, published = 0;
	char **command = NULL;
	pthread_t thread;
	sigset_t wait_for;
	int sig, code = 2;

	for (int i = 2; i < argc && !command; i++)
		if (!strcmp(argv[i], "--"))
			command = argv + i + 1;
	if (argc < 3 || (command && !*command)) {
		fprintf(stderr, "usage: %s SPEC ATTACHMENT... [-- COMMAND...]\n", argv[0]);
		return 2;
	}
	if (getenv("SERVE_MODE") && ob_mode_parse(getenv("SERVE_MODE"), &config.mode, &err))
		return fail("mode", &err);

	/* Blocked before any thread exists, so that all of them leave the signals to sigwait(). */
	sigemptyset(&wait_for);
	sigaddset(&wait_for, SIGINT);
	sigaddset(&wait_for, SIGTERM);
	sigprocmask(SIG_BLOCK, &wait_for, NULL);

	if (ob_device_open(argv[1], &dev, &err))
		return fail("open", &err);
	if (ob_driver_bind(dev, NULL, &config, &b, &err)) {
		fail("bind", &err);
		goto close_device;
	}
	if (ob_loop_create(config.mode, &loop)) {
		fprintf(stderr, "loop: no memory\n");
		goto unbind;
	}
	for (char **arg = argv + 2; *arg && strcmp(*arg, "--") && n < ATTACHMENTS; arg++, n++) {
		if (ob_attach_open(b, n, *arg, loop, &at[n], &err)) {
			fail("attach", &err);
			goto close_all;
		}
	}
	if (pthread_create(&thread, NULL, serve, loop)) {
		fprintf(stderr, "no thread\n");
		goto close_all;
	}
	for (; published < n; published++) {
		struct ob_attach_info info;
		char name[8] = "NAME";

		if (ob_attach_publish(at[published], &err)) {
			fail("publish", &err);
			goto stop;
		}
		at[published]->ops->info(at[published], &info);
		if (published)
			snprintf(name, sizeof(name), "NAME%u", published);
		setenv(name, info.name, 1);
		if (!command)
			printf("%s%s", published ? " " : "ready ", info.name);
	}
	if (command) {
		code = run_command(command, NULL, NULL);
	} else {
		printf("\n");
		fflush(stdout);
		sigwait(&wait_for, &sig);
		code = 0;
	}
stop:
	for (unsigned int i = 0; i < published; i++) {
		if (!ob_attach_unpublish(at[i], false, &err))
			continue;
		fail("unpublish", &err);
		code = code ? code : 3;
		ob_attach_unpublish(at[i], true, NULL);
	}
	ob_loop_stop(loop);
	pthread_join(thread, NULL);
	write_stats(at[0], loop, b->block[0]);
close_all:
	while (n-- > 0)
		ob_attach_close(at[n]);
	ob_loop_destroy(loop);
unbind:
	ob_driver_unbind(b);
close_device:
	ob_device_close(dev);
	return code;
}
