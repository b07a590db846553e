// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel's network device for the host: frames to be sent go straight into the driver's transmit function, as socket
 * buffers over the host's own memory; received ones are taken from the stack before any protocol sees them. The
 * rest is what ethtool asks, by the driver's own functions. Boundary: linux/kit/kit.h.
 */
#include <asm/outboard.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/version.h>

enum {
	DEVICES = 4,
	/* Headers lie in the linear part, where drivers look at them; more is not copied. */
	LINEAR = 128,
	RX_RING = 1024,
	TX_BATCH = 64,
};

struct nic {
	struct net_device *dev;
	bool is_open;

	/* Received, in order; a ring of a power of two. */
	struct sk_buff *rx[RX_RING];
	unsigned int rx_head, rx_tail;
	unsigned long rx_overflow;

	/* What the driver had no room for: goes first the next time. */
	struct sk_buff *waiting;

	/* Of the link, asked for when the carrier changes. */
	bool link_known;
	int link_was;
	struct ob_kit_net_link link;
};

/* A frame over the host's memory: when the last reference to it goes, the host gets it back. */
struct loan {
	struct ubuf_info uarg;
	void *cookie;
};

static struct nic nics[DEVICES];

/* Of net/ethtool/common.h, which only its own files include. */
extern const char netdev_features_strings[NETDEV_FEATURE_COUNT][ETH_GSTRING_LEN];

/* ---- to be sent --------------------------------------------------------------------------- */

static void loan_ended(struct sk_buff *skb, struct ubuf_info *uarg, bool success)
{
	struct loan *loan = container_of(uarg, struct loan, uarg);

	outboard_ops->sent(outboard_host, loan->cookie);
	kfree(loan);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
static const struct ubuf_info_ops loan_ops = {.complete = loan_ended};
#endif

static bool is_ours(const void *p, unsigned int len)
{
	u64 phys = __pa(p);

	return phys < outboard_memory.size && len <= outboard_memory.size - phys;
}

/* Pages as fragments, at most a page each: they are page structs of their own. */
static int add_pages(struct sk_buff *skb, u8 *data, unsigned int len)
{
	while (len) {
		unsigned int off = offset_in_page(data);
		unsigned int n = min_t(unsigned int, len, PAGE_SIZE - off);
		int i = skb_shinfo(skb)->nr_frags;
		struct page *page = virt_to_page(data);

		if (skb_can_coalesce(skb, i, page, off)) {
			skb_frag_size_add(&skb_shinfo(skb)->frags[i - 1], n);
		} else {
			if (i == MAX_SKB_FRAGS)
				return -EMSGSIZE;
			get_page(page);
			skb_fill_page_desc(skb, i, page, off, n);
		}
		skb->len += n;
		skb->data_len += n;
		skb->truesize += n;
		data += n;
		len -= n;
	}
	return 0;
}

static int set_offloads(struct sk_buff *skb, const struct ob_kit_frame *f)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);

	skb_reset_mac_header(skb);
	skb->protocol = eth_hdr(skb)->h_proto;
	skb_set_network_header(skb, ETH_HLEN);
	if (eth_type_vlan(skb->protocol)) {
		int depth = 0;

		skb->protocol = __vlan_get_protocol(skb, skb->protocol, &depth);
		skb_set_network_header(skb, depth ? depth : ETH_HLEN);
	}
	if (f->csum_partial && !skb_partial_csum_set(skb, f->csum_start, f->csum_offset))
		return -EINVAL;
	if (!f->gso)
		return 0;
	if (!f->csum_partial || !f->gso_size)
		return -EINVAL;
	/* In the order of enum ob_gso_type: TCP over IPv4, over IPv6, UDP. */
	shinfo->gso_type = f->gso == 1	 ? SKB_GSO_TCPV4
			   : f->gso == 2 ? SKB_GSO_TCPV6
					 : SKB_GSO_UDP_L4;
	/* Whoever sent it may have headers that lie: the core looks at them, and counts the segments. */
	shinfo->gso_type |= SKB_GSO_DODGY;
	shinfo->gso_size = f->gso_size;
	shinfo->gso_segs = 0;
	return 0;
}

static struct sk_buff *make_skb(struct nic *n, const struct ob_kit_frame *f)
{
	unsigned int head = min_t(unsigned int, f->len, LINEAR), left = head, i;
	struct loan *loan = NULL;
	struct sk_buff *skb;
	bool copy = f->len <= head;

	for (i = 0; i < f->n; i++)
		copy |= !is_ours(f->piece[i].data, f->piece[i].len);
	/* Memory that the device does not see, and small frames, are copied. */
	if (copy && f->len > head)
		skb = alloc_skb_with_frags(LL_MAX_HEADER + head, f->len - head, 3, &(int){0},
					   GFP_ATOMIC);
	else
		skb = alloc_skb(LL_MAX_HEADER + head, GFP_ATOMIC);
	if (!skb)
		return NULL;
	skb_reserve(skb, LL_MAX_HEADER);
	skb->dev = n->dev;

	if (copy) {
		unsigned int at = 0;

		skb_put(skb, head);
		skb->len = f->len;
		skb->data_len = f->len - head;
		for (i = 0; i < f->n; i++) {
			if (skb_store_bits(skb, at, f->piece[i].data, f->piece[i].len))
				goto drop;
			at += f->piece[i].len;
		}
	} else {
		for (i = 0; i < f->n; i++) {
			unsigned int len = min(left, f->piece[i].len);

			if (len)
				skb_put_data(skb, f->piece[i].data, len);
			left -= len;
			if (add_pages(skb, f->piece[i].data + len, f->piece[i].len - len))
				goto drop;
		}
		loan = kmalloc(sizeof(*loan), GFP_ATOMIC);
		if (!loan)
			goto drop;
		memset(loan, 0, sizeof(*loan));
		loan->cookie = f->cookie;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
		loan->uarg.callback = loan_ended;
#else
		loan->uarg.ops = &loan_ops;
#endif
		loan->uarg.flags = SKBFL_ZEROCOPY_ENABLE;
		refcount_set(&loan->uarg.refcnt, 1);
		skb_zcopy_init(skb, &loan->uarg);
	}
	if (set_offloads(skb, f)) {
		if (loan) {
			/* The caller tells the host. */
			skb_shinfo(skb)->destructor_arg = NULL;
			skb_shinfo(skb)->flags &= ~SKBFL_ALL_ZEROCOPY;
			kfree(loan);
		}
		goto drop;
	}
	if (!loan)
		outboard_ops->sent(outboard_host, f->cookie);
	return skb;

drop:
	kfree_skb(skb);
	return NULL;
}

/* To the driver. Returns what it did not take. */
static struct sk_buff *send_list(struct nic *n, struct sk_buff *skb)
{
	struct netdev_queue *txq = netdev_get_tx_queue(n->dev, 0);

	HARD_TX_LOCK(n->dev, txq, 0);
	while (skb && !netif_xmit_frozen_or_stopped(txq)) {
		struct sk_buff *next = skb->next;

		skb_mark_not_on_list(skb);
		if (netdev_start_xmit(skb, n->dev, txq, next) == NETDEV_TX_BUSY) {
			skb->next = next;
			break;
		}
		skb = next;
	}
	HARD_TX_UNLOCK(n->dev, txq);
	return skb;
}

static unsigned int net_xmit(void *net, struct ob_kit_frame *frames, unsigned int count)
{
	struct nic *n = net;
	struct sk_buff *first = NULL, *last = NULL;
	unsigned int i;
	bool again;

	if (!n->is_open)
		return 0;
	if (n->waiting)
		n->waiting = send_list(n, n->waiting);
	if (n->waiting || netif_xmit_frozen_or_stopped(netdev_get_tx_queue(n->dev, 0)))
		return 0;
	for (i = 0; i < count && i < TX_BATCH; i++) {
		struct sk_buff *skb = make_skb(n, &frames[i]);

		if (!skb) {
			n->dev->stats.tx_dropped++;
			outboard_ops->sent(outboard_host, frames[i].cookie);
			continue;
		}
		if (last)
			last->next = skb;
		else
			first = skb;
		last = skb;
	}
	/* What this device cannot do for a frame, the core does: segments, sums, a linear copy. */
	first = validate_xmit_skb_list(first, n->dev, &again);
	n->waiting = send_list(n, first);
	return i;
}

/* ---- received ------------------------------------------------------------------------------ */

static rx_handler_result_t received(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	struct nic *n = rcu_dereference(skb->dev->rx_handler_data);

	if (n->rx_head - n->rx_tail == RX_RING) {
		n->rx_overflow++;
		kfree_skb(skb);
		return RX_HANDLER_CONSUMED;
	}
	skb_push(skb, ETH_HLEN);
	if (skb_vlan_tag_present(skb)) {
		skb = __vlan_hwaccel_push_inside(skb);
		if (!skb)
			return RX_HANDLER_CONSUMED;
	}
	if (skb_has_frag_list(skb) && skb_linearize(skb)) {
		kfree_skb(skb);
		return RX_HANDLER_CONSUMED;
	}
	n->rx[n->rx_head++ % RX_RING] = skb;
	return RX_HANDLER_CONSUMED;
}

static unsigned int net_receive(void *net, struct ob_kit_frame *frames, unsigned int count)
{
	struct nic *n = net;
	unsigned int i;

	for (i = 0; i < count && n->rx_tail != n->rx_head; i++) {
		struct sk_buff *skb = n->rx[n->rx_tail++ % RX_RING];
		struct ob_kit_frame *f = &frames[i];
		int j;

		f->n = 0;
		f->len = skb->len;
		f->cookie = skb;
		f->csum_ok = skb->ip_summed == CHECKSUM_UNNECESSARY;
		if (skb_headlen(skb))
			f->piece[f->n++] = (struct ob_kit_piece){skb->data, skb_headlen(skb)};
		for (j = 0; j < skb_shinfo(skb)->nr_frags; j++) {
			const skb_frag_t *frag = &skb_shinfo(skb)->frags[j];

			f->piece[f->n++] =
				(struct ob_kit_piece){skb_frag_address(frag), skb_frag_size(frag)};
		}
	}
	return i;
}

static void net_release(void *net, void *const *cookies, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		consume_skb(cookies[i]);
}

static int net_waiting(void *net)
{
	struct nic *n = net;

	return n->rx_head != n->rx_tail;
}

/* ---- up and down ---------------------------------------------------------------------------- */

static int net_open(void *net)
{
	struct nic *n = net;
	struct net_device *dev = n->dev;
	int ret;

	if (n->is_open)
		return 0;
	rtnl_lock();
	/* Frames as they were on the wire: the attachment, or who is behind it, puts them together. */
	dev->wanted_features &=
		~(NETIF_F_GRO | NETIF_F_LRO | NETIF_F_GRO_HW | NETIF_F_HW_VLAN_CTAG_RX);
	netdev_update_features(dev);
	ret = netdev_rx_handler_register(dev, received, n);
	if (!ret) {
		ret = dev_open(dev, NULL);
		if (ret)
			netdev_rx_handler_unregister(dev);
	}
	rtnl_unlock();
	n->is_open = !ret;
	return ret;
}

static void net_stop(void *net)
{
	struct nic *n = net;

	if (!n->is_open)
		return;
	n->is_open = false;
	rtnl_lock();
	dev_close(n->dev);
	netdev_rx_handler_unregister(n->dev);
	rtnl_unlock();
	kfree_skb_list(n->waiting);
	n->waiting = NULL;
	while (n->rx_tail != n->rx_head)
		kfree_skb(n->rx[n->rx_tail++ % RX_RING]);
	n->link_known = false;
}

/* ---- questions -------------------------------------------------------------------------------- */

static void net_info(void *net, struct ob_kit_net_info *info)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	const struct ethtool_ops *ops = dev->ethtool_ops;
	struct ethtool_drvinfo drv = {0};

	memset(info, 0, sizeof(*info));
	rtnl_lock();
	strscpy(info->name, dev->name, sizeof(info->name));
	strscpy(drv.driver, dev->dev.parent->driver->name, sizeof(drv.driver));
	strscpy(drv.bus_info, dev_name(dev->dev.parent), sizeof(drv.bus_info));
	if (ops && ops->get_drvinfo)
		ops->get_drvinfo(dev, &drv);
	strscpy(info->driver, drv.driver, sizeof(info->driver));
	strscpy(info->version, drv.version[0] ? drv.version : outboard_kernel.release,
		sizeof(info->version));
	strscpy(info->firmware, drv.fw_version, sizeof(info->firmware));
	strscpy(info->bus, drv.bus_info, sizeof(info->bus));
	memcpy(info->mac, dev->dev_addr, ETH_ALEN);
	info->mtu = dev->mtu;
	info->mtu_max = dev->max_mtu;
	if (dev->features & NETIF_F_CSUM_MASK && dev->features & NETIF_F_SG)
		info->features |= OB_KIT_NET_CSUM;
	/* What a card splits of IPv4 only, the core splits of IPv6 (validate_xmit_skb()), no dearer than who sends it would. */
	if (dev->features & NETIF_F_TSO)
		info->features |= OB_KIT_NET_TSO;
	if (dev->features & NETIF_F_RXCSUM)
		info->features |= OB_KIT_NET_RX_CSUM;
	if (ops && ops->get_msglevel)
		info->msg_level = ops->get_msglevel(dev);
	rtnl_unlock();
}

static void net_link(void *net, struct ob_kit_net_link *link)
{
	struct nic *n = net;
	struct ethtool_link_ksettings ks;
	int up = netif_running(n->dev) && netif_carrier_ok(n->dev);

	if (!n->link_known || up != n->link_was) {
		n->link = (struct ob_kit_net_link){.up = up};
		rtnl_lock();
		if (up && !__ethtool_get_link_ksettings(n->dev, &ks)) {
			n->link.full_duplex = ks.base.duplex == DUPLEX_FULL;
			n->link.autoneg = ks.base.autoneg == AUTONEG_ENABLE;
			n->link.mbps = ks.base.speed == (u32)SPEED_UNKNOWN ? 0 : ks.base.speed;
		}
		rtnl_unlock();
		n->link_was = up;
		n->link_known = true;
	}
	*link = n->link;
}

static void net_stats(void *net, struct ob_kit_net_stats *s)
{
	struct nic *n = net;
	struct rtnl_link_stats64 t;

	dev_get_stats(n->dev, &t);
	*s = (struct ob_kit_net_stats){
		.rx_packets = t.rx_packets,
		.rx_bytes = t.rx_bytes,
		.rx_dropped = t.rx_dropped + n->rx_overflow,
		.rx_errors = t.rx_errors,
		.rx_crc_errors = t.rx_crc_errors,
		.rx_missed = t.rx_missed_errors,
		.tx_packets = t.tx_packets,
		.tx_bytes = t.tx_bytes,
		.tx_dropped = t.tx_dropped,
		.tx_errors = t.tx_errors,
		.multicast = t.multicast,
		.collisions = t.collisions,
	};
}

static int net_set_mac(void *net, const unsigned char *mac)
{
	struct net_device *dev = ((struct nic *)net)->dev;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
	struct sockaddr sa = {.sa_family = dev->type};
#else
	struct sockaddr_storage sa = {.ss_family = dev->type};
#endif
	int ret;

	memcpy(((struct sockaddr *)&sa)->sa_data, mac, ETH_ALEN);
	rtnl_lock();
	ret = dev_set_mac_address(dev, &sa, NULL);
	rtnl_unlock();
	return ret;
}

static int net_set_mtu(void *net, unsigned int mtu)
{
	int ret;

	rtnl_lock();
	ret = dev_set_mtu(((struct nic *)net)->dev, mtu);
	rtnl_unlock();
	return ret;
}

static int net_set_promisc(void *net, int on)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	int ret = 0;

	rtnl_lock();
	if (on != !!(dev->flags & IFF_PROMISC))
		ret = dev_set_promiscuity(dev, on ? 1 : -1);
	rtnl_unlock();
	return ret;
}

static int net_set_multicast(void *net, const unsigned char (*macs)[6], unsigned int count)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	unsigned int i;
	int ret = 0;

	dev_mc_flush(dev);
	for (i = 0; i < count && !ret; i++)
		ret = dev_mc_add(dev, macs[i]);
	return ret;
}

static void net_set_msg_level(void *net, unsigned int level)
{
	struct net_device *dev = ((struct nic *)net)->dev;

	rtnl_lock();
	if (dev->ethtool_ops && dev->ethtool_ops->set_msglevel)
		dev->ethtool_ops->set_msglevel(dev, level);
	rtnl_unlock();
}

static int net_ring(void *net, unsigned int *rx, unsigned int *tx, unsigned int *rx_max,
		    unsigned int *tx_max)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	struct kernel_ethtool_ringparam kring = {0};
	struct ethtool_ringparam ring = {0};

	if (!dev->ethtool_ops || !dev->ethtool_ops->get_ringparam)
		return -EOPNOTSUPP;
	rtnl_lock();
	dev->ethtool_ops->get_ringparam(dev, &ring, &kring, NULL);
	rtnl_unlock();
	*rx = ring.rx_pending;
	*tx = ring.tx_pending;
	*rx_max = ring.rx_max_pending;
	*tx_max = ring.tx_max_pending;
	return 0;
}

/* What an ethtool operation of the driver gives as values with names. */
struct named_values {
	char (*name)[ETH_GSTRING_LEN];
	u64 *val;
};

/* Locks; named_values_end() is due in any case. Return: how many there are, zero or negative when there is nothing to ask. */
static int named_values_begin(struct net_device *dev, int set, struct named_values *nv)
{
	const struct ethtool_ops *ops = dev->ethtool_ops;
	int count;

	memset(nv, 0, sizeof(*nv));
	rtnl_lock();
	count = ops->get_sset_count(dev, set);
	if (count <= 0)
		return count;
	nv->name = kcalloc(count, sizeof(*nv->name), GFP_KERNEL);
	nv->val = kcalloc(count, sizeof(*nv->val), GFP_KERNEL);
	if (!nv->name || !nv->val)
		return -ENOMEM;
	ops->get_strings(dev, set, (u8 *)nv->name);
	return count;
}

static void named_values_end(struct named_values *nv)
{
	rtnl_unlock();
	kfree(nv->name);
	kfree(nv->val);
}

static int net_counters(void *net, struct ob_kit_value *v, unsigned int max)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	const struct ethtool_ops *ops = dev->ethtool_ops;
	struct ethtool_stats head = {.cmd = ETHTOOL_GSTATS};
	struct named_values nv;
	int i, count;

	if (!ops || !ops->get_sset_count || !ops->get_strings || !ops->get_ethtool_stats)
		return -EOPNOTSUPP;
	count = named_values_begin(dev, ETH_SS_STATS, &nv);
	if (count > 0) {
		head.n_stats = count;
		ops->get_ethtool_stats(dev, &head, nv.val);
		count = min_t(unsigned int, count, max);
	}
	for (i = 0; i < count; i++) {
		strscpy(v[i].name, nv.name[i], sizeof(v[i].name));
		v[i].value = nv.val[i];
	}
	named_values_end(&nv);
	return count;
}

static int net_registers(void *net, void *buf, unsigned int size, unsigned int *version)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	const struct ethtool_ops *ops = dev->ethtool_ops;
	struct ethtool_regs regs = {.cmd = ETHTOOL_GREGS};
	int len;
	void *p;

	if (!ops || !ops->get_regs_len || !ops->get_regs)
		return -EOPNOTSUPP;
	rtnl_lock();
	len = ops->get_regs_len(dev);
	p = len > 0 ? kzalloc(len, GFP_KERNEL) : NULL;
	if (p) {
		regs.len = len;
		ops->get_regs(dev, &regs, p);
		*version = regs.version;
		if (len > size)
			len = size;
		memcpy(buf, p, len);
		kfree(p);
	} else {
		len = len > 0 ? -ENOMEM : len;
	}
	rtnl_unlock();
	return len;
}

/* As net/ethtool/features.c answers. */
static int net_features(void *net, struct ob_kit_feature *f, unsigned int max)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	unsigned int i, n = 0;

	rtnl_lock();
	for (i = 0; i < NETDEV_FEATURE_COUNT && n < max; i++) {
		netdev_features_t bit = __NETIF_F_BIT(i);

		if (!netdev_features_strings[i][0])
			continue;
		f[n] = (struct ob_kit_feature){
			.on = !!(dev->features & bit),
			.wanted = !!(dev->wanted_features & bit),
			.fixed = !(dev->hw_features & bit) || NETIF_F_NEVER_CHANGE & bit,
		};
		strscpy(f[n++].name, netdev_features_strings[i], sizeof(f->name));
	}
	rtnl_unlock();
	return n;
}

static int net_eeprom(void *net, unsigned int off, void *buf, unsigned int len)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	const struct ethtool_ops *ops = dev->ethtool_ops;
	struct ethtool_eeprom ee = {.cmd = ETHTOOL_GEEPROM, .offset = off, .len = len};
	int ret;

	if (!ops || !ops->get_eeprom || !ops->get_eeprom_len)
		return -EOPNOTSUPP;
	rtnl_lock();
	if (off >= ops->get_eeprom_len(dev) || len > ops->get_eeprom_len(dev) - off)
		ret = -EINVAL;
	else
		ret = ops->get_eeprom(dev, &ee, buf);
	rtnl_unlock();
	return ret;
}

static int net_self_test(void *net, struct ob_kit_test *t, unsigned int max, int offline,
			 int *failed)
{
	struct net_device *dev = ((struct nic *)net)->dev;
	const struct ethtool_ops *ops = dev->ethtool_ops;
	struct ethtool_test test = {.cmd = ETHTOOL_TEST};
	struct named_values nv;
	int i, count;

	if (!ops || !ops->self_test || !ops->get_sset_count || !ops->get_strings)
		return -EOPNOTSUPP;
	count = named_values_begin(dev, ETH_SS_TEST, &nv);
	if (count > 0) {
		test.len = count;
		test.flags = offline ? ETH_TEST_FL_OFFLINE : 0;
		ops->self_test(dev, &test, nv.val);
		*failed = !!(test.flags & ETH_TEST_FL_FAILED);
		count = min_t(unsigned int, count, max);
	}
	for (i = 0; i < count; i++) {
		strscpy(t[i].name, nv.name[i], sizeof(t[i].name));
		t[i].data = nv.val[i];
	}
	named_values_end(&nv);
	return count;
}

struct net_device *outboard_net_device(void *net)
{
	return ((struct nic *)net)->dev;
}

/* ---- which there are ------------------------------------------------------------------------------- */

void *outboard_net_of(unsigned int index)
{
	struct pci_dev *pdev = outboard_pci_dev();
	struct net_device *dev;
	unsigned int i = 0;

	if (!pdev || index >= DEVICES)
		return NULL;
	rtnl_lock();
	for_each_netdev(&init_net, dev)
	{
		/* CAN has no addresses and is another class (can.c). */
		if (dev->type != ARPHRD_ETHER || !outboard_hangs_on(dev->dev.parent, &pdev->dev) ||
		    i++ != index)
			continue;
		nics[index].dev = dev;
		rtnl_unlock();
		return &nics[index];
	}
	rtnl_unlock();
	return NULL;
}

const struct ob_kernel_net outboard_net = {
	.xmit = net_xmit,
	.receive = net_receive,
	.release = net_release,
	.waiting = net_waiting,
	.open = net_open,
	.stop = net_stop,
	.info = net_info,
	.link = net_link,
	.stats = net_stats,
	.set_mac = net_set_mac,
	.set_mtu = net_set_mtu,
	.set_promisc = net_set_promisc,
	.set_multicast = net_set_multicast,
	.set_msg_level = net_set_msg_level,
	.ring = net_ring,
	.counters = net_counters,
	.registers = net_registers,
	.features = net_features,
	.eeprom = net_eeprom,
	.self_test = net_self_test,
};
