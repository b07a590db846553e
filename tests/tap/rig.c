/* SPDX-License-Identifier: BSD-2-Clause */
/* See rig.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/tap/rig.h"

/* ---- the rig ------------------------------------------------------------------------------ */

/* A socket of the interface's namespace, made by a child that goes there. */
int socket_in(struct rig *r, int domain, int type, int protocol)
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

int interface_ioctl(struct rig *r, unsigned long request, struct ifreq *ifr)
{
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", r->name);
	return ioctl(r->inet, request, ifr) ? -errno : 0;
}

void rig_up(struct rig *r, bool up)
{
	struct ifreq ifr = {0};

	assert_int_equal(interface_ioctl(r, SIOCGIFFLAGS, &ifr), 0);
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags = (short)(ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(interface_ioctl(r, SIOCSIFFLAGS, &ifr), 0);
}

void rig_device(struct rig *r, unsigned int queues)
{
	memset(r, 0, sizeof(*r));
	r->packet = r->inet = -1;
	r->device = fake_open(OB_DMA_POOLED, 32 << 20, false);
	r->f = fake_net_open(&r->device->dev, queues);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &r->loop), 0);
}

void rig_attach(struct rig *r, const char *text)
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

void rig_open(struct rig *r, unsigned int queues, const char *text)
{
	rig_device(r, queues);
	rig_attach(r, text);
}

void rig_close(struct rig *r)
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

struct ob_attach_stats stats_of(struct rig *r)
{
	struct ob_attach_stats st;

	r->at->ops->stats(r->at, &st);
	return st;
}

/* Rounds of the loop for a time: long enough for a tick or two. */
void serve(struct rig *r, double for_seconds)
{
	uint64_t end = ob_clock_ms() + (uint64_t)(for_seconds * 1000);

	do
		ob_loop_once(r->loop, 5);
	while (ob_clock_ms() < end);
}

/* Frames of ours that were sent by queue @q, the kernel's own (IPv6, ARP) not counted. */
unsigned int of_test(struct rig *r, unsigned int q, struct sent_frame **list, unsigned int max)
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
unsigned int serve_until_sent(struct rig *r, unsigned int n, struct sent_frame **list,
			      unsigned int max)
{
	uint64_t end = ob_clock_ms() + 60000;
	unsigned int got;

	do {
		ob_loop_once(r->loop, 5);
		got = of_test(r, 0, list, max);
	} while (got < n && ob_clock_ms() < end);
	return got;
}

uint32_t test_frame(uint8_t *b, uint32_t len, uint32_t seed)
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

void send_frame(struct rig *r, const void *b, uint32_t len)
{
	uint64_t end = ob_clock_ms() + 60000;

	while (send(r->packet, b, len, 0) != (ssize_t)len) {
		assert_true(errno == ENOBUFS || errno == EAGAIN);
		assert_true(ob_clock_ms() < end);
		ob_loop_once(r->loop, 5);
	}
}

/* A shell command in the interface's namespace; its exit code. */
int run_in(struct rig *r, const char *command)
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

int rig_run(const struct CMUnitTest *tests, size_t n)
{
	struct ob_error err = {0};
	char text[1400];

	if (ob_attach_tap.probe(&err)) {
		ob_error_text(&err, text, sizeof(text));
		text[strcspn(text, "\n")] = '\0';
		printf("1..0 # SKIP %s\n", text);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("tap", tests, n, NULL, NULL);
}
