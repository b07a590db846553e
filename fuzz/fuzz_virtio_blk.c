/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever a driver writes to the ring of a virtio disk (VIRTIO 1.2, 5.2), against a disk of memory: nothing is read or written but
 * the driver's memory and the disk, every request that was taken ends, and all payload memory comes back.
 *
 * First byte: 1 the disk ends requests in another order; 2 it is read-only; 4 memory in pieces of 100 bytes; 8 no
 * indirect descriptors. The rest is the driver's memory, from the rings on.
 */
#include "fuzz/fuzz.h"

/* Its request path, without the kernel that would make the device: */
#include "attach/vduse_blk.c"
/* The tests' disk and rings are no part of the library. */
#include "tests/attach/ram_disk.c"
#include "tests/attach/vring_driver.h"

enum {
	DISK = 64 << 10,
	ROUNDS = 1000, /* a server that goes on for longer hangs */
};

static struct ram_disk ram;
static struct ob_loop *loop;
static struct vduse_blk b;
static struct vring_driver d;
static struct virtqueue_log log_;

static void start(void)
{
	struct ob_spec spec;

	ram_disk_init(&ram, DISK);
	ram.arena_size = 16 << 20;
	ram.blk.limits.depth = 4;
	ram.blk.limits.max_transfer = 4096;
	ram.blk.limits.max_zeroes = ram.blk.limits.max_discard = 8192;
	b.queues = 1;
	b.queue_size = VRING_NUM;
	b.tags = calloc(VRING_NUM, sizeof(*b.tags));
	if (!b.tags || ob_spec_parse("attach:x,depth=6,memory=4M", &spec, NULL) ||
	    ram_disk_open(&ram) || ob_loop_create(OB_MODE_ADAPTIVE, &loop) ||
	    disk_open(&b.disk, &ram.blk, &spec.device, loop, VRING_NUM, &blk_disk_ops, &b, NULL))
		__builtin_trap();
	b.v.memory.fd = -1;
	b.v.dev = &ram.dev;
	b.v.config.queues = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtqueue_layout layout = {
		.num = VRING_NUM,
		.desc = VRING_DESC,
		.avail = VRING_AVAIL,
		.used = VRING_USED,
		.event_idx = true,
	};
	unsigned int rounds = 0;
	uint64_t after = 0;

	if (!b.tags)
		start();
	if (!size)
		return 0;
	atomic_store(&ram.shuffle, !!(*data & 1));
	ram.blk.limits.read_only = *data & 2;
	vring_driver_init(&d);
	d.piece_max = *data & 4 ? 100 : 0;
	layout.indirect = !(*data & 8);
	CHECK(!virtqueue_init(&b.v.queue[0], &layout, &d.map, &log_, false));
	memcpy(d.memory, data + 1, size - 1 < VRING_MEMORY ? size - 1 : VRING_MEMORY);
	vring_used(&d)->idx = 0;
	b.v.running = true;
	blk_start(&b);
	do {
		blk_work(&b, 4);
		ob_loop_once(loop, 0);
		CHECK(++rounds < ROUNDS);
		/* What was served is offered again, for a while, until the driver's last word is on another page. */
	} while (b.inflight || virtqueue_pending(&b.v.queue[0]));
	b.v.running = false;
	CHECK(!b.disk.inflight && !b.inflight);
	CHECK(b.disk.payload.free == b.disk.payload.pages);
	/* A chain that broke the ring is out for ever; nothing else may be. */
	CHECK(b.v.queue[0].broken || virtqueue_resumed(&b.v.queue[0], &after) < 0);
	return 0;
}
