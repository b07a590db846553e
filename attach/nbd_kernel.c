/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "nbd-kernel": a block device /dev/nbdN, made by the kernel's NBD client (Linux, drivers/block/nbd.c) through
 * netlink (linux/nbd-netlink.h), which talks to our NBD server over socket pairs. Needs no more of a
 * kernel than its module nbd: for those that have neither ublk nor VDUSE.
 */
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

	/* the caretaker's: nothing that must be made after the fork */
	char disconnect[256];
	size_t disconnect_len;
	char backend_path[64];
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

/* ---- open ------------------------------------------------------------------------ */

static int nbdk_options(struct nbd_kernel *k, struct ob_spec_part *part, struct ob_error *err)
{
	uint64_t connections = CONNECTIONS_DEFAULT, index = 0;
	bool has_index = ob_spec_get(part, "index") != NULL;
	int rc = ob_spec_get_u64(part, "connections", 1, CONNECTIONS_MAX, &connections, err);

	if (!rc)
		rc = ob_spec_get_u64(part, "index", 0, INT16_MAX, &index, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "timeout", 0, SECONDS_MAX, &k->timeout, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "dead-timeout", 0, SECONDS_MAX, &k->dead_timeout, err);
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
	*at = &k->srv.at;
	return 0;

close_netlink:
	genetlink_close(&k->netlink);
free:
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
	struct timespec wait = {.tv_sec = (time_t)k->dead_timeout};

	while (k->dead_timeout && nanosleep(&wait, &wait) && errno == EINTR)
		continue;
	if (backend_is_ours(k))
		(void)!sendto(mnl_socket_get_fd(k->netlink.sock), k->disconnect, k->disconnect_len,
			      0, (struct sockaddr *)&kernel, sizeof(kernel));
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
		.arg = k,
		.fd[0] = mnl_socket_get_fd(k->netlink.sock),
		.nr_fds = 1,
	};
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh = disconnect_request(k, request);

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

static int nbdk_connect(struct nbd_kernel *k, const int kernel_end[], struct ob_error *err)
{
	const struct ob_block_limits *l = &k->srv.disk.blk->limits;
	char request[GENETLINK_REQUEST], why[256];
	struct nlmsghdr *nlh = genetlink_begin(&k->netlink, request, NBD_CMD_CONNECT);
	struct nlattr *sockets, *item;
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
	sockets = mnl_attr_nest_start(nlh, NBD_ATTR_SOCKETS);
	for (unsigned int i = 0; i < k->connections; i++) {
		item = mnl_attr_nest_start(nlh, NBD_SOCK_ITEM);
		mnl_attr_put_u32(nlh, NBD_SOCK_FD, (uint32_t)kernel_end[i]);
		mnl_attr_nest_end(nlh, item);
	}
	mnl_attr_nest_end(nlh, sockets);
	rc = genetlink_talk(&k->netlink, nlh, take_number, k, why, sizeof(why));
	if (!rc && k->number < 0)
		rc = -EPROTO;
	return rc ? explain_connect(k, rc, why, err) : 0;
}

/* The kernel reads the partition table at the first open, and udev may still make the node. */
static int first_open(const struct nbd_kernel *k, struct ob_error *err)
{
	char path[32];
	int fd, rc = -ENOENT;

	snprintf(path, sizeof(path), "/dev/nbd%d", k->number);
	for (unsigned int ms = 0; ms < NODE_MS && rc == -ENOENT; ms += 10) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		rc = -errno;
		usleep(10000);
	}
	return ob_error_set(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
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

static int nbdk_publish(struct ob_attach *at, struct ob_error *err)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;
	int kernel_end[CONNECTIONS_MAX], rc;

	/* A name that no other use has. */
	snprintf(k->backend, sizeof(k->backend), "outboard-%d-%" PRIx64, getpid(), nbd_now());
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
	k->number = -1;
	caretaker_dismiss(&k->care);
	return nbd_server_shut_down(&k->srv, true, err);
}

static void nbdk_close(struct ob_attach *at)
{
	struct nbd_kernel *k = (struct nbd_kernel *)at;

	nbdk_disconnect(k);
	caretaker_dismiss(&k->care);
	nbd_server_close(&k->srv);
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
	.options = "connections=N,index=N,timeout=S,dead-timeout=S," DISK_OPTIONS,
	.probe = nbdk_probe,
	.open = nbdk_open,
	.publish = nbdk_publish,
	.unpublish = nbdk_unpublish,
	.close = nbdk_close,
	.info = nbdk_info,
	.stats = nbdk_stats,
};
