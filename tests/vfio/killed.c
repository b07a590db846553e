/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killed VARIABLE TIMES: a process that drives the device is killed with DMA in flight, again and again. After each death
 * bus mastering is off, nothing of its memory is pinned, the IOMMU has not had to refuse anything, and the next
 * process opens the device. In the rig, by tests/rig/vfio_killed.sh.
 */
#include "tests/vfio/rig.h"

enum {
	DEPTH = 32,
};

static const char *variable;
static unsigned int times;

/* Pages pinned for DMA, by anybody in this machine. */
static long pinned(void)
{
	long acquired = 0, released = 0;
	char line[128];
	FILE *f;

	/* The counters of each processor are added up now and then, and when this is written. */
	assert_int_equal(rig_sysfs_write("/proc/sys/vm/stat_refresh", "1"), 0);
	f = fopen("/proc/vmstat", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "nr_foll_pin_acquired %ld", &acquired);
		sscanf(line, "nr_foll_pin_released %ld", &released);
	}
	fclose(f);
	return acquired - released;
}

static int tell(int fd, char c)
{
	return write(fd, &c, 1) == 1 ? 0 : -1;
}

/* edu: a transfer is under way for 100 ms, one after the other. */
static void drive_edu(struct ob_device *dev, int ready)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_dma *dma = ob_device_dma(dev);
	struct ob_error err = {0};
	ob_iova iova;

	if (ob_dma_set_mask(dma, EDU_DMA_BITS, &err))
		rig_child_fails("mask", &err);
	if (!ob_dma_alloc(dma, 4096, 4096, "target", &iova))
		rig_child_fails("target", NULL);
	edu_start(bar, iova.addr, 4095, true);
	tell(ready, 'r');
	for (;;) {
		if (!(ob_read64(bar, EDU_DMA_CMD) & EDU_DMA_RUN))
			edu_start(bar, iova.addr, 4095, true);
		usleep(1000);
	}
}

/* Any disk: reads at depth 32, without end. */
static void drive_block(struct ob_device *dev, int ready)
{
	static char buf[DEPTH][4096] __attribute__((aligned(4096)));
	struct ob_block_req req[DEPTH], *list[DEPTH];
	struct ob_binding *b;
	struct ob_error err = {0};
	unsigned int idle = DEPTH, next = 0, taken;
	bool told = false;

	if (ob_driver_bind(dev, NULL, NULL, &b, &err))
		rig_child_fails("bind", &err);
	if (!b->nr_blocks || ob_block_start(b->block[0], &err))
		rig_child_fails("its disk", &err);
	for (unsigned int i = 0; i < DEPTH; i++)
		list[i] = &req[i];
	for (;;) {
		for (unsigned int i = 0; i < idle; i++, next++) {
			size_t at = (size_t)(list[i] - req);

			req[at] = (struct ob_block_req){
				.op = OB_BLOCK_READ,
				.offset = next % 1024 * 4096ull,
				.len = 4096,
				.buf = buf[at],
			};
		}
		taken = idle ? ob_block_submit(b->block[0], 0, list, idle) : 0;
		if (!told)
			tell(ready, 'r');
		told = true;
		idle -= taken;
		memmove(list, list + taken, idle * sizeof(*list));
		taken = ob_block_complete(b->block[0], 0, list + idle, DEPTH - idle);
		for (unsigned int i = idle; i < idle + taken; i++) {
			if (!list[i]->status)
				continue;
			errno = -list[i]->status;
			rig_child_fails("a read", NULL);
		}
		idle += taken;
	}
}

static void child(int ready)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char spec[128];

	/* A small one: clearing it is most of an open. */
	snprintf(spec, sizeof(spec), "vfio:%s,arena=%s", rig_device(variable),
		 strcmp(variable, "RIG_EDU") != 0 ? "4M" : "128K");
	if (ob_device_open(spec, &dev, &err))
		rig_child_fails("open", &err);
	if (!strcmp(variable, "RIG_EDU"))
		drive_edu(dev, ready);
	else
		drive_block(dev, ready);
}

static void the_next_open_works_after_each_kill(void **state)
{
	const char *bdf = rig_device(variable);
	long before = pinned(), refused = rig_refused();

	for (unsigned int i = 0; i < times; i++) {
		char c;
		pid_t pid = rig_drive(child, &c, 1);

		/* At moments that differ: from at once to some transfers later. */
		usleep(i % 8 * 500);
		rig_kill(pid, bdf);
		/* To add the counters up takes as long as all the rest. */
		if (!(i % 32))
			assert_int_equal(pinned(), before);
	}
	assert_int_equal(pinned(), before);
	assert_int_equal(rig_refused(), refused);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_open_works_after_each_kill),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s VARIABLE TIMES\n", argv[0]);
		return 2;
	}
	variable = argv[1];
	times = (unsigned int)strtoul(argv[2], NULL, 10);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
