/* SPDX-License-Identifier: BSD-2-Clause */
/* attach/tap_vnet: what the kernel puts in front of a frame is checked against the frame. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attach/tap_vnet.h"
#include "tests/tap/tcp_frame.h"

static struct virtio_net_hdr gso(const struct tcp_frame *f)
{
	uint16_t l4 = (uint16_t)((f->vlan ? 18 : 14) + (f->ipv6 ? 40 : 20 + 4 * f->ip_options));

	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = f->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 200, /* only a hint: not the truth */
		.gso_size = 1448,
		.csum_start = l4,
		.csum_offset = 16,
	};
}

static void segmentation_frame_gets_its_true_header_length(void **state)
{
	for (int i = 0; i < 8; i++) {
		struct tcp_frame f = tcp_frame_usual();
		struct virtio_net_hdr h;
		struct ob_pkt *pkt;

		f.ipv6 = i & 1;
		f.vlan = i & 2;
		f.ip_options = i & 4 && !f.ipv6 ? 3 : 0;
		f.payload = 20000;
		h = gso(&f);
		pkt = tcp_frame_make(&f);
		assert_int_equal(tap_vnet_to_pkt(&h, pkt), 0);
		assert_int_equal(pkt->gso_type, f.ipv6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4);
		assert_int_equal(pkt->gso_size, 1448);
		assert_int_equal(pkt->hdr_len, h.csum_start + 32);
		assert_int_equal(pkt->csum_start, h.csum_start);
		assert_int_equal(pkt->csum_offset, 16);
		assert_int_equal(pkt->flags, OB_PKT_CSUM_PARTIAL);
		tcp_frame_free(pkt);
	}
}

static void plain_frame_has_no_offloads(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	struct ob_pkt *pkt = tcp_frame_make(&f);
	struct virtio_net_hdr h = {0};

	pkt->flags = 0xffff; /* left by whoever had it before */
	pkt->gso_type = OB_GSO_UDP;
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), 0);
	assert_int_equal(pkt->flags, 0);
	assert_int_equal(pkt->gso_type, OB_GSO_NONE);
	h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), 0);
	tcp_frame_free(pkt);
}

static void checksum_field_must_lie_in_the_frame(void **state)
{
	uint8_t bytes[60] = {0};
	struct ob_pkt *pkt = tcp_frame_raw(bytes, sizeof(bytes));
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};

	h.csum_start = 34;
	h.csum_offset = 24; /* bytes 58 and 59 */
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), 0);
	h.csum_offset = 25;
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), -EINVAL);
	h.csum_start = 65535;
	h.csum_offset = 65535;
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), -EINVAL);
	h.csum_start = 13;
	h.csum_offset = 0;
	assert_int_equal(tap_vnet_to_pkt(&h, pkt), -EINVAL);
	tcp_frame_free(pkt);
}

/* One thing wrong at a time. */
static void refused(const char *what, const struct tcp_frame *f, const struct virtio_net_hdr *h,
		    int at, uint8_t value)
{
	struct ob_pkt *pkt = tcp_frame_make(f);

	if (at >= 0)
		pkt->data[at] = value;
	if (tap_vnet_to_pkt(h, pkt) != -EINVAL)
		fail_msg("%s was taken", what);
	assert_int_equal(pkt->gso_type, OB_GSO_NONE);
	tcp_frame_free(pkt);
}

static void segmentation_header_that_lies_is_refused(void **state)
{
	struct tcp_frame f = tcp_frame_usual(), six = f;
	struct virtio_net_hdr good, h;

	f.payload = six.payload = 5000;
	six.ipv6 = true;
	good = gso(&f);
#define REFUSED(what, change)                                                                      \
	do {                                                                                       \
		h = good;                                                                          \
		change;                                                                            \
		refused(what, &f, &h, -1, 0);                                                      \
	} while (0)
	REFUSED("a size of 0", h.gso_size = 0);
	REFUSED("no checksum", h.flags = 0);
	REFUSED("an unknown flag", h.flags |= 8);
	REFUSED("another checksum field", h.csum_offset = 6);
	REFUSED("a start before the TCP header", h.csum_start--);
	REFUSED("a start behind the TCP header", h.csum_start += 4);
	REFUSED("a start at the frame's end", h.csum_start = 14 + 20 + 32 + 5000 - 18);
	REFUSED("IPv6 in front of IPv4", h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	REFUSED("UDP fragmentation", h.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	REFUSED("UDP segmentation", h.gso_type = 5);
	REFUSED("ECN", h.gso_type |= VIRTIO_NET_HDR_GSO_ECN);
	REFUSED("an unknown kind", h.gso_type = 77);
	h = gso(&six);
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	refused("IPv4 in front of IPv6", &six, &h, -1, 0);
	h = good;
	refused("another EtherType", &f, &h, 12, 0x12);
	refused("another version", &f, &h, 14, 0x65);
	refused("a short IP header", &f, &h, 14, 0x44);
	refused("another protocol", &f, &h, 14 + 9, 17);
	refused("a short TCP header", &f, &h, 34 + 12, 0x40);
	h = gso(&six);
	refused("another version in IPv6", &six, &h, 14, 0x45);
	refused("a short TCP header in IPv6", &six, &h, 54 + 12, 0x40);
	f.payload = 0;
	h = good;
	refused("no payload", &f, &h, -1, 0);
}

/* The device driver reads the headers in the first segment. */
static void headers_must_lie_in_the_first_segment(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	struct ob_pkt *whole = tcp_frame_make(&f), *pkt;
	struct virtio_net_hdr h = gso(&f);

	for (uint32_t cut = 1; cut < 80; cut++) {
		pkt = tcp_frame_raw(whole->data, cut);
		pkt->next = tcp_frame_raw(whole->data + cut, whole->len - cut);
		assert_int_equal(tap_vnet_to_pkt(&h, pkt), cut < 66 ? -EINVAL : 0);
		tcp_frame_free(pkt);
	}
	tcp_frame_free(whole);
}

static void frames_shorter_than_their_headers_are_refused(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	struct ob_pkt *whole = tcp_frame_make(&f);
	struct virtio_net_hdr h = gso(&f), none = {0};

	for (uint32_t len = 0; len < 66; len++) {
		struct ob_pkt *pkt = tcp_frame_raw(whole->data, len);

		assert_int_equal(tap_vnet_to_pkt(&h, pkt), -EINVAL);
		assert_int_equal(tap_vnet_to_pkt(&none, pkt), len < 14 ? -EINVAL : 0);
		tcp_frame_free(pkt);
	}
	tcp_frame_free(whole);
}

static void any_header_in_front_of_any_frame_is_safe(void **state)
{
	unsigned int seed = 5;

	for (int i = 0; i < 100000; i++) {
		struct tcp_frame f = tcp_frame_usual();
		struct virtio_net_hdr h;
		struct ob_pkt *whole, *pkt;
		uint32_t len;

		f.ipv6 = rand_r(&seed) & 1;
		f.vlan = rand_r(&seed) & 1;
		f.payload = (unsigned int)rand_r(&seed) % 100;
		h = gso(&f);
		for (int k = rand_r(&seed) % 3; k > 0; k--)
			((uint8_t *)&h)[(unsigned int)rand_r(&seed) % sizeof(h)] =
				(uint8_t)rand_r(&seed);
		whole = tcp_frame_make(&f);
		len = whole->len;
		for (int k = rand_r(&seed) % 3; k > 0; k--)
			whole->data[(unsigned int)rand_r(&seed) % (len < 60 ? len : 60)] =
				(uint8_t)rand_r(&seed);
		len = (uint32_t)rand_r(&seed) % 4 ? len : (uint32_t)rand_r(&seed) % (len + 1);
		pkt = tcp_frame_raw(whole->data, len);
		if (!tap_vnet_to_pkt(&h, pkt)) {
			if (pkt->flags & OB_PKT_CSUM_PARTIAL)
				assert_true(pkt->csum_start + pkt->csum_offset + 2u <= len);
			if (pkt->gso_type != OB_GSO_NONE) {
				assert_true(pkt->hdr_len < len);
				assert_true(pkt->gso_size > 0);
				assert_true(pkt->hdr_len >= pkt->csum_start + 20);
			}
		}
		tcp_frame_free(whole);
		tcp_frame_free(pkt);
	}
}

static void header_for_the_kernel_says_what_the_frame_is(void **state)
{
	struct ob_pkt pkt = {0};
	struct virtio_net_hdr h;

	tap_vnet_from_pkt(&pkt, &h);
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	pkt.flags = OB_PKT_CSUM_OK;
	tap_vnet_from_pkt(&pkt, &h);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	pkt.flags = OB_PKT_CSUM_PARTIAL;
	pkt.csum_start = 34;
	pkt.csum_offset = 16;
	pkt.gso_type = OB_GSO_TCPV6;
	pkt.gso_size = 1440;
	pkt.hdr_len = 86;
	tap_vnet_from_pkt(&pkt, &h);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.csum_start, 34);
	assert_int_equal(h.csum_offset, 16);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	assert_int_equal(h.gso_size, 1440);
	assert_int_equal(h.hdr_len, 86);
	pkt.gso_type = OB_GSO_TCPV4;
	tap_vnet_from_pkt(&pkt, &h);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segmentation_frame_gets_its_true_header_length),
		cmocka_unit_test(plain_frame_has_no_offloads),
		cmocka_unit_test(checksum_field_must_lie_in_the_frame),
		cmocka_unit_test(segmentation_header_that_lies_is_refused),
		cmocka_unit_test(headers_must_lie_in_the_first_segment),
		cmocka_unit_test(frames_shorter_than_their_headers_are_refused),
		cmocka_unit_test(any_header_in_front_of_any_frame_is_safe),
		cmocka_unit_test(header_for_the_kernel_says_what_the_frame_is),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
