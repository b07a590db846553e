/* SPDX-License-Identifier: BSD-2-Clause */
/* See wire.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/net/wire.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void wire_sleep_ms(int ms)
{
	usleep((useconds_t)ms * 1000);
}

static void say(const struct ob_error *err)
{
	char text[1200];

	fprintf(stderr, "%s\n", ob_error_text(err, text, sizeof(text)));
}

/*
 * QEMU's e1000 receives nothing in the first second after it was started, so wait until a frame gets
 * through; those after it are then not lost.
 */
static int wait_until_receiving(struct wire *w)
{
	uint64_t end = ob_clock_ns() + 60000000000ull;
	struct ob_pkt *pkt;
	uint8_t frame[60];

	wire_frame(frame, sizeof(frame), broadcast, 0);
	if (!wire_send_wait(w, frame, sizeof(frame)))
		return -ETIMEDOUT;
	while (ob_clock_ns() < end) {
		w->net->ops->tick(w->net, ob_clock_ns());
		if (wire_poll(w, &pkt, 1, 100)) {
			ob_pkt_free(pkt);
			return 0;
		}
		if (ob_device_gone(w->dev))
			return -ENODEV;
	}
	return -ETIMEDOUT;
}

int wire_open(struct wire *w, const char *model, const char *wrapper,
	      const struct ob_driver_config *config)
{
	struct ob_error err = {0};
	char spec[256];
	int sv[2], ret, room = 4 << 20;

	memset(w, 0, sizeof(*w));
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	w->fd = sv[0];
	w->card_fd = sv[1];
	w->is_82574 = !strcmp(model, "e1000e");
	snprintf(spec, sizeof(spec), "%sqemu:%s,netdev=fd:%d", wrapper, model, sv[1]);
	ret = ob_device_open(spec, &w->dev, &err);
	if (ret)
		goto close_fds;
	ret = ob_driver_bind(w->dev, NULL, config, &w->b, &err);
	if (ret)
		goto close_device;
	w->net = w->b->net;
	ret = ob_net_start(w->net, &err);
	if (ret)
		goto unbind;
	ret = *wrapper ? 0 : wait_until_receiving(w); /* a faulty card need not receive */
	if (!ret)
		return 0;
	ob_error_set(&err, ret, "%s receives nothing", spec);

unbind:
	ob_driver_unbind(w->b);
close_device:
	ob_device_close(w->dev);
close_fds:
	close(sv[0]);
	close(sv[1]);
	say(&err);
	return ret;
}

void wire_close(struct wire *w)
{
	ob_driver_unbind(w->b);
	ob_device_close(w->dev);
	close(w->fd);
	close(w->card_fd);
}

bool wire_send(struct wire *w, const void *frame, size_t len)
{
	return send(w->fd, frame, len, MSG_DONTWAIT) == (ssize_t)len;
}

bool wire_send_wait(struct wire *w, const void *frame, size_t len)
{
	uint64_t end = ob_clock_ns() + 60000000000ull;

	while (!wire_send(w, frame, len)) {
		if (errno != EAGAIN || ob_clock_ns() > end)
			return false;
		usleep(50);
	}
	return true;
}

ssize_t wire_recv(struct wire *w, void *buf, size_t size, int ms)
{
	struct pollfd pfd = {.fd = w->fd, .events = POLLIN};

	if (poll(&pfd, 1, ms) <= 0)
		return -1;
	return recv(w->fd, buf, size, MSG_DONTWAIT);
}

unsigned int wire_poll(struct wire *w, struct ob_pkt **pkts, unsigned int n, int ms)
{
	uint64_t end = ob_clock_ns() + (uint64_t)ms * 1000000;
	unsigned int got = 0;

	for (;;) {
		got += ob_net_rx_burst(w->net, 0, pkts + got, n - got);
		if (got == n || ob_clock_ns() > end || ob_device_gone(w->dev))
			return got;
		usleep(20);
	}
}

struct ob_pkt *wire_pkt(struct wire *w, const void *frame, size_t len)
{
	struct ob_pkt *pkt = ob_pkt_alloc(w->net->rx_pool[0]);

	if (!pkt)
		return NULL;
	ob_pkt_reset(pkt);
	memcpy(pkt->data, frame, len);
	pkt->len = (uint32_t)len;
	return pkt;
}

bool wire_tx(struct wire *w, struct ob_pkt *pkt)
{
	uint64_t end = ob_clock_ns() + 60000000000ull;

	while (!ob_net_tx_burst(w->net, 0, &pkt, 1)) {
		if (ob_clock_ns() > end || ob_device_gone(w->dev)) {
			ob_pkt_free(pkt);
			return false;
		}
		usleep(50);
	}
	return true;
}

size_t wire_frame(uint8_t *buf, size_t len, const uint8_t dst[6], uint32_t seed)
{
	static const uint8_t src[6] = {2, 0, 0, 0, 0, 1};
	uint32_t x = seed * 2654435761u + 1;

	memcpy(buf, dst, 6);
	memcpy(buf + 6, src, 6);
	buf[12] = 0x88; /* IEEE 802: local experimental Ethertype 1 */
	buf[13] = 0xb5;
	for (size_t i = 14; i < len; i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	if (len >= 18)
		memcpy(buf + 14, &seed, 4);
	return len;
}

int wire_qemu_pid(void)
{
	char path[64], line[256];
	struct dirent *task;
	int pid = 0;
	DIR *dir = opendir("/proc/self/task");
	FILE *f;

	/* A child belongs to the thread that started it. */
	while (dir && (task = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", task->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f))
			for (char *p = strtok(line, " \n"); p; p = strtok(NULL, " \n"))
				pid = atoi(p) > pid ? atoi(p) : pid;
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return pid;
}
