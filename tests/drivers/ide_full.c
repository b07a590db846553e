/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk image on a file system that fills up under it: the write that does not fit fails, and all that were
 * acknowledged are on the disk and in the file.
 */
#include "tests/drivers/device.h"

#include <sched.h>
#include <sys/mount.h>

static char dir[64];

static bool write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	bool good = f && fputs(text, f) >= 0;

	return f && !fclose(f) && good;
}

/* Root in a user namespace of its own; without a map of users no file could be made. */
static bool become_root_of_own_users(void)
{
	char uids[64], gids[64];

	snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", getegid());
	return !unshare(CLONE_NEWUSER | CLONE_NEWNS) &&
	       write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", uids) && write_text("/proc/self/gid_map", gids);
}

/* In a mount namespace of its own, so that a full file system is nobody else's problem. */
static bool enter_small_filesystem(const char *where)
{
	if (unshare(CLONE_NEWNS) && !become_root_of_own_users())
		return false;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	return !mount("tmpfs", where, "tmpfs", 0, "size=2m");
}

static void a_full_disk_is_told_and_loses_nothing_acknowledged(void **state)
{
	char path[80], spec[128];
	static uint8_t block[65536], back[65536];
	unsigned int good = 0;
	struct ob_block *blk;
	struct bound d;
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/image", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8 * MIB), 0);
	snprintf(spec, sizeof(spec), "qemu:piix3-ide,file=%s", path);
	d = bind_spec(spec, NULL);
	blk = d.b->block[0];
	assert_int_equal(ob_block_start(blk, NULL), 0);
	while (!rc && good < 128) {
		memset(block, (int)('A' + good % 26), sizeof(block));
		rc = ob_block_rw(blk, 0, OB_BLOCK_WRITE, 0, good * sizeof(block), block,
				 sizeof(block));
		if (!rc)
			good++;
	}
	assert_true(rc == -EIO || rc == -ENOSPC);
	assert_true(good >= 16 && good < 33);
	/* The disk goes on: all that was acknowledged is there, and can be flushed. */
	assert_int_equal(ob_block_rw(blk, 0, OB_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	for (unsigned int i = 0; i < good; i++) {
		memset(block, (int)('A' + i % 26), sizeof(block));
		assert_int_equal(ob_block_rw(blk, 0, OB_BLOCK_READ, 0, i * sizeof(block), back,
					     sizeof(back)),
				 0);
		assert_memory_equal(back, block, sizeof(block));
		assert_int_equal(pread(fd, back, sizeof(back), (off_t)(i * sizeof(back))),
				 sizeof(back));
		assert_memory_equal(back, block, sizeof(block));
	}
	ob_block_stop(blk);
	release(&d);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_is_told_and_loses_nothing_acknowledged),
	};
	int failed;

	snprintf(dir, sizeof(dir), "%.40s/outboard-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	if (!enter_small_filesystem(dir)) {
		printf("1..1\nok 1 - full disk # SKIP this user cannot mount a tmpfs of its own\n");
		rmdir(dir);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	umount(dir);
	rmdir(dir);
	return failed;
}
