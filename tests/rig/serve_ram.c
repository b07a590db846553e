/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_ram SIZE[,OPTION...] ATTACHMENT: a disk of memory, attached, for tests that run in the rig.
 *
 * Options of the disk: file=PATH (where it is kept; then a killed server's successor has the same content), bs=N,
 * max=BYTES (longest transfer), ro, nofua, noflush, nodiscard, nozeroes, nocache, shuffle,
 * stuck (as after "hold", from the beginning), iommu (memory outside of the arena can be mapped for it),
 * stable (what a power cut would leave is kept, see "cut").
 *
 * "ready NAME" goes to standard output, then an answer to each line of standard input:
 *   hold, release       requests do not end, or do again
 *   fail FROM TO ERRNO  READ and WRITE that touch these bytes fail; 0 ends that
 *   gone                the device vanishes
 *   cut FILE            write what a power cut would leave to FILE
 *   stats               the counters, as one JSON line
 *   stop, force         take it back; "stopped", or who holds it. The end of the input is a stop, then force
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "tests/attach/ram_disk.h"

static struct ram_disk disk;
static struct ob_attach *at;
static struct ob_loop *loop;

static void *serve(void *arg)
{
	return (void *)(intptr_t)ob_loop_run(arg);
}

static int complain(const char *what, const struct ob_error *err)
{
	char text[1400];

	printf("%s: %s\n", what, ob_error_text(err, text, sizeof(text)));
	fflush(stdout);
	return 2;
}

static bool disk_option(char *word)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = '\0';
	if (!strcmp(word, "file") && value) {
		disk.file = value;
	} else if (!strcmp(word, "bs") && value) {
		disk.blk.limits.block_size = disk.blk.limits.physical_block_size =
			(uint32_t)atoi(value);
	} else if (!strcmp(word, "max") && value) {
		disk.blk.limits.max_transfer = (uint32_t)atoi(value);
	} else if (!strcmp(word, "ro")) {
		disk.blk.limits.read_only = true;
	} else if (!strcmp(word, "nofua")) {
		disk.fua = false;
	} else if (!strcmp(word, "noflush")) {
		disk.flush = false;
	} else if (!strcmp(word, "nocache")) {
		disk.blk.limits.volatile_cache = false;
	} else if (!strcmp(word, "nodiscard")) {
		disk.discard = false;
	} else if (!strcmp(word, "nozeroes")) {
		disk.zeroes = false;
	} else if (!strcmp(word, "shuffle")) {
		atomic_store(&disk.shuffle, true);
	} else if (!strcmp(word, "stuck")) {
		atomic_store(&disk.hold, true);
	} else if (!strcmp(word, "iommu")) {
		disk.iommu = true;
	} else if (!strcmp(word, "stable")) {
		disk.no_stable = false;
	} else {
		return false;
	}
	return true;
}

static bool parse_disk(char *text)
{
	char *save, *word = strtok_r(text, ",", &save);

	if (!word)
		return false;
	ram_disk_init(&disk, strtoull(word, NULL, 0) << 20);
	snprintf(disk.dev.info.spec, sizeof(disk.dev.info.spec), "ram:%s", word);
	disk.no_stable = true;
	disk.blk.limits.depth = RAM_DEPTH_MAX;
	while ((word = strtok_r(NULL, ",", &save)))
		if (!disk_option(word))
			return false;
	return true;
}

static void print_stats(void)
{
	struct ob_attach_stats as;
	struct ob_loop_stats ls;

	at->ops->stats(at, &as);
	ob_loop_stats(loop, &ls);
	printf("{\"in\": %" PRIu64 ", \"out\": %" PRIu64 ", \"bytes_in\": %" PRIu64
	       ", \"bytes_out\": %" PRIu64 ", \"kernel_copies\": %" PRIu64
	       ", \"own_copies\": %" PRIu64 ", \"syscalls\": %" PRIu64 ", \"errors\": %" PRIu64
	       ", \"dropped\": %" PRIu64 ", \"sleeps\": %" PRIu64 ", \"reads\": %" PRIu64
	       ", \"writes\": %" PRIu64 ", \"flushes\": %" PRIu64 ", \"discards\": %" PRIu64
	       ", \"zeroes\": %" PRIu64 ", \"fua\": %" PRIu64 ", \"unmap\": %" PRIu64
	       ", \"longest\": %" PRIu64 ", \"most\": %" PRIu64 ", \"outside\": %" PRIu64 "}\n",
	       as.requests_in, as.requests_out, as.bytes_in, as.bytes_out, as.kernel_copies,
	       as.own_copies, as.syscalls, as.errors, as.dropped, ls.sleeps,
	       atomic_load(&disk.seen[OB_BLOCK_READ]), atomic_load(&disk.seen[OB_BLOCK_WRITE]),
	       atomic_load(&disk.seen[OB_BLOCK_FLUSH]), atomic_load(&disk.seen[OB_BLOCK_DISCARD]),
	       atomic_load(&disk.seen[OB_BLOCK_WRITE_ZEROES]), atomic_load(&disk.fua_seen),
	       atomic_load(&disk.unmap_seen), atomic_load(&disk.longest),
	       atomic_load(&disk.most_inflight), atomic_load(&disk.outside));
}

static void cut(const char *path)
{
	FILE *f = fopen(path, "we");
	bool ok = f && disk.stable &&
		  fwrite(disk.stable, 1, disk.blk.limits.size, f) == disk.blk.limits.size;

	if (f && fclose(f))
		ok = false;
	printf(ok ? "cut\n" : "cut failed\n");
}

static bool take_back(bool force)
{
	struct ob_error err = {0};

	if (ob_attach_unpublish(at, force, &err)) {
		complain("refused", &err);
		return false;
	}
	printf("stopped\n");
	return true;
}

/* Returns true when it is over. */
static bool obey(char *line)
{
	unsigned long long from, to;
	char path[256];
	int status;

	if (!strncmp(line, "hold", 4)) {
		atomic_store(&disk.hold, true);
		printf("holding\n");
	} else if (!strncmp(line, "release", 7)) {
		ram_disk_release(&disk);
		printf("released\n");
	} else if (sscanf(line, "fail %llu %llu %d", &from, &to, &status) == 3) {
		atomic_store(&disk.fail_status, -status);
		atomic_store(&disk.fail_from, from);
		atomic_store(&disk.fail_to, to);
		printf("failing\n");
	} else if (!strncmp(line, "gone", 4)) {
		ob_device_set_gone(&disk.dev);
		ram_disk_release(&disk);
		printf("gone\n");
	} else if (sscanf(line, "cut %255s", path) == 1) {
		cut(path);
	} else if (!strncmp(line, "stats", 5)) {
		print_stats();
	} else if (!strncmp(line, "stop", 4)) {
		return take_back(false);
	} else if (!strncmp(line, "force", 5)) {
		return take_back(true);
	} else {
		printf("what?\n");
	}
	return false;
}

/* What the disk's device says is what a program's user would see. */
static void say(void *arg, enum ob_log_level level, const char *line)
{
	if (level <= OB_LOG_WARN)
		fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
	struct ob_attach_info info;
	struct ob_error err = {0};
	enum ob_mode mode = OB_MODE_ADAPTIVE;
	pthread_t thread;
	char line[512];
	bool over = false;
	int code = 2;

	if (argc != 3 || !parse_disk(argv[1])) {
		fprintf(stderr, "usage: %s MIB[,OPTION...] ATTACHMENT\n", argv[0]);
		return 2;
	}
	if (getenv("SERVE_MODE") && ob_mode_parse(getenv("SERVE_MODE"), &mode, &err))
		return complain("mode", &err);
	disk.dev.log = say;
	disk.dev.removal_fd = -1;
	if (ram_disk_open(&disk)) {
		fprintf(stderr, "no memory\n");
		return 2;
	}
	disk.dev.removal_fd = eventfd(0, EFD_CLOEXEC);
	if (ob_loop_create(mode, &loop))
		goto close_disk;
	if (ob_attach_open(&disk.binding, 0, argv[2], loop, &at, &err)) {
		complain("attach", &err);
		goto destroy_loop;
	}
	if (pthread_create(&thread, NULL, serve, loop))
		goto close_attach;
	if (ob_attach_publish(at, &err)) {
		complain("publish", &err);
		goto stop;
	}
	at->ops->info(at, &info);
	printf("ready %s %s\n", info.name, info.detail);
	fflush(stdout);
	while (!over && fgets(line, sizeof(line), stdin)) {
		over = obey(line);
		fflush(stdout);
	}
	code = 0;
	if (!over && !take_back(false)) {
		code = 3;
		take_back(true);
	}
stop:
	ob_loop_stop(loop);
	pthread_join(thread, NULL);
close_attach:
	ob_attach_close(at);
destroy_loop:
	ob_loop_destroy(loop);
close_disk:
	close(disk.dev.removal_fd);
	ram_disk_close(&disk);
	return code;
}
