/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a tap lives: the descriptors that belong to one network namespace. Made by a child process that
 * enters the namespace (or creates it), so that no thread of this process ever changes its own.
 */
#ifndef ATTACH_TAP_NETNS_H
#define ATTACH_TAP_NETNS_H

#include <outboard/error.h>
#include <outboard/net.h>

/**
 * struct tap_netns - descriptors bound to a network namespace; -1 where there is none
 * @tun: one open /dev/net/tun for each queue
 * @ctl: a socket for the ioctls of interfaces, of a kind that cannot send to anybody outside of the machine
 * @rtnl: a non-blocking NETLINK_ROUTE socket
 * @mcast: the namespace's /proc/net/dev_mcast
 * @net: the namespace; -1 for this process's own
 * @user: the user namespace that owns it, where entering needs that first
 *
 * A namespace made by "new" lives as long as @net is open or a process is in it.
 */
struct tap_netns {
	int tun[OB_NET_QUEUES];
	unsigned int queues;
	int ctl, rtnl, mcast;
	int net, user;
};

enum {
	TAP_NETNS_FDS = OB_NET_QUEUES + 5,
};

/** tap_netns_forget() - there is none */
void tap_netns_forget(struct tap_netns *ns);

/** tap_netns_list() - where its descriptors are, in a fixed order, for messages. Return: how many */
unsigned int tap_netns_list(struct tap_netns *ns, unsigned int queues, int *fds[TAP_NETNS_FDS]);

/**
 * tap_netns_open() - get the descriptors
 * @where: NULL for this process's own namespace, "new", "pid:N", a path, or a name below /run/netns
 *
 * Without the right to make a network namespace "new" makes a user namespace around it, in which the
 * caller is root.
 */
int tap_netns_open(const char *where, unsigned int queues, struct tap_netns *ns,
		   struct ob_error *err);
void tap_netns_close(struct tap_netns *ns);

/**
 * tap_netns_can_create() - could this process make a tap, here or in a namespace of its own?
 * @here: set to whether it could in its own namespace
 *
 * Tries it in a child. Return: 0, or why not.
 */
int tap_netns_can_create(bool *here, struct ob_error *err);

#endif
