/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault campaign's client of a disk: an NBD connection that is made anew when it breaks, with requests asked again until they
 * were answered, as the protocol wants it. Every acknowledged write is read back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#include "tests/campaign/faults.h"

enum {
	BLOCKS = 64,
	/* One for zeroes, behind the others. */
	ZEROES = BLOCKS,
	DEPTH = 6,
	ROUNDS = 3,
	LONG = 4, /* blocks of a longer request */
	CHECK_MS = 20000,
};

enum what {
	READ,
	WRITE,
	FLUSH,
	ZERO,
};

struct request {
	enum what what;
	unsigned int block, n;
	uint32_t flags;
	char *buf;
	int64_t cookie;
	bool done, failed;
};

static struct nbd_handle *nbd;
static uint32_t begun[BLOCKS], acked[BLOCKS];
static char *memory;
static uint64_t rng;
static bool zeroes;

static void disconnect(void)
{
	nbd_close(nbd);
	nbd = NULL;
}

/* Return: connected before @until */
static bool connect_until(uint64_t until)
{
	const char *uri = getenv("OUTBOARD_URI");

	while (now_ns() < until) {
		const struct timespec pause = {.tv_nsec = 300000};

		nbd = nbd_create();
		if (!nbd)
			return false;
		if (!nbd_aio_connect_uri(nbd, uri)) {
			while (now_ns() < until && !nbd_aio_is_ready(nbd) &&
			       !nbd_aio_is_dead(nbd) && !nbd_aio_is_closed(nbd))
				if (nbd_poll(nbd, 20) < 0)
					break;
			if (nbd_aio_is_ready(nbd))
				return true;
		}
		disconnect();
		nanosleep(&pause, NULL);
	}
	return false;
}

static void ask(struct request *r)
{
	const uint64_t at = (uint64_t)r->block * BLOCK, len = (uint64_t)r->n * BLOCK;

	switch (r->what) {
	case READ:
		r->cookie = nbd_aio_pread(nbd, r->buf, len, at, NBD_NULL_COMPLETION, 0);
		break;
	case WRITE:
		r->cookie = nbd_aio_pwrite(nbd, r->buf, len, at, NBD_NULL_COMPLETION, r->flags);
		break;
	case FLUSH:
		r->cookie = nbd_aio_flush(nbd, NBD_NULL_COMPLETION, 0);
		break;
	case ZERO:
		r->cookie = nbd_aio_zero(nbd, len, at, NBD_NULL_COMPLETION, 0);
		break;
	}
}

/* Return: how many are still to be answered */
static unsigned int take_answers(struct request *r, unsigned int n)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < n; i++) {
		int ret;

		if (r[i].done)
			continue;
		ret = r[i].cookie < 0 ? 0 : nbd_aio_command_completed(nbd, (uint64_t)r[i].cookie);
		/* What was under way when the connection broke has no answer. */
		if (ret < 0 && (!nbd_aio_is_ready(nbd) && !nbd_aio_is_processing(nbd))) {
			left++;
			continue;
		}
		r[i].done = ret != 0;
		r[i].failed = ret < 0;
		left += !ret;
	}
	return left;
}

/* All together; asked again until they are answered. Return: false when @until has come */
static bool burst(struct request *r, unsigned int n, uint64_t until)
{
	bool asked = false;

	for (;;) {
		if (!nbd && !connect_until(until))
			return false;
		for (unsigned int i = 0; !asked && i < n; i++)
			if (!r[i].done)
				ask(&r[i]);
		asked = true;
		if (!take_answers(r, n))
			return true;
		if (now_ns() >= until)
			return false;
		if (nbd_poll(nbd, 20) < 0 || nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd)) {
			take_answers(r, n);
			disconnect();
			asked = false;
		}
	}
}

/* Return: blocks that are not what can be there; each is told on standard error */
static unsigned int judge(const struct request *r)
{
	unsigned int bad = 0;

	for (unsigned int i = 0; i < r->n; i++) {
		unsigned int b = r->block + i;
		uint32_t generation;
		const char *what = block_judge(r->buf + (size_t)i * BLOCK, o.seed, b, acked[b],
					       begun[b], &generation);

		if (what)
			fprintf(stderr,
				"faults: block %u: %s (it says %u; acknowledged %u, begun %u)\n", b,
				what, generation, acked[b], begun[b]);
		bad += what != NULL;
	}
	return bad;
}

static void account(const struct request *r, unsigned int n, struct outcome *out)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!r[i].done)
			continue;
		out->errors += r[i].failed;
		if (r[i].failed)
			continue;
		if (r[i].what == READ && r[i].block < BLOCKS)
			out->wrong += judge(&r[i]);
		for (unsigned int k = 0; r[i].what == WRITE && k < r[i].n; k++)
			if (r[i].block < BLOCKS)
				acked[r[i].block + k] = begun[r[i].block + k];
	}
}

/* Writes and reads of blocks of their own each, so that what is read is told by what was acknowledged. */
static unsigned int fill_round(struct request *r, unsigned int round)
{
	unsigned int n = 0, at = (unsigned int)(next_random(&rng) % BLOCKS);

	for (; n < DEPTH; n++) {
		struct request *q = &r[n];

		*q = (struct request){
			.what = n & 1 ? READ : WRITE,
			.block = at,
			.n = n < 2 ? LONG : 1,
			.flags = n == 2 && nbd && nbd_can_fua(nbd) > 0 ? LIBNBD_CMD_FLAG_FUA : 0,
			.buf = memory + (size_t)n * LONG * BLOCK};
		if (q->block + q->n > BLOCKS)
			q->block = 0;
		at = (q->block + q->n) % BLOCKS;
		for (unsigned int i = 0; q->what == WRITE && i < q->n; i++)
			block_fill(q->buf + (size_t)i * BLOCK, o.seed, q->block + i,
				   ++begun[q->block + i]);
	}
	if (round == 1)
		r[n++] = (struct request){.what = FLUSH};
	return n;
}

static bool is_zero(const char *buf)
{
	for (unsigned int i = 0; i < BLOCK; i++)
		if (buf[i])
			return false;
	return true;
}

/* Something, then zeroes, is zeroes. */
static bool zero(struct outcome *out, uint64_t until)
{
	struct request r[] = {{.what = WRITE, .block = ZEROES, .n = 1, .buf = memory},
			      {.what = ZERO, .block = ZEROES, .n = 1},
			      {.what = READ, .block = ZEROES, .n = 1, .buf = memory}};

	memset(memory, 0x5a, BLOCK);
	for (unsigned int i = 0; i < 3; i++) {
		if (!burst(&r[i], 1, until))
			return false;
		account(&r[i], 1, out);
	}
	out->wrong += !r[0].failed && !r[1].failed && !r[2].failed && !is_zero(memory);
	return true;
}

static void disk_work(struct outcome *out)
{
	uint64_t until = now_ns() + o.patience_ms * (NS / 1000);
	struct request r[DEPTH + 1];
	bool all = true;

	for (unsigned int round = 0; round < ROUNDS && all; round++) {
		unsigned int n = fill_round(r, round);

		all = burst(r, n, until);
		account(r, n, out);
	}
	if (all && zeroes)
		all = zero(out, until);
	out->late = !all;
	/* Where requests are left, the buffers are theirs until the connection ends. */
	if (!all && nbd)
		disconnect();
}

/* Return: the request was answered well; else it is told why the instance ends */
static bool ask_once(struct request *r, uint64_t until)
{
	const char *what = r->what == WRITE ? "write" : "read";

	r->done = r->failed = false;
	if (!burst(r, 1, until))
		fprintf(stderr, "faults: nobody answers a %s for %u ms\n", what, CHECK_MS);
	else if (r->failed)
		fprintf(stderr, "faults: a process without a fault cannot %s: %s\n", what,
			nbd_get_error());
	return r->done && !r->failed;
}

/* All blocks, and then anew, so that what is wrong is counted once. */
static bool disk_check(struct outcome *out)
{
	uint64_t until = now_ns() + CHECK_MS * (NS / 1000);
	struct request r = {.what = READ, .n = BLOCKS, .buf = memory};
	unsigned int bad;

	if (!ask_once(&r, until))
		return false;
	bad = judge(&r);
	out->lost += bad;
	if (!bad)
		return true;
	r = (struct request){.what = WRITE, .n = BLOCKS, .buf = memory};
	for (unsigned int i = 0; i < BLOCKS; i++)
		block_fill(memory + (size_t)i * BLOCK, o.seed, i, ++begun[i]);
	if (!ask_once(&r, until))
		return false;
	memcpy(acked, begun, sizeof(acked));
	return true;
}

static bool disk_begin(void)
{
	struct outcome out = {0};

	rng = o.seed * 1000 + o.shard + 1;
	memory = aligned_alloc(BLOCK, (size_t)BLOCKS * BLOCK);
	if (!memory || !connect_until(now_ns() + CHECK_MS * (NS / 1000)))
		return false;
	zeroes = nbd_can_zero(nbd) > 0;
	/* A control: without a fault all is well. */
	disk_work(&out);
	return !out.late && !out.errors && !out.wrong && disk_check(&out) && !out.lost;
}

const struct client disk_nvme = {
	.driver = "nvme",
	.model = "nvme",
	.start_ms = 2500,
	.disk = true,
	.begin = disk_begin,
	.work = disk_work,
	.check = disk_check,
};

const struct client disk_ide = {
	.driver = "ide",
	.model = "piix3-ide",
	/* Channels are reset, and every byte of what identifies a disk is a message to QEMU. */
	.start_ms = 6000,
	.disk = true,
	.begin = disk_begin,
	.work = disk_work,
	.check = disk_check,
};
