/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net: uses a network card from this process alone, by the TCP/IP stack in outboard/stack.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/net.h"
#include "cli/open_one.h"

enum {
	OPT_DHCP = CLI_LONG,
	OPT_ADDRESS,
	OPT_GATEWAY,
	OPT_TIMEOUT,
	OPT_WAIT,
	OPT_DRIVER,
	OPT_STACK,
	OPT_MODE,
	OPT_UDP,
	OPT_BYTES,
	OPT_RATE,
	OPT_VERIFY,
	OPT_SHA256,

	/* Longest wait for a link: auto-negotiation takes two to four seconds. */
	LINK_MS = 10000,
	SECONDS_MAX = 86400,
};

static const struct cli_option options[] = {
	{OPT_DHCP, "dhcp", NULL, "get an address by DHCP (default without --address)"},
	{OPT_ADDRESS, "address", "ADDR/N",
	 "use this address, IPv4 or IPv6, with its prefix length"},
	{OPT_GATEWAY, "gateway", "ADDR", "with --address: the way to other networks"},
	{OPT_TIMEOUT, "timeout", "SECONDS", "give up after so long without progress (default 10)"},
	{OPT_WAIT, "wait", "SECONDS", "receive: for the sender (default: until Ctrl-C)"},
	{'n', "count", "N", "ping: echo requests (default 4); http-serve: requests, then end"},
	{'i', "interval", "MS", "ping: between requests (default 1000)"},
	{'s', "size", "BYTES", "payload: of an echo request (56), of a datagram (1472)"},
	{'t', "time", "SECONDS", "send: for so long (default 10)"},
	{OPT_BYTES, "bytes", "N[K|M|G]", "send: so much, however long it takes"},
	{OPT_UDP, "udp", NULL, "send, receive: datagrams instead of a stream"},
	{OPT_RATE, "rate", "N[K|M|G]", "send --udp: bits a second (default: what the card takes)"},
	{OPT_VERIFY, "verify", NULL, "receive: compare every byte with what 'send' sends"},
	{'o', "output", "FILE", "http-get: where to; - for standard output (default: nowhere)"},
	{OPT_SHA256, "sha256", "SUM", "http-get: fail when it is another one"},
	{OPT_DRIVER, "driver", "NAME", "use this driver: a name, or the path of a shared object"},
	{OPT_STACK, "stack", "NAME",
	 "lwip (default), or the kernel's: linux, with --driver linux:NAME"},
	{OPT_MODE, "mode", "MODE", "adaptive (default), poll or interrupt"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "net",
	.synopsis = "SPEC [OPTIONS] [COMMAND]",
	.about =
		"Uses a network card from this process alone: driver, TCP/IP and client are one program, and the\n"
		"kernel has no interface. Root is not needed. Commands:\n"
		"\n"
		"  address               show the link and the address (default)\n"
		"  ping ADDRESS          echo requests\n"
		"  send ADDRESS [PORT]   send as fast as it goes, to 'receive' (port 5001)\n"
		"  receive [PORT]        receive once, and tell both sides how it went\n"
		"  http-get URL          download, with its SHA-256\n"
		"  http-serve DIR [PORT] serve files until Ctrl-C (port 80)",
	.options = options,
};

static const struct {
	const char *name;
	int (*run)(struct net_run *r);
	unsigned int words, words_max;
	const char *missing;
} commands[] = {
	{"address", NULL, 0, 0, NULL},
	{"ping", net_ping, 1, 1, "ping whom? An address is missing"},
	{"send", net_send, 1, 2, "send to whom? An address is missing"},
	{"receive", net_receive, 0, 1, NULL},
	{"http-get", net_http_get, 1, 1, "get what? A URL is missing, e.g. http://10.0.2.2/"},
	{"http-serve", net_http_serve, 1, 2, "serve what? A directory is missing"},
};

enum {
	COMMANDS = sizeof(commands) / sizeof(commands[0]),
};

/* For the signal handler: the stack whose call it ends. */
static struct ob_stack *volatile running;
static volatile sig_atomic_t ended_by;

static void interrupted(int signo)
{
	struct ob_stack *s = running;

	ended_by = signo;
	if (s)
		ob_stack_cancel(s);
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = interrupted};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- what commands share ---------------------------------------------------------------- */

bool net_port(struct net_run *r, unsigned int index, uint16_t fallback, uint16_t *port)
{
	unsigned long n;
	char *end;

	*port = fallback;
	if (r->words <= index)
		return true;
	n = strtoul(r->word[index], &end, 10);
	if (end == r->word[index] || *end || !n || n > 65535) {
		ob_error_set(&r->err, -EINVAL, "'%s' is not a port from 1 to 65535",
			     r->word[index]);
		return false;
	}
	*port = (uint16_t)n;
	return true;
}

int net_wants_lwip(struct net_run *r, const char *what)
{
	if (ob_stack_netif(r->stack))
		return 0;
	ob_error_set(&r->err, -EOPNOTSUPP, "%s is not done by the stack '%s'", what, r->kind);
	ob_error_fix(&r->err, "use --stack lwip, which works with every driver");
	return -EOPNOTSUPP;
}

static double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

void net_cost_begin(struct net_run *r, struct net_cost *c)
{
	ob_stack_stats(r->stack, &c->before);
	c->cpu_began = cpu_seconds();
	c->began_ns = ob_clock_ns();
}

void net_cost_end(struct net_run *r, struct net_cost *c)
{
	c->seconds = (double)(ob_clock_ns() - c->began_ns) / 1e9;
	c->cpu = cpu_seconds() - c->cpu_began;
	ob_stack_stats(r->stack, &c->after);
	if (c->seconds <= 0)
		c->seconds = 1e-9;
}

void net_print_transfer(struct net_run *r, const char *what, uint64_t bytes,
			const struct net_cost *c)
{
	uint64_t segments = c->after.tcp_segments - c->before.tcp_segments;
	uint64_t again = c->after.tcp_retransmitted - c->before.tcp_retransmitted;
	char size[16], rate[16];

	if (cli_json()) {
		cli_put_u64(r->doc, "bytes", bytes);
		cli_put_double(r->doc, "seconds", c->seconds);
		cli_put_double(r->doc, "bits_per_second", (double)bytes * 8 / c->seconds);
		cli_put_double(r->doc, "cpu_seconds", c->cpu);
		cli_put_u64(r->doc, "tcp_segments", segments);
		cli_put_u64(r->doc, "tcp_retransmitted", again);
		return;
	}
	printf("%s %s in %.2f s, %s/s, %.0f %% of a CPU", cli_size(size, bytes), what, c->seconds,
	       cli_size(rate, (uint64_t)((double)bytes / c->seconds)), 100 * c->cpu / c->seconds);
	if (again)
		printf(", %lu of %lu segments sent again", (unsigned long)again,
		       (unsigned long)segments);
	printf("\n");
}

/* ---- address and ping -------------------------------------------------------------------- */

static const char *text4(uint32_t addr, char text[INET_ADDRSTRLEN])
{
	inet_ntop(AF_INET, &addr, text, INET_ADDRSTRLEN);
	return text;
}

static void put4(struct json_object *o, const char *key, uint32_t addr)
{
	char text[INET_ADDRSTRLEN];

	if (addr)
		cli_put_str(o, key, text4(addr, text));
}

static void show_address(struct net_run *r)
{
	const struct ob_net *net = r->binding->net;
	const struct ob_stack_lease *l = &r->lease;
	struct ob_net_link link = {.up = true};
	char a[INET_ADDRSTRLEN], mac[18], time[16];
	int prefix = __builtin_popcount(l->netmask);

	if (net->ops->link)
		net->ops->link(r->binding->net, &link);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0], net->mac[1],
		 net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
	if (cli_json()) {
		cli_put_str(r->doc, "mac", mac);
		cli_put_u64(r->doc, "mbps", link.mbps);
		cli_put_u64(r->doc, "mtu", net->mtu);
		if (r->address)
			cli_put_str(r->doc, "address", r->address);
		else
			put4(r->doc, "address", l->address);
		put4(r->doc, "netmask", l->netmask);
		put4(r->doc, "gateway", l->gateway);
		put4(r->doc, "dns", l->dns);
		put4(r->doc, "dhcp_server", l->server);
		if (l->seconds)
			cli_put_u64(r->doc, "lease_seconds", l->seconds);
		return;
	}
	if (r->command && strcmp(r->command, "address") != 0)
		return; /* what was asked for is the result */
	printf("%s, driver %s\n", ob_device_info(r->binding->dev)->name, r->binding->driver->name);
	printf("  mac      %s\n", mac);
	printf("  link     up, %u Mb/s\n", link.mbps);
	if (r->address) {
		printf("  address  %s\n", r->address);
		return;
	}
	printf("  address  %s/%d by DHCP, for %s\n", text4(l->address, a), prefix,
	       cli_seconds(time, l->seconds));
	if (l->gateway)
		printf("  gateway  %s\n", text4(l->gateway, a));
	if (l->dns)
		printf("  dns      %s\n", text4(l->dns, a));
}

struct ping_times {
	double min, max, sum;
	unsigned long sent, answered;
};

static int ping_result(struct net_run *r, const struct ping_times *t)
{
	if (cli_json()) {
		cli_put_u64(r->doc, "sent", t->sent);
		cli_put_u64(r->doc, "answered", t->answered);
		if (t->answered) {
			cli_put_double(r->doc, "min_ms", t->min);
			cli_put_double(r->doc, "avg_ms", t->sum / (double)t->answered);
			cli_put_double(r->doc, "max_ms", t->max);
		}
	} else if (t->answered) {
		printf("%lu sent, %lu answered, %.3f/%.3f/%.3f ms (shortest, average, longest)\n",
		       t->sent, t->answered, t->min, t->sum / (double)t->answered, t->max);
	}
	if (t->sent && !t->answered && !r->err.code)
		ob_error_set(&r->err, -ETIMEDOUT, "%s did not answer", r->word[0]);
	return t->answered ? 0 : r->err.code;
}

int net_ping(struct net_run *r)
{
	struct ping_times t = {0};
	long count = r->count ? r->count : 4;
	size_t size = r->size ? (size_t)r->size : 56;
	int ret = 0;

	for (long i = 0; i < count; i++) {
		struct ob_error err = {0};
		uint64_t ns = 0;
		double ms;

		if (i) {
			ret = ob_stack_wait(r->stack, NULL, NULL, (unsigned int)r->interval_ms);
			if (ret != -ETIMEDOUT)
				break;
		}
		t.sent++;
		ret = ob_stack_ping(r->stack, r->word[0], (uint16_t)(i + 1), size, r->timeout_ms,
				    &ns, &err);
		if (ret && ret != -ETIMEDOUT) {
			r->err = err;
			break;
		}
		if (ret) {
			if (!cli_json())
				printf("%s: no answer to %ld\n", r->word[0], i + 1);
			continue;
		}
		ms = (double)ns / 1e6;
		t.min = !t.answered || ms < t.min ? ms : t.min;
		t.max = ms > t.max ? ms : t.max;
		t.sum += ms;
		t.answered++;
		if (!cli_json())
			printf("%zu bytes from %s: seq=%ld time=%.3f ms\n", size, r->word[0], i + 1,
			       ms);
		fflush(stdout);
	}
	/* Ctrl-C ends a ping that has had answers like any other end. */
	if (ret == -ENODEV)
		return ret;
	return ping_result(r, &t);
}

/* ---- the run ----------------------------------------------------------------------------- */

static int get_address(struct net_run *r)
{
	int ret;

	cli_progress("%s: waiting for its link", ob_device_info(r->binding->dev)->name);
	ret = ob_stack_wait_link(r->stack, LINK_MS, &r->err);
	if (!ret && r->address)
		ret = ob_stack_set_address(r->stack, r->address, r->gateway, &r->err);
	else if (!ret) {
		cli_progress("%s: asking for an address", ob_device_info(r->binding->dev)->name);
		ret = ob_stack_dhcp(r->stack, r->timeout_ms, &r->lease, &r->err);
	}
	cli_progress_end();
	return ret;
}

static int with_stack(struct net_run *r, int (*run)(struct net_run *r))
{
	int ret = get_address(r);

	if (ret)
		return ret;
	show_address(r);
	return run ? run(r) : 0;
}

static void put_stats(struct net_run *r)
{
	struct json_object *o = cli_put_object(r->doc, "stack");
	struct ob_stack_stats s;

	ob_stack_stats(r->stack, &s);
	cli_put_u64(o, "rx_frames", s.rx_frames);
	cli_put_u64(o, "rx_bytes", s.rx_bytes);
	cli_put_u64(o, "rx_copied", s.rx_copied);
	cli_put_u64(o, "rx_refused", s.rx_refused);
	cli_put_u64(o, "tx_frames", s.tx_frames);
	cli_put_u64(o, "tx_bytes", s.tx_bytes);
	cli_put_u64(o, "tx_full", s.tx_full);
}

static int with_binding(struct net_run *r, int (*run)(struct net_run *r))
{
	struct ob_device *dev = r->binding->dev;
	int ret;

	if (!r->binding->net) {
		ob_error_set(&r->err, -EOPNOTSUPP, "%s is no network card",
			     ob_device_info(dev)->name);
		ob_error_fix(&r->err, "e.g. qemu:e1000e,netdev=user");
		return -EOPNOTSUPP;
	}
	ret = ob_loop_create(r->config.mode, &r->loop);
	if (ret)
		return ob_error_set(&r->err, ret, "no loop for the device: %s", strerror(-ret));
	ret = ob_stack_open_kind(r->binding->net, r->loop, r->kind, &r->stack, &r->err);
	if (!ret) {
		running = r->stack;
		if (ended_by)
			ob_stack_cancel(r->stack);
		cli_put_str(r->doc, "spec", r->spec);
		cli_put_str(r->doc, "device", ob_device_info(dev)->name);
		cli_put_str(r->doc, "driver", r->binding->driver->name);
		cli_put_str(r->doc, "command", r->command ? r->command : "address");
		ret = with_stack(r, run);
		put_stats(r);
		running = NULL;
		ob_stack_close(r->stack);
	}
	ob_loop_destroy(r->loop);
	if (ret && !r->err.code)
		ob_error_set(&r->err, ret, "%s: %s", ob_device_info(dev)->name, strerror(-ret));
	return ret;
}

static int exit_code(const struct net_run *r, int ret)
{
	if (!ret)
		return CLI_OK;
	if (ended_by && (ret == -ECANCELED || ret == -EINTR))
		return CLI_SIGNAL + ended_by;
	if (ret == -ENODEV)
		return CLI_GONE;
	return cli_exit_code(r->err.code);
}

static int finish(struct net_run *r, int ret)
{
	int code = exit_code(r, ret);

	if (ret)
		cli_error_line("net", &r->err);
	if (ret && cli_json())
		json_object_object_add(r->doc, "error", cli_error_json(&r->err, code));
	if (cli_json())
		cli_print_json(r->doc);
	else
		json_object_put(r->doc);
	return code;
}

/* ---- the command line ---------------------------------------------------------------------- */

static bool parse_amount(struct cli_args *args, const char *option, uint64_t *val)
{
	static const char letters[] = "KMG";
	char *end;
	unsigned long long n = strtoull(args->value, &end, 10);
	const char *letter = *end ? strchr(letters, *end & ~0x20) : NULL;

	/* 2^50 fits with every unit, and is more than anybody waits for. */
	if (end != args->value && args->value[0] != '-' && n && n < 1ull << 30 &&
	    (!*end || (letter && !end[1]))) {
		for (const char *p = letters; letter && p <= letter; p++)
			n *= 1000;
		*val = n;
		return true;
	}
	if (end != args->value && !*end && args->value[0] != '-' && n && n < 1ull << 50) {
		*val = n;
		return true;
	}
	args->exit_code = cli_bad(&usage, "option '%s': '%s' is not an amount, like 100M", option,
				  args->value);
	return false;
}

static bool parse_seconds(struct cli_args *args, const char *option, unsigned int *ms)
{
	long n;

	if (!cli_number(args, option, 1, SECONDS_MAX, &n))
		return false;
	*ms = (unsigned int)n * 1000;
	return true;
}

static bool parse_option(struct net_run *r, struct cli_args *args, int opt)
{
	switch (opt) {
	case OPT_DHCP:
		r->dhcp = true;
		return true;
	case OPT_ADDRESS:
		r->address = args->value;
		return true;
	case OPT_GATEWAY:
		r->gateway = args->value;
		return true;
	case OPT_TIMEOUT:
		return parse_seconds(args, "--timeout", &r->timeout_ms);
	case OPT_WAIT:
		return parse_seconds(args, "--wait", &r->wait_ms);
	case 'n':
		return cli_number(args, "--count", 1, 1000000000, &r->count);
	case 'i':
		return cli_number(args, "--interval", 1, SECONDS_MAX * 1000, &r->interval_ms);
	case 's':
		return cli_number(args, "--size", 1, 1472, &r->size);
	case 't':
		return cli_number(args, "--time", 1, SECONDS_MAX, &r->seconds);
	case OPT_BYTES:
		return parse_amount(args, "--bytes", &r->bytes);
	case OPT_RATE:
		return parse_amount(args, "--rate", &r->rate);
	case OPT_UDP:
		r->udp = true;
		return true;
	case OPT_VERIFY:
		r->verify = true;
		return true;
	case 'o':
		r->output = args->value;
		return true;
	case OPT_SHA256:
		r->sum = args->value;
		if (strlen(r->sum) == 64 && strspn(r->sum, "0123456789abcdefABCDEF") == 64)
			return true;
		args->exit_code = cli_bad(
			&usage, "option '--sha256': '%s' is not 64 hexadecimal digits", r->sum);
		return false;
	case OPT_DRIVER:
		r->driver = args->value;
		return true;
	case OPT_STACK:
		r->kind = args->value;
		return true;
	case OPT_MODE:
		if (!ob_mode_parse(args->value, &r->config.mode, &r->err))
			return true;
		args->exit_code = cli_error("net", &r->err);
		return false;
	}
	return false;
}

static int take_word(struct net_run *r, const char *word)
{
	if (!r->spec)
		r->spec = word;
	else if (!r->command)
		r->command = word;
	else if (r->words < 2)
		r->word[r->words++] = word;
	else
		return cli_bad(&usage, "'%s' is one word too many", word);
	return CLI_OK;
}

static int find(struct net_run *r, unsigned int *index)
{
	const char *near;

	for (*index = 0; *index < COMMANDS; (*index)++)
		if (!r->command || !strcmp(commands[*index].name, r->command))
			break;
	if (*index == COMMANDS) {
		near = cli_nearest(r->command, &commands[0].name, COMMANDS, sizeof(commands[0]));
		return near ? cli_bad(&usage, "there is no command '%s'; did you mean '%s'?",
				      r->command, near)
			    : cli_bad(&usage, "there is no command '%s'", r->command);
	}
	if (r->words < commands[*index].words)
		return cli_bad(&usage, "%s", commands[*index].missing);
	if (r->words > commands[*index].words_max)
		return cli_bad(&usage, "%s: '%s' is one word too many", commands[*index].name,
			       r->word[commands[*index].words_max]);
	return CLI_OK;
}

int cmd_net(int argc, char **argv)
{
	struct net_run r = {
		.config = {.mode = OB_MODE_ADAPTIVE},
		.timeout_ms = 10000,
		.interval_ms = 1000,
		.seconds = 10,
	};
	struct cli_args args;
	unsigned int index;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		ret = CLI_OK;
		if (opt == CLI_WORD)
			ret = take_word(&r, args.value);
		else if (opt == CLI_STOP || !parse_option(&r, &args, opt))
			return args.exit_code;
		if (ret)
			return ret;
	}
	if (!r.spec)
		return cli_bad(&usage,
			       "which device? A SPEC is missing, e.g. qemu:e1000e,netdev=user");
	if (r.dhcp && r.address)
		return cli_bad(&usage, "'--dhcp' or '--address', not both");
	if (r.gateway && !r.address)
		return cli_bad(&usage, "'--gateway' is for '--address'; DHCP brings its own");
	ret = find(&r, &index);
	if (ret)
		return ret;
	catch_signals();
	r.doc = json_object_new_object();
	ret = open_one(r.spec, r.driver, &r.config, &r.binding, &r.err);
	if (!ret) {
		ret = with_binding(&r, commands[index].run);
		close_one(r.binding);
	}
	return finish(&r, ret);
}
