/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control of tests/vfio/isolation.c: without an IOMMU the same wrong programming of a device changes memory of a process that has nothing to do
 * with it. In the rig, by tests/rig/uio_wild.sh, in a machine that is thrown away.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/uio/rig.h"
#include "tests/wild_dma.h"

enum {
	PATTERN = 0x5a,
	UNCHANGED = 20,
	CHANGED,
};

/* A process of its own: says where its page is, and how it found it in the end. */
static void __attribute__((noreturn)) bystander(int to, int from)
{
	volatile uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	uint64_t where;
	char end;

	if (page == MAP_FAILED)
		_exit(1);
	memset((void *)page, PATTERN, PAGE);
	where = uio_physical((const void *)page);
	if (!where || write(to, &where, sizeof(where)) != sizeof(where) || read(from, &end, 1) < 0)
		_exit(1);
	for (size_t i = 0; i < PAGE; i++)
		if (page[i] != PATTERN)
			_exit(CHANGED);
	_exit(UNCHANGED);
}

/* Return: how the bystander found its page after @write, or without one */
static int after(const char *variable, void (*write_to)(struct ob_device *, uint64_t))
{
	struct ob_device *dev = uio_open(variable, ",arena=1M");
	int out[2], in[2], status;
	uint64_t where;
	pid_t pid;

	assert_int_equal(pipe(out) | pipe(in), 0);
	pid = fork();
	if (!pid)
		bystander(out[1], in[0]);
	assert_int_equal(read(out[0], &where, sizeof(where)), sizeof(where));
	ob_device_bus_master(dev, true);
	if (write_to)
		write_to(dev, where);
	ob_device_bus_master(dev, false);
	assert_int_equal(write(in[1], "e", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned int i = 0; i < 2; i++) {
		close(out[i]);
		close(in[i]);
	}
	ob_device_close(dev);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void nobody_else_changes_it(void **state)
{
	assert_int_equal(after("RIG_NVME", NULL), UNCHANGED);
}

static void nvme_changes_another_process(void **state)
{
	assert_int_equal(after("RIG_NVME", nvme_write), CHANGED);
}

static void e1000e_changes_another_process(void **state)
{
	assert_int_equal(after("RIG_E1000E", e1000_write), CHANGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_else_changes_it),
		cmocka_unit_test(nvme_changes_another_process),
		cmocka_unit_test(e1000e_changes_another_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
