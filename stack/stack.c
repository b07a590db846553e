/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stacks have in common, whichever it is (lwip.c, linux.c): their life, waiting, addresses, and the device as a source of our loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/ip_addr.h>

#include "stack/stack_private.h"

const char *stack_name(const struct ob_stack *s)
{
	return ob_device_info(s->net->dev)->name;
}

/* ---- the loop's source -------------------------------------------------------------------- */

static void end_wait(struct ob_stack *s)
{
	s->stopped = true;
	ob_loop_stop(s->loop);
}

static void look(struct ob_stack *s)
{
	if (s->waiting && !s->is_done && s->done && s->done(s->done_arg)) {
		s->is_done = true;
		end_wait(s);
	}
}

static unsigned int poll_stack(void *arg, unsigned int budget)
{
	struct ob_stack *s = arg;
	unsigned int n = s->ops->poll(s, budget);

	if (n)
		look(s);
	return n;
}

static bool arm_stack(void *arg, bool on)
{
	struct ob_stack *s = arg;

	return s->ops->arm(s, on);
}

static void follow_link(struct ob_stack *s)
{
	struct ob_net_link link = {.up = true};

	if (s->net->ops->link)
		s->net->ops->link(s->net, &link);
	if (link.up == s->link)
		return;
	s->link = link.up;
	if (s->ops->set_link)
		s->ops->set_link(s);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct ob_stack *s = arg;

	if (s->net->ops->tick)
		s->net->ops->tick(s->net, now_ns);
	follow_link(s);
	dhcp_tick(s, now_ns);
	if (s->ops->tick)
		s->ops->tick(s);
	if (!s->waiting)
		return;
	look(s);
	if (ob_device_gone(s->net->dev) || (s->deadline && now_ns >= s->deadline)) {
		s->expired = s->deadline && now_ns >= s->deadline;
		end_wait(s);
	}
}

/* ---- waiting ------------------------------------------------------------------------------ */

void stack_progress(struct ob_stack *s, unsigned int timeout_ms)
{
	if (s->waiting && s->deadline)
		s->deadline = ob_clock_ns() + timeout_ms * STACK_NS_PER_MS;
}

int ob_stack_wait(struct ob_stack *s, bool (*done)(void *arg), void *arg, unsigned int timeout_ms)
{
	int ret = 0;

	if (s->waiting)
		return -EDEADLK; /* from a callback */
	s->done = done;
	s->done_arg = arg;
	s->deadline = timeout_ms ? ob_clock_ns() + timeout_ms * STACK_NS_PER_MS : 0;
	s->is_done = s->expired = false;
	s->waiting = true;
	for (;;) {
		if (atomic_load(&s->cancelled))
			ret = -ECANCELED;
		else if (ob_device_gone(s->net->dev))
			ret = -ENODEV;
		else if (!s->is_done && !(done && done(arg)))
			ret = s->expired ? -ETIMEDOUT : -EAGAIN;
		else
			ret = 0;
		if (ret != -EAGAIN)
			break;
		s->stopped = false;
		/* What a call before this one left to be sent goes at once, not after a sleep. */
		s->ops->push(s);
		ob_loop_run(s->loop);
		/* A stop that is not ours is the program's, unless it comes with ob_stack_cancel(). */
		if (!s->stopped && !atomic_load(&s->cancelled)) {
			ret = -EINTR;
			break;
		}
	}
	s->waiting = false;
	s->done = NULL;
	return ret;
}

void ob_stack_cancel(struct ob_stack *s)
{
	atomic_store(&s->cancelled, true);
	ob_loop_stop(s->loop);
}

int stack_wait_failed(struct ob_stack *s, int ret, struct ob_error *err, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	switch (ret) {
	case -ENODEV:
		ob_error_set(err, ret, "%s vanished: %s", stack_name(s), what);
		break;
	case -ECANCELED:
	case -EINTR:
		ob_error_set(err, ret, "interrupted: %s", what);
		break;
	default:
		ob_error_set(err, ret, "%s", what);
		/* The first thing to look at, whatever else it may be. */
		if (!s->link)
			ob_error_why(err, "%s has no link", stack_name(s));
	}
	return ret;
}

static bool has_link(void *arg)
{
	return ((struct ob_stack *)arg)->link;
}

int ob_stack_wait_link(struct ob_stack *s, unsigned int timeout_ms, struct ob_error *err)
{
	int ret = ob_stack_wait(s, has_link, s, timeout_ms);

	if (ret == -ETIMEDOUT) {
		ob_error_set(err, -ENOLINK, "%s has no link", stack_name(s));
		ob_error_why(err, "its driver saw none for %u ms", timeout_ms);
		ob_error_fix(err,
			     "is the cable in? 'outboard ethtool SPEC' shows what the card says");
		return -ENOLINK;
	}
	return ret ? stack_wait_failed(s, ret, err, "no link yet") : 0;
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* In the same network as we are? */
static bool is_near(const struct ob_stack *s, uint32_t address)
{
	return !((address ^ s->ip4.address) & s->ip4.netmask);
}

static bool is_own(struct ob_stack *s, const ip_addr_t *addr)
{
	if (IP_IS_V6(addr))
		return ip6_addr_isloopback(ip_2_ip6(addr)) ||
		       (s->ops->is_own_ip6 && s->ops->is_own_ip6(s, ip_2_ip6(addr)));
	return ip_2_ip4(addr)->addr == s->ip4.address || ip4_addr_isloopback(ip_2_ip4(addr));
}

static int no_ip6(const struct ob_stack *s, const char *text, struct ob_error *err)
{
	ob_error_set(err, -EAFNOSUPPORT, "%.60s: this stack (%s) has no IPv6", text, s->ops->name);
	ob_error_fix(err, "lwIP has");
	return -EAFNOSUPPORT;
}

int ob_stack_parse_address(struct ob_stack *s, const char *text, struct ip_addr *addr,
			   struct ob_error *err)
{
	char own[IP4ADDR_STRLEN_MAX];
	uint32_t a4;

	/* lwIP's own reads "10" as 0.0.0.10, as inet_aton() does; nobody means that. */
	if ((!strchr(text, ':') && strspn(text, "0123456789.") != strlen(text)) ||
	    !ipaddr_aton(text, addr) || (IP_IS_V4(addr) && strlen(text) < 7)) {
		ob_error_set(err, -EINVAL, "'%.60s' is not an IPv4 or IPv6 address", text);
		ob_error_fix(err, "names are not resolved here: give an address, e.g. 10.0.2.2");
		return -EINVAL;
	}
	if (ip_addr_isany(addr) || is_own(s, addr)) {
		ob_error_set(err, -EADDRNOTAVAIL, "%.60s is %s's own address", text, stack_name(s));
		ob_error_why(err, "the stack talks to others only");
		return -EADDRNOTAVAIL;
	}
	if (IP_IS_V6(addr)) {
		if (!s->ops->set_ip6)
			return no_ip6(s, text, err);
		if (ip6_addr_islinklocal(ip_2_ip6(addr)) && !ip6_addr_has_zone(ip_2_ip6(addr)))
			ip6_addr_assign_zone(ip_2_ip6(addr), IP6_UNICAST, &s->netif);
		return 0;
	}
	a4 = ip_2_ip4(addr)->addr;
	if (!s->ip4.address) {
		ob_error_set(err, -ENETUNREACH, "%.60s cannot be reached: %s has no IPv4 address",
			     text, stack_name(s));
		ob_error_fix(err, "give it one, or get one by DHCP, first");
		return -ENETUNREACH;
	}
	if (!is_near(s, a4) && !s->ip4.gateway && !ip4_addr_ismulticast(ip_2_ip4(addr)) &&
	    a4 != IPADDR_BROADCAST) {
		ob_error_set(err, -ENETUNREACH,
			     "%.60s is not in the network of %s, and there is no gateway", text,
			     inet_ntop(AF_INET, &s->ip4.address, own, sizeof(own)));
		ob_error_fix(err, "give a gateway");
		return -ENETUNREACH;
	}
	return 0;
}

bool stack_has_neighbour(struct ob_stack *s, const ip_addr_t *addr, char *hop, size_t size)
{
	uint32_t next;

	hop[0] = '\0';
	if (IP_IS_V6(addr))
		return true; /* lwIP does not say */
	next = ip_2_ip4(addr)->addr;
	if (!is_near(s, next))
		next = s->ip4.gateway;
	inet_ntop(AF_INET, &next, hop, (socklen_t)size);
	return s->ops->has_neighbour(s, next);
}

int stack_set_ip4(struct ob_stack *s, uint32_t address, uint32_t netmask, uint32_t gateway)
{
	s->ip4.address = address;
	s->ip4.netmask = netmask;
	s->ip4.gateway = gateway;
	return s->ops->set_ip4(s);
}

static int split_prefix(const char *text, char *addr, size_t size, unsigned int *prefix)
{
	const char *slash = strchr(text, '/');
	unsigned long n;
	char *end;

	if (!slash || (size_t)(slash - text) >= size || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	n = strtoul(slash + 1, &end, 10);
	if (*end || n > 128)
		return -EINVAL;
	*prefix = (unsigned int)n;
	return 0;
}

int ob_stack_set_address(struct ob_stack *s, const char *text, const char *gateway,
			 struct ob_error *err)
{
	ip4_addr_t mask, gw = {0};
	unsigned int prefix;
	char addr[64];
	ip_addr_t a;
	int ret;

	if (split_prefix(text, addr, sizeof(addr), &prefix) || !ipaddr_aton(addr, &a) ||
	    ip_addr_isany_val(a) || ip_addr_ismulticast(&a) || (IP_IS_V4_VAL(a) && prefix > 32)) {
		ob_error_set(err, -EINVAL, "'%.60s' is not an address with its prefix length",
			     text);
		ob_error_fix(err, "like 10.0.2.15/24 or fd00::2/64");
		return -EINVAL;
	}
	if (IP_IS_V6_VAL(a))
		return s->ops->set_ip6 ? s->ops->set_ip6(s, ip_2_ip6(&a), text, err)
				       : no_ip6(s, text, err);
	if (gateway && !ip4addr_aton(gateway, &gw))
		return ob_error_set(err, -EINVAL, "gateway '%.60s' is not an IPv4 address",
				    gateway);
	mask.addr = prefix ? lwip_htonl(~0u << (32 - prefix)) : 0;
	if (gateway && !ip4_addr_netcmp(&gw, ip_2_ip4(&a), &mask))
		return ob_error_set(err, -EINVAL, "gateway %.60s is not in the network %.60s",
				    gateway, text);
	s->dhcp.state = DHCP_OFF;
	ret = stack_set_ip4(s, ip_2_ip4(&a)->addr, mask.addr, gw.addr);
	return ret ? ob_error_set(err, ret, "%s: address %s is refused: %s", s->ops->name, text,
				  strerror(-ret))
		   : 0;
}

static bool is_bound(void *arg)
{
	const struct ob_stack *s = arg;

	return s->dhcp.state == DHCP_BOUND;
}

int ob_stack_dhcp(struct ob_stack *s, unsigned int timeout_ms, struct ob_stack_lease *lease,
		  struct ob_error *err)
{
	int ret;

	dhcp_start(s);
	ret = ob_stack_wait(s, is_bound, s, timeout_ms);
	if (ret == -ETIMEDOUT) {
		stack_wait_failed(s, ret, err, "no DHCP server answered %s for %u s", stack_name(s),
				  timeout_ms / 1000);
		if (s->dhcp.refused)
			ob_error_why(err, "%lu answers made no sense",
				     (unsigned long)s->dhcp.refused);
		ob_error_fix(err, "is there one on this network? Or give a fixed address");
	} else if (ret) {
		stack_wait_failed(s, ret, err, "while DHCP was asked");
	}
	if (ret) {
		s->dhcp.state = DHCP_OFF;
		return ret;
	}
	if (lease)
		*lease = (struct ob_stack_lease){
			.address = s->dhcp.lease.address,
			.netmask = s->dhcp.lease.netmask,
			.gateway = s->dhcp.lease.gateway,
			.server = s->dhcp.lease.server,
			.dns = s->dhcp.lease.dns,
			.seconds = s->dhcp.lease.seconds,
		};
	return 0;
}

struct netif *ob_stack_netif(struct ob_stack *s)
{
	return s->ops == &stack_lwip ? &s->netif : NULL;
}

void ob_stack_stats(const struct ob_stack *s, struct ob_stack_stats *stats)
{
	*stats = s->stats;
	if (s->ops->stats)
		s->ops->stats(s, stats);
}

int ob_stack_ping(struct ob_stack *s, const char *address, uint16_t seq, size_t len,
		  unsigned int timeout_ms, uint64_t *ns, struct ob_error *err)
{
	struct stack_ping ping = {.stack = s, .len = len};
	char hop[48];
	int ret;

	ret = ob_stack_parse_address(s, address, &ping.to, err);
	if (ret)
		return ret;
	ret = stack_ping_begin(&ping, seq, len, err);
	if (ret)
		return ret;
	ret = s->ops->ping(&ping, timeout_ms);
	if (ret == -ENOMEM)
		return ob_error_set(err, ret, "no memory for an echo request");
	if (ret == -ENETUNREACH)
		return ob_error_set(err, ret, "no way to send an echo request to %s", address);
	if (ret == -EHOSTUNREACH ||
	    (ret == -ETIMEDOUT && !stack_has_neighbour(s, &ping.to, hop, sizeof(hop)))) {
		stack_has_neighbour(s, &ping.to, hop, sizeof(hop));
		ret = stack_wait_failed(s, -EHOSTUNREACH, err, "%s cannot be reached", address);
		if (err && !*err->why)
			ob_error_why(err, "nobody on this network answers to %s (ARP)", hop);
		return ret;
	}
	if (ret)
		return stack_wait_failed(s, ret, err, "%s did not answer", address);
	if (ping.damaged)
		return ob_error_set(err, -EBADMSG, "%s sent back other bytes", address);
	*ns = ping.ns;
	return 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	const struct stack_ops *ops;
} kinds[] = {
	{"lwip", &stack_lwip},
	{"linux", &stack_linux},
};

static const struct stack_ops *find_kind(const char *name, struct ob_error *err)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!name || !strcmp(name, kinds[i].name))
			return kinds[i].ops;
	ob_error_set(err, -EINVAL, "there is no TCP/IP stack '%.40s'", name);
	ob_error_fix(err, "lwip, or, with a driver linux:NAME, linux");
	return NULL;
}

int ob_stack_open_kind(struct ob_net *net, struct ob_loop *loop, const char *kind,
		       struct ob_stack **stack, struct ob_error *err)
{
	struct ob_loop_source source = {
		.poll = poll_stack,
		.arm = arm_stack,
		.tick = tick,
		.fd = net->irq_fd[0],
	};
	const struct stack_ops *ops = find_kind(kind, err);
	struct ob_stack *s;
	int ret;

	if (!ops)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ob_error_set(err, -ENOMEM, "no memory for a stack");
	s->ops = ops;
	s->net = net;
	s->loop = loop;
	ret = ops->open(s, err);
	if (ret)
		goto free_stack;
	follow_link(s);
	source.name = ops->name;
	source.level = ops->level;
	source.arg = s;
	ret = ob_loop_add(loop, &source);
	if (ret) {
		ob_error_set(err, ret, "the loop takes no more sources");
		goto close;
	}
	*stack = s;
	return 0;

close:
	ob_loop_remove(loop, s);
	ops->close(s);
free_stack:
	free(s);
	return ret;
}

int ob_stack_open(struct ob_net *net, struct ob_loop *loop, struct ob_stack **stack,
		  struct ob_error *err)
{
	return ob_stack_open_kind(net, loop, NULL, stack, err);
}

void ob_stack_close(struct ob_stack *s)
{
	if (!s)
		return;
	ob_loop_remove(s->loop, s);
	s->ops->close(s);
	free(s);
}
