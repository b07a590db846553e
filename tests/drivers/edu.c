/* SPDX-License-Identifier: BSD-2-Clause */
/* The edu driver on QEMU's device: registers, each kind of interrupt, DMA both ways, misuse. */
#include "tests/drivers/device.h"

#include "drivers/edu/edu.h"

#define IRQS 10000

/*
 * On the embedded model, or on a device of the machine's: EDU=vfio:0000:00:05.0 (tests/rig/vfio_drivers.sh). The rig's
 * memory is not the model's: what needs iommu=off is for the model.
 */
static const char *edu(const char *options)
{
	static char text[4][128];
	static unsigned int next;
	const char *spec = getenv("EDU");
	char *out = text[next++ % 4];

	snprintf(out, sizeof(text[0]), "%s%s", spec ? spec : "qemu:edu", options);
	return out;
}

static bool is_embedded(void)
{
	return !getenv("EDU");
}

static int call(struct bound *d, unsigned int cmd, uint64_t *val)
{
	struct ob_char *chr = d->b->chr;

	return chr->ops->ioctl(chr, cmd, val);
}

static long fetch(struct bound *d, void *buf, unsigned long len, uint64_t off)
{
	struct ob_char *chr = d->b->chr;

	return chr->ops->read(chr, buf, len, off);
}

static long store(struct bound *d, const void *buf, unsigned long len, uint64_t off)
{
	struct ob_char *chr = d->b->chr;

	return chr->ops->write(chr, buf, len, off);
}

static void the_selftest_passes(void **state)
{
	struct bound d = bind_spec(edu(""), NULL);

	/* 3 for registers, 2 for each of INTx and MSI, 3 for DMA */
	assert_int_equal(expect_selftest(&d), 10);
	release(&d);
}

static void registers_answer(void **state)
{
	static const uint64_t factorials[] = {1,    1,	   2,	   6,	    24,	      120,	720,
					      5040, 40320, 362880, 3628800, 39916800, 479001600};
	struct bound d = bind_spec(edu(""), NULL);
	uint64_t val = 0;

	assert_int_equal(call(&d, EDU_IDENT, &val), 0);
	assert_int_equal(val & 0xffff, 0xed);
	for (uint64_t i = 0; i < 32; i++) {
		val = 1ull << i;
		assert_int_equal(call(&d, EDU_LIVE, &val), 0);
		assert_int_equal(val, ~(1u << i) & UINT32_MAX);
	}
	for (uint64_t n = 0; n <= EDU_FACTORIAL_MAX; n++) {
		val = n;
		assert_int_equal(call(&d, EDU_FACTORIAL, &val), 0);
		assert_int_equal(val, factorials[n]);
		val = n;
		assert_int_equal(call(&d, EDU_FACTORIAL_IRQ, &val), 0);
		assert_int_equal(val, factorials[n]);
	}
	release(&d);
}

static void ten_thousand_interrupts(enum ob_irq_kind kind)
{
	const struct ob_driver_config config = {.irq_kind = kind};
	struct bound d = bind_spec(edu(""), &config);
	struct ob_access_stats before, after;
	uint64_t val = kind;

	/* It runs with what was asked for. */
	assert_int_equal(call(&d, EDU_IRQ_KIND, &val), 0);
	assert_int_equal(val, kind);
	ob_device_stats(d.dev, &before);
	for (unsigned int i = 1; i <= IRQS; i++) {
		/* Another bit pattern each time, which the interrupt must bring with it. */
		val = i;
		if (call(&d, EDU_RAISE, &val))
			fail_msg("interrupt %u of %u is missing", i, IRQS);
		assert_int_equal(val, i);
	}
	ob_device_stats(d.dev, &after);
	assert_true(after.irqs - before.irqs >= IRQS);
	release(&d);
}

static void ten_thousand_intx_interrupts_arrive(void **state)
{
	ten_thousand_interrupts(OB_IRQ_INTX);
}

static void ten_thousand_msi_interrupts_arrive(void **state)
{
	ten_thousand_interrupts(OB_IRQ_MSI);
}

/* A message is sent for each write, whether the one before was acknowledged or not. */
static void a_burst_of_messages_is_counted_in_full(void **state)
{
	struct ob_device *dev;
	struct ob_error err = {0};
	struct ob_irq *irq;
	unsigned int got = 0;
	struct ob_bar *bar;

	assert_int_equal(ob_device_open(edu(""), &dev, &err), 0);
	bar = ob_device_bar(dev, 0);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	for (unsigned int i = 0; i < IRQS; i++)
		ob_write32(bar, 0x60, 2);
	while (got < IRQS) {
		int n = ob_irq_wait(irq, 10000);

		assert_true(n > 0);
		got += (unsigned int)n;
	}
	assert_int_equal(got, IRQS);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	ob_device_close(dev);
}

static void dma_moves_any_memory_both_ways(const char *spec, enum ob_mode mode)
{
	const struct ob_driver_config config = {.mode = mode};
	struct bound d = bind_spec(spec, &config);
	static uint8_t out[EDU_REACH], in[EDU_REACH + 2];
	uint8_t *arena;

	for (unsigned int i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 13 + 5);

	/* Memory of the process, all of it; guards on both sides of where it comes back. */
	assert_int_equal(store(&d, out, EDU_REACH, 0), EDU_REACH);
	memset(in, 0xee, sizeof(in));
	assert_int_equal(fetch(&d, in + 1, EDU_REACH, 0), EDU_REACH);
	assert_memory_equal(in + 1, out, EDU_REACH);
	assert_int_equal(in[0], 0xee);
	assert_int_equal(in[EDU_REACH + 1], 0xee);

	/* Odd pieces at odd places. */
	assert_int_equal(store(&d, "outboard", 8, 1001), 8);
	memset(in, 0, sizeof(in));
	assert_int_equal(fetch(&d, in, 10, 1000), 10);
	assert_int_equal(in[0], out[1000]);
	assert_memory_equal(in + 1, "outboard", 8);
	assert_int_equal(in[9], out[1009]);

	/* The arena's own. */
	arena = ob_dma_alloc(ob_device_dma(d.dev), 64, 64, "test", NULL);
	assert_non_null(arena);
	assert_int_equal(fetch(&d, arena, 8, 1001), 8);
	assert_memory_equal(arena, "outboard", 8);
	ob_dma_free(ob_device_dma(d.dev), arena);
	release(&d);
}

static void dma_by_interrupt(void **state)
{
	dma_moves_any_memory_both_ways(edu(""), OB_MODE_ADAPTIVE);
}

static void dma_polled(void **state)
{
	dma_moves_any_memory_both_ways(edu(""), OB_MODE_POLL);
}

static void dma_with_pages_mapped_only_while_needed(void **state)
{
	dma_moves_any_memory_both_ways(edu(",dma=strict"), OB_MODE_ADAPTIVE);
}

static void dma_without_an_iommu(void **state)
{
	if (!is_embedded())
		skip();
	dma_moves_any_memory_both_ways(edu(",iommu=off"), OB_MODE_ADAPTIVE);
}

/* As a process leaves it that dies: the memory is not the device's any more when the driver comes. */
static void a_transfer_of_before_does_not_arrive(void **state)
{
	struct bound d = bind_spec(edu(""), NULL);
	struct ob_error err = {0};
	uint8_t own[64], in[64];
	bool arrived = true;
	struct ob_bar *bar;
	ob_iova iova;
	uint8_t *p;

	memset(own, 0x2a, sizeof(own));
	assert_int_equal(store(&d, own, sizeof(own), 0), sizeof(own));
	p = ob_dma_alloc(ob_device_dma(d.dev), 4096, 4096, "of before", &iova);
	assert_non_null(p);
	bar = ob_device_bar(d.dev, 0);
	/* Again where this machine is so slow that the 100 ms of the transfer are over before the driver looks. */
	for (unsigned int i = 0; i < 50 && arrived; i++) {
		ob_driver_unbind(d.b);
		memset(p, 0xd5, sizeof(own));
		ob_write64(bar, 0x80, 0x40000); /* source: its buffer */
		ob_write64(bar, 0x88, iova.addr);
		ob_write64(bar, 0x90, sizeof(own));
		ob_write64(bar, 0x98, 1 | 2); /* run, to memory */
		assert_int_equal(ob_driver_bind(d.dev, NULL, NULL, &d.b, &err), 0);
		assert_int_equal(ob_config_read(d.dev, 4, 2) & 4, 4);
		/* The end of that transfer is not taken for the end of the driver's first. */
		memset(in, 0, sizeof(in));
		assert_int_equal(fetch(&d, in, sizeof(in), 0), sizeof(in));
		assert_memory_equal(in, own, sizeof(in));
		arrived = p[0] != 0xd5;
	}
	assert_false(arrived);
	ob_dma_free(ob_device_dma(d.dev), p);
	release(&d);
}

static void ranges_outside_the_buffer_are_refused(void **state)
{
	struct bound d = bind_spec(edu(""), NULL);
	uint64_t val = 1;
	char buf[16];

	assert_int_equal(fetch(&d, buf, 1, EDU_REACH), -ERANGE);
	assert_int_equal(fetch(&d, buf, 16, EDU_REACH - 15), -ERANGE);
	assert_int_equal(fetch(&d, buf, 16, UINT64_MAX - 7), -ERANGE);
	assert_int_equal(store(&d, buf, EDU_REACH + 1, 0), -ERANGE);
	assert_int_equal(store(&d, buf, ~0ul, 1), -ERANGE);
	assert_int_equal(fetch(&d, buf, 0, EDU_REACH), 0);
	/* And the device has not noticed. */
	assert_int_equal(call(&d, EDU_LIVE, &val), 0);
	release(&d);
}

static void misuse_gets_an_error(void **state)
{
	const struct ob_driver_config config = {.mode = OB_MODE_POLL};
	struct bound d = bind_spec(edu(""), &config);
	uint64_t val = EDU_FACTORIAL_MAX + 1;

	assert_int_equal(call(&d, EDU_FACTORIAL, &val), -ERANGE);
	val = 3;
	assert_int_equal(call(&d, EDU_FACTORIAL_IRQ, &val), -EOPNOTSUPP);
	assert_int_equal(call(&d, EDU_RAISE, &val), -EOPNOTSUPP);
	val = OB_IRQ_MSIX;
	assert_int_equal(call(&d, EDU_IRQ_KIND, &val), -EOPNOTSUPP);
	val = 1000;
	assert_int_equal(call(&d, EDU_IRQ_KIND, &val), -ERANGE);
	assert_int_equal(call(&d, 77, &val), -ENOTTY);
	val = OB_IRQ_INTX;
	assert_int_equal(call(&d, EDU_IRQ_KIND, &val), 0);
	val = 3;
	assert_int_equal(call(&d, EDU_FACTORIAL_IRQ, &val), 0);
	assert_int_equal(val, 6);
	val = 0;
	assert_int_equal(call(&d, EDU_RAISE, &val), -ERANGE);
	release(&d);
}

static void a_kind_of_interrupt_that_it_lacks_is_refused(void **state)
{
	const struct ob_driver_config config = {.irq_kind = OB_IRQ_MSIX};
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;

	assert_int_equal(ob_device_open(edu(""), &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, NULL, &config, &b, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.what, "MSI-X"));
	/* Nothing is left behind by the failure. */
	assert_int_equal(ob_driver_bind(dev, NULL, NULL, &b, &err), 0);
	ob_driver_unbind(b);
	assert_int_equal(ob_driver_bind(dev, NULL, NULL, &b, &err), 0);
	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void a_vanished_device_is_told_at_once(void **state)
{
	uint64_t val = 1;
	struct bound d;
	char buf[16];

	if (!is_embedded())
		skip(); /* tests/vfio/removed.c */
	d = bind_spec(edu(""), NULL);
	assert_int_equal(kill(qemu_pid(), SIGKILL), 0);
	/* Whatever was asked while it died. */
	while (!ob_device_gone(d.dev)) {
		val = 1;
		call(&d, EDU_RAISE, &val);
	}
	assert_int_equal(call(&d, EDU_IDENT, &val), -ENODEV);
	assert_int_equal(call(&d, EDU_RAISE, &val), -ENODEV);
	assert_int_equal(fetch(&d, buf, sizeof(buf), 0), -ENODEV);
	release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_selftest_passes),
		cmocka_unit_test(registers_answer),
		cmocka_unit_test(ten_thousand_intx_interrupts_arrive),
		cmocka_unit_test(ten_thousand_msi_interrupts_arrive),
		cmocka_unit_test(a_burst_of_messages_is_counted_in_full),
		cmocka_unit_test(dma_by_interrupt),
		cmocka_unit_test(dma_polled),
		cmocka_unit_test(dma_with_pages_mapped_only_while_needed),
		cmocka_unit_test(dma_without_an_iommu),
		cmocka_unit_test(a_transfer_of_before_does_not_arrive),
		cmocka_unit_test(ranges_outside_the_buffer_are_refused),
		cmocka_unit_test(misuse_gets_an_error),
		cmocka_unit_test(a_kind_of_interrupt_that_it_lacks_is_refused),
		cmocka_unit_test(a_vanished_device_is_told_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
