/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCG plugin of rig/vm --counting: the instructions that the guest executes between the markers of rig/marker.h, user and kernel
 * apart. Built at run time for the QEMU that is there; there is no package with QEMU's plugin header, so what is used of it is
 * declared here (docs/devel/tcg-plugins of QEMU; the API's versions are those of QEMU_PLUGIN_VERSION there):
 * version 1 (QEMU up to 8), 2 (9.0: counters are scoreboards, one per processor), 3 (9.1: instructions are copied out).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef RIG_PLUGIN_API
#define RIG_PLUGIN_API 1
#endif

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef uint64_t qemu_plugin_id_t;

#define QEMU_PLUGIN_INLINE_ADD_U64 0
#define QEMU_PLUGIN_CB_NO_REGS	   0

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void *),
				    void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int, void *), int flags,
					    void *data);
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv);

#define EXPORTED __attribute__((visibility("default")))

extern int qemu_plugin_version;
EXPORTED int qemu_plugin_version = RIG_PLUGIN_API;

enum mode {
	USER,
	KERNEL,
	MODES
};

#if RIG_PLUGIN_API == 1

void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *ptr,
					      uint64_t imm);

static uint64_t counters[MODES];

static void counters_init(void)
{
}

static uint64_t counter_read(enum mode mode)
{
	return counters[mode];
}

static void counter_add(struct qemu_plugin_tb *tb, enum mode mode, uint64_t n)
{
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &counters[mode],
						 n);
}

#else

struct qemu_plugin_scoreboard;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op,
						       qemu_plugin_u64 entry, uint64_t imm);

static qemu_plugin_u64 counters[MODES];

static void counters_init(void)
{
	int mode;

	for (mode = 0; mode < MODES; mode++)
		counters[mode].score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
}

static uint64_t counter_read(enum mode mode)
{
	return qemu_plugin_u64_sum(counters[mode]);
}

static void counter_add(struct qemu_plugin_tb *tb, enum mode mode, uint64_t n)
{
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
							  counters[mode], n);
}

#endif

#if RIG_PLUGIN_API < 3

const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);

static void insn_bytes(const struct qemu_plugin_insn *insn, uint8_t *bytes, size_t n)
{
	memcpy(bytes, qemu_plugin_insn_data(insn), n);
}

#else

size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);

static void insn_bytes(const struct qemu_plugin_insn *insn, uint8_t *bytes, size_t n)
{
	qemu_plugin_insn_data(insn, bytes, n);
}

#endif

#define LABELS 256

static uint64_t begun[LABELS][MODES];
static FILE *out;

/* The marker is nopl 0x5a5aKKLL(%rax,%rax,1): KK 1 begins, 2 ends, LL is the label. */
static const uint8_t marker_head[4] = {0x0f, 0x1f, 0x84, 0x00};

static void marker_executed(unsigned int vcpu, void *data)
{
	unsigned int label = (uintptr_t)data & 0xff;
	bool end = (uintptr_t)data >> 8 == 2;
	uint64_t user = counter_read(USER), kernel = counter_read(KERNEL);

	if (!end) {
		begun[label][USER] = user;
		begun[label][KERNEL] = kernel;
		return;
	}
	fprintf(out, "count %u user %lu kernel %lu\n", label, user - begun[label][USER],
		kernel - begun[label][KERNEL]);
	/* The guest may read the file next. */
	fflush(out);
}

static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	uint8_t bytes[8];

	if (!n)
		return;
	/* A block is charged as a whole when it is entered: a constant of some instructions per window. */
	counter_add(tb,
		    qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)) >> 63 ? KERNEL : USER,
		    n);
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(insn) != sizeof(bytes))
			continue;
		insn_bytes(insn, bytes, sizeof(bytes));
		if (memcmp(bytes, marker_head, sizeof(marker_head)) || bytes[6] != 0x5a ||
		    bytes[7] != 0x5a)
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(
			insn, marker_executed, QEMU_PLUGIN_CB_NO_REGS,
			(void *)(uintptr_t)(bytes[4] | bytes[5] << 8));
	}
}

static void ends(qemu_plugin_id_t id, void *data)
{
	fprintf(out, "total user %lu kernel %lu\n", counter_read(USER), counter_read(KERNEL));
	fclose(out);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
				 char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	}
	if (!out) {
		fprintf(stderr, "rig/count.c: no out=FILE that can be written\n");
		return -1;
	}
	counters_init();
	qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
	qemu_plugin_register_atexit_cb(id, ends, NULL);
	return 0;
}
