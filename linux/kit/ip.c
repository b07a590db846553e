/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's own TCP/IP, for the program (linux/kit/ip.h): operations go into the kernel one by one; what happens to sockets by themselves is seen by who polls. */
#include <errno.h>
#include <string.h>

#include "kit/host.h"
#include "kit/ip.h"

/* How often something had happened to a socket when the program last asked. One kernel in a process. */
static unsigned long seen;

struct call {
	void *dev;
	struct ob_ip_request *r;
};

static long call_ask(void *arg)
{
	struct call *c = arg;

	return outboard_kernel.ip->ask(c->dev, c->r);
}

static long ask(struct ob_net *net, struct ob_ip_request *r, bool may_wait)
{
	struct kit *k = kit_net_kernel(net);
	struct call c = {.dev = kit_net_device(net), .r = r};
	long ret;

	pthread_mutex_lock(&k->lock);
	ret = may_wait ? kit_call(k, call_ask, &c) : kit_call_soon(k, call_ask, &c);
	pthread_mutex_unlock(&k->lock);
	return ret;
}

static int ip_open(struct ob_net *net, struct ob_error *err)
{
	struct ob_ip_request r = {.op = OB_IP_ENTER};
	int ret = kit_net_lend(net, true, err);

	if (ret)
		return ret;
	ret = (int)ask(net, &r, true);
	if (!ret)
		return 0;
	kit_net_lend(net, false, NULL);
	ob_error_set(err, ret, "%s: the kernel's driver %s cannot bring the interface up: %s",
		     ob_device_info(net->dev)->name, net->driver, strerror(-ret));
	kit_last_words(kit_net_kernel(net), err);
	return ret;
}

static void ip_close(struct ob_net *net)
{
	struct ob_ip_request r = {.op = OB_IP_LEAVE};

	if (!kit_net_lend(net, false, NULL))
		ask(net, &r, true);
}

static long ip_ask(struct ob_net *net, struct ob_ip_request *r)
{
	return ask(net, r, false);
}

static void ip_info(struct ob_net *net, const struct ob_ip_socket *s, struct ob_ip_info *info)
{
	struct kit *k = kit_net_kernel(net);

	pthread_mutex_lock(&k->lock);
	outboard_kernel.ip->info(s, info);
	pthread_mutex_unlock(&k->lock);
}

static unsigned int ip_diverted(struct ob_net *net, void *frame, unsigned int size)
{
	struct kit *k = kit_net_kernel(net);
	unsigned int len;

	pthread_mutex_lock(&k->lock);
	len = outboard_kernel.ip->diverted(kit_net_device(net), frame, size);
	pthread_mutex_unlock(&k->lock);
	return len;
}

static int ip_poll(struct ob_net *net)
{
	struct kit *k = kit_net_kernel(net);
	unsigned long now;
	int changed;

	pthread_mutex_lock(&k->lock);
	if (outboard_kernel.busy())
		kit_burst(k, kit_in_kernel_nothing, NULL);
	/* Also by an operation of the program's own since then. */
	now = outboard_kernel.ip->changes();
	changed = now != seen;
	seen = now;
	pthread_mutex_unlock(&k->lock);
	return changed;
}

static int ip_arm(struct ob_net *net)
{
	struct kit *k = kit_net_kernel(net);
	bool ready;

	pthread_mutex_lock(&k->lock);
	ready = kit_arm(k) || outboard_kernel.ip->changes() != seen;
	pthread_mutex_unlock(&k->lock);
	return ready;
}

const struct ob_ip_driver kit_ip_driver = {
	.open = ip_open,
	.close = ip_close,
	.ask = ip_ask,
	.info = ip_info,
	.diverted = ip_diverted,
	.poll = ip_poll,
	.arm = ip_arm,
};
