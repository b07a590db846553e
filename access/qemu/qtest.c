/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one owner of the qtest socket. Replies are matched by order: a posted write only adds to a
 * counter, and whoever waits for a reply takes the older ones and the interrupt lines on the way.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/device.h>

#include "access/faultpoint.h"
#include "access/qemu/qtest.h"

/*
 * Posted writes without a reply, at most: QEMU takes about 1 KiB of commands a turn, and a reply of
 * 3 bytes costs a whole socket buffer of some 800 bytes, so that 64 stay far below the default limit of
 * 208 KiB and neither side can block in send().
 */
#define OUTSTANDING_MAX 64
/* After so many writes what has arrived is taken along, so that the limit is rarely met. */
#define OUTSTANDING_COLLECT 32
/* So many replies are worth a sleep. */
#define MANY 16
/* Tries without sleeping; an answer takes about 7 us when QEMU runs, a sleep costs up to 8 times that. */
#define SPIN 200

/* ---- lines -------------------------------------------------------------------------- */

/* Digits in base 10, or 16 after 0x; false when there are none or too many for 64 bits. */
static bool parse_number(const char *p, const char *end, uint64_t *val)
{
	unsigned int base = 10;
	uint64_t n = 0;

	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	if (p == end)
		return false;
	for (; p < end; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			digit = (unsigned int)((*p | 0x20) - 'a') + 10;
		else
			return false;
		if (n > (UINT64_MAX - digit) / base)
			return false;
		n = n * base + digit;
	}
	*val = n;
	return true;
}

static bool starts(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && !memcmp(line, word, n);
}

void qtest_parse_line(const char *line, size_t len, struct qtest_line *out)
{
	const char *end = line + len;

	out->kind = QTEST_BAD;
	out->value = 0;
	if (starts(line, len, "OK")) {
		if (len == 2)
			out->kind = QTEST_OK;
		else if (line[2] == ' ' && parse_number(line + 3, end, &out->value))
			out->kind = QTEST_OK;
		else if (line[2] == ' ' && len > 3)
			out->kind = QTEST_OK; /* "OK little" */
	} else if (starts(line, len, "IRQ raise ")) {
		if (parse_number(line + 10, end, &out->value))
			out->kind = QTEST_RAISE;
	} else if (starts(line, len, "IRQ lower ")) {
		if (parse_number(line + 10, end, &out->value))
			out->kind = QTEST_LOWER;
	} else if (starts(line, len, "FAIL")) {
		out->kind = QTEST_FAIL;
	}
}

/* ---- receiving ---------------------------------------------------------------------- */

static bool is_dead(const struct qtest *qt)
{
	return __atomic_load_n(&qt->dead, __ATOMIC_ACQUIRE);
}

static int died(struct qtest *qt, const char *why)
{
	const uint64_t one = 1;

	if (why && !is_dead(qt))
		snprintf(qt->fail, sizeof(qt->fail), "%s", why);
	/* Not written only when it is full, and then it is readable. */
	if (!__atomic_exchange_n(&qt->dead, true, __ATOMIC_ACQ_REL) && qt->dead_fd >= 0 &&
	    write(qt->dead_fd, &one, sizeof(one)) < 0)
		return -ENODEV;
	return -ENODEV;
}

/*
 * Take one line from the buffer. Returns 1 and the line when there is one that answers a
 * request, 0 when more must be received. Interrupt lines are handled here.
 */
static int next_reply(struct qtest *qt, struct qtest_line *line)
{
	for (;;) {
		char *start = qt->rx + qt->rx_start;
		char *end = memchr(start, '\n', qt->rx_end - qt->rx_start);
		size_t len;

		if (!end)
			return 0;
		len = (size_t)(end - start);
		qt->rx_start += len + 1;
		/* Most lines are the "OK" of a posted write. */
		if (len == 2 && start[0] == 'O' && start[1] == 'K') {
			line->kind = QTEST_OK;
			line->value = 0;
			return 1;
		}
		qtest_parse_line(start, len, line);
		switch (line->kind) {
		case QTEST_RAISE:
		case QTEST_LOWER:
			if (qt->irq && line->value <= UINT32_MAX)
				qt->irq(qt->irq_arg, (unsigned int)line->value,
					line->kind == QTEST_RAISE);
			continue;
		case QTEST_BAD:
		case QTEST_FAIL:
			snprintf(qt->fail, sizeof(qt->fail), "%.*s", (int)(len < 100 ? len : 100),
				 start);
			return 1;
		case QTEST_OK:
			return 1;
		}
	}
}

/* Receive up to "want" bytes; 1 when something came, 0 when nothing did (or -ENODEV). */
static int receive_some(struct qtest *qt, size_t want, int flags)
{
	ssize_t n;

	if (qt->rx_start) {
		memmove(qt->rx, qt->rx + qt->rx_start, qt->rx_end - qt->rx_start);
		qt->rx_end -= qt->rx_start;
		qt->rx_start = 0;
	}
	if (qt->rx_end == sizeof(qt->rx))
		return died(qt, "QEMU sent a line without an end");
	if (want > sizeof(qt->rx) - qt->rx_end)
		want = sizeof(qt->rx) - qt->rx_end;
	qt->syscalls++;
	n = OB_FAULT_CALL("qtest.receive", recv(qt->fd, qt->rx + qt->rx_end, want, flags));
	if (n > 0) {
		qt->rx_end += (size_t)n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return died(qt, "QEMU closed its qtest socket");
}

static int receive(struct qtest *qt)
{
	return receive_some(qt, sizeof(qt->rx), MSG_DONTWAIT);
}

/* Receive more and wait for it: a short spin, since QEMU answers at once, then poll(). */
static int receive_wait(struct qtest *qt)
{
	struct pollfd pfd = {.fd = qt->fd, .events = POLLIN};
	uint64_t start = 0;
	unsigned int spin;
	int ret;

	for (spin = 0; spin < SPIN; spin++) {
		ret = receive(qt);
		if (ret)
			return ret;
		/* QEMU may share this core. */
		if (spin > 4)
			sched_yield();
	}
	for (;;) {
		uint64_t now = ob_clock_ms();

		if (!start)
			start = now;
		if (is_dead(qt))
			return -ENODEV;
		if (now - start >= qt->answer_ms)
			return died(qt, "QEMU did not answer in time");
		qt->syscalls++;
		/* In slices, so that qtest_kill() is noticed. */
		if (poll(&pfd, 1, 100) > 0) {
			ret = receive(qt);
			if (ret)
				return ret;
		}
	}
}

/* Take the replies that are in the buffer already. */
static int collect(struct qtest *qt)
{
	struct qtest_line line;

	while (next_reply(qt, &line)) {
		if (!qt->outstanding)
			return died(qt, "QEMU answered without a question");
		qt->outstanding--;
		if (line.kind == QTEST_BAD)
			return died(qt, NULL);
	}
	return 0;
}

/*
 * One sleep for many replies: each is 3 bytes at least, of which two may be here already. The socket's
 * time-out ends it early, so that a QEMU that stands still is noticed by receive_wait().
 */
static int receive_replies(struct qtest *qt, unsigned int n)
{
	return receive_some(qt, 3 * (size_t)n - 2, MSG_WAITALL);
}

/* Wait until at most "left" posted requests are without a reply. */
static int drain_to(struct qtest *qt, unsigned int left)
{
	int ret = collect(qt);

	while (!ret && qt->outstanding > left) {
		ret = qt->outstanding - left >= MANY ? receive_replies(qt, qt->outstanding - left)
						     : 0;
		if (!ret)
			ret = receive_wait(qt);
		if (ret > 0)
			ret = collect(qt);
	}
	return ret < 0 ? ret : 0;
}

/* ---- sending ------------------------------------------------------------------------ */

/* While this thread reads the socket the watcher must not be woken by its replies. */
static void disarm(struct qtest *qt)
{
	struct epoll_event ev = {.events = 0, .data.ptr = qt};

	if (!qt->watched)
		return;
	qt->syscalls++;
	epoll_ctl(qt->watch_fd, EPOLL_CTL_MOD, qt->fd, &ev);
	qt->watched = false;
}

static void arm(struct qtest *qt)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = qt};

	if (qt->watched || !qt->watch_wanted || is_dead(qt))
		return;
	qt->syscalls++;
	epoll_ctl(qt->watch_fd, EPOLL_CTL_MOD, qt->fd, &ev);
	qt->watched = true;
}

static int send_all(struct qtest *qt, const char *p, size_t len)
{
	while (len) {
		ssize_t n;

		qt->syscalls++;
		n = OB_FAULT_CALL("qtest.send", send(qt->fd, p, len, MSG_NOSIGNAL));
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EPIPE || errno == ECONNRESET)
				return died(qt, "QEMU closed its qtest socket");
			snprintf(qt->fail, sizeof(qt->fail),
				 "its qtest socket cannot be written: %s", strerror(errno));
			return died(qt, NULL);
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One request, in front of it what was held back; each is one reply that is due. */
static int send_request(struct qtest *qt, const char *text, size_t len)
{
	unsigned int lines = qt->held + 1;
	int ret;

	if (ob_unlikely(qt->held)) {
		memcpy(qt->tx + qt->tx_len, text, len); /* QTEST_LINE bytes are free */
		text = qt->tx;
		len += qt->tx_len;
		qt->held = 0;
		qt->tx_len = 0;
	}
	ret = send_all(qt, text, len);
	if (!ret)
		qt->outstanding += lines;
	return ret;
}

static int send_held(struct qtest *qt)
{
	int ret = 0;

	if (qt->held)
		ret = send_all(qt, qt->tx, qt->tx_len);
	if (!ret)
		qt->outstanding += qt->held;
	qt->held = 0;
	qt->tx_len = 0;
	return ret;
}

static char *put_word(char *p, const char *word)
{
	while (*word)
		*p++ = *word++;
	return p;
}

/* The eight hexadecimal digits of a number as eight characters, the first one in the lowest byte. */
static uint64_t hex_digits(uint32_t val)
{
	uint64_t x = val, letters;

	/* A nibble into each byte. */
	x = (x << 16 | x) & 0x0000ffff0000ffff;
	x = (x << 8 | x) & 0x00ff00ff00ff00ff;
	x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0f;
	/* 10 to 15 carry into bit 4 when 6 is added. */
	letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
	x += 0x3030303030303030 + letters * ('a' - '0' - 10);
	return __builtin_bswap64(x);
}

/* Without leading zeroes; up to 7 bytes behind the end are overwritten. */
static char *put_hex(char *p, uint64_t val)
{
	unsigned int digits = val ? (67 - (unsigned int)__builtin_clzll(val)) / 4 : 1;
	uint64_t text;

	memcpy(p, " 0x", 3);
	p += 3;
	if (digits > 8) {
		text = hex_digits((uint32_t)(val >> 32) << (64 - 4 * digits));
		memcpy(p, &text, 8);
		p += digits - 8;
		digits = 8;
	}
	text = hex_digits((uint32_t)val << (32 - 4 * digits));
	memcpy(p, &text, 8);
	return p + digits;
}

static char width(unsigned int size)
{
	return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

/* Take replies along, so that they never become so many that a side blocks in send(). */
static int make_room(struct qtest *qt)
{
	int ret;

	if (ob_likely(qt->outstanding + qt->held < qt->collect_at))
		return 0;
	ret = send_held(qt);
	/* Not when the limit is met: then the wait below takes everything. */
	if (!ret && qt->outstanding < OUTSTANDING_MAX)
		ret = receive(qt);
	if (ret > 0)
		ret = collect(qt);
	/* QEMU is the slower one: one wait for half of them, so that it has work meanwhile. */
	if (ret >= 0 && qt->outstanding >= OUTSTANDING_MAX)
		ret = drain_to(qt, OUTSTANDING_MAX / 2);
	qt->collect_at = qt->outstanding + OUTSTANDING_COLLECT < OUTSTANDING_MAX
				 ? qt->outstanding + OUTSTANDING_COLLECT
				 : OUTSTANDING_MAX;
	return ret < 0 ? ret : 0;
}

static bool may_hold(const struct qtest *qt, size_t len)
{
	return qt->corked && pthread_equal(qt->corker, pthread_self()) &&
	       qt->tx_len + len <= QTEST_TX - QTEST_LINE;
}

/* "writel 0xfebc3818", kept from the last time: most writes go to few registers. */
static const struct qtest_place *find_place(struct qtest *qt, const char *word, uint64_t addr,
					    unsigned int size)
{
	struct qtest_place *at = &qt->place[(addr ^ addr >> 12) % QTEST_PLACES];
	char *p;

	if (ob_likely(at->addr == addr && at->size == size && at->kind == *word))
		return at;
	at->addr = addr;
	at->size = (uint8_t)size;
	at->kind = *word;
	p = put_word(at->text, word);
	*p++ = width(size);
	at->len = (uint8_t)(put_hex(p, addr) - at->text);
	return at;
}

/* @word: "write" or "out" */
static int post(struct qtest *qt, const char *word, uint64_t addr, unsigned int size, uint64_t val,
		bool corked)
{
	const struct qtest_place *at;
	char text[64], *end;
	size_t len;
	int ret;

	pthread_mutex_lock(&qt->lock);
	at = find_place(qt, word, addr, size);
	memcpy(text, at->text, sizeof(at->text));
	end = put_hex(text + at->len, val);
	*end++ = '\n';
	len = (size_t)(end - text);
	ret = is_dead(qt) ? -ENODEV : make_room(qt);
	if (!ret && corked && may_hold(qt, len)) {
		memcpy(qt->tx + qt->tx_len, text, len);
		qt->tx_len += len;
		qt->held++;
	} else if (!ret) {
		ret = send_request(qt, text, len);
	}
	pthread_mutex_unlock(&qt->lock);
	return ret;
}

/* Send a request and wait for its own reply. */
static int ask(struct qtest *qt, const char *text, size_t len, uint64_t *val)
{
	struct qtest_line line = {.kind = QTEST_BAD};
	int ret;

	pthread_mutex_lock(&qt->lock);
	disarm(qt);
	if (is_dead(qt)) {
		ret = -ENODEV;
		goto out;
	}
	ret = send_request(qt, text, len);
	if (ret)
		goto out;
	while (qt->outstanding) {
		if (!next_reply(qt, &line)) {
			ret = receive_wait(qt);
			if (ret < 0)
				goto out;
			continue;
		}
		qt->outstanding--;
	}
	ret = line.kind == QTEST_OK ? 0 : -EIO;
	if (line.kind == QTEST_BAD)
		ret = died(qt, NULL);
	/* An interrupt that came right behind the reply: nobody is woken for what was received already. */
	else if (collect(qt))
		ret = -ENODEV;
	if (!ret && val)
		*val = line.value;
out:
	arm(qt);
	pthread_mutex_unlock(&qt->lock);
	return ret;
}

int qtest_read(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t *val)
{
	char text[48], *p = put_word(text, "read");

	*p++ = width(size);
	p = put_hex(p, addr);
	*p++ = '\n';
	return ask(qt, text, (size_t)(p - text), val);
}

int qtest_in(struct qtest *qt, uint16_t port, unsigned int size, uint64_t *val)
{
	char text[48], *p = put_word(text, "in");

	*p++ = width(size);
	p = put_hex(p, port);
	*p++ = '\n';
	return ask(qt, text, (size_t)(p - text), val);
}

int qtest_write(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t val)
{
	return post(qt, "write", addr, size, val, false);
}

int qtest_out(struct qtest *qt, uint16_t port, unsigned int size, uint64_t val)
{
	return post(qt, "out", port, size, val, false);
}

int qtest_write_corked(struct qtest *qt, uint64_t addr, unsigned int size, uint64_t val)
{
	return post(qt, "write", addr, size, val, true);
}

int qtest_out_corked(struct qtest *qt, uint16_t port, unsigned int size, uint64_t val)
{
	return post(qt, "out", port, size, val, true);
}

void qtest_cork(struct qtest *qt)
{
	pthread_mutex_lock(&qt->lock);
	if (!qt->corked)
		qt->corker = pthread_self();
	if (pthread_equal(qt->corker, pthread_self()))
		qt->corked++;
	pthread_mutex_unlock(&qt->lock);
}

void qtest_uncork(struct qtest *qt)
{
	pthread_mutex_lock(&qt->lock);
	if (qt->corked && pthread_equal(qt->corker, pthread_self()) && !--qt->corked &&
	    !is_dead(qt))
		send_held(qt);
	pthread_mutex_unlock(&qt->lock);
}

int qtest_command(struct qtest *qt, const char *text)
{
	char line[QTEST_LINE];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	if (n < 0 || (size_t)n >= sizeof(line))
		return -EINVAL;
	return ask(qt, line, (size_t)n, NULL);
}

int qtest_resync(struct qtest *qt, uint64_t addr, uint64_t mark)
{
	struct qtest_line line = {.kind = QTEST_BAD};
	char text[48], *p = put_word(text, "readq");
	int ret;

	p = put_hex(p, addr);
	*p++ = '\n';
	pthread_mutex_lock(&qt->lock);
	ret = send_all(qt, text, (size_t)(p - text));
	while (!ret && !(line.kind == QTEST_OK && line.value == mark)) {
		/* The first may be the end of one that the former reader had begun. */
		if (!next_reply(qt, &line)) {
			line.kind = QTEST_BAD;
			ret = receive_wait(qt);
			ret = ret > 0 ? 0 : ret;
		}
	}
	arm(qt);
	pthread_mutex_unlock(&qt->lock);
	return ret;
}

int qtest_drain(struct qtest *qt)
{
	int ret = -ENODEV;

	pthread_mutex_lock(&qt->lock);
	disarm(qt);
	if (!is_dead(qt))
		ret = send_held(qt);
	if (!ret)
		ret = drain_to(qt, 0);
	arm(qt);
	pthread_mutex_unlock(&qt->lock);
	return ret;
}

int qtest_pump(struct qtest *qt)
{
	int ret = -ENODEV;

	pthread_mutex_lock(&qt->lock);
	if (!is_dead(qt)) {
		do
			ret = receive(qt);
		while (ret > 0 && !(ret = collect(qt)) && qt->rx_end == sizeof(qt->rx));
	}
	pthread_mutex_unlock(&qt->lock);
	return ret < 0 ? ret : 0;
}

int qtest_watch(struct qtest *qt, bool on)
{
	pthread_mutex_lock(&qt->lock);
	qt->watch_wanted = on;
	if (on)
		arm(qt);
	else
		disarm(qt);
	pthread_mutex_unlock(&qt->lock);
	return 0;
}

void qtest_kill(struct qtest *qt)
{
	/* Not under the lock: somebody may hold it and wait for an answer that never comes. */
	died(qt, NULL);
}

void qtest_open(struct qtest *qt, int fd, unsigned int answer_ms)
{
	const struct timeval slice = {.tv_usec = 100000};

	memset(qt, 0, sizeof(*qt));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
	pthread_mutex_init(&qt->lock, NULL);
	qt->fd = fd;
	qt->watch_fd = qt->dead_fd = -1;
	qt->collect_at = OUTSTANDING_COLLECT;
	qt->answer_ms = answer_ms;
}

void qtest_close(struct qtest *qt)
{
	close(qt->fd);
	pthread_mutex_destroy(&qt->lock);
}
