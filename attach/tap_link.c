/* SPDX-License-Identifier: BSD-2-Clause */
/* Watches and sets a tap interface: see tap_link.h. rtnetlink(7), netdevice(7). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/broker_ops.h"
#include "attach/tap_link.h"
#include "attach/vduse_broker.h"

enum {
	/* A lost notification, and promiscuity, which has none, are noticed after this many refreshes. */
	ASK_EVERY = 10,
	REPLY_MS = 1000, /* the kernel answers at once; only to turn a bug into an error */
};

/* A table in /proc is read in one go of this size; groups beyond it count as "all". */
enum {
	TABLE_SIZE = 16384,
};

struct ask {
	struct nlmsghdr h;
	struct ifinfomsg i;
};

static int ask(struct tap_link *l)
{
	struct ask a = {
		.h = {.nlmsg_len = sizeof(a),
		      .nlmsg_type = RTM_GETLINK,
		      .nlmsg_flags = NLM_F_REQUEST,
		      .nlmsg_seq = ++l->seq},
		.i = {.ifi_index = l->index},
	};
	/* With this call, which a confined process needs for the keeper, too, and not with another one. */
	struct iovec iov = {&a, sizeof(a)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(l->rtnl, &msg, 0) < 0 ? -errno : 0;
}

static bool set_uint(unsigned int *to, unsigned int v)
{
	bool changed = *to != v;

	*to = v;
	return changed;
}

static bool set_bool(bool *to, bool v)
{
	bool changed = *to != v;

	*to = v;
	return changed;
}

static bool take_attributes(struct tap_link *l, const struct ifinfomsg *i, int len)
{
	const struct rtattr *a = IFLA_RTA(i);
	bool changed = set_uint(&l->flags, i->ifi_flags);

	for (; RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		const void *data = RTA_DATA(a);
		size_t n = RTA_PAYLOAD(a);
		uint32_t v;

		switch (a->rta_type) {
		case IFLA_MTU:
			if (n >= sizeof(v)) {
				memcpy(&v, data, sizeof(v));
				changed |= set_uint(&l->mtu, v);
			}
			break;
		case IFLA_PROMISCUITY:
			if (n >= sizeof(v)) {
				memcpy(&v, data, sizeof(v));
				changed |= set_bool(&l->promisc, v > 0);
			}
			break;
		case IFLA_ADDRESS:
			if (n == 6 && memcmp(l->mac, data, 6)) {
				memcpy(l->mac, data, 6);
				changed = true;
			}
			break;
		case IFLA_IFNAME:
			if (n && n <= IFNAMSIZ && strncmp(l->name, data, n)) {
				memcpy(l->name, data, n);
				l->name[n - 1] = '\0';
				changed = true;
			}
			break;
		}
	}
	return changed;
}

/* One message of the kernel. Others' interfaces are none of our business. */
static bool take_message(struct tap_link *l, const struct nlmsghdr *h, bool *groups, bool *answered)
{
	const struct ifinfomsg *i = NLMSG_DATA(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*i)) || i->ifi_index != l->index)
			return false;
		/* A bridge tells of its ports with the same messages (AF_BRIDGE): not the link's own. */
		if (i->ifi_family != AF_UNSPEC)
			return false;
		if (h->nlmsg_type == RTM_DELLINK)
			return set_bool(&l->gone, true);
		*groups = true;
		if (h->nlmsg_seq == l->seq)
			*answered = true;
		return take_attributes(l, i, (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*i))));
	case RTM_NEWADDR:
	case RTM_DELADDR:
		*groups = true; /* IPv6 joins a group for each address (RFC 4291, 2.7.1) */
		return false;
	case NLMSG_ERROR:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(int)) || h->nlmsg_seq != l->seq)
			return false;
		memcpy(&l->error, NLMSG_DATA(h), sizeof(int));
		*answered = true;
		return false;
	}
	return false;
}

static bool read_messages(struct tap_link *l, bool *groups, bool *answered, uint64_t *calls)
{
	union {
		struct nlmsghdr h;
		char buf[16384];
	} m;
	bool changed = false;

	/* Bounded, so that somebody who changes interfaces for ever cannot hold the loop. */
	for (int i = 0; i < 64; i++) {
		const struct nlmsghdr *h = &m.h;
		struct iovec iov = {&m, sizeof(m)};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(l->rtnl, &msg, MSG_DONTWAIT);
		int len = (int)n;

		(*calls)++;
		if (n < 0 && errno == ENOBUFS) {
			l->age = 0; /* something was lost: ask again */
			continue;
		}
		if (n <= 0)
			break;
		for (; NLMSG_OK(h, (unsigned int)len); h = NLMSG_NEXT(h, len))
			changed |= take_message(l, h, groups, answered);
	}
	return changed;
}

static bool hex_mac(const char *text, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		mac[i] = (uint8_t)byte;
	}
	return true;
}

/* /proc/net/dev_mcast: "INDEX NAME USERS GLOBAL ADDRESS", the address as hexadecimal digits. */
static bool read_groups(struct tap_link *l, uint64_t *calls)
{
	uint8_t macs[TAP_LINK_MACS][6];
	bool all = l->flags & IFF_ALLMULTI;
	char buf[TABLE_SIZE];
	unsigned int n = 0;
	size_t got = 0;

	while (l->mcast >= 0 && got < sizeof(buf) - 1) {
		struct iovec iov = {buf + got, sizeof(buf) - 1 - got};
		/* As pread(); a call less for the sandbox. */
		ssize_t ret = preadv2(l->mcast, &iov, 1, (off_t)got, 0);

		(*calls)++;
		if (ret < 0)
			all = true;
		if (ret <= 0)
			break;
		got += (size_t)ret;
	}
	if (l->mcast < 0 || got == sizeof(buf) - 1)
		all = true;
	buf[got] = '\0';
	for (char *line = buf, *end; *line && !all; line = end + 1) {
		char address[65];
		int index;

		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		if (sscanf(line, "%d %*s %*s %*s %64s", &index, address) != 2 || index != l->index)
			continue;
		if (n == TAP_LINK_MACS || strlen(address) != 12)
			all = true;
		else if (hex_mac(address, macs[n]))
			n++;
	}
	if (all)
		n = 0;
	if (all == l->all_multicast && n == l->nr_macs && !memcmp(macs, l->macs, n * 6))
		return false;
	l->all_multicast = all;
	l->nr_macs = n;
	memcpy(l->macs, macs, n * 6);
	return true;
}

bool tap_link_refresh(struct tap_link *l, uint64_t *calls)
{
	bool groups = false, answered = false, changed;

	if (l->gone)
		return false;
	if (!l->age) {
		l->age = ASK_EVERY;
		groups = true;
		ask(l);
		(*calls)++;
	}
	l->age--;
	changed = read_messages(l, &groups, &answered, calls);
	if (groups)
		changed |= read_groups(l, calls);
	return changed;
}

/* Before the loop runs: wait for what the kernel says to a request. */
static int wait_answer(struct tap_link *l)
{
	bool groups = false, answered = false;
	uint64_t calls = 0;

	l->error = 0;
	while (!answered) {
		struct pollfd p = {.fd = l->rtnl, .events = POLLIN};
		int n = poll(&p, 1, REPLY_MS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ETIMEDOUT;
		read_messages(l, &groups, &answered, &calls);
	}
	return l->error;
}

int tap_link_subscribe(int rtnl)
{
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK}, want = sa;
	socklen_t len = sizeof(sa);

	want.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
	/* The broker, or an earlier driver process, may have done it; answers to that one may be in it. */
	if (!getsockname(rtnl, (struct sockaddr *)&sa, &len) && sa.nl_groups == want.nl_groups)
		return 0;
	return bind(rtnl, (struct sockaddr *)&want, sizeof(want)) ? -errno : 0;
}

int tap_link_open(const struct tap_netns *ns, const char *name, struct tap_link *l,
		  struct ob_error *err)
{
	struct ifreq ifr = {0};
	uint64_t calls = 0;
	int ret;

	memset(l, 0, sizeof(*l));
	l->ctl = ns->ctl;
	l->rtnl = ns->rtnl;
	l->mcast = ns->mcast;
	l->tun = ns->tun[0];
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(l->ctl, SIOCGIFINDEX, &ifr))
		return ob_error_set(err, -errno, "interface %s vanished: %s", name,
				    strerror(errno));
	l->index = ifr.ifr_ifindex;
	l->seq = (uint32_t)ob_clock_ns() & 0xffffff00u;
	ret = tap_link_subscribe(l->rtnl);
	if (ret)
		return ob_error_set(err, ret, "no notifications about interface %s: %s", name,
				    strerror(-ret));
	ret = ask(l);
	if (!ret)
		ret = wait_answer(l);
	if (ret)
		return ob_error_set(err, ret, "the kernel does not describe interface %s", name);
	read_groups(l, &calls);
	l->age = ASK_EVERY;
	return 0;
}

/* Is this descriptor the interface's? Who has one may change the interface: the system calls below do not say so, so it is asked here. */
static bool has_interface(int tun, const char *name)
{
	struct ifreq ifr = {0};

	return !ioctl(tun, TUNGETIFF, &ifr) && !strncmp(ifr.ifr_name, name, IFNAMSIZ);
}

int broker_link_set(struct broker_call *c, struct ob_error *err)
{
	static const unsigned long requests[] = {SIOCSIFHWADDR, SIOCSIFMTU, SIOCGIFFLAGS,
						 SIOCSIFFLAGS, SIOCETHTOOL};
	struct broker_link a = *(const struct broker_link *)c->arg;
	bool known = false;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		known |= a.request == requests[i];
	a.ifr.ifr_name[IFNAMSIZ - 1] = '\0';
	if (!known || (broker_serves() && !has_interface(c->fd[1], a.ifr.ifr_name) &&
		       !vduse_has_interface(a.ifr.ifr_name)))
		return -EPERM;
	if (a.request == SIOCETHTOOL) {
		if (a.speed.cmd != ETHTOOL_SSET)
			return -EPERM;
		a.ifr.ifr_data = (void *)&a.speed;
	}
	if (ioctl(c->fd[0], a.request, &a.ifr))
		return -errno;
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

static int set_with(struct tap_link *l, struct broker_link *a)
{
	struct broker_call c = {
		.arg = a,
		.arg_size = sizeof(*a),
		.fd = {l->ctl, l->tun},
		.nr_fds = 2,
		.res = a,
		.res_size = sizeof(*a),
	};

	snprintf(a->ifr.ifr_name, sizeof(a->ifr.ifr_name), "%s", l->name);
	return broker_call(BROKER_LINK_SET, &c, NULL);
}

static int set(struct tap_link *l, unsigned long request, struct ifreq *ifr)
{
	struct broker_link a = {.request = request, .ifr = *ifr};
	int ret = set_with(l, &a);

	if (!ret)
		*ifr = a.ifr;
	return ret;
}

int tap_link_set_mac(struct tap_link *l, const uint8_t mac[6])
{
	struct ifreq ifr = {0};
	int ret;

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	ret = set(l, SIOCSIFHWADDR, &ifr);
	if (!ret)
		memcpy(l->mac, mac, 6);
	return ret;
}

int tap_link_set_mtu(struct tap_link *l, unsigned int mtu)
{
	struct ifreq ifr = {.ifr_mtu = (int)mtu};
	int ret = set(l, SIOCSIFMTU, &ifr);

	if (!ret)
		l->mtu = mtu;
	return ret;
}

int tap_link_set_up(struct tap_link *l, bool up)
{
	struct ifreq ifr = {0};
	int ret = set(l, SIOCGIFFLAGS, &ifr);

	if (ret)
		return ret;
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags = (short)(ifr.ifr_flags & ~IFF_UP);
	return set(l, SIOCSIFFLAGS, &ifr);
}

int tap_link_set_speed(struct tap_link *l, unsigned int mbps, bool full_duplex)
{
	struct broker_link a = {
		.request = SIOCETHTOOL,
		.speed =
			{
				.cmd = ETHTOOL_SSET,
				.duplex = full_duplex ? DUPLEX_FULL : DUPLEX_HALF,
				.port = PORT_TP,
				.autoneg = AUTONEG_DISABLE,
			},
	};

	ethtool_cmd_speed_set(&a.speed, mbps);
	return set_with(l, &a);
}

static size_t put_attribute(uint8_t *to, unsigned short type, const void *data, size_t n)
{
	struct rtattr a = {.rta_type = type, .rta_len = (unsigned short)RTA_LENGTH(n)};

	memcpy(to, &a, sizeof(a));
	memcpy(to + RTA_LENGTH(0), data, n);
	return RTA_SPACE(n);
}

int broker_link_address(struct broker_call *c, struct ob_error *err)
{
	const struct broker_address *a = c->arg;
	const struct nlmsghdr *h = (const struct nlmsghdr *)a->message;
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	struct ifreq ifr = {0};

	if (a->size > sizeof(a->message) || a->size < NLMSG_LENGTH(sizeof(*m)) ||
	    h->nlmsg_len != a->size || h->nlmsg_type != RTM_NEWADDR)
		return -EPERM;
	ifr.ifr_ifindex = (int)m->ifa_index;
	if (broker_serves() &&
	    (ioctl(c->fd[2], SIOCGIFNAME, &ifr) ||
	     (!has_interface(c->fd[1], ifr.ifr_name) && !vduse_has_interface(ifr.ifr_name))))
		return -EPERM;
	return send(c->fd[0], a->message, a->size, 0) < 0 ? -errno : 0;
}

int tap_link_add_address(struct tap_link *l, const char *cidr, struct ob_error *err)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg a;
		uint8_t attributes[2 * RTA_SPACE(16)];
	} m = {.h = {.nlmsg_type = RTM_NEWADDR,
		     .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
		     .nlmsg_seq = ++l->seq}};
	struct broker_address a = {0};
	struct broker_call c = {
		.arg = &a,
		.arg_size = sizeof(a),
		.fd = {l->rtnl, l->tun, l->ctl},
		.nr_fds = 3,
	};
	const char *slash = strchr(cidr, '/');
	unsigned int bits;
	uint8_t bytes[16];
	char text[64];
	size_t size, n;
	char *end;
	int ret;

	if (!slash || (size_t)(slash - cidr) >= sizeof(text))
		goto bad;
	memcpy(text, cidr, (size_t)(slash - cidr));
	text[slash - cidr] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		m.a.ifa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		m.a.ifa_family = AF_INET6;
	else
		goto bad;
	size = m.a.ifa_family == AF_INET ? 4 : 16;
	bits = (unsigned int)strtoul(slash + 1, &end, 10);
	if (end == slash + 1 || *end || bits > size * 8)
		goto bad;
	m.a.ifa_prefixlen = (uint8_t)bits;
	m.a.ifa_index = (uint32_t)l->index;
	n = put_attribute(m.attributes, IFA_LOCAL, bytes, size);
	n += put_attribute(m.attributes + n, IFA_ADDRESS, bytes, size);
	m.h.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(m.a)) + n);

	a.size = m.h.nlmsg_len;
	memcpy(a.message, &m, a.size);
	ret = broker_call(BROKER_LINK_ADDRESS, &c, NULL);
	if (!ret)
		ret = wait_answer(l);
	if (ret)
		return ob_error_set(err, ret, "address %s for %s: %s", cidr, l->name,
				    strerror(-ret));
	return 0;

bad:
	ob_error_set(err, -EINVAL, "'%s' is not an address with its prefix length", cidr);
	ob_error_fix(err, "e.g. address=192.168.7.1/24 or address=fd00::1/64");
	return -EINVAL;
}
