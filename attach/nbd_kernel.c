/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "nbd-kernel": a block device /dev/nbdN, made by the kernel's NBD client (Linux, drivers/block/nbd.c) through
 * netlink (linux/nbd-netlink.h), which talks to our NBD server over socket pairs. Needs no more of a
 * kernel than its module nbd: for those that have neither ublk nor VDUSE.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/caretaker.h"
#include "attach/genetlink.h"
#include "attach/kept.h"
#include "attach/nbd.h"
#include "attach/nbd_kernel_broker.h"

enum {
	CONNECTIONS_DEFAULT = 2,
	OPEN_MS = 5000,
	GONE_MS = 10000,
	SECONDS_MAX = 3600,
	/*
	 * Below a keeper. What was under way when a driver process died the client sends again only after this long (nbd_xmit_timeout()),
	 * but so it does with what a slow disk has not done by then, and disks with long queues may take seconds.
	 */
	KEPT_TIMEOUT = 5,
};

struct nbd_kernel {
	struct nbd_server srv; /* first */
	unsigned int connections;
	uint64_t timeout, dead_timeout; /* seconds */
	int wanted;			/* number of the device that was asked for, or -1 */
	int number;			/* -1: not connected */
	char backend[NBDK_BACKEND];	/* tells our use of the number from another's */
	struct caretaker care;

	/* below a keeper */
	char key[KEPT_KEY];
	bool kept, taken_over;
	_Atomic bool connected;
};

/* ---- what the system can do ------------------------------------------------------ */

static int nbdk_probe(struct ob_error *err)
{
	struct genetlink g;
	int rc;

	if (!genetlink_allowed(CAP_SYS_ADMIN)) {
		ob_error_set(err, -EPERM, "an NBD device cannot be made");
		ob_error_why(err, "the kernel's NBD client takes it from CAP_SYS_ADMIN only");
		ob_error_fix(err, "run it as root");
		return -EPERM;
	}
	rc = nbdk_netlink(&g, err);
	if (!rc)
		genetlink_close(&g);
	return rc;
}

/* ---- what the broker does --------------------------------------------------------- */

static struct broker_nbdk describe(const struct nbd_kernel *k)
{
	const struct ob_block_limits *l = &k->srv.disk.blk->limits;
	struct broker_nbdk a = {
		.number = k->number,
		.connections = k->connections,
		.size = l->size,
		.block_size = l->block_size,
		.flags = k->srv.flags,
		.timeout = k->timeout,
		.dead_timeout = k->dead_timeout,
	};

	memcpy(a.backend, k->backend, sizeof(a.backend));
	memcpy(a.key, k->key, sizeof(a.key));
	return a;
}

static int ask(enum broker_op op, const struct broker_nbdk *a, struct ob_error *err)
{
	struct broker_call c = {.arg = a, .arg_size = sizeof(*a)};

	return broker_call(op, &c, err);
}

/* Our ends of the client's connections. @op: BROKER_NBDK_CONNECT, BROKER_NBDK_RECONNECT */
static int connect_by(struct nbd_kernel *k, enum broker_op op, struct broker_nbdk *a,
		      struct ob_error *err)
{
	struct broker_call c = {
		.arg = a,
		.arg_size = sizeof(*a),
		.res = op == BROKER_NBDK_CONNECT ? a : NULL,
		.res_size = op == BROKER_NBDK_CONNECT ? sizeof(*a) : 0,
	};
	int rc = broker_call(op, &c, err);

	for (unsigned int i = 0; !rc && i < c.nr_res_fds; i++)
		k->srv.ready[k->srv.nr_ready++] = c.res_fd[i];
	return rc;
}

static int reconnect(struct nbd_kernel *k, struct ob_error *err)
{
	struct broker_nbdk a = describe(k);

	return connect_by(k, BROKER_NBDK_RECONNECT, &a, err);
}

/* ---- below a keeper ---------------------------------------------------------------- */

static void find_kept(struct nbd_kernel *k, const struct ob_device *dev, unsigned int index)
{
	struct kept kept;

	k->kept = kept_keeper() != 0;
	if (!k->kept)
		return;
	k->timeout = KEPT_TIMEOUT;
	k->dead_timeout = SECONDS_MAX;
	kept_key(k->key, "nbd-kernel", dev, index);
	if (!kept_find(k->key, &kept))
		return;
	k->taken_over = true;
	memcpy(k->backend, kept.note, sizeof(k->backend));
	k->backend[sizeof(k->backend) - 1] = '\0';
	if (kept.fd[0] >= 0)
		caretaker_adopt(&k->care, kept.fd[0]);
}

/* The device that a former driver process has connected. */
static void find_number(struct nbd_kernel *k)
{
	struct broker_nbdk a = describe(k);
	struct broker_call c = {
		.arg = &a,
		.arg_size = sizeof(a),
		.res = &a,
		.res_size = sizeof(a),
	};

	if (!broker_call(BROKER_NBDK_FIND, &c, NULL))
		k->number = a.number;
}

/*
 * Also the client ends the connection, when a request takes longer than its time-out, and sends it again on the next. That there is none
 * before the disk has done all that came by the last one is what keeps a request from overtaking itself.
 */
static void connection_tick(void *arg, uint64_t now_ns)
{
	struct nbd_kernel *k = arg;

	if (!atomic_load(&k->connected) || k->srv.nr_conns || k->srv.nr_ready ||
	    k->srv.shutting_down)
		return;
	if (!reconnect(k, NULL))
		nbd_server_take_ready(&k->srv);
	while (k->srv.nr_ready)
		close(k->srv.ready[--k->srv.nr_ready]);
}

static unsigned int connection_poll(void *arg, unsigned int budget)
{
	return 0;
}

static int watch_connection(struct nbd_kernel *k, struct ob_loop *loop, struct ob_error *err)
{
	int rc = ob_loop_add(loop, &(struct ob_loop_source){
					   .name = "nbd connection",
					   .poll = connection_poll,
					   .tick = connection_tick,
					   .arg = k,
					   .fd = -1,
				   });

	return rc ? ob_error_set(err, rc, "nbd-kernel: the loop takes no more sources") : 0;
}

/* ---- open ------------------------------------------------------------------------ */

static int nbdk_options(struct nbd_kernel *k, struct ob_spec_part *part, struct ob_error *err)
{
	uint64_t connections = k->kept ? 1 : CONNECTIONS_DEFAULT, index = 0;
	bool has_index = ob_spec_get(part, "index") != NULL;
	int rc = ob_spec_get_u64(part, "connections", 1, NBDK_CONNECTIONS, &connections, err);

	if (!rc)
		rc = ob_spec_get_u64(part, "index", 0, INT16_MAX, &index, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "timeout", 0, SECONDS_MAX, &k->timeout, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "dead-timeout", 0, SECONDS_MAX, &k->dead_timeout, err);
	if (!rc && k->kept && connections > 1) {
		rc = ob_error_set(err, -EINVAL,
				  "nbd-kernel: below a keeper there is one connection");
		ob_error_why(
			err,
			"the client sends a request that takes long on another, where it could overtake "
			"itself and a later one to the same place");
		ob_error_fix(err, "leave connections= away, or run without --restart");
	}
	k->connections = (unsigned int)connections;
	k->wanted = has_index ? (int)index : -1;
	return rc;
}

static int nbdk_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct ob_block *blk = b->block[index];
	struct nbd_kernel *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return ob_error_set(err, -ENOMEM, "nbd-kernel: no memory");
	k->number = -1;
	find_kept(k, blk->dev, index);
	k->srv.max_conns = NBDK_CONNECTIONS;
	k->srv.negotiated = true;
	snprintf(k->srv.uri, sizeof(k->srv.uri), "the kernel's NBD client");
	rc = nbdk_options(k, part, err);
	if (rc)
		goto free;
	rc = nbd_server_open(&k->srv, blk, part, loop, err);
	if (rc)
		goto free;
	/*
	 * Linux 6.12's client remembers of a number's former use that it may ask for zeroes (__nbd_set_size() only ever
	 * sets the limit), and has no fallback: so they may always be asked for.
	 */
	disk_zero_by_writing(&k->srv.disk);
	k->srv.flags = nbd_transmission_flags(&k->srv.disk);
	rc = k->kept ? watch_connection(k, loop, err) : 0;
	if (rc)
		goto close_server;
	*at = &k->srv.at;
	return 0;

close_server:
	nbd_server_close(&k->srv);
free:
	caretaker_leave(&k->care);
	free(k);
	return rc;
}

/* ---- publish ---------------------------------------------------------------------- */

static int start_caretaker(struct nbd_kernel *k, struct ob_error *err)
{
	struct broker_nbdk a = describe(k);
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};
	int rc;

	if (k->care.pid)
		return 0; /* a former driver process's */
	rc = broker_call(BROKER_NBDK_CARE, &c, err);
	if (rc < 0)
		return rc;
	k->care.others = broker_asked();
	k->care.pid = k->care.others ? -1 : rc;
	k->care.fd = c.res_fd[0];
	return 0;
}

static int first_open(struct nbd_kernel *k, struct ob_error *err)
{
	struct broker_nbdk a = describe(k);
	int rc = ask(BROKER_NBDK_NODE, &a, err);

	if (!rc)
		caretaker_set_up(&k->care, OPEN_MS);
	return rc;
}

static void nbdk_disconnect(struct nbd_kernel *k)
{
	struct broker_nbdk a = describe(k);

	if (k->number >= 0)
		ask(BROKER_NBDK_DISCONNECT, &a, NULL);
}

/* The device is there, and clients wait. */
static int go_on(struct nbd_kernel *k, struct ob_error *err)
{
	int rc = reconnect(k, err);

	nbd_server_serve(&k->srv);
	if (!rc)
		rc = start_caretaker(k, err);
	if (rc)
		return rc;
	atomic_store(&k->connected, true);
	return 0;
}

static int nbdk_publish(struct ob_attach *at, struct ob_error *err)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;
	struct broker_nbdk a;
	int rc;

	if (k->taken_over)
		find_number(k);
	if (k->number >= 0)
		return go_on(k, err);
	nbdk_backend(k->backend, nbd_now());
	rc = nbdk_keep(k->key, k->backend, -1);
	if (rc)
		return ob_error_set(err, rc, "nbd-kernel: it cannot be kept: %s", strerror(-rc));
	a = describe(k);
	a.number = k->wanted;
	rc = connect_by(k, BROKER_NBDK_CONNECT, &a, err);
	if (rc)
		return rc;
	k->number = a.number;
	nbd_server_serve(&k->srv);
	atomic_store(&k->connected, true);
	rc = start_caretaker(k, err);
	if (!rc)
		rc = first_open(k, err);
	if (rc) {
		nbdk_disconnect(k);
		caretaker_dismiss(&k->care);
		k->number = -1;
	}
	return rc;
}

/* ---- unpublish and close ----------------------------------------------------------- */

static bool still_there(const struct nbd_kernel *k)
{
	struct broker_nbdk a = describe(k);

	return ask(BROKER_NBDK_IDLE, &a, NULL) != -ENODEV;
}

/* What went through the page cache and was not written back; the loop serves it meanwhile. */
static void write_back(const struct nbd_kernel *k)
{
	struct broker_nbdk a = describe(k);
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};
	unsigned char error = 0;

	if (k->srv.disk.blk->limits.read_only || broker_call(BROKER_NBDK_WRITE_BACK, &c, NULL))
		return;
	/* Its writers, who closed it, cannot be told any more. */
	if (read(c.res_fd[0], &error, 1) != 1 || error)
		disk_log(&k->srv.disk, OB_LOG_ERROR,
			 "/dev/nbd%d: what was written last is lost: %s", k->number,
			 strerror(error ? error : EIO));
	close(c.res_fd[0]);
}

static int nbdk_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;
	struct broker_nbdk a = describe(k);
	int rc = -ENODEV;

	atomic_store(&k->connected, k->connected && !force);
	if (k->number >= 0)
		rc = ask(BROKER_NBDK_IDLE, &a, force ? NULL : err);
	if (rc == -EBUSY && !force)
		return rc;
	if (rc != -ENODEV) {
		if (!force)
			write_back(k);
		/* Requests under way fail now; a mounted file system gets I/O errors from here on. */
		nbdk_disconnect(k);
		for (unsigned int ms = 0; !force && ms < GONE_MS && still_there(k); ms++)
			usleep(1000);
	}
	atomic_store(&k->connected, false);
	k->number = -1;
	k->taken_over = false;
	caretaker_dismiss(&k->care);
	return nbd_server_shut_down(&k->srv, true, err);
}

static void nbdk_close(struct ob_attach *at)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;

	ob_loop_remove(k->srv.disk.loop, k);
	/* Of a former driver process, and not come so far as to go on with it: another may. */
	if (k->taken_over && !atomic_load(&k->connected))
		caretaker_leave(&k->care);
	else
		nbdk_disconnect(k);
	caretaker_dismiss(&k->care);
	nbd_server_close(&k->srv);
	free(k);
}

static void nbdk_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;

	memset(info, 0, sizeof(*info));
	info->kind = "nbd-kernel";
	snprintf(info->name, sizeof(info->name), "/dev/nbd%d", k->number);
	snprintf(info->detail, sizeof(info->detail),
		 "NBD client of the kernel, %u connection%s, %u requests at once%s", k->connections,
		 k->connections > 1 ? "s" : "", k->srv.disk.depth,
		 k->srv.disk.blk->limits.read_only ? ", read-only" : "");
}

static void nbdk_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct nbd_kernel *)at)->srv.disk, stats);
}

const struct ob_attach_ops ob_attach_nbd_kernel = {
	.name = "nbd-kernel",
	.summary = "a block device /dev/nbdN by the kernel's NBD client, for kernels without ublk",
	.class_ = OB_CLASS_BLOCK,
	.outlives = true,
	.confined = true,
	.options = "connections=N,index=N,timeout=S,dead-timeout=S," DISK_OPTIONS,
	.probe = nbdk_probe,
	.open = nbdk_open,
	.publish = nbdk_publish,
	.unpublish = nbdk_unpublish,
	.close = nbdk_close,
	.info = nbdk_info,
	.stats = nbdk_stats,
};
