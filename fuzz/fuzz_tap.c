/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach/tap_gro and attach/tap_vnet: bursts of frames from a device, and frames with a header from the kernel,
 * with any content. Nothing is read beyond a frame, no byte appears from nowhere, offloads stay in the frame.
 *
 * Input: a list of {flags, length (2 bytes, little endian), bytes}; the first frame's bytes also begin with a
 * virtio_net_hdr.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attach/tap_gro.h"
#include "attach/tap_vnet.h"
#include "fuzz/fuzz.h"

/* Memory of exactly the frame's size, so that AddressSanitizer sees a look beyond it. */
static struct ob_pkt *make(const uint8_t *bytes, uint32_t len, uint16_t flags)
{
	struct ob_pkt *pkt = aligned_alloc(64, sizeof(*pkt));

	CHECK(pkt);
	memset(pkt, 0, sizeof(*pkt));
	pkt->buf = malloc(len ? len : 1);
	CHECK(pkt->buf);
	memcpy(pkt->buf, bytes, len);
	pkt->data = pkt->buf;
	pkt->len = len;
	pkt->flags = flags;
	return pkt;
}

static void destroy(struct ob_pkt *pkt)
{
	struct ob_pkt *next;

	for (; pkt; pkt = next) {
		next = pkt->next;
		free(pkt->buf);
		free(pkt);
	}
}

static void check_offloads(const struct ob_pkt *pkt)
{
	uint32_t len = ob_pkt_frame_len(pkt);

	if (pkt->flags & OB_PKT_CSUM_PARTIAL)
		CHECK(pkt->csum_start + pkt->csum_offset + 2u <= len);
	if (pkt->gso_type != OB_GSO_NONE) {
		CHECK(pkt->flags & OB_PKT_CSUM_PARTIAL);
		CHECK(pkt->gso_size && pkt->hdr_len < len && pkt->hdr_len <= pkt->len);
		CHECK(pkt->hdr_len >= pkt->csum_start + 20);
	}
}

static void from_kernel(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr h;
	struct ob_pkt *pkt;
	uint32_t len, cut;

	if (size < sizeof(h) + 1)
		return;
	memcpy(&h, data, sizeof(h));
	len = (uint32_t)(size - sizeof(h) - 1);
	cut = data[sizeof(h)] % (len + 1);
	pkt = make(data + sizeof(h) + 1, cut, 0);
	pkt->next = make(data + sizeof(h) + 1 + cut, len - cut, 0);
	if (!tap_vnet_to_pkt(&h, pkt)) {
		check_offloads(pkt);
		tap_vnet_from_pkt(pkt, &h);
	}
	destroy(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_pkt *pkts[TAP_GRO_MAX];
	uint64_t before = 0, after = 0, frames = 0;
	unsigned int n = 0, merged;

	from_kernel(data, size);
	while (size >= 3 && n < TAP_GRO_MAX) {
		uint16_t flags = data[0] & (OB_PKT_CSUM_OK | OB_PKT_BAD);
		uint32_t len = data[1] | (uint32_t)data[2] << 8;

		data += 3;
		size -= 3;
		if (len > size)
			len = (uint32_t)size;
		pkts[n++] = make(data, len, flags);
		before += len;
		data += len;
		size -= len;
	}
	merged = tap_gro(pkts, n);
	CHECK(merged <= n && (merged || !n));
	for (unsigned int i = 0; i < merged; i++) {
		for (const struct ob_pkt *p = pkts[i]; p; p = p->next)
			frames++;
		after += ob_pkt_frame_len(pkts[i]);
		check_offloads(pkts[i]);
		destroy(pkts[i]);
	}
	CHECK(frames == n && after <= before);
	return 0;
}
