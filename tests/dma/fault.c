/* SPDX-License-Identifier: BSD-2-Clause */
/* The fault-injection wrapper: what was asked for happens, nothing else does, and it can be repeated. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/access_private.h"
#include "access/fault.h"
#include "tests/dma/fake.h"

enum {
	CELLS = 64,
};

/**
 * struct rig - 64 memory cells as registers, a command register and vectors that the test raises; and the
 * wrapper's device above
 */
struct rig {
	struct fake *fake;
	struct ob_access_ops ops;
	struct ob_device upper;
	pthread_mutex_t lock[2];
	uint64_t cell[CELLS];
	unsigned int reads, writes;
	uint32_t command;
};

static struct rig *rig; /* one at a time */

static uint64_t cell_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	rig->reads++;
	return rig->cell[off / 8];
}

static void cell_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	rig->writes++;
	rig->cell[off / 8] = val;
}

static int cell_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	if (write)
		rig->command = *val;
	else
		*val = off == 4 ? rig->command : 0x12345678;
	return 0;
}

static unsigned int two_vectors(struct ob_device *dev, enum ob_irq_kind kind)
{
	return kind == OB_IRQ_MSI ? 2 : 0;
}

static int enable_vectors(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			  struct ob_error *err)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (dev->vector[i].fd < 0)
			dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
	}
	return 0;
}

static void disable_vectors(struct ob_device *dev)
{
}

static int open_rig(const char *options, struct ob_error *err)
{
	char text[256];
	struct ob_spec spec;
	struct ob_device *lower, *upper;
	unsigned int i;
	int ret;

	rig = calloc(1, sizeof(*rig));
	assert_non_null(rig);
	rig->fake = fake_open(OB_DMA_POOLED, 1 << 20, true);
	lower = &rig->fake->dev;
	upper = &rig->upper;
	rig->ops = *lower->ops;
	rig->ops.read = cell_read;
	rig->ops.write = cell_write;
	rig->ops.config = cell_config;
	rig->ops.irq_count = two_vectors;
	rig->ops.irq_enable = enable_vectors;
	rig->ops.irq_disable = disable_vectors;
	rig->command = 7;
	lower->ops = &rig->ops;
	lower->removal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lower->bar[0] = (struct ob_bar){.size = CELLS * 8, .kind = OB_BAR_MEM, .dev = lower};
	upper->lower = lower;
	upper->info = lower->info;
	upper->log = lower->log;
	upper->log_arg = lower->log_arg;
	upper->dma = lower->dma;
	upper->bar[0] = lower->bar[0];
	upper->bar[0].dev = upper;
	upper->bar[0].priv = &lower->bar[0];
	for (i = 0; i < OB_IRQ_VECTORS; i++)
		lower->vector[i].fd = upper->vector[i].fd = -1;
	pthread_mutex_init(&rig->lock[0], NULL);
	pthread_mutex_init(&rig->lock[1], NULL);
	lower->sync = &rig->lock[0];
	upper->sync = &rig->lock[1];

	snprintf(text, sizeof(text), "fault[%s]:qemu:edu", options);
	assert_int_equal(ob_spec_parse(text, &spec, err), 0);
	ret = ob_wrapper_fault.wrap(&spec.wrapper[0], upper, err);
	if (ret)
		upper->ops = NULL;
	return ret;
}

static void close_rig(void)
{
	struct ob_device *lower = &rig->fake->dev;
	unsigned int i;

	if (rig->upper.ops) {
		ob_irq_close_all(&rig->upper);
		rig->upper.ops->close(&rig->upper);
	}
	for (i = 0; i < OB_IRQ_VECTORS; i++) {
		if (lower->vector[i].fd >= 0)
			close(lower->vector[i].fd);
	}
	close(lower->removal_fd);
	fake_close(rig->fake);
	free(rig);
	rig = NULL;
}

static void must_open(const char *options)
{
	struct ob_error err;

	if (open_rig(options, &err))
		fail_msg("%s", err.what);
}

static uint64_t count_of(enum fault_kind kind)
{
	uint64_t counts[FAULT_KINDS];

	assert_int_equal(fault_counts(&rig->upper, counts), 0);
	return counts[kind];
}

static void without_a_chance_nothing_is_changed(void **state)
{
	struct ob_bar *bar;
	unsigned int i;

	must_open("seed=3");
	bar = &rig->upper.bar[0];
	for (i = 0; i < 1000; i++) {
		ob_write64(bar, i % CELLS * 8, i * 0x100000001ull);
		assert_true(ob_read64(bar, i % CELLS * 8) == i * 0x100000001ull);
		assert_int_equal(ob_read8(bar, i % CELLS * 8), i & 0xff);
	}
	assert_int_equal(ob_config_read(&rig->upper, 0, 4), 0x12345678);
	for (i = 0; i < FAULT_KINDS; i++)
		assert_int_equal(count_of(i), 0);
	close_rig();
}

static void a_certain_fault_happens_each_time(void **state)
{
	struct ob_bar *bar;
	unsigned int i;

	must_open("ones=1,write=1,config=1");
	bar = &rig->upper.bar[0];
	for (i = 0; i < 100; i++) {
		ob_write32(bar, 8, 0x55);
		assert_int_equal(ob_read32(bar, 8), 0xffffffff);
		assert_true(ob_config_read(&rig->upper, 0, 4) != 0x12345678);
	}
	assert_int_equal(rig->writes, 0);
	assert_int_equal(count_of(FAULT_WRITE), 100);
	assert_int_equal(count_of(FAULT_ONES), 100);
	assert_int_equal(count_of(FAULT_CONFIG), 100);
	close_rig();

	must_open("read=1/1");
	for (i = 0; i < 100; i++)
		assert_true(ob_read64(&rig->upper.bar[0], 16) != 0);
	close_rig();
}

static unsigned int run_seed(const char *options, uint64_t *values, unsigned int n)
{
	unsigned int i, faults;

	must_open(options);
	for (i = 0; i < CELLS; i++)
		rig->cell[i] = i;
	for (i = 0; i < n; i++)
		values[i] = ob_read64(&rig->upper.bar[0], i % CELLS * 8);
	faults = (unsigned int)count_of(FAULT_READ);
	close_rig();
	return faults;
}

static void the_seed_decides_what_happens(void **state)
{
	enum {
		N = 10000
	};
	static uint64_t a[N], b[N], c[N];
	unsigned int faults = run_seed("read=0.1,seed=5", a, N), i, changed = 0;

	/* 1000 expected; six standard deviations are 180. */
	assert_in_range(faults, 820, 1180);
	for (i = 0; i < N; i++)
		changed += a[i] != i % CELLS;
	assert_int_equal(changed, faults);
	assert_int_equal(run_seed("read=0.1,seed=5", b, N), faults);
	assert_memory_equal(a, b, sizeof(a));
	run_seed("read=0.1,seed=6", c, N);
	assert_memory_not_equal(a, c, sizeof(a));
}

static void after_and_max_bound_the_faults(void **state)
{
	unsigned int i;

	must_open("ones=1,after=50,max=3");
	for (i = 0; i < 100; i++)
		assert_int_equal(ob_read32(&rig->upper.bar[0], 0),
				 i < 50 || i >= 53 ? 0 : 0xffffffff);
	assert_int_equal(count_of(FAULT_ONES), 3);
	close_rig();
}

static void gone_removes_the_device_at_that_access(void **state)
{
	struct pollfd pfd;
	struct ob_irq *irq;
	unsigned int i;

	must_open("gone=10");
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 2, NULL), 0);
	assert_int_equal(ob_irq_open(&rig->upper, 1, 0, &irq, NULL), 0);
	pfd = (struct pollfd){.fd = ob_device_removal_fd(&rig->upper), .events = POLLIN};
	for (i = 1; i < 10; i++)
		assert_int_equal(ob_read32(&rig->upper.bar[0], 0), 0);
	assert_false(ob_device_gone(&rig->upper));
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(ob_read32(&rig->upper.bar[0], 0), 0xffffffff);
	assert_true(ob_device_gone(&rig->upper));
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(ob_irq_wait(irq, 0), -ENODEV);
	ob_write32(&rig->upper.bar[0], 0, 1);
	assert_int_equal(rig->writes, 0);
	/* It cannot do DMA any more either. */
	assert_int_equal(rig->command & 4, 0);
	assert_int_equal(count_of(FAULT_GONE), 1);
	close_rig();
}

static void scribble_hits_only_memory_with_the_label(void **state)
{
	char *ring, *cq, *other;
	unsigned int i, changed = 0;

	must_open("scribble=ring,rate=1");
	ring = ob_dma_alloc(rig->upper.dma, 4096, 1, "rx ring", NULL);
	cq = ob_dma_alloc(rig->upper.dma, 4096, 1, "tx ring 1", NULL);
	other = ob_dma_alloc(rig->upper.dma, 4096, 1, "buffers", NULL);
	for (i = 0; i < 200; i++)
		ob_write32(&rig->upper.bar[0], 0, i);
	assert_int_equal(count_of(FAULT_SCRIBBLE), 200);
	for (i = 0; i < 4096; i++) {
		assert_int_equal(other[i], 0);
		changed |= ring[i] ? 1 : 0;
		changed |= cq[i] ? 2 : 0;
	}
	assert_int_equal(changed, 3);
	ob_dma_free(rig->upper.dma, ring);
	ob_dma_free(rig->upper.dma, cq);
	ob_dma_free(rig->upper.dma, other);
	/* Nothing to hit: nothing is counted. */
	ob_write32(&rig->upper.bar[0], 0, i);
	assert_int_equal(count_of(FAULT_SCRIBBLE), 200);
	close_rig();
}

static void raise_vector(unsigned int vec)
{
	const uint64_t one = 1;

	assert_int_equal(write(rig->fake->dev.vector[vec].fd, &one, sizeof(one)), sizeof(one));
}

static void swallowed_interrupts_do_not_arrive(void **state)
{
	struct ob_irq *irq[2];
	unsigned int i;

	must_open("irq=1,max=5");
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 2, NULL), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(ob_irq_open(&rig->upper, i, 0, &irq[i], NULL), 0);
	for (i = 0; i < 5; i++) {
		raise_vector(0);
		while (count_of(FAULT_IRQ) == i)
			usleep(100);
	}
	assert_int_equal(ob_irq_wait(irq[0], 0), 0);
	/* The limit is reached: from now on they come, each at its own vector. */
	raise_vector(1);
	assert_int_equal(ob_irq_wait(irq[1], 10000), 1);
	assert_int_equal(ob_irq_wait(irq[0], 0), 0);

	/* Off and on again. */
	ob_irq_disable(&rig->upper);
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 2, NULL), 0);
	raise_vector(0);
	assert_int_equal(ob_irq_wait(irq[0], 10000), 1);
	close_rig();
}

static void spurious_interrupts_come_without_a_cause(void **state)
{
	struct ob_irq *irq;

	must_open("spurious=1");
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 1, NULL), 0);
	assert_int_equal(ob_irq_open(&rig->upper, 0, 0, &irq, NULL), 0);
	assert_int_equal(ob_irq_wait(irq, 0), 0);
	ob_read32(&rig->upper.bar[0], 0);
	ob_write32(&rig->upper.bar[0], 0, 1);
	assert_int_equal(ob_irq_wait(irq, 10000), 2);
	assert_int_equal(count_of(FAULT_SPURIOUS), 2);
	close_rig();
}

static void a_storm_comes_on_each_vector_until_the_limit(void **state)
{
	struct ob_irq *irq[2];
	unsigned int i, count[2] = {0};

	must_open("storm=10000,max=100");
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 2, NULL), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(ob_irq_open(&rig->upper, i, 0, &irq[i], NULL), 0);
	while (count_of(FAULT_SPURIOUS) < 100)
		usleep(100);
	/* The storm is over with these. */
	ob_irq_disable(&rig->upper);
	assert_int_equal(count_of(FAULT_SPURIOUS), 100);
	close_rig();

	/* Those of the device come, too. */
	must_open("storm=1000,max=2");
	assert_int_equal(ob_irq_enable(&rig->upper, OB_IRQ_MSI, 2, NULL), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(ob_irq_open(&rig->upper, i, 0, &irq[i], NULL), 0);
	for (i = 0; i < 2; i++) {
		while (!count[i])
			count[i] += (unsigned int)ob_irq_wait(irq[i], 10000);
		raise_vector(i);
		assert_true(ob_irq_wait(irq[i], 10000) > 0);
	}
	close_rig();
}

static void bars_are_cut(void **state)
{
	must_open("bars=128");
	assert_int_equal(rig->upper.bar[0].size, 128);
	assert_int_equal(rig->fake->dev.bar[0].size, CELLS * 8);
	close_rig();
	must_open("bars=1M");
	assert_int_equal(rig->upper.bar[0].size, CELLS * 8);
	close_rig();
}

static void wrong_options_are_named(void **state)
{
	static const struct {
		const char *options, *words;
	} wrong[] = {
		{"read=1.5", "read='1.5' is not a probability"},
		{"ones=2/1", "ones='2/1' is not"},
		{"write=", "write='' is not"},
		{"write=1/0", "write='1/0' is not"},
		{"irq=0.1x", "irq='0.1x' is not"},
		{"config=-1", "config='-1' is not"},
		{"gone=0", "out of range"},
		{"storm=100001", "out of range"},
		{"bars=8", "out of range"},
		{"seed=abc", "not a number"},
		{"scribble=", "scribble='' is not the label"},
		{"reed=0.5", "has no option 'reed'"},
	};
	struct ob_error err;
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(open_rig(wrong[i].options, &err), -EINVAL);
		if (!strstr(err.what, wrong[i].words))
			fail_msg("%s: %s", wrong[i].options, err.what);
		close_rig();
	}
}

static void every_option_is_in_the_help(void **state)
{
	static const char *const keys[] = {"seed",     "read", "ones",	   "write", "config",
					   "scribble", "rate", "spurious", "irq",   "gone",
					   "after",    "max",  "storm",	   "bars"};
	unsigned int i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char start[32];

		snprintf(start, sizeof(start), "%s=", keys[i]);
		assert_non_null(strstr(fault_help(), start));
	}
}

static void counts_are_logged_at_close(void **state)
{
	struct ob_device *lower;

	must_open("ones=1,seed=9");
	lower = &rig->fake->dev;
	ob_read32(&rig->upper.bar[0], 0);
	rig->upper.ops->close(&rig->upper);
	rig->upper.ops = NULL;
	assert_non_null(strstr(((struct fake *)lower->priv)->log,
			       "faults injected: 1 reads all ones; 1 register accesses, seed 9"));
	close_rig();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_chance_nothing_is_changed),
		cmocka_unit_test(a_certain_fault_happens_each_time),
		cmocka_unit_test(the_seed_decides_what_happens),
		cmocka_unit_test(after_and_max_bound_the_faults),
		cmocka_unit_test(gone_removes_the_device_at_that_access),
		cmocka_unit_test(scribble_hits_only_memory_with_the_label),
		cmocka_unit_test(swallowed_interrupts_do_not_arrive),
		cmocka_unit_test(spurious_interrupts_come_without_a_cause),
		cmocka_unit_test(a_storm_comes_on_each_vector_until_the_limit),
		cmocka_unit_test(bars_are_cut),
		cmocka_unit_test(wrong_options_are_named),
		cmocka_unit_test(every_option_is_in_the_help),
		cmocka_unit_test(counts_are_logged_at_close),
	};

	unsetenv("OUTBOARD_DMA_DEBUG"); /* the tests say themselves when they want it */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
