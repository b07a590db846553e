/* SPDX-License-Identifier: BSD-2-Clause */
/* attach/tap_gro: what is merged, what never is, and that taking it apart gives the same frames again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attach/tap_gro.h"
#include "tests/tap/tcp_frame.h"

static struct ob_pkt *pkts[TAP_GRO_MAX];
static unsigned int nr;

static void reset(void)
{
	for (unsigned int i = 0; i < nr; i++)
		tcp_frame_free(pkts[i]);
	nr = 0;
}

static void push(const struct tcp_frame *f)
{
	assert_true(nr < TAP_GRO_MAX);
	pkts[nr++] = tcp_frame_make(f);
}

/* The segment that follows: sequence number and identification. */
static void next_of(struct tcp_frame *f)
{
	f->seq += f->payload;
	f->ip_id++;
	f->seed += f->payload;
}

static unsigned int segments(const struct ob_pkt *pkt)
{
	unsigned int n = 0;

	for (; pkt; pkt = pkt->next)
		n++;
	return n;
}

static void run(void)
{
	nr = tap_gro(pkts, nr);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/* ---- what is merged ------------------------------------------------------------------- */

static void train(bool ipv6, bool vlan)
{
	struct tcp_frame f = tcp_frame_usual();
	uint8_t *out[TAP_GRO_MAX];
	uint32_t lens[TAP_GRO_MAX];
	unsigned int n;

	f.ipv6 = ipv6;
	f.vlan = vlan;
	for (int i = 0; i < 20; i++, next_of(&f)) {
		if (i == 19) {
			f.payload = 100;
			f.flags |= PSH;
		}
		push(&f);
	}
	run();
	assert_int_equal(nr, 1);
	assert_int_equal(segments(pkts[0]), 20);
	assert_int_equal(pkts[0]->gso_type, ipv6 ? OB_GSO_TCPV6 : OB_GSO_TCPV4);
	assert_int_equal(pkts[0]->gso_size, 1448);
	assert_int_equal(pkts[0]->csum_start, (vlan ? 18 : 14) + (ipv6 ? 40 : 20));
	assert_int_equal(pkts[0]->csum_offset, 16);
	assert_int_equal(pkts[0]->hdr_len, pkts[0]->csum_start + 32);
	assert_int_equal(pkts[0]->flags, OB_PKT_CSUM_PARTIAL);
	assert_int_equal(ob_pkt_frame_len(pkts[0]), pkts[0]->hdr_len + 19 * 1448 + 100);
	n = tcp_frame_split(pkts[0], out, lens, TAP_GRO_MAX);
	assert_int_equal(n, 20);
	f = tcp_frame_usual();
	f.ipv6 = ipv6;
	f.vlan = vlan;
	for (unsigned int i = 0; i < n; i++, next_of(&f)) {
		struct ob_pkt *want;

		if (i == 19) {
			f.payload = 100;
			f.flags |= PSH;
		}
		want = tcp_frame_make(&f);
		assert_int_equal(lens[i], want->len);
		assert_memory_equal(out[i], want->data, want->len);
		tcp_frame_free(want);
		free(out[i]);
	}
	reset();
}

static void segments_in_order_become_one_frame_and_come_apart_the_same(void **state)
{
	train(false, false);
	train(false, true);
	train(true, false);
	train(true, true);
}

/* What the kernel takes "partial" to mean: the field holds the sum of the pseudo header alone. */
static void merged_frame_has_right_header_sums(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	uint32_t len, sum;
	uint8_t *b;

	push(&f);
	next_of(&f);
	push(&f);
	run();
	assert_int_equal(nr, 1);
	b = tcp_frame_bytes(pkts[0], &len);
	assert_int_equal(get16(b + 16), len - 14);
	/* With the checksum filled in as csum_start and csum_offset say, the whole frame is right. */
	sum = 0;
	for (uint32_t i = pkts[0]->csum_start; i < len; i++)
		sum += (i - pkts[0]->csum_start) & 1 ? b[i] : (uint32_t)b[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	b[pkts[0]->csum_start + 16] = (uint8_t)(sum >> 8);
	b[pkts[0]->csum_start + 17] = (uint8_t)sum;
	assert_true(tcp_frame_sums_right(b, len));
	free(b);
	reset();
}

static void payload_is_not_copied(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	uint8_t *second;

	push(&f);
	next_of(&f);
	push(&f);
	second = pkts[1]->data;
	run();
	assert_int_equal(nr, 1);
	assert_ptr_equal(pkts[0]->next->data, second + 14 + 20 + 32);
	reset();
}

/* Frames of a few bytes are padded to 60; the padding is no payload. */
static void ethernet_padding_is_cut_off(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	uint32_t len;
	uint8_t *b;

	f.options_len = 0;
	f.payload = 4;
	f.padding = 2;
	for (int i = 0; i < 3; i++, next_of(&f))
		push(&f);
	run();
	assert_int_equal(nr, 1);
	b = tcp_frame_bytes(pkts[0], &len);
	assert_int_equal(len, 54 + 12);
	assert_int_equal(get16(b + 16), 20 + 20 + 12);
	free(b);
	reset();
}

static void identification_may_count_or_stand_still_with_df(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	for (int i = 0; i < 4; i++) {
		push(&f);
		next_of(&f);
		f.ip_id--;
	}
	run();
	assert_int_equal(nr, 1);
	reset();

	/* Without DF the number identifies fragments and has to count. */
	f = tcp_frame_usual();
	f.df = false;
	push(&f);
	next_of(&f);
	f.ip_id--;
	push(&f);
	run();
	assert_int_equal(nr, 2);
	reset();

	/* Not first one and then the other. */
	f = tcp_frame_usual();
	push(&f);
	next_of(&f);
	push(&f);
	next_of(&f);
	f.ip_id--;
	push(&f);
	run();
	assert_int_equal(nr, 2);
	reset();

	f = tcp_frame_usual();
	f.ip_id = 0xffff;
	push(&f);
	next_of(&f);
	push(&f);
	run();
	assert_int_equal(nr, 1); /* it wraps */
	reset();
}

static void sequence_numbers_may_wrap(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	f.seq = 0xffffff00;
	for (int i = 0; i < 3; i++, next_of(&f))
		push(&f);
	run();
	assert_int_equal(nr, 1);
	reset();
}

static void merged_frame_fits_the_ip_length_field(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	uint32_t len;

	for (int i = 0; i < 60; i++, next_of(&f))
		push(&f);
	run();
	assert_int_equal(nr, 2);
	len = ob_pkt_frame_len(pkts[0]);
	assert_true(len - 14 <= 65535);
	assert_true(len - 14 + 1448 > 65535);
	assert_int_equal(segments(pkts[0]) + segments(pkts[1]), 60);
	reset();
}

/* ---- what is not ------------------------------------------------------------------------- */

/* Two segments that follow each other, the second changed in one thing; they must stay apart, untouched. */
static void apart(const char *what, const struct tcp_frame *first, const struct tcp_frame *second)
{
	uint8_t *a, *b, *c, *d;
	uint32_t la, lb, lc, ld;
	struct ob_pkt *one, *two;

	push(first);
	push(second);
	one = pkts[0];
	two = pkts[1];
	a = tcp_frame_bytes(one, &la);
	b = tcp_frame_bytes(two, &lb);
	run();
	if (nr != 2)
		fail_msg("merged in spite of %s", what);
	assert_ptr_equal(pkts[0], one);
	assert_ptr_equal(pkts[1], two);
	c = tcp_frame_bytes(one, &lc);
	d = tcp_frame_bytes(two, &ld);
	assert_int_equal(la, lc);
	assert_int_equal(lb, ld);
	assert_memory_equal(a, c, la);
	assert_memory_equal(b, d, lb);
	assert_int_equal(one->gso_type, OB_GSO_NONE);
	free(a);
	free(b);
	free(c);
	free(d);
	reset();
}

#define APART(what, change)                                                                        \
	do {                                                                                       \
		for (int v6 = 0; v6 < 2; v6++) {                                                   \
			struct tcp_frame f = tcp_frame_usual(), g;                                 \
			f.ipv6 = v6;                                                               \
			g = f;                                                                     \
			next_of(&g);                                                               \
			change;                                                                    \
			apart(what, &f, &g);                                                       \
		}                                                                                  \
	} while (0)

static void what_taking_apart_could_not_restore_is_not_merged(void **state)
{
	APART("a gap", g.seq++);
	APART("an overlap", g.seq--);
	APART("the wrong order", (g.seq = f.seq - f.payload));
	APART("another acknowledgement", g.ack++);
	APART("another window", g.window++);
	APART("other options", g.options[7]++);
	APART("fewer options", (g.options_len = 0, g.payload += 12));
	APART("another TTL", g.ttl--);
	APART("another TOS", g.tos = 4);
	APART("a VLAN tag", g.vlan = true);
	APART("another station", g.station++);
	APART("another source", g.host++);
	APART("another source port", g.sport++);
	APART("another destination port", g.dport++);
	APART("a longer payload", g.payload++);
	APART("no payload", g.payload = 0);
	APART("SYN", g.flags |= SYN);
	APART("RST", g.flags |= RST);
	APART("URG", g.flags |= URG);
	APART("CWR", g.flags |= CWR);
	APART("ECE on one", g.flags |= ECE);
	APART("no ACK", g.flags = 0);
	APART("reserved bits", f.reserved = g.reserved = 1);
	APART("PSH on the first", f.flags |= PSH);
	APART("FIN on the first", f.flags |= FIN);
	APART("SYN on the first", f.flags |= SYN);
	APART("CWR on the first", f.flags |= CWR);
}

static void what_taking_apart_could_not_restore_of_ipv6_is_not_merged(void **state)
{
	struct tcp_frame f = tcp_frame_usual(), g;

	f.ipv6 = true;
	g = f;
	next_of(&g);
	g.flow_label = 5;
	apart("another flow label", &f, &g);
}

static void what_taking_apart_could_not_restore_of_ipv4_is_not_merged(void **state)
{
	struct tcp_frame f = tcp_frame_usual(), g = f;

	next_of(&g);
	g.df = false;
	apart("DF on one", &f, &g);
	g = f;
	next_of(&g);
	g.ip_id += 5;
	apart("a jump of identification", &f, &g);
	g = f;
	next_of(&g);
	g.fragment = 0x2000;
	apart("a fragment", &f, &g);
	g = f;
	next_of(&g);
	g.ip_options = 1;
	apart("IP options", &f, &g);
	g = f;
	next_of(&g);
	g.bad_ip_csum = true;
	apart("a bad IP checksum", &f, &g);
	f.bad_ip_csum = true;
	g.bad_ip_csum = false;
	apart("a bad IP checksum of the first", &f, &g);
}

static void frames_with_ece_on_both_are_merged(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	f.flags |= ECE;
	push(&f);
	next_of(&f);
	push(&f);
	run();
	assert_int_equal(nr, 1);
	reset();
}

static void shorter_segment_is_the_last(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	push(&f);
	next_of(&f);
	f.payload = 10;
	push(&f);
	next_of(&f);
	push(&f);
	run();
	assert_int_equal(nr, 2);
	assert_int_equal(segments(pkts[0]), 2);
	reset();
}

static void push_and_fin_end_a_frame_and_are_kept(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	push(&f);
	next_of(&f);
	f.flags |= PSH | FIN;
	push(&f);
	next_of(&f);
	f.flags = ACK;
	push(&f);
	run();
	assert_int_equal(nr, 2);
	assert_int_equal(segments(pkts[0]), 2);
	assert_int_equal(pkts[0]->data[14 + 20 + 13], ACK | PSH | FIN);
	reset();
}

/* ---- checksums ------------------------------------------------------------------------------ */

static void wrong_checksum_is_neither_merged_nor_mended(void **state)
{
	for (int bad = 0; bad < 2; bad++) {
		struct tcp_frame f = tcp_frame_usual(), g;

		f.no_csum_ok = true;
		g = f;
		next_of(&g);
		f.bad_csum = bad == 0;
		g.bad_csum = bad == 1;
		apart("a wrong checksum", &f, &g);
	}
}

static void checksums_are_summed_where_the_device_does_not(void **state)
{
	for (unsigned int payload = 1; payload < 70; payload++) {
		for (int v6 = 0; v6 < 2; v6++) {
			struct tcp_frame f = tcp_frame_usual();

			f.ipv6 = v6;
			f.no_csum_ok = true;
			f.payload = payload;
			for (int i = 0; i < 3; i++, next_of(&f))
				push(&f);
			run();
			assert_int_equal(nr, 1);
			reset();
		}
	}
}

static void word_of_the_device_is_taken(void **state)
{
	struct tcp_frame f = tcp_frame_usual();

	f.bad_csum = true; /* and yet it says that it is right */
	push(&f);
	next_of(&f);
	push(&f);
	run();
	assert_int_equal(nr, 1);
	reset();
}

/* ---- order ---------------------------------------------------------------------------------- */

static void flows_are_merged_side_by_side(void **state)
{
	struct tcp_frame flow[3];

	for (int k = 0; k < 3; k++) {
		flow[k] = tcp_frame_usual();
		flow[k].sport = (uint16_t)(90 + k);
	}
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 3; k++) {
			push(&flow[k]);
			next_of(&flow[k]);
		}
	}
	run();
	assert_int_equal(nr, 3);
	for (unsigned int k = 0; k < 3; k++) {
		assert_int_equal(get16(pkts[k]->data + 34), 90 + k);
		assert_int_equal(segments(pkts[k]), 10);
	}
	reset();
}

/* A frame that stays alone: nothing behind it may overtake it by joining what is in front of it. */
static void nothing_overtakes(void (*change)(struct tcp_frame *))
{
	struct tcp_frame f = tcp_frame_usual(), alone;

	push(&f);
	next_of(&f);
	alone = f;
	alone.payload = 0;
	change(&alone);
	push(&alone);
	push(&f);
	run();
	assert_int_equal(nr, 3);
	reset();
}

static void no_change(struct tcp_frame *f)
{
}
static void add_urg(struct tcp_frame *f)
{
	f->flags |= URG;
}
static void add_rst(struct tcp_frame *f)
{
	f->flags |= RST;
}
static void add_ip_options(struct tcp_frame *f)
{
	f->ip_options = 2;
}
static void make_fragment(struct tcp_frame *f)
{
	f->fragment = 0x2000;
}
static void spoil_ip(struct tcp_frame *f)
{
	f->bad_ip_csum = true;
}

static void frame_that_stays_alone_is_not_overtaken(void **state)
{
	nothing_overtakes(no_change); /* a pure acknowledgement */
	nothing_overtakes(add_urg);
	nothing_overtakes(add_rst);
	nothing_overtakes(add_ip_options);
	nothing_overtakes(make_fragment);
	nothing_overtakes(spoil_ip);
}

static void other_traffic_does_not_stand_between(void **state)
{
	struct tcp_frame f = tcp_frame_usual();
	uint8_t arp[60] = {[12] = 0x08, [13] = 0x06},
		udp[60] = {[12] = 0x08, [14] = 0x45, [23] = 17};

	push(&f);
	next_of(&f);
	pkts[nr++] = tcp_frame_raw(arp, sizeof(arp));
	push(&f);
	next_of(&f);
	pkts[nr++] = tcp_frame_raw(udp, sizeof(udp));
	push(&f);
	run();
	assert_int_equal(nr, 3);
	assert_int_equal(segments(pkts[0]), 3);
	reset();
}

/* ---- everything at once ----------------------------------------------------------------------- */

/*
 * Bursts of three flows with all kinds of disturbance. Taken apart again, each flow's frames are those
 * that came, byte for byte, in their order.
 */
static void random_bursts_come_apart_the_same(void **state)
{
	unsigned int seed = 7, merged = 0;

	for (int burst = 0; burst < 3000; burst++) {
		struct tcp_frame flow[3], sent[TAP_GRO_MAX];
		unsigned int n = 1 + (unsigned int)rand_r(&seed) % TAP_GRO_MAX, at[3] = {0};
		unsigned int came = n;

		for (int k = 0; k < 3; k++) {
			flow[k] = tcp_frame_usual();
			flow[k].sport = (uint16_t)(90 + k);
			flow[k].ipv6 = k == 2;
			flow[k].payload = 200;
			flow[k].no_csum_ok = k == 1;
			flow[k].df = k != 1;
		}
		for (unsigned int i = 0; i < n; i++) {
			struct tcp_frame *f = &flow[rand_r(&seed) % 3], g;

			g = *f;
			switch (rand_r(&seed) % 24) {
			case 0:
				g.payload = 1 + (unsigned int)rand_r(&seed) % 200;
				break;
			case 1:
				g.payload = 0;
				break;
			case 2:
				g.flags |= PSH;
				break;
			case 3:
				f->ack++;
				g = *f;
				break;
			case 4:
				f->window++;
				g = *f;
				break;
			case 5:
				g.flags |= CWR;
				break;
			case 6:
				g.bad_csum = g.no_csum_ok;
				break;
			case 7:
				f->seq += 1000; /* lost ones */
				g = *f;
				break;
			case 8:
				f->options[11]++;
				g = *f;
				break;
			case 9:
				f->payload = 100 + (unsigned int)rand_r(&seed) % 300;
				g = *f;
				break;
			}
			sent[i] = g;
			push(&g);
			f->seq += g.payload;
			f->seed += g.payload;
			f->ip_id++;
		}
		run();
		merged += came - nr;
		for (unsigned int i = 0; i < nr; i++) {
			uint8_t *out[TAP_GRO_MAX];
			uint32_t lens[TAP_GRO_MAX];
			unsigned int m = 1;

			if (pkts[i]->gso_type != OB_GSO_NONE)
				m = tcp_frame_split(pkts[i], out, lens, TAP_GRO_MAX);
			else
				out[0] = tcp_frame_bytes(pkts[i], &lens[0]);
			for (unsigned int k = 0; k < m; k++) {
				bool ipv6 = out[k][12] == 0x86;
				unsigned int flow_nr = get16(out[k] + (ipv6 ? 54 : 34)) - 90;
				struct ob_pkt *want;

				assert_true(flow_nr < 3);
				while (at[flow_nr] < came &&
				       sent[at[flow_nr]].sport != 90 + flow_nr)
					at[flow_nr]++;
				assert_true(at[flow_nr] < came);
				want = tcp_frame_make(&sent[at[flow_nr]++]);
				assert_int_equal(lens[k], want->len);
				assert_memory_equal(out[k], want->data, want->len);
				tcp_frame_free(want);
				free(out[k]);
			}
		}
		for (unsigned int k = 0; k < 3; k++) {
			while (at[k] < came && sent[at[k]].sport != 90 + k)
				at[k]++;
			assert_int_equal(at[k], came); /* none is missing */
		}
		reset();
	}
	assert_true(merged > 10000); /* else this showed nothing */
}

/* Buffers have exactly the size of their frame: AddressSanitizer sees a look beyond it. */
static void cut_and_spoilt_frames_are_left_alone(void **state)
{
	unsigned int seed = 3;

	for (int round = 0; round < 20000; round++) {
		unsigned int n = 2 + (unsigned int)rand_r(&seed) % 6;
		struct tcp_frame f = tcp_frame_usual();
		uint64_t bytes = 0, after = 0;

		f.payload = 40;
		f.ipv6 = rand_r(&seed) & 1;
		f.vlan = rand_r(&seed) & 1;
		for (unsigned int i = 0; i < n; i++, next_of(&f)) {
			struct ob_pkt *whole = tcp_frame_make(&f);
			uint32_t len = whole->len;

			for (int k = rand_r(&seed) % 4; k > 0; k--)
				whole->data[(unsigned int)rand_r(&seed) % 70] =
					(uint8_t)rand_r(&seed);
			if (rand_r(&seed) % 2)
				len = (uint32_t)rand_r(&seed) % (len + 1);
			pkts[nr++] = tcp_frame_raw(whole->data, len);
			if (rand_r(&seed) % 2)
				pkts[nr - 1]->flags = OB_PKT_CSUM_OK;
			bytes += len;
			tcp_frame_free(whole);
		}
		run();
		assert_in_range(nr, 1, n);
		for (unsigned int i = 0; i < nr; i++)
			after += ob_pkt_frame_len(pkts[i]);
		assert_true(after <= bytes);
		reset();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_in_order_become_one_frame_and_come_apart_the_same),
		cmocka_unit_test(merged_frame_has_right_header_sums),
		cmocka_unit_test(payload_is_not_copied),
		cmocka_unit_test(ethernet_padding_is_cut_off),
		cmocka_unit_test(identification_may_count_or_stand_still_with_df),
		cmocka_unit_test(sequence_numbers_may_wrap),
		cmocka_unit_test(merged_frame_fits_the_ip_length_field),
		cmocka_unit_test(what_taking_apart_could_not_restore_is_not_merged),
		cmocka_unit_test(what_taking_apart_could_not_restore_of_ipv6_is_not_merged),
		cmocka_unit_test(what_taking_apart_could_not_restore_of_ipv4_is_not_merged),
		cmocka_unit_test(frames_with_ece_on_both_are_merged),
		cmocka_unit_test(shorter_segment_is_the_last),
		cmocka_unit_test(push_and_fin_end_a_frame_and_are_kept),
		cmocka_unit_test(wrong_checksum_is_neither_merged_nor_mended),
		cmocka_unit_test(checksums_are_summed_where_the_device_does_not),
		cmocka_unit_test(word_of_the_device_is_taken),
		cmocka_unit_test(flows_are_merged_side_by_side),
		cmocka_unit_test(frame_that_stays_alone_is_not_overtaken),
		cmocka_unit_test(other_traffic_does_not_stand_between),
		cmocka_unit_test(random_bursts_come_apart_the_same),
		cmocka_unit_test(cut_and_spoilt_frames_are_left_alone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
