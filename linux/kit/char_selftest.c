/* SPDX-License-Identifier: BSD-2-Clause */
/* Self-test of a Linux driver's character device: a watchdog is kept quiet and stopped, random bytes differ, sound is played and recorded, CAN goes on the bus. */
#include <errno.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>

#include "kit/char.h"
#include "kit/wav.h"

enum {
	RANDOM_BYTES = 64,
	FRAMES = 4410, /* a tenth of a second */
};

struct report {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static struct ob_selftest_line *line(struct report *t, const char *name)
{
	static struct ob_selftest_line spare;
	struct ob_selftest_line *l = t->n < t->max ? &t->lines[t->n++] : &spare;

	memset(l, 0, sizeof(*l));
	snprintf(l->name, sizeof(l->name), "%s", name);
	return l;
}

/* Programs stop a watchdog by this letter before they close it (Documentation/watchdog/watchdog-api.rst). */
static void test_watchdog(struct report *t, struct ob_char *chr)
{
	const struct ob_char_ops *ops = chr->ops;
	struct watchdog_info info = {0};
	struct ob_selftest_line *l;
	int seconds = 0;
	long ret;

	l = line(t, "identity");
	l->result = (int)ops->command(chr, WDIOC_GETSUPPORT, &info);
	snprintf(l->detail, sizeof(l->detail), "%.32s", (const char *)info.identity);

	l = line(t, "keep alive");
	ret = ops->command(chr, WDIOC_KEEPALIVE, &seconds);
	if (!ret)
		ret = ops->command(chr, WDIOC_GETTIMEOUT, &seconds);
	l->result = (int)ret;
	snprintf(l->detail, sizeof(l->detail), "every %d s", seconds);

	l = line(t, "stop");
	ret = ops->write(chr, "V", 1, 0);
	l->result = ret < 0 ? (int)ret : ret == 1 ? 0 : -EIO;
}

static long read_all(struct ob_char *chr, uint8_t *buf, unsigned long len)
{
	for (unsigned long done = 0; done < len;) {
		long got = chr->ops->read(chr, buf + done, len - done, done);

		if (got <= 0)
			return got ? got : -EIO;
		done += (unsigned long)got;
	}
	return 0;
}

static void test_random(struct report *t, struct ob_char *chr)
{
	uint8_t a[RANDOM_BYTES] = {0}, b[RANDOM_BYTES] = {0};
	struct ob_selftest_line *l = line(t, "random bytes");
	long ret = read_all(chr, a, sizeof(a));

	if (!ret)
		ret = read_all(chr, b, sizeof(b));
	/* Once in 2^512 honest ones are the same. */
	if (!ret && (!memcmp(a, b, sizeof(a)) || !memcmp(a, a + 1, sizeof(a) - 1)))
		ret = -EILSEQ;
	l->result = (int)ret;
	snprintf(l->detail, sizeof(l->detail), "twice %d bytes, which differ%s", RANDOM_BYTES,
		 ret == -EILSEQ ? ": no" : "");
}

static void test_sound(struct report *t, struct kit_char *c)
{
	static const struct wav_format format = {.channels = 2, .rate = 44100, .bits = 16};
	static uint8_t buf[WAV_HEAD + FRAMES * 4];
	struct ob_selftest_line *l = line(t, "play");
	struct ob_char *chr = &c->chr;
	long ret;

	if (!*c->node) {
		l->result = 1;
		snprintf(l->detail, sizeof(l->detail), "it has nothing to play");
	} else {
		memset(buf, 0, sizeof(buf));
		wav_write_head(buf, &format);
		ret = chr->ops->write(chr, buf, sizeof(buf), 0);
		l->result = ret < 0 ? (int)ret : 0;
		snprintf(l->detail, sizeof(l->detail), "0.1 s of silence by %s", c->node);
	}
	l = line(t, "record");
	if (!*c->record) {
		l->result = 1;
		snprintf(l->detail, sizeof(l->detail), "it has nothing to record");
		return;
	}
	l->result = (int)read_all(chr, buf, sizeof(buf));
	snprintf(l->detail, sizeof(l->detail), "0.1 s by %s", c->record);
}

/* Frames would be somebody else's commands, on a bus that a machine hangs on: nothing is sent. */
static void test_can(struct report *t, struct kit_char *c)
{
	struct ob_selftest_line *l = line(t, "on the bus");

	for (unsigned int i = 0; i < c->nr_ports; i++)
		snprintf(l->detail + strlen(l->detail), sizeof(l->detail) - strlen(l->detail),
			 "%s%s", i ? ", " : "", c->port[i]);
}

static int use(struct report *t, struct kit_char *c)
{
	int ret = c->chr.ops->open(&c->chr);

	if (ret) {
		struct ob_selftest_line *l = line(t, "open");

		l->result = ret;
		snprintf(l->detail, sizeof(l->detail), "/dev/%s of the kernel's",
			 *c->node ? c->node : c->record);
		return ret;
	}
	if (c->kind == OB_KIT_NODE_WATCHDOG)
		test_watchdog(t, &c->chr);
	else if (c->kind == OB_KIT_NODE_RANDOM)
		test_random(t, &c->chr);
	else if (c->kind == OB_KIT_NODE_CAN)
		test_can(t, c);
	else
		test_sound(t, c);
	c->chr.ops->close(&c->chr);
	return 0;
}

int kit_char_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct report t = {.lines = lines, .max = n};
	struct kit_char *c = (struct kit_char *)((char *)b->chr - offsetof(struct kit_char, chr));

	if (c->opened) {
		struct ob_selftest_line *l = line(&t, "open");

		l->result = 1;
		snprintf(l->detail, sizeof(l->detail), "somebody has it open");
		return (int)t.n;
	}
	if (use(&t, c) || !kit_sleep_wanted())
		return (int)t.n;
	kit_sleep_selftest(c->k, line(&t, "suspend and resume"));
	use(&t, c);
	return (int)t.n;
}
