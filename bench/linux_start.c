/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-linux_start [--driver NAME] [--spec SPEC] [--idle SECONDS] [--json FILE|-]: what a Linux driver in a process costs before its first packet or
 * request, and while nothing happens: load, boot, probe, start, link, resident memory, and the processor's time of an idle interface.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "bench/program.h"

enum {
	TICK_MS = 100, /* as class/loop calls a driver */
	LINK_MS = 60000,
};

static const char *driver_name = "linux:e1000e", *spec = "qemu:e1000e,netdev=user", *json;
static unsigned int idle_seconds = 10;

static void usage(FILE *f)
{
	fprintf(f, "usage: outboard-bench-linux_start [options]\n"
		   "  --driver NAME   linux:e1000e\n"
		   "  --spec SPEC     qemu:e1000e,netdev=user\n"
		   "  --idle SECONDS  how long nothing is done (10)\n"
		   "  --json FILE     also write the figures as JSON (-: instead of the table)\n");
}

/* ---- what is measured --------------------------------------------------------------- */

struct moment {
	uint64_t ns;
	double cpu_ms;
};

static struct moment now(void)
{
	struct moment m = {.ns = ob_clock_ns()};
	struct rusage u;

	if (!getrusage(RUSAGE_SELF, &u))
		m.cpu_ms = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
			   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
	return m;
}

static double ms(struct moment from, struct moment to)
{
	return (double)(to.ns - from.ns) / 1e6;
}

/* VmRSS of /proc/self/status, in MiB. */
static double resident(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[200];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (double)kib / 1024;
}

static double boot_ms;

static void keep_boot(void *arg, enum ob_log_level level, const char *line)
{
	const char *at = strstr(line, "is up after ");

	if (at)
		sscanf(at, "is up after %lf ms", &boot_ms);
	if (level <= OB_LOG_ERROR)
		fprintf(stderr, "%s\n", line);
}

/* ---- the steps ------------------------------------------------------------------------ */

static bool sleeps(struct ob_binding *b, int timeout)
{
	struct pollfd pfd = {.events = POLLIN};
	bool ready;

	if (b->net) {
		pfd.fd = b->net->irq_fd[0];
		ready = b->net->ops->irq_arm(b->net, 0, true);
	} else {
		pfd.fd = b->block[0]->irq_fd[0];
		ready = b->block[0]->ops->irq_arm(b->block[0], 0, true);
	}
	return ready || poll(&pfd, 1, timeout) == 1;
}

/* As class/loop does it: look, sleep, and a tick. */
static void serve(struct ob_binding *b, uint64_t until, bool until_link)
{
	uint64_t tick = 0, time;

	while ((time = ob_clock_ns()) < until) {
		if (b->net) {
			struct ob_pkt *pkts[32];
			struct ob_net_link link = {0};
			unsigned int n = ob_net_rx_burst(b->net, 0, pkts, 32);

			while (n)
				ob_pkt_free(pkts[--n]);
			b->net->ops->link(b->net, &link);
			if (until_link && link.up)
				return;
		} else {
			struct ob_block_req *reqs[32];

			ob_block_complete(b->block[0], 0, reqs, 32);
		}
		if (time - tick > TICK_MS * 1000000ull) {
			tick = time;
			if (b->net)
				b->net->ops->tick(b->net, time);
			else
				b->block[0]->ops->tick(b->block[0], time);
		}
		sleeps(b, TICK_MS);
	}
}

struct figures {
	double open, load, bind, bind_cpu, start, link, resident, idle;
};

static int measure(struct figures *f)
{
	const struct ob_driver *driver;
	struct ob_error err = {0};
	struct moment a, b;
	struct ob_binding *bound;
	struct ob_device *dev;

	a = now();
	if (ob_driver_load(driver_name, &driver, &err))
		return complain(&err);
	b = now();
	f->load = ms(a, b);
	if (ob_device_open(spec, &dev, &err))
		return complain(&err);
	ob_device_set_log(dev, keep_boot, NULL);
	a = now();
	f->open = ms(b, a);
	if (ob_driver_bind(dev, driver, NULL, &bound, &err)) {
		ob_device_close(dev);
		return complain(&err);
	}
	b = now();
	f->bind = ms(a, b);
	f->bind_cpu = b.cpu_ms - a.cpu_ms;
	if (bound->net ? ob_net_start(bound->net, &err) : ob_block_start(bound->block[0], &err)) {
		ob_driver_unbind(bound);
		ob_device_close(dev);
		return complain(&err);
	}
	a = now();
	f->start = ms(b, a);
	if (bound->net)
		serve(bound, a.ns + LINK_MS * 1000000ull, true);
	f->link = ms(a, now());
	f->resident = resident();
	/* What comes up at first (watchdogs, link) is not idling. */
	serve(bound, ob_clock_ns() + 3000000000ull, false);
	a = now();
	serve(bound, a.ns + idle_seconds * 1000000000ull, false);
	b = now();
	f->idle = idle_seconds ? (b.cpu_ms - a.cpu_ms) / ms(a, b) * 100 : 0;
	ob_driver_unbind(bound);
	ob_device_close(dev);
	return 0;
}

int main(int argc, char **argv)
{
	const struct argument arguments[] = {
		{"driver", ARGUMENT_TEXT, &driver_name},
		{"spec", ARGUMENT_TEXT, &spec},
		{"idle", ARGUMENT_NUMBER, &idle_seconds},
		{"json", ARGUMENT_TEXT, &json},
		{0},
	};
	int ret = read_arguments(argc, argv, arguments, usage);
	struct figures f = {0};
	FILE *out;

	if (ret >= 0)
		return ret;
	ret = measure(&f);
	if (ret)
		return ret;
	if (wants_table(json))
		printf("%s on %s\n"
		       "load %.1f ms, open the device %.1f ms, bind %.1f ms (boot %.1f ms; %.1f ms of the processor's)\n"
		       "start %.1f ms, link after %.1f ms more\n"
		       "resident %.1f MiB; idle for %u s: %.2f %% of a processor\n",
		       driver_name, spec, f.load, f.open, f.bind, boot_ms, f.bind_cpu, f.start,
		       f.link, f.resident, idle_seconds, f.idle);
	if (!json)
		return 0;
	out = open_json(json);
	if (!out)
		return 1;
	fprintf(out,
		"{\"bench\":\"linux_start\",\"driver\":\"%s\",\"device\":\"%s\",\"load_ms\":%.2f,\"open_ms\":%.1f,"
		"\"bind_ms\":%.1f,\"bind_cpu_ms\":%.1f,\"boot_ms\":%.2f,\"start_ms\":%.1f,\"link_ms\":%.1f,"
		"\"resident_mib\":%.1f,\"idle_percent\":%.3f}\n",
		driver_name, spec, f.load, f.open, f.bind, f.bind_cpu, boot_ms, f.start, f.link,
		f.resident, f.idle);
	return close_json(out, json);
}
