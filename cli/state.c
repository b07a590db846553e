/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an instance tells of itself: all counters of access, DMA, loop, class and attachment as one JSON
 * object, which `show` and the end of a run print.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "class/verify.h"
#include "cli/cli.h"
#include "cli/instance.h"

static void put_access(struct json_object *o, const struct ob_device *dev)
{
	struct ob_access_stats s;

	ob_device_stats(dev, &s);
	o = cli_put_object(o, "access");
	cli_put_u64(o, "reads", s.reads);
	cli_put_u64(o, "writes", s.writes);
	cli_put_u64(o, "config", s.config);
	cli_put_u64(o, "syscalls", s.syscalls);
	cli_put_u64(o, "irqs", s.irqs);
	cli_put_u64(o, "faults", s.faults);
}

static void put_dma(struct json_object *o, struct ob_dma *dma)
{
	static const char *const policies[] = {"pooled", "strict", "lazy"};
	struct ob_dma_stats s;

	ob_dma_stats(dma, &s);
	o = cli_put_object(o, "dma");
	cli_put_str(o, "policy", policies[ob_dma_policy(dma)]);
	cli_put_u64(o, "arena_bytes", dma->size);
	cli_put_u64(o, "allocated_bytes", s.allocated);
	cli_put_u64(o, "mapped", s.mapped);
	cli_put_u64(o, "maps_arena", s.ways[OB_DMA_WAY_ARENA]);
	cli_put_u64(o, "maps_mapped", s.ways[OB_DMA_WAY_MAPPED]);
	cli_put_u64(o, "maps_cached", s.ways[OB_DMA_WAY_CACHED]);
	cli_put_u64(o, "maps_bounced", s.ways[OB_DMA_WAY_BOUNCE]);
	cli_put_u64(o, "bounced_bytes", s.bounced);
	cli_put_u64(o, "iommu_maps", s.iommu_maps);
	cli_put_u64(o, "iommu_unmaps", s.iommu_unmaps);
}

static double cpu_seconds(const struct unit *unit)
{
	struct timespec ts;
	clockid_t clock;

	if (!unit->started || pthread_getcpuclockid(unit->thread, &clock) ||
	    clock_gettime(clock, &ts))
		return unit->cpu_seconds;
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void put_loop(struct json_object *o, const struct unit *unit)
{
	struct ob_loop_stats s;

	ob_loop_stats(unit->loop, &s);
	o = cli_put_object(o, "loop");
	cli_put_u64(o, "rounds", s.rounds);
	cli_put_u64(o, "idle_rounds", s.idle_rounds);
	cli_put_u64(o, "work", s.work);
	cli_put_u64(o, "sleeps", s.sleeps);
	cli_put_u64(o, "wakeups", s.wakeups);
	cli_put_u64(o, "irqs", s.irqs);
	cli_put_double(o, "cpu_seconds", cpu_seconds(unit));
}

static void put_net(struct json_object *o, struct ob_net *net)
{
	struct ob_net_link link = {0};
	struct ob_net_stats s = {0};
	struct json_object *set;
	char mac[18];

	if (net->ops->stats)
		net->ops->stats(net, &s);
	if (net->ops->link)
		net->ops->link(net, &link);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0], net->mac[1],
		 net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
	o = cli_put_object(o, "net");
	set = cli_put_object(o, "settings");
	cli_put_str(set, "mac", mac);
	cli_put_u64(set, "mtu", net->mtu);
	cli_put_u64(set, "queues", net->queues);
	cli_put_bool(set, "link", link.up);
	cli_put_u64(set, "mbps", link.mbps);
	cli_put_bool(set, "full_duplex", link.full_duplex);
	cli_put_u64(o, "rx_packets", s.rx_packets);
	cli_put_u64(o, "rx_bytes", s.rx_bytes);
	cli_put_u64(o, "rx_dropped", s.rx_dropped);
	cli_put_u64(o, "rx_errors", s.rx_errors);
	cli_put_u64(o, "rx_crc_errors", s.rx_crc_errors);
	cli_put_u64(o, "rx_missed", s.rx_missed);
	cli_put_u64(o, "tx_packets", s.tx_packets);
	cli_put_u64(o, "tx_bytes", s.tx_bytes);
	cli_put_u64(o, "tx_dropped", s.tx_dropped);
	cli_put_u64(o, "tx_errors", s.tx_errors);
	cli_put_u64(o, "multicast", s.multicast);
	cli_put_u64(o, "collisions", s.collisions);
	cli_put_u64(o, "irqs", s.irqs);
	cli_put_u64(o, "rx_polls", s.rx_polls);
	cli_put_u64(o, "rx_empty_polls", s.rx_empty_polls);
	cli_put_u64(o, "doorbells", s.doorbells);
	cli_put_u64(o, "rx_bad_descriptors", s.rx_bad_descriptors);
	cli_put_u64(o, "tx_bad_descriptors", s.tx_bad_descriptors);
}

static void put_verified(struct json_object *block, struct ob_block *blk)
{
	struct ob_verify_stats s;
	struct json_object *o;

	if (!ob_verify_stats(blk, &s))
		return;
	o = cli_put_object(block, "verified");
	cli_put_u64(o, "written_blocks", s.written);
	cli_put_u64(o, "read_blocks", s.read);
	cli_put_u64(o, "wrong", s.wrong);
	cli_put_u64(o, "repaired_blocks", s.repaired);
	cli_put_u64(o, "lost_blocks", s.lost);
}

static struct json_object *block_state(struct ob_block *blk)
{
	struct json_object *o = json_object_new_object(), *set;
	struct ob_block_stats s = {0};

	ob_block_stats(blk, &s);
	cli_put_str(o, "name", blk->name);
	cli_put_str(o, "model", blk->model);
	cli_put_str(o, "serial", blk->serial);
	set = cli_put_object(o, "settings");
	cli_put_u64(set, "bytes", blk->limits.size);
	cli_put_u64(set, "block_size", blk->limits.block_size);
	cli_put_u64(set, "queues", blk->limits.queues);
	cli_put_u64(set, "depth", blk->limits.depth);
	cli_put_bool(set, "read_only", blk->limits.read_only);
	cli_put_u64(o, "reads", s.reads);
	cli_put_u64(o, "read_bytes", s.read_bytes);
	cli_put_u64(o, "writes", s.writes);
	cli_put_u64(o, "write_bytes", s.write_bytes);
	cli_put_u64(o, "flushes", s.flushes);
	cli_put_u64(o, "discards", s.discards);
	cli_put_u64(o, "zeroes", s.zeroes);
	cli_put_u64(o, "errors", s.errors);
	cli_put_u64(o, "timeouts", s.timeouts);
	cli_put_u64(o, "aborts", s.aborts);
	cli_put_u64(o, "resets", s.resets);
	cli_put_u64(o, "bad_completions", s.bad_completions);
	cli_put_u64(o, "bounced", s.bounced);
	cli_put_u64(o, "doorbells", s.doorbells);
	cli_put_u64(o, "irqs", s.irqs);
	cli_put_u64(o, "polls", s.polls);
	cli_put_u64(o, "empty_polls", s.empty_polls);
	put_verified(o, blk);
	return o;
}

static struct json_object *attach_state(const struct unit *unit, unsigned int i)
{
	struct json_object *o = json_object_new_object();
	struct ob_attach *at = unit->at[i];
	const struct ob_attach_info *info = &unit->info[i];
	struct ob_attach_stats s = {0};

	at->ops->stats(at, &s);
	cli_put_str(o, "kind", info->kind);
	cli_put_str(o, "of", unit_part_name(unit, i));
	cli_put_str(o, "name", info->name);
	cli_put_str(o, "detail", info->detail);
	cli_put_str(o, "why", unit->why[i]);
	cli_put_bool(o, "published", unit->published[i]);
	cli_put_u64(o, "requests_in", s.requests_in);
	cli_put_u64(o, "requests_out", s.requests_out);
	cli_put_u64(o, "bytes_in", s.bytes_in);
	cli_put_u64(o, "bytes_out", s.bytes_out);
	cli_put_u64(o, "kernel_copies", s.kernel_copies);
	cli_put_u64(o, "own_copies", s.own_copies);
	cli_put_u64(o, "syscalls", s.syscalls);
	cli_put_u64(o, "errors", s.errors);
	cli_put_u64(o, "dropped", s.dropped);
	return o;
}

struct unit_state {
	struct unit *unit;
	struct json_object *o;
};

/* In the loop's thread, like every question to a driver or an attachment. */
static void fill_unit(void *arg)
{
	struct unit_state *us = arg;
	struct unit *unit = us->unit;
	const struct ob_device_info *info = ob_device_info(unit->dev);
	struct json_object *list;
	char id[16];

	cli_put_str(us->o, "name", info->name);
	cli_put_str(us->o, "spec", info->spec);
	cli_put_str(us->o, "backend", info->backend);
	snprintf(id, sizeof(id), "%04x:%04x", info->vendor, info->device);
	cli_put_str(us->o, "id", id);
	cli_put_str(us->o, "driver", unit->binding->driver->name);
	cli_put_bool(us->o, "iommu", info->iommu);
	cli_put_bool(us->o, "gone", ob_device_gone(unit->dev));
	put_loop(us->o, unit);
	put_access(us->o, unit->dev);
	put_dma(us->o, ob_device_dma(unit->dev));
	if (unit->binding->net)
		put_net(us->o, unit->binding->net);
	list = cli_put_array(us->o, "disks");
	for (unsigned int i = 0; i < unit->binding->nr_blocks; i++)
		json_object_array_add(list, block_state(unit->binding->block[i]));
	list = cli_put_array(us->o, "attachments");
	for (unsigned int i = 0; i < unit->nr_at; i++)
		json_object_array_add(list, attach_state(unit, i));
}

struct json_object *instance_state(struct instance *ins)
{
	struct json_object *doc = json_object_new_object(), *list;
	struct timespec now;
	double up = ins->served;

	if (!up) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		up = (double)(now.tv_sec - ins->began.tv_sec) +
		     (double)(now.tv_nsec - ins->began.tv_nsec) / 1e9;
	}
	cli_put_str(doc, "version", OUTBOARD_VERSION);
	cli_put_str(doc, "name", ins->name);
	cli_put_u64(doc, "pid", (uint64_t)ins->pid);
	cli_put_u64(doc, "uid", ins->uid);
	cli_put_str(doc, "mode", ob_mode_name(ins->mode));
	cli_put_double(doc, "seconds", up);
	if (ins->command) {
		list = cli_put_array(doc, "command");
		for (char **arg = ins->command; *arg; arg++)
			json_object_array_add(list, json_object_new_string(*arg));
	}
	list = cli_put_array(doc, "devices");
	for (unsigned int i = 0; i < ins->n; i++) {
		struct unit_state us = {&ins->unit[i], json_object_new_object()};

		unit_refresh_info(us.unit);
		unit_call(us.unit, fill_unit, &us);
		json_object_array_add(list, us.o);
	}
	return doc;
}

/* ---- for people ----------------------------------------------------------------------------- */

/* One line of a table: an attachment, or a device without any. */
struct line {
	struct json_object *dev, *at;
	uint64_t requests, bytes;
	double seconds;
};

static void line_of(struct line *l, struct json_object *state, struct json_object *dev,
		    struct json_object *at)
{
	l->dev = dev;
	l->at = at;
	l->requests = cli_get_u64(at, "requests_in") + cli_get_u64(at, "requests_out");
	l->bytes = cli_get_u64(at, "bytes_in") + cli_get_u64(at, "bytes_out");
	l->seconds = cli_get_double(state, "seconds");
}

static bool is_net(struct json_object *dev)
{
	return cli_get(dev, "net") != NULL;
}

static char *rate(char buf[24], struct json_object *dev, double bytes_per_s)
{
	/* Each trade in its own unit. */
	if (is_net(dev))
		snprintf(buf, 24, "%.1f Mbit/s", bytes_per_s * 8 / 1e6);
	else
		snprintf(buf, 24, "%.1f MiB/s", bytes_per_s / 1048576);
	return buf;
}

static void summary_line(struct cli_table *t, struct line *l, bool first)
{
	struct json_object *loop = cli_get(l->dev, "loop");
	uint64_t copies = cli_get_u64(l->at, "kernel_copies") + cli_get_u64(l->at, "own_copies");
	uint64_t calls = cli_get_u64(cli_get(l->dev, "access"), "syscalls");
	/* The loop reads vectors itself; others (admin queues) are read through the boundary. */
	uint64_t irqs = cli_get_u64(cli_get(l->dev, "access"), "irqs");
	double cpu = cli_get_double(loop, "cpu_seconds");
	char a[16], b[24];

	cli_cell(t, "%s", cli_get_str(l->at, "of"));
	cli_cell(t, "%s", cli_get_str(l->dev, "driver"));
	cli_cell(t, "%s", cli_get_str(l->at, "name"));
	cli_cell(t, "%s", cli_count(a, l->requests));
	cli_cell(t, "%s", cli_size(a, l->bytes));
	cli_cell(t, "%s", rate(b, l->dev, l->seconds > 0 ? (double)l->bytes / l->seconds : 0));
	/* The loop is the device's, whatever number of disks it serves: said once. */
	if (!first) {
		for (unsigned int i = 0; i < 3; i++)
			cli_cell(t, "%s", "");
	} else {
		cli_cell(t, "%.1f %%", l->seconds > 0 ? 100 * cpu / l->seconds : 0);
		cli_cell(t, "%s", cli_count(a, cli_get_u64(loop, "irqs") + irqs));
		cli_cell(t, "%s", cli_count(a, cli_get_u64(loop, "rounds")));
	}
	cli_cell(t, "%.1f", l->requests ? (double)copies / (double)l->requests : 0);
	cli_cell(t, "%s", cli_count(a, cli_get_u64(l->at, "syscalls") + (first ? calls : 0)));
	cli_cell(t, "%s", cli_count(a, cli_get_u64(l->at, "errors")));
}

void state_print_summary(struct json_object *state, FILE *f)
{
	static const char *const heads[] = {
		"DEVICE", "DRIVER",	 "ATTACHED AS", ">REQUESTS",   ">DATA",	    ">RATE",
		">CPU",	  ">INTERRUPTS", ">POLLS",	">COPIES/REQ", ">SYSCALLS", ">ERRORS",
	};
	struct cli_table *t = cli_table_create(heads, sizeof(heads) / sizeof(heads[0]));
	struct json_object *devices = cli_get(state, "devices");

	for (size_t i = 0; i < cli_array_length(devices); i++) {
		struct json_object *dev = json_object_array_get_idx(devices, i);
		struct json_object *list = cli_get(dev, "attachments");

		for (size_t k = 0; k < cli_array_length(list); k++) {
			struct line l;

			line_of(&l, state, dev, json_object_array_get_idx(list, k));
			summary_line(t, &l, k == 0);
		}
	}
	cli_table_print(t, f);
}

/* Counters of one object: name, value, and, with an earlier one, the rate. Zeroes are left out. */
static void print_counters(struct json_object *o, struct json_object *before, double seconds,
			   FILE *f)
{
	struct json_object_iterator it = json_object_iter_begin(o);
	struct json_object_iterator end = json_object_iter_end(o);
	struct cli_table *t;
	static const char *const heads[] = {"", ">", ">"}; /* the section's title is enough */
	char a[16], b[16];

	t = cli_table_create(heads, before ? 3 : 2);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *key = json_object_iter_peek_name(&it);
		struct json_object *val = json_object_iter_peek_value(&it);
		uint64_t n = json_object_get_uint64(val), old = cli_get_u64(before, key);

		if (!json_object_is_type(val, json_type_int) || !n)
			continue;
		cli_cell(t, "    %s", key);
		cli_cell(t, "%s", strstr(key, "bytes") ? cli_size(a, n) : cli_count(a, n));
		if (!before)
			continue;
		if (seconds <= 0 || n <= old)
			cli_cell(t, "%s", "");
		else if (strstr(key, "bytes"))
			cli_cell(t, "%s/s", cli_size(b, (uint64_t)((double)(n - old) / seconds)));
		else
			cli_cell(t, "%.0f/s", (double)(n - old) / seconds);
	}
	cli_table_print(t, f);
}

static struct json_object *at_index(struct json_object *list, size_t i)
{
	return i < cli_array_length(list) ? json_object_array_get_idx(list, i) : NULL;
}

static void print_section(const char *title, struct json_object *o, struct json_object *before,
			  double seconds, FILE *f)
{
	if (!o)
		return;
	fprintf(f, "  %s%s%s\n", cli_bold(f), title, cli_plain(f));
	print_counters(o, before, seconds, f);
}

static void print_device(struct json_object *dev, struct json_object *before, double seconds,
			 FILE *f)
{
	static const char *const lists[] = {"disks", "attachments"};
	char spec[520], title[200], a[16];

	snprintf(spec, sizeof(spec), "%s", cli_get_str(dev, "spec"));
	fprintf(f, "%s%s%s  driver %s, IOMMU %s%s\n", cli_bold(f), cli_clean(spec), cli_plain(f),
		cli_get_str(dev, "driver"), cli_get_bool(dev, "iommu") ? "on" : "off",
		cli_get_bool(dev, "gone") ? ", GONE" : "");
	for (size_t k = 0; k < 2; k++) {
		struct json_object *list = cli_get(dev, lists[k]);
		struct json_object *old = cli_get(before, lists[k]);

		for (size_t i = 0; i < cli_array_length(list); i++) {
			struct json_object *o = at_index(list, i);

			if (k)
				snprintf(title, sizeof(title), "%s as %s (%s)",
					 cli_get_str(o, "of"), cli_get_str(o, "name"),
					 cli_get_str(o, "kind"));
			else
				snprintf(title, sizeof(title), "%s: %s, %s", cli_get_str(o, "name"),
					 cli_get_str(o, "model"),
					 cli_size(a, cli_get_u64(cli_get(o, "settings"), "bytes")));
			print_section(cli_clean(title), o, at_index(old, i), seconds, f);
		}
	}
	print_section("network", cli_get(dev, "net"), cli_get(before, "net"), seconds, f);
	print_section("loop", cli_get(dev, "loop"), cli_get(before, "loop"), seconds, f);
	print_section("registers", cli_get(dev, "access"), cli_get(before, "access"), seconds, f);
	print_section("DMA", cli_get(dev, "dma"), cli_get(before, "dma"), seconds, f);
}

static const char *ordinal(uint64_t n)
{
	static const char *const ends[] = {"th", "st", "nd", "rd"};

	return n % 100 >= 11 && n % 100 <= 13 ? "th" : n % 10 < 4 ? ends[n % 10] : "th";
}

/* "; by age 1, leak 2": of those that neither a hang nor a signal explains. */
static void print_reasons(struct json_object *by, FILE *f)
{
	static const char *const known[] = {"exit",  "start", "loop",	     "age",
					    "storm", "leak",  "iommu-fault", NULL};
	const char *between = "; by ";

	for (unsigned int i = 0; known[i]; i++) {
		if (!cli_get_u64(by, known[i]))
			continue;
		fprintf(f, "%s%s %llu", between, known[i],
			(unsigned long long)cli_get_u64(by, known[i]));
		between = ", ";
	}
}

/* How its driver processes fared. */
static void print_keeper(struct json_object *k, FILE *f)
{
	struct json_object *recovery = cli_get(k, "recovery_ms");
	uint64_t generation = cli_get_u64(k, "generation"), deaths = cli_get_u64(k, "deaths");
	char cause[256], fault[256];

	if (!k)
		return;
	fprintf(f, "  keeper: %s, driver process %llu, the %llu%s", cli_get_str(k, "state"),
		(unsigned long long)cli_get_u64(k, "driver_pid"), (unsigned long long)generation,
		ordinal(generation));
	if (deaths) {
		fprintf(f, "; %llu died, %llu of them hung", (unsigned long long)deaths,
			(unsigned long long)cli_get_u64(k, "hangs"));
		print_reasons(cli_get(k, "deaths_by"), f);
	}
	fputc('\n', f);
	snprintf(cause, sizeof(cause), "%s", cli_get_str(k, "last_death"));
	snprintf(fault, sizeof(fault), "%s", cli_get_str(k, "last_iommu_fault"));
	if (*cause)
		fprintf(f, "  the last death: %s\n", cli_clean(cause));
	if (cli_get_u64(k, "storms"))
		fprintf(f, "  interrupt storms: %llu\n",
			(unsigned long long)cli_get_u64(k, "storms"));
	if (cli_get_u64(k, "iommu_faults"))
		fprintf(f, "  blocked by the IOMMU: %llu accesses or more, the last one: %s\n",
			(unsigned long long)cli_get_u64(k, "iommu_faults"), cli_clean(fault));
	if (cli_get_u64(k, "oldest_request_ms") >= 1000)
		fprintf(f, "  a request waits for its answer since %.1f s\n",
			(double)cli_get_u64(k, "oldest_request_ms") / 1000);
	if (cli_get_u64(k, "unsent_ms") >= 1000)
		fprintf(f, "  frames have been waiting to be sent for %.1f s\n",
			(double)cli_get_u64(k, "unsent_ms") / 1000);
	if (recovery)
		fprintf(f, "  served again after %.1f ms (median), %.1f ms at most\n",
			cli_get_double(recovery, "p50"), cli_get_double(recovery, "max"));
}

void state_print(struct json_object *state, struct json_object *before, FILE *f)
{
	double now = cli_get_double(state, "seconds");
	double seconds = before ? now - cli_get_double(before, "seconds") : 0;
	struct json_object *devices = cli_get(state, "devices");
	struct json_object *old = cli_get(before, "devices");
	char a[16], name[NAME_SIZE];

	snprintf(name, sizeof(name), "%s", cli_get_str(state, "name"));
	fprintf(f, "%s%s%s  PID %u, %s mode, for %s\n", cli_bold(f), cli_clean(name), cli_plain(f),
		(unsigned int)cli_get_u64(state, "pid"), cli_get_str(state, "mode"),
		cli_seconds(a, now));
	print_keeper(cli_get(state, "keeper"), f);
	for (size_t i = 0; i < cli_array_length(devices); i++)
		print_device(at_index(devices, i), at_index(old, i), seconds, f);
}
