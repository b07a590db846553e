/* SPDX-License-Identifier: BSD-2-Clause */
/* Self-test of a Linux network driver: up, link, the driver's own tests, frames to and from a neighbour. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/host.h"

enum {
	LINK_MS = 15000,
	ANSWER_MS = 5000,
	TESTS = 16,
	ARP_LEN = 60,
};

static struct ob_selftest_line *line(struct ob_selftest_line *lines, unsigned int max, int *n,
				     const char *name)
{
	static struct ob_selftest_line spare;
	struct ob_selftest_line *l = *n < (int)max ? &lines[(*n)++] : &spare;

	snprintf(l->name, sizeof(l->name), "%s", name);
	l->detail[0] = '\0';
	l->result = 0;
	return l;
}

/* Until @fn says so or @ms have passed, with the kernel running in between. */
static bool wait_for(struct ob_net *net, bool (*fn)(struct ob_net *net, void *arg), void *arg,
		     unsigned int ms)
{
	uint64_t end = ob_clock_ms() + ms;

	for (;;) {
		struct pollfd pfd = {.fd = net->irq_fd[0], .events = POLLIN};

		if (fn(net, arg))
			return true;
		if (ob_clock_ms() >= end || ob_device_gone(net->dev))
			return false;
		if (!net->ops->irq_arm(net, 0, true))
			poll(&pfd, 1, 50);
	}
}

static bool link_is_up(struct ob_net *net, void *arg)
{
	struct ob_net_link *link = arg;
	struct ob_pkt *pkts[8];
	unsigned int n;

	/* What is received meanwhile is nobody's. */
	n = ob_net_rx_burst(net, 0, pkts, 8);
	for (unsigned int i = 0; i < n; i++)
		ob_pkt_free(pkts[i]);
	net->ops->tick(net, ob_clock_ns());
	net->ops->link(net, link);
	return link->up;
}

/* RFC 826: who has 10.0.2.2 (the user network's router)? Asked by 10.0.2.15. */
static void make_arp(struct ob_net *net, struct ob_pkt *pkt)
{
	static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
	uint8_t *p = pkt->data;

	memset(p, 0, ARP_LEN);
	memset(p, 0xff, 6);
	memcpy(p + 6, net->mac, 6);
	memcpy(p + 12, head, sizeof(head));
	memcpy(p + 22, net->mac, 6);
	memcpy(p + 28, (uint8_t[]){10, 0, 2, 15}, 4);
	memcpy(p + 38, (uint8_t[]){10, 0, 2, 2}, 4);
	pkt->len = ARP_LEN;
}

static bool is_answered(struct ob_net *net, void *arg)
{
	static const uint8_t from[] = {10, 0, 2, 2};
	struct ob_pkt *pkts[8];
	bool *answered = arg;
	unsigned int n = ob_net_rx_burst(net, 0, pkts, 8);

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = pkts[i]->data;

		*answered |= pkts[i]->len >= 42 && p[12] == 8 && p[13] == 6 && p[21] == 2 &&
			     !memcmp(p + 28, from, 4) && !memcmp(p, net->mac, 6);
		ob_pkt_free(pkts[i]);
	}
	return *answered;
}

static void test_frames(struct ob_net *net, struct ob_pool *pool, struct ob_selftest_line *l)
{
	bool user = strstr(ob_device_info(net->dev)->spec, "netdev=user"), answered = false;
	struct ob_pkt *pkt = ob_pkt_alloc(pool);

	if (!pkt) {
		l->result = -ENOBUFS;
		snprintf(l->detail, sizeof(l->detail), "the driver gives no frame back");
		return;
	}
	ob_pkt_reset(pkt);
	make_arp(net, pkt);
	if (ob_net_tx_burst(net, 0, &pkt, 1) != 1) {
		l->result = -EIO;
		snprintf(l->detail, sizeof(l->detail), "the driver takes no frame");
		ob_pkt_free(pkt);
	} else if (!wait_for(net, is_answered, &answered, ANSWER_MS)) {
		l->result = user ? -ETIMEDOUT : 1;
		snprintf(l->detail, sizeof(l->detail), "10.0.2.2 does not answer%s",
			 user ? "" : "; with netdev=user it would");
	} else {
		snprintf(l->detail, sizeof(l->detail), "10.0.2.2 answers");
	}
}

static long suspend_and_resume(void *unused)
{
	long ret = outboard_kernel.suspend(NULL);

	return ret ? ret : outboard_kernel.resume(NULL);
}

/* Only who asks for it: a driver that does not wake its device again leaves it as it is. */
bool kit_sleep_wanted(void)
{
	const char *wanted = secure_getenv("OUTBOARD_LINUX_SUSPEND");

	return wanted && !strcmp(wanted, "1");
}

void kit_sleep_selftest(struct kit *k, struct ob_selftest_line *l)
{
	pthread_mutex_lock(&k->lock);
	l->result = (int)kit_call(k, suspend_and_resume, NULL);
	pthread_mutex_unlock(&k->lock);
	if (l->result != -EOPNOTSUPP)
		return;
	l->result = 1;
	snprintf(l->detail, sizeof(l->detail), "the driver has neither");
}

static void test_driver(struct ob_net *net, struct ob_selftest_line *lines, unsigned int max,
			int *n)
{
	struct ob_net_test tests[TESTS] = {0};
	/* Offline ones want silicon, which QEMU's models are not. */
	int count = kit_net_driver_tests(net, tests, TESTS, false);

	if (count == -EOPNOTSUPP) {
		struct ob_selftest_line *l = line(lines, max, n, "driver's own tests");

		l->result = 1;
		snprintf(l->detail, sizeof(l->detail), "it has none");
		return;
	}
	for (int i = 0; i < count; i++) {
		struct ob_selftest_line *l = line(lines, max, n, tests[i].name);

		l->result = tests[i].result;
		snprintf(l->detail, sizeof(l->detail), "%s", tests[i].detail);
	}
}

static void test_link(struct ob_net *net, struct ob_selftest_line *l)
{
	struct ob_net_link link = {0};

	if (wait_for(net, link_is_up, &link, LINK_MS))
		snprintf(l->detail, sizeof(l->detail), "%u Mb/s, %s duplex", link.mbps,
			 link.full_duplex ? "full" : "half");
	else
		l->result = -ENETDOWN;
}

int kit_net_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int max)
{
	struct ob_net *net = b->net;
	struct ob_error err = {0};
	struct ob_selftest_line *l;
	struct ob_pool *pool;
	int ret, n = 0;

	l = line(lines, max, &n, "up");
	l->result = ob_net_start(net, &err);
	snprintf(l->detail, sizeof(l->detail), "%.159s", l->result ? err.what : net->driver);
	if (l->result)
		return n;

	test_link(net, line(lines, max, &n, "link"));
	test_driver(net, lines, max, &n);
	ret = ob_pool_create(ob_device_dma(net->dev), 4, 2048, 64, 64, &pool);
	l = line(lines, max, &n, "frames");
	if (ret) {
		l->result = ret;
		ob_net_stop(net);
		return n;
	}
	test_frames(net, pool, l);
	if (kit_sleep_wanted()) {
		kit_sleep_selftest(b->priv, line(lines, max, &n, "suspend and resume"));
		test_link(net, line(lines, max, &n, "link again"));
		test_frames(net, pool, line(lines, max, &n, "frames again"));
	}
	/* The driver gives its frames back when it stops. */
	ob_net_stop(net);
	ob_pool_destroy(pool);
	return n;
}
