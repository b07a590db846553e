/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare NVMe loop: every shortcut that a program may take that drives one disk of one device model with
 * one kind of request. Registers: NVM Express Base Specification 1.4; QEMU: docs/qemu-backend.md.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/device.h>

#include "bench/floor_machine.h"
#include "bench/nvme_floor.h"

/* Guest addresses, and offsets in the memory. */
enum {
	ADMIN_SQ = 0x100000,
	ADMIN_CQ = 0x101000,
	SQ = 0x110000,
	CQ = 0x120000,
	DATA = 0x200000,
};

enum {
	SQ_ENTRIES = 256,
	CQ_ENTRIES = 1024,
	DEPTH_MAX = 64,
	/* Late enough to be rare, early enough that the completion queue cannot fill. */
	CQ_ACK = CQ_ENTRIES - 1 - DEPTH_MAX,
};

struct sqe {
	uint32_t cdw0, nsid;
	uint64_t rsvd, mptr, prp1, prp2, slba;
	uint32_t cdw12, cdw13, cdw14, cdw15;
};

struct cqe {
	uint32_t result, rsvd;
	uint64_t tail; /* sq head, sq id, command id, phase and status */
};

struct nvme_floor {
	struct floor_machine m;
	uint64_t blocks;
	struct sqe *sq;
	struct cqe *cq;
	unsigned int sq_tail, cq_head, unacked, phase;
	unsigned int admin_tail;
	char sq_door[40], cq_door[40];
	unsigned int sq_door_len, cq_door_len;
	uint64_t seed;
	uint64_t doorbells;
};

/* ---- controller ------------------------------------------------------------------ */

static bool admin(struct nvme_floor *f, uint32_t opcode, uint64_t prp1, uint32_t cdw10,
		  uint32_t cdw11)
{
	struct sqe *sqe = (struct sqe *)(f->m.ram + ADMIN_SQ) + f->admin_tail;
	struct cqe *cqe = (struct cqe *)(f->m.ram + ADMIN_CQ) + f->admin_tail;
	uint64_t end = ob_clock_ns() + 5000000000u;
	uint64_t word;

	memset(sqe, 0, sizeof(*sqe));
	sqe->cdw0 = opcode | f->admin_tail << 16;
	sqe->prp1 = prp1;
	sqe->slba = cdw10 | (uint64_t)cdw11 << 32;
	f->admin_tail++; /* fewer commands than entries: no wrap */
	floor_write(&f->m, 'l', FLOOR_BAR + 0x1000, f->admin_tail);
	do {
		word = __atomic_load_n(&cqe->tail, __ATOMIC_ACQUIRE);
	} while (!(word >> 48 & 1) && !f->m.dead && ob_clock_ns() < end);
	return (word >> 48 & 1) && !(word >> 49);
}

static bool start_controller(struct nvme_floor *f)
{
	floor_machine_enable(&f->m, 4);
	floor_write(&f->m, 'l', FLOOR_BAR + 0x24, 31u << 16 | 31u);
	floor_write(&f->m, 'q', FLOOR_BAR + 0x28, ADMIN_SQ);
	floor_write(&f->m, 'q', FLOOR_BAR + 0x30, ADMIN_CQ);
	floor_write(&f->m, 'l', FLOOR_BAR + 0x14, 4u << 20 | 6u << 16 | 1);
	if (floor_read(&f->m, 'l', FLOOR_BAR + 0x1c) != 1)
		return false;
	f->sq = (struct sqe *)(f->m.ram + SQ);
	f->cq = (struct cqe *)(f->m.ram + CQ);
	f->phase = 1;
	for (unsigned int i = 0; i < SQ_ENTRIES; i++) {
		f->sq[i].nsid = 1;
		f->sq[i].cdw12 = 4096 / 512 - 1;
	}
	f->sq_door_len = (unsigned int)snprintf(f->sq_door, sizeof(f->sq_door), "writel 0x%x 0x",
						FLOOR_BAR + 0x1008);
	f->cq_door_len = (unsigned int)snprintf(f->cq_door, sizeof(f->cq_door), "writel 0x%x 0x",
						FLOOR_BAR + 0x100c);
	/* Create CQ 1 without interrupts, and SQ 1. */
	return admin(f, 5, CQ, (CQ_ENTRIES - 1) << 16 | 1, 1) &&
	       admin(f, 1, SQ, (SQ_ENTRIES - 1) << 16 | 1, 1u << 16 | 1);
}

struct nvme_floor *nvme_floor_open(const char *qemu, uint64_t size)
{
	struct nvme_floor *f = calloc(1, sizeof(*f));
	char blockdev[128];
	const char *args[] = {"-blockdev", blockdev,
			      "-device",   "nvme,id=dev0,addr=4,serial=floor",
			      "-device",   "nvme-ns,bus=dev0,drive=disk,nsid=1",
			      NULL};

	if (!f)
		return NULL;
	f->blocks = size / 512;
	f->seed = 0x9e3779b97f4a7c15ull;
	snprintf(blockdev, sizeof(blockdev),
		 "driver=null-co,node-name=disk,size=%llu,read-zeroes=on",
		 (unsigned long long)size);
	if (floor_machine_start(&f->m, qemu, args) && start_controller(f))
		return f;
	nvme_floor_close(f);
	return NULL;
}

void nvme_floor_close(struct nvme_floor *f)
{
	if (f)
		floor_machine_stop(&f->m);
	free(f);
}

/* ---- the loop -------------------------------------------------------------------- */

/* At most four digits: no queue has more entries. */
static inline void doorbell(struct nvme_floor *f, char *text, unsigned int len, unsigned int val)
{
	static const char digit[16] = "0123456789abcdef";

	text[len] = digit[val >> 8 & 15];
	text[len + 1] = digit[val >> 4 & 15];
	text[len + 2] = digit[val & 15];
	text[len + 3] = '\n';
	f->doorbells++;
	floor_post(&f->m, text, len + 4);
}

static inline void submit(struct nvme_floor *f, unsigned int id)
{
	struct sqe *sqe = &f->sq[f->sq_tail];

	f->sq_tail = (f->sq_tail + 1) % SQ_ENTRIES;
	/* xorshift (Marsaglia 2003), scaled by a multiplication instead of a division */
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	sqe->slba = (uint64_t)((unsigned __int128)f->seed * (f->blocks / 8) >> 64) * 8;
	sqe->cdw0 = 2u | id << 16;
	sqe->prp1 = DATA + id * 4096u;
}

bool nvme_floor_run(void *floor, unsigned int depth, uint64_t ns, bool yield, struct counts *counts)
{
	struct nvme_floor *f = floor;
	uint64_t start = ob_clock_ns(), end = start + ns, now = start;
	uint64_t doorbells = f->doorbells, syscalls = f->m.syscalls;
	unsigned int flying = 0, rounds = 0, empty = 0;

	*counts = (struct counts){0};
	for (; flying < depth; flying++)
		submit(f, flying);
	doorbell(f, f->sq_door, f->sq_door_len, f->sq_tail);
	while (flying) {
		unsigned int done = 0;
		bool more = now < end;

		for (;;) {
			uint64_t word = __atomic_load_n(&f->cq[f->cq_head].tail, __ATOMIC_ACQUIRE);

			if ((word >> 48 & 1) != f->phase)
				break;
			if (++f->cq_head == CQ_ENTRIES) {
				f->cq_head = 0;
				f->phase ^= 1;
			}
			if (word >> 49) /* an error status: the figures would be of nothing */
				f->m.dead = true;
			done++;
			if (more)
				submit(f, word >> 32 & 0xffff);
		}
		if (done) {
			counts->done += done;
			empty = 0;
			if (more)
				doorbell(f, f->sq_door, f->sq_door_len, f->sq_tail);
			else
				flying -= done;
			f->unacked += done;
			if (f->unacked >= CQ_ACK) {
				doorbell(f, f->cq_door, f->cq_door_len, f->cq_head);
				f->unacked = 0;
			}
		} else {
			if (yield)
				sched_yield();
			/* Now and then, so that a QEMU that died is noticed. */
			if (!(++empty & 0xffff))
				floor_poll(&f->m);
		}
		if (f->m.dead)
			return false;
		if (!(++rounds & 15) || !done)
			now = ob_clock_ns();
	}
	counts->doorbells = f->doorbells - doorbells;
	counts->syscalls = f->m.syscalls - syscalls;
	counts->ns = ob_clock_ns() - start;
	return true;
}
