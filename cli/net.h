/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands of `outboard net` share. Documented in outboard-net(1). */
#ifndef CLI_NET_H
#define CLI_NET_H

#include <outboard/driver.h>
#include <outboard/stack.h>

#include "cli/cli.h"

enum {
	NET_PORT = 5001, /* of send and receive */
	HTTP_PORT = 80,
};

/**
 * struct net_run - one run of the subcommand
 * @word: the command's arguments
 * @doc: what --json prints; commands add to it
 */
struct net_run {
	const char *spec, *driver, *kind, *address, *gateway, *output, *sum;
	const char *command, *word[2];
	unsigned int words;
	bool dhcp, udp, verify;
	unsigned int timeout_ms, wait_ms;
	long count, interval_ms, size, seconds;
	uint64_t bytes, rate; /* 0 for without limit */

	struct ob_driver_config config;
	struct ob_binding *binding;
	struct ob_loop *loop;
	struct ob_stack *stack;
	struct ob_stack_lease lease;
	struct json_object *doc;
	struct ob_error err;
};

int net_ping(struct net_run *r);
int net_send(struct net_run *r);
int net_receive(struct net_run *r);
int net_http_get(struct net_run *r);
int net_http_serve(struct net_run *r);

/** net_wants_lwip() - said that @what is for lwIP alone, unless that is the stack */
int net_wants_lwip(struct net_run *r, const char *what);

/** net_port() - of words[index], or @fallback when there is none; false: said what is wrong with it */
bool net_port(struct net_run *r, unsigned int index, uint16_t fallback, uint16_t *port);

/* What a transfer cost this process: driver, stack and application. */
struct net_cost {
	uint64_t began_ns;
	double cpu_began, cpu, seconds;
	struct ob_stack_stats before, after;
};
void net_cost_begin(struct net_run *r, struct net_cost *c);
void net_cost_end(struct net_run *r, struct net_cost *c);
/** net_print_transfer() - a line for people, or members of the document */
void net_print_transfer(struct net_run *r, const char *what, uint64_t bytes,
			const struct net_cost *c);

#endif
