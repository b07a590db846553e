/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software checksums and segmentation on frames that a client made up: nothing outside of the frame is read
 * or written, and what comes out are frames with right checksums that hold the payload.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/fuzz.h"
#include "tests/net/fake_card.h"
#include "tests/net/plain_sum.h"

enum {
	POOL = 48,
	OUT = 40,
	PARAMETERS = 12,
};

/* A receiver's look at an IPv4 segment without tags. */
static void check_ipv4(const uint8_t *p, uint32_t len)
{
	uint32_t l4 = 14 + (p[14] & 0xfu) * 4;

	if (p[12] != 8 || p[13] != 0)
		return;
	CHECK((uint32_t)(p[16] << 8 | p[17]) == len - 14);
	CHECK(plain_sum(p + 14, l4 - 14, 0) == 0xffff);
	CHECK(plain_sum(p + l4, len - l4, plain_sum(p + 26, 8, p[23] + len - l4)) == 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_dma dma = {0};
	struct ob_pkt pkt = {0}, rest = {0}, *out[OUT];
	struct ob_pool *pool;
	uint32_t total = 0, header = 0;
	uint8_t *frame, *tail;
	size_t len, cut;
	bool partial;
	int n, m;

	if (size < PARAMETERS)
		return 0;
	pkt.gso_type = data[0] % 6;
	pkt.flags = data[1] & 3;
	pkt.gso_size = (uint16_t)(data[2] | data[3] << 8);
	pkt.csum_start = (uint16_t)(data[4] | data[5] << 8);
	pkt.csum_offset = (uint16_t)(data[6] | data[7] << 8);
	pkt.hdr_len = (uint16_t)(data[8] | data[9] << 8);
	cut = (size_t)(data[10] | data[11] << 8);
	data += PARAMETERS;
	len = size - PARAMETERS;
	if (len > 65600)
		len = 65600;

	pool = fake_pool_make(POOL, 2048 + 64, 64, &dma);
	frame = malloc(len ? len : 1);
	memcpy(frame, data, len);
	pkt.data = frame;
	pkt.len = (uint32_t)len;
	n = ob_net_segment(&pkt, pool, out, OUT);
	CHECK(!memcmp(frame, data, len));
	CHECK(n <= OUT && (n > 0 || n == -EINVAL || n == -ENOBUFS));
	for (int i = 0; i < n; i++) {
		CHECK(out[i]->len <= 2048 && out[i]->len > 14 && !out[i]->next);
		if (i + 1 < n)
			header = out[i]->len - pkt.gso_size;
		check_ipv4(out[i]->data, out[i]->len);
		total += out[i]->len;
	}
	if (n > 1)
		CHECK(total - header * (uint32_t)n == len - header);
	for (int i = 0; i < n; i++)
		ob_pkt_free(out[i]);
	CHECK(pool->n == POOL);

	/* The same bytes in two pieces. */
	if (cut > len)
		cut = len;
	tail = malloc(len - cut + 1);
	memcpy(tail, frame + cut, len - cut);
	pkt.len = (uint32_t)cut;
	pkt.next = &rest;
	rest.data = tail;
	rest.len = (uint32_t)(len - cut);
	/* Segments are the same wherever the payload is cut; cut headers are refused. */
	m = ob_net_segment(&pkt, pool, out, OUT);
	CHECK(m == n || m == -EINVAL);
	for (int i = 0; i < m; i++)
		ob_pkt_free(out[i]);
	CHECK(pool->n == POOL);
	fake_pool_free(pool);
	partial = pkt.flags & OB_PKT_CSUM_PARTIAL;
	n = ob_net_csum_fill(&pkt);
	CHECK(n == 0 || n == -EINVAL);
	if (n == 0 && partial && pkt.csum_offset % 2 == 0) {
		uint32_t at = (uint32_t)pkt.csum_start + pkt.csum_offset;
		uint32_t before = (uint32_t)(data[at] << 8 | data[at + 1]), after;
		uint8_t *whole = malloc(len);

		/* The field was part of the sum S and became ~S, so what is summed now is ~before. */
		memcpy(whole, frame, cut);
		memcpy(whole + cut, tail, len - cut);
		after = plain_sum(whole + pkt.csum_start, len - pkt.csum_start, 0);
		CHECK((before + after) % 0xffff == 0);
		CHECK(!(pkt.flags & OB_PKT_CSUM_PARTIAL));
		free(whole);
	}
	free(tail);
	free(frame);
	return 0;
}
