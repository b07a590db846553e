/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device is taken away while it is used: `echo 1 >remove`, as a hot-unplug does it. The kernel gets it back at once,
 * registers read as ones, waits and requests end with an error, closing works, and after a rescan it can be opened
 * again. In the rig, by tests/rig/vfio_removed.sh.
 */
#include <poll.h>
#include <pthread.h>

#include "tests/vfio/rig.h"

struct remover {
	char bdf[16];
	int ret;
	double seconds;
};

static void *take_away(void *arg)
{
	struct remover *r = arg;
	char path[96];
	uint64_t start = ob_clock_ms();

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", r->bdf);
	r->ret = rig_sysfs_write(path, "1");
	r->seconds = (double)(ob_clock_ms() - start) / 1000;
	return NULL;
}

static void begin(struct remover *r, const char *variable, pthread_t *thread)
{
	const char *bdf = rig_device(variable);

	snprintf(r->bdf, sizeof(r->bdf), "%.15s", bdf ? bdf : "");
	assert_int_equal(pthread_create(thread, NULL, take_away, r), 0);
}

/* The kernel has it back, while it is still open here; then it is found again and given to vfio-pci. */
static void end(struct remover *r, pthread_t thread)
{
	char path[96];

	pthread_join(thread, NULL);
	assert_int_equal(r->ret, 0);
	print_message("# the kernel had it back after %.3f s\n", r->seconds);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", r->bdf);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void bring_back(const char *variable)
{
	char path[96];

	assert_int_equal(rig_sysfs_write("/sys/bus/pci/rescan", "1"), 0);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 rig_device(variable));
	WAIT_FOR(!access(path, F_OK));
	assert_int_equal(rig_sysfs_write(path, "vfio-pci"), 0);
	assert_int_equal(rig_sysfs_write("/sys/bus/pci/drivers_probe", rig_device(variable)), 0);
	snprintf(path, sizeof(path), "/dev/vfio/vfio");
	assert_int_equal(access(path, F_OK), 0);
}

static void quiet(void *arg, enum ob_log_level level, const char *line)
{
	print_message("# %s\n", line);
}

static void registers_read_as_ones_and_waits_end(void **state)
{
	struct ob_device *dev = rig_open("RIG_EDU", "");
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	struct ob_dma_mapping map;
	struct pollfd pfd = {.fd = ob_device_removal_fd(dev), .events = POLLIN};
	static char page[4096] __attribute__((aligned(4096)));
	volatile uint32_t *raw = (volatile uint32_t *)bar->map;
	struct remover r;
	struct ob_irq *irq;
	pthread_t thread;

	ob_device_set_log(dev, quiet, NULL);
	assert_int_equal(ob_dma_map(ob_device_dma(dev), page, sizeof(page), OB_DMA_BOTH, &map), 0);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSI, 1, &err), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, &err), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	begin(&r, "RIG_EDU", &thread);
	/* Registers are read all the time: each answer is the device's or ones, and none is a fault. */
	for (uint32_t val = 0; val != UINT32_MAX;) {
		val = ob_read32(bar, EDU_IDENT);
		assert_true(val == 0x010000ed || val == UINT32_MAX);
	}
	assert_int_equal(ob_irq_wait(irq, 60000), -ENODEV);
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	assert_true(ob_device_gone(dev));
	end(&r, thread);

	/* Whoever kept the address of a register: ones, too. */
	assert_int_equal(raw[0], UINT32_MAX);
	assert_int_equal(raw[0xffffc / 4], UINT32_MAX);
	assert_null((void *)bar->map);
	for (unsigned int i = 0; i < 64; i += 8) {
		assert_int_equal(ob_read8(bar, i), UINT8_MAX);
		assert_int_equal(ob_read16(bar, i), UINT16_MAX);
		assert_int_equal(ob_read32(bar, i), UINT32_MAX);
		assert_true(ob_read64(bar, i) == UINT64_MAX);
		ob_write32(bar, i, 0);
	}
	assert_int_equal(ob_read32(bar, 0), UINT32_MAX);
	assert_int_equal(ob_config_read(dev, 0, 4), UINT32_MAX);
	assert_int_equal(ob_device_reset(dev, &err), -ENODEV);
	assert_int_equal(ob_irq_count(dev, OB_IRQ_MSI), 0);
	assert_int_equal(ob_dma_unmap(&map), 0);
	ob_device_close(dev);

	bring_back("RIG_EDU");
	dev = rig_open("RIG_EDU", "");
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), EDU_IDENT), 0x010000ed);
	ob_device_close(dev);
}

static void a_disk_under_load_ends_its_requests_with_an_error(void **state)
{
	struct ob_device *dev = rig_open("RIG_NVME", "");
	static char buf[65536] __attribute__((aligned(4096)));
	struct ob_binding *b;
	struct ob_error err = {0};
	unsigned long reads = 0;
	struct remover r;
	pthread_t thread;
	char text[2048];
	int ret;

	ob_device_set_log(dev, quiet, NULL);
	if (ob_driver_bind(dev, NULL, NULL, &b, &err) || ob_block_start(b->block[0], &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, 0, buf, sizeof(buf)),
				 0);
	begin(&r, "RIG_NVME", &thread);
	do {
		ret = ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, reads % 64 * sizeof(buf), buf,
				  sizeof(buf));
		reads++;
	} while (!ret);
	print_message("# %lu reads, then %s\n", reads - 1, strerror(-ret));
	assert_int_equal(ret, -ENODEV);
	end(&r, thread);
	assert_int_equal(ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, 0, buf, sizeof(buf)),
			 -ENODEV);
	ob_block_stop(b->block[0]);
	ob_driver_unbind(b);
	ob_device_close(dev);

	bring_back("RIG_NVME");
	dev = rig_open("RIG_NVME", "");
	if (ob_driver_bind(dev, NULL, NULL, &b, &err) || ob_block_start(b->block[0], &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	assert_int_equal(ob_block_rw(b->block[0], 0, OB_BLOCK_READ, 0, 0, buf, sizeof(buf)), 0);
	ob_block_stop(b->block[0]);
	ob_driver_unbind(b);
	ob_device_close(dev);
}

static void a_network_card_that_sends_is_let_go(void **state)
{
	struct ob_device *dev = rig_open("RIG_E1000E", "");
	struct ob_binding *b;
	struct ob_error err = {0};
	struct ob_pool *pool;
	struct remover r;
	pthread_t thread;
	char text[2048];

	ob_device_set_log(dev, quiet, NULL);
	if (ob_driver_bind(dev, NULL, NULL, &b, &err) || ob_net_start(b->net, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	assert_int_equal(ob_pool_create(ob_device_dma(dev), 64, 2048, 0, 64, &pool), 0);
	begin(&r, "RIG_E1000E", &thread);
	while (!ob_device_gone(dev)) {
		struct ob_pkt *pkt = ob_pkt_alloc(pool);

		if (pkt) {
			ob_pkt_reset(pkt);
			memset(pkt->data, 0xff, 60);
			pkt->len = 60;
			if (!ob_net_tx_burst(b->net, 0, &pkt, 1))
				ob_pkt_free(pkt);
		}
	}
	end(&r, thread);
	ob_net_stop(b->net);
	ob_pool_destroy(pool);
	ob_driver_unbind(b);
	ob_device_close(dev);
	bring_back("RIG_E1000E");
	ob_device_close(rig_open("RIG_E1000E", ""));
}

static void unbinding_takes_a_device_too(void **state)
{
	struct ob_device *dev = rig_open("RIG_EDU", ",dma=strict");

	ob_device_set_log(dev, quiet, NULL);
	assert_int_equal(
		rig_sysfs_write("/sys/bus/pci/drivers/vfio-pci/unbind", rig_device("RIG_EDU")), 0);
	assert_true(ob_device_gone(dev));
	assert_int_equal(ob_read32(ob_device_bar(dev, 0), EDU_IDENT), UINT32_MAX);
	ob_device_close(dev);
	assert_int_equal(rig_sysfs_write("/sys/bus/pci/drivers_probe", rig_device("RIG_EDU")), 0);
	ob_device_close(rig_open("RIG_EDU", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_read_as_ones_and_waits_end),
		cmocka_unit_test(a_disk_under_load_ends_its_requests_with_an_error),
		cmocka_unit_test(a_network_card_that_sends_is_let_go),
		cmocka_unit_test(unbinding_takes_a_device_too),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
