/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare NVMe loop: every shortcut that a program may take that drives one disk of one device model with
 * one kind of request. Registers: NVM Express Base Specification 1.4; QEMU: docs/qemu-backend.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/nvme_floor.h"

#define RAM (64u << 20)

/* Guest addresses, and offsets in the memfd; above the firmware's area (1 MiB). */
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
	/* Posted writes whose "OK" was not read: as the backend keeps it. */
	POSTED_MAX = 64,
	POSTED_READ = 32,
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

struct floor {
	pid_t pid;
	int fd;
	char *ram;
	uint64_t bar;
	uint64_t blocks;
	unsigned int posted;
	struct sqe *sq;
	struct cqe *cq;
	unsigned int sq_tail, cq_head, unacked, phase;
	unsigned int admin_tail;
	char sq_door[40], cq_door[40];
	unsigned int sq_door_len, cq_door_len;
	uint64_t seed;
	struct floor_counts counts;
	bool dead;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- qtest ----------------------------------------------------------------------- */

/* Take the OKs that have come; each ends a posted write. */
static void take_replies(struct floor *f, int flags)
{
	char buf[1024];
	ssize_t n = recv(f->fd, buf, sizeof(buf), flags);

	f->counts.syscalls++;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		f->dead = true;
	for (ssize_t i = 0; i < n; i++)
		f->posted -= buf[i] == '\n';
}

static void post(struct floor *f, const char *text, size_t len)
{
	if (f->posted >= POSTED_READ) {
		take_replies(f, MSG_DONTWAIT);
		while (f->posted >= POSTED_MAX && !f->dead)
			take_replies(f, 0);
	}
	if (send(f->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		f->dead = true;
	f->counts.syscalls++;
	f->posted++;
}

/* A command whose value is wanted; everything posted before is answered first. */
static uint64_t ask(struct floor *f, const char *text)
{
	char line[128];
	size_t n = 0;

	while (f->posted && !f->dead)
		take_replies(f, 0);
	if (f->dead || send(f->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		goto dead;
	while (n + 1 < sizeof(line)) {
		ssize_t got = recv(f->fd, line + n, 1, 0);

		if (got != 1)
			goto dead;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	if (!strncmp(line, "OK", 2))
		return n > 4 ? strtoull(line + 3, NULL, 0) : 0;
dead:
	f->dead = true;
	return UINT64_MAX;
}

static uint64_t read_at(struct floor *f, char width, uint64_t addr)
{
	char text[48];

	snprintf(text, sizeof(text), "read%c 0x%llx\n", width, (unsigned long long)addr);
	return ask(f, text);
}

static void write_at(struct floor *f, char width, uint64_t addr, uint64_t val)
{
	char text[64];

	snprintf(text, sizeof(text), "write%c 0x%llx 0x%llx\n", width, (unsigned long long)addr,
		 (unsigned long long)val);
	ask(f, text);
}

static void config_write(struct floor *f, unsigned int devfn, unsigned int reg, uint32_t val)
{
	char text[64];

	snprintf(text, sizeof(text), "outl 0xcf8 0x%x\n", 0x80000000u | devfn << 8 | reg);
	ask(f, text);
	snprintf(text, sizeof(text), "outl 0xcfc 0x%x\n", val);
	ask(f, text);
}

/* ---- QEMU ------------------------------------------------------------------------ */

/* A processor that is parked: hlt everywhere, at the reset vector cli; hlt; jump back. */
static int firmware(void)
{
	static const unsigned char parked[4] = {0xfa, 0xf4, 0xeb, 0xfd};
	int fd = memfd_create("firmware", MFD_CLOEXEC);
	unsigned char image[65536];

	memset(image, 0xf4, sizeof(image));
	memcpy(image + 0xfff0, parked, sizeof(parked));
	if (fd >= 0 && write(fd, image, sizeof(image)) != (ssize_t)sizeof(image)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void run_qemu(const char *qemu, uint64_t size, int sock, int ram, int bios)
{
	char blockdev[128], memory[128];
	const char *argv[] = {
		qemu,
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-accel",
		"tcg,tb-size=1",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine",
		"q35,memory-backend=ram,pit=off,hpet=off,sata=off,smbus=off,i8042=off,vmport=off",
		"-m",
		"64M",
		"-object",
		memory,
		"-chardev",
		"socket,id=qtest,fd=3",
		"-object",
		"qtest,id=qtest0,chardev=qtest,log=none",
		"-bios",
		"/proc/self/fd/6",
		"-blockdev",
		blockdev,
		"-device",
		"nvme,id=dev0,addr=4,serial=floor",
		"-device",
		"nvme-ns,bus=dev0,drive=disk,nsid=1",
		NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(memory, sizeof(memory),
		 "memory-backend-file,id=ram,size=%u,mem-path=/proc/self/fd/4,share=on", RAM);
	snprintf(blockdev, sizeof(blockdev),
		 "driver=null-co,node-name=disk,size=%llu,read-zeroes=on",
		 (unsigned long long)size);
	/* Out of the way first: a target number may be in use by one of the others. */
	sock = fcntl(sock, F_DUPFD, 10);
	ram = fcntl(ram, F_DUPFD, 10);
	bios = fcntl(bios, F_DUPFD, 10);
	dup2(sock, 3);
	dup2(ram, 4);
	dup2(bios, 6);
	close(sock);
	close(ram);
	close(bios);
	close(0);
	if (open("/dev/null", O_RDONLY) == 0)
		execvp(qemu, (char *const *)argv);
	_exit(127);
}

static bool start_qemu(struct floor *f, const char *qemu, uint64_t size)
{
	int ram = memfd_create("ram", MFD_CLOEXEC), bios = firmware();
	int sv[2] = {-1, -1};
	bool ok = false;

	if (ram < 0 || bios < 0 || ftruncate(ram, RAM) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		goto out;
	f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	if (f->ram == MAP_FAILED) {
		f->ram = NULL;
		goto out;
	}
	f->pid = fork();
	if (!f->pid)
		run_qemu(qemu, size, sv[1], ram, bios);
	f->fd = sv[0];
	sv[0] = -1;
	ok = f->pid > 0;
out:
	for (int i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
	if (ram >= 0)
		close(ram);
	if (bios >= 0)
		close(bios);
	return ok;
}

/* ---- controller ------------------------------------------------------------------ */

static bool admin(struct floor *f, uint32_t opcode, uint64_t prp1, uint32_t cdw10, uint32_t cdw11)
{
	struct sqe *sqe = (struct sqe *)(f->ram + ADMIN_SQ) + f->admin_tail;
	struct cqe *cqe = (struct cqe *)(f->ram + ADMIN_CQ) + f->admin_tail;
	uint64_t end = now_ns() + 5000000000u;
	uint64_t word;

	memset(sqe, 0, sizeof(*sqe));
	sqe->cdw0 = opcode | f->admin_tail << 16;
	sqe->prp1 = prp1;
	sqe->slba = cdw10 | (uint64_t)cdw11 << 32;
	f->admin_tail++; /* fewer commands than entries: no wrap */
	write_at(f, 'l', f->bar + 0x1000, f->admin_tail);
	do {
		word = __atomic_load_n(&cqe->tail, __ATOMIC_ACQUIRE);
	} while (!(word >> 48 & 1) && !f->dead && now_ns() < end);
	return (word >> 48 & 1) && !(word >> 49);
}

static bool start_controller(struct floor *f)
{
	f->bar = 0xc0000000;
	config_write(f, 4 << 3, 0x10, (uint32_t)f->bar);
	config_write(f, 4 << 3, 0x14, 0);
	config_write(f, 4 << 3, 0x04, 6); /* memory, bus master */
	write_at(f, 'l', f->bar + 0x24, 31u << 16 | 31u);
	write_at(f, 'q', f->bar + 0x28, ADMIN_SQ);
	write_at(f, 'q', f->bar + 0x30, ADMIN_CQ);
	write_at(f, 'l', f->bar + 0x14, 4u << 20 | 6u << 16 | 1);
	if (read_at(f, 'l', f->bar + 0x1c) != 1)
		return false;
	f->sq = (struct sqe *)(f->ram + SQ);
	f->cq = (struct cqe *)(f->ram + CQ);
	f->phase = 1;
	for (unsigned int i = 0; i < SQ_ENTRIES; i++) {
		f->sq[i].nsid = 1;
		f->sq[i].cdw12 = 4096 / 512 - 1;
	}
	f->sq_door_len = (unsigned int)snprintf(f->sq_door, sizeof(f->sq_door), "writel 0x%llx 0x",
						(unsigned long long)f->bar + 0x1008);
	f->cq_door_len = (unsigned int)snprintf(f->cq_door, sizeof(f->cq_door), "writel 0x%llx 0x",
						(unsigned long long)f->bar + 0x100c);
	/* Create CQ 1 without interrupts, and SQ 1. */
	return admin(f, 5, CQ, (CQ_ENTRIES - 1) << 16 | 1, 1) &&
	       admin(f, 1, SQ, (SQ_ENTRIES - 1) << 16 | 1, 1u << 16 | 1);
}

struct floor *floor_open(const char *qemu, uint64_t size, char *why, unsigned int why_size)
{
	struct floor *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fd = -1;
	f->blocks = size / 512;
	f->seed = 0x9e3779b97f4a7c15ull;
	if (start_qemu(f, qemu, size) && start_controller(f))
		return f;
	snprintf(why, why_size, "the floor's %s did not start", qemu);
	floor_close(f);
	return NULL;
}

void floor_close(struct floor *f)
{
	if (!f)
		return;
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	if (f->fd >= 0)
		close(f->fd);
	if (f->ram)
		munmap(f->ram, RAM);
	free(f);
}

/* ---- the loop -------------------------------------------------------------------- */

/* At most four digits: no queue has more entries. */
static inline void doorbell(struct floor *f, char *text, unsigned int len, unsigned int val)
{
	static const char digit[16] = "0123456789abcdef";

	text[len] = digit[val >> 8 & 15];
	text[len + 1] = digit[val >> 4 & 15];
	text[len + 2] = digit[val & 15];
	text[len + 3] = '\n';
	f->counts.doorbells++;
	post(f, text, len + 4);
}

static inline void submit(struct floor *f, unsigned int id)
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

uint64_t floor_run(struct floor *f, unsigned int depth, uint64_t ns, bool yield,
		   struct floor_counts *counts)
{
	uint64_t start = now_ns(), end = start + ns, now = start;
	unsigned int flying = 0, rounds = 0, empty = 0;

	f->counts = (struct floor_counts){0};
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
				f->dead = true;
			done++;
			if (more)
				submit(f, word >> 32 & 0xffff);
		}
		if (done) {
			f->counts.requests += done;
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
				take_replies(f, MSG_DONTWAIT);
		}
		if (f->dead)
			return 0;
		if (!(++rounds & 15) || !done)
			now = now_ns();
	}
	*counts = f->counts;
	return now_ns() - start;
}
