/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The e1000 driver with QEMU's user network at the other end of the cable: ARP (RFC 826), ping (RFC 792)
 * and DHCP (RFC 2131), with interrupts. `net-user MODEL`.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

static const char *model = "e1000e";
static struct ob_device *dev;
static struct ob_binding *binding;
static struct ob_net *net;
static uint8_t gateway_mac[6];
static const uint8_t own_ip[4] = {10, 0, 2, 15}, gateway_ip[4] = {10, 0, 2, 2};

static int up(void **state)
{
	struct ob_driver_config config = {.mode = OB_MODE_INTERRUPT};
	struct ob_error err = {0};
	char spec[64], text[1200];
	int ret;

	snprintf(spec, sizeof(spec), "qemu:%s,netdev=user", model);
	ret = ob_device_open(spec, &dev, &err);
	if (!ret)
		ret = ob_driver_bind(dev, NULL, &config, &binding, &err);
	if (!ret) {
		net = binding->net;
		ret = ob_net_start(net, &err);
	}
	if (ret)
		fprintf(stderr, "%s\n", ob_error_text(&err, text, sizeof(text)));
	return ret;
}

static int down(void **state)
{
	ob_driver_unbind(binding);
	ob_device_close(dev);
	return 0;
}

static void send_frame(const uint8_t *frame, unsigned int len)
{
	struct ob_pkt *pkt = ob_pkt_alloc(net->rx_pool[0]);

	assert_non_null(pkt);
	ob_pkt_reset(pkt);
	memcpy(pkt->data, frame, len);
	pkt->len = len;
	assert_int_equal(ob_net_tx_burst(net, 0, &pkt, 1), 1);
}

/* Sleep until a frame comes that @wanted likes; false after a minute. */
static bool await(bool (*wanted)(const uint8_t *p, unsigned int len), uint8_t *copy)
{
	for (unsigned int tries = 0; tries < 600; tries++) {
		struct pollfd pfd = {.fd = net->irq_fd[0], .events = POLLIN};
		struct ob_pkt *pkt;
		uint64_t irqs;
		bool found = false;

		if (!net->ops->irq_arm(net, 0, true) && poll(&pfd, 1, 100) == 1)
			assert_int_equal(read(pfd.fd, &irqs, 8), 8);
		net->ops->irq_arm(net, 0, false);
		while (!found && ob_net_rx_burst(net, 0, &pkt, 1)) {
			found = wanted(pkt->data, pkt->len);
			if (found)
				memcpy(copy, pkt->data, pkt->len);
			ob_pkt_free(pkt);
		}
		if (found)
			return true;
	}
	return false;
}

/* Send until answered: QEMU's e1000 receives nothing in the first second. */
static bool exchange(const uint8_t *frame, unsigned int len,
		     bool (*wanted)(const uint8_t *p, unsigned int len), uint8_t *copy)
{
	send_frame(frame, len);
	return await(wanted, copy);
}

static void ethernet(uint8_t *p, const uint8_t dst[6], uint16_t type)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, net->mac, 6);
	p[12] = (uint8_t)(type >> 8);
	p[13] = (uint8_t)type;
}

static void put_sum(uint8_t *at, const uint8_t *p, unsigned int len)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | (i + 1 < len ? p[i + 1] : 0));
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	at[0] = (uint8_t)(sum >> 8);
	at[1] = (uint8_t)sum;
}

static bool is_arp_reply(const uint8_t *p, unsigned int len)
{
	return len >= 42 && p[12] == 8 && p[13] == 6 && p[21] == 2 &&
	       !memcmp(p + 28, gateway_ip, 4);
}

static void the_gateway_answers_arp(void **state)
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	uint8_t frame[42] = {0}, reply[2048];

	ethernet(frame, broadcast, 0x0806);
	memcpy(frame + 14, "\0\1\x08\0\6\4\0\1", 8);
	memcpy(frame + 22, net->mac, 6);
	memcpy(frame + 28, own_ip, 4);
	memcpy(frame + 38, gateway_ip, 4);
	assert_true(exchange(frame, sizeof(frame), is_arp_reply, reply));
	assert_memory_equal(reply, net->mac, 6);
	memcpy(gateway_mac, reply + 22, 6);
}

static bool is_echo_reply(const uint8_t *p, unsigned int len)
{
	return len >= 42 && p[12] == 8 && p[13] == 0 && p[23] == 1 && p[34] == 0;
}

static void the_gateway_answers_pings(void **state)
{
	uint8_t frame[14 + 20 + 8 + 1000], reply[2048];

	for (unsigned int seq = 1; seq <= 20; seq++) {
		unsigned int data = seq * 50, len = 42 + data;

		memset(frame, 0, sizeof(frame));
		ethernet(frame, gateway_mac, 0x0800);
		frame[14] = 0x45;
		frame[16] = (uint8_t)((len - 14) >> 8);
		frame[17] = (uint8_t)(len - 14);
		frame[22] = 64;
		frame[23] = 1;
		memcpy(frame + 26, own_ip, 4);
		memcpy(frame + 30, gateway_ip, 4);
		put_sum(frame + 24, frame + 14, 20);
		frame[34] = 8;
		frame[41] = (uint8_t)seq;
		for (unsigned int i = 0; i < data; i++)
			frame[42 + i] = (uint8_t)(seq + i);
		put_sum(frame + 36, frame + 34, len - 34);
		assert_true(exchange(frame, len, is_echo_reply, reply));
		assert_int_equal(reply[41], seq);
		assert_memory_equal(reply + 42, frame + 42, data);
	}
}

static bool is_dhcp_offer(const uint8_t *p, unsigned int len)
{
	return len >= 286 && p[23] == 17 && p[36] == 0 && p[37] == 68 && p[42] == 2;
}

/* With the UDP checksum left to the card. */
static void an_address_is_offered(void **state)
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	uint8_t frame[14 + 20 + 8 + 300] = {0}, reply[2048];
	unsigned int len = sizeof(frame), udp = len - 34;
	struct ob_pkt *pkt = ob_pkt_alloc(net->rx_pool[0]);
	uint32_t sum = 17 + udp + 0xffff + 0xffff;

	ethernet(frame, broadcast, 0x0800);
	frame[14] = 0x45;
	frame[16] = (uint8_t)((len - 14) >> 8);
	frame[17] = (uint8_t)(len - 14);
	frame[22] = 64;
	frame[23] = 17;
	memset(frame + 30, 255, 4);
	put_sum(frame + 24, frame + 14, 20);
	frame[35] = 68;
	frame[37] = 67;
	frame[38] = (uint8_t)(udp >> 8);
	frame[39] = (uint8_t)udp;
	memcpy(frame + 42, "\1\1\6\0\1\2\3\4", 8);
	memcpy(frame + 42 + 28, net->mac, 6);
	memcpy(frame + 42 + 236, "\x63\x82\x53\x63\x35\1\1\xff", 8);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[40] = (uint8_t)(sum >> 8);
	frame[41] = (uint8_t)sum;

	ob_pkt_reset(pkt);
	memcpy(pkt->data, frame, len);
	pkt->len = len;
	pkt->flags = OB_PKT_CSUM_PARTIAL;
	pkt->csum_start = 34;
	pkt->csum_offset = 6;
	assert_int_equal(ob_net_tx_burst(net, 0, &pkt, 1), 1);
	assert_true(await(is_dhcp_offer, reply));
	assert_memory_equal(reply + 42 + 16, own_ip, 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gateway_answers_arp),
		cmocka_unit_test(the_gateway_answers_pings),
		cmocka_unit_test(an_address_is_offered),
	};

	if (argc > 1)
		model = argv[1];
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, up, down);
}
