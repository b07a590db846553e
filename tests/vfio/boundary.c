/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What include/outboard/access.h promises of a device, held against real ones behind VFIO: claims, vectors, configuration
 * space, resets, maps. In the rig, by tests/rig/vfio_boundary.sh.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "tests/vfio/rig.h"

#define IRQS 1000

/* ---- claims ------------------------------------------------------------------------------------ */

static void a_second_claim_names_the_holder(void **state)
{
	struct ob_device *dev = rig_open("RIG_EDU", ""), *second;
	struct ob_error err = {0};
	char spec[64], text[2048], pid[32];
	pid_t child;
	int status;

	snprintf(spec, sizeof(spec), "vfio:%s", rig_device("RIG_EDU"));
	assert_int_equal(ob_device_open(spec, &second, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	assert_non_null(strstr(ob_error_text(&err, text, sizeof(text)), pid));

	child = fork();
	assert_true(child >= 0);
	if (!child) {
		/* Another process sees the pid of this one. */
		int ret = ob_device_open(spec, &second, &err);

		ob_error_text(&err, text, sizeof(text));
		_exit(ret == -EBUSY && strstr(text, pid) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	ob_device_close(dev);
	/* And it is free again. */
	ob_device_close(rig_open("RIG_EDU", ""));
}

/* Somebody who does not ask us, like a virtual machine, has only the kernel's word for it. */
static void a_group_that_another_program_has_open_is_named_by_its_pid(void **state)
{
	char spec[64], node[64], link[256], text[2048], pid[32];
	struct rig_holder holder;
	struct ob_error err = {0};
	struct ob_device *dev;
	ssize_t n;

	snprintf(spec, sizeof(spec), "/sys/bus/pci/devices/%s/iommu_group", rig_device("RIG_EDU"));
	n = readlink(spec, link, sizeof(link) - 1);
	assert_true(n > 0);
	link[n] = '\0';
	snprintf(node, sizeof(node), "/dev/vfio/%.16s", strrchr(link, '/') + 1);
	holder = rig_hold(node);
	snprintf(spec, sizeof(spec), "vfio:%s", rig_device("RIG_EDU"));
	assert_int_equal(ob_device_open(spec, &dev, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d ", holder.pid);
	if (!strstr(ob_error_text(&err, text, sizeof(text)), pid))
		fail_msg("no '%s' in: %s", pid, text);
	rig_let_go(&holder);
}

static void a_claimed_device_cannot_be_taken_by_a_kernel_driver(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000E", "");

	rig_not_taken_by_the_kernel(dev, rig_device("RIG_E1000E"), "e1000e", "vfio-pci");
	/* Still ours: 82574 STATUS is not all ones. */
	assert_int_not_equal(ob_read32(ob_device_bar(dev, 0), 8), UINT32_MAX);
	ob_device_close(dev);
}

static void a_bare_address_is_taken_by_vfio(void **state)
{
	struct ob_error err = {0};
	struct ob_device *dev;

	assert_int_equal(ob_device_open(rig_device("RIG_EDU"), &dev, &err), 0);
	assert_string_equal(ob_device_info(dev)->backend, "vfio");
	assert_true(ob_device_info(dev)->iommu);
	ob_device_close(dev);
	/* Without its domain, too. */
	assert_int_equal(ob_device_open(rig_device("RIG_EDU") + 5, &dev, &err), 0);
	ob_device_close(dev);
}

static void bus_mastering_is_on_while_a_device_is_open_only(void **state)
{
	rig_masters_until_close(rig_open("RIG_EDU", ""), rig_device("RIG_EDU"));
}

static void one_that_was_opened_quietly_masters_the_bus_when_it_is_woken(void **state)
{
	const char *bdf = rig_device("RIG_EDU"), *specs[1];
	struct ob_error err = {0};
	struct ob_device *dev;
	char spec[64];

	snprintf(spec, sizeof(spec), "vfio:%s", bdf);
	specs[0] = spec;
	assert_int_equal(ob_devices_open_quiet(specs, 1, &dev, &err), 0);
	assert_int_equal(rig_command(bdf) & 4, 0);
	ob_device_wake(dev);
	rig_masters_until_close(dev, bdf);
}

static struct ob_device *open_edu(void)
{
	struct ob_device *dev = rig_open("RIG_EDU", "");

	/* It has no reset: what one test raised is there for the next. */
	ob_write32(ob_device_bar(dev, 0), EDU_IRQ_ACK, UINT32_MAX);
	return dev;
}

/* ---- vectors ----------------------------------------------------------------------------------- */

static void edu_interrupts(enum ob_irq_kind kind)
{
	struct ob_device *dev = open_edu();
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	unsigned int got = 0;
	struct ob_irq *irq;

	assert_int_equal(ob_irq_count(dev, kind), 1);
	assert_int_equal(ob_irq_enable(dev, kind, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	for (unsigned int i = 0; i < IRQS; i++) {
		int n;

		ob_write32(bar, EDU_IRQ_RAISE, 2);
		if (kind == OB_IRQ_MSI)
			continue; /* all of them at once: messages are counted */
		n = ob_irq_wait(irq, 20000);
		assert_int_equal(n, 1);
		/* Masked as it is delivered: a line that is still high says nothing more. */
		assert_int_equal(ob_irq_wait(irq, 0), 0);
		ob_write32(bar, EDU_IRQ_ACK, 2);
		assert_int_equal(ob_irq_unmask(irq), 0);
		got++;
	}
	while (kind == OB_IRQ_MSI && got < IRQS) {
		int n = ob_irq_wait(irq, 20000);

		assert_true(n > 0);
		got += (unsigned int)n;
	}
	assert_int_equal(got, IRQS);
	assert_int_equal(ob_irq_wait(irq, 100), 0);
	ob_device_close(dev);
}

static void each_intx_interrupt_arrives_once(void **state)
{
	edu_interrupts(OB_IRQ_INTX);
}

static void each_msi_interrupt_arrives_once(void **state)
{
	edu_interrupts(OB_IRQ_MSI);
}

static void a_line_that_is_still_high_is_delivered_again_at_unmask(void **state)
{
	struct ob_device *dev = open_edu();
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	struct ob_irq *irq;

	assert_int_equal(ob_irq_enable(dev, OB_IRQ_INTX, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	ob_write32(bar, EDU_IRQ_RAISE, 1);
	assert_int_equal(ob_irq_wait(irq, 20000), 1);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	assert_int_equal(ob_irq_unmask(irq), 0);
	assert_int_equal(ob_irq_wait(irq, 20000), 1);
	ob_write32(bar, EDU_IRQ_ACK, 1);
	assert_int_equal(ob_irq_unmask(irq), 0);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	/* Masked by hand, what comes is delivered at the unmask. */
	assert_int_equal(ob_irq_mask(irq), 0);
	ob_write32(bar, EDU_IRQ_RAISE, 1);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	assert_int_equal(ob_irq_unmask(irq), 0);
	assert_int_equal(ob_irq_wait(irq, 20000), 1);
	ob_device_close(dev);
}

/* 82574 datasheet, 10.2.4: interrupt registers; vector 0 is given to the cause "other" (IVAR bits 19:16). */
enum {
	E1000E_STATUS = 0x08,
	E1000E_ICR = 0xc0,
	E1000E_ICS = 0xc8,
	E1000E_IMS = 0xd0,
	E1000E_IMC = 0xd8,
	E1000E_EIAC = 0xdc,
	E1000E_IVAR = 0xe4,
	E1000E_OTHER = 1 << 24,
	E1000E_LSC = 1 << 2,
};

/* QEMU 7.2's model aborts when MSI-X goes off within its throttling interval (EITR, 128 us) after an interrupt. */
static void e1000e_close(struct ob_device *dev)
{
	ob_write32(ob_device_bar(dev, 0), E1000E_IMC, UINT32_MAX);
	usleep(300000);
	ob_device_close(dev);
}

static void e1000e_cause(struct ob_bar *bar)
{
	ob_write32(bar, E1000E_ICS, E1000E_OTHER | E1000E_LSC);
}

static void e1000e_msix(struct ob_device *dev, struct ob_irq **irq)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};

	assert_int_equal(ob_irq_count(dev, OB_IRQ_MSIX), 5);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSIX, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, irq, &err), 0);
	ob_write32(bar, E1000E_IVAR, 0x80008);
	ob_write32(bar, E1000E_EIAC, 0);
	ob_write32(bar, E1000E_IMS, E1000E_OTHER | E1000E_LSC);
	/* The link comes up half a second after a reset: that, too, is such a cause. */
	WAIT_FOR(ob_read32(bar, E1000E_STATUS) & 2);
	do
		ob_write32(bar, E1000E_ICR, UINT32_MAX);
	while (ob_irq_wait(*irq, 300) > 0);
}

/* The model sends a second message for some: what is held is that none is missing. */
static void no_msix_interrupt_is_lost(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000E", "");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	unsigned int got = 0;
	struct ob_irq *irq;

	e1000e_msix(dev, &irq);
	for (unsigned int i = 0; i < IRQS; i++) {
		int more;

		e1000e_cause(bar);
		assert_true(ob_irq_wait(irq, 20000) > 0);
		ob_write32(bar, E1000E_ICR, UINT32_MAX);
		got++;
		while ((more = ob_irq_wait(irq, 0)) > 0)
			got += (unsigned int)more;
	}
	print_message("# %u messages for %u causes\n", got, IRQS);
	assert_in_range(got, IRQS, IRQS + IRQS / 10);
	e1000e_close(dev);
}

static void a_masked_msix_vector_is_delivered_at_unmask(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000E", "");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_irq *irq;

	e1000e_msix(dev, &irq);
	assert_int_equal(ob_irq_mask(irq), 0);
	e1000e_cause(bar);
	assert_int_equal(ob_irq_wait(irq, 200), 0);
	assert_int_equal(ob_irq_unmask(irq), 0);
	assert_true(ob_irq_wait(irq, 20000) > 0);
	e1000e_close(dev);
}

/* NVMe base specification 1.4, 3.1: CC at 14h, CSTS at 1Ch, the admin queues from 24h on, doorbells from 1000h. */
static void nvme_identify(struct ob_device *dev, char *mem, ob_iova iova)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	volatile uint32_t *sq = (volatile uint32_t *)mem, *cq = sq + 1024;

	memset(mem, 0, 3 * 4096);
	ob_write32(bar, 0x24, 0x00070007);
	ob_write64(bar, 0x28, iova.addr);
	ob_write64(bar, 0x30, iova.addr + 4096);
	ob_write32(bar, 0x14, 0x00460001);
	WAIT_FOR(ob_read32(bar, 0x1c) & 1);
	sq[0] = 6;
	sq[6] = ob_iova_lo(iova) + 2 * 4096;
	sq[7] = ob_iova_hi(iova);
	sq[10] = 1;
	ob_wmb();
	ob_write32(bar, 0x1000, 1);
	WAIT_FOR(cq[3] & 1 << 16);
	assert_int_equal(mem[2 * 4096] & 0xff, 0x36); /* QEMU's vendor, 1b36h */
}

static void a_reset_undoes_what_was_set_and_vectors_are_enabled_again(void **state)
{
	struct ob_device *dev = rig_open("RIG_NVME", "");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	uint32_t bar0 = ob_config_read(dev, 0x10, 4);
	struct ob_error err = {0};
	struct ob_irq *irq;
	char text[2048];
	ob_iova iova;
	char *mem;

	mem = ob_dma_alloc(ob_device_dma(dev), 3 * 4096, 4096, "admin queues", &iova);
	assert_non_null(mem);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSIX, 4, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	for (unsigned int i = 0; i < 5; i++) {
		nvme_identify(dev, mem, iova);
		assert_int_equal(ob_irq_wait(irq, 20000), 1);
		if (ob_device_reset(dev, &err))
			fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
		assert_int_equal(ob_read32(bar, 0x14) & 1, 0);
		assert_int_equal(ob_read32(bar, 0x1c) & 1, 0);
		assert_int_equal(ob_config_read(dev, 0x10, 4), bar0);
		assert_int_equal(ob_config_read(dev, 4, 2) & 6, 6);
	}
	ob_device_close(dev);
}

static void a_device_without_any_reset_says_so(void **state)
{
	struct ob_device *dev = open_edu();
	struct ob_error err = {0};

	assert_int_equal(ob_device_reset(dev, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.fix, "registers"));
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), EDU_IDENT) & 0xff, 0xed);
	ob_device_close(dev);
}

/* ---- configuration space and registers --------------------------------------------------------- */

static void bars_decoding_and_power_are_not_the_drivers_to_change(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000E", "");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	unsigned int pm = ob_pci_capability(dev, 1);
	uint32_t bar0 = ob_config_read(dev, 0x10, 4);

	assert_non_null((void *)bar->map);
	ob_config_write(dev, 0x10, 4, 0xffffffff);
	assert_int_equal(ob_config_read(dev, 0x10, 4), bar0);
	/* A mapped register would be a SIGBUS with any of these. */
	ob_config_write(dev, 4, 2, 0);
	assert_int_not_equal(ob_read32(bar, E1000E_STATUS), UINT32_MAX);
	ob_config_write(dev, 4, 1, 0);
	assert_int_not_equal(ob_read32(bar, E1000E_STATUS), UINT32_MAX);
	ob_config_write(dev, 4, 4, 0);
	assert_int_not_equal(ob_read32(bar, E1000E_STATUS), UINT32_MAX);
	assert_int_equal(ob_config_read(dev, 4, 2) & 7, 3);
	assert_int_not_equal(pm, 0);
	ob_config_write(dev, pm + 4, 2, 3);
	assert_int_equal(ob_config_read(dev, pm + 4, 2) & 3, 0);
	assert_int_not_equal(ob_read32(bar, E1000E_STATUS), UINT32_MAX);
	ob_device_bus_master(dev, true);
	assert_int_equal(ob_config_read(dev, 4, 2) & 7, 7);
	ob_device_close(dev);
}

static void what_is_not_in_configuration_space_reads_as_ones(void **state)
{
	struct ob_device *dev = open_edu();

	/* edu is a conventional device: 256 bytes. */
	assert_int_equal(ob_config_read(dev, 0, 4), 0x11e81234);
	assert_int_equal(ob_config_read(dev, 0x100, 4), UINT32_MAX);
	assert_int_equal(ob_pci_ext_capability(dev, 1), 0);
	ob_device_close(dev);
}

static void ports_and_maps_show_the_same_registers(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000_82545EM", "");
	struct ob_bar *mem = ob_device_bar(dev, 0), *io = NULL;

	for (unsigned int i = 1; i < OB_BAR_COUNT && !io; i++)
		if (ob_device_bar(dev, i) && ob_device_bar(dev, i)->kind == OB_BAR_IO)
			io = ob_device_bar(dev, i);
	assert_non_null(io);
	assert_null((void *)io->map);
	assert_non_null((void *)mem->map);
	/* Its IOADDR can be read back; beyond the range there is nothing. (QEMU's has no IODATA window.) */
	assert_int_equal(io->size, 64);
	assert_int_equal(ob_read32(io, 64), UINT32_MAX);
	ob_write32(io, 64, 1);
	assert_int_not_equal(ob_read32(mem, E1000E_STATUS), UINT32_MAX);
	ob_device_close(dev);
}

static void a_flush_waits_for_posted_writes(void **state)
{
	struct ob_device *dev = open_edu();
	struct ob_bar *bar = ob_device_bar(dev, 0);

	for (uint32_t i = 0; i < 1000; i++) {
		ob_write32(bar, 4, i);
		ob_device_flush(dev);
		assert_int_equal(ob_read32(bar, 4), ~i);
	}
	ob_device_close(dev);
}

/* virtio 1.1, 4.1.4: BAR 4 of QEMU's virtio-net is prefetchable and has all of its structures. */
static void a_prefetchable_bar_is_mapped_write_combining_where_asked(void **state)
{
	struct ob_device *dev = rig_open("RIG_VIRTIO_NET", "");
	struct ob_error err = {0};
	uint32_t features;
	char spec[64];

	assert_non_null((void *)ob_device_bar(dev, 4)->map);
	features = ob_read32(ob_device_bar(dev, 4), 4);
	ob_device_close(dev);
	/* Where the kernel does not allow it (7.2), it is mapped as usual. */
	dev = rig_open("RIG_VIRTIO_NET", ",wc=4");
	assert_non_null((void *)ob_device_bar(dev, 4)->map);
	assert_int_equal(ob_read32(ob_device_bar(dev, 4), 4), features);
	ob_device_close(dev);
	snprintf(spec, sizeof(spec), "vfio:%s,wc=0", rig_device("RIG_EDU"));
	assert_int_equal(ob_device_open(spec, &dev, &err), -ENOENT);
	assert_non_null(strstr(err.why, "prefetchable"));
	snprintf(spec, sizeof(spec), "vfio:%s,wc=3", rig_device("RIG_EDU"));
	assert_int_equal(ob_device_open(spec, &dev, &err), -EINVAL);
}

/* ---- several -------------------------------------------------------------------------------------- */

static void devices_of_several_groups_open_together_or_not_at_all(void **state)
{
	struct ob_device *devs[3], *one;
	struct ob_error err = {0};
	char spec[3][64], text[2048];
	const char *specs[3] = {spec[0], spec[1], spec[2]};

	snprintf(spec[0], 64, "vfio:%s", rig_device("RIG_EDU"));
	snprintf(spec[1], 64, "vfio:%s,arena=1M", rig_device("RIG_E1000E"));
	snprintf(spec[2], 64, "vfio:%s,dma=strict", rig_device("RIG_E1000_82545EM"));
	if (ob_devices_open(specs, 3, devs, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_not_equal(ob_read32(ob_device_bar(devs[i], 0), 0), UINT32_MAX);
	for (unsigned int i = 0; i < 3; i++)
		ob_device_close(devs[i]);

	/* One of them is held: the others are not. */
	one = rig_open("RIG_E1000_82545EM", "");
	assert_int_equal(ob_devices_open(specs, 3, devs, &err), -EBUSY);
	ob_device_close(open_edu());
	ob_device_close(rig_open("RIG_E1000E", ""));
	ob_device_close(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_claim_names_the_holder),
		cmocka_unit_test(a_group_that_another_program_has_open_is_named_by_its_pid),
		cmocka_unit_test(a_claimed_device_cannot_be_taken_by_a_kernel_driver),
		cmocka_unit_test(a_bare_address_is_taken_by_vfio),
		cmocka_unit_test(bus_mastering_is_on_while_a_device_is_open_only),
		cmocka_unit_test(one_that_was_opened_quietly_masters_the_bus_when_it_is_woken),
		cmocka_unit_test(each_intx_interrupt_arrives_once),
		cmocka_unit_test(each_msi_interrupt_arrives_once),
		cmocka_unit_test(a_line_that_is_still_high_is_delivered_again_at_unmask),
		cmocka_unit_test(no_msix_interrupt_is_lost),
		cmocka_unit_test(a_masked_msix_vector_is_delivered_at_unmask),
		cmocka_unit_test(a_reset_undoes_what_was_set_and_vectors_are_enabled_again),
		cmocka_unit_test(a_device_without_any_reset_says_so),
		cmocka_unit_test(bars_decoding_and_power_are_not_the_drivers_to_change),
		cmocka_unit_test(what_is_not_in_configuration_space_reads_as_ones),
		cmocka_unit_test(ports_and_maps_show_the_same_registers),
		cmocka_unit_test(a_flush_waits_for_posted_writes),
		cmocka_unit_test(a_prefetchable_bar_is_mapped_write_combining_where_asked),
		cmocka_unit_test(devices_of_several_groups_open_together_or_not_at_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
