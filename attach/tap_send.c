/* SPDX-License-Identifier: BSD-2-Clause */
/* See tap_send.h. Frame formats: IEEE 802.3, 802.1Q, RFC 791, 8200, 9293. */
#include <errno.h>

#include "attach/tap_send.h"

enum {
	ETH_HDR = 14,
	VLAN_TAG = 4,
	MIN_FRAME = 60, /* shortest frame, without FCS (IEEE 802.3, 3.2.8) */
	/* What a driver's receive buffers of 2 KiB hold in any case, which it takes for segments. */
	DRIVER_SEGMENT = 1984,
	/* Kept out of a pool by a frame that is read, and by one that waits here. */
	IN_OTHER_HANDS = 2,
};

unsigned int tap_send_push(struct tap_send *s)
{
	unsigned int n = 0;

	if (s->count) {
		n = ob_net_tx_burst(s->net, s->index, s->pending + s->head, s->count);
		s->head += n;
		s->count -= n;
		s->handed += n;
	}
	if (!s->count)
		s->head = 0;
	return n;
}

/*
 * Segmentation by the device is for what every device has: at most one VLAN tag, and TCP right after IP.
 */
static bool device_segments(const struct tap_send *s, const struct ob_pkt *pkt)
{
	const uint8_t *p = pkt->data;
	uint32_t l3 = ETH_HDR;

	if (!s->tso || ob_pkt_frame_len(pkt) > s->net->tx_max_len)
		return false;
	if (p[12] == 0x81 && p[13] == 0x00)
		l3 += VLAN_TAG;
	if (pkt->gso_type == OB_GSO_TCPV4)
		return p[l3] >> 4 == 4 && pkt->csum_start == l3 + (p[l3] & 0xfu) * 4;
	/* A driver whose device knows only IPv4 takes IPv6 apart itself, into buffers of the usual size. */
	return p[l3] >> 4 == 6 && p[l3 + 6] == 6 && pkt->csum_start == l3 + 40 &&
	       (uint32_t)pkt->hdr_len + pkt->gso_size <= DRIVER_SEGMENT;
}

static void drop(struct tap_send *s, struct ob_pkt *pkt)
{
	ob_pkt_free(pkt);
	s->stats->dropped++;
	s->stats->errors++;
}

/*
 * Take a segmentation frame apart for a device that cannot: still cheaper than a walk through the stack
 * for each segment. False when it has to wait for buffers.
 */
static bool segment(struct tap_send *s, struct ob_pkt *pkt)
{
	unsigned int room = TAP_PENDING - s->head - s->count, want;
	struct ob_pool *pool = s->small;
	int n;

	s->unsegmented = NULL;
	/* A large MTU's segments do not fit into small buffers. */
	if (s->large && (uint32_t)pkt->hdr_len + pkt->gso_size > pool->buf_size - pool->headroom)
		pool = s->large;
	want = (ob_pkt_frame_len(pkt) - pkt->hdr_len + pkt->gso_size - 1) / pkt->gso_size;
	if (want > TAP_PENDING || want + IN_OTHER_HANDS > pool->size) {
		drop(s, pkt);
		return true;
	}
	if (pool->n < want)
		ob_net_tx_burst(s->net, s->index, NULL, 0);
	n = ob_net_segment(pkt, pool, s->pending + s->head + s->count, room);
	if (n == -ENOBUFS) {
		s->unsegmented = pkt;
		return false;
	}
	if (n < 0) {
		drop(s, pkt);
		return true;
	}
	s->count += (unsigned int)n;
	s->stats->own_copies++;
	ob_pkt_free(pkt);
	return true;
}

unsigned int tap_send_resume(struct tap_send *s)
{
	unsigned int work = tap_send_push(s);

	if (s->unsegmented && !s->count && segment(s, s->unsegmented))
		work += tap_send_push(s) + 1;
	return work;
}

bool tap_send_accept(struct tap_send *s, struct ob_pkt *pkt)
{
	if (ob_unlikely(pkt->gso_type != OB_GSO_NONE && !device_segments(s, pkt)))
		return segment(s, pkt);
	if (pkt->gso_type == OB_GSO_NONE) {
		/*
		 * The interface got another MTU, which the device follows within a tick, as a network does:
		 * too long means lost.
		 */
		if (ob_unlikely(pkt->next || pkt->len > 1518) &&
		    ob_pkt_frame_len(pkt) > s->net->mtu + ETH_HDR + 2 * VLAN_TAG) {
			ob_pkt_free(pkt);
			s->stats->dropped++;
			return true;
		}
		/*
		 * A frame that is padded on its way gets its checksum here: QEMU's e1000e counts the padding
		 * as payload, and summing 46 bytes is no more work than describing it to a device.
		 */
		if ((pkt->flags & OB_PKT_CSUM_PARTIAL) && (!s->csum || pkt->len < MIN_FRAME) &&
		    ob_net_csum_fill(pkt)) {
			drop(s, pkt);
			return true;
		}
	}
	s->pending[s->head + s->count++] = pkt;
	return true;
}

void tap_send_drain(struct tap_send *s)
{
	for (; s->count; s->count--)
		ob_pkt_free(s->pending[s->head++]);
	if (s->unsegmented)
		ob_pkt_free(s->unsegmented);
	s->unsegmented = NULL;
	s->head = 0;
}
