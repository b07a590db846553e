// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel's CAN interface for the host: set up as `ip link set can0 up type can bitrate N` does it, frames to it and from it
 * (Documentation/networking/can.rst). Boundary: linux/kit/kit.h.
 */
#include <asm/outboard.h>
#include <linux/can/dev.h>
#include <linux/can/netlink.h>
#include <linux/can/skb.h>
#include <linux/if_arp.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/netlink.h>

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "outboard."

enum {
	FRAMES =
		1024, /* that nobody has read; a power of two. At 1 Mbit/s 47 ms of the shortest frames */
	/* The longest frame takes 0.16 s at the least bit rate, 1 kbit/s; a queue of the controller's holds some dozen. */
	SEND_MS = 5000,
	RESTART_MS = 100, /* after the controller has left the bus for too many errors */
};

/* Bits per second. A bus has one rate, which all that are on it must use: no device can find it. */
static unsigned int can_bitrate = 500000;
module_param(can_bitrate, uint, 0444);
/* Of the data of a CAN FD frame; 0: no CAN FD. */
static unsigned int can_data_bitrate;
module_param(can_data_bitrate, uint, 0444);

/**
 * struct can_port - an interface of the device
 * @queued, @taken: frames given to the driver, and those that it is done with or has written to the controller
 */
struct can_port {
	struct net_device *dev;
	struct packet_type type[2];
	unsigned int queued, taken;
	wait_queue_head_t wait;
};

static struct can_port ports[OB_KIT_CAN_PORTS];
static unsigned int nr_ports;

/* What has arrived at any of them, from @tail to @head. */
static struct ob_kit_can_frame *ring;
static unsigned int head, tail;
static bool lost;

/* ---- frames --------------------------------------------------------------------------------- */

static int arrived(struct sk_buff *skb, struct net_device *dev, struct packet_type *pt,
		   struct net_device *orig_dev)
{
	const struct canfd_frame *cf = (const struct canfd_frame *)skb->data;
	bool fd = skb->protocol == htons(ETH_P_CANFD);
	struct ob_kit_can_frame *f;

	/* Frames of both kinds begin alike. What an interface has sent does not come back to it. */
	if (skb->len != (fd ? CANFD_MTU : CAN_MTU) ||
	    cf->len > (fd ? CANFD_MAX_DLEN : CAN_MAX_DLEN))
		goto drop;
	if (head - tail == FRAMES) {
		if (!lost)
			netdev_warn(dev, "frames are lost, since nobody reads them\n");
		lost = true;
		goto drop;
	}
	f = &ring[head++ % FRAMES];
	f->port = (struct can_port *)pt->af_packet_priv - ports;
	f->id = cf->can_id;
	f->len = cf->len;
	f->flags = fd ? OB_KIT_CAN_FD | (cf->flags & CANFD_BRS ? OB_KIT_CAN_BRS : 0) |
				   (cf->flags & CANFD_ESI ? OB_KIT_CAN_ESI : 0)
		      : 0;
	memcpy(f->data, cf->data, cf->len);
drop:
	kfree_skb(skb);
	return NET_RX_SUCCESS;
}

/* It is in the controller, or was dropped. Its device has been left to it. */
static void taken(struct sk_buff *skb)
{
	unsigned int i;

	for (i = 0; i < nr_ports; i++) {
		if (ports[i].dev != skb->dev)
			continue;
		ports[i].taken++;
		wake_up(&ports[i].wait);
	}
}

static int can_send_(const struct ob_kit_can_frame *f)
{
	struct can_port *port = &ports[f->port];
	struct net_device *dev = port->dev;
	bool fd = f->flags & OB_KIT_CAN_FD;
	unsigned long dropped;
	struct canfd_frame *cf;
	struct sk_buff *skb;
	unsigned int mine;
	int ret;

	if (f->port >= nr_ports || f->len > (fd ? CANFD_MAX_DLEN : CAN_MAX_DLEN))
		return -EINVAL;
	dropped = dev->stats.tx_dropped;
	if (fd && dev->mtu != CANFD_MTU)
		return -EOPNOTSUPP;
	if (!netif_running(dev) || !netif_carrier_ok(dev))
		return -ENETDOWN;
	skb = fd ? alloc_canfd_skb(dev, &cf) : alloc_can_skb(dev, (struct can_frame **)&cf);
	if (!skb)
		return -ENOMEM;
	cf->can_id = f->id;
	cf->len = f->len;
	if (fd)
		cf->flags |= (f->flags & OB_KIT_CAN_BRS ? CANFD_BRS : 0) |
			     (f->flags & OB_KIT_CAN_ESI ? CANFD_ESI : 0);
	memcpy(cf->data, f->data, f->len);
	skb->destructor = taken;
	mine = ++port->queued;
	ret = dev_queue_xmit(skb);
	if (ret > 0)
		ret = net_xmit_errno(ret);
	if (ret)
		return ret;
	if (!wait_event_idle_timeout(port->wait, (int)(port->taken - mine) >= 0,
				     msecs_to_jiffies(SEND_MS)))
		return -ETIMEDOUT;
	return dev->stats.tx_dropped == dropped ? 0 : -EIO;
}

static int can_receive(struct ob_kit_can_frame *f)
{
	if (tail == head)
		return 0;
	if (f)
		*f = ring[tail++ % FRAMES];
	return 1;
}

/* ---- up and down ------------------------------------------------------------------------------ */

/* An attribute as `ip` would send it. */
#define ATTRIBUTE(type)                                                                            \
	struct {                                                                                   \
		struct nlattr nla;                                                                 \
		type value;                                                                        \
	}
#define HEAD(attribute, number)                                                                    \
	{                                                                                          \
		.nla_len = NLA_HDRLEN + sizeof((attribute).value), .nla_type = number              \
	}

static int set_up(struct net_device *dev)
{
	ATTRIBUTE(struct can_ctrlmode) mode = {HEAD(mode, IFLA_CAN_CTRLMODE)};
	ATTRIBUTE(struct can_bittiming) timing = {HEAD(timing, IFLA_CAN_BITTIMING)};
	ATTRIBUTE(struct can_bittiming) fast = {HEAD(fast, IFLA_CAN_DATA_BITTIMING)};
	ATTRIBUTE(u32) restart = {HEAD(restart, IFLA_CAN_RESTART_MS), RESTART_MS};
	struct nlattr *data[IFLA_CAN_MAX + 1] = {NULL};
	struct netlink_ext_ack extack = {0};
	struct can_priv *priv = safe_candev_priv(dev);
	int ret;

	if (!priv || !dev->rtnl_link_ops || !dev->rtnl_link_ops->changelink)
		return -EOPNOTSUPP;
	timing.value.bitrate = can_bitrate;
	data[IFLA_CAN_BITTIMING] = &timing.nla;
	if (can_data_bitrate) {
		mode.value.mask = mode.value.flags = CAN_CTRLMODE_FD;
		fast.value.bitrate = can_data_bitrate;
		data[IFLA_CAN_CTRLMODE] = &mode.nla;
		data[IFLA_CAN_DATA_BITTIMING] = &fast.nla;
	}
	if (priv->do_set_mode)
		data[IFLA_CAN_RESTART_MS] = &restart.nla;
	ret = dev->rtnl_link_ops->changelink(dev, NULL, data, &extack);
	if (ret)
		netdev_err(dev, "it does not take %u bit/s%s: %s\n", can_bitrate,
			   can_data_bitrate ? " with CAN FD" : "",
			   extack._msg ? extack._msg : "no reason given");
	return ret;
}

static void close_port(struct can_port *port)
{
	rtnl_lock();
	dev_close(port->dev);
	rtnl_unlock();
	dev_remove_pack(&port->type[0]);
	dev_remove_pack(&port->type[1]);
}

static int open_port(struct can_port *port)
{
	int i, ret;

	port->queued = port->taken = 0;
	init_waitqueue_head(&port->wait);
	for (i = 0; i < 2; i++) {
		port->type[i] = (struct packet_type){.type = htons(i ? ETH_P_CANFD : ETH_P_CAN),
						     .dev = port->dev,
						     .func = arrived,
						     .af_packet_priv = port};
		dev_add_pack(&port->type[i]);
	}
	rtnl_lock();
	ret = set_up(port->dev);
	if (!ret)
		ret = dev_open(port->dev, NULL);
	rtnl_unlock();
	if (ret)
		close_port(port);
	return ret;
}

static void close_ports(unsigned int n)
{
	while (n--)
		close_port(&ports[n]);
	kvfree(ring);
	ring = NULL;
}

static int can_open_(void)
{
	unsigned int i;
	int ret;

	ring = kvcalloc(FRAMES, sizeof(*ring), GFP_KERNEL);
	if (!ring)
		return -ENOMEM;
	head = tail = 0;
	lost = false;
	for (i = 0; i < nr_ports; i++) {
		ret = open_port(&ports[i]);
		if (ret) {
			close_ports(i);
			return ret;
		}
	}
	return 0;
}

static void can_close_(void)
{
	close_ports(nr_ports);
}

static int can_find(char (*names)[OB_KIT_CAN_NAME], unsigned int n)
{
	struct pci_dev *pdev = outboard_pci_dev();
	struct net_device *dev;

	nr_ports = 0;
	if (!pdev)
		return 0;
	rtnl_lock();
	for_each_netdev(&init_net, dev)
	{
		if (dev->type != ARPHRD_CAN || !outboard_hangs_on(dev->dev.parent, &pdev->dev))
			continue;
		if (nr_ports == min_t(unsigned int, n, OB_KIT_CAN_PORTS))
			break;
		strscpy(names[nr_ports], dev->name, sizeof(names[0]));
		ports[nr_ports++].dev = dev;
	}
	rtnl_unlock();
	return nr_ports;
}

const struct ob_kernel_can outboard_can = {
	.find = can_find,
	.open = can_open_,
	.close = can_close_,
	.send = can_send_,
	.receive = can_receive,
};
