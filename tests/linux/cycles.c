/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cycles DRIVER SPEC [CYCLES [COUNT]]: a Linux driver is bound, brought up, given COUNT frames or requests of traffic, taken down and removed again and
 * again in one process, each time in a kernel that boots anew. Nothing may be left of it: descriptors, mappings, threads, memory of the C library's or
 * of the arena. Then one kernel per process, and what it says of another. "netdev=echo" in SPEC is a cable whose other end sends everything back.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "tests/linux/traffic.h"

enum {
	/* A driver that gives up on its link would have said so long before, on a busy machine, too. */
	LINK_MS = 60000,
	STALL_MS = 60000,
};

static int nr;
static bool failed;

static void tell(bool ok, const char *name, const char *why)
{
	if (!ok && *why)
		printf("# %s\n", why);
	printf("%sok %d - %s\n", ok ? "" : "not ", ++nr, name);
	failed |= !ok;
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static unsigned int count_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned int n = 0;
	int c;

	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

struct what {
	unsigned int fds, maps, threads;
	size_t heap;
	struct ob_dma_stats dma;
};

static void count(struct ob_device *dev, struct what *w)
{
	DIR *d = opendir("/proc/self/task");

	w->fds = count_fds();
	w->maps = count_lines("/proc/self/maps");
	w->threads = 0;
	while (d && readdir(d))
		w->threads++;
	if (d)
		closedir(d);
	w->heap = mallinfo2().uordblks;
	ob_dma_stats(ob_device_dma(dev), &w->dma);
}

/* Brief: what arrives meanwhile partly stays in the pool, with the kernel's buffers. */
static void receive_a_little(struct ob_net *net)
{
	struct ob_pkt *pkts[16];

	for (int i = 0; i < 100; i++) {
		unsigned int n = ob_net_rx_burst(net, 0, pkts, 16);

		while (n)
			ob_pkt_free(pkts[--n]);
	}
}

static int move(struct ob_binding *b, struct traffic *t, unsigned int count, struct ob_error *err)
{
	int ret;

	ret = b->net ? ob_net_start(b->net, err) : ob_block_start(b->block[0], err);
	if (ret)
		return ret;
	if (b->net && !count) {
		receive_a_little(b->net);
	} else if (b->net) {
		ret = wait_link(b->net, LINK_MS);
		if (!ret)
			ret = net_traffic(b->net, t, count, 0, STALL_MS);
	} else {
		ret = block_traffic(b->block[0], t, count, 0, STALL_MS);
	}
	if (b->net)
		ob_net_stop(b->net);
	else
		ob_block_stop(b->block[0]);
	return ret ? ob_error_set(err, ret, "traffic: %s", strerror(-ret)) : 0;
}

static int cycle(struct ob_device *dev, const struct ob_driver *driver, struct traffic *t,
		 unsigned int count, struct ob_error *err)
{
	struct ob_binding *b;
	int ret = ob_driver_bind(dev, driver, NULL, &b, err);

	if (ret)
		return ret;
	ret = move(b, t, count, err);
	ob_driver_unbind(b);
	return ret;
}

/**
 * struct place - what the device is given by the test
 * @spec, @second: its specification, and that of a second one
 */
struct place {
	struct echo cable;
	char spec[256], second[256];
};

/* @word in @text becomes @with */
static void put(char *to, const char *text, const char *word, const char *with)
{
	const char *at = strstr(text, word);

	if (at)
		snprintf(to, 256, "%.*s%s%s", (int)(at - text), text, with, at + strlen(word));
	else
		snprintf(to, 256, "%s", text);
}

/* A second device cannot have the same cable. */
static int find_place(struct place *p, const char *text)
{
	char with[64];
	int ret;

	if (!strstr(text, "netdev=echo")) {
		put(p->spec, text, "", "");
		put(p->second, text, "", "");
		return 0;
	}
	ret = echo_start(&p->cable);
	snprintf(with, sizeof(with), "netdev=fd:%d", p->cable.fd);
	put(p->spec, text, "netdev=echo", with);
	put(p->second, text, "netdev=echo", "netdev=none");
	return ret;
}

/* What a thread keeps for itself of what it freed the C library counts as used. */
static void without_caches(char **argv)
{
	static const char name[] = "GLIBC_TUNABLES";

	if (!getenv(name) && !setenv(name, "glibc.malloc.tcache_count=0", 1))
		execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	unsigned int cycles = argc > 3 ? (unsigned int)atoi(argv[3]) : 20;
	unsigned int traffic = argc > 4 ? (unsigned int)atoi(argv[4]) : 0;
	struct traffic t = {.seed = 1};
	struct place place = {0};
	struct ob_device *dev, *second;
	const struct ob_driver *driver;
	struct ob_binding *b, *b2;
	struct ob_error err = {0};
	struct what before, after;
	char text[256], why[1200];
	unsigned int i;
	int ret;

	if (argc < 3)
		return 2;
	without_caches(argv);
	ret = ob_driver_load(argv[1], &driver, &err);
	if (ret) {
		printf("1..0 # SKIP %s: %s\n", err.what, err.fix);
		return ret != -ENOENT;
	}
	if (find_place(&place, argv[2]))
		return 1;
	if (ob_device_open(place.spec, &dev, &err)) {
		printf("1..0 # SKIP %s\n", ob_error_text(&err, why, sizeof(why)));
		return 0;
	}
	/* The first time the C library and the loader take what they keep. */
	ret = cycle(dev, driver, &t, traffic, &err);
	tell(!ret, "bound, up, down, removed", ret ? ob_error_text(&err, why, sizeof(why)) : "");
	count(dev, &before);
	for (i = 0; i < cycles && !ret; i++)
		ret = cycle(dev, driver, &t, traffic, &err);
	snprintf(text, sizeof(text), "%u times more", cycles);
	tell(!ret, text, ret ? ob_error_text(&err, why, sizeof(why)) : "");
	count(dev, &after);
	if (traffic) {
		snprintf(why, sizeof(why),
			 "%" PRIu64 " sent, %" PRIu64 " back, %" PRIu64 " wrong, %" PRIu64 " lost",
			 t.sent, t.back, t.wrong, t.lost);
		printf("# %s\n", why);
		tell(!t.wrong && t.back >= (uint64_t)traffic * (cycles + 1),
		     "traffic each time, and what came back is what was sent", why);
	}
	snprintf(why, sizeof(why), "descriptors %u %u, mappings %u %u, threads %u %u, heap %zu %zu",
		 before.fds, after.fds, before.maps, after.maps, before.threads, after.threads,
		 before.heap, after.heap);
	printf("# %s\n", why);
	tell(after.fds == before.fds, "no descriptor is left", why);
	tell(after.threads == before.threads, "no thread is left", why);
	/* The C library's heap comes and goes by one. */
	tell(after.maps <= before.maps + 1, "no mapping is left", why);
	tell(after.heap == before.heap, "no memory of the C library's is left", why);
	tell(!after.dma.allocated && !after.dma.mapped, "nothing of the arena is left", "");

	ret = ob_device_open(place.second, &second, &err);
	if (!ret) {
		ret = ob_driver_bind(dev, driver, NULL, &b, &err);
		tell(!ret, "bound once more", ret ? ob_error_text(&err, why, sizeof(why)) : "");
		if (!ret) {
			ret = ob_driver_bind(second, driver, NULL, &b2, &err);
			tell(ret == -EBUSY && strstr(err.fix, "process"),
			     "a second device in the process is refused",
			     ob_error_text(&err, why, sizeof(why)));
			ob_driver_unbind(b);
		}
		ret = cycle(second, driver, &t, 0, &err);
		tell(!ret, "the second device, when the first was given back",
		     ret ? ob_error_text(&err, why, sizeof(why)) : "");
		ob_device_close(second);
	}
	ob_device_close(dev);
	if (place.cable.own)
		echo_stop(&place.cable);
	printf("1..%d\n", nr);
	return failed;
}
