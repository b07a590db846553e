/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `net-interrupts MODEL msix|msi|intx [COUNT]`: go to sleep and be woken by a frame, COUNT times. A
 * thread sends the frames at random moments before, while and after the card is armed, so that a wake-up
 * lost in any gap shows: as a sleep that nothing ends.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/net/wire.h"

enum {
	LOST_AFTER_MS = 60000,
	DELAY_MAX_NS = 300000, /* longer than arming takes */
};

struct sender {
	struct wire *w;
	sem_t go;
	bool end;
	unsigned int seed;
};

static void *sender_main(void *arg)
{
	struct sender *s = arg;
	uint8_t frame[80];

	for (uint32_t seq = 0;; seq++) {
		uint64_t until;

		sem_wait(&s->go);
		if (s->end)
			return NULL;
		wire_frame(frame, sizeof(frame), s->w->net->mac, seq);
		until = ob_clock_ns() + (uint64_t)rand_r(&s->seed) % DELAY_MAX_NS;
		while (ob_clock_ns() < until)
			;
		wire_send_wait(s->w, frame, sizeof(frame));
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"none", "intx", "msi", "msix"};
	const char *model = argc > 1 ? argv[1] : "e1000e";
	const char *kind = argc > 2 ? argv[2] : "msix";
	unsigned int count = argc > 3 ? (unsigned int)atoi(argv[3]) : 10000;
	struct ob_driver_config config = {.mode = OB_MODE_INTERRUPT};
	unsigned int received = 0, woken = 0, early = 0, spurious = 0, wrong = 0;
	struct sender sender = {.seed = 1};
	bool lost = false;
	struct wire w;
	pthread_t thread;
	uint64_t start;

	for (unsigned int k = OB_IRQ_INTX; k <= OB_IRQ_MSIX; k++)
		if (!strcmp(kind, names[k]))
			config.irq_kind = (enum ob_irq_kind)k;
	if (wire_open(&w, model, "", &config))
		return 1;
	sender.w = &w;
	sem_init(&sender.go, 0, 0);
	if (pthread_create(&thread, NULL, sender_main, &sender))
		return 1;
	printf("TAP version 13\n1..2\n");
	start = ob_clock_ns();
	while (woken < count && !lost) {
		struct pollfd pfd = {.fd = w.net->irq_fd[0], .events = POLLIN};
		struct ob_pkt *pkt;
		uint64_t irqs;
		uint32_t seq;

		sem_post(&sender.go);
		for (;;) {
			if (w.net->ops->irq_arm(w.net, 0, true)) {
				early++;
			} else if (poll(&pfd, 1, LOST_AFTER_MS) != 1) {
				printf("# nothing ended the sleep for frame %u in %d ms\n",
				       received, LOST_AFTER_MS);
				lost = true;
				break;
			} else {
				if (read(pfd.fd, &irqs, sizeof(irqs)) != sizeof(irqs))
					wrong++;
				woken++;
			}
			w.net->ops->irq_arm(w.net, 0, false);
			if (ob_net_rx_burst(w.net, 0, &pkt, 1))
				break;
			spurious++;
		}
		if (lost)
			break;
		memcpy(&seq, pkt->data + 14, 4);
		wrong += seq != received;
		ob_pkt_free(pkt);
		received++;
	}
	printf("# %s %s: %u interrupts (%u without a frame), %u frames, %u found before sleeping, "
	       "%.0f us each\n",
	       model, kind, woken, spurious, received, early,
	       (double)(ob_clock_ns() - start) / 1e3 / (received ? received : 1));
	printf("%sok 1 - %u interrupts, no frame without one\n", lost ? "not " : "", count);
	printf("%sok 2 - frames in order, each once\n", wrong ? "not " : "");
	sender.end = true;
	sem_post(&sender.go);
	pthread_join(thread, NULL);
	wire_close(&w);
	return lost || wrong;
}
