/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's ublk driver asks for is checked field by field, and what is missing on a system without it is told.
 * The device itself is tested on real kernels: tests/rig/ublk*.sh.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/ublk_ctrl.h"
#include "attach/ublk_desc.h"
#include "tests/attach/ram_disk.h"

#include "attach/ublk_left.h"

#define DISK_SIZE (1ull << 30)
#define MAX_IO	  (128u << 10)

static char tag_buffer[4096];
static char region[8192];

static const struct ublk_shape shape = {
	.size = DISK_SIZE,
	.block_size = 4096,
	.max_io = MAX_IO,
	.region[3] = {.base = region, .len = sizeof(region)},
};

static struct ublksrv_io_desc desc_of(uint32_t op_flags, uint64_t sector, uint32_t sectors)
{
	return (struct ublksrv_io_desc){
		.op_flags = op_flags,
		.nr_sectors = sectors,
		.start_sector = sector,
		.addr = (uintptr_t)tag_buffer,
	};
}

static int parse(const struct ublksrv_io_desc *desc, struct ublk_request *rq)
{
	return ublk_desc_parse(&shape, desc, tag_buffer, rq);
}

static void every_operation_is_translated(void **state)
{
	static const struct {
		uint32_t op_flags;
		uint8_t op, flags;
	} known[] = {
		{UBLK_IO_OP_READ, OB_BLOCK_READ, 0},
		{UBLK_IO_OP_WRITE, OB_BLOCK_WRITE, 0},
		{UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, OB_BLOCK_WRITE, OB_BLOCK_FUA},
		{UBLK_IO_OP_READ | UBLK_IO_F_FUA, OB_BLOCK_READ, 0},
		{UBLK_IO_OP_WRITE | UBLK_IO_F_META | UBLK_IO_F_SWAP | UBLK_IO_F_FAILFAST_DEV,
		 OB_BLOCK_WRITE, 0},
		{UBLK_IO_OP_DISCARD, OB_BLOCK_DISCARD, 0},
		{UBLK_IO_OP_WRITE_ZEROES, OB_BLOCK_WRITE_ZEROES, OB_BLOCK_MAY_UNMAP},
		{UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_NOUNMAP, OB_BLOCK_WRITE_ZEROES, 0},
	};
	struct ublk_request rq;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct ublksrv_io_desc desc = desc_of(known[i].op_flags, 16, 8);

		assert_int_equal(parse(&desc, &rq), 0);
		assert_int_equal(rq.op, known[i].op);
		assert_int_equal(rq.flags, known[i].flags);
		assert_int_equal(rq.offset, 16 * 512);
		assert_int_equal(rq.len, 8 * 512);
		assert_ptr_equal(rq.buf, rq.op <= OB_BLOCK_WRITE ? tag_buffer : NULL);
		assert_int_equal(rq.shared, 0);
	}
}

static void a_flush_has_no_range(void **state)
{
	struct ublksrv_io_desc desc = desc_of(UBLK_IO_OP_FLUSH, UINT64_MAX, UINT32_MAX);
	struct ublk_request rq;

	desc.addr = 0;
	assert_int_equal(parse(&desc, &rq), 0);
	assert_int_equal(rq.op, OB_BLOCK_FLUSH);
	assert_int_equal(rq.len, 0);
}

static void operations_that_were_not_offered_are_refused(void **state)
{
	struct ublk_request rq;

	for (uint32_t op = 0; op < 256; op++) {
		struct ublksrv_io_desc desc = desc_of(op, 0, 8);

		if (op <= UBLK_IO_OP_DISCARD || op == UBLK_IO_OP_WRITE_ZEROES)
			continue;
		assert_int_equal(parse(&desc, &rq), -EOPNOTSUPP);
	}
}

static void ranges_outside_of_the_disk_are_refused(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t sectors;
	} bad[] = {
		{DISK_SIZE / 512, 8},	  {DISK_SIZE / 512 - 8, 16},
		{DISK_SIZE / 512 + 8, 8}, {UINT64_MAX, 8},
		{UINT64_MAX / 512, 8},	  {UINT64_MAX / 512 + 1, 8}, /* times 512 is 0 */
		{0, UINT32_MAX},
	};
	struct ublk_request rq;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ublksrv_io_desc desc =
			desc_of(UBLK_IO_OP_DISCARD, bad[i].sector, bad[i].sectors);

		assert_int_equal(parse(&desc, &rq), -ERANGE);
	}
}

static void pieces_of_blocks_and_nothing_are_refused(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t sectors;
	} bad[] = {{0, 0}, {1, 8}, {0, 7}, {4, 4}};
	struct ublk_request rq;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ublksrv_io_desc desc =
			desc_of(UBLK_IO_OP_WRITE, bad[i].sector, bad[i].sectors);

		assert_int_equal(parse(&desc, &rq), -EINVAL);
	}
}

static void a_payload_lies_in_its_tag_s_buffer(void **state)
{
	struct ublksrv_io_desc desc = desc_of(UBLK_IO_OP_READ, 0, MAX_IO / 512);
	struct ublk_request rq;

	assert_int_equal(parse(&desc, &rq), 0);
	desc.nr_sectors += 8;
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc = desc_of(UBLK_IO_OP_READ, 0, 8);
	desc.addr += 4096;
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	/* What has no payload has no limit of it. */
	desc = desc_of(UBLK_IO_OP_DISCARD, 0, MAX_IO / 512 + 8);
	desc.addr = 0;
	assert_int_equal(parse(&desc, &rq), 0);
}

static void shared_memory_is_used_only_where_it_is(void **state)
{
	struct ublksrv_io_desc desc = desc_of(UBLK_IO_OP_WRITE | UBLK_IO_F_SHMEM_ZC, 0, 8);
	struct ublk_request rq;

	desc.addr = ublk_shmem_zc_addr(3, 4096);
	assert_int_equal(parse(&desc, &rq), 0);
	assert_ptr_equal(rq.buf, region + 4096);
	assert_int_equal(rq.shared, 1);
	desc.addr = ublk_shmem_zc_addr(3, 4097);
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc.addr = ublk_shmem_zc_addr(3, UINT32_MAX);
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc.addr = ublk_shmem_zc_addr(2, 0);
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc.addr = ublk_shmem_zc_addr(UBLK_REGIONS, 0);
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc.addr = ublk_shmem_zc_addr(UINT16_MAX, 0);
	assert_int_equal(parse(&desc, &rq), -EINVAL);
	desc.addr = ublk_shmem_zc_addr(3, 0) | 1ull << 48;
	assert_int_equal(parse(&desc, &rq), -EINVAL);
}

static void statuses_are_errors_that_the_kernel_knows(void **state)
{
	assert_int_equal(ublk_error(-EIO), -EIO);
	assert_int_equal(ublk_error(-EILSEQ), -ENODATA);
	assert_int_equal(ublk_error(-ENOSPC), -ENOSPC);
	assert_int_equal(ublk_error(-EOPNOTSUPP), -EOPNOTSUPP);
	assert_int_equal(ublk_error(-ETIMEDOUT), -ETIMEDOUT);
	/* To the kernel this one would mean that the tag is taken back. */
	assert_int_equal(ublk_error(-ENODEV), -EIO);
	assert_int_equal(ublk_error(-ECANCELED), -EIO);
	assert_int_equal(ublk_error(1), -EIO);
}

/* A device that is left is taken over only by the disk that it was. */
static void disks_are_told_apart(void **state)
{
	struct ram_disk a, b;

	ram_disk_init(&a, 1 << 20);
	ram_disk_init(&b, 1 << 20);
	assert_int_equal(ram_disk_open(&a), 0);
	assert_int_equal(ram_disk_open(&b), 0);
	assert_true(ublk_identity(&a.blk, 0) == ublk_identity(&b.blk, 0));
	strcpy(b.blk.serial, "R2");
	assert_true(ublk_identity(&a.blk, 0) != ublk_identity(&b.blk, 0));
	strcpy(b.blk.serial, a.blk.serial);
	b.blk.limits.size += 512;
	assert_true(ublk_identity(&a.blk, 0) != ublk_identity(&b.blk, 0));
	b.blk.limits.size -= 512;
	/* Images of the same kind differ by the specification alone. */
	strcpy(a.dev.info.spec, "qemu:nvme,file=a");
	strcpy(b.dev.info.spec, "qemu:nvme,file=b");
	assert_true(ublk_identity(&a.blk, 0) != ublk_identity(&b.blk, 0));
	/* A real device is the same whatever options it is opened with. */
	a.dev.info.backend = b.dev.info.backend = "vfio";
	assert_true(ublk_identity(&a.blk, 0) == ublk_identity(&b.blk, 0));
	assert_true(ublk_identity(&a.blk, 1) != ublk_identity(&b.blk, 0));
	ram_disk_close(&a);
	ram_disk_close(&b);
}

static void a_system_without_ublk_is_told_what_it_lacks(void **state)
{
	struct ob_error err = {0};
	struct ublk_ctrl c;
	int fd;

	if (!access("/dev/ublk-control", F_OK)) {
		print_message("# this machine has ublk\n");
		skip();
	}
	assert_int_equal(ublk_ctrl_open(&c, &err), -ENOENT);
	assert_non_null(strstr(err.what, "/dev/ublk-control"));
	assert_non_null(strstr(err.why, "6.0"));
	assert_string_equal(err.fix, "modprobe ublk_drv");
	assert_int_equal(ob_ublk_left(NULL, 0), 0);
	assert_int_equal(ob_ublk_remove(0, true, &err), -ENOENT);
	/* And one who serves it has the claim, here too. */
	assert_int_equal(ublk_claim(4000000000u, &fd, &(int){0}), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_is_translated),
		cmocka_unit_test(a_flush_has_no_range),
		cmocka_unit_test(operations_that_were_not_offered_are_refused),
		cmocka_unit_test(ranges_outside_of_the_disk_are_refused),
		cmocka_unit_test(pieces_of_blocks_and_nothing_are_refused),
		cmocka_unit_test(a_payload_lies_in_its_tag_s_buffer),
		cmocka_unit_test(shared_memory_is_used_only_where_it_is),
		cmocka_unit_test(statuses_are_errors_that_the_kernel_knows),
		cmocka_unit_test(disks_are_told_apart),
		cmocka_unit_test(a_system_without_ublk_is_told_what_it_lacks),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
