/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap interface is made: descriptors in its network namespace, the interface, its owner. By the broker where the process is
 * confined (attach/broker.h), so without anything of a device. Linux Documentation/networking/tuntap.rst.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "attach/broker_ops.h"
#include "attach/tap_link.h"
#include "attach/tap_make.h"

static bool exists(const struct tap_netns *ns, const char *name)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return !ioctl(ns->ctl, SIOCGIFINDEX, &ifr);
}

static int make_error(const struct broker_tap *a, bool premade, int error, struct ob_error *err)
{
	const char *flags = a->queues > 1 ? "multi_queue vnet_hdr" : "vnet_hdr";

	switch (error) {
	case EPERM:
		ob_error_set(err, -EPERM, "tap: interface %s cannot be made by this user%s%s",
			     a->name, a->has_netns ? " in network namespace " : "",
			     a->has_netns ? a->netns : "");
		ob_error_why(err, "making an interface needs CAP_NET_ADMIN");
		ob_error_fix(
			err,
			"use netns=new, or run as root, or have one made: sudo ip tuntap add %s "
			"mode tap user $USER %s",
			strchr(a->name, '%') ? "ob0" : a->name, flags);
		return -EPERM;
	case EBUSY:
		ob_error_set(err, -EBUSY, "tap: interface %s is in use by another process",
			     a->name);
		ob_error_fix(err, "leave name= out, or choose another");
		return -EBUSY;
	case EINVAL:
	case EEXIST:
		if (premade) {
			ob_error_set(err, -EEXIST,
				     "tap: there is an interface %s, and it does not fit", a->name);
			ob_error_why(err, "it is no tap, or was made with other flags than %s",
				     flags);
			ob_error_fix(err, "ip -details link show %s; or leave name= out", a->name);
			return -EEXIST;
		}
		break;
	}
	return ob_error_set(err, -error, "tap: interface %s cannot be made: %s", a->name,
			    strerror(error));
}

/* One interface with a descriptor for each queue. */
static int make_interface(const struct broker_tap *a, const struct tap_netns *ns,
			  struct broker_tap_made *made, struct ob_error *err)
{
	struct ifreq ifr = {0};

	made->premade = exists(ns, a->name);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", a->name);
	for (unsigned int i = 0; i < a->queues; i++) {
		/* After the first the name is the real one, without %d. */
		ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
		if (a->queues > 1)
			ifr.ifr_flags |= IFF_MULTI_QUEUE;
		if (ioctl(ns->tun[i], TUNSETIFF, &ifr))
			return make_error(a, made->premade, errno, err);
	}
	memcpy(made->name, ifr.ifr_name, sizeof(made->name));
	made->name[IFNAMSIZ - 1] = '\0';
	if (a->has_owner && ioctl(ns->tun[0], TUNSETOWNER, (unsigned long)a->owner))
		return ob_error_set(err, -errno, "tap: owner of %s: %s", made->name,
				    strerror(errno));
	return 0;
}

/* What the command line does not say is not for a confined process to choose. */
static int check_said(const struct broker_tap *a, struct ob_error *err)
{
	char owner[16];

	snprintf(owner, sizeof(owner), "%u", a->owner);
	if ((!strcmp(a->name, TAP_NAME_DEFAULT) || broker_said("name", a->name)) &&
	    (!a->has_netns || broker_said("netns", a->netns)) &&
	    (!a->has_owner || broker_said("owner", owner)))
		return 0;
	return ob_error_set(err, -EPERM, "tap: the driver process asks for another interface");
}

int broker_tap_make(struct broker_call *c, struct ob_error *err)
{
	struct broker_tap a = *(const struct broker_tap *)c->arg;
	struct broker_tap_made *made = c->res;
	struct tap_netns ns;
	int *fds[TAP_NETNS_FDS];
	unsigned int n;
	int ret;

	a.name[sizeof(a.name) - 1] = '\0';
	a.netns[sizeof(a.netns) - 1] = '\0';
	ret = check_said(&a, err);
	if (!ret)
		ret = tap_netns_open(a.has_netns ? a.netns : NULL, a.queues, &ns, err);
	if (ret)
		return ret;
	ret = make_interface(&a, &ns, made, err);
	/* Without a list of the groups that it may join a confined process cannot. */
	if (!ret && tap_link_subscribe(ns.rtnl))
		ret = ob_error_set(err, -errno, "no notifications about interface %s", made->name);
	if (ret) {
		tap_netns_close(&ns);
		return ret;
	}
	made->has = 0;
	n = tap_netns_list(&ns, a.queues, fds);
	for (unsigned int i = 0; i < n; i++) {
		if (*fds[i] < 0)
			continue;
		c->res_fd[c->nr_res_fds++] = *fds[i];
		made->has |= 1u << i;
	}
	return 0;
}

int tap_make(const struct broker_tap *want, struct tap_netns *ns, struct broker_tap_made *made,
	     struct ob_error *err)
{
	struct broker_call c = {
		.arg = want,
		.arg_size = sizeof(*want),
		.res = made,
		.res_size = sizeof(*made),
	};
	int *fds[TAP_NETNS_FDS];
	unsigned int n, at = 0;
	int ret = broker_call(BROKER_TAP_MAKE, &c, err);

	if (ret)
		return ret;
	tap_netns_forget(ns);
	ns->queues = want->queues;
	n = tap_netns_list(ns, want->queues, fds);
	for (unsigned int i = 0; i < n && at < c.nr_res_fds; i++)
		if (made->has & 1u << i)
			*fds[i] = c.res_fd[at++];
	return 0;
}
