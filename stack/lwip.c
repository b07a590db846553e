/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lwIP as a stack: its state, its interface, its timers. Debian
 * builds lwIP for a thread of its own (NO_SYS 0); it is not started. lwip_init() alone is what a
 * system without threads calls, and the package's check of its core lock passes while that thread
 * does not exist.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/init.h>
#include <lwip/mld6.h>
#include <lwip/nd6.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include "stack/stack_private.h"

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

/* ---- the loop's sources ------------------------------------------------------------------ */

/* One timer of the kernel's for all of lwIP's: set only before a sleep, and only when it differs. */
static void arm_timer(struct ob_stack *s)
{
	uint32_t ms = sys_timeouts_sleeptime();
	uint64_t at =
		ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? 0 : ob_clock_ns() + ms * STACK_NS_PER_MS;
	struct itimerspec its = {0};

	/* Within lwIP's own resolution it is the same. */
	if (s->timer_at && at >= s->timer_at && at - s->timer_at < STACK_NS_PER_MS)
		return;
	s->timer_at = at;
	/* All zeroes would disarm it: at least a nanosecond from now, which is at once. */
	its.it_value.tv_sec = (time_t)(at / 1000000000);
	its.it_value.tv_nsec = (long)(at % 1000000000);
	timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static unsigned int poll_lwip(struct ob_stack *s, unsigned int budget)
{
	unsigned int n = stack_receive(s, budget);

	sys_check_timeouts();
	/* Also takes back the buffers of what has been sent. */
	return n + stack_push(s);
}

static bool arm_lwip(struct ob_stack *s, bool on)
{
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

static void push_lwip(struct ob_stack *s)
{
	stack_push(s);
}

static void set_link(struct ob_stack *s)
{
	if (s->link)
		netif_set_link_up(&s->netif);
	else
		netif_set_link_down(&s->netif);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static int set_ip4(struct ob_stack *s)
{
	ip4_addr_t address = {s->ip4.address}, mask = {s->ip4.netmask}, gateway = {s->ip4.gateway};

	netif_set_addr(&s->netif, &address, &mask, &gateway);
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

static bool is_own_ip6(struct ob_stack *s, const ip6_addr_t *addr)
{
	return netif_get_ip6_addr_match(&s->netif, addr) >= 0;
}

static bool has_neighbour(struct ob_stack *s, uint32_t hop)
{
	const ip4_addr_t next = {hop}, *entry;
	struct eth_addr *mac;

	return etharp_find_addr(&s->netif, &next, &mac, &entry) >= 0;
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

static int open_lwip(struct ob_stack *s, struct ob_error *err)
{
	struct ob_loop_source timer = {
		.name = "lwIP's timers",
		.poll = poll_timer,
		.arg = s, /* removed with the stack's own */
		.level = true,
	};
	int ret = lwip_acquire(err);

	if (ret)
		return ret;
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0) {
		ret = ob_error_set(err, -errno, "no timer for a stack: %s", strerror(errno));
		goto release;
	}
	ret = stack_frames_open(s, err);
	if (ret)
		goto close_timer;
	ret = ob_net_start(s->net, err);
	if (ret)
		goto close_frames;
	ret = add_netif(s, err);
	if (ret)
		goto stop;
	timer.fd = s->timer_fd;
	ret = ob_loop_add(s->loop, &timer);
	if (!ret)
		return 0;
	ob_error_set(err, ret, "the loop takes no more sources");
	netif_remove(&s->netif);
stop:
	ob_net_stop(s->net);
close_frames:
	stack_frames_close(s);
close_timer:
	close(s->timer_fd);
release:
	lwip_release();
	return ret;
}

static void close_lwip(struct ob_stack *s)
{
	uint64_t until;

	/* Resets what connections there are, by frames that are still sent. */
	netif_remove(&s->netif);
	stack_push(s);
	/* A full ring of a card at 10 Mbit/s takes longer than this, and is not waited for. */
	for (until = ob_clock_ns() + 20 * STACK_NS_PER_MS;
	     s->pool->n < s->pool->size && ob_clock_ns() < until && !ob_device_gone(s->net->dev);)
		stack_push(s);
	if (s->stats.rx_held)
		ob_device_log(s->net->dev, OB_LOG_ERROR,
			      "the stack is closed while %lu received frames are still in use",
			      (unsigned long)s->stats.rx_held);
	ob_net_stop(s->net);
	stack_frames_close(s);
	close(s->timer_fd);
	lwip_release();
}

const struct stack_ops stack_lwip = {
	.name = "lwIP",
	.open = open_lwip,
	.close = close_lwip,
	.poll = poll_lwip,
	.arm = arm_lwip,
	.push = push_lwip,
	.set_link = set_link,
	.set_ip4 = set_ip4,
	.set_ip6 = set_ip6,
	.is_own_ip6 = is_own_ip6,
	.has_neighbour = has_neighbour,
	.send_frame = stack_send_bytes,
	.ping = lwip_ping,
	.stream = &lwip_stream,
};
