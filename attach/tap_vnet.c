/* SPDX-License-Identifier: BSD-2-Clause */
/* Offload header of a tap: checks and conversion. See tap_vnet.h; IEEE 802.3/802.1Q, RFC 791, 8200, 9293. */
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "attach/tap_vnet.h"

enum {
	ETH_HDR = 14,
	VLAN_TAG = 4,
	IPV4_MIN = 20,
	IPV6_HDR = 40,
	TCP_MIN = 20,
	TCP_CSUM_OFFSET = 16,
	TCP_DOFF_OFFSET = 12,
};

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/* Where the IP header begins, behind at most two VLAN tags; 0 when it is not there. */
static uint32_t l3_offset(const uint8_t *p, uint32_t len, unsigned int *type)
{
	uint32_t off = ETH_HDR;

	if (len < off)
		return 0;
	*type = get16(p + 12);
	for (int tags = 0; tags < 2 && (*type == ETHERTYPE_VLAN || *type == 0x88a8); tags++) {
		off += VLAN_TAG;
		if (len < off)
			return 0;
		*type = get16(p + off - 2);
	}
	return off;
}

/* A segmentation frame: that the kinds agree, and where its headers end. */
static int gso_headers(const struct virtio_net_hdr *h, struct ob_pkt *pkt, uint32_t frame_len)
{
	const uint8_t *p = pkt->data;
	uint32_t l3, hdr_len, doff;
	unsigned int type;

	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || h->csum_offset != TCP_CSUM_OFFSET ||
	    !h->gso_size)
		return -EINVAL;
	l3 = l3_offset(p, pkt->len, &type);
	if (!l3 || (uint32_t)h->csum_start + TCP_MIN > pkt->len)
		return -EINVAL;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_TCPV4) {
		if (type != ETHERTYPE_IP || pkt->len < l3 + IPV4_MIN || p[l3] >> 4 != 4 ||
		    p[l3 + 9] != IPPROTO_TCP || l3 + (p[l3] & 0xfu) * 4 != h->csum_start ||
		    h->csum_start < l3 + IPV4_MIN)
			return -EINVAL;
		pkt->gso_type = OB_GSO_TCPV4;
	} else {
		/* Extension headers may stand between the two. */
		if (type != ETHERTYPE_IPV6 || pkt->len < l3 + IPV6_HDR || p[l3] >> 4 != 6 ||
		    h->csum_start < l3 + IPV6_HDR)
			return -EINVAL;
		pkt->gso_type = OB_GSO_TCPV6;
	}
	doff = (p[h->csum_start + TCP_DOFF_OFFSET] >> 4) * 4u;
	hdr_len = h->csum_start + doff;
	if (doff < TCP_MIN || hdr_len > pkt->len || hdr_len >= frame_len) {
		pkt->gso_type = OB_GSO_NONE;
		return -EINVAL;
	}
	pkt->hdr_len = (uint16_t)hdr_len;
	pkt->gso_size = h->gso_size;
	return 0;
}

int tap_vnet_to_pkt(const struct virtio_net_hdr *h, struct ob_pkt *pkt)
{
	uint32_t len = ob_pkt_frame_len(pkt);

	pkt->flags = 0;
	pkt->gso_type = OB_GSO_NONE;
	if (len < ETH_HDR || pkt->len < ETH_HDR ||
	    (h->flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)))
		return -EINVAL;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		/* The field lies in what is summed, and all of it in the frame. */
		if (h->csum_start < ETH_HDR || (uint32_t)h->csum_start + h->csum_offset + 2 > len)
			return -EINVAL;
		pkt->flags |= OB_PKT_CSUM_PARTIAL;
		pkt->csum_start = h->csum_start;
		pkt->csum_offset = h->csum_offset;
	}
	switch (h->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return 0;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return gso_headers(h, pkt, len);
	default:
		/* UDP fragmentation and segmentation, ECN: never asked for. */
		return -EINVAL;
	}
}

void tap_vnet_from_pkt(const struct ob_pkt *pkt, struct virtio_net_hdr *h)
{
	memset(h, 0, sizeof(*h));
	if (pkt->flags & OB_PKT_CSUM_PARTIAL) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = pkt->csum_start;
		h->csum_offset = pkt->csum_offset;
	} else if (pkt->flags & OB_PKT_CSUM_OK) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (pkt->gso_type == OB_GSO_TCPV4)
		h->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	else if (pkt->gso_type == OB_GSO_TCPV6)
		h->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	else
		return;
	h->gso_size = pkt->gso_size;
	h->hdr_len = pkt->hdr_len;
}
