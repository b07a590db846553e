/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The e1000 driver on a card that lies: descriptors overwritten behind its back, registers that read wrong,
 * writes that get lost, a card that vanishes. Whatever comes, no buffer is lost or given out twice, no frame is
 * longer than its buffer, and when the card behaves again frames flow again. `net-faults MODEL`.
 */
#include <errno.h>
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

#include "tests/net/wire.h"

static const char *model = "e1000e";

/* Frames that the driver hands out must be what the class promises. */
static void assert_sane(struct wire *w, struct ob_pkt *pkt)
{
	struct ob_pool *pool = w->net->rx_pool[0];
	unsigned int segments = 0;

	for (; pkt; pkt = pkt->next) {
		assert_true(pkt >= pool->pkts && pkt < pool->pkts + pool->size);
		assert_int_equal(pkt->priv, 0); /* nobody else has it */
		pkt->priv = 1;
		assert_true(pkt->data >= pkt->buf && pkt->len > 0 &&
			    pkt->data + pkt->len <= pkt->buf + pkt->buf_size);
		assert_true(++segments <= 8);
	}
}

static void mark_free(struct ob_pkt *pkt)
{
	for (; pkt; pkt = pkt->next)
		pkt->priv = 0;
}

/* Traffic both ways for @rounds; time goes 100 ms a round for the driver. Returns frames echoed. */
static unsigned int traffic(struct wire *w, unsigned int rounds, uint64_t *clock)
{
	struct ob_pkt *pkts[32];
	unsigned int echoed = 0;
	uint8_t frame[2048];

	for (unsigned int r = 0; r < rounds; r++) {
		unsigned int n, sent;

		for (unsigned int i = 0; i < 8; i++) {
			wire_frame(frame, 60 + (r * 8 + i) % 1400, w->net->mac, r);
			wire_send(w, frame, 60 + (r * 8 + i) % 1400);
		}
		usleep(200);
		n = ob_net_rx_burst(w->net, 0, pkts, 32);
		for (unsigned int i = 0; i < n; i++)
			assert_sane(w, pkts[i]);
		for (unsigned int i = 0; i < n; i++)
			mark_free(pkts[i]);
		sent = ob_net_tx_burst(w->net, 0, pkts, n);
		for (unsigned int i = sent; i < n; i++)
			ob_pkt_free(pkts[i]);
		while (recv(w->fd, frame, sizeof(frame), MSG_DONTWAIT) > 0)
			echoed++;
		*clock += 100000000;
		w->net->ops->tick(w->net, *clock);
	}
	return echoed;
}

static void assert_all_back(struct wire *w)
{
	struct ob_pool *pool = w->net->rx_pool[0];

	ob_net_stop(w->net);
	assert_int_equal(pool->n, pool->size);
	for (unsigned int i = 0; i < pool->n; i++) {
		assert_int_equal(pool->free[i]->priv, 0);
		pool->free[i]->priv = 1; /* twice in the pool? */
	}
	for (unsigned int i = 0; i < pool->n; i++)
		pool->free[i]->priv = 0;
}

enum recovery {
	NOT_REQUIRED,
	ALONE,
	BY_RESTART, /* ob_net_stop() and ob_net_start() */
};

static void run(const char *faults, unsigned int seeds, enum recovery recovery)
{
	struct ob_driver_config poll = {.mode = OB_MODE_POLL};

	bool slow = strcmp(model, "e1000e"); /* QEMU's e1000 receives nothing in the first second */

	for (unsigned int seed = 1; seed <= seeds && (!slow || seed <= 2); seed++) {
		uint64_t clock = ob_clock_ns();
		char wrapper[128];
		struct wire w;
		unsigned int echoed;

		snprintf(wrapper, sizeof(wrapper), "fault[seed=%u,%s]:", seed, faults);
		/* A card that cannot even be probed is refused, which is as good. */
		if (wire_open(&w, model, wrapper, &poll))
			continue;
		if (slow)
			wire_sleep_ms(1100);
		echoed = traffic(&w, 300, &clock);
		if (recovery == BY_RESTART) {
			assert_all_back(&w);
			assert_int_equal(ob_net_start(w.net, NULL), 0);
		}
		if (recovery && !ob_device_gone(w.dev)) {
			/* The faults are used up. Two ticks find a skipped descriptor, 5 s a hang. */
			uint64_t end = ob_clock_ns() + 60000000000ull;

			do
				echoed = traffic(&w, 20, &clock);
			while (!echoed && ob_clock_ns() < end);
			assert_true(echoed > 0);
		}
		assert_all_back(&w);
		wire_close(&w);
	}
}

static void overwritten_receive_descriptors(void **state)
{
	run("scribble=e1000 rx,rate=0.05,after=400,max=40", 4, ALONE);
}

static void overwritten_transmit_descriptors(void **state)
{
	run("scribble=e1000 tx,rate=0.05,after=400,max=40", 4, ALONE);
}

static void overwritten_frames(void **state)
{
	run("scribble=net pool,rate=0.05,after=400,max=40", 2, ALONE);
}

static void registers_that_read_wrong(void **state)
{
	run("read=0.05,after=400", 4, NOT_REQUIRED);
}

static void registers_that_read_all_ones(void **state)
{
	run("ones=0.05,after=400", 4, NOT_REQUIRED);
}

static void registers_that_read_wrong_from_the_start(void **state)
{
	run("read=0.01", 6, NOT_REQUIRED);
}

static void writes_that_get_lost(void **state)
{
	run("write=0.02,after=400,max=40", 4, BY_RESTART);
}

static void a_card_that_vanishes(void **state)
{
	static const unsigned int when[] = {1, 10, 100, 200, 300, 400, 450, 500, 600, 1000};

	for (unsigned int i = 0; i < sizeof(when) / sizeof(when[0]); i++) {
		char faults[32];

		snprintf(faults, sizeof(faults), "gone=%u", when[i]);
		run(faults, 1, NOT_REQUIRED);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overwritten_receive_descriptors),
		cmocka_unit_test(overwritten_transmit_descriptors),
		cmocka_unit_test(overwritten_frames),
		cmocka_unit_test(registers_that_read_wrong),
		cmocka_unit_test(registers_that_read_all_ones),
		cmocka_unit_test(registers_that_read_wrong_from_the_start),
		cmocka_unit_test(writes_that_get_lost),
		cmocka_unit_test(a_card_that_vanishes),
	};

	if (argc > 1)
		model = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
