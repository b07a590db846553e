/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's life: lwIP's interface, its timers and the device as one source of our loop. Debian
 * builds lwIP for a thread of its own (NO_SYS 0); it is not started. lwip_init() alone is what a
 * system without threads calls, and the package's check of its core lock passes while that thread
 * does not exist.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/mld6.h>
#include <lwip/nd6.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include "stack/stack_private.h"

#define NS_PER_MS 1000000ull

enum {
	/* One probe and a second of silence, begun at lwIP's next second; more on a busy machine. */
	PROBE_MS = 20000,
};

/* lwIP's own state is the process's; this says who uses it. */
static struct {
	pthread_mutex_t lock;
	pthread_t owner;
	unsigned int stacks;
	bool initialised;
} lwip = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int lwip_acquire(struct ob_error *err)
{
	unsigned int seed;
	int ret = 0;

	pthread_mutex_lock(&lwip.lock);
	if (lwip.stacks && !pthread_equal(lwip.owner, pthread_self())) {
		ret = ob_error_set(err, -EBUSY,
				   "another thread of this process has a TCP/IP stack open");
		ob_error_why(err, "lwIP has one state per process, without locks");
		ob_error_fix(err, "open all stacks from one thread");
		goto unlock;
	}
	lwip.owner = pthread_self();
	lwip.stacks++;
	if (!lwip.initialised) {
		/* Local ports come from rand() (LWIP_RAND() of Debian 12): or each run would use the same. */
		if (getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed))
			srand(seed);
		lwip_init();
		lwip.initialised = true;
	}
unlock:
	pthread_mutex_unlock(&lwip.lock);
	return ret;
}

static void lwip_release(void)
{
	pthread_mutex_lock(&lwip.lock);
	lwip.stacks--;
	pthread_mutex_unlock(&lwip.lock);
}

const char *stack_name(const struct ob_stack *s)
{
	return ob_device_info(s->net->dev)->name;
}

/* ---- multicast filters ------------------------------------------------------------------ */

static void apply_groups(struct ob_stack *s)
{
	const struct ob_net_ops *ops = s->net->ops;
	bool promisc = s->groups > STACK_GROUPS || !ops->set_multicast;

	if (!promisc && ops->set_multicast(s->net, (const uint8_t(*)[6])s->group, s->groups))
		promisc = true;
	if (promisc != s->promisc && ops->set_promisc && !ops->set_promisc(s->net, promisc))
		s->promisc = promisc;
}

static void change_group(struct ob_stack *s, const uint8_t mac[6], bool add)
{
	unsigned int i, n = s->groups < STACK_GROUPS ? s->groups : STACK_GROUPS;

	for (i = 0; i < n && memcmp(s->group[i], mac, 6); i++)
		;
	if (i < n) {
		s->group_users[i] += add ? 1 : -1u;
		if (s->group_users[i])
			return;
		/* Once there were too many, some are not in the table and all is received. */
		if (s->groups > STACK_GROUPS)
			return;
		s->groups--;
		memcpy(s->group[i], s->group[s->groups], 6);
		s->group_users[i] = s->group_users[s->groups];
	} else if (!add) {
		return;
	} else if (s->groups < STACK_GROUPS) {
		memcpy(s->group[s->groups], mac, 6);
		s->group_users[s->groups++] = 1;
	} else {
		s->groups = STACK_GROUPS + 1;
	}
	apply_groups(s);
}

static err_t igmp_filter(struct netif *netif, const ip4_addr_t *group,
			 enum netif_mac_filter_action action)
{
	/* RFC 1112, 6.4 */
	uint8_t mac[6] = {
		0x01, 0x00, 0x5e, ip4_addr2(group) & 0x7f, ip4_addr3(group), ip4_addr4(group)};

	change_group(netif->state, mac, action == NETIF_ADD_MAC_FILTER);
	return ERR_OK;
}

static err_t mld_filter(struct netif *netif, const ip6_addr_t *group,
			enum netif_mac_filter_action action)
{
	uint8_t mac[6] = {0x33, 0x33}; /* RFC 2464, 7 */

	memcpy(mac + 2, (const uint8_t *)group->addr + 12, 4);
	change_group(netif->state, mac, action == NETIF_ADD_MAC_FILTER);
	return ERR_OK;
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

/* One timer of the kernel's for all of lwIP's: set only before a sleep, and only when it differs. */
static void arm_timer(struct ob_stack *s)
{
	uint32_t ms = sys_timeouts_sleeptime();
	uint64_t at = ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? 0 : ob_clock_ns() + ms * NS_PER_MS;
	struct itimerspec its = {0};

	/* Within lwIP's own resolution it is the same. */
	if (s->timer_at && at >= s->timer_at && at - s->timer_at < NS_PER_MS)
		return;
	s->timer_at = at;
	/* All zeroes would disarm it: at least a nanosecond from now, which is at once. */
	its.it_value.tv_sec = (time_t)(at / 1000000000);
	its.it_value.tv_nsec = (long)(at % 1000000000);
	timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static unsigned int poll_stack(void *arg, unsigned int budget)
{
	struct ob_stack *s = arg;
	unsigned int n = stack_receive(s, budget);

	sys_check_timeouts();
	/* Also takes back the buffers of what has been sent. */
	n += stack_push(s);
	if (n)
		look(s);
	return n;
}

static bool arm_stack(void *arg, bool on)
{
	struct ob_stack *s = arg;
	bool pending = false;

	if (s->net->ops->irq_arm)
		pending = s->net->ops->irq_arm(s->net, 0, on);
	if (on)
		arm_timer(s);
	/* A ring that is full is looked at again soon. */
	return pending || s->tx_count;
}

static unsigned int poll_timer(void *arg, unsigned int budget)
{
	struct ob_stack *s = arg;
	uint64_t n;

	/* What is due is done by poll_stack() in the same round; here the descriptor becomes quiet again. */
	if (s->timer_at && ob_clock_ns() >= s->timer_at &&
	    read(s->timer_fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		s->timer_at = 0;
	return 0;
}

static void follow_link(struct ob_stack *s)
{
	struct ob_net_link link = {.up = true};

	if (s->net->ops->link)
		s->net->ops->link(s->net, &link);
	if (link.up == s->link)
		return;
	s->link = link.up;
	if (link.up)
		netif_set_link_up(&s->netif);
	else
		netif_set_link_down(&s->netif);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct ob_stack *s = arg;

	if (s->net->ops->tick)
		s->net->ops->tick(s->net, now_ns);
	follow_link(s);
	dhcp_tick(s, now_ns);
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
		s->deadline = ob_clock_ns() + timeout_ms * NS_PER_MS;
}

int ob_stack_wait(struct ob_stack *s, bool (*done)(void *arg), void *arg, unsigned int timeout_ms)
{
	int ret = 0;

	if (s->waiting)
		return -EDEADLK; /* from a callback */
	s->done = done;
	s->done_arg = arg;
	s->deadline = timeout_ms ? ob_clock_ns() + timeout_ms * NS_PER_MS : 0;
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
		stack_push(s);
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

static bool is_own(struct ob_stack *s, const ip_addr_t *addr)
{
	if (IP_IS_V6(addr))
		return netif_get_ip6_addr_match(&s->netif, ip_2_ip6(addr)) >= 0 ||
		       ip6_addr_isloopback(ip_2_ip6(addr));
	return ip4_addr_cmp(ip_2_ip4(addr), netif_ip4_addr(&s->netif)) ||
	       ip4_addr_isloopback(ip_2_ip4(addr));
}

int ob_stack_parse_address(struct ob_stack *s, const char *text, struct ip_addr *addr,
			   struct ob_error *err)
{
	const struct netif *n = &s->netif;
	ip4_addr_t *a4;

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
		if (ip6_addr_islinklocal(ip_2_ip6(addr)) && !ip6_addr_has_zone(ip_2_ip6(addr)))
			ip6_addr_assign_zone(ip_2_ip6(addr), IP6_UNICAST, n);
		return 0;
	}
	a4 = ip_2_ip4(addr);
	if (ip4_addr_isany_val(*netif_ip4_addr(n))) {
		ob_error_set(err, -ENETUNREACH, "%.60s cannot be reached: %s has no IPv4 address",
			     text, stack_name(s));
		ob_error_fix(err, "give it one, or get one by DHCP, first");
		return -ENETUNREACH;
	}
	if (!ip4_addr_netcmp(a4, netif_ip4_addr(n), netif_ip4_netmask(n)) &&
	    ip4_addr_isany_val(*netif_ip4_gw(n)) && !ip4_addr_ismulticast(a4) &&
	    a4->addr != IPADDR_BROADCAST) {
		ob_error_set(err, -ENETUNREACH,
			     "%.60s is not in the network of %s, and there is no gateway", text,
			     ip4addr_ntoa(netif_ip4_addr(n)));
		ob_error_fix(err, "give a gateway");
		return -ENETUNREACH;
	}
	return 0;
}

bool stack_has_neighbour(struct ob_stack *s, const ip_addr_t *addr, char *hop, size_t size)
{
	const ip4_addr_t *next, *entry;
	struct eth_addr *mac;

	hop[0] = '\0';
	if (IP_IS_V6(addr))
		return true; /* lwIP does not say */
	next = ip_2_ip4(addr);
	if (!ip4_addr_netcmp(next, netif_ip4_addr(&s->netif), netif_ip4_netmask(&s->netif)))
		next = netif_ip4_gw(&s->netif);
	ip4addr_ntoa_r(next, hop, (int)size);
	return etharp_find_addr(&s->netif, next, &mac, &entry) >= 0;
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

struct probe {
	const struct ob_stack *stack;
	s8_t index;
};

/* lwIP looks whether somebody else has it (RFC 4862, 5.4) before it sends from it. */
static bool is_probed(void *arg)
{
	const struct probe *p = arg;

	return !ip6_addr_istentative(netif_ip6_addr_state(&p->stack->netif, p->index));
}

static int set_ip6(struct ob_stack *s, const ip6_addr_t *a, const char *text, struct ob_error *err)
{
	struct probe probe = {.stack = s};
	int ret;

	if (netif_add_ip6_address(&s->netif, a, &probe.index) != ERR_OK)
		return ob_error_set(err, -ENOSPC, "no room for another IPv6 address: %s", text);
	ret = ob_stack_wait(s, is_probed, &probe, PROBE_MS);
	if (ret)
		return stack_wait_failed(s, ret, err, "address %s cannot be tried", text);
	if (!ip6_addr_isvalid(netif_ip6_addr_state(&s->netif, probe.index)))
		return ob_error_set(err, -EADDRINUSE, "somebody on this network has address %s",
				    text);
	return 0;
}

int ob_stack_set_address(struct ob_stack *s, const char *text, const char *gateway,
			 struct ob_error *err)
{
	ip4_addr_t mask, gw = {0};
	unsigned int prefix;
	char addr[64];
	ip_addr_t a;

	if (split_prefix(text, addr, sizeof(addr), &prefix) || !ipaddr_aton(addr, &a) ||
	    ip_addr_isany_val(a) || ip_addr_ismulticast(&a) || (IP_IS_V4_VAL(a) && prefix > 32)) {
		ob_error_set(err, -EINVAL, "'%.60s' is not an address with its prefix length",
			     text);
		ob_error_fix(err, "like 10.0.2.15/24 or fd00::2/64");
		return -EINVAL;
	}
	if (IP_IS_V6_VAL(a))
		return set_ip6(s, ip_2_ip6(&a), text, err);
	if (gateway && !ip4addr_aton(gateway, &gw))
		return ob_error_set(err, -EINVAL, "gateway '%.60s' is not an IPv4 address",
				    gateway);
	mask.addr = prefix ? lwip_htonl(~0u << (32 - prefix)) : 0;
	if (gateway && !ip4_addr_netcmp(&gw, ip_2_ip4(&a), &mask))
		return ob_error_set(err, -EINVAL, "gateway %.60s is not in the network %.60s",
				    gateway, text);
	s->dhcp.state = DHCP_OFF;
	netif_set_addr(&s->netif, ip_2_ip4(&a), &mask, &gw);
	return 0;
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
	return &s->netif;
}

void ob_stack_stats(const struct ob_stack *s, struct ob_stack_stats *stats)
{
	*stats = s->stats;
}

/* ---- open and close -------------------------------------------------------------------------- */

static err_t init_netif(struct netif *netif)
{
	const struct ob_stack *s = netif->state;

	netif->name[0] = 'o';
	netif->name[1] = 'b';
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = stack_link_output;
	netif->hwaddr_len = 6;
	memcpy(netif->hwaddr, s->net->mac, 6);
	netif->mtu = (u16_t)s->net->mtu;
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
		       NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
	netif_set_igmp_mac_filter(netif, igmp_filter);
	netif_set_mld_mac_filter(netif, mld_filter);
	return ERR_OK;
}

static int add_netif(struct ob_stack *s, struct ob_error *err)
{
	if (!netif_add_noaddr(&s->netif, s, init_netif, ethernet_input))
		return ob_error_set(err, -ENOSPC, "lwIP takes no more interfaces");
	s->was_default = !netif_default;
	if (s->was_default)
		netif_set_default(&s->netif);
	netif_create_ip6_linklocal_address(&s->netif, 1);
	netif_set_ip6_autoconfig_enabled(&s->netif, 1);
	netif_set_up(&s->netif);
	return 0;
}

static int add_sources(struct ob_stack *s, struct ob_error *err)
{
	struct ob_loop_source source = {
		.name = "lwIP",
		.poll = poll_stack,
		.arm = arm_stack,
		.tick = tick,
		.arg = s,
		.fd = s->net->irq_fd[0],
	};
	int ret = ob_loop_add(s->loop, &source);

	if (!ret) {
		source = (struct ob_loop_source){
			.name = "lwIP's timers",
			.poll = poll_timer,
			.arg = s, /* the two are removed together */
			.fd = s->timer_fd,
			.level = true,
		};
		ret = ob_loop_add(s->loop, &source);
	}
	if (ret)
		ob_error_set(err, ret, "the loop takes no more sources");
	return ret;
}

int ob_stack_open(struct ob_net *net, struct ob_loop *loop, struct ob_stack **stack,
		  struct ob_error *err)
{
	struct ob_stack *s;
	int ret;

	ret = lwip_acquire(err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s) {
		ret = ob_error_set(err, -ENOMEM, "no memory for a stack");
		goto release;
	}
	s->net = net;
	s->loop = loop;
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0) {
		ret = ob_error_set(err, -errno, "no timer for a stack: %s", strerror(errno));
		goto free_stack;
	}
	ret = stack_frames_open(s, err);
	if (ret)
		goto close_timer;
	ret = ob_net_start(net, err);
	if (ret)
		goto close_frames;
	ret = add_netif(s, err);
	if (ret)
		goto stop;
	follow_link(s);
	ret = add_sources(s, err);
	if (ret)
		goto remove;
	*stack = s;
	return 0;

remove:
	ob_loop_remove(loop, s);
	netif_remove(&s->netif);
stop:
	ob_net_stop(net);
close_frames:
	stack_frames_close(s);
close_timer:
	close(s->timer_fd);
free_stack:
	free(s);
release:
	lwip_release();
	return ret;
}

void ob_stack_close(struct ob_stack *s)
{
	uint64_t until;

	if (!s)
		return;
	ob_loop_remove(s->loop, s);
	/* Resets what connections there are, by frames that are still sent. */
	netif_remove(&s->netif);
	stack_push(s);
	/* A full ring of a card at 10 Mbit/s takes longer than this, and is not waited for. */
	for (until = ob_clock_ns() + 20 * NS_PER_MS;
	     s->pool->n < s->pool->size && ob_clock_ns() < until && !ob_device_gone(s->net->dev);)
		stack_push(s);
	if (s->stats.rx_held)
		ob_device_log(s->net->dev, OB_LOG_ERROR,
			      "the stack is closed while %lu received frames are still in use",
			      (unsigned long)s->stats.rx_held);
	ob_net_stop(s->net);
	stack_frames_close(s);
	close(s->timer_fd);
	free(s);
	lwip_release();
}
