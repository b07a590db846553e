/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the administrator does to a tap interface (`ip link set`, joining multicast groups), told by
 * rtnetlink, and what is set on it.
 */
#ifndef ATTACH_TAP_LINK_H
#define ATTACH_TAP_LINK_H

#include <net/if.h>

#include "attach/tap_netns.h"

enum {
	TAP_LINK_MACS = 64, /* multicast addresses kept; more count as all */
};

/**
 * struct tap_link - the interface as it is now
 * @tun: a descriptor of the interface's, which shows that it is ours
 * @flags: IFF_*
 * @promisc: somebody wants every frame
 * @all_multicast: more groups than fit, or IFF_ALLMULTI
 * @gone: it was deleted
 */
struct tap_link {
	int ctl, rtnl, mcast, tun;
	int index;
	char name[IFNAMSIZ];
	uint8_t mac[6];
	unsigned int mtu;
	unsigned int flags;
	bool promisc, all_multicast, gone;
	uint8_t macs[TAP_LINK_MACS][6];
	unsigned int nr_macs;
	uint32_t seq;
	int error;	  /* of the last request that the kernel acknowledged */
	unsigned int age; /* refreshes until everything is asked again */
};

/** tap_link_subscribe() - have the kernel tell @rtnl of interfaces. Return: 0 or a negative errno value */
int tap_link_subscribe(int rtnl);

/** tap_link_open() - begin to watch interface @name; @ns stays the owner of the descriptors */
int tap_link_open(const struct tap_netns *ns, const char *name, struct tap_link *l,
		  struct ob_error *err);

/**
 * tap_link_refresh() - take what the kernel told since the last call; to be called about every 100 ms
 *
 * Return: true when something in @l changed; @calls grows by the system calls made.
 */
bool tap_link_refresh(struct tap_link *l, uint64_t *calls);

int tap_link_set_mac(struct tap_link *l, const uint8_t mac[6]);
int tap_link_set_mtu(struct tap_link *l, unsigned int mtu);
int tap_link_set_up(struct tap_link *l, bool up);
/** tap_link_set_speed() - what ethtool shows */
int tap_link_set_speed(struct tap_link *l, unsigned int mbps, bool full_duplex);
/** tap_link_add_address() - "10.0.0.1/24" or "fd00::1/64" */
int tap_link_add_address(struct tap_link *l, const char *cidr, struct ob_error *err);

#endif
