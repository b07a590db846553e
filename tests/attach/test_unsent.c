/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that a card does not send: when they are told of, and when nobody is to blame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attach/unsent.h"

#define MS 1000000ull

enum {
	BUFFERS = 64,
	RING = 16,
	TICK = 100,
};

/* A card with a ring of frames, whose buffers come back when it has sent them, and who looks. */
static struct bed {
	struct ob_net net;
	struct ob_pool pool;
	struct ob_pkt pkt[BUFFERS], *free[BUFFERS];
	struct ob_pkt *ring[RING];
	unsigned int in_ring, sends; /* frames that it sends when asked what has been sent */
	bool deaf, up;
	uint64_t pauses, counters_read;
	struct tap_send send;
	struct unsent unsent;
	uint64_t now_ms;
} bed;

static unsigned int tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
			     unsigned int n)
{
	unsigned int taken = 0;

	for (; bed.in_ring && bed.sends; bed.sends--)
		ob_pkt_free(bed.ring[--bed.in_ring]);
	while (!bed.deaf && taken < n && bed.in_ring < RING)
		bed.ring[bed.in_ring++] = pkts[taken++];
	return taken;
}

static int counters(struct ob_net *net, struct ob_net_value *v, unsigned int n)
{
	const struct ob_net_value all[] = {
		{.name = "tx_flow_control_xoff", .value = bed.counters_read++},
		{.name = "rx_flow_control_xoff", .value = bed.pauses},
		{.name = "rx_packets", .value = bed.counters_read},
	};

	memcpy(v, all, sizeof(all));
	return 3;
}

static const struct ob_net_ops ops = {.tx_burst = tx_burst, .counters = counters};

static struct unsent_buffers buffers(const void *arg)
{
	return (struct unsent_buffers){bed.pool.size - bed.pool.n, !bed.pool.n};
}

static int setup(void **state)
{
	memset(&bed, 0, sizeof(bed));
	bed.net.ops = &ops;
	bed.up = true;
	bed.pool.free = bed.free;
	bed.pool.size = bed.pool.n = BUFFERS;
	for (unsigned int i = 0; i < BUFFERS; i++) {
		bed.pkt[i].pool = &bed.pool;
		bed.free[i] = &bed.pkt[i];
	}
	bed.send.net = &bed.net;
	bed.now_ms = 1000;
	unsent_look(&bed.unsent, &bed.send, buffers, NULL, true, bed.now_ms * MS);
	return 0;
}

static void give(unsigned int n)
{
	while (n-- && bed.pool.n)
		bed.send.pending[bed.send.head + bed.send.count++] = ob_pkt_alloc(&bed.pool);
	tap_send_push(&bed.send);
}

/* For @ticks, with @n frames more before each. Return: for how long they wait then, in milliseconds */
static uint64_t ticks(unsigned int ticks, unsigned int n)
{
	uint64_t ns = 0;

	while (ticks--) {
		give(n);
		bed.now_ms += TICK;
		ns = unsent_look(&bed.unsent, &bed.send, buffers, NULL, bed.up, bed.now_ms * MS);
	}
	return ns / MS;
}

static void what_is_never_sent_is_told_of(void **state)
{
	assert_int_equal(ticks(20, 0), 0);
	give(1);
	assert_in_range(ticks(50, 0), 4900, 5000);
}

static void more_frames_do_not_hide_it(void **state)
{
	assert_in_range(ticks(10, 1), 900, 1000);
	/* Now its ring is full, too. */
	assert_in_range(ticks(40, 1), 4900, 5000);
}

static void a_driver_that_takes_no_frame_is_told_of(void **state)
{
	bed.deaf = true;
	give(2);
	assert_in_range(ticks(50, 0), 4900, 5000);
}

static void a_card_that_sends_is_not(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		bed.sends = 3;
		assert_in_range(ticks(1, 3), 0, TICK);
	}
	/* Slowly, with a full ring: one frame in a second is progress. */
	give(40);
	for (unsigned int i = 0; i < 20; i++) {
		bed.sends = 1;
		assert_in_range(ticks(10, 0), 0, 1000);
	}
}

static void without_a_link_nothing_is_owed(void **state)
{
	bed.up = false;
	assert_int_equal(ticks(100, 1), 0);
	/* It comes, and the time begins. */
	bed.up = true;
	assert_in_range(ticks(10, 0), 900, 1000);
	bed.up = false;
	assert_int_equal(ticks(1, 0), 0);
}

static void who_is_asked_to_pause_may(void **state)
{
	give(1);
	for (unsigned int i = 0; i < 100; i++) {
		bed.pauses++;
		assert_in_range(ticks(1, 0), 0, 600);
	}
	/* Nobody asks any more. */
	assert_in_range(ticks(30, 0), 2400, 3000);
	/* Counters are read now and then. */
	assert_in_range(bed.counters_read, 1, 60);
}

static void time_in_which_nobody_looked_does_not_count(void **state)
{
	give(1);
	ticks(2, 0);
	bed.now_ms += 60000;
	assert_in_range(ticks(1, 0), 200, 600);
}

static void a_lazy_driver_may_keep_what_it_has_sent(void **state)
{
	const struct ob_driver of_the_kernel = {.name = "linux:tulip"}, native = {.name = "e1000"};

	unsent_init(&bed.unsent, &(struct ob_binding){.driver = &native});
	assert_false(bed.unsent.lazy);
	unsent_init(&bed.unsent, &(struct ob_binding){.driver = &of_the_kernel});
	assert_true(bed.unsent.lazy);
	give(RING);
	assert_int_equal(ticks(100, 0), 0);
	/* But its ring is full now, and more is to be sent. */
	give(1);
	assert_in_range(ticks(50, 0), 4900, 5000);
}

static void a_lazy_driver_may_not_keep_all_buffers(void **state)
{
	bed.unsent.lazy = true;
	give(RING);
	/* As if it had the others, too. */
	bed.pool.n = 0;
	assert_in_range(ticks(50, 0), 4900, 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_never_sent_is_told_of, setup),
		cmocka_unit_test_setup(more_frames_do_not_hide_it, setup),
		cmocka_unit_test_setup(a_driver_that_takes_no_frame_is_told_of, setup),
		cmocka_unit_test_setup(a_card_that_sends_is_not, setup),
		cmocka_unit_test_setup(without_a_link_nothing_is_owed, setup),
		cmocka_unit_test_setup(who_is_asked_to_pause_may, setup),
		cmocka_unit_test_setup(time_in_which_nobody_looked_does_not_count, setup),
		cmocka_unit_test_setup(a_lazy_driver_may_keep_what_it_has_sent, setup),
		cmocka_unit_test_setup(a_lazy_driver_may_not_keep_all_buffers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
