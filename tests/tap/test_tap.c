/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap attachment with a real interface of the kernel, in a network namespace of its own, and a device that
 * does on command what real ones do seldom: frames both ways.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/tap/rig.h"
#include "tests/tap/tcp_frame.h"

/* Built twice: frames by reads and writes, and by vhost-net. */
#ifdef BY_VHOST
#define TAP "tap,vhost=on"
#else
#define TAP "tap,vhost=off"
#endif

/* ---- to the device -------------------------------------------------------------------------- */

static void every_size_is_sent_as_it_is(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct ob_attach_stats st;
	uint8_t b[1514];
	struct rig r;
	unsigned int n = 0;

	rig_open(&r, 1, TAP ",netns=new,up");
	for (uint32_t len = 14; len <= 1514; len++) {
		send_frame(&r, b, test_frame(b, len, len));
		if (len % 50 == 0)
			serve_until_sent(&r, len - 13, list, FAKE_SENT);
	}
	n = serve_until_sent(&r, 1501, list, FAKE_SENT);
	assert_int_equal(n, 1501);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(list[i]->len, 14 + i);
		test_frame(b, 14 + i, 14 + i);
		assert_memory_equal(list[i]->bytes, b, 14 + i);
		assert_int_equal(list[i]->segments, 1);
		assert_int_equal(list[i]->gso_type, OB_GSO_NONE);
	}
	st = stats_of(&r);
	assert_true(st.requests_in >= 1501);
	assert_int_equal(st.kernel_copies, st.requests_in);
	assert_int_equal(st.own_copies, 0);
	assert_int_equal(st.dropped, 0);
	assert_int_equal(st.errors, 0);
	rig_close(&r);
}

#ifndef BY_VHOST
static void burst_has_one_doorbell(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	uint8_t b[60];
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	serve(&r, 0.3); /* the kernel's own */
	r.f->bursts = 0;
	for (uint32_t i = 0; i < 40; i++)
		send_frame(&r, b, test_frame(b, 60, i));
	assert_int_equal(serve_until_sent(&r, 40, list, FAKE_SENT), 40);
	assert_in_range(r.f->bursts, 1, 3); /* 1, but for a frame of the kernel's between */
	rig_close(&r);
}

#endif

/* A full ring: frames wait in the kernel's queue, in order, and none is lost. */
static void full_ring_holds_the_kernel_back(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	uint8_t b[100];
	struct rig r;
	unsigned int n;

	rig_open(&r, 1, TAP ",netns=new,up");
	r.f->room = 10;
	for (uint32_t i = 0; i < 400; i++) {
		send_frame(&r, b, test_frame(b, 100, i));
		if (i % 100 == 0)
			serve(&r, 0.05);
	}
	serve(&r, 0.3);
	assert_true(of_test(&r, 0, list, FAKE_SENT) <= 10);
#ifdef BY_VHOST
	/* The ring's buffers are not given back: the rest is in the kernel's queue of 500. */
	assert_true(stats_of(&r).requests_in <= 256);
#else
	assert_true(stats_of(&r).requests_in < 200); /* it stopped reading */
#endif
	while ((n = of_test(&r, 0, list, FAKE_SENT)) < 400) {
		r.f->room += 7;
		if (serve_until_sent(&r, n + 1, list, FAKE_SENT) == n)
			break;
	}
	n = of_test(&r, 0, list, FAKE_SENT);
	assert_int_equal(n, 400);
	for (uint32_t i = 0; i < n; i++) {
		test_frame(b, 100, i);
		assert_memory_equal(list[i]->bytes, b, 100);
	}
	assert_int_equal(stats_of(&r).dropped, 0);
	rig_close(&r);
}

static void *run_loop(void *loop)
{
	return (void *)(intptr_t)ob_loop_run(loop);
}

/* A loop that cannot get rid of its frames pauses; a spinning one makes millions of rounds a second. */
static void full_ring_does_not_spin(void **state)
{
	struct ob_loop_stats st;
	pthread_t thread;
	uint8_t b[100];
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	r.f->room = 0;
	for (uint32_t i = 0; i < 100; i++)
		send_frame(&r, b, test_frame(b, 100, i));
	assert_int_equal(pthread_create(&thread, NULL, run_loop, r.loop), 0);
	sleep(1);
	ob_loop_stop(r.loop);
	pthread_join(thread, NULL);
	ob_loop_stats(r.loop, &st);
	assert_true(st.sleeps > 50); /* pauses of a millisecond for the second but its beginning */
	assert_true(st.rounds < 200000);
	rig_close(&r);
}

/* ---- segmentation frames ---------------------------------------------------------------------- */

static int gso_socket(struct rig *r, uint16_t type)
{
	struct sockaddr_ll sa = {
		.sll_family = AF_PACKET, .sll_protocol = htons(type), .sll_ifindex = r->index};
	int fd = socket_in(r, AF_PACKET, SOCK_RAW, 0), yes = 1, room = 1 << 20;

	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)), 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* A frame that the kernel's TCP would send: partial checksum, to be cut into pieces. */
static uint32_t gso_frame(struct tcp_frame *f, uint16_t size, uint8_t *to)
{
	struct ob_pkt *pkt = tcp_frame_make(f);
	uint32_t l3 = 14, l4 = l3 + (f->ipv6 ? 40 : 20), hdr = l4 + 20 + f->options_len, sum = 0;
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = f->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = (uint16_t)hdr,
		.gso_size = size,
		.csum_start = (uint16_t)l4,
		.csum_offset = 16,
	};
	uint8_t *b = to + sizeof(h);
	uint32_t len = pkt->len, first = l3 + (f->ipv6 ? 8 : 12), last = l4;

	memcpy(to, &h, sizeof(h));
	memcpy(b, pkt->data, len);
	for (uint32_t i = first; i < last; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	sum += 6 + len - l4;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	b[l4 + 16] = (uint8_t)(sum >> 8);
	b[l4 + 17] = (uint8_t)sum;
	tcp_frame_free(pkt);
	return (uint32_t)sizeof(h) + len;
}

static bool is_tcp(const struct sent_frame *s)
{
	return (s->bytes[12] == 0x08 && s->bytes[13] == 0 && s->bytes[23] == 6) ||
	       (s->bytes[12] == 0x86 && s->bytes[20] == 6);
}

/* Send one of @payload bytes; returns the TCP frames that the device got. */
static unsigned int send_gso(struct rig *r, struct tcp_frame *f, uint16_t size,
			     struct sent_frame **list, unsigned int want)
{
	static uint8_t b[70000];
	int fd = gso_socket(r, f->ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	uint32_t len = gso_frame(f, size, b);
	uint64_t end = ob_clock_ms() + 60000;
	unsigned int n;

	fake_net_forget_sent(r->f);
	assert_int_equal(send(fd, b, len, 0), len);
	close(fd);
	do {
		ob_loop_once(r->loop, 5);
		n = 0;
		for (unsigned int i = 0; i < r->f->nr_sent[0]; i++)
			if (is_tcp(&r->f->sent[0][i]))
				list[n++] = &r->f->sent[0][i];
	} while (n < want && ob_clock_ms() < end);
	return n;
}

static void device_that_segments_gets_segmentation_frames(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct tcp_frame f = tcp_frame_usual();
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	for (int v6 = 0; v6 < 2; v6++) {
		struct ob_pkt *whole;

		f.ipv6 = v6;
		f.payload = 60000;
		assert_int_equal(send_gso(&r, &f, 1448, list, 1), 1);
		whole = tcp_frame_make(&f);
		assert_int_equal(list[0]->len, whole->len);
		assert_int_equal(list[0]->gso_type, v6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4);
		assert_int_equal(list[0]->gso_size, 1448);
		assert_int_equal(list[0]->hdr_len, (v6 ? 54 : 34) + 32);
		assert_int_equal(list[0]->flags, OB_PKT_CSUM_PARTIAL);
#ifdef BY_VHOST
		assert_int_equal(list[0]->segments, 7); /* of 9,000 bytes and tags */
#else
		assert_int_equal(list[0]->segments, 2);
#endif
		assert_memory_equal(list[0]->bytes + list[0]->hdr_len,
				    whole->data + list[0]->hdr_len, f.payload);
		tcp_frame_free(whole);
	}
	assert_int_equal(stats_of(&r).own_copies, 0);
	rig_close(&r);
}

/* Each segment is what a device would have sent: checked against taking apart by plain computation. */
static void segmented_here(unsigned int payload, uint16_t size, unsigned int mtu)
{
	static struct sent_frame *list[FAKE_SENT];
	static uint8_t *want[2048];
	static uint32_t lens[2048];
	struct tcp_frame f = tcp_frame_usual();
	char text[64];
	struct rig r;

	snprintf(text, sizeof(text), TAP ",netns=new,up,mtu=%u", mtu);
	rig_device(&r, 1);
	r.f->can_tso = false;
	r.f->can_csum = false;
	rig_attach(&r, text);
	for (int v6 = 0; v6 < 2; v6++) {
		struct ob_pkt *whole;
		unsigned int n, got;
		uint16_t mss;

		f.ipv6 = v6;
		f.payload = payload;
		f.flags = ACK | PSH;
		whole = tcp_frame_make(&f);
		mss = (uint16_t)(v6 ? size - 20 : size); /* the longer header fits the MTU, too */
		whole->gso_size = mss;
		whole->hdr_len = (uint16_t)(whole->len - payload);
		whole->csum_start = v6 ? 54 : 34;
		n = tcp_frame_split(whole, want, lens, 2048);
		got = send_gso(&r, &f, mss, list, n);
		assert_int_equal(got, n);
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(list[i]->flags & OB_PKT_CSUM_PARTIAL, 0);
			assert_int_equal(list[i]->gso_type, OB_GSO_NONE);
			assert_int_equal(list[i]->len, lens[i]);
			assert_memory_equal(list[i]->bytes, want[i], lens[i]);
			assert_true(tcp_frame_sums_right(list[i]->bytes, list[i]->len));
			free(want[i]);
		}
		tcp_frame_free(whole);
	}
	assert_int_equal(stats_of(&r).own_copies, 2);
	assert_int_equal(stats_of(&r).dropped, 0);
	rig_close(&r);
}

static void device_that_cannot_gets_segments(void **state)
{
	segmented_here(60000, 1448, 1500);
	segmented_here(3000, 1448, 1500);
	segmented_here(60000, 200, 1500); /* more segments than one burst */
	segmented_here(60000, 8948, 9000);
}

/* Headers that a device may not know are segmented here, whatever it can. */
static void unusual_headers_are_segmented_here(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct tcp_frame f = tcp_frame_usual();
	struct rig r;

	rig_device(&r, 1);
	r.f->net.tx_max_len = 30000;
	rig_attach(&r, TAP ",netns=new,up");
	f.payload = 28000;
	assert_int_equal(send_gso(&r, &f, 1448, list, 1), 1);
	f.payload = 40000;
	assert_int_equal(send_gso(&r, &f, 1448, list, 28), 28);
	rig_close(&r);
}

static void partial_checksum_is_left_to_the_device_that_can(void **state)
{
	static struct sent_frame *list[FAKE_SENT];

	for (int can = 0; can < 2; can++) {
		struct tcp_frame f = tcp_frame_usual();
		static uint8_t b[2000];
		struct virtio_net_hdr h;
		uint64_t end = ob_clock_ms() + 60000;
		struct rig r;
		unsigned int n;
		uint32_t len;
		int fd;

		rig_device(&r, 1);
		r.f->can_csum = can;
		r.f->can_tso = can;
		rig_attach(&r, TAP ",netns=new,up");
		f.payload = 500;
		len = gso_frame(&f, 0, b);
		memcpy(&h, b, sizeof(h));
		h.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		h.gso_size = 0;
		memcpy(b, &h, sizeof(h));
		fd = gso_socket(&r, ETHERTYPE_IP);
		assert_int_equal(send(fd, b, len, 0), len);
		close(fd);
		do {
			ob_loop_once(r.loop, 5);
			n = 0;
			for (unsigned int i = 0; i < r.f->nr_sent[0]; i++)
				if (is_tcp(&r.f->sent[0][i]))
					list[n++] = &r.f->sent[0][i];
		} while (!n && ob_clock_ms() < end);
		assert_int_equal(n, 1);
		if (can) {
			assert_int_equal(list[0]->flags, OB_PKT_CSUM_PARTIAL);
			assert_int_equal(list[0]->csum_start, 34);
			assert_int_equal(list[0]->csum_offset, 16);
		} else {
			assert_int_equal(list[0]->flags, 0);
			assert_true(tcp_frame_sums_right(list[0]->bytes, list[0]->len));
		}
		rig_close(&r);
	}
}

/* ---- from the device ---------------------------------------------------------------------------- */

static ssize_t receive(struct rig *r, void *b, size_t size)
{
	uint64_t end = ob_clock_ms() + 60000;
	ssize_t n;

	do {
		ob_loop_once(r->loop, 5);
		n = recv(r->packet, b, size, MSG_DONTWAIT);
	} while (n < 0 && ob_clock_ms() < end);
	return n;
}

static void every_size_is_received_as_it_is(void **state)
{
	uint8_t b[1514], got[2000];
	struct ob_attach_stats st;
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	for (uint32_t len = 14; len <= 1514; len++) {
		uint32_t piece = len % 3 ? 2048 : 1 + len / 4;

		fake_net_receive(&r.f[0], 0, b, test_frame(b, len, len), piece, 0);
		assert_int_equal(receive(&r, got, sizeof(got)), len);
		assert_memory_equal(got, b, len);
	}
	st = stats_of(&r);
	assert_int_equal(st.requests_out, 1501);
	assert_int_equal(st.own_copies, 0);
	assert_int_equal(st.dropped, 0);
	rig_close(&r);
}

static void bad_frame_of_the_device_is_counted_and_dropped(void **state)
{
	uint8_t b[100], got[200];
	struct ob_attach_stats st;
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 1), 2048, OB_PKT_BAD);
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 2), 2048, 0);
	assert_int_equal(receive(&r, got, sizeof(got)), 100);
	assert_memory_equal(got, b, 100);
	st = stats_of(&r);
	assert_int_equal(st.dropped, 1);
	assert_int_equal(st.errors, 1);
	rig_close(&r);
}

#ifndef BY_VHOST
static void interface_that_is_down_drops_and_counts(void **state)
{
	struct ob_attach_stats st;
	uint8_t b[100], got[200];
	uint64_t calls;
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new"); /* not up */
	serve(&r, 0.15);		   /* a tick is over, the next not near */
	for (uint32_t i = 0; i < 50; i++)
		fake_net_receive(r.f, 0, b, test_frame(b, 100, i), 2048, 0);
	calls = stats_of(&r).syscalls;
	assert_int_equal(ob_loop_once(r.loop, 0), 50);
	st = stats_of(&r);
	assert_int_equal(st.dropped, 50);
	assert_int_equal(st.errors, 0);
	assert_true(st.syscalls - calls < 40); /* the burst's first frame says it for all */
	rig_up(&r, true);
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 7), 2048, 0);
	assert_int_equal(receive(&r, got, sizeof(got)), 100);
	rig_close(&r);
}

#endif

/* ---- several queues ------------------------------------------------------------------------------- */

static void every_queue_carries_both_directions(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	unsigned int used = 0;
	uint8_t b[200], got[200];
	struct ob_attach_info info;
	struct rig r;

	rig_open(&r, 4, TAP ",netns=new,address=10.77.0.1/24");
	r.at->ops->info(r.at, &info);
	assert_non_null(strstr(info.detail, "4 queues"));
	/* The kernel chooses a queue by flow: many flows use them all. */
	inet_pton(AF_INET, "10.77.0.255", &to.sin_addr);
	for (int i = 0; i < 200; i++) {
		int yes = 1, fd = socket_in(&r, AF_INET, SOCK_DGRAM, 0);

		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes));
		assert_int_equal(sendto(fd, "flow", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
		close(fd);
		if (i % 50 == 49)
			serve(&r, 0.1);
	}
	for (unsigned int q = 0; q < 4; q++)
		used += r.f->nr_sent[q] > 0;
	assert_int_equal(used, 4);
	for (unsigned int q = 0; q < 4; q++) {
		fake_net_receive(r.f, q, b, test_frame(b, 100 + q, q), 2048, 0);
		assert_int_equal(receive(&r, got, sizeof(got)), 100 + q);
		assert_memory_equal(got, b, 100 + q);
	}
	rig_close(&r);
}

#ifdef BY_VHOST
/* ---- what only vhost-net has ---------------------------------------------------------------------- */

/* While the kernel's thread works it need not be woken, and while we work neither need we. */
static void busy_sides_make_no_system_calls(void **state)
{
	enum {
		FRAMES = 20000,
	};
	static struct sent_frame *list[FAKE_SENT];
	uint8_t b[1514], got[2000];
	uint64_t before, calls;
	unsigned int taken = 0, given = 0;
	struct rig r;
	uint64_t end;

	rig_open(&r, 1, TAP ",netns=new,up");
	serve(&r, 0.3);
	before = stats_of(&r).syscalls;
	end = ob_clock_ms() + 60000;
	while (given < FRAMES && ob_clock_ms() < end) {
		/* A socket takes fewer than a burst's 64 from one filling; what it loses is not ours. */
		for (unsigned int i = 0; i < 50; i++, given++)
			fake_net_receive(r.f, 0, b, test_frame(b, 100, given), 2048, 0);
		while (r.f->nr_rx[0] && ob_clock_ms() < end)
			ob_loop_once(r.loop, 0);
		while (recv(r.packet, got, sizeof(got), MSG_DONTWAIT) > 0)
			taken++;
	}
	calls = stats_of(&r).syscalls - before;
	assert_int_equal(given, FRAMES);
	assert_true(taken > 0);
	assert_true(calls * 10 < FRAMES);

	before = stats_of(&r).syscalls;
	for (unsigned int i = 0; i < FRAMES / 100; i++) {
		fake_net_forget_sent(r.f);
		for (unsigned int k = 0; k < 100; k++)
			send_frame(&r, b, test_frame(b, 100, k));
		assert_int_equal(serve_until_sent(&r, 100, list, FAKE_SENT), 100);
	}
	calls = stats_of(&r).syscalls - before;
	assert_true(calls * 10 < FRAMES);
	assert_int_equal(stats_of(&r).own_copies, 0);
	rig_close(&r);
}

/* Its pieces are put together in their order, whatever the ring's state: it goes round several times. */
static void long_frame_comes_in_several_buffers(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct tcp_frame f = tcp_frame_usual();
	struct rig r;

	rig_open(&r, 1, TAP ",netns=new,up");
	for (unsigned int i = 0; i < 300; i++) {
		struct ob_pkt *whole;

		f.payload = 9000 + i * 163;
		assert_int_equal(send_gso(&r, &f, 1448, list, 1), 1);
		whole = tcp_frame_make(&f);
		assert_int_equal(list[0]->len, whole->len);
		assert_int_equal(list[0]->hdr_len, 34 + 32);
		assert_memory_equal(list[0]->bytes + 66, whole->data + 66, f.payload);
		tcp_frame_free(whole);
	}
	assert_int_equal(stats_of(&r).dropped, 0);
	assert_int_equal(stats_of(&r).errors, 0);
	rig_close(&r);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_is_sent_as_it_is),
		cmocka_unit_test(full_ring_holds_the_kernel_back),
		cmocka_unit_test(full_ring_does_not_spin),
		cmocka_unit_test(device_that_segments_gets_segmentation_frames),
		cmocka_unit_test(device_that_cannot_gets_segments),
		cmocka_unit_test(unusual_headers_are_segmented_here),
		cmocka_unit_test(partial_checksum_is_left_to_the_device_that_can),
		cmocka_unit_test(every_size_is_received_as_it_is),
		cmocka_unit_test(bad_frame_of_the_device_is_counted_and_dropped),
		cmocka_unit_test(every_queue_carries_both_directions),
#ifdef BY_VHOST
		cmocka_unit_test(busy_sides_make_no_system_calls),
		cmocka_unit_test(long_frame_comes_in_several_buffers),
#else
		cmocka_unit_test(burst_has_one_doorbell),
		cmocka_unit_test(interface_that_is_down_drops_and_counts),
#endif
	};

	return rig_run(tests, sizeof(tests) / sizeof(tests[0]));
}
