/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card with the other end of its cable in the hands of a test: a socket pair, one frame a
 * datagram.
 */
#ifndef TESTS_NET_WIRE_H
#define TESTS_NET_WIRE_H

#include <sys/types.h>

#include <outboard/outboard.h>

/**
 * struct wire - a started card and its cable
 * @fd: our end
 */
struct wire {
	int fd;
	int card_fd;
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_net *net;
	bool is_82574;
};

/*
 * wire_open() - QEMU, the device, the driver, started, with a link and receiving
 * @model: "e1000e", "e1000-82545em" or "e1000-82540em"
 * @wrapper: in front of the specification, e.g. "fault[seed=1]:", or ""
 * @config: or NULL
 *
 * Returns 0 or a negative errno value; says why on stderr.
 */
int wire_open(struct wire *w, const char *model, const char *wrapper,
	      const struct ob_driver_config *config);
void wire_close(struct wire *w);

/* Send a frame to the card; false when the cable is full (10 datagrams by default). */
bool wire_send(struct wire *w, const void *frame, size_t len);
/* As wire_send(), waiting for room; false after 5 s. */
bool wire_send_wait(struct wire *w, const void *frame, size_t len);
/* What the card sent; -1 when nothing came within @ms. */
ssize_t wire_recv(struct wire *w, void *buf, size_t size, int ms);

/* Poll the card until @n frames came or @ms are over; returns frames. */
unsigned int wire_poll(struct wire *w, struct ob_pkt **pkts, unsigned int n, int ms);

/* A frame buffer from the card's pool with these bytes. */
struct ob_pkt *wire_pkt(struct wire *w, const void *frame, size_t len);
/* Queue one frame on the card, waiting for room. */
bool wire_tx(struct wire *w, struct ob_pkt *pkt);

/* An Ethernet frame from 02:00:00:00:00:01 to @dst with payload made of @seed. */
size_t wire_frame(uint8_t *buf, size_t len, const uint8_t dst[6], uint32_t seed);

/* Process id of the QEMU that this process started last, or 0. */
int wire_qemu_pid(void);
void wire_sleep_ms(int ms);

#endif
