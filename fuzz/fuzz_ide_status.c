/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IDE command path (drivers/ide/channel.c) against a controller whose status, error and bus master
 * registers say whatever the input says, in any order, while two disks are used, time passes, and the
 * device may vanish: each request ends once, with a status, and the device is only ever pointed at
 * memory of requests that it has.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/access.h>

#include "drivers/ide/ide.h"
#include "fuzz/fuzz.h"

enum {
	REQUESTS = 24, /* per disk */
	DEPTH = 16,
	GROUP_COMMAND = 1,
	GROUP_CONTROL,
	GROUP_BUS_MASTER,
};

struct client {
	struct ide_disk *disk;
	struct ob_block_req req[REQUESTS];
	bool busy[REQUESTS];
	unsigned int in_flight;
};

struct harness {
	const uint8_t *data;
	size_t left;
	struct ob_device dev;
	struct ob_bar bar[3];
	struct ide_controller ide;
	struct ide_chip chip;
	struct ide_prd prd[IDE_PRDS];
	struct client client[2];
	uint64_t now;
};

/* The driver's pauses after a reset teach us nothing. */
int usleep(useconds_t us)
{
	(void)us;
	return 0;
}

static uint8_t next_byte(struct harness *h, uint8_t otherwise)
{
	if (!h->left)
		return otherwise;
	h->left--;
	return *h->data++;
}

static uint64_t lie(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct harness *h = bar->dev->priv;
	uint8_t honest = (uintptr_t)bar->priv == GROUP_BUS_MASTER ? BM_INTERRUPT : ATA_DRDY;

	/* Once the input is used up the device behaves, so that everything comes to an end. */
	return next_byte(h, honest);
}

/* Does [address, address + bytes) belong to a request that is in flight? */
static bool is_wanted(const struct harness *h, uint64_t address, uint64_t bytes)
{
	for (int c = 0; c < 2; c++)
		for (int i = 0; i < REQUESTS; i++) {
			const struct ob_block_req *r = &h->client[c].req[i];

			if (h->client[c].busy[i] && r->op != OB_BLOCK_FLUSH &&
			    address >= r->iova.addr && address + bytes <= r->iova.addr + r->len)
				return true;
		}
	return false;
}

static void check_table(const struct harness *h)
{
	for (int i = 0; i < IDE_PRDS; i++) {
		uint32_t address = le32toh(h->prd[i].address), count = le32toh(h->prd[i].count);
		uint32_t bytes = count & 0xffff ? count & 0xffff : 0x10000;

		CHECK(!(address & 1) && !(bytes & 1));
		CHECK((address & 0xffff) + bytes <= 0x10000);
		CHECK(is_wanted(h, address, bytes));
		if (count & PRD_LAST)
			return;
	}
	CHECK(!"a table without an end");
}

static void see_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct harness *h = bar->dev->priv;

	if ((uintptr_t)bar->priv != GROUP_BUS_MASTER)
		return;
	if (off == BM_TABLE)
		CHECK(val == h->ide.channel[0].prd_iova.addr);
	if (off == BM_COMMAND && val & BM_START)
		check_table(h);
}

static int config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		  uint32_t *val)
{
	if (!write)
		*val = next_byte(dev->priv, 0);
	return 0;
}

static void flush(struct ob_device *dev)
{
}

static void no_log(void *arg, enum ob_log_level level, const char *line)
{
}

static const struct ob_access_ops ops = {
	.name = "fuzz",
	.read = lie,
	.write = see_write,
	.config = config,
	.flush = flush,
};

static void submit(struct harness *h, struct client *c)
{
	unsigned int n = 0, want = next_byte(h, 0) % 8 + 1, taken;
	struct ob_block_req *reqs[8];
	struct ob_block *blk = &c->disk->blk;

	for (unsigned int i = 0; i < REQUESTS && n < want; i++) {
		struct ob_block_req *r = &c->req[i];
		uint8_t how = next_byte(h, 0);
		uint64_t blocks = 1 + next_byte(h, 0);
		/* Often where the last one ended, so that there is something to merge. */
		uint64_t at = how & 0x80 && n ? (reqs[n - 1]->offset + reqs[n - 1]->len) / 512
					      : (uint64_t)next_byte(h, 0) << (how >> 2 & 31);

		if (c->busy[i])
			continue;
		*r = (struct ob_block_req){.op = how & 3 ? how & 1 : OB_BLOCK_FLUSH};
		if (r->op != OB_BLOCK_FLUSH) {
			r->offset = at * 512 % (blk->limits.size - 256 * 512);
			r->len = (uint32_t)blocks * 512;
			/* Anywhere below 4 GiB, and sometimes where the device cannot reach. */
			r->iova.addr = (uint64_t)next_byte(h, 1) << 24 | next_byte(h, 0) << 8;
			if (how == 0x7f)
				r->iova.addr |= 1ull << 33;
			if (how & 0x40 && r->op == OB_BLOCK_WRITE && c->disk->id.fua)
				r->flags = OB_BLOCK_FUA;
		}
		reqs[n++] = r;
		c->busy[i] = true;
	}
	if (!n)
		return;
	taken = blk->ops->submit(blk, 0, reqs, n);
	CHECK(taken <= n);
	for (unsigned int i = taken; i < n; i++)
		c->busy[reqs[i] - c->req] = false;
	c->in_flight += taken;
	CHECK(c->in_flight <= DEPTH);
}

static void complete(struct client *c)
{
	struct ob_block *blk = &c->disk->blk;
	struct ob_block_req *reqs[4];
	unsigned int n = blk->ops->complete(blk, 0, reqs, 4);

	CHECK(n <= 4 && n <= c->in_flight);
	for (unsigned int i = 0; i < n; i++) {
		CHECK(reqs[i] >= c->req && reqs[i] < c->req + REQUESTS);
		CHECK(c->busy[reqs[i] - c->req]);
		CHECK(reqs[i]->status <= 0);
		c->busy[reqs[i] - c->req] = false;
	}
	c->in_flight -= n;
}

static void set_up(struct harness *h)
{
	struct ide_channel *ch = &h->ide.channel[0];
	uint8_t how = next_byte(h, 0);

	h->dev.ops = &ops;
	h->dev.priv = h;
	h->dev.log = no_log;
	h->dev.removal_fd = -1;
	for (int i = 0; i < OB_IRQ_VECTORS; i++)
		h->dev.vector[i].fd = -1;
	for (uintptr_t i = 0; i < 3; i++)
		h->bar[i] = (struct ob_bar){
			.size = 16, .kind = OB_BAR_IO, .dev = &h->dev, .priv = (void *)(i + 1)};
	if (how & 1) {
		h->chip.latch_reg[0] = 0x50;
		h->chip.latch_bit[0] = 4;
	}
	h->ide.dev = &h->dev;
	h->ide.chip = &h->chip;
	ch->ide = &h->ide;
	ch->cmd.bar = &h->bar[0];
	ch->ctl.bar = &h->bar[1];
	ch->bm.bar = &h->bar[2];
	ch->prd = h->prd;
	ch->prd_iova.addr = 0x1000;
	ch->selected = -1;
	ch->timeout_ms = 1;
	ch->shared = true;
	pthread_mutex_init(&ch->lock, NULL);
	for (unsigned int unit = 0; unit < 2; unit++) {
		struct ide_disk *disk = calloc(1, sizeof(*disk));

		CHECK(disk);
		disk->ch = ch;
		disk->unit = unit;
		disk->shift = 9;
		disk->wake_fd = -1;
		disk->id.lba48 = true;
		disk->id.fua = how & 2;
		disk->id.flush = true;
		disk->blk.ops = &ide_block_ops;
		disk->blk.dev = &h->dev;
		disk->blk.limits.size = 1ull << 40;
		disk->blk.limits.max_transfer = 1 << 20;
		disk->blk.limits.depth = DEPTH;
		ch->disk[unit] = disk;
		h->client[unit].disk = disk;
		CHECK(!ide_block_ops.start(&disk->blk, NULL));
	}
}

static void tear_down(struct harness *h)
{
	for (int i = 0; i < 2; i++) {
		struct client *c = &h->client[i];

		c->disk->blk.ops->stop(&c->disk->blk);
		for (int rounds = 0; c->in_flight; rounds++) {
			CHECK(rounds < 2 * DEPTH); /* stop has ended them all */
			complete(c);
		}
	}
	for (int i = 0; i < 2; i++)
		free(h->client[i].disk);
	pthread_mutex_destroy(&h->ide.channel[0].lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct harness *h = calloc(1, sizeof(*h));

	CHECK(h);
	h->data = data;
	h->left = size;
	h->now = 1000000000;
	set_up(h);
	while (h->left) {
		uint8_t what = next_byte(h, 0);
		struct client *c = &h->client[what >> 7];
		struct ob_block *blk = &c->disk->blk;

		switch (what & 7) {
		case 0:
		case 1:
			submit(h, c);
			break;
		case 2:
		case 3:
			complete(c);
			break;
		case 4:
			h->now += 100000000ull << (what >> 3 & 15);
			blk->ops->tick(blk, h->now);
			break;
		case 5:
			blk->ops->irq_arm(blk, 0, what & 8);
			break;
		case 6:
			blk->ops->stop(blk);
			/* All of its requests have ended; only an own reset can have made it dead. */
			blk->ops->start(blk, NULL);
			break;
		case 7:
			if (what == 0xff)
				ob_device_set_gone(&h->dev);
			break;
		}
	}
	tear_down(h);
	free(h);
	return 0;
}
