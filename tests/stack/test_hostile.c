/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack on a card with an enemy at the other end of the cable: frames that claim to come from
 * ourselves (which end the process in Debian's lwIP), frames without sense, more of them than there
 * are buffers. Afterwards it must still answer a ping, and hold no frame. `stack-hostile MODEL`.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>
#include <outboard/stack.h>

enum {
	ETH = 14,
	IP = 34,
	BROKEN_FRAMES = 20000,
	MS_EACH = 120, /* for what was sent to arrive: at least one tick of the loop */
};

static const char *model = "e1000e";
static const uint8_t own_mac[6] = {0x52, 0x54, 0, 0, 0, 0x0a};
static const uint8_t enemy_mac[6] = {0x52, 0x54, 0, 0, 0, 0x0b};
static const uint8_t own_ip[4] = {10, 9, 0, 1}, enemy_ip[4] = {10, 9, 0, 2};

static int cable[2];
static struct ob_device *dev;
static struct ob_binding *binding;
static struct ob_loop *loop;
static struct ob_stack *stack;

static int fail_with(const struct ob_error *err)
{
	char text[1400];

	print_message("%s\n", ob_error_text(err, text, sizeof(text)));
	return -1;
}

static int up(void **state)
{
	int room = 4 << 20;
	struct ob_error err = {0};
	char spec[128];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, cable))
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(cable[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	snprintf(spec, sizeof(spec), "qemu:%s,netdev=fd:%d,mac=52:54:00:00:00:0a", model, cable[0]);
	if (ob_device_open(spec, &dev, &err) || ob_driver_bind(dev, NULL, NULL, &binding, &err))
		return fail_with(&err);
	if (ob_loop_create(OB_MODE_ADAPTIVE, &loop))
		return -1;
	if (ob_stack_open(binding->net, loop, &stack, &err) ||
	    ob_stack_wait_link(stack, 20000, &err) ||
	    ob_stack_set_address(stack, "10.9.0.1/24", NULL, &err))
		return fail_with(&err);
	return 0;
}

static int down(void **state)
{
	ob_stack_close(stack);
	ob_loop_destroy(loop);
	ob_driver_unbind(binding);
	ob_device_close(dev);
	close(cable[0]);
	close(cable[1]);
	return 0;
}

/* ---- frames ------------------------------------------------------------------------------ */

static uint32_t words(const uint8_t *p, size_t len)
{
	uint32_t s = 0;

	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

static void put_sum(uint8_t *at, uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	at[0] = (uint8_t)(~s >> 8);
	at[1] = (uint8_t)~s;
}

static size_t make_ip(uint8_t *f, const uint8_t src[4], uint8_t proto, size_t payload)
{
	memcpy(f, own_mac, 6);
	memcpy(f + 6, enemy_mac, 6);
	f[12] = 0x08;
	f[13] = 0;
	memset(f + ETH, 0, 20);
	f[ETH] = 0x45;
	f[ETH + 2] = (uint8_t)((20 + payload) >> 8);
	f[ETH + 3] = (uint8_t)(20 + payload);
	f[ETH + 8] = 64;
	f[ETH + 9] = proto;
	memcpy(f + ETH + 12, src, 4);
	memcpy(f + ETH + 16, own_ip, 4);
	put_sum(f + ETH + 10, words(f + ETH, 20));
	return IP + payload;
}

static size_t make_echo(uint8_t *f, const uint8_t src[4])
{
	size_t len = make_ip(f, src, 1, 64);

	memset(f + IP, 0, 64);
	f[IP] = 8;
	memcpy(f + IP + 4, "oBs\1", 4);
	put_sum(f + IP + 2, words(f + IP, 64));
	return len;
}

/* To a port where nobody listens: the answer is a reset. */
static size_t make_syn(uint8_t *f, const uint8_t src[4])
{
	size_t len = make_ip(f, src, 6, 20);

	memset(f + IP, 0, 20);
	f[IP + 1] = 80;
	f[IP + 3] = 80;
	f[IP + 12] = 0x50;
	f[IP + 13] = 0x02;
	put_sum(f + IP + 16, words(f + ETH + 12, 8) + 6 + 20 + words(f + IP, 20));
	return len;
}

/* To a port where nobody listens: the answer is ICMP. */
static size_t make_udp(uint8_t *f, const uint8_t src[4])
{
	size_t len = make_ip(f, src, 17, 12);

	memcpy(f + IP, "\0\x35\0\x36\0\x0c\0\0abcd", 12);
	return len;
}

static void send_frame(const uint8_t *f, size_t len)
{
	assert_int_equal(send(cable[1], f, len, 0), (ssize_t)len);
}

static void run_loop(unsigned int ms)
{
	assert_int_equal(ob_stack_wait(stack, NULL, NULL, ms), -ETIMEDOUT);
}

static void drain(void)
{
	uint8_t f[2048];

	while (recv(cable[1], f, sizeof(f), MSG_DONTWAIT) > 0)
		;
}

/* Tells who we are, so that the stack needs not ask, and looks for its answer to a ping. */
static bool answers(void)
{
	uint8_t f[2048], arp[60] = {0};
	ssize_t n;

	memset(arp, 0xff, 6);
	memcpy(arp + 6, enemy_mac, 6);
	memcpy(arp + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
	memcpy(arp + 22, enemy_mac, 6);
	memcpy(arp + 28, enemy_ip, 4);
	memcpy(arp + 38, own_ip, 4);
	/* QEMU's e1000 hears nothing for a while after its start. */
	for (int tries = 0; tries < 100; tries++) {
		drain();
		send_frame(arp, sizeof(arp));
		send_frame(f, make_echo(f, enemy_ip));
		run_loop(MS_EACH);
		while ((n = recv(cable[1], f, sizeof(f), MSG_DONTWAIT)) > 0)
			if (n >= IP + 64 && f[ETH + 9] == 1 && f[IP] == 0 &&
			    !memcmp(f + IP + 4, "oBs\1", 4) && !memcmp(f + ETH + 16, enemy_ip, 4))
				return true;
	}
	return false;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void answers_a_ping(void **state)
{
	assert_true(answers());
}

static void survives_frames_that_claim_to_be_its_own(void **state)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};
	const uint8_t *sources[] = {own_ip, loopback};
	size_t (*const make[])(uint8_t *, const uint8_t *) = {make_echo, make_syn, make_udp};
	struct ob_stack_stats before, after;
	uint8_t f[2048];

	assert_true(answers());
	ob_stack_stats(stack, &before);
	for (size_t s = 0; s < 2; s++)
		for (size_t m = 0; m < 3; m++)
			send_frame(f, make[m](f, sources[s]));
	run_loop(MS_EACH * 4);
	ob_stack_stats(stack, &after);
	assert_int_equal(after.rx_refused - before.rx_refused, 6);
	assert_true(answers());
	/* The same from somebody else is answered: by a reset, and by ICMP. */
	drain();
	send_frame(f, make_syn(f, enemy_ip));
	send_frame(f, make_udp(f, enemy_ip));
	run_loop(MS_EACH * 4);
	{
		bool reset = false, unreachable = false;
		ssize_t n;

		while ((n = recv(cable[1], f, sizeof(f), MSG_DONTWAIT)) > 0) {
			reset |= n >= IP + 20 && f[ETH + 9] == 6 && (f[IP + 13] & 4);
			unreachable |= n >= IP + 8 && f[ETH + 9] == 1 && f[IP] == 3;
		}
		assert_true(reset);
		assert_true(unreachable);
	}
}

/* IPv6's: a packet from our link-local address, which the MAC tells (RFC 4291, appendix A), to itself. */
static void survives_them_over_ipv6(void **state)
{
	uint8_t f[ETH + 40 + 20] = {0};
	struct ob_stack_stats before, after;
	uint8_t *ip = f + ETH;

	memcpy(f, own_mac, 6);
	memcpy(f + 6, enemy_mac, 6);
	memcpy(f + 12, "\x86\xdd\x60\0\0\0\0\x14\x06\x40", 10);
	memcpy(ip + 8, "\xfe\x80\0\0\0\0\0\0\x50\x54\0\xff\xfe\0\0\x0a", 16);
	memcpy(ip + 24, ip + 8, 16);
	memcpy(ip + 40, "\0\x50\0\x50\0\0\0\0\0\0\0\0\x50\x02\0\0\0\0\0\0", 20);
	put_sum(ip + 56, words(ip + 8, 32) + 6 + 20 + words(ip + 40, 20));
	assert_true(answers());
	ob_stack_stats(stack, &before);
	send_frame(f, sizeof(f));
	run_loop(MS_EACH * 4);
	ob_stack_stats(stack, &after);
	assert_int_equal(after.rx_refused - before.rx_refused, 1);
	assert_true(answers());
}

/* Right frames with some bytes changed, cut off, or made longer. */
static void survives_frames_without_sense(void **state)
{
	size_t (*const make[])(uint8_t *, const uint8_t *) = {make_echo, make_syn, make_udp};
	struct ob_stack_stats stats;
	unsigned int seed = 1;

	for (unsigned int i = 0; i < BROKEN_FRAMES; i++) {
		uint8_t f[2048] = {0};
		size_t len = make[i % 3](f, enemy_ip), changes = (size_t)rand_r(&seed) % 4;

		if (i % 5 == 0)
			memcpy(f + 12, "\x86\xdd\x60", 3);
		if (i % 7 == 0)
			f[ETH + 6] = 0x20; /* the first of some fragments */
		len = i % 4 ? len : (size_t)rand_r(&seed) % 1500 + 1;
		while (changes--)
			f[12 + (size_t)rand_r(&seed) % 60] = (uint8_t)rand_r(&seed);
		if (i % 3 == 0)
			put_sum(f + ETH + 10, (f[ETH + 10] = f[ETH + 11] = 0,
					       words(f + ETH, (f[ETH] & 0xfu) * 4)));
		/* QEMU takes them as fast as the card has buffers. */
		while (send(cable[1], f, len, MSG_DONTWAIT) < 0)
			run_loop(1);
		if (i % 256 == 0) {
			run_loop(1);
			drain();
		}
	}
	assert_true(answers());
	ob_stack_stats(stack, &stats);
	assert_int_equal(stats.rx_held, 0);
	assert_false(ob_device_gone(dev));
}

static void does_not_talk_to_itself(void **state)
{
	static const char *const own[] = {"10.9.0.1", "127.0.0.1", "0.0.0.0", "::1"};
	struct ob_stream *stream;
	struct ob_error err = {0};
	uint64_t ns;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		assert_int_equal(ob_stack_ping(stack, own[i], 1, 8, 1000, &ns, &err),
				 -EADDRNOTAVAIL);
		assert_int_equal(ob_stream_connect(stack, own[i], 80, 1000, &stream, &err),
				 -EADDRNOTAVAIL);
	}
	assert_int_equal(ob_stream_connect(stack, "192.0.2.1", 80, 1000, &stream, &err),
			 -ENETUNREACH);
	assert_int_equal(ob_stream_connect(stack, "10.9.0", 80, 1000, &stream, &err), -EINVAL);
}

static void *open_elsewhere(void *arg)
{
	struct ob_stack *other;
	struct ob_error err = {0};

	*(int *)arg = ob_stack_open(binding->net, loop, &other, &err);
	return NULL;
}

static void belongs_to_one_thread(void **state)
{
	pthread_t thread;
	int ret = 0;

	assert_int_equal(pthread_create(&thread, NULL, open_elsewhere, &ret), 0);
	pthread_join(thread, NULL);
	assert_int_equal(ret, -EBUSY);
}

/* Last: after it nothing waits any more. */
static void is_cancelled_for_good(void **state)
{
	struct ob_error err = {0};
	uint64_t ns;

	ob_stack_cancel(stack);
	assert_int_equal(ob_stack_wait(stack, NULL, NULL, 0), -ECANCELED);
	assert_int_equal(ob_stack_ping(stack, "10.9.0.2", 1, 8, 1000, &ns, &err), -ECANCELED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_a_ping),
		cmocka_unit_test(survives_frames_that_claim_to_be_its_own),
		cmocka_unit_test(survives_them_over_ipv6),
		cmocka_unit_test(survives_frames_without_sense),
		cmocka_unit_test(does_not_talk_to_itself),
		cmocka_unit_test(belongs_to_one_thread),
		cmocka_unit_test(is_cancelled_for_good),
	};

	if (argc > 1)
		model = argv[1];
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, up, down);
}
