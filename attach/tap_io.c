/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames between a tap and a device. Each frame is copied once, by the kernel, straight into or out of the
 * device's arena. See tap_io.h and docs/attach-net.md.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/tap_gro.h"
#include "attach/tap_io.h"
#include "attach/tap_vnet.h"
#include "class/loop_private.h"

enum {
	ETH_HDR = 14,

	/*
	 * A small buffer holds a frame of the usual 1500 bytes with two tags, and more: headers always lie
	 * in it. 64 in front of the data keep it aligned to a cache line and leave room to grow forward.
	 */
	SMALL_HEADROOM = 64,
	SMALL_DATA = 1984,
	SMALL_COUNT = 512,

	/* The longest frame is one of 65,535 bytes of IP with its tags. */
	LARGE_HEADROOM = 64,
	LARGE_DATA = 65536,
	LARGE_COUNT = 64,

	/* Fewer than these are no use: a burst would not fit. */
	SMALL_LEAST = 64,
	LARGE_LEAST = 4,

	RX_BURST = TAP_GRO_MAX,
	/* Segments of a received frame: a chain of coalesced frames, or of the device's buffers. */
	IOV_MAX_SEGMENTS = 128,

	/* Rounds of a spinning loop after a read that found nothing: a read costs ten empty rounds. */
	SKIP_ROUNDS = 4,
};

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
	q->send.net = q->net;
	q->send.index = q->index;
	q->send.small = q->small;
	q->send.large = q->large;
	q->send.stats = &q->stats;
	q->watch = q->fd;
	return 0;
}

void tap_queue_close(struct tap_queue *q)
{
	tap_send_drain(&q->send);
	ob_pool_destroy(q->large);
	ob_pool_destroy(q->small);
	q->large = q->small = NULL;
	q->next_large = q->next_small = NULL;
}

/* ---- to the device -------------------------------------------------------------------- */

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
static struct ob_pkt *read_frame(void *queue, bool *more)
{
	struct tap_queue *q = queue;
	struct virtio_net_hdr hdr;
	struct ob_pkt *small, *large;
	struct iovec iov[3];
	uint32_t len;
	ssize_t n;

	*more = false;
	q->tap_idle = false;
	q->no_buffers = !have_buffers(q);
	if (ob_unlikely(q->no_buffers))
		return NULL;
	small = q->next_small;
	large = q->next_large;
	/* The header not into the arena: the device could change it after it was checked. */
	iov[0] = (struct iovec){&hdr, sizeof(hdr)};
	iov[1] = (struct iovec){small->data, SMALL_DATA};
	iov[2] = (struct iovec){large->data, LARGE_DATA};
	n = preadv2(q->fd, iov, 3, -1, 0); /* as readv(); a call less for the sandbox */
	q->stats.syscalls++;
	if (n < 0) {
		if (errno == EBADFD)
			q->tap_gone = true;
		*more = errno == EINTR;
		q->tap_idle = !*more;
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

unsigned int tap_queue_to_device(void *queue, unsigned int budget)
{
	struct tap_queue *q = queue;
	unsigned int work = tap_send_resume(&q->send);

	/* Back-pressure: what the device has no room for stays in the kernel's queue. */
	if (tap_send_blocked(&q->send) || q->tap_gone)
		return work;
	/* While nothing moves, do not ask the kernel in every round. */
	if (q->skip && q->device_idle) {
		q->skip--;
		return work;
	}
	work += tap_send_frames(&q->send, read_frame, q, budget);
	q->skip = q->tap_idle ? SKIP_ROUNDS : 0;
	return work;
}

bool tap_queue_waits(void *queue, bool on)
{
	struct tap_queue *q = queue;
	bool blocked = tap_send_blocked(&q->send) || q->no_buffers;

	/* Not before the sleep, which does not begin when there is something: @watch is a level. After it each look counts. */
	q->skip = on ? 1 : 0;
	if (!on)
		return false;
	/* What waits in the tap is no reason to wake while it cannot be taken. */
	if (blocked != q->masked) {
		q->stats.syscalls++;
		if (!loop_watch(q->loop, q->watch, !blocked))
			q->masked = blocked;
	}
	return blocked;
}

struct unsent_buffers tap_queue_buffers(const void *queue)
{
	const struct tap_queue *q = queue;

	return (struct unsent_buffers){
		.away = q->small->size - q->small->n - !!q->next_small + q->large->size -
			q->large->n - !!q->next_large,
		.dry = q->no_buffers,
	};
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
