/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames between a tap's vhost-net and a device: see vhost_net.h and docs/attach-net.md. We are what a virtual
 * machine is otherwise: the driver of a virtio network card (virtio 1.2, 5.1) whose device is in the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/broker_ops.h"
#include "attach/tap_gro.h"
#include "attach/tap_vnet.h"
#include "attach/vhost_net.h"
#include "attach/vhost_ring.h"

#define DEVICE "/dev/vhost-net"

/*
 * Buffers that may be joined for a long frame, notifications by index, and the header of virtio 1.0 that both
 * need. All of them are in every vhost-net since Linux 4.0.
 */
#define FEATURES                                                                                   \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF |                             \
	 1ull << VIRTIO_RING_F_EVENT_IDX)

enum {
	ETH_HDR = 14,
	VLAN_TAGS = 8,
	HEADER = sizeof(struct virtio_net_hdr_mrg_rxbuf),

	/* To the device: buffers that the kernel may fill. Each has room for the device's longest frame. */
	RX_RING = 256,
	RX_COUNT = 512, /* as many again in the device's ring */
	RX_LEAST = 64,
	RX_DATA = 8128,
	RX_HEADROOM = 64, /* keeps data aligned to a cache line; the header goes before it */
	RX_REFILL = 32,	  /* a few at a time, not each for itself */

	/* Segments of the usual size, for a device that does not make them. */
	SEGMENT_COUNT = 512,
	SEGMENT_LEAST = 64,
	SEGMENT_DATA = 1984,

	/* From the device: descriptors, one for each header and each piece of a frame. */
	TX_RING = 1024,
	TX_PIECES = 128,
	TX_HEADER_STRIDE = 16,

	BURST = TAP_GRO_MAX,
};

static_assert((int)TX_PIECES > (int)TAP_GRO_MAX, "a coalesced burst must fit");

enum {
	TO_DEVICE = 0, /* the receive queue of the card that the kernel is for us (5.1.2) */
	FROM_DEVICE = 1,
};

/**
 * struct vhost_pair - what a queue has beside the tap
 * @fd: of /dev/vhost-net
 * @kick: eventfds that wake the kernel's thread; the queue's watch is its call
 * @ring: by TO_DEVICE and FROM_DEVICE
 * @headers: of frames from the device, outside of the arena, by their chain's first descriptor
 * @pool: buffers to the device
 * @segments: for segments that are made here; NULL when the device makes them
 * @first, @last: a frame of several buffers, of which @missing have not come
 * @damaged: and it cannot be one
 * @waiting: frames of the device that the ring had no room for: @nr_waiting from @waiting_head
 * @most_held: descriptors that frames from the device may take up, so that it keeps enough buffers
 * @said_broken: logged
 */
struct vhost_pair {
	int fd;
	int kick[2];
	struct vhost_ring ring[2];
	uint8_t *headers;
	struct ob_pool *pool, *segments;
	struct ob_pkt *first, *last;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	unsigned int missing;
	bool damaged;
	struct ob_pkt *waiting[BURST];
	unsigned int waiting_head, nr_waiting;
	unsigned int most_held;
	bool said_broken;
};

/* ---- open and close ----------------------------------------------------------------------- */

int broker_vhost_net(struct broker_call *c, struct ob_error *err)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	c->res_fd[c->nr_res_fds++] = fd;
	return 0;
}

static int open_node(int *fd)
{
	struct broker_call c = {.arg = NULL};
	int ret = broker_call(BROKER_VHOST_NET, &c, NULL);

	*fd = ret ? -1 : c.res_fd[0];
	return ret;
}

int vhost_net_probe(struct ob_error *err)
{
	int fd, ret = open_node(&fd);

	if (!ret) {
		close(fd);
		return 0;
	}
	switch (ret) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		ob_error_set(err, -EOPNOTSUPP, "vhost-net is not in this kernel, or not loaded");
		ob_error_why(err, "there is no " DEVICE);
		ob_error_fix(err, "sudo modprobe vhost_net");
		return -EOPNOTSUPP;
	case -EACCES:
	case -EPERM:
		ob_error_set(err, ret, "this user may not open " DEVICE);
		ob_error_why(err, "%s", strerror(-ret));
		ob_error_fix(err, "run as root, or join the group of " DEVICE
				  " (kvm on Debian): sudo adduser $USER kvm");
		return ret;
	}
	return ob_error_set(err, ret, DEVICE ": %s", strerror(-ret));
}

int vhost_net_set_header(int tap, bool on)
{
	int size = on ? (int)HEADER : (int)sizeof(struct virtio_net_hdr);

	return ioctl(tap, TUNSETVNETHDRSZ, &size) ? -errno : 0;
}

static int set_ring(struct tap_queue *q, unsigned int i)
{
	struct vhost_pair *v = q->vhost;
	struct vhost_ring *r = &v->ring[i];
	struct vhost_vring_state num = {.index = i, .num = r->size}, base = {.index = i};
	struct vhost_vring_file kick = {.index = i, .fd = v->kick[i]};
	struct vhost_vring_file call = {.index = i, .fd = q->watch};
	struct vhost_vring_addr addr = {
		.index = i,
		.desc_user_addr = (uintptr_t)r->desc,
		.avail_user_addr = (uintptr_t)r->avail,
		.used_user_addr = (uintptr_t)r->used,
	};

	if (ioctl(v->fd, VHOST_SET_VRING_NUM, &num) || ioctl(v->fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(v->fd, VHOST_SET_VRING_ADDR, &addr) ||
	    ioctl(v->fd, VHOST_SET_VRING_KICK, &kick) || ioctl(v->fd, VHOST_SET_VRING_CALL, &call))
		return -errno;
	return 0;
}

/* What the kernel's thread may touch, by addresses of our own: payload in the arena, and headers. */
static int set_memory(struct tap_queue *q)
{
	const struct ob_dma *dma = ob_device_dma(q->net->dev);
	struct vhost_pair *v = q->vhost;
	const struct vhost_memory_region r[] = {
		{.guest_phys_addr = (uintptr_t)dma->base,
		 .memory_size = dma->size,
		 .userspace_addr = (uintptr_t)dma->base},
		{.guest_phys_addr = (uintptr_t)v->headers,
		 .memory_size = TX_RING * TX_HEADER_STRIDE,
		 .userspace_addr = (uintptr_t)v->headers},
	};
	/* Ends with an array of no size, so no compiler but gcc has it inside of another struct. */
	_Alignas(struct vhost_memory) char table[sizeof(struct vhost_memory) + sizeof(r)] = {0};
	struct vhost_memory *m = (struct vhost_memory *)table;

	m->nregions = sizeof(r) / sizeof(r[0]);
	memcpy(m->regions, r, sizeof(r));
	return ioctl(v->fd, VHOST_SET_MEM_TABLE, m) ? -errno : 0;
}

static int set_backend(struct tap_queue *q, int tap)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_vring_file file = {.index = i, .fd = tap};

		if (ioctl(q->vhost->fd, VHOST_NET_SET_BACKEND, &file))
			return -errno;
	}
	return 0;
}

static int set_up(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;
	uint64_t features = 0;
	int ret;

	ret = open_node(&v->fd);
	if (ret)
		return ret;
	if (ioctl(v->fd, VHOST_SET_OWNER) || ioctl(v->fd, VHOST_GET_FEATURES, &features))
		return -errno;
	if ((features & FEATURES) != FEATURES)
		return -EOPNOTSUPP;
	features = FEATURES;
	if (ioctl(v->fd, VHOST_SET_FEATURES, &features))
		return -errno;
	ret = set_memory(q);
	for (unsigned int i = 0; i < 2 && !ret; i++)
		ret = set_ring(q, i);
	return ret;
}

static int make_pool(struct tap_queue *q, unsigned int count, unsigned int least, uint32_t data,
		     struct ob_pool **pool)
{
	int ret;

	do
		ret = ob_pool_create(ob_device_dma(q->net->dev), count, RX_HEADROOM + data,
				     RX_HEADROOM, 64, pool);
	while (ret && (count /= 2) >= least);
	return ret;
}

static int make_pools(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;
	uint32_t data = q->net->mtu_max + ETH_HDR + VLAN_TAGS;
	int ret;

	/* Segments for a large MTU are taken from here, too. */
	if (data < RX_DATA)
		data = RX_DATA;
	ret = make_pool(q, RX_COUNT, RX_LEAST, data, &v->pool);
	if (!ret && !q->send.tso)
		ret = make_pool(q, SEGMENT_COUNT, SEGMENT_LEAST, SEGMENT_DATA, &v->segments);
	return ret;
}

static void refill(struct tap_queue *q)
{
	struct vhost_ring *r = &q->vhost->ring[TO_DEVICE];
	struct ob_pool *pool = q->vhost->pool;

	if (pool->n < r->nr_free && pool->n < RX_REFILL)
		ob_net_tx_burst(q->net, q->index, NULL, 0);
	while (r->nr_free && pool->n) {
		struct ob_pkt *pkt = ob_pkt_alloc(pool);
		struct vhost_piece piece;

		ob_pkt_reset(pkt);
		piece.addr = pkt->data - HEADER;
		piece.len = HEADER + pool->buf_size - RX_HEADROOM;
		vhost_ring_add(r, &piece, 1, pkt);
	}
}

static void publish(struct tap_queue *q, unsigned int ring)
{
	const uint64_t one = 1;

	if (!vhost_ring_publish(&q->vhost->ring[ring]))
		return;
	q->stats.syscalls++;
	/* An eventfd that is full is readable: the kernel is woken all the same. */
	if (write(q->vhost->kick[ring], &one, sizeof(one)) < 0)
		return;
}

int vhost_net_open(struct tap_queue *q, struct ob_error *err)
{
	const char *name = ob_device_info(q->net->dev)->name;
	struct vhost_pair *v = calloc(1, sizeof(*v));
	void *headers;
	int ret;

	q->watch = -1;
	if (!v)
		return ob_error_set(err, -ENOMEM, "%s: no memory for vhost-net", name);
	q->vhost = v;
	v->fd = v->kick[0] = v->kick[1] = -1;
	headers = mmap(NULL, TX_RING * TX_HEADER_STRIDE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	v->headers = headers == MAP_FAILED ? NULL : headers;
	ret = v->headers ? 0 : -ENOMEM;
	if (!ret)
		ret = vhost_ring_open(&v->ring[TO_DEVICE], RX_RING, true);
	if (!ret)
		ret = vhost_ring_open(&v->ring[FROM_DEVICE], TX_RING, false);
	if (ret) {
		ob_error_set(err, ret, "%s: no memory for the rings of vhost-net", name);
		goto close;
	}
	ret = make_pools(q);
	if (ret) {
		ob_error_set(err, ret, "%s: no room in the arena for the frames of vhost-net",
			     name);
		ob_error_fix(err, "open the device with a larger arena, e.g. arena=128M");
		goto close;
	}
	q->watch = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned int i = 0; i < 2; i++)
		v->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = q->watch < 0 || v->kick[0] < 0 || v->kick[1] < 0 ? -errno : 0;
	if (!ret)
		ret = set_up(q);
	if (ret)
		goto say;
	v->most_held = TX_RING;
	if (q->net->rx_pool[q->index] && q->net->rx_pool[q->index]->size / 2 < TX_RING)
		v->most_held = q->net->rx_pool[q->index]->size / 2;
	q->send.net = q->net;
	q->send.index = q->index;
	q->send.small = v->segments ? v->segments : v->pool;
	q->send.large = v->segments ? v->pool : NULL;
	q->send.stats = &q->stats;
	refill(q);
	vhost_ring_publish(&v->ring[TO_DEVICE]);
	ret = set_backend(q, q->fd);
	if (!ret)
		return 0;
say:
	ob_error_set(err, ret, "%s: vhost-net cannot be set up: %s", name, strerror(-ret));
	ob_error_fix(err, "attach it without: tap,vhost=off");
close:
	vhost_net_close(q);
	return ret;
}

void vhost_net_stop(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;
	struct ob_pkt *pkt;

	if (!v)
		return;
	/* Also without asking first: closing waits for the kernel's thread and its last copies. */
	if (v->fd >= 0) {
		set_backend(q, -1);
		close(v->fd);
	}
	v->fd = -1;
	for (unsigned int i = 0; i < 2; i++)
		while (v->ring[i].size && (pkt = vhost_ring_recall(&v->ring[i])))
			ob_pkt_free(pkt);
	if (v->missing)
		ob_pkt_free(v->first);
	v->missing = 0;
	for (; v->nr_waiting; v->nr_waiting--)
		ob_pkt_free(v->waiting[v->waiting_head++]);
	tap_send_drain(&q->send);
}

void vhost_net_close(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;

	if (!v)
		return;
	vhost_net_stop(q);
	for (unsigned int i = 0; i < 2; i++) {
		vhost_ring_close(&v->ring[i]);
		if (v->kick[i] >= 0)
			close(v->kick[i]);
	}
	if (q->watch >= 0)
		close(q->watch);
	q->watch = -1;
	ob_pool_destroy(v->segments);
	ob_pool_destroy(v->pool);
	if (v->headers)
		munmap(v->headers, TX_RING * TX_HEADER_STRIDE);
	free(v);
	q->vhost = NULL;
}

static void say_broken(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;

	if (ob_likely(!v->ring[0].broken && !v->ring[1].broken) || v->said_broken)
		return;
	v->said_broken = true;
	q->stats.errors++;
	ob_device_log(q->net->dev, OB_LOG_ERROR,
		      "vhost-net gave back what it never had; queue %u moves nothing any more",
		      q->index);
}

/* ---- to the device -------------------------------------------------------------------------- */

static void drop(struct tap_queue *q, struct ob_pkt *pkt)
{
	ob_pkt_free(pkt);
	q->stats.errors++;
	q->stats.dropped++;
}

/*
 * One buffer: the first of a frame begins with the header, those that follow have payload in its place
 * (5.1.6.3.1), and each but the last is full. The header lies where the device can write, so it is copied
 * before it is looked at.
 */
static void add_buffer(struct vhost_pair *v, struct ob_pkt *pkt, uint32_t written)
{
	const uint8_t *start = pkt->data - HEADER;

	if (!v->missing) {
		memcpy(&v->hdr, start, HEADER);
		v->damaged = written < HEADER + ETH_HDR || !v->hdr.num_buffers ||
			     v->hdr.num_buffers > RX_RING;
		v->missing = v->damaged ? 1 : v->hdr.num_buffers;
		pkt->len = v->damaged ? 0 : written - HEADER;
		v->first = pkt;
	} else {
		pkt->data -= HEADER;
		pkt->iova = ob_dma_iova(pkt->pool->dma, pkt->data);
		pkt->len = written;
		v->damaged |= !written;
		v->last->next = pkt;
	}
	v->last = pkt;
	v->missing--;
	v->damaged |= v->missing && written != HEADER + pkt->pool->buf_size - RX_HEADROOM;
}

/* One frame of the kernel's; NULL when there is none, or when it was refused (@more is then true). */
static struct ob_pkt *take_frame(void *queue, bool *more)
{
	struct tap_queue *q = queue;
	struct vhost_pair *v = q->vhost;
	struct vhost_ring *r = &v->ring[TO_DEVICE];
	struct virtio_net_hdr hdr;
	struct ob_pkt *pkt;
	uint32_t written;

	do {
		pkt = vhost_ring_take(r, &written);
		if (!pkt) {
			*more = false;
			return NULL;
		}
		add_buffer(v, pkt, written);
	} while (v->missing);

	*more = true;
	pkt = v->first;
	if (ob_unlikely(v->damaged)) {
		drop(q, pkt);
		return NULL;
	}
	q->stats.requests_in++;
	q->stats.bytes_in += ob_pkt_frame_len(pkt);
	q->stats.kernel_copies++;
	memcpy(&hdr, &v->hdr, sizeof(hdr)); /* what it begins with */
	if (ob_unlikely(tap_vnet_to_pkt(&hdr, pkt))) {
		drop(q, pkt);
		return NULL;
	}
	return pkt;
}

unsigned int vhost_net_to_device(void *queue, unsigned int budget)
{
	struct tap_queue *q = queue;
	struct vhost_ring *r = &q->vhost->ring[TO_DEVICE];
	unsigned int work = tap_send_resume(&q->send);

	/* Back-pressure: what the device has no room for stays in the ring, and then in the kernel's queue. */
	if (tap_send_blocked(&q->send))
		return work;
	if (ob_likely(vhost_ring_pending(r))) {
		work += tap_send_frames(&q->send, take_frame, q, budget);
		say_broken(q);
	}
	if (r->nr_free >= RX_REFILL) {
		refill(q);
		publish(q, TO_DEVICE);
	}
	return work;
}

bool vhost_net_waits(void *queue, bool on)
{
	struct tap_queue *q = queue;
	struct vhost_ring *r = &q->vhost->ring[TO_DEVICE];

	if (!on) {
		vhost_ring_disarm(r);
		return false;
	}
	if (r->nr_free) {
		refill(q);
		publish(q, TO_DEVICE);
	}
	/*
	 * What waits for the device is waited for by time, as the device need not interrupt for what it has
	 * sent; so is an empty ring that gets its buffers back from there.
	 */
	if (tap_send_blocked(&q->send) || r->nr_free == r->size)
		return true;
	return vhost_ring_arm(r, 1) && !r->broken;
}

struct unsent_buffers vhost_net_buffers(const void *queue)
{
	const struct tap_queue *q = queue;
	const struct vhost_pair *v = q->vhost;
	unsigned int away = v->pool->size - v->pool->n - vhost_ring_held(&v->ring[TO_DEVICE]);

	if (v->missing)
		for (const struct ob_pkt *pkt = v->first; pkt; pkt = pkt->next)
			away--;
	if (v->segments)
		away += v->segments->size - v->segments->n;
	return (struct unsent_buffers){away, !vhost_ring_held(&v->ring[TO_DEVICE])};
}

/* ---- from the device -------------------------------------------------------------------------- */

/* Buffers that the kernel has copied go back to the device. */
static void reclaim(struct tap_queue *q)
{
	struct vhost_ring *r = &q->vhost->ring[FROM_DEVICE];
	struct ob_pkt *pkt;
	uint32_t written;

	if (!vhost_ring_pending(r))
		return;
	while ((pkt = vhost_ring_take(r, &written)))
		ob_pkt_free(pkt);
	say_broken(q);
}

/* A frame into the ring; false when it has no room now. */
static bool send_frame(struct tap_queue *q, struct ob_pkt *pkt)
{
	struct vhost_pair *v = q->vhost;
	struct vhost_ring *r = &v->ring[FROM_DEVICE];
	struct vhost_piece piece[1 + TX_PIECES];
	struct virtio_net_hdr_mrg_rxbuf hdr = {0};
	uint32_t len = 0;
	unsigned int n = 1;

	if (ob_unlikely(pkt->flags & OB_PKT_BAD)) {
		drop(q, pkt);
		return true;
	}
	for (const struct ob_pkt *s = pkt; s; s = s->next) {
		if (ob_unlikely(n > TX_PIECES)) {
			drop(q, pkt);
			return true;
		}
		if (!s->len)
			continue;
		piece[n++] = (struct vhost_piece){s->data, s->len};
		len += s->len;
	}
	if (n > r->nr_free || r->broken)
		return false;
	tap_vnet_from_pkt(pkt, (struct virtio_net_hdr *)&hdr);
	piece[0].addr = v->headers + vhost_ring_next(r) * TX_HEADER_STRIDE;
	piece[0].len = HEADER;
	memcpy(piece[0].addr, &hdr, HEADER);
	vhost_ring_add(r, piece, n, pkt);
	q->stats.requests_out++;
	q->stats.bytes_out += len;
	q->stats.kernel_copies++;
	return true;
}

static void send_waiting(struct tap_queue *q)
{
	struct vhost_pair *v = q->vhost;

	while (v->nr_waiting && send_frame(q, v->waiting[v->waiting_head])) {
		v->waiting_head++;
		v->nr_waiting--;
	}
}

unsigned int vhost_net_from_device(void *queue, unsigned int budget)
{
	struct tap_queue *q = queue;
	struct vhost_pair *v = q->vhost;
	const struct vhost_ring *r = &v->ring[FROM_DEVICE];
	unsigned int got = 0, n;

	reclaim(q);
	send_waiting(q);
	/* Back-pressure: what the kernel has no room for stays in the device. */
	if (!v->nr_waiting && r->size - r->nr_free < v->most_held) {
		got = ob_net_rx_burst(q->net, q->index, v->waiting,
				      budget < BURST ? budget : BURST);
		n = got;
		if (q->gro && got > 1) {
			n = tap_gro(v->waiting, got);
			q->merged += got - n;
		}
		v->waiting_head = 0;
		v->nr_waiting = n;
		send_waiting(q);
	}
	publish(q, FROM_DEVICE);
	return got;
}

bool vhost_net_full(struct tap_queue *q, bool on)
{
	struct vhost_pair *v = q->vhost;
	struct vhost_ring *r = &v->ring[FROM_DEVICE];
	unsigned int held = vhost_ring_held(r);

	if (!on) {
		vhost_ring_disarm(r);
		return false;
	}
	/* The device keeps enough buffers to go on: nothing needs to be known of those under way. */
	if (!held || r->broken || (!v->nr_waiting && r->size - r->nr_free < v->most_held / 2))
		return false;
	return vhost_ring_arm(r, (held + 1) / 2);
}
