/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver does its work inside of the sandbox: the keeper, this process, opens a real disk; a child enters the sandbox with its descriptors,
 * binds the driver, reads and writes, locks itself, and does it again. In the rig, by tests/rig/evil.sh.
 *
 *	rig-confined [OBJECT]	the driver in that file, loaded inside
 */

#include "keeper/sandbox.h"
#include "tests/rig/descriptors.h"
#include "tests/vfio/rig.h"

static const char *object;

enum {
	BLOCK = 4096,
	BLOCKS = 64,
};

static void one(struct ob_block *disk, enum ob_block_op op, unsigned int block, void *buf)
{
	struct ob_block_req req = {
		.op = op,
		.offset = (uint64_t)block * BLOCK,
		.len = BLOCK,
		.buf = buf,
	};
	struct ob_block_req *list = &req;

	if (ob_block_submit(disk, 0, &list, 1) != 1)
		rig_child_fails("submit", NULL);
	while (!ob_block_complete(disk, 0, &list, 1))
		usleep(100);
	errno = -req.status;
	if (req.status)
		rig_child_fails("a request", NULL);
}

/* What was written is read. */
static void work(struct ob_block *disk, unsigned char seed)
{
	static unsigned char buf[BLOCK] __attribute__((aligned(BLOCK)));

	for (unsigned int i = 0; i < BLOCKS; i++) {
		memset(buf, (int)(seed + i), BLOCK);
		one(disk, OB_BLOCK_WRITE, i, buf);
	}
	for (unsigned int i = 0; i < BLOCKS; i++) {
		memset(buf, 0, BLOCK);
		one(disk, OB_BLOCK_READ, i, buf);
		for (unsigned int k = 0; k < BLOCK; k++)
			if (buf[k] != (unsigned char)(seed + i))
				rig_child_fails("what was read is not what was written", NULL);
	}
}

static void __attribute__((noreturn)) drive(struct sandbox *s, struct ob_device *dev)
{
	const struct ob_driver *driver = NULL;
	struct ob_error err = {0};
	struct ob_binding *b;

	if (sandbox_enter(s, &err))
		rig_child_fails("sandbox_enter", &err);
	if (object && ob_driver_load(object, &driver, &err))
		rig_child_fails("load", &err);
	if (ob_driver_bind(dev, driver, NULL, &b, &err))
		rig_child_fails("bind", &err);
	if (!b->nr_blocks || ob_block_start(b->block[0], &err))
		rig_child_fails("its disk", &err);
	work(b->block[0], 1);
	if (sandbox_lock(s, &err))
		rig_child_fails("sandbox_lock", &err);
	work(b->block[0], 101);
	_exit(0);
}

static void a_driver_binds_and_serves_inside(void **state)
{
	struct ob_device *dev = rig_open("RIG_NVME", ",arena=64M");
	struct sandbox s = {.name = "confined", .uses = SANDBOX_USES_VFIO | SANDBOX_USES_PASSING};
	struct ob_error err = {0};
	int fds[DESCRIPTORS], status;
	pid_t pid;

	s.uses |= sandbox_uses_of("ublk");
	if (object) {
		s.read = &object;
		s.nr_read = 1;
		s.uses |= sandbox_uses_of("linux:");
	}
	s.debuggable = true;
	s.keep = fds;
	s.nr_keep = every_descriptor(fds);
	if (sandbox_prepare(&s, &err))
		fail_msg("%s", err.what);
	pid = sandbox_fork(&s);
	if (!pid)
		drive(&s, dev);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sandbox_release(&s);
	ob_device_close(dev);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_driver_binds_and_serves_inside),
	};

	object = argc > 1 ? argv[1] : NULL;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
