/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What include/outboard/access.h promises of a device, held against real ones with uio_pci_generic: claims, INTx, registers,
 * ports, reset, removal. In the rig, by tests/rig/uio.sh, without an IOMMU.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "tests/uio/rig.h"

#define IRQS 1000

/* ---- claims ------------------------------------------------------------------------------------ */

static void a_device_says_that_nothing_confines_it(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K");
	struct ob_fault fault;

	assert_string_equal(ob_device_info(dev)->backend, "uio");
	assert_string_equal(ob_device_info(dev)->name, rig_device("RIG_EDU"));
	assert_int_equal(ob_device_info(dev)->vendor, 0x1234);
	assert_int_equal(ob_device_info(dev)->device, 0x11e8);
	assert_false(ob_device_info(dev)->iommu);
	assert_int_equal(ob_device_faults(dev, &fault, 1), -EOPNOTSUPP);
	ob_device_close(dev);
}

static void a_second_claim_names_the_holder(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K");
	char pid[32];
	pid_t child;
	int status;

	snprintf(pid, sizeof(pid), "process %d (", getpid());
	uio_refused("RIG_EDU", "", -EBUSY, pid);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct ob_device *second;
		struct ob_error err = {0};
		int ret = uio_try("RIG_EDU", "", &second, &err);

		_exit(ret == -EBUSY && strstr(err.why, pid) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* The refused ones have not spoilt it: closing /dev/uioN switches bus mastering off. */
	assert_int_equal(rig_command(rig_device("RIG_EDU")) & 4, 4);
	ob_device_close(dev);
	ob_device_close(uio_open("RIG_EDU", ",arena=64K"));
}

/* UIO itself lets anybody open a second time, and we could not drive it together. */
static void another_program_that_has_the_node_open_is_named(void **state)
{
	struct rig_holder holder;
	char node[64], pid[32];

	snprintf(node, sizeof(node), "/dev/uio%s", getenv("RIG_EDU_UIO"));
	holder = rig_hold(node);
	snprintf(pid, sizeof(pid), "process %d (", holder.pid);
	uio_refused("RIG_EDU", "", -EBUSY, pid);
	rig_let_go(&holder);
}

static void a_claimed_device_cannot_be_taken_by_a_kernel_driver(void **state)
{
	struct ob_device *dev = uio_open("RIG_E1000E", ",arena=64K");

	rig_not_taken_by_the_kernel(dev, rig_device("RIG_E1000E"), "e1000e", "uio_pci_generic");
	/* Still ours: 82574 STATUS is not all ones. */
	assert_int_not_equal(ob_read32(ob_device_bar(dev, 0), 8), UINT32_MAX);
	ob_device_close(dev);
}

static void bus_mastering_is_on_while_a_device_is_open_only(void **state)
{
	rig_masters_until_close(uio_open("RIG_EDU", ",arena=64K"), rig_device("RIG_EDU"));
}

static void options_that_make_no_sense_are_refused(void **state)
{
	uio_refused("RIG_EDU", ",arean=1M", -EINVAL, "arean");
	uio_refused("RIG_EDU", ",arena=1K", -EINVAL, "out of range");
	uio_refused("RIG_EDU", ",dma=strict,arena=64K", -EINVAL, "needs an IOMMU");
	uio_refused("RIG_EDU", ",pages=big", -EINVAL, "hugetlb");
	/* And leave nothing held. */
	ob_device_close(uio_open("RIG_EDU", ",arena=64K"));
}

static void other_drivers_are_named_with_what_to_type(void **state)
{
	struct ob_error err = {0};
	struct ob_device *dev;

	uio_refused("RIG_VIRTIO_NET", "", -EBUSY, "virtio-pci does");
	uio_refused("RIG_VIRTIO_NET", "", -EBUSY, "outboard bind");
	assert_int_equal(ob_device_open("uio:0000:7f:1f.7", &dev, &err), -ENODEV);
	assert_non_null(strstr(err.what, "0000:7f:1f.7"));
	assert_int_equal(ob_device_open("uio:edu", &dev, &err), -EINVAL);
}

static void a_bare_address_is_taken_by_uio(void **state)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char spec[64];

	snprintf(spec, sizeof(spec), "%s,arena=64K", rig_device("RIG_EDU"));
	assert_int_equal(ob_device_open(spec, &dev, &err), 0);
	assert_string_equal(ob_device_info(dev)->backend, "uio");
	ob_device_close(dev);
}

/* ---- INTx -------------------------------------------------------------------------------------- */

struct edu {
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_irq *irq;
};

static void edu_with_intx(struct edu *e)
{
	struct ob_error err = {0};

	e->dev = uio_open("RIG_EDU", ",arena=64K");
	e->bar = ob_device_bar(e->dev, 0);
	ob_write32(e->bar, EDU_IRQ_ACK, UINT32_MAX);
	assert_int_equal(ob_irq_enable(e->dev, OB_IRQ_INTX, 1, &err), 0);
	assert_int_equal(ob_irq_open(e->dev, 0, 0, &e->irq, &err), 0);
}

static void raise_and_flush(struct edu *e)
{
	ob_write32(e->bar, EDU_IRQ_RAISE, 1);
	ob_device_flush(e->dev);
}

/* Takes one and lets the next come. */
static void serve(struct edu *e)
{
	assert_int_equal(ob_irq_wait(e->irq, 60000), 1);
	ob_write32(e->bar, EDU_IRQ_ACK, UINT32_MAX);
	assert_int_equal(ob_irq_unmask(e->irq), 0);
}

static void each_interrupt_is_counted_once(void **state)
{
	struct ob_access_stats stats;
	struct edu e;

	edu_with_intx(&e);
	for (unsigned int i = 0; i < IRQS; i++) {
		raise_and_flush(&e);
		serve(&e);
	}
	assert_int_equal(ob_irq_wait(e.irq, 50), 0);
	ob_device_stats(e.dev, &stats);
	assert_int_equal(stats.irqs, IRQS);
	ob_device_close(e.dev);
}

static void messages_do_not_exist_here(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K");
	struct ob_error err = {0};
	enum ob_irq_kind kind;

	assert_int_equal(ob_irq_count(dev, OB_IRQ_MSI), 0);
	assert_int_equal(ob_irq_count(dev, OB_IRQ_MSIX), 0);
	assert_int_equal(ob_irq_count(dev, OB_IRQ_INTX), 1);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), -EOPNOTSUPP);
	assert_int_equal(ob_irq_enable_best(dev, 4, &kind, &err), 1);
	assert_int_equal(kind, OB_IRQ_INTX);
	ob_device_close(dev);
}

static void what_comes_while_masked_is_delivered_by_unmask(void **state)
{
	struct edu e;

	edu_with_intx(&e);
	assert_int_equal(ob_irq_mask(e.irq), 0);
	raise_and_flush(&e);
	assert_int_equal(ob_irq_wait(e.irq, 50), 0);
	assert_int_equal(ob_irq_unmask(e.irq), 0);
	serve(&e);
	/* Not served, only unmasked: a line that is still asserted comes again. */
	raise_and_flush(&e);
	assert_int_equal(ob_irq_wait(e.irq, 60000), 1);
	assert_int_equal(ob_irq_wait(e.irq, 50), 0);
	assert_int_equal(ob_irq_unmask(e.irq), 0);
	serve(&e);
	ob_device_close(e.dev);
}

static void after_disable_nothing_comes_and_enable_brings_what_waits(void **state)
{
	struct ob_error err = {0};
	struct edu e;

	edu_with_intx(&e);
	ob_irq_disable(e.dev);
	raise_and_flush(&e);
	assert_int_equal(ob_irq_wait(e.irq, 50), 0);
	assert_int_equal(ob_irq_enable(e.dev, OB_IRQ_INTX, 1, &err), 0);
	serve(&e);
	assert_int_equal(ob_irq_wait(e.irq, 50), 0);
	ob_device_close(e.dev);
}

/* Between its reading and its writing of the command register the kernel masks INTx, or we unmask it. */
static void *write_command(void *arg)
{
	struct edu *e = arg;

	while (__atomic_load_n(&e->irq, __ATOMIC_RELAXED)) {
		uint32_t command = ob_config_read(e->dev, 4, 2);

		ob_config_write(e->dev, 4, 2, command ^ 0x100); /* SERR#, which nobody uses */
		ob_config_write(e->dev, 4, 2,
				command | 0x400); /* INTx disable is not the driver's */
		ob_config_write(e->dev, 4, 2, command & ~0x400u);
	}
	return NULL;
}

static void writes_to_the_command_register_lose_no_interrupt(void **state)
{
	pthread_t thread;
	struct edu e, other;

	edu_with_intx(&e);
	other = e;
	assert_int_equal(pthread_create(&thread, NULL, write_command, &other), 0);
	for (unsigned int i = 0; i < IRQS; i++) {
		int n;

		raise_and_flush(&e);
		/* One that is delivered twice does no harm, one that is lost ends here. */
		n = ob_irq_wait(e.irq, 60000);
		assert_true(n >= 1);
		ob_write32(e.bar, EDU_IRQ_ACK, UINT32_MAX);
		assert_int_equal(ob_irq_unmask(e.irq), 0);
	}
	__atomic_store_n(&other.irq, NULL, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(ob_config_read(e.dev, 4, 2) & 4, 4);
	ob_device_close(e.dev);
}

/* ---- registers, ports, reset ------------------------------------------------------------------- */

static void a_bar_of_less_than_a_page_is_mapped_where_it_is(void **state)
{
	struct ob_device *dev = uio_open("RIG_PCNET", ",arena=64K");
	struct ob_bar *ports = ob_device_bar(dev, 0), *regs = ob_device_bar(dev, 1);

	assert_non_null(ports);
	assert_non_null(regs);
	assert_int_equal(ports->kind, OB_BAR_IO);
	assert_int_equal(regs->kind, OB_BAR_MEM);
	assert_true(regs->size < 4096);
	/* Am79C970A: the first 16 bytes hold the MAC address, by ports and by memory alike. */
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(ob_read8(ports, i), ob_read8(regs, i));
	assert_int_equal(ob_read8(regs, 0), 0x52);
	ob_device_close(dev);
}

static void *read_port(void *arg)
{
	const struct ob_bar *ports = arg;

	return (void *)(uintptr_t)ob_read8(ports, 0);
}

/* ioperm(2) is a thread's own, and this one is there before the first access of any. */
static void ports_can_be_used_from_any_thread(void **state)
{
	struct ob_device *dev = uio_open("RIG_PCNET", ",arena=64K");
	struct ob_bar *ports = ob_device_bar(dev, 0);
	pthread_t thread;
	void *first, *second = NULL;

	assert_int_equal(pthread_create(&thread, NULL, read_port, ports), 0);
	pthread_join(thread, &first);
	second = read_port(ports);
	assert_ptr_equal(first, second);
	assert_int_equal((uintptr_t)first, 0x52);
	ob_device_close(dev);
}

static void legacy_ports_of_the_kernel_are_refused_and_free_ones_given(void **state)
{
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K");
	struct ob_error err = {0};
	struct ob_bar bar, again;

	/* 8254: the kernel's timer. */
	assert_int_equal(ob_ports_claim(dev, 0x40, 4, &bar, &err), -EBUSY);
	assert_non_null(strstr(err.why, "timer"));
	/* The fourth serial port, which this machine lacks. */
	assert_int_equal(ob_ports_claim(dev, 0x2e8, 4, &bar, &err), 0);
	assert_int_equal(ob_ports_claim(dev, 0x2e8, 4, &again, &err), 0);
	ob_read8(&bar, 0);
	assert_int_equal(ob_read8(&bar, 4), 0xff);
	ob_device_close(dev);
}

static void after_a_function_reset_the_device_is_as_after_open(void **state)
{
	struct ob_device *dev = uio_open("RIG_NVME", ",arena=64K");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	struct ob_irq *irq;

	/* By function-level reset; QEMU 7.2's model keeps most registers over it, so look at what the kernel puts back. */
	assert_int_equal(ob_device_reset(dev, &err), 0);
	assert_int_equal(ob_config_read(dev, 4, 2) & 6, 6);
	assert_int_not_equal(ob_read32(bar, 8), UINT32_MAX); /* VS */
	ob_device_close(dev);

	/* This one comes back from a power state, and its interrupt with it. */
	dev = uio_open("RIG_E1000E", ",arena=64K");
	bar = ob_device_bar(dev, 0);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_INTX, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	assert_int_equal(ob_device_reset(dev, &err), 0);
	assert_int_equal(ob_config_read(dev, 4, 2) & 7, 7);
	ob_write32(bar, 0xd0, 4); /* IMS: link status change */
	ob_write32(bar, 0xc8, 4); /* ICS: raise it */
	assert_true(ob_irq_wait(irq, 60000) >= 1);
	ob_write32(bar, 0xd8, UINT32_MAX); /* IMC */
	ob_device_close(dev);

	dev = uio_open("RIG_EDU", ",arena=64K");
	assert_int_equal(ob_device_reset(dev, &err), -EOPNOTSUPP);
	ob_device_close(dev);
}

/* Only where the kernel knows a way, as for NVMe: by what function-level reset does to the table of MSI-X, also in QEMU's model. */
static void an_open_resets_what_an_earlier_one_left(void **state)
{
	struct ob_device *dev = uio_open("RIG_NVME", ",arena=64K");
	unsigned int cap = ob_pci_capability(dev, 0x11), at;
	uint32_t table = ob_config_read(dev, cap + 4, 4); /* offset, and the BAR in 3 bits */

	assert_int_not_equal(cap, 0);
	assert_int_equal(table & 7, 0);
	at = (table & ~7u) + 8; /* the data of its first message [PCI 3.0, 6.8.2] */
	ob_write32(ob_device_bar(dev, 0), at, 0x4142);
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), at), 0x4142);
	ob_device_close(dev);
	dev = uio_open("RIG_NVME", ",arena=64K");
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), at), 0);
	assert_int_equal(ob_config_read(dev, 4, 2) & 6, 6);
	ob_device_close(dev);
}

/* ---- loss -------------------------------------------------------------------------------------- */

static void *wait_for_ever(void *arg)
{
	return (void *)(intptr_t)ob_irq_wait(arg, -1);
}

static void lose(const char *path, const char *text)
{
	struct ob_access_stats stats;
	pthread_t thread;
	struct edu e;
	void *ret;

	edu_with_intx(&e);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, e.irq), 0);
	usleep(20000);
	assert_int_equal(rig_sysfs_write(path, text), 0);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, -ENODEV);
	WAIT_FOR(ob_device_gone(e.dev));
	assert_int_equal(ob_read32(e.bar, EDU_IDENT), UINT32_MAX);
	ob_write32(e.bar, EDU_IRQ_RAISE, 1);
	assert_int_equal(ob_config_read(e.dev, 0, 4), UINT32_MAX);
	assert_int_equal(ob_irq_unmask(e.irq), -ENODEV);
	ob_device_stats(e.dev, &stats);
	ob_device_close(e.dev);
}

static void a_device_that_is_taken_away_is_gone(void **state)
{
	const char *bdf = rig_device("RIG_EDU");
	char path[96];

	lose("/sys/bus/pci/drivers/uio_pci_generic/unbind", bdf);
	assert_int_equal(rig_command(bdf) & 4, 0);
	assert_int_equal(rig_sysfs_write("/sys/bus/pci/drivers_probe", bdf), 0);
	ob_device_close(uio_open("RIG_EDU", ",arena=64K"));

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", bdf);
	lose(path, "1");
	assert_int_equal(rig_sysfs_write("/sys/bus/pci/rescan", "1"), 0);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	assert_int_equal(rig_sysfs_write(path, "uio_pci_generic"), 0);
	assert_int_equal(rig_sysfs_write("/sys/bus/pci/drivers_probe", bdf), 0);
	ob_device_close(uio_open("RIG_EDU", ",arena=64K"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_says_that_nothing_confines_it),
		cmocka_unit_test(a_second_claim_names_the_holder),
		cmocka_unit_test(another_program_that_has_the_node_open_is_named),
		cmocka_unit_test(a_claimed_device_cannot_be_taken_by_a_kernel_driver),
		cmocka_unit_test(bus_mastering_is_on_while_a_device_is_open_only),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
		cmocka_unit_test(other_drivers_are_named_with_what_to_type),
		cmocka_unit_test(a_bare_address_is_taken_by_uio),
		cmocka_unit_test(each_interrupt_is_counted_once),
		cmocka_unit_test(messages_do_not_exist_here),
		cmocka_unit_test(what_comes_while_masked_is_delivered_by_unmask),
		cmocka_unit_test(after_disable_nothing_comes_and_enable_brings_what_waits),
		cmocka_unit_test(writes_to_the_command_register_lose_no_interrupt),
		cmocka_unit_test(a_bar_of_less_than_a_page_is_mapped_where_it_is),
		cmocka_unit_test(ports_can_be_used_from_any_thread),
		cmocka_unit_test(legacy_ports_of_the_kernel_are_refused_and_free_ones_given),
		cmocka_unit_test(after_a_function_reset_the_device_is_as_after_open),
		cmocka_unit_test(an_open_resets_what_an_earlier_one_left),
		cmocka_unit_test(a_device_that_is_taken_away_is_gone),
	};

	setenv("OUTBOARD_LOG", "error", 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
