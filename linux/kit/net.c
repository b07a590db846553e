/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's network device as one of our class (include/outboard/net.h). Received frames stay in the kernel's socket buffers, which lie in the
 * arena: a packet points there, and the socket buffer goes back when the packet is taken from its pool again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/host.h"

enum {
	BURST = 64,
	RX_PKTS = 1024,
	COUNTERS = 512,
	REGISTERS = 16384,
	TESTS = 16,
	FEATURES = 64,
};

/* A received socket buffer and how many packets point into it. */
struct rx_frame {
	void *cookie;
	unsigned int refs;
};

struct kit_net {
	struct ob_net net;
	struct kit *k;
	void *dev; /* the kernel's */
	struct ob_kit_net_info info;
	struct ob_kit_net_link link;
	char driver[48];
	bool running, lent;

	struct ob_pool pool;
	struct rx_frame rx[RX_PKTS];
	unsigned int rx_free[RX_PKTS], nr_rx_free;
	int rx_of[RX_PKTS]; /* packet to rx_frame, -1 for none */

	/* Socket buffers to give back the next time somebody goes into the kernel. */
	void *back[2 * RX_PKTS];
	unsigned int nr_back;

	struct ob_kit_frame frames[BURST];
	unsigned int nr_frames, taken;
	uint64_t rx_polls, rx_empty_polls, rx_bad;
};

static struct kit_net *kit_net_of(struct ob_net *net)
{
	return (struct kit_net *)((char *)net - offsetof(struct kit_net, net));
}

static void lock(struct kit_net *n)
{
	pthread_mutex_lock(&n->k->lock);
}

static void unlock(struct kit_net *n)
{
	pthread_mutex_unlock(&n->k->lock);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void give_back(struct kit_net *n)
{
	if (!n->nr_back)
		return;
	outboard_kernel.net->release(n->dev, n->back, n->nr_back);
	n->nr_back = 0;
}

static void in_kernel_release(void *arg)
{
	give_back(arg);
}

static void in_kernel_send(void *arg)
{
	struct kit_net *n = arg;

	give_back(n);
	n->taken = outboard_kernel.net->xmit(n->dev, n->frames, n->nr_frames);
}

/* A free packet; what it pointed to before is given back when the last of its kind is taken. */
static struct ob_pkt *take(struct kit_net *n)
{
	struct ob_pkt *pkt = ob_pkt_alloc(&n->pool);
	int old;

	if (!pkt)
		return NULL;
	old = n->rx_of[pkt - n->pool.pkts];
	if (old >= 0 && !--n->rx[old].refs) {
		n->back[n->nr_back++] = n->rx[old].cookie;
		n->rx_free[n->nr_rx_free++] = (unsigned int)old;
	}
	n->rx_of[pkt - n->pool.pkts] = -1;
	pkt->next = NULL;
	pkt->flags = 0;
	pkt->gso_type = OB_GSO_NONE;
	return pkt;
}

static struct ob_pkt *wrap(struct kit_net *n, const struct ob_kit_frame *f)
{
	struct ob_pkt *first = NULL, **link = &first, *pkt;
	unsigned int slot = n->rx_free[--n->nr_rx_free];

	n->rx[slot] = (struct rx_frame){.cookie = f->cookie};
	for (unsigned int i = 0; i < f->n; i++) {
		pkt = take(n);
		if (!pkt)
			break;
		pkt->data = kit_to_host(n->k, f->piece[i].data);
		pkt->len = f->piece[i].len;
		pkt->iova = ob_dma_iova(n->k->dma, pkt->data);
		pkt->buf = pkt->data;
		pkt->buf_size = pkt->len;
		n->rx_of[pkt - n->pool.pkts] = (int)slot;
		n->rx[slot].refs++;
		*link = pkt;
		link = &pkt->next;
	}
	if (!first) {
		n->back[n->nr_back++] = f->cookie;
		n->rx_free[n->nr_rx_free++] = slot;
		return NULL;
	}
	if (f->csum_ok)
		first->flags |= OB_PKT_CSUM_OK;
	if (ob_pkt_frame_len(first) != f->len) {
		first->flags |= OB_PKT_BAD;
		n->rx_bad++;
	}
	return first;
}

static unsigned int net_rx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				 unsigned int max)
{
	const struct ob_kernel_net *kn = outboard_kernel.net;
	struct kit_net *n = kit_net_of(net);
	unsigned int got, count = 0;

	if (!n->running)
		return 0;
	lock(n);
	n->rx_polls++;
	if (!kn->waiting(n->dev)) {
		if (!kit_look(n->k))
			goto out;
		kit_burst(n->k, in_kernel_release, n);
	} else if (n->nr_back >= RX_PKTS) {
		kit_burst(n->k, in_kernel_release, n);
	}
	if (max > BURST)
		max = BURST;
	if (max > n->pool.n)
		max = n->pool.n;
	if (max > n->nr_rx_free)
		max = n->nr_rx_free;
	got = kn->receive(n->dev, n->frames, max);
	for (unsigned int i = 0; i < got; i++) {
		pkts[count] = wrap(n, &n->frames[i]);
		count += !!pkts[count];
	}
out:
	n->rx_empty_polls += !count;
	unlock(n);
	return count;
}

static bool fill(struct kit_net *n, struct ob_kit_frame *f, struct ob_pkt *pkt)
{
	f->n = 0;
	f->len = 0;
	f->cookie = pkt;
	f->csum_partial = !!(pkt->flags & OB_PKT_CSUM_PARTIAL);
	f->csum_start = pkt->csum_start;
	f->csum_offset = pkt->csum_offset;
	f->gso = pkt->gso_type;
	f->gso_size = pkt->gso_size;
	f->hdr_len = pkt->hdr_len;
	for (struct ob_pkt *s = pkt; s; s = s->next) {
		if (f->n == OB_KIT_FRAME_SEGMENTS)
			return false;
		f->piece[f->n].data = kit_to_kernel(n->k, s->data);
		f->piece[f->n++].len = s->len;
		f->len += s->len;
	}
	return true;
}

static unsigned int net_tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				 unsigned int max)
{
	struct kit_net *n = kit_net_of(net);
	unsigned int i;

	if (!n->running)
		return 0;
	lock(n);
	n->taken = 0;
	if (!max) {
		if (outboard_kernel.busy())
			kit_burst(n->k, in_kernel_release, n);
		goto out;
	}
	for (i = 0; i < max && i < BURST; i++)
		if (!fill(n, &n->frames[i], pkts[i]))
			break;
	if (!i) {
		/* More pieces than a device of the kernel's can have: dropped, as its own stack would. */
		ob_pkt_free(pkts[0]);
		n->taken = 1;
		goto out;
	}
	n->nr_frames = i;
	kit_burst(n->k, in_kernel_send, n);
	/* A full ring: perhaps what has been sent makes room at once. */
	if (!n->taken && outboard_kernel.busy())
		kit_burst(n->k, in_kernel_send, n);
out:
	i = n->taken;
	unlock(n);
	return i;
}

static bool net_irq_arm(struct ob_net *net, unsigned int queue, bool on)
{
	struct kit_net *n = kit_net_of(net);
	bool ready;

	lock(n);
	kit_watch_out(n->k);
	ready = on && (kit_arm(n->k) || outboard_kernel.net->waiting(n->dev));
	unlock(n);
	return ready;
}

/* ---- calls that may sleep ------------------------------------------------------------------- */

struct request {
	struct kit_net *n;
	const void *in;
	void *out;
	unsigned int a, b;
	int result;
};

/* One kernel function per call: its name, and how it is called in the fiber. */
#define IN_KERNEL(name, expression)                                                                \
	static long call_##name(void *arg)                                                         \
	{                                                                                          \
		const struct ob_kernel_net *kn = outboard_kernel.net;                              \
		struct request *r = arg;                                                           \
                                                                                                   \
		return (expression);                                                               \
	}
IN_KERNEL(open, kn->open(r->n->dev))
IN_KERNEL(stop, (kn->stop(r->n->dev), 0))
IN_KERNEL(info, (kn->info(r->n->dev, r->out), 0))
IN_KERNEL(link, (kn->link(r->n->dev, r->out), 0))
IN_KERNEL(stats, (kn->stats(r->n->dev, r->out), 0))
IN_KERNEL(set_mac, kn->set_mac(r->n->dev, r->in))
IN_KERNEL(set_mtu, kn->set_mtu(r->n->dev, r->a))
IN_KERNEL(set_promisc, kn->set_promisc(r->n->dev, (int)r->a))
IN_KERNEL(set_multicast, kn->set_multicast(r->n->dev, r->in, r->a))
IN_KERNEL(set_msg_level, (kn->set_msg_level(r->n->dev, r->a), 0))
IN_KERNEL(ring,
	  kn->ring(r->n->dev, &((struct ob_net_ring *)r->out)->rx,
		   &((struct ob_net_ring *)r->out)->tx, &((struct ob_net_ring *)r->out)->rx_max,
		   &((struct ob_net_ring *)r->out)->tx_max))
IN_KERNEL(counters, kn->counters(r->n->dev, r->out, r->a))
IN_KERNEL(registers, kn->registers(r->n->dev, r->out, r->a, &r->b))
IN_KERNEL(features, kn->features(r->n->dev, r->out, r->a))
IN_KERNEL(eeprom, kn->eeprom(r->n->dev, r->a, r->out, r->b))
IN_KERNEL(self_test, kn->self_test(r->n->dev, r->out, r->a, (int)r->b, &r->result))
#undef IN_KERNEL

static long call_find(void *arg)
{
	struct request *r = arg;

	r->n->dev = outboard_kernel.net_of(0);
	return r->n->dev ? 0 : -ENODEV;
}

static int ask(struct kit_net *n, long (*fn)(void *arg), struct request *r)
{
	long ret;

	r->n = n;
	lock(n);
	/* A driver that gives its device a last command may wait for ever, with a lock that its removal needs. */
	ret = n->k->removed || ob_device_gone(n->k->dev) ? -ENODEV : kit_call(n->k, fn, r);
	unlock(n);
	return (int)ret;
}

/* Of a device that is gone the driver is told, as of a card that was pulled out. There is nothing to stop any more then. */
static bool was_pulled_out(struct kit_net *n)
{
	if (!ob_device_gone(n->k->dev))
		return false;
	lock(n);
	kit_remove(n->k);
	unlock(n);
	return true;
}

static void learn(struct kit_net *n)
{
	struct request r = {.out = &n->info};

	ask(n, call_info, &r);
	memcpy(n->net.mac, n->info.mac, 6);
	n->net.mtu = n->info.mtu;
	n->net.mtu_max = n->info.mtu_max;
	n->net.msg_level = n->info.msg_level;
}

static int net_start(struct ob_net *net, struct ob_error *err)
{
	struct kit_net *n = kit_net_of(net);
	struct request r = {0};
	int ret;

	if (n->running)
		return 0;
	if (n->lent)
		return ob_error_set(err, -EBUSY, "%s: the kernel's own TCP/IP has it",
				    ob_device_info(net->dev)->name);
	ret = ask(n, call_open, &r);
	if (ret) {
		ob_error_set(err, ret,
			     "%s: the kernel's driver %s cannot bring the interface up: %s",
			     ob_device_info(net->dev)->name, n->info.driver, strerror(-ret));
		kit_last_words(n->k, err);
		return ret;
	}
	n->running = true;
	learn(n);
	return 0;
}

static void net_stop(struct ob_net *net)
{
	struct kit_net *n = kit_net_of(net);
	struct request r = {0};

	if (!n->running)
		return;
	n->running = false;
	if (!was_pulled_out(n))
		ask(n, call_stop, &r);
}

static void net_tick(struct ob_net *net, uint64_t now_ns)
{
	struct kit_net *n = kit_net_of(net);
	struct request r = {.out = &n->link};
	bool was = n->link.up;

	if (ob_device_gone(net->dev)) {
		n->link.up = false;
		return;
	}
	if (!n->running && !n->lent)
		return;
	if (net->msg_level != n->info.msg_level) {
		struct request level = {.a = net->msg_level};

		n->info.msg_level = net->msg_level;
		ask(n, call_set_msg_level, &level);
	}
	lock(n);
	r.n = n;
	kit_call_brief(n->k, call_link, &r);
	unlock(n);
	if (was != n->link.up)
		ob_device_log(net->dev, OB_LOG_DEBUG, "linux: link %s", n->link.up ? "up" : "down");
}

static bool net_can_csum(struct ob_net *net)
{
	return kit_net_of(net)->info.features & OB_KIT_NET_CSUM;
}

static bool net_can_tso(struct ob_net *net)
{
	return kit_net_of(net)->info.features & OB_KIT_NET_TSO;
}

static bool net_can_rx_csum(struct ob_net *net)
{
	return kit_net_of(net)->info.features & OB_KIT_NET_RX_CSUM;
}

static void net_link(struct ob_net *net, struct ob_net_link *link)
{
	const struct ob_kit_net_link *l = &kit_net_of(net)->link;

	*link = (struct ob_net_link){
		.up = l->up,
		.full_duplex = l->full_duplex,
		.autoneg = l->autoneg,
		.mbps = l->mbps,
	};
}

static void net_stats(struct ob_net *net, struct ob_net_stats *s)
{
	struct kit_net *n = kit_net_of(net);
	struct ob_kit_net_stats t = {0};
	struct request r = {.out = &t};

	ask(n, call_stats, &r);
	*s = (struct ob_net_stats){
		.rx_packets = t.rx_packets,
		.rx_bytes = t.rx_bytes,
		.rx_dropped = t.rx_dropped,
		.rx_errors = t.rx_errors,
		.rx_crc_errors = t.rx_crc_errors,
		.rx_missed = t.rx_missed,
		.tx_packets = t.tx_packets,
		.tx_bytes = t.tx_bytes,
		.tx_dropped = t.tx_dropped,
		.tx_errors = t.tx_errors,
		.multicast = t.multicast,
		.collisions = t.collisions,
		.irqs = n->k->irqs,
		.rx_polls = n->rx_polls,
		.rx_empty_polls = n->rx_empty_polls,
		.rx_bad_descriptors = n->rx_bad,
	};
}

static int net_set_mac(struct ob_net *net, const uint8_t mac[6])
{
	struct request r = {.in = mac};
	int ret = ask(kit_net_of(net), call_set_mac, &r);

	if (!ret)
		memcpy(net->mac, mac, 6);
	return ret;
}

static int net_set_promisc(struct ob_net *net, bool on)
{
	struct request r = {.a = on};

	return ask(kit_net_of(net), call_set_promisc, &r);
}

static int net_set_multicast(struct ob_net *net, const uint8_t (*macs)[6], unsigned int count)
{
	struct request r = {.in = macs, .a = count};

	return ask(kit_net_of(net), call_set_multicast, &r);
}

static int net_set_mtu(struct ob_net *net, unsigned int mtu)
{
	struct request r = {.a = mtu};
	int ret = ask(kit_net_of(net), call_set_mtu, &r);

	if (!ret)
		net->mtu = mtu;
	return ret;
}

/* ---- the ethtool family ------------------------------------------------------------------------ */

static void net_ring(struct ob_net *net, struct ob_net_ring *ring)
{
	struct request r = {.out = ring};

	memset(ring, 0, sizeof(*ring));
	ask(kit_net_of(net), call_ring, &r);
}

static int net_counters(struct ob_net *net, struct ob_net_value *v, unsigned int max)
{
	struct ob_kit_value *val = calloc(COUNTERS, sizeof(*val));
	struct request r = {.out = val, .a = max < COUNTERS ? max : COUNTERS};
	int count;

	if (!val)
		return -ENOMEM;
	count = ask(kit_net_of(net), call_counters, &r);
	for (int i = 0; i < count; i++) {
		snprintf(v[i].name, sizeof(v[i].name), "%.31s", val[i].name);
		v[i].offset = (uint32_t)i;
		v[i].value = val[i].value;
	}
	free(val);
	return count;
}

/* The driver's dump is words without names; what they are depends on its version (ethtool -d knows). */
static int net_registers(struct ob_net *net, struct ob_net_value *v, unsigned int max)
{
	uint32_t *buf = calloc(1, REGISTERS);
	struct request r = {.out = buf, .a = REGISTERS};
	int len, i;

	if (!buf)
		return -ENOMEM;
	len = ask(kit_net_of(net), call_registers, &r);
	for (i = 0; i < len / 4 && i < (int)max; i++) {
		snprintf(v[i].name, sizeof(v[i].name), "word %d", i);
		v[i].offset = (uint32_t)i * 4;
		v[i].value = buf[i];
	}
	free(buf);
	return len < 0 ? len : i;
}

static int net_features(struct ob_net *net, struct ob_net_feature *f, unsigned int max)
{
	struct ob_kit_feature *all = calloc(FEATURES, sizeof(*all));
	struct request r = {.out = all, .a = max < FEATURES ? max : FEATURES};
	int count;

	if (!all)
		return -ENOMEM;
	count = ask(kit_net_of(net), call_features, &r);
	for (int i = 0; i < count; i++) {
		snprintf(f[i].name, sizeof(f[i].name), "%.31s", all[i].name);
		f[i].on = all[i].on;
		f[i].wanted = all[i].wanted;
		f[i].fixed = all[i].fixed;
	}
	free(all);
	return count;
}

static int net_eeprom(struct ob_net *net, unsigned int off, void *buf, unsigned int len)
{
	struct request r = {.out = buf, .a = off, .b = len};

	return ask(kit_net_of(net), call_eeprom, &r);
}

int kit_net_driver_tests(struct ob_net *net, struct ob_net_test *t, unsigned int max, bool offline)
{
	struct kit_net *n = kit_net_of(net);
	struct ob_kit_test test[TESTS] = {0};
	struct request r = {.out = test, .a = TESTS, .b = offline};
	int count = ask(n, call_self_test, &r);

	if (count > (int)max)
		count = (int)max;
	for (int i = 0; i < count; i++) {
		static const char *const names[] = {
			"driver's test 1", "driver's test 2", "driver's test 3", "driver's test 4",
			"driver's test 5", "driver's test 6", "driver's test 7", "driver's test 8",
		};

		t[i].name = names[i % 8];
		t[i].result = test[i].data ? -EIO : 0;
		snprintf(t[i].detail, sizeof(t[i].detail), "%.31s: %llu", test[i].name,
			 test[i].data);
	}
	return count;
}

static int net_self_test(struct ob_net *net, struct ob_net_test *t, unsigned int max)
{
	return kit_net_driver_tests(net, t, max, true);
}

static const struct ob_net_ops ops = {
	.start = net_start,
	.stop = net_stop,
	.rx_burst = net_rx_burst,
	.tx_burst = net_tx_burst,
	.irq_arm = net_irq_arm,
	.tick = net_tick,
	.can_csum = net_can_csum,
	.can_tso = net_can_tso,
	.can_rx_csum = net_can_rx_csum,
	.link = net_link,
	.stats = net_stats,
	.set_mac = net_set_mac,
	.set_promisc = net_set_promisc,
	.set_multicast = net_set_multicast,
	.set_mtu = net_set_mtu,
	.ring = net_ring,
	.registers = net_registers,
	.counters = net_counters,
	.self_test = net_self_test,
	.features = net_features,
	.eeprom = net_eeprom,
	.ip = &kit_ip_driver,
};

/* ---- for ip.c ------------------------------------------------------------------------------------- */

struct kit *kit_net_kernel(struct ob_net *net)
{
	return kit_net_of(net)->k;
}

void *kit_net_device(struct ob_net *net)
{
	return kit_net_of(net)->dev;
}

int kit_net_lend(struct ob_net *net, bool on, struct ob_error *err)
{
	struct kit_net *n = kit_net_of(net);

	if (on && (n->running || n->lent))
		return ob_error_set(err, -EBUSY, "%s is in use in this process already",
				    ob_device_info(net->dev)->name);
	n->lent = on;
	return !on && was_pulled_out(n) ? -ENODEV : 0;
}

/* ---- life -------------------------------------------------------------------------------------------- */

static int create_pool(struct kit_net *n)
{
	struct ob_pool *p = &n->pool;

	p->dma = n->k->dma;
	p->size = p->n = RX_PKTS;
	p->pkts = aligned_alloc(__alignof__(struct ob_pkt), RX_PKTS * sizeof(*p->pkts));
	p->free = calloc(RX_PKTS, sizeof(struct ob_pkt *));
	if (!p->pkts || !p->free) {
		free(p->pkts);
		free(p->free);
		return -ENOMEM;
	}
	memset(p->pkts, 0, RX_PKTS * sizeof(*p->pkts));
	for (unsigned int i = 0; i < RX_PKTS; i++) {
		p->pkts[i].pool = p;
		p->free[i] = &p->pkts[i];
		n->rx_of[i] = -1;
		n->rx_free[i] = i;
	}
	n->nr_rx_free = RX_PKTS;
	return 0;
}

int kit_net_create(struct kit *k, const char *driver, struct ob_net **net, struct ob_error *err)
{
	const char *name = ob_device_info(k->dev)->name;
	struct request r = {0};
	struct kit_net *n;
	int ret;

	n = calloc(1, sizeof(*n));
	if (!n)
		return ob_error_set(err, -ENOMEM, "%s: no memory", name);
	n->k = k;
	ret = create_pool(n);
	if (ret) {
		ob_error_set(err, ret, "%s: no memory", name);
		goto free_net;
	}
	ret = ask(n, call_find, &r);
	if (ret) {
		ob_error_set(err, ret,
			     "%s: the kernel's driver %s took it, but made no interface of it",
			     name, driver);
		goto free_pool;
	}
	snprintf(n->driver, sizeof(n->driver), "%s", driver);
	n->net.ops = &ops;
	n->net.dev = k->dev;
	n->net.driver = n->driver;
	n->net.queues = 1;
	n->net.tx_max_len = 65535 + 14;
	n->net.rx_pool[0] = &n->pool;
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		n->net.irq_fd[i] = -1;
	n->net.irq_fd[0] = k->events;
	learn(n);
	/* As it calls itself: with virtio the PCI driver is another. */
	if (n->info.driver[0])
		snprintf(n->driver, sizeof(n->driver), "%s", n->info.driver);
	snprintf(n->net.version, sizeof(n->net.version), "%.31s", n->info.version);
	*net = &n->net;
	return 0;

free_pool:
	free(n->pool.pkts);
	free(n->pool.free);
free_net:
	free(n);
	return ret;
}

void kit_net_destroy(struct ob_net *net)
{
	struct kit_net *n = kit_net_of(net);

	net_stop(net);
	lock(n);
	/* All packets must be back; what they point to goes. */
	while (take(n))
		;
	kit_burst(n->k, in_kernel_release, n);
	unlock(n);
	free(n->pool.pkts);
	free(n->pool.free);
	free(n);
}
