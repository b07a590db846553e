/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "vduse-net": an interface of the kernel's own virtio driver, whose virtio network card this process is (VDUSE,
 * vduse.h; VIRTIO 1.2, 5.1). One pair of queues, as Linux allows no more. Frames to the device lie in the
 * device's arena already, because the bounce area is there; frames from it are copied into the driver's buffers.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/tap_gro.h"
#include "attach/tap_link.h"
#include "attach/tap_vnet.h"
#include "attach/unsent.h"
#include "attach/vduse.h"

enum {
	FROM_DEVICE = 0, /* the driver's receive queue (5.1.2) */
	TO_DEVICE = 1,

	QUEUE_SIZE = 256,
	/* Each of the driver's receive buffers, and each frame on its way, takes pages of it. */
	BOUNCE_DEFAULT = 16 << 20,
	BOUNCE_MIN = 4 << 20,
	BOUNCE_MAX = 1 << 30,

	HEADER = sizeof(struct virtio_net_hdr_mrg_rxbuf),
	ETH_HDR = 14,
	PIECES = 64, /* of a buffer of the driver's: a header, and 17 fragments of a 64 KiB frame */
	BUFFERS = 128, /* for one long frame from the device: 64 KiB in pages */
	BURST = TAP_GRO_MAX,

	/* Pieces of frames that the device has, which lie in the bounce area. */
	PKTS = 4096,

	SMALL_COUNT = 512,
	SMALL_DATA = 1984,
	LARGE_COUNT = 16,
	LARGE_DATA = 65536 + 64,
	HEADROOM = 64,
};

/**
 * struct vduse_net - the attachment
 * @sent: no memory of its own: where pieces of frames that the device has sent come back
 * @pkts, @idle: those pieces, and which of them are in use by nobody
 * @left: by head: pieces that the device still has
 * @outstanding: heads that it has
 * @waiting: frames of the device that the driver had no buffers for
 */
struct vduse_net {
	struct attach_net at; /* first */
	struct ob_net *net;
	struct ob_loop *loop;
	struct vduse v;
	char *umem;
	uint64_t bounce;
	bool gro, up, created, started;
	char wanted[IFNAMSIZ], name[IFNAMSIZ], address[64];
	struct tap_netns fds;
	struct tap_link link;
	_Atomic bool linked; /* @link is the loop's */
	bool promisc;
	struct virtio_net_config space;

	struct tap_send send;
	struct unsent unsent;
	struct ob_pool *small, *large;
	struct ob_pool sent;
	struct ob_pkt *pkts, **idle;
	unsigned int nr_idle;
	uint16_t left[VIRTQUEUE_SIZE_MAX];
	unsigned int outstanding;
	struct ob_pkt *waiting[BURST];
	unsigned int waiting_head, nr_waiting;
	struct virtqueue_piece piece[PIECES];
	struct virtqueue_piece room[2 * BUFFERS];
	struct ob_attach_stats stats;
};

static struct vduse_net *net_of(struct ob_attach *at)
{
	return (struct vduse_net *)at;
}

/* ---- to the device ------------------------------------------------------------------------ */

/* What the device has sent goes back to the driver, in whatever order. */
static void give_back(struct vduse_net *n)
{
	if (n->outstanding)
		ob_net_tx_burst(n->net, 0, NULL, 0);
	while (n->sent.n) {
		struct ob_pkt *pkt = n->sent.free[--n->sent.n];
		uint16_t head = (uint16_t)pkt->priv;

		n->idle[n->nr_idle++] = pkt;
		if (--n->left[head])
			continue;
		n->outstanding--;
		if (n->v.running)
			virtqueue_push(&n->v.queue[TO_DEVICE], head, 0);
	}
}

/* Does all of it lie where the device reaches it? Not before the kernel took our memory as its bounce area. */
static bool reachable(const struct vduse_net *n, const struct virtqueue_chain *chain)
{
	const struct ob_dma *dma = ob_device_dma(n->net->dev);

	for (unsigned int i = 0; i < chain->nr_out; i++)
		if (!ob_dma_contains(dma, chain->piece[i].base, chain->piece[i].len))
			return false;
	return true;
}

/* The frame behind the header as pieces where they are. */
static struct ob_pkt *in_place(struct vduse_net *n, const struct virtqueue_chain *chain)
{
	const struct ob_dma *dma = ob_device_dma(n->net->dev);
	struct ob_pkt *first = NULL, **end = &first;
	uint32_t skip = HEADER;

	for (unsigned int i = 0; i < chain->nr_out; i++) {
		const struct virtqueue_piece *p = &chain->piece[i];
		struct ob_pkt *pkt;

		if (p->len <= skip) {
			skip -= p->len;
			continue;
		}
		pkt = n->idle[--n->nr_idle];
		pkt->data = (uint8_t *)p->base + skip;
		pkt->iova = ob_dma_iova(dma, pkt->data);
		pkt->len = p->len - skip;
		/* Nothing behind a frame is ours to pad into. */
		pkt->buf = pkt->data;
		pkt->buf_size = pkt->len;
		pkt->next = NULL;
		pkt->priv = chain->head;
		n->left[chain->head]++;
		skip = 0;
		*end = pkt;
		end = &pkt->next;
	}
	n->outstanding++;
	return first;
}

/* And in a buffer of ours, where they are not in the arena. */
static struct ob_pkt *copied(struct vduse_net *n, const struct virtqueue_chain *chain)
{
	struct ob_pkt *pkt = ob_pkt_alloc(n->large);
	uint32_t skip = HEADER;

	if (!pkt)
		return NULL;
	ob_pkt_reset(pkt);
	for (unsigned int i = 0; i < chain->nr_out; i++) {
		const struct virtqueue_piece *p = &chain->piece[i];
		uint32_t from = p->len < skip ? p->len : skip;

		skip -= from;
		memcpy(pkt->data + pkt->len, (const uint8_t *)p->base + from, p->len - from);
		pkt->len += p->len - from;
	}
	n->stats.own_copies++;
	return pkt;
}

static void read_header(const struct virtqueue_chain *chain, struct virtio_net_hdr *hdr)
{
	uint8_t *to = (uint8_t *)hdr;
	uint32_t want = sizeof(*hdr);

	for (unsigned int i = 0; i < chain->nr_out && want; i++) {
		uint32_t part = chain->piece[i].len < want ? chain->piece[i].len : want;

		memcpy(to, chain->piece[i].base, part);
		to += part;
		want -= part;
	}
}

/* One frame of the driver's; NULL when none can be taken now, or when it was refused (@more is then true). */
static struct ob_pkt *take_frame(void *net, bool *more)
{
	struct vduse_net *n = net;
	struct virtqueue_chain chain = {.piece = n->piece, .max = PIECES};
	struct virtqueue *q = &n->v.queue[TO_DEVICE];
	struct virtio_net_hdr hdr = {0};
	struct ob_pkt *pkt;
	int rc;

	*more = false;
	if (n->nr_idle < PIECES)
		return NULL;
	rc = virtqueue_pop(q, &chain);
	if (rc <= 0)
		return NULL;
	*more = true;
	if (chain.nr_in || chain.out_len < HEADER + ETH_HDR ||
	    chain.out_len > HEADER + LARGE_DATA) {
		n->stats.errors++;
		n->stats.dropped++;
		virtqueue_push(q, chain.head, 0);
		return NULL;
	}
	read_header(&chain, &hdr);
	if (reachable(n, &chain)) {
		pkt = in_place(n, &chain);
	} else {
		pkt = copied(n, &chain);
		if (!pkt) {
			virtqueue_unpop(q, &chain.head, 1);
			*more = false;
			return NULL;
		}
		virtqueue_push(q, chain.head, 0);
	}
	n->stats.requests_in++;
	n->stats.bytes_in += chain.out_len - HEADER;
	n->stats.kernel_copies++;
	if (tap_vnet_to_pkt(&hdr, pkt)) {
		ob_pkt_free(pkt);
		n->stats.errors++;
		n->stats.dropped++;
		return NULL;
	}
	return pkt;
}

static unsigned int to_device(struct vduse_net *n, unsigned int budget)
{
	unsigned int work = tap_send_resume(&n->send);

	give_back(n);
	if (tap_send_blocked(&n->send) || !n->v.queue[TO_DEVICE].num ||
	    !virtqueue_pending(&n->v.queue[TO_DEVICE]))
		return work;
	vduse_before_pop(&n->v);
	work += tap_send_frames(&n->send, take_frame, n, budget);
	give_back(n);
	return work;
}

static struct unsent_buffers buffers(const void *net)
{
	const struct vduse_net *n = net;

	return (struct unsent_buffers){
		.away = PKTS - n->nr_idle - n->sent.n + n->small->size - n->small->n +
			n->large->size - n->large->n,
		.dry = n->nr_idle < PIECES || !n->large->n,
	};
}

/* ---- from the device ------------------------------------------------------------------------ */

struct cursor {
	struct virtqueue_piece *piece;
	uint32_t at;
};

static void put(struct cursor *c, const void *from, uint32_t len)
{
	const uint8_t *p = from;

	while (len) {
		uint32_t part = c->piece->len - c->at;

		if (part > len)
			part = len;
		memcpy((uint8_t *)c->piece->base + c->at, p, part);
		p += part;
		len -= part;
		c->at += part;
		if (c->at == c->piece->len) {
			c->piece++;
			c->at = 0;
		}
	}
}

static void drop(struct vduse_net *n, struct ob_pkt *pkt)
{
	ob_pkt_free(pkt);
	n->stats.dropped++;
}

/* A frame into as many of the driver's buffers as it takes; false when there are not enough. */
static bool deliver(struct vduse_net *n, struct ob_pkt *pkt)
{
	bool mergeable = atomic_load(&n->v.features) >> VIRTIO_NET_F_MRG_RXBUF & 1;
	struct virtqueue *q = &n->v.queue[FROM_DEVICE];
	uint32_t frame = ob_pkt_frame_len(pkt), total = HEADER + frame, room = 0;
	struct virtio_net_hdr_mrg_rxbuf hdr = {0};
	struct cursor to = {.piece = n->room};
	unsigned int pieces = 0, buffers = 0;
	uint16_t heads[BUFFERS];
	uint32_t lens[BUFFERS];

	while (room < total) {
		struct virtqueue_chain chain = {.piece = n->room + pieces,
						.max = 2 * BUFFERS - pieces};
		int rc = buffers < BUFFERS && pieces < 2 * BUFFERS ? virtqueue_pop(q, &chain) : -1;

		if (rc > 0 && !chain.nr_out && chain.in_len && chain.in_len <= UINT32_MAX / 2 &&
		    (mergeable || chain.in_len >= total)) {
			heads[buffers] = chain.head;
			lens[buffers++] = (uint32_t)chain.in_len;
			pieces += chain.nr_in;
			room += (uint32_t)chain.in_len;
			continue;
		}
		if (!rc) {
			virtqueue_unpop(q, heads, buffers);
			return false;
		}
		/* A buffer that is none, or too many of them: neither they nor the frame are of use. */
		if (rc > 0)
			virtqueue_push(q, chain.head, 0);
		while (buffers)
			virtqueue_push(q, heads[--buffers], 0);
		n->stats.errors++;
		drop(n, pkt);
		return true;
	}
	tap_vnet_from_pkt(pkt, (struct virtio_net_hdr *)&hdr);
	hdr.num_buffers = (uint16_t)buffers;
	put(&to, &hdr, HEADER);
	for (const struct ob_pkt *s = pkt; s; s = s->next)
		put(&to, s->data, s->len);
	for (unsigned int i = 0; i < buffers; i++) {
		uint32_t written = lens[i] < total ? lens[i] : total;

		virtqueue_push(q, heads[i], written);
		total -= written;
	}
	n->stats.requests_out++;
	n->stats.bytes_out += frame;
	n->stats.kernel_copies++;
	n->stats.own_copies++;
	ob_pkt_free(pkt);
	return true;
}

static void deliver_waiting(struct vduse_net *n)
{
	bool ready = n->v.running && n->v.queue[FROM_DEVICE].num && !n->v.queue[FROM_DEVICE].broken;

	if (n->nr_waiting && ready)
		vduse_before_pop(&n->v);
	while (n->nr_waiting) {
		struct ob_pkt *pkt = n->waiting[n->waiting_head];

		if (!ready || (pkt->flags & OB_PKT_BAD))
			drop(n, pkt);
		else if (!deliver(n, pkt))
			return;
		n->waiting_head++;
		n->nr_waiting--;
	}
}

static void publish(struct vduse_net *n)
{
	for (unsigned int i = 0; i < 2; i++)
		if (n->v.running && n->v.queue[i].num && virtqueue_publish(&n->v.queue[i]))
			vduse_interrupt(&n->v, i);
	n->stats.syscalls += n->v.syscalls;
	n->v.syscalls = 0;
}

/* ---- the loop's sources --------------------------------------------------------------------- */

static unsigned int net_work(void *front, unsigned int budget)
{
	struct vduse_net *n = front;
	unsigned int work = to_device(n, budget);

	publish(n);
	return work;
}

static unsigned int device_poll(void *arg, unsigned int budget)
{
	struct vduse_net *n = arg;
	unsigned int got = 0;

	deliver_waiting(n);
	if (!n->nr_waiting) {
		got = ob_net_rx_burst(n->net, 0, n->waiting, budget < BURST ? budget : BURST);
		n->waiting_head = 0;
		n->nr_waiting = n->gro && got > 1 ? tap_gro(n->waiting, got) : got;
		deliver_waiting(n);
	}
	give_back(n);
	publish(n);
	return got;
}

static bool device_arm(void *arg, bool on)
{
	struct vduse_net *n = arg;
	bool pending = n->net->ops->irq_arm ? n->net->ops->irq_arm(n->net, 0, on) : false;

	/* The device need not interrupt for what it has sent, and the driver waits for it: looked at by time. */
	return pending | (on && (n->outstanding || tap_send_blocked(&n->send)));
}

static void tell_link(struct vduse_net *n, struct ob_net_link link)
{
	union {
		struct vduse_config_data d;
		char room[sizeof(struct vduse_config_data) + sizeof(struct virtio_net_config)];
	} u;
	struct virtio_net_config now = n->space;

	now.status = link.up ? VIRTIO_NET_S_LINK_UP : 0;
	if (link.up && link.mbps) {
		now.speed = link.mbps;
		now.duplex = link.full_duplex;
	}
	if (!memcmp(&now, &n->space, sizeof(now)))
		return;
	n->space = now;
	if (!n->created)
		return;
	memset(&u, 0, sizeof(u));
	u.d.length = sizeof(now);
	memcpy(u.d.buffer, &now, sizeof(now));
	n->stats.syscalls += 2;
	if (!ioctl(n->v.memory.fd, VDUSE_DEV_SET_CONFIG, &u.d))
		ioctl(n->v.memory.fd, VDUSE_DEV_INJECT_CONFIG_IRQ, 0);
}

/* The driver has no queue to tell of filters: they follow the interface. */
static void follow_interface(struct vduse_net *n)
{
	struct ob_net *net = n->net;
	struct tap_link *l = &n->link;
	bool promisc = l->promisc || l->all_multicast;

	memcpy(n->name, l->name, sizeof(n->name));
	if (memcmp(l->mac, net->mac, 6) && (!net->ops->set_mac || net->ops->set_mac(net, l->mac)))
		promisc = true;
	if (!promisc && (!net->ops->set_multicast ||
			 net->ops->set_multicast(net, (const uint8_t(*)[6])l->macs, l->nr_macs)))
		promisc = true;
	if (promisc != n->promisc && net->ops->set_promisc && !net->ops->set_promisc(net, promisc))
		n->promisc = promisc;
}

static void device_tick(void *arg, uint64_t now_ns)
{
	struct vduse_net *n = arg;
	struct ob_net_link link;

	if (n->net->ops->tick)
		n->net->ops->tick(n->net, now_ns);
	link = attach_link(n->net);
	tell_link(n, link);
	n->at.unsent_ns = unsent_look(&n->unsent, &n->send, buffers, n, link.up, now_ns);
	if (atomic_load(&n->linked) && tap_link_refresh(&n->link, &n->stats.syscalls))
		follow_interface(n);
}

/*
 * What a killed process had taken is given back: frames to the device are lost as on a wire, and be it that one of them was what killed
 * it; a buffer without a frame the driver drops.
 */
static int net_start(void *front)
{
	struct vduse_net *n = front;

	for (unsigned int i = 0; i < 2; i++) {
		uint64_t after = 0;
		int head;

		while ((head = virtqueue_resumed(&n->v.queue[i], &after)) >= 0)
			virtqueue_push(&n->v.queue[i], (uint16_t)head, 0);
	}
	n->v.resuming = 0;
	return 0;
}

/* The rings go, and the memory that the device still sends from: it gives all back when it is stopped. */
static bool net_stop(void *front)
{
	struct vduse_net *n = front;
	struct ob_error err = {0};
	char text[512];

	tap_send_drain(&n->send);
	if (n->outstanding && n->started) {
		ob_net_stop(n->net);
		give_back(n);
		if (ob_net_start(n->net, &err))
			ob_device_log(n->net->dev, OB_LOG_ERROR,
				      "it does not start again after its driver's reset: %s",
				      ob_error_text(&err, text, sizeof(text)));
	}
	give_back(n);
	return true;
}

static const struct vduse_ops net_vduse_ops = {
	.start = net_start,
	.stop = net_stop,
	.work = net_work,
};

/* ---- open and close --------------------------------------------------------------------------- */

static int net_probe(struct ob_error *err)
{
	return vduse_probe("virtio_net", err);
}

static int get_text(struct ob_spec_part *part, const char *key, char *to, size_t size,
		    struct ob_error *err)
{
	const char *text = ob_spec_get(part, key);

	if (!text)
		return 0;
	if (!*text || strlen(text) >= size)
		return ob_error_set(err, -EINVAL, "vduse-net: %s=%s is empty or too long", key,
				    text);
	strcpy(to, text);
	return 0;
}

static int get_options(struct vduse_net *n, struct ob_spec_part *part, struct ob_error *err)
{
	int rc = get_text(part, "name", n->wanted, sizeof(n->wanted), err);

	n->gro = true;
	n->bounce = BOUNCE_DEFAULT;
	if (!rc)
		rc = get_text(part, "address", n->address, sizeof(n->address), err);
	if (!rc)
		rc = ob_spec_get_bool(part, "up", &n->up, err);
	if (!rc)
		rc = ob_spec_get_bool(part, "gro", &n->gro, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "bounce", BOUNCE_MIN, BOUNCE_MAX, &n->bounce, err);
	n->bounce = (n->bounce + 4095) & ~4095ull;
	n->up |= n->address[0] != '\0';
	return rc;
}

static int make_memory(struct vduse_net *n, struct ob_error *err)
{
	struct ob_dma *dma = ob_device_dma(n->net->dev);
	int rc;

	n->pkts = aligned_alloc(64, PKTS * sizeof(*n->pkts));
	n->idle = calloc(PKTS, sizeof(*n->idle));
	n->sent.free = calloc(PKTS, sizeof(*n->sent.free));
	if (!n->pkts || !n->idle || !n->sent.free)
		return ob_error_set(err, -ENOMEM, "vduse-net: no memory");
	memset(n->pkts, 0, PKTS * sizeof(*n->pkts));
	n->sent.size = PKTS;
	n->sent.dma = dma;
	for (unsigned int i = 0; i < PKTS; i++) {
		n->pkts[i].pool = &n->sent;
		n->idle[n->nr_idle++] = &n->pkts[i];
	}
	rc = ob_pool_create(dma, SMALL_COUNT, HEADROOM + SMALL_DATA, HEADROOM, 64, &n->small);
	if (!rc)
		rc = ob_pool_create(dma, LARGE_COUNT, HEADROOM + LARGE_DATA, HEADROOM, 64,
				    &n->large);
	if (rc) {
		ob_error_set(err, rc, "%s: no room in the arena for the frames of vduse-net",
			     ob_device_info(n->net->dev)->name);
		ob_error_fix(err, "open the device with a larger arena, e.g. arena=128M");
		return rc;
	}
	/* Where the arena is too full for it, payload is copied once more. */
	n->umem = ob_dma_alloc(dma, n->bounce, 4096, "vduse bounce area", NULL);
	n->send = (struct tap_send){
		.net = n->net,
		.tso = ob_net_can_tso(n->net),
		.csum = ob_net_can_csum(n->net),
		.small = n->small,
		.large = n->large,
		.stats = &n->stats,
	};
	return 0;
}

static int create_device(struct vduse_net *n, struct ob_error *err)
{
	struct vduse_config config = {
		.kind = "vduse-net",
		.device_id = VIRTIO_ID_NET,
		.space = &n->space,
		.space_size = sizeof(n->space),
		.queues = 2,
		.queue_size = QUEUE_SIZE,
		.bounce = n->bounce,
		.umem = n->umem,
		.fail_byte = -1,
	};
	int rc;

	config.features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
			  1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
			  1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_MTU |
			  1ull << VIRTIO_NET_F_STATUS | 1ull << VIRTIO_NET_F_SPEED_DUPLEX |
			  1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_CSUM |
			  1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			  1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			  1ull << VIRTIO_NET_F_GUEST_TSO6;
	memcpy(n->space.mac, n->net->mac, 6);
	n->space.mtu = (uint16_t)n->net->mtu;
	n->space.max_virtqueue_pairs = 1;
	tell_link(n, attach_link(n->net));
	rc = vduse_create(&n->v, n->net->dev, &config, &net_vduse_ops, n, n->loop, err);
	n->created = !rc;
	/* What a former process told of the link may not be so any more. */
	if (n->v.taken_over)
		n->space.status = UINT16_MAX;
	return rc;
}

static void net_close(struct ob_attach *at)
{
	struct vduse_net *n = net_of(at);

	ob_loop_remove(n->loop, n);
	n->v.running = false;
	tap_send_drain(&n->send);
	for (; n->nr_waiting; n->nr_waiting--)
		ob_pkt_free(n->waiting[n->waiting_head++]);
	/* All that is in the bounce area comes back before the area goes. */
	if (n->started)
		ob_net_stop(n->net);
	if (n->sent.free)
		give_back(n);
	if (n->created)
		vduse_destroy(&n->v);
	if (n->fds.rtnl >= 0)
		close(n->fds.rtnl);
	if (n->fds.mcast >= 0)
		close(n->fds.mcast);
	if (n->umem)
		ob_dma_free(ob_device_dma(n->net->dev), n->umem);
	ob_pool_destroy(n->large);
	ob_pool_destroy(n->small);
	free(n->sent.free);
	free(n->idle);
	free(n->pkts);
	free(n);
}

/* The system's, where this process is confined. Ioctls of interfaces can be asked of any socket, a netlink one as well. */
static int open_sockets(struct vduse_net *n, struct ob_error *err)
{
	struct broker_call c = {.arg = NULL};
	int rc;

	tap_netns_forget(&n->fds);
	rc = broker_call(BROKER_VDUSE_NET, &c, err);
	if (rc)
		return rc;
	n->fds.rtnl = n->fds.ctl = n->fds.tun[0] = c.res_fd[0];
	if (c.nr_res_fds > 1)
		n->fds.mcast = c.res_fd[1];
	return 0;
}

static int net_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct vduse_net *n = calloc(1, sizeof(*n));
	struct ob_loop_source source = {.name = "device to vduse",
					.poll = device_poll,
					.arm = device_arm,
					.tick = device_tick,
					.arg = n,
					.fd = b->net->irq_fd[0]};
	int rc;

	if (!n)
		return ob_error_set(err, -ENOMEM, "vduse-net: no memory");
	n->net = b->net;
	n->loop = loop;
	unsent_init(&n->unsent, b);
	rc = open_sockets(n, err);
	if (!rc)
		rc = get_options(n, part, err);
	if (!rc)
		rc = make_memory(n, err);
	if (!rc)
		rc = create_device(n, err);
	if (!rc)
		rc = ob_net_start(n->net, err);
	if (rc)
		goto close;
	n->started = true;
	rc = ob_loop_add(loop, &source);
	if (rc) {
		ob_error_set(err, rc, "vduse-net: the loop takes no more sources");
		goto close;
	}
	*at = &n->at.at;
	return 0;

close:
	net_close(&n->at.at);
	return rc;
}

/* ---- publish and unpublish: from another thread ------------------------------------------------- */

static int dress(struct vduse_net *n, struct ob_error *err)
{
	int rc = tap_link_open(&n->fds, n->name, &n->link, err);

	/* What was done to the interface since is not undone by another driver process. */
	if (rc || atomic_load(&n->v.shared->published))
		return rc;
	if (n->address[0])
		rc = tap_link_add_address(&n->link, n->address, err);
	if (!rc && n->up) {
		rc = tap_link_set_up(&n->link, true);
		if (rc)
			ob_error_set(err, rc, "vduse-net: %s cannot be set up: %s", n->name,
				     strerror(-rc));
	}
	return rc;
}

static int net_publish(struct ob_attach *at, struct ob_error *err)
{
	struct vduse_net *n = net_of(at);
	char name[VDUSE_CHILD] = "";
	int rc;

	if (!atomic_load(&n->v.shared->published))
		memcpy(name, n->wanted, sizeof(n->wanted));
	rc = vduse_attach(&n->v, true, name, err);
	if (rc)
		return rc;
	snprintf(n->name, sizeof(n->name), "%.15s", name);
	rc = dress(n, err);
	if (rc) {
		vduse_detach(&n->v, true, true, NULL);
		return rc;
	}
	atomic_store(&n->v.shared->published, true);
	atomic_store(&n->linked, true);
	return 0;
}

static int net_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct vduse_net *n = net_of(at);

	atomic_store(&n->linked, false);
	return vduse_detach(&n->v, true, force, err);
}

static void net_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct vduse_net *n = net_of(at);

	memset(info, 0, sizeof(*info));
	info->kind = "vduse-net";
	snprintf(info->name, sizeof(info->name), "%s", n->name);
	snprintf(info->detail, sizeof(info->detail), "virtio-net in user space, 1 queue%s",
		 n->umem ? ", frames in the arena" : "");
}

static void net_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	*stats = net_of(at)->stats;
}

const struct ob_attach_ops ob_attach_vduse_net = {
	.name = "vduse-net",
	.summary = "a network interface: virtio-net in user space, through VDUSE",
	.class_ = OB_CLASS_NET,
	.outlives = true,
	.confined = true,
	.options = "name=IF, up, address=CIDR, gro=on|off, bounce=SIZE",
	.probe = net_probe,
	.open = net_open,
	.publish = net_publish,
	.unpublish = net_unpublish,
	.close = net_close,
	.info = net_info,
	.stats = net_stats,
};
