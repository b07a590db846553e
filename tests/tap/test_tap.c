/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap attachment with a real interface of the kernel, in a network namespace of its own, and a device that
 * does on command what real ones do seldom.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/attach.h"
#include "attach/tap.h"
#include "tests/dma/fake.h"
#include "tests/tap/fake_net.h"
#include "tests/tap/tcp_frame.h"

/* Experimental EtherType (RFC 5342, B.2): nobody else's frames have it. */
#define ETHERTYPE_TEST 0x88b5

struct rig {
	struct fake *device;
	struct fake_net *f;
	struct ob_loop *loop;
	struct ob_attach *at;
	int packet; /* a packet socket on the interface, from within its namespace */
	int inet;
	char name[IFNAMSIZ];
	int index;
};

static const char *unavailable;

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the rig ------------------------------------------------------------------------------ */

/* A socket of the interface's namespace, made by a child that goes there. */
static int socket_in(struct rig *r, int domain, int type, int protocol)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	int pair[2], status, fd = -1;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = fork();
	if (!pid) {
		if (ob_attach_tap_enter(r->at))
			_exit(1);
		fd = socket(domain, type, protocol);
		if (fd < 0)
			_exit(2);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		_exit(sendmsg(pair[0], &msg, 0) == 1 ? 0 : 3);
	}
	close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(recvmsg(pair[1], &msg, 0), 1);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	close(pair[1]);
	return fd;
}

static int interface_ioctl(struct rig *r, unsigned long request, struct ifreq *ifr)
{
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", r->name);
	return ioctl(r->inet, request, ifr) ? -errno : 0;
}

static void set_up(struct rig *r, bool up)
{
	struct ifreq ifr = {0};

	assert_int_equal(interface_ioctl(r, SIOCGIFFLAGS, &ifr), 0);
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags = (short)(ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(interface_ioctl(r, SIOCSIFFLAGS, &ifr), 0);
}

static void rig_device(struct rig *r, unsigned int queues)
{
	memset(r, 0, sizeof(*r));
	r->packet = r->inet = -1;
	r->device = fake_open(OB_DMA_POOLED, 32 << 20, false);
	r->f = fake_net_open(&r->device->dev, queues);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &r->loop), 0);
}

static void rig_attach(struct rig *r, const char *text)
{
	struct ob_attach_info info;
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_TEST)};
	struct ob_error err = {0};
	char all[1400];
	struct ifreq ifr = {0};
	int yes = 1;

	if (ob_attach_open(&r->f->b, 0, text, r->loop, &r->at, &err) ||
	    ob_attach_publish(r->at, &err))
		fail_msg("%s", ob_error_text(&err, all, sizeof(all)));
	r->at->ops->info(r->at, &info);
	snprintf(r->name, sizeof(r->name), "%.15s", info.name);
	r->inet = socket_in(r, AF_INET, SOCK_DGRAM, 0);
	r->packet = socket_in(r, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETHERTYPE_TEST));
	assert_int_equal(interface_ioctl(r, SIOCGIFINDEX, &ifr), 0);
	r->index = sa.sll_ifindex = ifr.ifr_ifindex;
	assert_int_equal(bind(r->packet, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(
		setsockopt(r->packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)), 0);
}

static void rig_open(struct rig *r, unsigned int queues, const char *text)
{
	rig_device(r, queues);
	rig_attach(r, text);
}

static void rig_close(struct rig *r)
{
	if (r->packet >= 0)
		close(r->packet);
	if (r->inet >= 0)
		close(r->inet);
	ob_attach_close(r->at);
	assert_false(r->f->running);
	ob_loop_destroy(r->loop);
	fake_net_close(r->f);
	fake_close(r->device);
}

static struct ob_attach_stats stats_of(struct rig *r)
{
	struct ob_attach_stats st;

	r->at->ops->stats(r->at, &st);
	return st;
}

/* Rounds of the loop for a time: long enough for a tick or two. */
static void serve(struct rig *r, double for_seconds)
{
	double end = seconds() + for_seconds;

	do
		ob_loop_once(r->loop, 5);
	while (seconds() < end);
}

/* Frames of ours that were sent by queue @q, the kernel's own (IPv6, ARP) not counted. */
static unsigned int of_test(struct rig *r, unsigned int q, struct sent_frame **list,
			    unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->f->nr_sent[q]; i++) {
		struct sent_frame *s = &r->f->sent[q][i];

		if (s->len >= 14 && s->bytes[12] == 0x88 && s->bytes[13] == 0xb5 && n < max)
			list[n++] = s;
	}
	return n;
}

/* Serve until queue 0 has sent @n frames of ours; a time-out only ends what would hang. */
static unsigned int serve_until_sent(struct rig *r, unsigned int n, struct sent_frame **list,
				     unsigned int max)
{
	double end = seconds() + 20;
	unsigned int got;

	do {
		ob_loop_once(r->loop, 5);
		got = of_test(r, 0, list, max);
	} while (got < n && seconds() < end);
	return got;
}

static uint32_t test_frame(uint8_t *b, uint32_t len, uint32_t seed)
{
	static const uint8_t dst[6] = {2, 0, 0, 0, 9, 9}, src[6] = {2, 0, 0, 0, 7, 7};

	memcpy(b, dst, 6);
	memcpy(b + 6, src, 6);
	b[12] = 0x88;
	b[13] = 0xb5;
	for (uint32_t i = 14; i < len; i++)
		b[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 11);
	return len;
}

static void send_frame(struct rig *r, const void *b, uint32_t len)
{
	double end = seconds() + 20;

	while (send(r->packet, b, len, 0) != (ssize_t)len) {
		assert_true(errno == ENOBUFS || errno == EAGAIN);
		assert_true(seconds() < end);
		ob_loop_once(r->loop, 5);
	}
}

/* A shell command in the interface's namespace; its exit code. */
static int run_in(struct rig *r, const char *command)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (ob_attach_tap_enter(r->at))
			_exit(126);
		execlp("sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- to the device -------------------------------------------------------------------------- */

static void every_size_is_sent_as_it_is(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct ob_attach_stats st;
	uint8_t b[1514];
	struct rig r;
	unsigned int n = 0;

	rig_open(&r, 1, "tap,netns=new,up");
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

static void burst_has_one_doorbell(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	uint8_t b[60];
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	serve(&r, 0.3); /* the kernel's own */
	r.f->bursts = 0;
	for (uint32_t i = 0; i < 40; i++)
		send_frame(&r, b, test_frame(b, 60, i));
	assert_int_equal(serve_until_sent(&r, 40, list, FAKE_SENT), 40);
	assert_in_range(r.f->bursts, 1, 3); /* 1, but for a frame of the kernel's between */
	rig_close(&r);
}

/* A full ring: frames wait in the kernel's queue, in order, and none is lost. */
static void full_ring_holds_the_kernel_back(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	uint8_t b[100];
	struct rig r;
	unsigned int n;

	rig_open(&r, 1, "tap,netns=new,up");
	r.f->room = 10;
	for (uint32_t i = 0; i < 400; i++) {
		send_frame(&r, b, test_frame(b, 100, i));
		if (i % 100 == 0)
			serve(&r, 0.05);
	}
	serve(&r, 0.3);
	assert_true(of_test(&r, 0, list, FAKE_SENT) <= 10);
	assert_true(stats_of(&r).requests_in < 200); /* it stopped reading */
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

	rig_open(&r, 1, "tap,netns=new,up");
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
	double end = seconds() + 20;
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
	} while (n < want && seconds() < end);
	return n;
}

static void device_that_segments_gets_segmentation_frames(void **state)
{
	static struct sent_frame *list[FAKE_SENT];
	struct tcp_frame f = tcp_frame_usual();
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
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
		assert_int_equal(list[0]->segments, v6 ? 1 : 2);
		assert_memory_equal(list[0]->bytes + list[0]->hdr_len,
				    whole->data + list[0]->hdr_len, f.payload);
		tcp_frame_free(whole);
	}
	assert_int_equal(stats_of(&r).own_copies, 1); /* the IPv6 one is brought into one piece */
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

	snprintf(text, sizeof(text), "tap,netns=new,up,mtu=%u", mtu);
	rig_device(&r, 1);
	r.f->can_tso = false;
	r.f->can_csum = false;
	rig_attach(&r, text);
	for (int v6 = 0; v6 < 2; v6++) {
		struct ob_pkt *whole;
		unsigned int n, got;

		f.ipv6 = v6;
		f.payload = payload;
		f.flags = ACK | PSH;
		whole = tcp_frame_make(&f);
		whole->gso_size = size;
		whole->hdr_len = (uint16_t)(whole->len - payload);
		whole->csum_start = v6 ? 54 : 34;
		n = tcp_frame_split(whole, want, lens, 2048);
		got = send_gso(&r, &f, size, list, n);
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
	rig_attach(&r, "tap,netns=new,up");
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
		double end = seconds() + 20;
		struct rig r;
		unsigned int n;
		uint32_t len;
		int fd;

		rig_device(&r, 1);
		r.f->can_csum = can;
		r.f->can_tso = can;
		rig_attach(&r, "tap,netns=new,up");
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
		} while (!n && seconds() < end);
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
	double end = seconds() + 20;
	ssize_t n;

	do {
		ob_loop_once(r->loop, 5);
		n = recv(r->packet, b, size, MSG_DONTWAIT);
	} while (n < 0 && seconds() < end);
	return n;
}

static void every_size_is_received_as_it_is(void **state)
{
	uint8_t b[1514], got[2000];
	struct ob_attach_stats st;
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
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

	rig_open(&r, 1, "tap,netns=new,up");
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 1), 2048, OB_PKT_BAD);
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 2), 2048, 0);
	assert_int_equal(receive(&r, got, sizeof(got)), 100);
	assert_memory_equal(got, b, 100);
	st = stats_of(&r);
	assert_int_equal(st.dropped, 1);
	assert_int_equal(st.errors, 1);
	rig_close(&r);
}

static void interface_that_is_down_drops_and_counts(void **state)
{
	struct ob_attach_stats st;
	uint8_t b[100], got[200];
	uint64_t calls;
	struct rig r;

	rig_open(&r, 1, "tap,netns=new"); /* not up */
	serve(&r, 0.15);		  /* a tick is over, the next not near */
	for (uint32_t i = 0; i < 50; i++)
		fake_net_receive(r.f, 0, b, test_frame(b, 100, i), 2048, 0);
	calls = stats_of(&r).syscalls;
	assert_int_equal(ob_loop_once(r.loop, 0), 50);
	st = stats_of(&r);
	assert_int_equal(st.dropped, 50);
	assert_int_equal(st.errors, 0);
	assert_true(st.syscalls - calls < 40); /* the burst's first frame says it for all */
	set_up(&r, true);
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 7), 2048, 0);
	assert_int_equal(receive(&r, got, sizeof(got)), 100);
	rig_close(&r);
}

/* ---- several queues ------------------------------------------------------------------------------- */

static void every_queue_carries_both_directions(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	unsigned int used = 0;
	uint8_t b[200], got[200];
	struct ob_attach_info info;
	struct rig r;

	rig_open(&r, 4, "tap,netns=new,address=10.77.0.1/24");
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

/* ---- the interface is like the device, and the device like the interface ----------------------------- */

/* The kernel tells of a carrier by its own clock, up to a second late. */
static void wait_running(struct rig *r, bool running)
{
	double end = seconds() + 20;
	struct ifreq ifr = {0};

	do {
		serve(r, 0.05);
		assert_int_equal(interface_ioctl(r, SIOCGIFFLAGS, &ifr), 0);
		assert_true(ifr.ifr_flags & IFF_UP);
	} while (!!(ifr.ifr_flags & IFF_RUNNING) != running && seconds() < end);
	assert_int_equal(!!(ifr.ifr_flags & IFF_RUNNING), running);
}

static void interface_has_address_mtu_and_link_of_the_device(void **state)
{
	struct ifreq ifr = {0};
	struct rig r;

	rig_device(&r, 1);
	r.f->link_up = false;
	rig_attach(&r, "tap,netns=new,up,name=cable%d,mtu=4000");
	assert_string_equal(r.name, "cable0");
	assert_int_equal(interface_ioctl(&r, SIOCGIFHWADDR, &ifr), 0);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, r.f->net.mac, 6);
	assert_int_equal(interface_ioctl(&r, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 4000);
	assert_int_equal(r.f->net.mtu, 4000);
	wait_running(&r, false);
	r.f->link_up = true;
	wait_running(&r, true);
	r.f->link_up = false;
	wait_running(&r, false);
	assert_true(r.f->ticks > 3);
	rig_close(&r);
}

static void device_follows_what_is_set_on_the_interface(void **state)
{
	static const uint8_t group[6] = {0x33, 0x33, 1, 2, 3, 4};
	struct packet_mreq mreq = {.mr_type = PACKET_MR_PROMISC};
	struct ifreq ifr = {0};
	bool joined = false;
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	ifr.ifr_mtu = 8000;
	assert_int_equal(interface_ioctl(&r, SIOCSIFMTU, &ifr), 0);
	serve(&r, 0.3);
	assert_int_equal(r.f->net.mtu, 8000);

	/* More than the device can: the interface goes back. */
	ifr.ifr_mtu = 9001;
	assert_int_equal(interface_ioctl(&r, SIOCSIFMTU, &ifr), 0);
	serve(&r, 0.3);
	assert_int_equal(r.f->net.mtu, 8000);
	assert_int_equal(interface_ioctl(&r, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 8000);

	ifr.ifr_hwaddr.sa_family = 1; /* ARPHRD_ETHER */
	memcpy(ifr.ifr_hwaddr.sa_data, "\x02\x55\x55\x55\x55\x55", 6);
	assert_int_equal(interface_ioctl(&r, SIOCSIFHWADDR, &ifr), 0);
	serve(&r, 0.3);
	assert_memory_equal(r.f->net.mac, "\x02\x55\x55\x55\x55\x55", 6);

	/* A group address on the interface, as joining a group adds it. */
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_hwaddr.sa_data, group, 6);
	assert_int_equal(interface_ioctl(&r, SIOCADDMULTI, &ifr), 0);
	serve(&r, 1.5);
	for (unsigned int i = 0; i < r.f->nr_macs; i++)
		joined |= !memcmp(r.f->macs[i], group, 6);
	assert_true(joined);

	assert_false(r.f->promisc);
	mreq.mr_ifindex = r.index;
	assert_int_equal(
		setsockopt(r.packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)), 0);
	serve(&r, 1.5);
	assert_true(r.f->promisc);
	assert_int_equal(
		setsockopt(r.packet, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, sizeof(mreq)), 0);
	serve(&r, 1.5);
	assert_false(r.f->promisc);
	rig_close(&r);
}

static void many_groups_mean_all(void **state)
{
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	for (int i = 0; i < 80; i++) {
		struct ifreq ifr = {0};
		uint8_t group[6] = {0x33, 0x33, 9, 9, 9, (uint8_t)i};

		memcpy(ifr.ifr_hwaddr.sa_data, group, 6);
		assert_int_equal(interface_ioctl(&r, SIOCADDMULTI, &ifr), 0);
	}
	serve(&r, 1.5);
	assert_true(r.f->promisc);
	rig_close(&r);
}

static void renamed_interface_is_still_ours(void **state)
{
	struct ob_attach_info info;
	struct ob_error err = {0};
	struct ifreq ifr = {0};
	struct rig r;

	rig_open(&r, 1, "tap,netns=new");
	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "other");
	assert_int_equal(interface_ioctl(&r, SIOCSIFNAME, &ifr), 0);
	serve(&r, 0.3);
	r.at->ops->info(r.at, &info);
	assert_string_equal(info.name, "other");
	snprintf(r.name, sizeof(r.name), "other");
	set_up(&r, true);
	assert_int_equal(ob_attach_unpublish(r.at, false, &err), 0);
	assert_int_equal(interface_ioctl(&r, SIOCGIFFLAGS, &ifr), 0);
	assert_int_equal(ifr.ifr_flags & IFF_UP, 0);
	rig_close(&r);
}

/* Somebody runs `ip link delete`: no crash, no spinning, one line in the log. */
static void deleted_interface_is_survived(void **state)
{
	struct ob_loop_stats before, after;
	uint8_t b[100];
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	assert_int_equal(run_in(&r, "ip link delete ob0"), 0);
	serve(&r, 0.3);
	assert_non_null(strstr(r.device->log, "was deleted by somebody else"));
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 1), 2048, 0);
	serve(&r, 0.1);
	assert_int_equal(r.f->nr_rx[0], 0); /* dropped, not kept */
	ob_loop_stats(r.loop, &before);
	ob_loop_once(r.loop, 50);
	ob_loop_stats(r.loop, &after);
	assert_int_equal(after.wakeups, before.wakeups);
	rig_close(&r);
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void refuse(struct rig *r, const char *text, int code, const char *what)
{
	struct ob_error err = {0};
	char all[1400];
	int ret = ob_attach_open(&r->f->b, 0, text, r->loop, &r->at, &err);

	if (ret != code)
		fail_msg("'%s' gave %d: %s", text, ret, ob_error_text(&err, all, sizeof(all)));
	ob_error_text(&err, all, sizeof(all));
	if (!strstr(all, what))
		fail_msg("'%s' says: %s", text, all);
	assert_null(r->at);
}

static void bad_options_are_named(void **state)
{
	struct rig r;

	rig_device(&r, 2);
	refuse(&r, "tap,name=a/b", -EINVAL, "a/b");
	refuse(&r, "tap,name=0123456789abcdef", -EINVAL, "0123456789abcdef");
	refuse(&r, "tap,name=", -EINVAL, "name");
	refuse(&r, "tap,queues=3", -EINVAL, "queues");
	refuse(&r, "tap,mtu=9001", -EINVAL, "mtu");
	refuse(&r, "tap,gro=perhaps", -EINVAL, "perhaps");
	refuse(&r, "tap,netns=new,colour=red", -EINVAL, "colour");
	refuse(&r, "tap,netns=pid:x", -EINVAL, "process id");
	refuse(&r, "tap,netns=pid:999999999", -ENOENT, "999999999");
	refuse(&r, "tap,netns=no-such-name", -ENOENT, "no-such-name");
	refuse(&r, "tap,netns=/etc/passwd", -EINVAL, "not a network namespace");
	refuse(&r, "tap,netns=new,address=10.0.0.1", -EINVAL, "10.0.0.1");
	refuse(&r, "tap,netns=new,address=10.0.0.1/33", -EINVAL, "10.0.0.1/33");
	refuse(&r, "tap,netns=new,name=lo", -EEXIST, "lo");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

static void small_arena_is_an_error_that_says_what_to_do(void **state)
{
	struct rig r;

	memset(&r, 0, sizeof(r));
	r.device = fake_open(OB_DMA_POOLED, 1 << 20, false);
	r.f = fake_net_open(&r.device->dev, 1);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &r.loop), 0);
	refuse(&r, "tap,netns=new", -ENOSPC, "arena=");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

/* What was opened without success leaves no descriptor and no process. */
static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void nothing_stays_open(void **state)
{
	struct ob_error err = {0};
	unsigned int before;
	struct rig r;

	rig_device(&r, 2);
	before = open_descriptors();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ob_attach_open(&r.f->b, 0, "tap,netns=new,address=nonsense",
						r.loop, &r.at, &err),
				 -EINVAL);
		assert_int_equal(
			ob_attach_open(&r.f->b, 0, "tap,netns=new,up", r.loop, &r.at, &err), 0);
		ob_attach_close(r.at);
		r.at = NULL;
	}
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

static void both_families_of_address_can_be_given(void **state)
{
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,address=192.168.50.7/28");
	assert_int_equal(
		run_in(&r, "ip -o address show dev ob0 up | grep -q 'inet 192.168.50.7/28'"), 0);
	rig_close(&r);
	rig_open(&r, 1, "tap,netns=new,address=fd00::7/64");
	assert_int_equal(run_in(&r, "ip -o address show dev ob0 up | grep -q 'inet6 fd00::7/64'"),
			 0);
	rig_close(&r);
}

/* An interface that an administrator made for this user is used and left. */
static void premade_interface_is_used_and_left(void **state)
{
	struct ob_error err = {0};
	struct ifreq ifr = {0};
	char text[64], all[1400];
	struct rig r;
	int fd, pair[2], status;
	pid_t pid;
	char c;

	/* A process with a namespace that has a persistent tap. */
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(1);
		fd = open("/dev/net/tun", O_RDWR);
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "made");
		ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
		if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETPERSIST, 1))
			_exit(2);
		close(fd);
		if (write(pair[1], "x", 1) != 1)
			_exit(3);
		pause();
		_exit(0);
	}
	close(pair[1]);
	assert_int_equal(read(pair[0], &c, 1), 1);
	close(pair[0]);

	rig_device(&r, 1);
	snprintf(text, sizeof(text), "tap,netns=pid:%d,name=made", pid);
	for (int i = 0; i < 2; i++) {
		if (ob_attach_open(&r.f->b, 0, text, r.loop, &r.at, &err))
			fail_msg("%s", ob_error_text(&err, all, sizeof(all)));
		assert_true(ob_attach_tap_netns_fd(r.at) >= 0);
		r.inet = socket_in(&r, AF_INET, SOCK_DGRAM, 0);
		snprintf(r.name, sizeof(r.name), "made");
		ob_attach_close(r.at);
		r.at = NULL;
		assert_int_equal(interface_ioctl(&r, SIOCGIFINDEX, &ifr), 0);
		close(r.inet);
	}
	/* Made without multi_queue: two queues do not fit. */
	fake_net_close(r.f);
	r.f = fake_net_open(&r.device->dev, 2);
	refuse(&r, text, -EEXIST, "multi_queue");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static int check_available(void **state)
{
	struct ob_error err = {0};
	static char text[1400];

	if (ob_attach_tap.probe(&err))
		unavailable = ob_error_text(&err, text, sizeof(text));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_is_sent_as_it_is),
		cmocka_unit_test(burst_has_one_doorbell),
		cmocka_unit_test(full_ring_holds_the_kernel_back),
		cmocka_unit_test(full_ring_does_not_spin),
		cmocka_unit_test(device_that_segments_gets_segmentation_frames),
		cmocka_unit_test(device_that_cannot_gets_segments),
		cmocka_unit_test(unusual_headers_are_segmented_here),
		cmocka_unit_test(partial_checksum_is_left_to_the_device_that_can),
		cmocka_unit_test(every_size_is_received_as_it_is),
		cmocka_unit_test(bad_frame_of_the_device_is_counted_and_dropped),
		cmocka_unit_test(interface_that_is_down_drops_and_counts),
		cmocka_unit_test(every_queue_carries_both_directions),
		cmocka_unit_test(interface_has_address_mtu_and_link_of_the_device),
		cmocka_unit_test(device_follows_what_is_set_on_the_interface),
		cmocka_unit_test(many_groups_mean_all),
		cmocka_unit_test(renamed_interface_is_still_ours),
		cmocka_unit_test(deleted_interface_is_survived),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(small_arena_is_an_error_that_says_what_to_do),
		cmocka_unit_test(nothing_stays_open),
		cmocka_unit_test(both_families_of_address_can_be_given),
		cmocka_unit_test(premade_interface_is_used_and_left),
	};

	check_available(NULL);
	if (unavailable) {
		char *line = strchr(unavailable, '\n');

		if (line)
			*line = '\0';
		printf("1..0 # SKIP %s\n", unavailable);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
