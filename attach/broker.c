/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations of attachments, here or by another process: attach/broker.h. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/access.h>

#include "attach/broker.h"
#include "attach/broker_ops.h"
#include "attach/cuse_broker.h"
#include "attach/kept.h"
#include "attach/nbd_kernel_broker.h"
#include "attach/passing.h"
#include "attach/vduse_broker.h"

enum {
	SLICE_MS = 100,
	TEXTS = 32,
	/* Instead of an operation: end the one that goes on. */
	END_IT = 0x7fffffff,
};

static const struct {
	int (*fn)(struct broker_call *c, struct ob_error *err);
	size_t arg_size, res_size;
	unsigned int nr_fds;
} ops[BROKER_OPS] = {
	[BROKER_VHOST_NET] = {broker_vhost_net, 0, 0, 0},
	[BROKER_TAP_MAKE] = {broker_tap_make, sizeof(struct broker_tap),
			     sizeof(struct broker_tap_made), 0},
	[BROKER_LINK_SET] = {broker_link_set, sizeof(struct broker_link),
			     sizeof(struct broker_link), 2},
	[BROKER_LINK_ADDRESS] = {broker_link_address, sizeof(struct broker_address), 0, 3},
	[BROKER_UBLK_OPEN] = {broker_ublk_open, 0, 0, 0},
	[BROKER_UBLK_CMD] = {broker_ublk_cmd, sizeof(struct broker_ublk),
			     sizeof(struct broker_ublk), 0},
	[BROKER_UBLK_CHAR] = {broker_ublk_char, sizeof(uint32_t), 0, 0},
	[BROKER_UBLK_LEFT] = {broker_ublk_left, sizeof(uint64_t), sizeof(struct broker_ublk), 0},
	[BROKER_UBLK_CLAIM] = {broker_ublk_claim, sizeof(uint32_t), sizeof(int), 0},
	[BROKER_UBLK_CARE] = {broker_ublk_care, sizeof(struct ublk_care), 0, 0},
	[BROKER_UBLK_IDLE] = {broker_ublk_idle, sizeof(uint32_t), 0, 0},
	[BROKER_FUSE_MOUNT] = {broker_fuse_mount, sizeof(struct broker_fuse),
			       sizeof(struct broker_fuse), 0},
	[BROKER_FUSE_UNMOUNT] = {broker_fuse_unmount, sizeof(struct broker_fuse), 0, 0},
	[BROKER_FUSE_HOLD] = {broker_fuse_hold, sizeof(struct broker_hold), 0, 2},
	[BROKER_FUSE_UNUSED] = {broker_fuse_unused, sizeof(struct broker_fuse), 0, 0},
	[BROKER_LOOP_IDLE] = {broker_loop_idle, sizeof(struct broker_loop), 0, 0},
	[BROKER_LOOP_LOOK] = {broker_loop_look, sizeof(struct broker_loop),
			      sizeof(struct broker_loop), 0},
	[BROKER_NBD_BIND] = {broker_nbd_bind, sizeof(struct broker_nbd), sizeof(struct broker_nbd),
			     0},
	[BROKER_NBD_UNLINK] = {broker_nbd_unlink, sizeof(struct broker_nbd), 0, 0},
	[BROKER_TCP_PEER] = {broker_tcp_peer, 0, sizeof(struct holder_socket), 1},
	[BROKER_VDUSE_MAKE] = {broker_vduse_make, sizeof(struct broker_vduse),
			       sizeof(struct broker_vduse), 0},
	[BROKER_VDUSE_DESTROY] = {broker_vduse_destroy, sizeof(struct broker_vduse), 0, 0},
	[BROKER_VDUSE_ATTACH] = {broker_vduse_attach, sizeof(struct broker_vduse),
				 sizeof(struct broker_vduse), 0},
	[BROKER_VDUSE_DETACH] = {broker_vduse_detach, sizeof(struct broker_vduse), 0, 0},
	[BROKER_VDUSE_CARE] = {broker_vduse_care, sizeof(struct broker_vduse), 0, 1},
	[BROKER_VDUSE_NET] = {broker_vduse_net, 0, 0, 0},
	[BROKER_NBDK_CONNECT] = {broker_nbdk_connect, sizeof(struct broker_nbdk),
				 sizeof(struct broker_nbdk), 0},
	[BROKER_NBDK_RECONNECT] = {broker_nbdk_reconnect, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_NBDK_DISCONNECT] = {broker_nbdk_disconnect, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_NBDK_FIND] = {broker_nbdk_find, sizeof(struct broker_nbdk),
			      sizeof(struct broker_nbdk), 0},
	[BROKER_NBDK_NODE] = {broker_nbdk_node, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_NBDK_IDLE] = {broker_nbdk_idle, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_NBDK_WRITE_BACK] = {broker_nbdk_write_back, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_NBDK_CARE] = {broker_nbdk_care, sizeof(struct broker_nbdk), 0, 0},
	[BROKER_CUSE_MAKE] = {broker_cuse_make, sizeof(struct broker_cuse),
			      sizeof(struct broker_cuse), 0},
	[BROKER_CUSE_WHO] = {broker_cuse_who, sizeof(int32_t), CUSE_NAME, 0},
};

/* In a confined process: its broker, and whose rights that has. */
static int broker = -1;
static uid_t rights;
static gid_t group;
static void (*waits)(bool on);
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* In the broker. */
static const char *texts[TEXTS];
static unsigned int nr_texts;
static int client = -1;

struct head {
	int32_t op; /* or what it returned */
	uint32_t size;
	struct ob_error err;
};

bool broker_asked(void)
{
	return broker >= 0;
}

uid_t broker_uid(void)
{
	return broker >= 0 ? rights : geteuid();
}

gid_t broker_gid(void)
{
	return broker >= 0 ? group : getegid();
}

int broker_number(void)
{
	return kept_keeper() ? kept_keeper() : getpid();
}

bool broker_serves(void)
{
	return client >= 0;
}

const char *broker_said_next(const char *option, unsigned int n)
{
	static struct ob_spec spec; /* some kilobytes */
	char device[OB_SPEC_TEXT + 8];
	struct ob_error ignored;

	for (unsigned int i = 0; i < nr_texts; i++) {
		const char *has;

		if (strlen(texts[i]) >= OB_SPEC_TEXT - 8)
			continue;
		snprintf(device, sizeof(device), "attach:%s", texts[i]);
		has = ob_spec_parse(device, &spec, &ignored) ? NULL
							     : ob_spec_get(&spec.device, option);
		if (has && !n--)
			return has;
	}
	return NULL;
}

bool broker_said(const char *option, const char *value)
{
	const char *has;

	for (unsigned int i = 0; (has = broker_said_next(option, i)); i++)
		if (!strcmp(has, value))
			return true;
	return !broker_serves();
}

/* ---- messages --------------------------------------------------------------------------------- */

static int send_message(int sock, int32_t op, const struct ob_error *err, const void *bytes,
			size_t size, const int *fds, unsigned int n)
{
	struct head head = {.op = op, .size = (uint32_t)size};
	/* Only read. */
	struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)bytes, size}};
	ssize_t sent;

	if (err)
		head.err = *err;
	sent = passing_send(sock, iov, 2, fds, n);
	return sent < 0 ? (int)sent : 0;
}

/* Return: 0; -EPIPE: the other end is closed; -EPROTO: it is no message, and its descriptors are closed. */
static int receive_message(int sock, struct head *head, void *bytes, size_t room, int *fds,
			   unsigned int *n)
{
	struct iovec iov[2] = {{head, sizeof(*head)}, {bytes, room}};
	bool cut;
	ssize_t got;

	*n = BROKER_FDS;
	got = passing_receive(sock, 0, iov, 2, fds, n, &cut);

	if (got <= 0)
		return -EPIPE;
	if (!cut && (size_t)got >= sizeof(*head) && (size_t)got - sizeof(*head) == head->size) {
		/* It comes from another process: strings end here. */
		head->err.what[sizeof(head->err.what) - 1] = '\0';
		head->err.why[sizeof(head->err.why) - 1] = '\0';
		head->err.fix[sizeof(head->err.fix) - 1] = '\0';
		return 0;
	}
	while (*n)
		close(fds[--*n]);
	return -EPROTO;
}

/* ---- who asks ---------------------------------------------------------------------------------- */

void ob_broker_connect(int sock, void (*fn)(bool on))
{
	broker = sock;
	waits = fn;
	rights = geteuid();
	group = getegid();
}

static int ask(enum broker_op op, struct broker_call *c, struct ob_error *err)
{
	struct pollfd p = {.fd = broker, .events = POLLIN};
	bool ending = false;
	struct head head;
	int ret;

	ret = send_message(broker, (int32_t)op, NULL, c->arg, c->arg_size, c->fd, c->nr_fds);
	if (ret)
		return ret;
	while (c->give_up && !ending && poll(&p, 1, SLICE_MS) <= 0) {
		ending = c->give_up(c->give_up_arg);
		if (ending)
			ret = send_message(broker, END_IT, NULL, NULL, 0, NULL, 0);
	}
	if (!ret)
		ret = receive_message(broker, &head, c->res, c->res_size, c->res_fd,
				      &c->nr_res_fds);
	if (ret)
		return ret;
	if (err && head.err.code)
		*err = head.err;
	return head.op;
}

int broker_call(enum broker_op op, struct broker_call *c, struct ob_error *err)
{
	int ret;

	c->nr_res_fds = 0;
	if (broker < 0)
		return ops[op].fn(c, err);
	if (waits)
		waits(true);
	pthread_mutex_lock(&one_at_a_time);
	ret = ask(op, c, err);
	pthread_mutex_unlock(&one_at_a_time);
	if (waits)
		waits(false);
	if (ret == -EPIPE && err && !err->code)
		ob_error_set(err, ret, "the keeper's side of this driver process is gone");
	return ret;
}

/* ---- the broker -------------------------------------------------------------------------------- */

/* An operation that takes its time has been told to end, or nobody waits for it any more. */
static bool is_to_end(void *arg)
{
	struct pollfd p = {.fd = client, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static int serve_one(const struct head *head, char *bytes, const int *fds, unsigned int n,
		     struct broker_call *c, struct ob_error *err)
{
	if (head->op < 0 || head->op >= BROKER_OPS || head->size != ops[head->op].arg_size ||
	    n != ops[head->op].nr_fds)
		return ob_error_set(err, -EPROTO, "the driver process asks for what there is not");
	c->arg = bytes;
	c->arg_size = head->size;
	c->nr_fds = n;
	memcpy(c->fd, fds, n * sizeof(int));
	c->res_size = ops[head->op].res_size;
	c->give_up = is_to_end;
	return ops[head->op].fn(c, err);
}

void ob_broker_serve(int sock, const char *const *attachments, unsigned int n)
{
	static _Alignas(16) char bytes[BROKER_BYTES], res[BROKER_BYTES];

	client = sock;
	for (nr_texts = 0; nr_texts < n && nr_texts < TEXTS; nr_texts++)
		texts[nr_texts] = attachments[nr_texts];
	for (;;) {
		struct broker_call c = {.res = res};
		struct ob_error err = {0};
		unsigned int nr_fds;
		int fds[BROKER_FDS], ret;
		struct head head;

		ret = receive_message(sock, &head, bytes, sizeof(bytes), fds, &nr_fds);
		if (ret == -EPIPE)
			return;
		/* That which it was to end has ended by itself. */
		if (!ret && head.op == END_IT)
			continue;
		memset(res, 0, sizeof(res));
		if (!ret)
			ret = serve_one(&head, bytes, fds, nr_fds, &c, &err);
		send_message(sock, ret, &err, res, c.res_size, c.res_fd, c.nr_res_fds);
		while (nr_fds)
			close(fds[--nr_fds]);
		while (c.nr_res_fds)
			close(c.res_fd[--c.nr_res_fds]);
	}
}
