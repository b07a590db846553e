/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under a recording or a replay each burst of a driver begins with ob_device_look(). Operations of our own stand in front of the driver's
 * there, so that without a recording nothing is in the way.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "access/record/look.h"
#include "class/look.h"

struct look_net {
	struct ob_net_ops ops; /* first: net->ops points to it */
	const struct ob_net_ops *below;
};

struct look_block {
	struct ob_block_ops ops; /* first: blk->ops points to it */
	const struct ob_block_ops *below;
};

/* ---- net ------------------------------------------------------------------------------------ */

static const struct ob_net_ops *net_below(const struct ob_net *net)
{
	return ((const struct look_net *)(const void *)net->ops)->below;
}

static unsigned int look_rx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n)
{
	ob_device_look(net->dev);
	return net_below(net)->rx_burst(net, queue, pkts, n);
}

static unsigned int look_tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n)
{
	ob_device_look(net->dev);
	return net_below(net)->tx_burst(net, queue, pkts, n);
}

static bool look_net_arm(struct ob_net *net, unsigned int queue, bool on)
{
	ob_device_look(net->dev);
	return net_below(net)->irq_arm(net, queue, on);
}

static int install_net(struct ob_net *net)
{
	struct look_net *l;

	if (!net->ops->rx_burst || !net->ops->tx_burst)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->below = net->ops;
	l->ops = *net->ops;
	l->ops.rx_burst = look_rx_burst;
	l->ops.tx_burst = look_tx_burst;
	if (l->ops.irq_arm)
		l->ops.irq_arm = look_net_arm;
	net->ops = &l->ops;
	return 0;
}

/* ---- block ---------------------------------------------------------------------------------- */

static const struct ob_block_ops *block_below(const struct ob_block *blk)
{
	return ((const struct look_block *)(const void *)blk->ops)->below;
}

static unsigned int look_complete(struct ob_block *blk, unsigned int queue,
				  struct ob_block_req **reqs, unsigned int n)
{
	ob_device_look(blk->dev);
	return block_below(blk)->complete(blk, queue, reqs, n);
}

static bool look_block_arm(struct ob_block *blk, unsigned int queue, bool on)
{
	ob_device_look(blk->dev);
	return block_below(blk)->irq_arm(blk, queue, on);
}

static int install_block(struct ob_block *blk)
{
	struct look_block *l;

	if (!blk->ops->complete)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->below = blk->ops;
	l->ops = *blk->ops;
	l->ops.complete = look_complete;
	if (l->ops.irq_arm)
		l->ops.irq_arm = look_block_arm;
	blk->ops = &l->ops;
	return 0;
}

/* ---- a binding -------------------------------------------------------------------------------- */

int look_install(struct ob_binding *b)
{
	int ret = 0;

	if (!look_wanted(b->dev))
		return 0;
	if (b->net)
		ret = install_net(b->net);
	for (unsigned int i = 0; i < b->nr_blocks && !ret; i++)
		ret = install_block(b->block[i]);
	if (ret)
		look_remove(b);
	return ret;
}

void look_remove(struct ob_binding *b)
{
	if (b->net && b->net->ops->rx_burst == look_rx_burst) {
		const struct ob_net_ops *below = net_below(b->net);

		free((void *)(uintptr_t)b->net->ops);
		b->net->ops = below;
	}
	for (unsigned int i = 0; i < b->nr_blocks; i++) {
		const struct ob_block_ops *below;

		if (b->block[i]->ops->complete != look_complete)
			continue;
		below = block_below(b->block[i]);
		free((void *)(uintptr_t)b->block[i]->ops);
		b->block[i]->ops = below;
	}
}
