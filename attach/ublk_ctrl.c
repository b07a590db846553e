/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands to /dev/ublk-control: SQEs of 128 bytes, the command's 32 bytes in them (attach/ublk_ctrl.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/broker_ops.h"
#include "attach/ublk_ctrl.h"

enum {
	ENTRIES = 2,
	BUF_SIZE = 4096,
	SLICE_MS = 100,
	UBLK_OWN = 64,
};

static int explain_ring(int ret, struct ob_error *err)
{
	ob_error_set(err, ret, "ublk: io_uring cannot be used here: %s", strerror(-ret));
	if (ret == -EPERM || ret == -EACCES) {
		ob_error_why(err, "sysctl kernel.io_uring_disabled, or a container's system call "
				  "filter, forbids it");
		ob_error_fix(err, "sysctl kernel.io_uring_disabled=0");
	} else if (ret == -ENOMEM) {
		ob_error_why(err, "its memory is locked, and RLIMIT_MEMLOCK is too small");
		ob_error_fix(err, "ulimit -l unlimited");
	} else if (ret == -EINVAL) {
		ob_error_why(err, "it needs Linux 6.1 or later");
	}
	return ret;
}

static int explain_control(int ret, struct ob_error *err)
{
	ob_error_set(err, ret, "%s cannot be opened: %s", UBLK_CONTROL_PATH, strerror(-ret));
	if (ret == -ENOENT || ret == -ENXIO || ret == -ENODEV) {
		ob_error_why(err,
			     "the module ublk_drv is not loaded, or not in this kernel (it came "
			     "with Linux 6.0, and Debian has it from 6.12 on)");
		ob_error_fix(err, "modprobe ublk_drv");
	} else {
		ob_error_why(err, "only root may, or whom the node's access rights allow it");
		ob_error_fix(err, "run as root; or see docs/ublk.md for ublk without it");
	}
	return ret;
}

static int open_ring(struct ublk_ctrl *c)
{
	int ret = io_uring_queue_init(ENTRIES, &c->ring, IORING_SETUP_SQE128);

	if (ret)
		return ret;
	/*
	 * A child that still maps the ring keeps its files, and so the device, alive.
	 */
	io_uring_ring_dontfork(&c->ring);
	return 0;
}

static int open_here(struct ublk_ctrl *c, struct ob_error *err)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->fd = open(UBLK_CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return explain_control(-errno, err);
	c->buf = mmap(NULL, BUF_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->buf == MAP_FAILED) {
		ret = ob_error_set(err, -ENOMEM, "ublk: out of memory");
		goto close_fd;
	}
	ret = open_ring(c);
	if (ret) {
		explain_ring(ret, err);
		goto unmap;
	}
	return 0;

unmap:
	munmap(c->buf, BUF_SIZE);
close_fd:
	close(c->fd);
	c->fd = -1;
	c->buf = NULL;
	return ret;
}

int ublk_ctrl_open(struct ublk_ctrl *c, struct ob_error *err)
{
	struct broker_call call = {.arg = NULL};

	if (!broker_asked())
		return open_here(c, err);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->asked = true;
	return broker_call(BROKER_UBLK_OPEN, &call, err);
}

bool ublk_ctrl_usable(const struct ublk_ctrl *c)
{
	return c->asked || c->buf;
}

/* A command is still in the kernel: the page stays what it is until the process ends. */
static void abandon(struct ublk_ctrl *c)
{
	io_uring_queue_exit(&c->ring);
	c->buf = NULL;
}

void ublk_ctrl_close(struct ublk_ctrl *c)
{
	if (c->buf) {
		io_uring_queue_exit(&c->ring);
		munmap(c->buf, BUF_SIZE);
		c->buf = NULL;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static int await(struct ublk_ctrl *c, unsigned int ms, bool (*give_up)(void *arg), void *arg)
{
	struct io_uring_cqe *cqe;
	unsigned int waited = 0;
	int ret;

	for (;;) {
		struct __kernel_timespec ts = {.tv_nsec = SLICE_MS * 1000000ll};

		ret = io_uring_wait_cqe_timeout(&c->ring, &cqe, &ts);
		if (!ret) {
			ret = cqe->res;
			io_uring_cqe_seen(&c->ring, cqe);
			return ret;
		}
		if (ret == -ETIME)
			waited += SLICE_MS;
		else if (ret != -EINTR && ret != -EAGAIN)
			break;
		ret = waited >= ms ? -ETIMEDOUT : give_up && give_up(arg) ? -ECANCELED : 0;
		if (ret)
			break;
	}
	abandon(c);
	return ret;
}

static int command(struct ublk_ctrl *c, unsigned int op, unsigned int id, uint64_t data,
		   void *payload, size_t len, unsigned int ms, bool (*give_up)(void *arg),
		   void *arg)
{
	size_t path = c->path[0] ? strlen(c->path) + 1 : 0;
	struct ublksrv_ctrl_cmd *cmd;
	struct io_uring_sqe *sqe;
	int ret;

	if (!c->buf)
		return -ESHUTDOWN;
	if (path + len > BUF_SIZE)
		return -EINVAL;
	sqe = io_uring_get_sqe(&c->ring);
	if (!sqe)
		return -EAGAIN;
	/* All 128 bytes: the kernel reads the command from the second half of what was used before. */
	memset(sqe, 0, 2 * sizeof(*sqe));
	memcpy(c->buf, c->path, path);
	if (len)
		memcpy(c->buf + path, payload, len);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = c->fd;
	sqe->cmd_op = op;
	cmd = (struct ublksrv_ctrl_cmd *)sqe->cmd;
	cmd->dev_id = id;
	cmd->queue_id = UINT16_MAX;
	cmd->data[0] = data;
	if (path + len) {
		cmd->addr = (uintptr_t)c->buf;
		cmd->len = (uint16_t)(path + len);
		cmd->dev_path_len = (uint16_t)path;
	}
	ret = io_uring_submit(&c->ring);
	if (ret < 0) {
		abandon(c);
		return ret;
	}
	ret = await(c, ms, give_up, arg);
	if (ret >= 0 && len)
		memcpy(payload, c->buf + path, len);
	return ret;
}

static int ask(struct ublk_ctrl *c, unsigned int op, unsigned int id, uint64_t data, void *payload,
	       size_t len, unsigned int ms, bool (*give_up)(void *arg), void *arg)
{
	struct broker_ublk a = {.op = op, .id = id, .ms = ms, .len = (uint32_t)len, .data = data};
	struct broker_call call = {
		.arg = &a,
		.arg_size = sizeof(a),
		.res = &a,
		.res_size = sizeof(a),
		.give_up = give_up,
		.give_up_arg = arg,
	};
	int ret;

	if (len > sizeof(a.payload))
		return -EINVAL;
	memcpy(a.path, c->path, sizeof(a.path));
	if (len)
		memcpy(a.payload, payload, len);
	ret = broker_call(BROKER_UBLK_CMD, &call, NULL);
	if (ret >= 0 && len)
		memcpy(payload, a.payload, len);
	return ret;
}

int ublk_ctrl_cmd(struct ublk_ctrl *c, unsigned int op, unsigned int id, uint64_t data,
		  void *payload, size_t len, unsigned int ms, bool (*give_up)(void *arg), void *arg)
{
	return c->asked ? ask(c, op, id, data, payload, len, ms, give_up, arg)
			: command(c, op, id, data, payload, len, ms, give_up, arg);
}

/* ---- for a confined process -------------------------------------------------------- */

/* One way for all of its commands, made anew with each BROKER_UBLK_OPEN; and the devices that it added or took over. */
static struct ublk_ctrl brokers = {.fd = -1};
static unsigned int own[UBLK_OWN];
static unsigned int nr_own;

void ublk_ctrl_own(unsigned int id)
{
	if (!ublk_ctrl_owns(id) && nr_own < UBLK_OWN)
		own[nr_own++] = id;
}

bool ublk_ctrl_owns(unsigned int id)
{
	if (!broker_serves())
		return true;
	for (unsigned int i = 0; i < nr_own; i++)
		if (own[i] == id)
			return true;
	return false;
}

int broker_ublk_open(struct broker_call *c, struct ob_error *err)
{
	ublk_ctrl_close(&brokers);
	return open_here(&brokers, err);
}

/* What a confined process may command: what tells, and what concerns its own devices. */
static bool may(const struct broker_ublk *a)
{
	char id[16];

	switch (a->op) {
	case UBLK_U_CMD_GET_FEATURES:
	case UBLK_U_CMD_GET_DEV_INFO2:
	case UBLK_U_CMD_GET_PARAMS:
		return true;
	case UBLK_U_CMD_ADD_DEV:
		snprintf(id, sizeof(id), "%u", a->id);
		return a->id == UINT32_MAX || broker_said("id", id);
	case UBLK_U_CMD_SET_PARAMS:
	case UBLK_U_CMD_START_DEV:
	case UBLK_U_CMD_STOP_DEV:
	case UBLK_U_CMD_DEL_DEV:
	case UBLK_U_CMD_DEL_DEV_ASYNC:
	case UBLK_U_CMD_START_USER_RECOVERY:
	case UBLK_U_CMD_END_USER_RECOVERY:
		return ublk_ctrl_owns(a->id);
	}
	return false;
}

int broker_ublk_cmd(struct broker_call *c, struct ob_error *err)
{
	struct broker_ublk a = *(const struct broker_ublk *)c->arg;
	struct ublksrv_ctrl_dev_info info;
	int ret;

	if (a.len > sizeof(a.payload) || !may(&a))
		return -EPERM;
	/* The kernel is told who opened the device, which is the broker. */
	if (a.op == UBLK_U_CMD_START_DEV || a.op == UBLK_U_CMD_END_USER_RECOVERY)
		a.data = (uint64_t)getpid();
	memcpy(brokers.path, a.path, sizeof(brokers.path));
	brokers.path[sizeof(brokers.path) - 1] = '\0';
	if (a.op == UBLK_U_CMD_ADD_DEV && a.len == sizeof(info)) {
		memcpy(&info, a.payload, sizeof(info));
		info.ublksrv_pid = getpid();
		memcpy(a.payload, &info, sizeof(info));
	}
	ret = command(&brokers, a.op, a.id, a.data, a.payload, a.len, a.ms, c->give_up,
		      c->give_up_arg);
	if (ret >= 0 && a.op == UBLK_U_CMD_ADD_DEV && a.len == sizeof(info)) {
		memcpy(&info, a.payload, sizeof(info));
		ublk_ctrl_own(info.dev_id);
	}
	memcpy(c->res, &a, sizeof(a));
	return ret;
}

int broker_ublk_char(struct broker_call *c, struct ob_error *err)
{
	uint32_t id = *(const uint32_t *)c->arg;
	char path[32];
	int fd;

	if (!ublk_ctrl_owns(id))
		return -EPERM;
	snprintf(path, sizeof(path), "/dev/ublkc%u", id);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	c->res_fd[c->nr_res_fds++] = fd;
	return 0;
}

int ublk_char_open(unsigned int id)
{
	uint32_t n = id;
	struct broker_call c = {.arg = &n, .arg_size = sizeof(n)};
	int ret = broker_call(BROKER_UBLK_CHAR, &c, NULL);

	return ret ? ret : c.res_fd[0];
}

/* ---- what is asked often ------------------------------------------------------------- */

int ublk_features(struct ublk_ctrl *c, uint64_t *features)
{
	return ublk_ctrl_cmd(c, UBLK_U_CMD_GET_FEATURES, UINT32_MAX, 0, features, UBLK_FEATURES_LEN,
			     UBLK_CTRL_MS, NULL, NULL);
}

int ublk_dev_info(struct ublk_ctrl *c, unsigned int id, struct ublksrv_ctrl_dev_info *info)
{
	int ret;

	memset(info, 0, sizeof(*info));
	/* This command takes the path for every device: which need it for the others is seen only now. */
	snprintf(c->path, sizeof(c->path), "/dev/ublkc%u", id);
	ret = ublk_ctrl_cmd(c, UBLK_U_CMD_GET_DEV_INFO2, id, 0, info, sizeof(*info), UBLK_CTRL_MS,
			    NULL, NULL);
	if (ret < 0 || !(info->flags & UBLK_F_UNPRIVILEGED_DEV))
		c->path[0] = '\0';
	return ret;
}

int ublk_dev_delete(struct ublk_ctrl *c, unsigned int id)
{
	int ret = ublk_ctrl_cmd(c, UBLK_U_CMD_STOP_DEV, id, 0, NULL, 0, UBLK_CTRL_MS, NULL, NULL);

	if (ret == -ENODEV)
		return 0;
	if (ret < 0)
		return ret;
	/*
	 * Without waiting for the last user to close the disk, which is dead already; before Linux 6.9
	 * there is only the other.
	 */
	ret = ublk_ctrl_cmd(c, UBLK_U_CMD_DEL_DEV_ASYNC, id, 0, NULL, 0, UBLK_CTRL_MS, NULL, NULL);
	if (ret == -EOPNOTSUPP || ret == -EINVAL)
		ret = ublk_ctrl_cmd(c, UBLK_U_CMD_DEL_DEV, id, 0, NULL, 0, UBLK_CTRL_MS, NULL,
				    NULL);
	return ret == -ENODEV ? 0 : ret;
}
