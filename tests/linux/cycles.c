/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cycles DRIVER SPEC [CYCLES]: a Linux driver is bound, brought up, taken down and removed again and again in one process, each time in a kernel that
 * boots anew. Nothing may be left of it: descriptors, mappings, memory of the arena. Then one kernel per process, and what it says of another.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

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
	ob_dma_stats(ob_device_dma(dev), &w->dma);
}

static int cycle(struct ob_device *dev, const struct ob_driver *driver, struct ob_error *err)
{
	struct ob_binding *b;
	int ret = ob_driver_bind(dev, driver, NULL, &b, err);

	if (ret)
		return ret;
	ret = ob_net_start(b->net, err);
	if (!ret) {
		struct ob_pkt *pkts[16];

		/* Of what arrives meanwhile some packets stay in the pool, with the kernel's buffers. */
		for (int i = 0; i < 100; i++) {
			unsigned int n = ob_net_rx_burst(b->net, 0, pkts, 16);

			while (n)
				ob_pkt_free(pkts[--n]);
		}
		ob_net_stop(b->net);
	}
	ob_driver_unbind(b);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int cycles = argc > 3 ? (unsigned int)atoi(argv[3]) : 20;
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
	ret = ob_driver_load(argv[1], &driver, &err);
	if (ret) {
		printf("1..0 # SKIP %s: %s\n", err.what, err.fix);
		return ret != -ENOENT;
	}
	if (ob_device_open(argv[2], &dev, &err)) {
		printf("1..0 # SKIP %s\n", ob_error_text(&err, why, sizeof(why)));
		return 0;
	}
	/* The first time the C library and the loader take what they keep. */
	ret = cycle(dev, driver, &err);
	tell(!ret, "bound, up, down, removed", ret ? ob_error_text(&err, why, sizeof(why)) : "");
	count(dev, &before);
	for (i = 0; i < cycles && !ret; i++)
		ret = cycle(dev, driver, &err);
	snprintf(text, sizeof(text), "%u times more", cycles);
	tell(!ret, text, ret ? ob_error_text(&err, why, sizeof(why)) : "");
	count(dev, &after);
	snprintf(why, sizeof(why), "descriptors %u %u, mappings %u %u, threads %u %u", before.fds,
		 after.fds, before.maps, after.maps, before.threads, after.threads);
	tell(after.fds == before.fds, "no descriptor is left", why);
	tell(after.threads == before.threads, "no thread is left", why);
	/* The C library's heap comes and goes by one. */
	tell(after.maps <= before.maps + 1, "no mapping is left", why);
	tell(!after.dma.allocated && !after.dma.mapped, "nothing of the arena is left", "");

	ret = ob_device_open(argv[2], &second, &err);
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
		ret = cycle(second, driver, &err);
		tell(!ret, "the second device, when the first was given back",
		     ret ? ob_error_text(&err, why, sizeof(why)) : "");
		ob_device_close(second);
	}
	ob_device_close(dev);
	printf("1..%d\n", nr);
	return failed;
}
