/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-ethtool --op OP --path INTERFACE [--count N], or --command 'ethtool -i eth0': one question of ethtool's, or one change, again and again, between the marks of rig/marker.h; what
 * it costs is the kernel's driver, or a split one's daemon (bench/experiments/split-ethtool.sh). Prints one line of JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/marked.h"
#include "bench/program.h"

enum {
	MOST_BYTES = 8192,
	MOST_WORDS = 8,
};

static const char *op, *path, *command;
static uint64_t count = 1000;

static const struct {
	const char *name;
	uint32_t command, second;
	bool changes; /* @second is another each time */
} ops[] = {
	{"drvinfo", ETHTOOL_GDRVINFO, 0, false},
	{"ring", ETHTOOL_GRINGPARAM, 0, false},
	{"message level", ETHTOOL_GMSGLVL, 0, false},
	{"set message level", ETHTOOL_SMSGLVL, 0, true},
	{"registers", ETHTOOL_GREGS, 0, false},
	{"link", ETHTOOL_GLINK, 0, false},
	{"settings", ETHTOOL_GSET, 0, false},
	{"counts", ETHTOOL_GSSET_INFO, 0, false},
	{"test", ETHTOOL_TEST, ETH_TEST_FL_OFFLINE, false},
};

struct question {
	int socket;
	uint32_t command, second;
	bool changes;
	struct ifreq ifr;
	union {
		uint32_t words[MOST_BYTES / 4];
		struct ethtool_regs registers;
		struct ethtool_sset_info counts;
		struct ethtool_test test;
	};
};

static int ask(void *of, uint64_t n)
{
	struct question *q = of;

	while (n--) {
		memset(q->words, 0, 64);
		q->words[0] = q->command;
		q->words[1] = q->changes ? n & 7 : q->second;
		if (q->command == ETHTOOL_GREGS)
			q->registers.len = MOST_BYTES - sizeof(q->registers);
		if (q->command == ETHTOOL_GSSET_INFO)
			q->counts.sset_mask = 1 << ETH_SS_TEST;
		q->ifr.ifr_data = (void *)q->words;
		if (ioctl(q->socket, SIOCETHTOOL, &q->ifr)) {
			fprintf(stderr, "outboard-bench-ethtool: %s of %s: %s\n", op, path,
				strerror(errno));
			return 1;
		}
	}
	return 0;
}

/* The whole of it, from its start to its end; what it prints goes nowhere. */
static int run_command(void *of, uint64_t n)
{
	char *const *words = of;
	posix_spawn_file_actions_t actions;
	int status = 0;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	while (n-- && !status)
		if (posix_spawnp(&pid, words[0], &actions, NULL, words, environ) ||
		    waitpid(pid, &status, 0) != pid)
			status = 1;
	posix_spawn_file_actions_destroy(&actions);
	if (status)
		fprintf(stderr, "outboard-bench-ethtool: '%s' failed\n", command);
	return status != 0;
}

static int measure_command(struct marked_load *load)
{
	char *words[MOST_WORDS + 1] = {NULL}, *text = strdup(command), *at = text;
	int ret;

	for (int n = 0; at && n < MOST_WORDS; n++)
		words[n] = strsep(&at, " ");
	load->op = command;
	ret = text ? marked_run(load, run_command, words) : 1;
	free(text);
	return ret;
}

static void usage(FILE *f)
{
	fprintf(f,
		"usage: outboard-bench-ethtool --op OP --path INTERFACE [--count 1000]; prints one line of JSON\n"
		"  --command 'PROGRAM ARGUMENT...'  instead, that many times\n"
		"  --op OP:");
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		fprintf(f, "%s '%s'", i ? "," : "", ops[i].name);
	fputc('\n', f);
}

int main(int argc, char **argv)
{
	const struct argument arguments[] = {
		{"op", ARGUMENT_TEXT, &op},
		{"path", ARGUMENT_TEXT, &path},
		{"command", ARGUMENT_TEXT, &command},
		{"count", ARGUMENT_COUNT, &count},
		{NULL, 0, NULL},
	};
	static struct question q;
	struct marked_load load = {.test = "ethtool"};
	int ret = read_arguments(argc, argv, arguments, usage);

	if (ret >= 0)
		return ret;
	load.count = count;
	if (command && count)
		return measure_command(&load);
	for (size_t i = 0; op && i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(op, ops[i].name))
			continue;
		load.op = op;
		q.command = ops[i].command;
		q.second = ops[i].second;
		q.changes = ops[i].changes;
	}
	if (!load.op || !path || strlen(path) >= IFNAMSIZ || !count) {
		usage(stderr);
		return 2;
	}
	strcpy(q.ifr.ifr_name, path);
	q.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (q.socket < 0) {
		perror("outboard-bench-ethtool: socket");
		return 1;
	}
	return marked_run(&load, ask, &q);
}
