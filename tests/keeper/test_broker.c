/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A confined driver process asks its broker for what is another's: each operation that could reach beyond the instance's own things
 * refuses, before it has touched anything. And what is no question is answered as such.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/rtnetlink.h>
#include <linux/ublk_cmd.h>

#include "attach/cuse_broker.h"
#include "attach/kept.h"
#include "attach/nbd_kernel_broker.h"
#include "attach/vduse_broker.h"

/* The instance's own things: what its command line says, and this number, which is nobody else's. */
static const char *const said[] = {
	"tap,name=ours0", "nbd,port=10888",    "nbd-kernel,index=3",
	"ublk,id=3",	  "fuse,mountpoint=/", "cuse,name=ours,mode=660",
};

static pid_t broker, keeper;
static int null;

static int start(void **state)
{
	int ends[2];

	keeper = getppid();
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -1;
	broker = fork();
	if (!broker) {
		close(ends[0]);
		ob_kept_connect(-1, keeper);
		ob_broker_serve(ends[1], said, sizeof(said) / sizeof(said[0]));
		_exit(0);
	}
	close(ends[1]);
	ob_kept_connect(-1, keeper);
	ob_broker_connect(ends[0], NULL);
	return broker < 0 ? -1 : 0;
}

static int stop(void **state)
{
	kill(broker, SIGKILL);
	waitpid(broker, NULL, 0);
	close(null);
	return 0;
}

static int asks(enum broker_op op, const void *arg, size_t size, void *res, size_t res_size, int fd,
		unsigned int nr_fds)
{
	struct broker_call c = {
		.arg = arg,
		.arg_size = size,
		.res = res,
		.res_size = res_size,
		.fd = {fd, fd, fd},
		.nr_fds = nr_fds,
	};
	int ret = broker_call(op, &c, NULL);

	while (c.nr_res_fds)
		close(c.res_fd[--c.nr_res_fds]);
	return ret;
}

#define REFUSED(op, arg, fd, nr_fds)                                                               \
	assert_int_equal(asks(op, &(arg), sizeof(arg), NULL, 0, fd, nr_fds), -EPERM)
#define REFUSED_WITH_RESULT(op, arg, fd, nr_fds)                                                   \
	do {                                                                                       \
		__typeof__(arg) res;                                                               \
		assert_int_equal(asks(op, &(arg), sizeof(arg), &res, sizeof(res), fd, nr_fds),     \
				 -EPERM);                                                          \
	} while (0)

static void what_is_no_question(void **state)
{
	uint32_t id = 3;

	assert_int_equal(asks(BROKER_OPS, NULL, 0, NULL, 0, -1, 0), -EPROTO);
	assert_int_equal(asks(BROKER_UBLK_CHAR, &id, 1, NULL, 0, -1, 0), -EPROTO);
	assert_int_equal(asks(BROKER_UBLK_CHAR, &id, sizeof(id), NULL, 0, null, 1), -EPROTO);
}

static void another_interface(void **state)
{
	struct broker_tap tap = {.name = "theirs0", .queues = 1};
	struct broker_tap_made made;
	struct broker_link link = {.request = SIOCSIFMTU, .ifr.ifr_name = "lo"};
	struct broker_address address = {0};
	struct nlmsghdr *h = (struct nlmsghdr *)address.message;
	struct ifaddrmsg *m = NLMSG_DATA(h);
	int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(asks(BROKER_TAP_MAKE, &tap, sizeof(tap), &made, sizeof(made), -1, 0),
			 -EPERM);
	strcpy(tap.name, "ours0");
	tap.has_netns = true;
	strcpy(tap.netns, "pid:1");
	assert_int_equal(asks(BROKER_TAP_MAKE, &tap, sizeof(tap), &made, sizeof(made), -1, 0),
			 -EPERM);
	tap.has_netns = false;
	tap.has_owner = true;
	assert_int_equal(asks(BROKER_TAP_MAKE, &tap, sizeof(tap), &made, sizeof(made), -1, 0),
			 -EPERM);
	assert_true(inet >= 0);
	REFUSED_WITH_RESULT(BROKER_LINK_SET, link, inet, 2);
	address.size = h->nlmsg_len = NLMSG_LENGTH(sizeof(*m));
	h->nlmsg_type = RTM_NEWADDR;
	m->ifa_index = 1;
	REFUSED(BROKER_LINK_ADDRESS, address, inet, 3);
	close(inet);
}

static void another_ublk_device(void **state)
{
	static const uint32_t ops[] = {
		UBLK_U_CMD_ADD_DEV,	      UBLK_U_CMD_SET_PARAMS, UBLK_U_CMD_START_DEV,
		UBLK_U_CMD_STOP_DEV,	      UBLK_U_CMD_DEL_DEV,    UBLK_U_CMD_START_USER_RECOVERY,
		UBLK_U_CMD_END_USER_RECOVERY,
	};
	struct broker_ublk a = {.id = 7};
	struct ublk_care care = {.id = 7};
	uint32_t id = 7;
	int holder;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		a.op = ops[i];
		REFUSED_WITH_RESULT(BROKER_UBLK_CMD, a, -1, 0);
	}
	REFUSED(BROKER_UBLK_CHAR, id, -1, 0);
	REFUSED(BROKER_UBLK_IDLE, id, -1, 0);
	REFUSED(BROKER_UBLK_CARE, care, -1, 0);
	assert_int_equal(asks(BROKER_UBLK_CLAIM, &id, sizeof(id), &holder, sizeof(holder), -1, 0),
			 -EPERM);
}

static void another_directory(void **state)
{
	struct broker_fuse a = {.name = "file", .path = "/tmp"};
	struct broker_hold hold = {.file = "file", .path = "/tmp"};
	int log = memfd_create("log", MFD_CLOEXEC);

	REFUSED_WITH_RESULT(BROKER_FUSE_MOUNT, a, -1, 0);
	REFUSED(BROKER_FUSE_UNMOUNT, a, -1, 0);
	REFUSED(BROKER_FUSE_UNUSED, a, -1, 0);
	assert_int_equal(ftruncate(log, 1 << 20), 0);
	REFUSED(BROKER_FUSE_HOLD, hold, log, 2);
	/* A file beyond the mount; and memory that is too small for what is written to it. */
	hold.path[0] = '\0';
	strcpy(hold.file, "../file");
	REFUSED(BROKER_FUSE_HOLD, hold, log, 2);
	strcpy(hold.file, "file");
	assert_int_equal(ftruncate(log, 0), 0);
	REFUSED(BROKER_FUSE_HOLD, hold, log, 2);
	close(log);
}

static void another_socket(void **state)
{
	struct broker_nbd a = {.port = 10889};

	REFUSED_WITH_RESULT(BROKER_NBD_BIND, a, -1, 0);
	a.is_path = true;
	strcpy(a.path.sun_path, "/tmp/theirs");
	REFUSED_WITH_RESULT(BROKER_NBD_BIND, a, -1, 0);
	REFUSED(BROKER_NBD_UNLINK, a, -1, 0);
}

static void another_vduse_device(void **state)
{
	struct broker_vduse a = {.queues = 1};
	int log = memfd_create("log", MFD_CLOEXEC);

	snprintf(a.name, sizeof(a.name), "outboard-%d-0", keeper + 1);
	REFUSED_WITH_RESULT(BROKER_VDUSE_MAKE, a, -1, 0);
	REFUSED_WITH_RESULT(BROKER_VDUSE_ATTACH, a, -1, 0);
	REFUSED(BROKER_VDUSE_DETACH, a, -1, 0);
	REFUSED(BROKER_VDUSE_DESTROY, a, -1, 0);
	REFUSED(BROKER_VDUSE_CARE, a, log, 1);
	/* One that ends elsewhere than it seems to. */
	snprintf(a.name, sizeof(a.name), "outboard-%d-0/../null", keeper);
	REFUSED_WITH_RESULT(BROKER_VDUSE_MAKE, a, -1, 0);
	/* Its own, with memory that could be cut off below the caretaker. */
	snprintf(a.name, sizeof(a.name), "outboard-%d-0", keeper);
	assert_int_equal(ftruncate(log, 1 << 20), 0);
	REFUSED(BROKER_VDUSE_CARE, a, log, 1);
	close(log);
	assert_true(vduse_name_is_ours(a.name));
	assert_false(vduse_has_interface("lo"));
}

static void another_nbd_device(void **state)
{
	struct broker_nbdk a = {.number = 5, .connections = 1};

	snprintf(a.backend, sizeof(a.backend), "outboard-%d-77", keeper + 1);
	REFUSED_WITH_RESULT(BROKER_NBDK_CONNECT, a, -1, 0);
	REFUSED_WITH_RESULT(BROKER_NBDK_FIND, a, -1, 0);
	REFUSED(BROKER_NBDK_RECONNECT, a, -1, 0);
	REFUSED(BROKER_NBDK_DISCONNECT, a, -1, 0);
	REFUSED(BROKER_NBDK_NODE, a, -1, 0);
	REFUSED(BROKER_NBDK_IDLE, a, -1, 0);
	REFUSED(BROKER_NBDK_WRITE_BACK, a, -1, 0);
	REFUSED(BROKER_NBDK_CARE, a, -1, 0);
	/* A name of its own, for a number that has another's, or none; and for one that the command line does not give. */
	nbdk_backend(a.backend, 77);
	REFUSED_WITH_RESULT(BROKER_NBDK_CONNECT, a, -1, 0);
	assert_int_equal(asks(BROKER_NBDK_DISCONNECT, &a, sizeof(a), NULL, 0, -1, 0), -ENODEV);
	assert_int_equal(asks(BROKER_NBDK_WRITE_BACK, &a, sizeof(a), NULL, 0, -1, 0), -ENODEV);
	assert_int_equal(asks(BROKER_NBDK_CARE, &a, sizeof(a), NULL, 0, -1, 0), -ENODEV);
}

static void another_node(void **state)
{
	struct broker_cuse a = {.name = "null"};

	REFUSED_WITH_RESULT(BROKER_CUSE_MAKE, a, -1, 0);
	strcpy(a.name, "ours");
	a.has_mode = true;
	a.mode = 0666;
	REFUSED_WITH_RESULT(BROKER_CUSE_MAKE, a, -1, 0);
	strcpy(a.name, "../shm/%d");
	a.has_mode = false;
	assert_int_equal(asks(BROKER_CUSE_MAKE, &a, sizeof(a), &a, sizeof(a), -1, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_question), cmocka_unit_test(another_interface),
		cmocka_unit_test(another_ublk_device), cmocka_unit_test(another_directory),
		cmocka_unit_test(another_socket),      cmocka_unit_test(another_vduse_device),
		cmocka_unit_test(another_nbd_device),  cmocka_unit_test(another_node),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, start, stop);
}
