/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "nbd-kernel": a block device /dev/nbdN, made by the kernel's NBD client (Linux, drivers/block/nbd.c) through
 * netlink (linux/nbd-netlink.h), which talks to our NBD server over socket pairs. Needs no more of a
 * kernel than its module nbd: for those that have neither ublk nor VDUSE.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/nbd-netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/caretaker.h"
#include "attach/genetlink.h"
#include "attach/holders.h"
#include "attach/kept.h"
#include "attach/nbd.h"

enum {
	/*
	 * One connection is one hardware queue of the block device, of 128 requests. Ours all end in one thread, so
	 * more than a few only cost.
	 */
	CONNECTIONS_DEFAULT = 2,
	CONNECTIONS_MAX = 16,
	/* So that a request and its payload of the usual longest (1280 KiB) go in one call. */
	SOCKET_BUFFER = 2 << 20,
	NODE_MS = 5000,
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
	struct genetlink netlink;
	unsigned int connections;
	uint64_t timeout, dead_timeout; /* seconds */
	int wanted;			/* number of the device that was asked for, or -1 */
	int number;			/* -1: not connected */
	char backend[64];		/* tells our use of the number from another's */
	struct caretaker care;

	/* below a keeper */
	char key[KEPT_KEY];
	bool kept, taken_over;
	_Atomic bool connected;
	struct genetlink reconnect; /* the loop's thread's */

	/* the caretaker's: nothing that must be made after the fork */
	char disconnect[256];
	size_t disconnect_len;
	char backend_path[64];
	char node[32];
};

/* ---- what the system can do ------------------------------------------------------ */

static int nbdk_netlink(struct genetlink *g, struct ob_error *err)
{
	int rc = -ENOENT;

	/* Asking for a family loads its module, and with it come 16 devices: not by our asking. */
	if (!access("/sys/module/nbd", F_OK))
		rc = genetlink_open(g, NBD_GENL_FAMILY_NAME, NBD_GENL_VERSION, err);
	if (rc == -ENOENT) {
		rc = ob_error_set(err, -EOPNOTSUPP, "the kernel's NBD client is not there");
		ob_error_fix(err, "modprobe nbd");
	}
	return rc;
}

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

/* ---- below a keeper ---------------------------------------------------------------- */

/* For the next driver process: by what name it finds the device, which may not be there yet. */
static int keep(void *arg, int care_fd)
{
	const struct nbd_kernel *k = arg;
	struct kept kept = {.fd = {care_fd}, .nr_fds = 1, .note_size = sizeof(k->backend)};

	if (!k->kept)
		return 0;
	memcpy(kept.key, k->key, sizeof(kept.key));
	memcpy(kept.note, k->backend, sizeof(k->backend));
	return kept_put(&kept);
}

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

static bool backend_is_ours(const struct nbd_kernel *k);

/* The device that a former driver process has connected. */
static void find_number(struct nbd_kernel *k)
{
	DIR *d = opendir("/sys/block");
	struct dirent *e;
	int number;

	while (d && k->number < 0 && (e = readdir(d))) {
		if (sscanf(e->d_name, "nbd%d", &number) != 1)
			continue;
		snprintf(k->backend_path, sizeof(k->backend_path), "/sys/block/nbd%d/backend",
			 number);
		if (!access(k->backend_path, F_OK) && backend_is_ours(k))
			k->number = number;
	}
	if (d)
		closedir(d);
}

static int make_sockets(struct nbd_kernel *k, int kernel_end[], struct ob_error *err);
static void put_sockets(const struct nbd_kernel *k, struct nlmsghdr *nlh, const int kernel_end[]);

/*
 * Another socket in place of the one whose other end has closed. Where the client has not noticed that yet it takes none: then ours
 * ends, too, and it is tried again.
 */
static int reconnect(struct nbd_kernel *k, struct genetlink *netlink, struct ob_error *err)
{
	int kernel_end[CONNECTIONS_MAX], rc = make_sockets(k, kernel_end, err);
	char request[GENETLINK_REQUEST], why[256];
	struct nlmsghdr *nlh;

	if (rc)
		return rc;
	nlh = genetlink_begin(netlink, request, NBD_CMD_RECONFIGURE);
	mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)k->number);
	mnl_attr_put_strz(nlh, NBD_ATTR_BACKEND_IDENTIFIER, k->backend);
	put_sockets(k, nlh, kernel_end);
	rc = genetlink_talk(netlink, nlh, NULL, NULL, why, sizeof(why));
	for (unsigned int i = 0; i < k->connections; i++)
		close(kernel_end[i]);
	if (rc) {
		ob_error_set(err, rc, "/dev/nbd%d takes no other connection: %s", k->number,
			     strerror(-rc));
		if (*why)
			ob_error_why(err, "%s", why);
	}
	return rc;
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
	if (!reconnect(k, &k->reconnect, NULL))
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
	int rc = nbdk_netlink(&k->reconnect, err);

	if (rc)
		return rc;
	rc = ob_loop_add(loop, &(struct ob_loop_source){
				       .name = "nbd connection",
				       .poll = connection_poll,
				       .tick = connection_tick,
				       .arg = k,
				       .fd = -1,
			       });
	if (!rc)
		return 0;
	genetlink_close(&k->reconnect);
	return ob_error_set(err, rc, "nbd-kernel: the loop takes no more sources");
}

/* ---- open ------------------------------------------------------------------------ */

static int nbdk_options(struct nbd_kernel *k, struct ob_spec_part *part, struct ob_error *err)
{
	uint64_t connections = k->kept ? 1 : CONNECTIONS_DEFAULT, index = 0;
	bool has_index = ob_spec_get(part, "index") != NULL;
	int rc = ob_spec_get_u64(part, "connections", 1, CONNECTIONS_MAX, &connections, err);

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
	k->srv.max_conns = CONNECTIONS_MAX;
	k->srv.negotiated = true;
	snprintf(k->srv.uri, sizeof(k->srv.uri), "the kernel's NBD client");
	rc = nbdk_options(k, part, err);
	if (rc)
		goto free;
	rc = nbdk_netlink(&k->netlink, err);
	if (rc)
		goto free;
	rc = nbd_server_open(&k->srv, blk, part, loop, err);
	if (rc)
		goto close_netlink;
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
close_netlink:
	genetlink_close(&k->netlink);
free:
	caretaker_leave(&k->care);
	free(k);
	return rc;
}

/* ---- the caretaker ---------------------------------------------------------------- */

static bool backend_is_ours(const struct nbd_kernel *k)
{
	char text[sizeof(k->backend) + 1];
	size_t len = strlen(k->backend);
	int fd = open(k->backend_path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	/* Before Linux 5.14 there is none: then the number is all we know. */
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text));
	close(fd);
	return n >= (ssize_t)len && !memcmp(text, k->backend, len);
}

/*
 * The server has died, and with it its ends of the sockets. The client knows, and lets new requests fail; those that were
 * under way it ends only when it is disconnected.
 */
static void nbdk_take_down(void *arg)
{
	struct nbd_kernel *k = arg;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	/* Of a keeper nobody is left who would come. */
	struct timespec wait = {.tv_sec = k->kept ? 0 : (time_t)k->dead_timeout};

	while (wait.tv_sec && nanosleep(&wait, &wait) && errno == EINTR)
		continue;
	if (backend_is_ours(k))
		(void)!sendto(mnl_socket_get_fd(k->netlink.sock), k->disconnect, k->disconnect_len,
			      0, (struct sockaddr *)&kernel, sizeof(kernel));
}

/*
 * The kernel reads the partition table. A process that serves it must not wait for that: killed meanwhile, it would neither die
 * nor serve.
 */
static void nbdk_first_open(void *arg)
{
	const struct nbd_kernel *k = arg;
	int fd = open(k->node, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

static struct nlmsghdr *disconnect_request(struct nbd_kernel *k, char request[GENETLINK_REQUEST])
{
	struct nlmsghdr *nlh = genetlink_begin(&k->netlink, request, NBD_CMD_DISCONNECT);

	mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)k->number);
	return nlh;
}

static int start_caretaker(struct nbd_kernel *k, struct ob_error *err)
{
	struct caretaker_job job = {
		.take_down = nbdk_take_down,
		.set_up = nbdk_first_open,
		.keep = keep,
		.arg = k,
		.fd[0] = mnl_socket_get_fd(k->netlink.sock),
		.nr_fds = 1,
	};
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh;

	if (k->care.pid)
		return 0; /* a former driver process's */
	nlh = disconnect_request(k, request);
	if (nlh->nlmsg_len > sizeof(k->disconnect))
		return ob_error_set(err, -E2BIG, "nbd-kernel: request too long");
	nlh->nlmsg_flags = NLM_F_REQUEST; /* nobody takes an answer */
	memcpy(k->disconnect, nlh, nlh->nlmsg_len);
	k->disconnect_len = nlh->nlmsg_len;
	return caretaker_start(&k->care, &job, err);
}

/* ---- publish ---------------------------------------------------------------------- */

static int make_sockets(struct nbd_kernel *k, int kernel_end[], struct ob_error *err)
{
	int size = SOCKET_BUFFER, fds[2];

	for (unsigned int i = 0; i < k->connections; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
			int rc = -errno;

			while (i-- > 0)
				close(kernel_end[i]);
			return ob_error_set(err, rc, "nbd-kernel: no socket pair: %s",
					    strerror(-rc));
		}
		/* On a UNIX socket only the sender's counts. Smaller ones work, too. */
		for (int end = 0; end < 2; end++)
			setsockopt(fds[end], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		k->srv.ready[k->srv.nr_ready++] = fds[0];
		kernel_end[i] = fds[1];
	}
	return 0;
}

static int take_number(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr[NBD_ATTR_MAX + 1];
	struct nbd_kernel *k = arg;

	genetlink_attrs(nlh, attr, NBD_ATTR_MAX + 1);
	if (attr[NBD_ATTR_INDEX] && mnl_attr_validate(attr[NBD_ATTR_INDEX], MNL_TYPE_U32) >= 0)
		k->number = (int)mnl_attr_get_u32(attr[NBD_ATTR_INDEX]);
	return MNL_CB_OK;
}

static int explain_connect(const struct nbd_kernel *k, int rc, const char *why,
			   struct ob_error *err)
{
	char device[32] = "a device";

	if (k->wanted >= 0)
		snprintf(device, sizeof(device), "/dev/nbd%d", k->wanted);
	ob_error_set(err, rc, "the kernel's NBD client does not connect %s to %s: %s", device,
		     k->srv.disk.blk->name, strerror(-rc));
	if (*why)
		ob_error_why(err, "%s", why);
	if (rc == -EBUSY && k->wanted >= 0)
		ob_error_fix(err, "leave index away, or: nbd-client -d %s", device);
	else if (rc == -EPERM)
		ob_error_fix(err, "run it as root of the initial user namespace");
	return rc;
}

static void put_sockets(const struct nbd_kernel *k, struct nlmsghdr *nlh, const int kernel_end[])
{
	struct nlattr *sockets = mnl_attr_nest_start(nlh, NBD_ATTR_SOCKETS), *item;

	for (unsigned int i = 0; i < k->connections; i++) {
		item = mnl_attr_nest_start(nlh, NBD_SOCK_ITEM);
		mnl_attr_put_u32(nlh, NBD_SOCK_FD, (uint32_t)kernel_end[i]);
		mnl_attr_nest_end(nlh, item);
	}
	mnl_attr_nest_end(nlh, sockets);
}

static int nbdk_connect(struct nbd_kernel *k, const int kernel_end[], struct ob_error *err)
{
	const struct ob_block_limits *l = &k->srv.disk.blk->limits;
	char request[GENETLINK_REQUEST], why[256];
	struct nlmsghdr *nlh = genetlink_begin(&k->netlink, request, NBD_CMD_CONNECT);
	int rc;

	if (k->wanted >= 0)
		mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)k->wanted);
	mnl_attr_put_u64(nlh, NBD_ATTR_SIZE_BYTES, l->size);
	mnl_attr_put_u64(nlh, NBD_ATTR_BLOCK_SIZE_BYTES, l->block_size);
	mnl_attr_put_u64(nlh, NBD_ATTR_SERVER_FLAGS, k->srv.flags);
	if (k->timeout)
		mnl_attr_put_u64(nlh, NBD_ATTR_TIMEOUT, k->timeout);
	if (k->dead_timeout)
		mnl_attr_put_u64(nlh, NBD_ATTR_DEAD_CONN_TIMEOUT, k->dead_timeout);
	mnl_attr_put_strz(nlh, NBD_ATTR_BACKEND_IDENTIFIER, k->backend);
	put_sockets(k, nlh, kernel_end);
	rc = genetlink_talk(&k->netlink, nlh, take_number, k, why, sizeof(why));
	if (!rc && k->number < 0)
		rc = -EPROTO;
	return rc ? explain_connect(k, rc, why, err) : 0;
}

/* udev may still make the node. */
static int first_open(struct nbd_kernel *k, struct ob_error *err)
{
	for (unsigned int ms = 0; ms < NODE_MS; ms += 10) {
		if (!access(k->node, R_OK)) {
			caretaker_set_up(&k->care, NODE_MS);
			return 0;
		}
		if (errno != ENOENT)
			break;
		usleep(10000);
	}
	return ob_error_set(err, -errno, "%s cannot be opened: %s", k->node, strerror(errno));
}

static void nbdk_disconnect(struct nbd_kernel *k)
{
	char request[GENETLINK_REQUEST];

	if (k->number < 0)
		return;
	/* -EINVAL: somebody else has disconnected it, nbd-client -d perhaps. */
	if (backend_is_ours(k))
		genetlink_talk(&k->netlink, disconnect_request(k, request), NULL, NULL, NULL, 0);
}

/* The device is there, and clients wait. */
static int go_on(struct nbd_kernel *k, struct ob_error *err)
{
	int rc = reconnect(k, &k->netlink, err);

	snprintf(k->node, sizeof(k->node), "/dev/nbd%d", k->number);
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
	int kernel_end[CONNECTIONS_MAX], rc;

	if (k->taken_over)
		find_number(k);
	if (k->number >= 0)
		return go_on(k, err);
	/* A name that no other use has. */
	snprintf(k->backend, sizeof(k->backend), "outboard-%d-%" PRIx64, getpid(), nbd_now());
	rc = keep(k, -1);
	if (rc)
		return ob_error_set(err, rc, "nbd-kernel: it cannot be kept: %s", strerror(-rc));
	rc = make_sockets(k, kernel_end, err);
	if (rc)
		return rc;
	nbd_server_serve(&k->srv);
	rc = nbdk_connect(k, kernel_end, err);
	/* The client has its own hold on them. */
	for (unsigned int i = 0; i < k->connections; i++)
		close(kernel_end[i]);
	if (rc)
		return rc;
	snprintf(k->backend_path, sizeof(k->backend_path), "/sys/block/nbd%d/backend", k->number);
	snprintf(k->node, sizeof(k->node), "/dev/nbd%d", k->number);
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

/* Connected, by whomever: the file is there from connect until the last user is gone (nbd_config_put()). */
static bool still_there(const struct nbd_kernel *k)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/nbd%d/pid", k->number);
	return !access(path, F_OK) && backend_is_ours(k);
}

/* What went through the page cache and was not written back; the loop serves it meanwhile. */
static void write_back(const struct nbd_kernel *k)
{
	char path[32];
	int fd;

	if (k->srv.disk.blk->limits.read_only)
		return;
	snprintf(path, sizeof(path), "/dev/nbd%d", k->number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Its writers, who closed it, cannot be told any more. */
	if (fsync(fd))
		disk_log(&k->srv.disk, OB_LOG_ERROR, "%s: what was written last is lost: %s", path,
			 strerror(errno));
	close(fd);
}

static int nbdk_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;
	char disk[16];

	atomic_store(&k->connected, k->connected && !force);
	if (k->number >= 0 && still_there(k)) {
		snprintf(disk, sizeof(disk), "nbd%d", k->number);
		if (!force) {
			if (holder_check_idle(disk, 0, err) == -EBUSY)
				return -EBUSY;
			write_back(k);
		}
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
	genetlink_close(&k->reconnect);
	genetlink_close(&k->netlink);
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
	.options = "connections=N,index=N,timeout=S,dead-timeout=S," DISK_OPTIONS,
	.probe = nbdk_probe,
	.open = nbdk_open,
	.publish = nbdk_publish,
	.unpublish = nbdk_unpublish,
	.close = nbdk_close,
	.info = nbdk_info,
	.stats = nbdk_stats,
};
