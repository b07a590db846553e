/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames between a tap and a device. Each frame is copied once, by the kernel, straight into or out of the
 * device's arena. See tap_io.h and docs/attach-net.md.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/tap_gro.h"
#include "attach/tap_io.h"
#include "attach/tap_vnet.h"

enum {
	ETH_HDR = 14,
	VLAN_TAG = 4,
	MIN_FRAME = 60, /* shortest frame, without FCS (IEEE 802.3, 3.2.8) */

	/*
	 * A small buffer holds a frame of the usual 1500 bytes with two tags, and more: headers always lie
	 * in it. 64 in front of the data keep it aligned to a cache line and leave room to grow forward.
	 */
	SMALL_HEADROOM = 64,
	SMALL_DATA = 1984,
	SMALL_COUNT = 512,

	/*
	 * The longest frame is one of 65,535 bytes of IP with its tags. Room in front of the data for the
	 * part in the small buffer makes it one piece when it has to be segmented here.
	 */
	LARGE_HEADROOM = 2048,
	LARGE_DATA = 65536,
	LARGE_COUNT = 64,

	/* Fewer than these are no use: a burst would not fit. */
	SMALL_LEAST = 64,
	LARGE_LEAST = 4,

	RX_BURST = TAP_GRO_MAX,
	/* Segments of a received frame: a chain of coalesced frames, or of the device's buffers. */
	IOV_MAX_SEGMENTS = 128,

	/* Rounds of a spinning loop between two reads that find nothing: a read costs ten empty rounds. */
	SKIP_ROUNDS = 4,

	/* Give the device what has been read before reading on, when there is this much of it. */
	PUSH_AT = 256,
};

static_assert((int)SMALL_DATA <= (int)LARGE_HEADROOM,
	      "a small buffer's data goes before a large one's");
static_assert((int)IOV_MAX_SEGMENTS > (int)TAP_GRO_MAX, "a coalesced burst must fit");

/* A pool as large as the arena allows. */
static int create_pool(struct ob_net *net, unsigned int count, unsigned int least, uint32_t size,
		       uint32_t headroom, struct ob_pool **pool)
{
	struct ob_dma *dma = ob_device_dma(net->dev);
	int ret;

	do
		ret = ob_pool_create(dma, count, size, headroom, 64, pool);
	while (ret && (count /= 2) >= least);
	return ret;
}

int tap_queue_open(struct tap_queue *q, struct ob_error *err)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ret = create_pool(q->net, SMALL_COUNT, SMALL_LEAST, SMALL_HEADROOM + SMALL_DATA,
			      SMALL_HEADROOM, &q->small);

	if (!ret)
		ret = create_pool(q->net, LARGE_COUNT, LARGE_LEAST, LARGE_HEADROOM + LARGE_DATA,
				  LARGE_HEADROOM, &q->large);
	if (ret) {
		tap_queue_close(q);
		ob_error_set(err, ret, "%s: no room in the arena for the frames of a tap",
			     ob_device_info(q->net->dev)->name);
		ob_error_fix(err, "open the device with a larger arena, e.g. arena=64M");
		return ret;
	}
	q->watch = epoll_create1(EPOLL_CLOEXEC);
	if (q->watch < 0 || epoll_ctl(q->watch, EPOLL_CTL_ADD, q->fd, &ev)) {
		ret = -errno;
		tap_queue_close(q);
		return ob_error_set(err, ret, "no descriptor to watch a tap: %s", strerror(-ret));
	}
	return 0;
}

void tap_queue_close(struct tap_queue *q)
{
	for (; q->count; q->count--)
		ob_pkt_free(q->pending[q->head++]);
	if (q->unsegmented)
		ob_pkt_free(q->unsegmented);
	ob_pool_destroy(q->large);
	ob_pool_destroy(q->small);
	if (q->watch >= 0)
		close(q->watch);
	q->watch = -1;
	q->large = q->small = NULL;
	q->next_large = q->next_small = q->unsegmented = NULL;
	q->head = 0;
}

/* ---- to the device -------------------------------------------------------------------- */

/* Hand over what was read, with one doorbell. What the ring has no room for stays, nothing is dropped. */
static unsigned int push(struct tap_queue *q)
{
	unsigned int n = 0;

	if (q->count) {
		n = ob_net_tx_burst(q->net, q->index, q->pending + q->head, q->count);
		q->head += n;
		q->count -= n;
	}
	if (!q->count)
		q->head = 0;
	return n;
}

static struct ob_pkt *take(struct ob_pool *pool)
{
	struct ob_pkt *pkt = ob_pkt_alloc(pool);

	if (ob_likely(pkt != NULL))
		ob_pkt_reset(pkt);
	return pkt;
}

/* The two buffers of the next read; when they are all in the ring, see what has been sent. */
static bool have_buffers(struct tap_queue *q)
{
	if (ob_likely(q->next_small && q->next_large))
		return true;
	for (int i = 0; i < 2; i++) {
		if (!q->next_small)
			q->next_small = take(q->small);
		if (!q->next_large)
			q->next_large = take(q->large);
		if (q->next_small && q->next_large)
			return true;
		ob_net_tx_burst(q->net, q->index, NULL, 0);
	}
	return false;
}

/* One frame from the tap; NULL when there is none or it was refused (@more is then true). */
static struct ob_pkt *read_frame(struct tap_queue *q, bool *more)
{
	struct virtio_net_hdr hdr;
	struct ob_pkt *small, *large;
	struct iovec iov[3];
	uint32_t len;
	ssize_t n;

	*more = false;
	q->no_buffers = !have_buffers(q);
	if (ob_unlikely(q->no_buffers))
		return NULL;
	small = q->next_small;
	large = q->next_large;
	/* The header not into the arena: the device could change it after it was checked. */
	iov[0] = (struct iovec){&hdr, sizeof(hdr)};
	iov[1] = (struct iovec){small->data, SMALL_DATA};
	iov[2] = (struct iovec){large->data, LARGE_DATA};
	n = readv(q->fd, iov, 3);
	q->stats.syscalls++;
	if (n < 0) {
		if (errno == EBADFD)
			q->tap_gone = true;
		*more = errno == EINTR;
		return NULL;
	}
	*more = true;
	if (n < (ssize_t)sizeof(hdr) + ETH_HDR || n == sizeof(hdr) + SMALL_DATA + LARGE_DATA) {
		q->stats.errors++; /* no frame, or one that was cut to fit */
		q->stats.dropped++;
		return NULL;
	}
	len = (uint32_t)(n - (ssize_t)sizeof(hdr));
	q->stats.requests_in++;
	q->stats.bytes_in += len;
	q->stats.kernel_copies++;
	small->next = NULL;
	if (len <= SMALL_DATA) {
		small->len = len;
	} else {
		small->len = SMALL_DATA;
		large->len = len - SMALL_DATA;
		small->next = large;
	}
	if (ob_unlikely(tap_vnet_to_pkt(&hdr, small))) {
		q->stats.errors++;
		q->stats.dropped++;
		return NULL; /* both buffers are used again */
	}
	q->next_small = NULL;
	if (small->next)
		q->next_large = NULL;
	return small;
}

/*
 * Segmentation by the device is for what every device has: at most one VLAN tag, and TCP right after IP.
 */
static bool device_segments(const struct tap_queue *q, const struct ob_pkt *pkt)
{
	const uint8_t *p = pkt->data;
	uint32_t l3 = ETH_HDR;

	if (!q->tso || ob_pkt_frame_len(pkt) > q->net->tx_max_len)
		return false;
	if (p[12] == 0x81 && p[13] == 0x00)
		l3 += VLAN_TAG;
	if (pkt->gso_type == OB_GSO_TCPV4)
		return p[l3] >> 4 == 4 && pkt->csum_start == l3 + (p[l3] & 0xfu) * 4;
	/* A driver whose device knows only IPv4 takes IPv6 apart itself, into buffers of the usual size. */
	return p[l3] >> 4 == 6 && p[l3 + 6] == 6 && pkt->csum_start == l3 + 40 &&
	       (uint32_t)pkt->hdr_len + pkt->gso_size <= SMALL_DATA;
}

/* Make a frame in a small and a large buffer one piece in the large one. */
static struct ob_pkt *in_one_piece(struct tap_queue *q, struct ob_pkt *small)
{
	struct ob_pkt *large = small->next;

	if (!large)
		return small;
	large->data -= small->len;
	memcpy(large->data, small->data, small->len);
	large->len += small->len;
	large->iova = ob_dma_iova(large->pool->dma, large->data);
	large->flags = small->flags;
	large->csum_start = small->csum_start;
	large->csum_offset = small->csum_offset;
	large->gso_type = small->gso_type;
	large->gso_size = small->gso_size;
	large->hdr_len = small->hdr_len;
	large->next = NULL;
	ob_pkt_free_segment(small);
	return large;
}

static void drop(struct tap_queue *q, struct ob_pkt *pkt)
{
	ob_pkt_free(pkt);
	q->stats.dropped++;
	q->stats.errors++;
}

/*
 * Take a segmentation frame apart for a device that cannot: still cheaper than a system call and a walk
 * through the stack for each segment. False when it has to wait for buffers.
 */
static bool segment(struct tap_queue *q, struct ob_pkt *pkt)
{
	struct ob_pool *pool = q->small;
	unsigned int room = TAP_PENDING - q->head - q->count, want;
	int n;

	q->unsegmented = NULL;
	pkt = in_one_piece(q, pkt);
	/* A large MTU's segments do not fit into small buffers. */
	if ((uint32_t)pkt->hdr_len + pkt->gso_size > SMALL_DATA)
		pool = q->large;
	want = (pkt->len - pkt->hdr_len + pkt->gso_size - 1) / pkt->gso_size;
	/* Two are kept out: one waits for the next read, one is this frame's own. */
	if (want > TAP_PENDING || want + 2 > pool->size) {
		drop(q, pkt);
		return true;
	}
	if (pool->n < want)
		ob_net_tx_burst(q->net, q->index, NULL, 0);
	n = ob_net_segment(pkt, pool, q->pending + q->head + q->count, room);
	if (n == -ENOBUFS) {
		q->unsegmented = pkt;
		return false;
	}
	if (n < 0) {
		drop(q, pkt);
		return true;
	}
	q->count += (unsigned int)n;
	q->stats.own_copies++;
	ob_pkt_free(pkt);
	return true;
}

/* A frame from the tap, made what the device can send. False: no further one now. */
static bool accept_frame(struct tap_queue *q, struct ob_pkt *pkt)
{
	if (ob_unlikely(pkt->gso_type != OB_GSO_NONE && !device_segments(q, pkt)))
		return segment(q, pkt);
	/* For the same reason: ob_net_segment() wants one piece. Moves 2 KiB of up to 64. */
	if (pkt->gso_type == OB_GSO_TCPV6 && pkt->next) {
		pkt = in_one_piece(q, pkt);
		q->stats.own_copies++;
	}
	if (pkt->gso_type == OB_GSO_NONE) {
		/*
		 * The interface got another MTU, which the device follows within a tick, as a network does:
		 * too long means lost.
		 */
		if (ob_unlikely(pkt->next || pkt->len > 1518) &&
		    ob_pkt_frame_len(pkt) > q->net->mtu + ETH_HDR + 2 * VLAN_TAG) {
			ob_pkt_free(pkt);
			q->stats.dropped++;
			return true;
		}
		/*
		 * A frame that is padded on its way gets its checksum here: QEMU's e1000e counts the padding
		 * as payload, and summing 46 bytes is no more work than describing it to a device.
		 */
		if ((pkt->flags & OB_PKT_CSUM_PARTIAL) && (!q->csum || pkt->len < MIN_FRAME) &&
		    ob_net_csum_fill(pkt)) {
			drop(q, pkt);
			return true;
		}
	}
	q->pending[q->head + q->count++] = pkt;
	return true;
}

unsigned int tap_queue_to_device(void *queue, unsigned int budget)
{
	struct tap_queue *q = queue;
	unsigned int work = 0;
	bool more = true;

	work += push(q);
	if (q->unsegmented && !q->count && segment(q, q->unsegmented))
		work += push(q) + 1;
	/* Back-pressure: what the device has no room for stays in the kernel's queue. */
	if (q->count || q->unsegmented || q->tap_gone)
		return work;
	/* While nothing moves, do not ask the kernel in every round. */
	if (q->skip && q->device_idle) {
		q->skip--;
		return work;
	}
	for (unsigned int i = 0; i < budget && more; i++) {
		struct ob_pkt *pkt = read_frame(q, &more);

		if (!pkt)
			continue;
		work++;
		if (!accept_frame(q, pkt))
			break;
		if (q->count >= PUSH_AT) {
			push(q);
			if (q->count)
				break;
		}
	}
	q->skip = work ? 0 : SKIP_ROUNDS;
	push(q);
	return work;
}

bool tap_queue_waits(void *queue, bool on)
{
	struct tap_queue *q = queue;
	bool blocked = q->count || q->unsegmented || q->no_buffers;
	struct epoll_event ev = {.events = blocked ? 0 : EPOLLIN};

	q->skip = 0; /* the look after this one counts */
	if (!on)
		return false;
	/* What waits in the tap is no reason to wake while it cannot be taken. */
	if (blocked != q->masked) {
		q->stats.syscalls++;
		if (!epoll_ctl(q->watch, EPOLL_CTL_MOD, q->fd, &ev))
			q->masked = blocked;
	}
	return blocked;
}

/* ---- from the device ------------------------------------------------------------------ */

/* One frame to the kernel: 0, or a negative errno value. */
static int write_frame(struct tap_queue *q, const struct ob_pkt *pkt, uint32_t *len)
{
	struct iovec iov[1 + IOV_MAX_SEGMENTS];
	struct virtio_net_hdr hdr;
	unsigned int n = 1;
	ssize_t ret;

	*len = 0;
	tap_vnet_from_pkt(pkt, &hdr);
	iov[0] = (struct iovec){&hdr, sizeof(hdr)};
	for (const struct ob_pkt *s = pkt; s; s = s->next) {
		if (ob_unlikely(n > IOV_MAX_SEGMENTS))
			return -EMSGSIZE;
		iov[n++] = (struct iovec){s->data, s->len};
		*len += s->len;
	}
	q->stats.syscalls++;
	do
		ret = writev(q->fd, iov, (int)n);
	while (ob_unlikely(ret < 0 && errno == EINTR));
	return ret < 0 ? -errno : 0;
}

unsigned int tap_queue_from_device(void *queue, unsigned int budget)
{
	struct ob_pkt *pkts[RX_BURST];
	struct tap_queue *q = queue;
	unsigned int got, n;
	bool down = false;

	got = ob_net_rx_burst(q->net, q->index, pkts, budget < RX_BURST ? budget : RX_BURST);
	q->device_idle = !got;
	if (!got)
		return 0;
	n = got;
	if (q->gro && got > 1) {
		n = tap_gro(pkts, got);
		q->merged += got - n;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct ob_pkt *pkt = pkts[i];
		uint32_t len;
		int ret;

		if (ob_unlikely(pkt->flags & OB_PKT_BAD)) {
			q->stats.errors++;
			q->stats.dropped++;
		} else if (ob_unlikely(down || q->tap_gone)) {
			q->stats.dropped++;
		} else {
			ret = write_frame(q, pkt, &len);
			if (ob_likely(!ret)) {
				q->stats.requests_out++;
				q->stats.bytes_out += len;
				q->stats.kernel_copies++;
			} else {
				q->stats.dropped++;
				/* EIO: the interface is down; so it is for the rest of the burst. */
				down = ret == -EIO;
				q->tap_gone |= ret == -EBADFD;
				if (ret != -EIO && ret != -EAGAIN && ret != -EBADFD)
					q->stats.errors++;
			}
		}
		ob_pkt_free(pkt);
	}
	return got;
}
