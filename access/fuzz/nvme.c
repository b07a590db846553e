/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller for the fuzz backend: one disk of 64 MiB. NVM Express Base Specification 1.4, sections in
 * brackets.
 */
#include <string.h>

#include "access/fuzz/fuzz.h"

enum {
	CAP = 0x0,
	VS = 0x8,
	CC = 0x14,
	CSTS = 0x1c,
	AQA = 0x24,
	ASQ = 0x28,
	ACQ = 0x30,
	DOORBELLS = 0x1000,
	SQE = 64,
	CQE = 16,
	/* Of commands [5, 6.1]. */
	DELETE_SQ = 0,
	CREATE_SQ = 1,
	GET_LOG = 2,
	DELETE_CQ = 4,
	CREATE_CQ = 5,
	IDENTIFY = 6,
	SET_FEATURES = 9,
	GET_FEATURES = 10,
	AER = 12,
	/* [4.6.1] Invalid field in command, do not retry. */
	INVALID_FIELD = 0x4002,
	LBA_RANGE = 0x4080,
	/* [6] */
	IO_FLUSH = 0,
	IO_WRITE = 1,
	IO_READ = 2,
	IO_WRITE_ZEROES = 8,
	PAGE = 4096,
	SECTOR = 512,
	DISK = 64 << 20,
};

static void nvme_reset(struct fuzz_device *fd)
{
	memset(fd->regs[0], 0, fd->model->bar[0].size);
	memset(fd->queue, 0, sizeof(fd->queue));
	/* 2048 entries, contiguous, 15 times 500 ms, NVM command set [3.1.1]; 1.4. */
	*fuzz_reg(fd, 0, CAP) = 0x0f0107ff;
	*fuzz_reg(fd, 0, CAP + 4) = 1 << 5;
	*fuzz_reg(fd, 0, VS) = 0x00010400;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* [5.15.2] Return: a status. */
static unsigned int identify(struct fuzz_device *fd, const uint32_t *cmd)
{
	uint64_t prp;
	uint8_t *p;

	memcpy(&prp, cmd + 6, 8);
	p = fuzz_memory(fd, prp, PAGE);
	if (!p)
		return INVALID_FIELD;
	memset(p, 0, PAGE);
	switch (cmd[10] & 0xff) {
	case 0: /* name space: size, capacity, use; blocks of 512 */
		p[0] = p[8] = p[16] = 0;
		put32(p, DISK / SECTOR);
		put32(p + 8, DISK / SECTOR);
		put32(p + 16, 0);
		p[128 + 2] = 9;
		break;
	case 1: /* controller */
		put32(p, fd->model->vendor | (uint32_t)fd->model->vendor << 16);
		memset(p + 4, ' ', 20 + 40 + 8);
		memcpy(p + 4, "1", 1);
		memcpy(p + 24, "fuzz", 4);
		memcpy(p + 64, "1", 1);
		p[77] = 5;
		put32(p + 80, 0x00010400);
		p[259] = 3;
		p[512] = 0x66;
		p[513] = 0x44;
		put32(p + 516, 1);
		p[520] = 0x0c; /* data set management, write zeroes */
		p[525] = 1;
		memcpy(p + 768, "nqn.2014-08.org.nvmexpress:uuid:fuzz", 36);
		break;
	case 2: /* active name spaces */
		put32(p, cmd[1] ? 0 : 1);
		break;
	case 3: /* how a name space is named: by nothing */
		break;
	default:
		return INVALID_FIELD;
	}
	fuzz_turn(&fd->data, p, PAGE);
	return 0;
}

static unsigned int create(struct fuzz_device *fd, const uint32_t *cmd, bool completion)
{
	unsigned int id = cmd[10] & 0xffff, size = (cmd[10] >> 16) + 1;
	struct fuzz_nvme_queue *q;
	uint64_t prp;

	memcpy(&prp, cmd + 6, 8);
	if (!id || id >= sizeof(fd->queue) / sizeof(fd->queue[0]))
		return INVALID_FIELD;
	q = &fd->queue[id];
	if (completion) {
		q->cq = prp;
		q->cq_size = size;
		q->cq_tail = 0;
		q->phase = true;
		q->vector = cmd[11] >> 16;
	} else {
		q->sq = prp;
		q->sq_size = size;
		q->sq_head = 0;
	}
	return 0;
}

/* Return: whether it completes; status and result are set. */
static bool admin(struct fuzz_device *fd, const uint32_t *cmd, unsigned int *status,
		  uint32_t *result)
{
	uint64_t prp;
	uint8_t *p;

	switch (cmd[0] & 0xff) {
	case IDENTIFY:
		*status = identify(fd, cmd);
		return true;
	case CREATE_CQ:
	case CREATE_SQ:
		*status = create(fd, cmd, (cmd[0] & 0xff) == CREATE_CQ);
		return true;
	case DELETE_CQ:
	case DELETE_SQ:
		if ((cmd[10] & 0xffff) - 1 < 3)
			*((cmd[0] & 0xff) == DELETE_CQ ? &fd->queue[cmd[10] & 3].cq_size
						       : &fd->queue[cmd[10] & 3].sq_size) = 0;
		return true;
	case GET_LOG:
		memcpy(&prp, cmd + 6, 8);
		p = fuzz_memory(fd, prp, 512);
		if (p) {
			memset(p, 0, 512);
			fuzz_turn(&fd->data, p, 512);
		}
		return true;
	case SET_FEATURES:
	case GET_FEATURES:
		/* Number of queues [5.21.1.7]: two of each. */
		*result = (cmd[10] & 0xff) == 7 ? 0x00010001 : 0;
		return true;
	case AER:
		return false;
	default:
		return true;
	}
}

/* [4.3] Pages one after the other: the first may begin anywhere, more than two stand in a list. Lists do not chain here. */
static unsigned int move(struct fuzz_device *fd, const uint32_t *cmd, uint64_t at, uint64_t len)
{
	uint64_t prp, second, *list, done;

	memcpy(&prp, cmd + 6, 8);
	memcpy(&second, cmd + 8, 8);
	done = PAGE - prp % PAGE < len ? PAGE - prp % PAGE : len;
	fuzz_transfer(fd, at, prp, done, (cmd[0] & 0xff) == IO_READ);
	for (unsigned int i = 0; done < len && i < PAGE / 8; i++) {
		uint64_t n = len - done < PAGE ? len - done : PAGE;

		prp = second;
		if (len - done > PAGE || i) {
			list = fuzz_memory(fd, second + 8ull * i, 8);
			if (!list)
				return INVALID_FIELD;
			prp = *list;
		}
		fuzz_transfer(fd, at + done, prp, n, (cmd[0] & 0xff) == IO_READ);
		done += n;
	}
	return 0;
}

static unsigned int io(struct fuzz_device *fd, const uint32_t *cmd)
{
	uint64_t at, len = ((cmd[12] & 0xffff) + 1ull) * SECTOR;

	memcpy(&at, cmd + 10, 8);
	switch (cmd[0] & 0xff) {
	case IO_READ:
	case IO_WRITE:
	case IO_WRITE_ZEROES:
		if (at >= DISK / SECTOR || len > DISK - at * SECTOR)
			return LBA_RANGE;
		if ((cmd[0] & 0xff) != IO_WRITE_ZEROES)
			return move(fd, cmd, at * SECTOR, len);
		memset(fd->disk + at * SECTOR, 0, len);
		return 0;
	default:
		return 0;
	}
}

static void complete(struct fuzz_device *fd, unsigned int id, uint32_t cid, unsigned int status,
		     uint32_t result)
{
	struct fuzz_nvme_queue *q = &fd->queue[id];
	uint32_t *e;

	if (!q->cq_size)
		return;
	e = fuzz_memory(fd, q->cq + (uint64_t)q->cq_tail * CQE, CQE);
	if (!e)
		return;
	e[0] = result;
	e[1] = 0;
	e[2] = q->sq_head | id << 16;
	e[3] = cid | (q->phase ? 1u << 16 : 0) | status << 17;
	fuzz_turn(&fd->poke, e, CQE);
	if (++q->cq_tail == q->cq_size) {
		q->cq_tail = 0;
		q->phase = !q->phase;
	}
}

static void serve(struct fuzz_device *fd, unsigned int id, uint32_t tail)
{
	struct fuzz_nvme_queue *q = &fd->queue[id];
	bool any = false;

	while (q->sq_size && tail < q->sq_size && q->sq_head != tail) {
		uint32_t *cmd = fuzz_memory(fd, q->sq + (uint64_t)q->sq_head * SQE, SQE);
		unsigned int status = 0;
		uint32_t result = 0;

		q->sq_head = (q->sq_head + 1) % q->sq_size;
		if (!cmd)
			return;
		if (id)
			status = io(fd, cmd);
		if (id || admin(fd, cmd, &status, &result)) {
			complete(fd, id, cmd[0] >> 16, status, result);
			any = true;
		}
	}
	if (any)
		fuzz_interrupt(fd, q->vector);
}

static void nvme_write(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		       uint64_t val)
{
	struct fuzz_nvme_queue *q = &fd->queue[0];

	if (off == CC) {
		/* Enabled is ready, shut down is done [3.1.5, 3.1.6]. */
		*fuzz_reg(fd, 0, CSTS) = (val & 1) | (val >> 14 & 3 ? 2 << 2 : 0);
		memset(fd->queue, 0, sizeof(fd->queue));
		if (!(val & 1))
			return; /* no queues, no DMA [7.3.2] */
		q->sq_size = (*fuzz_reg(fd, 0, AQA) & 0xfff) + 1;
		q->cq_size = (*fuzz_reg(fd, 0, AQA) >> 16 & 0xfff) + 1;
		memcpy(&q->sq, fd->regs[0] + ASQ, 8);
		memcpy(&q->cq, fd->regs[0] + ACQ, 8);
		q->phase = true;
	} else if (off >= DOORBELLS && off < DOORBELLS + 8 * 4 && !(off & 7)) {
		serve(fd, (unsigned int)(off - DOORBELLS) / 8, (uint32_t)val);
	}
}

/* A completion of a command that nobody gave. */
static void nvme_arrive(struct fuzz_device *fd, unsigned int arg, uint32_t value)
{
	unsigned int id = arg & 3;

	complete(fd, id, value & 0xffff, value >> 17, value);
	fuzz_interrupt(fd, fd->queue[id].vector);
}

const struct fuzz_model fuzz_nvme = {
	.name = "nvme",
	.summary = "NVMe controller",
	.vendor = 0x1b36,
	.device = 0x0010,
	.class_code = 0x010802,
	.bar = {{OB_BAR_MEM, 16 << 10}},
	.msix = 4,
	.msix_offset = 0x2000,
	.disk = DISK,
	.reset = nvme_reset,
	.write = nvme_write,
	.arrive = nvme_arrive,
};
