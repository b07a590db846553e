/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_net SPEC ATTACHMENT [-- COMMAND...]: drive a network device and attach it, as the program does,
 * with nothing but the library.
 *
 * With a COMMAND it is run in the interface's namespace with $IF, and its exit code is ours. Without, until
 * SIGINT or SIGTERM. "ready NAME PID-OF-QEMU" goes to standard output when the interface is there, counters as
 * one JSON line to $SERVE_STATS (a file) at the end. Environment: SERVE_MODE, SERVE_QUEUES, SERVE_LINK (a file
 * whose content "up" or "down" overrides what the device says of its link).
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#include "attach/tap.h"
#include "tests/serve.h"

static void write_stats(struct ob_attach *at, struct ob_loop *loop, struct ob_net *net)
{
	const char *path = getenv("SERVE_STATS");
	struct ob_attach_tap_stats ts;
	struct ob_net_stats ns = {0};
	struct ob_attach_stats as;
	struct ob_loop_stats ls;
	FILE *f;

	if (!path || !(f = fopen(path, "w")))
		return;
	at->ops->stats(at, &as);
	ob_attach_tap_stats(at, &ts);
	ob_loop_stats(loop, &ls);
	if (net->ops->stats)
		net->ops->stats(net, &ns);
	fprintf(f,
		"{\"in\": %" PRIu64 ", \"out\": %" PRIu64 ", \"bytes_in\": %" PRIu64
		", \"bytes_out\": %" PRIu64 ", \"kernel_copies\": %" PRIu64
		", \"own_copies\": %" PRIu64 ", \"syscalls\": %" PRIu64 ", \"errors\": %" PRIu64
		", \"dropped\": %" PRIu64 ", \"merged\": %" PRIu64 ", \"rounds\": %" PRIu64
		", \"idle_rounds\": %" PRIu64 ", \"sleeps\": %" PRIu64 ", \"irqs\": %" PRIu64
		", \"tx_packets\": %" PRIu64 ", \"rx_packets\": %" PRIu64
		", \"doorbells\": %" PRIu64 ", \"rx_missed\": %" PRIu64 ", \"cpu\": %.3f}\n",
		as.requests_in, as.requests_out, as.bytes_in, as.bytes_out, as.kernel_copies,
		as.own_copies, as.syscalls, as.errors, as.dropped, ts.merged, ls.rounds,
		ls.idle_rounds, ls.sleeps, ls.irqs, ns.tx_packets, ns.rx_packets, ns.doorbells,
		ns.rx_missed, cpu_seconds());
	fclose(f);
}

/* ---- a link that the test switches ------------------------------------------------------- */

static const struct ob_net_ops *device_ops;

static void switched_link(struct ob_net *net, struct ob_net_link *link)
{
	char text[8] = "";
	FILE *f = fopen(getenv("SERVE_LINK"), "r");

	device_ops->link(net, link);
	if (f && fgets(text, sizeof(text), f) && !strncmp(text, "down", 4))
		link->up = false;
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	static struct ob_net_ops ops;
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	struct ob_attach_info info;
	struct ob_device *dev = NULL;
	struct ob_binding *b = NULL;
	struct ob_attach *at = NULL;
	struct ob_loop *loop = NULL;
	struct ob_error err = {0};
	pthread_t thread;
	sigset_t wait_for;
	int ret, sig, code = 0;

	if (argc < 3 || (argc > 3 && (strcmp(argv[3], "--") || argc < 5))) {
		fprintf(stderr, "usage: %s SPEC ATTACHMENT [-- COMMAND...]\n", argv[0]);
		return 2;
	}
	if (getenv("SERVE_MODE") && ob_mode_parse(getenv("SERVE_MODE"), &config.mode, &err))
		return fail("mode", &err);
	if (getenv("SERVE_QUEUES"))
		config.queues = (unsigned int)atoi(getenv("SERVE_QUEUES"));

	/* Blocked before any thread exists, so that all of them leave the signals to sigwait(). */
	sigemptyset(&wait_for);
	sigaddset(&wait_for, SIGINT);
	sigaddset(&wait_for, SIGTERM);
	sigprocmask(SIG_BLOCK, &wait_for, NULL);

	ret = ob_device_open(argv[1], &dev, &err);
	if (ret)
		return fail("device", &err);
	ret = ob_driver_bind(dev, NULL, &config, &b, &err);
	if (ret) {
		code = fail("driver", &err);
		goto close_device;
	}
	if (getenv("SERVE_LINK")) {
		device_ops = b->net->ops;
		ops = *device_ops;
		ops.link = switched_link;
		b->net->ops = &ops;
	}
	if (ob_loop_create(config.mode, &loop)) {
		code = 2;
		goto unbind;
	}
	ret = ob_attach_open(b, 0, argv[2], loop, &at, &err);
	if (ret) {
		code = fail("attachment", &err);
		goto destroy_loop;
	}
	if (pthread_create(&thread, NULL, serve, loop)) {
		code = 2;
		goto close_attach;
	}
	ret = ob_attach_publish(at, &err);
	if (ret) {
		code = fail("publish", &err);
		goto stop;
	}
	at->ops->info(at, &info);
	setenv("IF", info.name, 1);
	printf("ready %s\n", info.name);
	fflush(stdout);
	if (argc > 3)
		code = run_command(argv + 4, ob_attach_tap_enter, at);
	else
		sigwait(&wait_for, &sig);
	ret = ob_attach_unpublish(at, true, &err);
	if (ret)
		code = fail("unpublish", &err);
stop:
	ob_loop_stop(loop);
	pthread_join(thread, NULL);
	write_stats(at, loop, b->net);
close_attach:
	ob_attach_close(at);
destroy_loop:
	ob_loop_destroy(loop);
unbind:
	ob_driver_unbind(b);
close_device:
	ob_device_close(dev);
	return code;
}
