/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rings of the e1000 driver and the frames in them. SDM 3.2 (receive), 3.3 (transmit), 3.5 (TCP
 * segmentation); 82574 7.1 and 7.2. Everything that the device writes is checked here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access/faultpoint.h"
#include "drivers/e1000/e1000.h"

#define always_inline inline __attribute__((always_inline))

/* The device looks at descriptors and writes them while we do: each access is one instruction. */
static always_inline uint64_t load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static always_inline void store64(uint64_t *p, uint64_t val)
{
	__atomic_store_n(p, val, __ATOMIC_RELAXED);
}

static always_inline uint32_t load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* ---- rings ----------------------------------------------------------------------- */

static unsigned int ring_size(unsigned int depth)
{
	unsigned int size = E1000_RING_MIN;

	if (!depth)
		return E1000_RING_DEFAULT;
	while (size < depth && size < E1000_RING_MAX)
		size *= 2; /* also makes RDLEN a multiple of 128 bytes (13.4.27) */
	return size;
}

int e1000_rings_alloc(struct e1000 *e, unsigned int depth, struct ob_error *err)
{
	struct ob_dma *dma = ob_device_dma(e->dev);
	unsigned int size = ring_size(depth), buffers;
	struct e1000_rx_ring *rx = &e->rx;
	struct e1000_tx_ring *tx = &e->tx;
	int ret;

	/* A full receive ring, a full transmit ring of forwarded frames, and bursts in the client's hands. */
	buffers = 2 * size + 512;
	ret = ob_pool_create(dma, buffers, E1000_RX_HEADROOM + E1000_RX_BUFFER, E1000_RX_HEADROOM,
			     64, &e->pool);
	if (ret)
		return ob_error_set(err, ret, "%s: no memory for %u receive buffers",
				    ob_device_info(e->dev)->name, buffers);

	rx->desc = ob_dma_alloc(dma, size * sizeof(*rx->desc), 4096, "e1000 rx ring", &rx->iova);
	tx->desc = ob_dma_alloc(dma, size * sizeof(*tx->desc), 4096, "e1000 tx ring", &tx->iova);
	rx->pkt = calloc(size, sizeof(*rx->pkt));
	tx->pkt = calloc(size, sizeof(*tx->pkt));
	tx->report = calloc(size, sizeof(*tx->report));
	if (!rx->desc || !tx->desc || !rx->pkt || !tx->pkt || !tx->report) {
		e1000_rings_free(e);
		ob_error_set(err, -ENOMEM, "%s: no memory for rings of %u descriptors",
			     ob_device_info(e->dev)->name, size);
		ob_error_fix(err, "open the device with arena=128M");
		return -ENOMEM;
	}
	rx->mask = size - 1;
	tx->mask = size - 1;
	rx->batch = size / 4;
	rx->pool = e->pool;
	rx->iova_delta =
		ob_dma_iova(dma, e->pool->memory).addr - (uint64_t)(uintptr_t)e->pool->memory;
	e->net.rx_pool[0] = e->pool;
	return 0;
}

void e1000_rings_free(struct e1000 *e)
{
	struct ob_dma *dma = ob_device_dma(e->dev);

	free(e->tx.report);
	free(e->tx.pkt);
	free(e->rx.pkt);
	ob_dma_free(dma, e->tx.desc);
	ob_dma_free(dma, e->rx.desc);
	ob_pool_destroy(e->pool);
	e->pool = NULL;
	e->net.rx_pool[0] = NULL;
	memset(&e->rx, 0, sizeof(e->rx));
	memset(&e->tx, 0, sizeof(e->tx));
}

/* Empty rings, as the device has them when its heads and tails are 0. */
void e1000_rings_reset(struct e1000 *e)
{
	struct e1000_rx_ring *rx = &e->rx;
	struct e1000_tx_ring *tx = &e->tx;

	memset(rx->desc, 0, (rx->mask + 1) * sizeof(*rx->desc));
	memset(tx->desc, 0, (tx->mask + 1) * sizeof(*tx->desc));
	rx->next = rx->fill = rx->rdt = 0;
	rx->discard = false;
	tx->tail = tx->clean = 0;
	tx->report_head = tx->report_tail = 0;
	tx->context = 0;
	tx->full = false;
}

/* Take back every buffer that the device has; it is off. */
void e1000_rings_drain(struct e1000 *e)
{
	struct e1000_rx_ring *rx = &e->rx;
	struct e1000_tx_ring *tx = &e->tx;

	for (; rx->next != rx->fill; rx->next = (rx->next + 1) & rx->mask)
		ob_pkt_free_segment(rx->pkt[rx->next]);
	rx->rdt = rx->next;
	ob_pkt_free(rx->head);
	rx->head = rx->tail = NULL;
	rx->segments = 0;

	for (; tx->clean != tx->tail; tx->clean = (tx->clean + 1) & tx->mask)
		if (tx->pkt[tx->clean])
			ob_pkt_free_segment(tx->pkt[tx->clean]);
	tx->report_head = tx->report_tail;
}

/* ---- receive --------------------------------------------------------------------- */

/* Where the two formats keep things in the descriptor's second half. */
struct rx_format {
	unsigned int len_shift;
	uint64_t dd, eop, ixsm, tcpcs;
	uint64_t frame_errors; /* the frame is damaged */
	uint64_t csum_errors;  /* a checksum in it is wrong */
	bool ixsm_is_rare; /* frames with IXSM need not be fast: in the 82574 only what is not IP */
};

static const struct rx_format legacy_format = {
	.len_shift = 0,
	.dd = RXD_LEGACY_DD,
	.eop = RXD_LEGACY_EOP,
	.ixsm = RXD_LEGACY_IXSM,
	.tcpcs = RXD_LEGACY_TCPCS,
	.frame_errors =
		RXD_LEGACY_CE | RXD_LEGACY_SE | RXD_LEGACY_SEQ | RXD_LEGACY_CXE | RXD_LEGACY_RXE,
	.csum_errors = RXD_LEGACY_TCPE | RXD_LEGACY_IPE,
};

static const struct rx_format extended_format = {
	.len_shift = 32,
	.dd = RXD_EXTENDED_DD,
	.eop = RXD_EXTENDED_EOP,
	.ixsm = RXD_EXTENDED_IXSM,
	.tcpcs = RXD_EXTENDED_TCPCS,
	.frame_errors = RXD_EXTENDED_CE | RXD_EXTENDED_SE | RXD_EXTENDED_SEQ | RXD_EXTENDED_CXE |
			RXD_EXTENDED_RXE,
	.csum_errors = RXD_EXTENDED_TCPE | RXD_EXTENDED_IPE,
	.ixsm_is_rare = true,
};

/*
 * Tell the device of fresh buffers (RDT, 13.4.29). Not for every one: a register write is the dearest
 * thing here. It may wait while the device has plenty, so a quarter of the ring at a time is given,
 * but at once when the device is about to run dry.
 */
static always_inline void doorbell(struct e1000 *e, struct e1000_rx_ring *r)
{
	unsigned int fresh = (r->fill - r->rdt) & r->mask;
	unsigned int left = (r->rdt - r->next) & r->mask;

	if (fresh >= r->batch || (fresh && left < r->batch)) {
		ob_wmb(); /* descriptors before the tail that shows them */
		r->rdt = r->fill;
		OB_FAULT_POINT("e1000.before-rx-doorbell");
		e1000_write(e, E1000_RDT, r->rdt);
		e->sw.doorbells++;
	}
}

/* Give free descriptors a buffer from the pool, as far as it has some: a slow client runs it dry. */
static always_inline void refill(struct e1000 *e, struct e1000_rx_ring *r)
{
	unsigned int room = (r->next - r->fill - 1) & r->mask;
	struct ob_pool *pool = r->pool;
	uint64_t delta = r->iova_delta;

	if (room > pool->n)
		room = pool->n;
	/* In runs up to the end of the ring, so that no step has to look for it. */
	while (room) {
		unsigned int run = r->mask + 1 - r->fill;
		struct e1000_rx_desc *d = &r->desc[r->fill];
		struct ob_pkt **slot = &r->pkt[r->fill], **end, **stack = pool->free + pool->n;

		if (run > room)
			run = room;
		for (end = slot + run; slot != end; slot++, d++) {
			struct ob_pkt *pkt = *--stack;
			uint8_t *data = pkt->buf + E1000_RX_HEADROOM;
			uint64_t iova = (uint64_t)(uintptr_t)data + delta;

			*slot = pkt;
			pkt->data = data;
			pkt->iova.addr = iova;
			d->addr = iova;
			d->status = 0; /* DD off */
		}
		pool->n -= run;
		room -= run;
		r->fill = (r->fill + run) & r->mask;
	}
	doorbell(e, r);
}

void e1000_rx_fill(struct e1000 *e)
{
	refill(e, &e->rx);
}

static void drop_partial(struct e1000_rx_ring *r, struct ob_pkt *pkt, bool eop)
{
	ob_pkt_free_segment(pkt);
	ob_pkt_free(r->head);
	r->head = r->tail = NULL;
	r->segments = 0;
	r->discard = !eop;
}

/*
 * Everything but a sound frame in one buffer: pieces of long frames (3.2.3: EOP is set in the last
 * one alone), damaged frames, nonsense. Returns the whole frame when this was its last piece.
 */
static __attribute__((noinline)) struct ob_pkt *rx_piece(struct e1000 *e, struct e1000_rx_ring *r,
							 struct ob_pkt *pkt, uint64_t status,
							 const struct rx_format *f)
{
	uint32_t len = (status >> f->len_shift) & 0xffff;
	bool eop = status & f->eop;
	struct ob_pkt *head;

	if (r->discard) {
		ob_pkt_free_segment(pkt);
		r->discard = !eop;
		return NULL;
	}
	/*
	 * A piece fills its buffer unless it is the last (3.2.3). Longer than the buffer would be
	 * memory that is not ours to read; never believe it.
	 */
	if (!len || len > E1000_RX_BUFFER || (!eop && len != E1000_RX_BUFFER) ||
	    r->segments == E1000_RX_MAX_SEGMENTS || (eop && !r->head && len < E1000_ETH_HDR)) {
		e->sw.rx_bad_descriptors++;
		drop_partial(r, pkt, eop);
		return NULL;
	}
	/* RCTL.SBP is off, so a damaged frame should not even come (13.4.22). Errors are valid with EOP. */
	if (eop && (status & f->frame_errors)) {
		e->sw.rx_errors++;
		if (status & (f == &legacy_format ? RXD_LEGACY_CE : RXD_EXTENDED_CE))
			e->sw.rx_crc_errors++;
		drop_partial(r, pkt, true);
		return NULL;
	}

	pkt->len = len;
	pkt->next = NULL;
	pkt->flags = 0;
	pkt->gso_type = OB_GSO_NONE;
	if (r->head)
		r->tail->next = pkt;
	else
		r->head = pkt;
	r->tail = pkt;
	r->segments++;
	if (!eop)
		return NULL;

	head = r->head;
	r->head = r->tail = NULL;
	r->segments = 0;
	if (!(status & f->ixsm) && (status & f->tcpcs)) {
		if (status & f->csum_errors) {
			e->csum_bad++; /* the client computes it again and drops the frame itself */
		} else {
			head->flags = OB_PKT_CSUM_OK;
			e->csum_good++;
		}
	}
	return head;
}

/*
 * Sound frames in one buffer each, in a run that does not cross the end of the ring: at most @n from
 * @next on. Stops at whatever else. Made once for each format, so that no packet pays for the choice.
 */
static always_inline unsigned int rx_run(struct e1000 *e, struct e1000_rx_ring *r,
					 unsigned int next, unsigned int n, struct ob_pkt **pkts,
					 const struct rx_format *f)
{
	const struct e1000_rx_desc *d = &r->desc[next], *first = d, *end = d + n;
	struct ob_pkt **slot = &r->pkt[next];
	uint64_t bytes = 0;
	uint32_t good = 0;

	for (; d != end; d++) {
		uint64_t status = load64(&d->status);
		uint32_t len = (status >> f->len_shift) & 0xffff;
		uint32_t ok = f->ixsm_is_rare ? (uint32_t)(status >> __builtin_ctzll(f->tcpcs)) & 1
					      : (status & (f->ixsm | f->tcpcs)) == f->tcpcs;
		struct ob_pkt *pkt;

		if ((status & (f->dd | f->eop | f->frame_errors | f->csum_errors |
			       (f->ixsm_is_rare ? f->ixsm : 0))) != (f->dd | f->eop) ||
		    len - E1000_ETH_HDR > E1000_RX_BUFFER - E1000_ETH_HDR)
			break;
		ob_rmb(); /* the frame after the descriptor that announces it */
		pkt = *slot++;
		__builtin_prefetch(pkt->data);
		pkt->next = NULL;
		pkt->len = len;
		pkt->flags = (uint16_t)ok; /* OB_PKT_CSUM_OK is bit 0 */
		pkt->gso_type = OB_GSO_NONE;
		good += ok;
		bytes += len;
		*pkts++ = pkt;
	}
	e->csum_good += good;
	e->sw.rx_bytes += bytes;
	return (unsigned int)(d - first);
}

static always_inline unsigned int rx_burst(struct e1000 *e, struct ob_pkt **pkts, unsigned int n,
					   const struct rx_format *f)
{
	struct e1000_rx_ring *r = &e->rx;
	unsigned int got = 0;

	if (ob_unlikely(!e->running))
		return 0;
	/* Not past RDT: a descriptor that the device was not given has no frame, whatever it says. */
	while (got < n && r->next != r->rdt) {
		unsigned int run = (r->rdt > r->next ? r->rdt : r->mask + 1) - r->next;
		struct ob_pkt *pkt;
		uint64_t status;

		if (ob_likely(!r->segments && !r->discard)) {
			if (run > n - got)
				run = n - got;
			run = rx_run(e, r, r->next, run, pkts + got, f);
			got += run;
			r->next = (r->next + run) & r->mask;
			if (got == n || r->next == r->rdt)
				break;
		}
		/* It stopped at the end of the ring, at nothing, or at something unusual. */
		status = load64(&r->desc[r->next].status);
		if (!(status & f->dd))
			break;
		ob_rmb();
		pkt = rx_piece(e, r, r->pkt[r->next], status, f);
		r->next = (r->next + 1) & r->mask;
		if (pkt) {
			e->sw.rx_bytes += ob_pkt_frame_len(pkt);
			pkts[got++] = pkt;
		}
	}
	e->sw.rx_packets += got;
	e->sw.rx_polls++;
	e->sw.rx_empty_polls += !got;
	if (got)
		OB_FAULT_POINT("e1000.frames-taken");
	refill(e, r);
	return got;
}
static_assert(OB_PKT_CSUM_OK == 1, "rx_burst() stores a truth value");

unsigned int e1000_rx_burst_8254x(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n)
{
	return rx_burst(e1000_of(net), pkts, n, &legacy_format);
}

unsigned int e1000_rx_burst_82574(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n)
{
	return rx_burst(e1000_of(net), pkts, n, &extended_format);
}

static uint64_t rx_dd(const struct e1000 *e)
{
	return e->model->is_82574 ? RXD_EXTENDED_DD : RXD_LEGACY_DD;
}

/* Is there a frame, or a part of one, that rx_burst() has not taken? */
bool e1000_rx_ready(const struct e1000 *e)
{
	const struct e1000_rx_ring *r = &e->rx;

	return r->next != r->rdt && (load64(&r->desc[r->next].status) & rx_dd(e));
}

/* Is a descriptor done although the one that comes first is not? */
bool e1000_rx_skipped(const struct e1000 *e)
{
	const struct e1000_rx_ring *r = &e->rx;

	if (r->next == r->rdt || e1000_rx_ready(e))
		return false;
	for (unsigned int i = (r->next + 1) & r->mask; i != r->rdt; i = (i + 1) & r->mask)
		if (load64(&r->desc[i].status) & rx_dd(e))
			return !e1000_rx_ready(e); /* it may have come while we looked */
	return false;
}

/* ---- transmit -------------------------------------------------------------------- */

/*
 * Free what has been sent. Only some descriptors report their status (RS); the device works in order,
 * so one that is done says that all before it are (3.3.3.1).
 */
static always_inline void reclaim(struct e1000 *e, struct e1000_tx_ring *r)
{
	unsigned int clean = r->clean, mask = r->mask;
	struct ob_pool *own = e->pool;

	while (r->report_head != r->report_tail) {
		unsigned int end = (r->report[r->report_head & mask] + 1u) & mask;
		uint32_t status = load32(&r->desc[(end - 1) & mask].status);

		if (!(status & TXD_STATUS_DD))
			break;
		/* Bits 3:0 are the device's, 9:8 POPTS; the rest was written as 0 (3.3.7). */
		if (ob_unlikely(status & 0xfffffcf0))
			e->sw.tx_bad_descriptors++;
		ob_rmb(); /* the buffer goes to somebody else only now */
		while (clean != end) {
			unsigned int stop = end > clean ? end : mask + 1;
			struct ob_pkt **slot = &r->pkt[clean], **slot_end = &r->pkt[stop];
			struct ob_pkt **top = own->free + own->n;

			/* As ob_pkt_free_segment(), but most are the driver's own: received before. */
			for (; slot != slot_end; slot++) {
				struct ob_pkt *pkt = *slot;

				if (ob_unlikely(!pkt))
					continue;
				if (ob_likely(pkt->pool == own))
					*top++ = pkt;
				else
					ob_pkt_free_segment(pkt);
			}
			own->n = (unsigned int)(top - own->free);
			clean = stop & mask;
		}
		r->report_head++;
	}
	r->clean = clean;
}

void e1000_tx_reclaim(struct e1000 *e)
{
	reclaim(e, &e->tx);
}

/* Where the headers of a frame are, as far as the offloads need it. */
struct tx_headers {
	unsigned int l3, l4; /* offsets of the IP and the TCP or UDP header */
	unsigned int end;    /* of the TCP header */
	bool ipv6, tcp;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The client's word is checked against the frame: the kernel passes on what programs wrote. */
static bool find_headers(const struct ob_pkt *pkt, struct tx_headers *h)
{
	const uint8_t *p = pkt->data;
	unsigned int len = pkt->len;
	uint16_t type;
	uint8_t proto;

	h->l3 = E1000_ETH_HDR;
	if (len < 14)
		return false;
	type = get16(p + 12);
	if (type == 0x8100) { /* one IEEE 802.1Q tag */
		h->l3 += 4;
		if (len < h->l3)
			return false;
		type = get16(p + 16);
	}
	if (type == 0x0800) {
		if (len < h->l3 + 20 || (p[h->l3] & 0xf) < 5)
			return false;
		h->ipv6 = false;
		h->l4 = h->l3 + (p[h->l3] & 0xfu) * 4;
		proto = p[h->l3 + 9];
	} else if (type == 0x86dd) {
		if (len < h->l3 + 40)
			return false;
		h->ipv6 = true;
		h->l4 = h->l3 + 40;
		proto = p[h->l3 + 6];
	} else {
		return false;
	}
	if (proto != 6 && proto != 17)
		return false;
	h->tcp = proto == 6;
	if (len < h->l4 + (h->tcp ? 20 : 8))
		return false;
	h->end = h->l4 + (h->tcp ? (p[h->l4 + 12] >> 4) * 4u : 8);
	return h->end <= len && h->end >= h->l4 + 8;
}

/*
 * Can the device do this checksum? Silicon sums from any TUCSS to the end into any TUCSO below 256
 * (3.3.6). QEMU's e1000e looks at the frame instead, and only knows TCP and UDP right after IP. So
 * that alone is offloaded.
 */
static bool csum_by_device(const struct ob_pkt *pkt)
{
	struct tx_headers h;

	return find_headers(pkt, &h) && pkt->csum_start == h.l4 && h.l4 < 200 &&
	       pkt->csum_offset == (h.tcp ? 16 : 6);
}

/*
 * Make a frame's headers what TCP segmentation wants (3.5.3): IP lengths and header checksum 0, and in
 * the TCP checksum the sum of the pseudo header *without* its length, because the device adds each
 * segment's own. A client leaves it there with the length (virtio 1.2, 5.1.6.2).
 */
static void tso_headers(struct ob_pkt *pkt, const struct tx_headers *h)
{
	uint8_t *ip = pkt->data + h->l3, *tcp = pkt->data + h->l4;
	unsigned int at = h->ipv6 ? 8 : 12, bytes = h->ipv6 ? 32 : 8;
	uint32_t sum = 6; /* TCP */

	for (unsigned int i = 0; i < bytes; i += 2)
		sum += get16(ip + at + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(tcp + 16, sum);
	if (h->ipv6) {
		put16(ip + 4, 0);
	} else {
		put16(ip + 2, 0);
		put16(ip + 10, 0);
	}
}

/* A context descriptor for a checksum (3.3.6): nothing of IP, sum from TUCSS to the end. */
static void csum_context(struct e1000_tx_desc *d, uint32_t context)
{
	d->addr = (uint64_t)(context & 0xffff) << 32;
	d->cmd = TXD_DEXT | TXD_DTYP_CONTEXT | (context & TXD_TUCMD_TCP);
	d->status = 0;
}

/* A context descriptor for segmentation (3.3.6, 3.5.4). */
static void tso_context(struct e1000_tx_desc *d, const struct tx_headers *h, uint32_t frame_len,
			uint16_t mss)
{
	uint32_t ip_end = h->ipv6 ? 0 : h->l4 - 1;
	uint32_t ip = h->l3 | (h->l3 + 10) << 8 | ip_end << 16;
	uint32_t tcp = h->l4 | (h->l4 + 16) << 8;

	d->addr = (uint64_t)tcp << 32 | ip;
	d->cmd = TXD_DEXT | TXD_DTYP_CONTEXT | TXD_TSE | TXD_TUCMD_TCP | (frame_len - h->end) |
		 (h->ipv6 ? 0 : TXD_TUCMD_IPV4);
	d->status = (uint32_t)mss << 16 | h->end << 8;
}

/* Descriptors for a frame's bytes. */
static unsigned int pieces(const struct ob_pkt *pkt)
{
	unsigned int n = 0;

	for (; pkt; pkt = pkt->next)
		n += (pkt->len + E1000_TX_MAX_PIECE - 1) / E1000_TX_MAX_PIECE;
	return n;
}

/* Does the device have what this segmentation asks for? */
static bool tso_by_device(const struct e1000 *e, const struct ob_pkt *pkt, uint32_t len,
			  struct tx_headers *h)
{
	return e->tso && (pkt->gso_type == OB_GSO_TCPV4 || pkt->gso_type == OB_GSO_TCPV6) &&
	       find_headers(pkt, h) && h->tcp && h->ipv6 == (pkt->gso_type == OB_GSO_TCPV6) &&
	       h->end >= h->l4 + 20 && h->end < 256 && /* HDRLEN has 8 bits */
	       pkt->gso_size && pkt->gso_size <= e->net.mtu_max && len > h->end &&
	       len - h->l3 <= 0xffff;
}

enum {
	TX_DROPPED = -1,
	TX_NO_ROOM = -2
};

/*
 * Segmentation over IPv6 in software: QEMU's e1000 makes the payload length 40 too large, and for silicon
 * the kernel's driver does not offer it either.
 */
static int tx_segmented(struct e1000 *e, struct e1000_tx_ring *r, struct ob_pkt *pkt,
			unsigned int tail, unsigned int room)
{
	struct ob_pkt *segments[E1000_TX_MAX_SEGMENTS];
	unsigned int max = room < E1000_TX_MAX_SEGMENTS ? room : E1000_TX_MAX_SEGMENTS;
	int n = ob_net_segment(pkt, e->pool, segments, max);

	/* Wait for room only if an empty ring had enough. */
	if (n == -ENOBUFS && max < E1000_TX_MAX_SEGMENTS && room < r->mask)
		return TX_NO_ROOM;
	if (n < 0)
		return TX_DROPPED;
	for (int i = 0; i < n; i++) {
		struct e1000_tx_desc *d = &r->desc[tail];

		d->addr = segments[i]->iova.addr;
		d->cmd = TXD_EOP | TXD_IFCS | segments[i]->len;
		d->status = 0;
		r->pkt[tail] = segments[i];
		tail = (tail + 1) & r->mask;
	}
	ob_pkt_free(pkt);
	return n;
}

/*
 * Everything but one short plain buffer: offloads, scattered, long and short frames. Returns the
 * descriptors used (from @tail on), TX_NO_ROOM, or TX_DROPPED for what cannot be sent.
 */
static __attribute__((noinline)) int tx_frame(struct e1000 *e, struct e1000_tx_ring *r,
					      struct ob_pkt *pkt, unsigned int tail,
					      unsigned int room)
{
	uint32_t len = ob_pkt_frame_len(pkt), cmd = TXD_IFCS, status = 0, context = 0;
	bool tso = pkt->gso_type != OB_GSO_NONE;
	unsigned int need, start = tail;
	struct e1000_tx_desc *d = NULL;
	struct tx_headers h;

	if (len < E1000_ETH_HDR || len > (tso ? e->net.tx_max_len : e->net.mtu_max + 18))
		return TX_DROPPED;
	if (pkt->gso_type == OB_GSO_TCPV6 && !e->model->is_82574)
		return tx_segmented(e, r, pkt, tail, room);
	if (tso) {
		if (!tso_by_device(e, pkt, len, &h))
			return TX_DROPPED; /* the client did not ask can_tso(), or its frame is nonsense */
		cmd |= TXD_DEXT | TXD_DTYP_DATA | TXD_TSE;
		status = TXD_POPTS_TXSM | (h.ipv6 ? 0 : TXD_POPTS_IXSM);
	} else if (pkt->flags & OB_PKT_CSUM_PARTIAL) {
		/* QEMU's e1000e would count the padding of a short frame to TCP's and UDP's length, too. */
		if (len >= E1000_MIN_FRAME && csum_by_device(pkt)) {
			cmd |= TXD_DEXT | TXD_DTYP_DATA;
			status = TXD_POPTS_TXSM;
			context = pkt->csum_start |
				  (uint32_t)(pkt->csum_start + pkt->csum_offset) << 8 |
				  (pkt->csum_offset == 16 ? TXD_TUCMD_TCP : 0);
		} else if (ob_net_csum_fill(pkt)) {
			return TX_DROPPED;
		}
	}
	/*
	 * TCTL.PSP pads only what has at least 17 bytes, so short frames are padded here, with zeros
	 * (RFC 1042): nothing of an earlier frame in this buffer goes out.
	 */
	if (len < E1000_MIN_FRAME) {
		if (pkt->next || pkt->data < pkt->buf ||
		    pkt->data + E1000_MIN_FRAME > pkt->buf + pkt->buf_size) {
			if (len < 17)
				return TX_DROPPED;
		} else {
			memset(pkt->data + pkt->len, 0, E1000_MIN_FRAME - pkt->len);
			pkt->len = E1000_MIN_FRAME;
		}
	}

	need = pieces(pkt);
	if (tso || (context && context != r->context))
		need++;
	if (need > E1000_TX_MAX_DESCS)
		return TX_DROPPED;
	if (need > room)
		return TX_NO_ROOM;

	if (tso) {
		tso_headers(pkt, &h);
		tso_context(&r->desc[tail], &h, len, pkt->gso_size);
		r->context = 0; /* 82574 has one context for both uses */
	} else if (context && context != r->context) {
		csum_context(&r->desc[tail], context);
		r->context = context;
	}
	if (need > pieces(pkt)) {
		r->pkt[tail] = NULL;
		tail = (tail + 1) & r->mask;
	}

	while (pkt) {
		struct ob_pkt *next = pkt->next;
		ob_iova iova = pkt->iova;
		uint32_t left = pkt->len;

		if (!left)
			ob_pkt_free_segment(
				pkt); /* an empty segment has no descriptor to free it */
		while (left) {
			uint32_t n = left < E1000_TX_MAX_PIECE ? left : E1000_TX_MAX_PIECE;

			d = &r->desc[tail];
			d->addr = iova.addr;
			d->cmd = cmd | n;
			d->status = status;
			left -= n;
			iova = ob_iova_add(iova, n);
			r->pkt[tail] =
				left ? NULL : pkt; /* goes with the descriptor of its last byte */
			tail = (tail + 1) & r->mask;
		}
		pkt = next;
	}
	d->cmd |= TXD_EOP;
	return (int)((tail - start) & r->mask);
}

/*
 * Plain frames in one short buffer each, in a run that does not cross the end of the ring: at most @n
 * into descriptors from @tail on. Stops at whatever else.
 */
static always_inline unsigned int tx_run(struct e1000 *e, struct e1000_tx_ring *r,
					 unsigned int tail, unsigned int n, struct ob_pkt **pkts)
{
	struct e1000_tx_desc *d = &r->desc[tail];
	struct ob_pkt **slot = &r->pkt[tail], **first = slot, **end = slot + n;
	uint64_t bytes = 0;

	for (; slot != end; slot++, d++) {
		struct ob_pkt *pkt = *pkts++;
		uint32_t len = pkt->len;

		if ((pkt->flags & OB_PKT_CSUM_PARTIAL) || pkt->gso_type || pkt->next ||
		    len - E1000_MIN_FRAME > 1514 - E1000_MIN_FRAME)
			break;
		/* legacy descriptor (3.3.3) */
		store64(&d->addr, pkt->iova.addr);
		store64(&d->cmd_and_status, TXD_EOP | TXD_IFCS | len);
		*slot = pkt;
		bytes += len;
	}
	e->sw.tx_bytes += bytes;
	return (unsigned int)(slot - first);
}

unsigned int e1000_tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
			    unsigned int n)
{
	struct e1000 *e = e1000_of(net);
	struct e1000_tx_ring *r = &e->tx;
	unsigned int mask = r->mask, tail = r->tail, room, taken = 0, dropped = 0;

	reclaim(e, r);
	if (ob_unlikely(!n || !e->running))
		return 0;
	room = (r->clean - tail - 1) & mask;

	while (taken < n) {
		unsigned int group = tail, end = taken + E1000_REPORT_EVERY;

		if (end > n)
			end = n;
		while (taken < end) {
			unsigned int run = end - taken;
			uint32_t frame;
			int used;

			if (run > room)
				run = room;
			if (run > mask + 1 - tail)
				run = mask + 1 - tail;
			run = tx_run(e, r, tail, run, pkts + taken);
			tail = (tail + run) & mask;
			room -= run;
			taken += run;
			if (taken == end || run)
				continue;
			/* It stopped for want of room, or at something unusual. */
			frame = ob_pkt_frame_len(pkts[taken]);
			used = room ? tx_frame(e, r, pkts[taken], tail, room) : TX_NO_ROOM;
			if (used == TX_NO_ROOM)
				break;
			if (used == TX_DROPPED) {
				ob_pkt_free(pkts[taken]);
				dropped++;
			} else {
				tail = (tail + (unsigned int)used) & mask;
				room -= (unsigned int)used;
				e->sw.tx_bytes += frame;
			}
			taken++;
		}
		if (tail != group) {
			unsigned int last = (tail - 1) & mask;

			r->desc[last].cmd |= TXD_RS;
			r->report[r->report_tail++ & mask] = (uint16_t)last;
		}
		if (taken < end) {
			r->full = true;
			break;
		}
	}
	if (ob_likely(tail != r->tail)) {
		r->tail = tail;
		ob_wmb(); /* descriptors before the tail that shows them */
		OB_FAULT_POINT("e1000.before-tx-doorbell");
		e1000_write(e, E1000_TDT, tail);
		OB_FAULT_POINT("e1000.after-tx-doorbell");
		e->sw.doorbells++;
	}
	e->sw.tx_packets += taken - dropped;
	e->sw.tx_dropped += dropped;
	return taken;
}
