/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of every size from 60 to 1514 bytes go down the cable, through the card to the driver, are sent
 * back and compared: `net-echo MODEL [COUNT] [BURST]`. Nothing may be lost, changed or reordered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/net/wire.h"

enum {
	MIN_LEN = 60,
	MAX_LEN = 1514,
	SIZES = MAX_LEN - MIN_LEN + 1,
	BURST_MAX = 256,
};

static size_t size_of(uint64_t i)
{
	/* 1009 has no divisor in common with the number of sizes: each comes once in so many, mixed. */
	return MIN_LEN + i * 1009 % SIZES;
}

/* The driver's side: swap the addresses and send what came. */
static void reflect(struct wire *w, struct ob_pkt **pkts, unsigned int *held, unsigned int burst)
{
	unsigned int n, sent;

	n = ob_net_rx_burst(w->net, 0, pkts + *held, burst - *held);
	for (unsigned int i = *held; i < *held + n; i++) {
		uint8_t *p = pkts[i]->data, dst[6];

		memcpy(dst, p, 6);
		memcpy(p, p + 6, 6);
		memcpy(p + 6, dst, 6);
	}
	*held += n;
	sent = ob_net_tx_burst(w->net, 0, pkts, *held);
	memmove(pkts, pkts + sent, (*held - sent) * sizeof(*pkts));
	*held -= sent;
}

int main(int argc, char **argv)
{
	const char *model = argc > 1 ? argv[1] : "e1000e";
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 2 * SIZES;
	unsigned int burst = argc > 3 ? (unsigned int)atoi(argv[3]) : 32;
	uint64_t sent = 0, back = 0, start, progress, wrong = 0;
	struct ob_driver_config poll = {.mode = OB_MODE_POLL};
	uint8_t out[MAX_LEN], want[MAX_LEN], got[MAX_LEN + 512], mac[6];
	struct ob_pkt *pkts[BURST_MAX];
	unsigned int held = 0;
	struct ob_net_stats s;
	struct wire w;
	double seconds;
	int ret;

	if (burst < 1 || burst > BURST_MAX) {
		fprintf(stderr, "a burst is 1 to %d frames\n", BURST_MAX);
		return 2;
	}
	ret = wire_open(&w, model, "", &poll);
	if (ret)
		return 1;
	memcpy(mac, w.net->mac, 6);
	printf("TAP version 13\n1..2\n");
	start = progress = ob_clock_ns();
	while (back < count && wrong < 10) {
		/* At most so many on their way that no ring or socket holds them up for ever. */
		while (sent < count && sent - back < 200) {
			size_t len = wire_frame(out, size_of(sent), mac, (uint32_t)sent);

			if (!wire_send(&w, out, len))
				break;
			sent++;
		}
		reflect(&w, pkts, &held, burst);
		for (;;) {
			ssize_t n = recv(w.fd, got, sizeof(got), MSG_DONTWAIT);
			size_t len = size_of(back);
			static const uint8_t src[6] = {2, 0, 0, 0, 0, 1};

			if (n < 0)
				break;
			wire_frame(want, len, src, (uint32_t)back);
			memcpy(want + 6, mac, 6);
			if ((size_t)n != len || memcmp(got, want, len)) {
				printf("# frame %llu: %zd bytes instead of %zu, or other bytes\n",
				       (unsigned long long)back, n, len);
				wrong++;
			}
			back++;
			progress = ob_clock_ns();
		}
		if (ob_clock_ns() - progress > 20000000000ull) {
			printf("# nothing came back for 20 s after %llu of %llu sent frames\n",
			       (unsigned long long)back, (unsigned long long)sent);
			break;
		}
	}
	seconds = (double)(ob_clock_ns() - start) / 1e9;
	w.net->ops->stats(w.net, &s);
	printf("# %s: %llu frames in %.1f s, %.0f frames/s, %.3f doorbells a frame\n", model,
	       (unsigned long long)back, seconds, (double)back / seconds,
	       back ? (double)s.doorbells / (double)back : 0.0);
	printf("%sok 1 - %llu frames of every size come back in order and unchanged\n",
	       back == count && !wrong ? "" : "not ", (unsigned long long)count);
	ret = s.rx_errors || s.tx_errors || s.rx_bad_descriptors || s.tx_bad_descriptors ||
	      s.tx_dropped || s.rx_missed;
	printf("%sok 2 - the card counted no error\n", ret ? "not " : "");
	while (held)
		ob_pkt_free(pkts[--held]);
	wire_close(&w);
	return back == count && !wrong && !ret ? 0 : 1;
}
