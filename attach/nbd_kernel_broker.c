/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What "nbd-kernel" needs rights for, as operations of the broker (attach/broker.h): the kernel's NBD client (Linux, drivers/block/nbd.c,
 * linux/nbd-netlink.h) is given sockets and told to let go, and the caretaker is started. Each use of a device has a name, the
 * "backend", that has the keeper's number in it, so that each of an instance's brokers knows its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nbd-netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attach/caretaker.h"
#include "attach/genetlink.h"
#include "attach/nbd_kernel_broker.h"

enum {
	/* So that a request and its payload of the usual longest (1280 KiB) go in one call. */
	SOCKET_BUFFER = 2 << 20,
	NODE_MS = 5000,
	LOOK_MS = 10,
};

/* ---- whose it is ------------------------------------------------------------------------------ */

void nbdk_backend(char backend[NBDK_BACKEND], uint64_t unique)
{
	snprintf(backend, NBDK_BACKEND, "outboard-%d-%" PRIx64, broker_number(), unique);
}

static void backend_path(char path[64], int number)
{
	snprintf(path, 64, "/sys/block/nbd%d/backend", number);
}

/* Also in the caretaker: signal-safe. */
static bool is_backend(const char *path, const char *backend)
{
	char text[NBDK_BACKEND + 1];
	size_t len = strlen(backend);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	/* Before Linux 5.14 there is none: then the number is all we know, and no word of a confined process's is taken for it. */
	if (fd < 0)
		return !broker_serves();
	n = read(fd, text, sizeof(text));
	close(fd);
	return n >= (ssize_t)len && !memcmp(text, backend, len);
}

static bool is_there(const struct broker_nbdk *a)
{
	char path[64];

	backend_path(path, a->number);
	return is_backend(path, a->backend);
}

/* A copy with strings that end, of a use of this instance's. */
static int take(const struct broker_call *c, struct broker_nbdk *a, struct ob_error *err)
{
	char ours[NBDK_BACKEND];

	memcpy(a, c->arg, sizeof(*a));
	a->backend[sizeof(a->backend) - 1] = '\0';
	a->key[sizeof(a->key) - 1] = '\0';
	if (a->connections > NBDK_CONNECTIONS)
		return -EINVAL;
	if (!broker_serves())
		return 0;
	snprintf(ours, sizeof(ours), "outboard-%d-", broker_number());
	if (!strncmp(a->backend, ours, strlen(ours)))
		return 0;
	return ob_error_set(err, -EPERM,
			    "nbd-kernel: the driver process asks for another's device");
}

static int take_own(const struct broker_call *c, struct broker_nbdk *a, struct ob_error *err)
{
	int ret = take(c, a, err);

	return ret ? ret : is_there(a) ? 0 : -ENODEV;
}

int nbdk_netlink(struct genetlink *g, struct ob_error *err)
{
	int ret = -ENOENT;

	/* Asking for a family loads its module, and with it come 16 devices: not by our asking. */
	if (!access("/sys/module/nbd", F_OK))
		ret = genetlink_open(g, NBD_GENL_FAMILY_NAME, NBD_GENL_VERSION, err);
	if (ret == -ENOENT) {
		ret = ob_error_set(err, -EOPNOTSUPP, "the kernel's NBD client is not there");
		ob_error_fix(err, "modprobe nbd");
	}
	return ret;
}

static int take_own_by(struct genetlink *g, const struct broker_call *c, struct broker_nbdk *a,
		       struct ob_error *err)
{
	int ret = take_own(c, a, err);

	return ret ? ret : nbdk_netlink(g, err);
}

/* ---- connections ------------------------------------------------------------------------------- */

static void close_all(int fds[], unsigned int n)
{
	while (n)
		close(fds[--n]);
}

/* Our ends are the call's results. */
static int make_sockets(struct broker_call *c, unsigned int n, int kernel_end[],
			struct ob_error *err)
{
	int size = SOCKET_BUFFER, fds[2];

	for (unsigned int i = 0; i < n; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
			int ret = -errno;

			close_all(kernel_end, i);
			close_all(c->res_fd, c->nr_res_fds);
			c->nr_res_fds = 0;
			return ob_error_set(err, ret, "nbd-kernel: no socket pair: %s",
					    strerror(-ret));
		}
		/* On a UNIX socket only the sender's counts. Smaller ones work, too. */
		for (int end = 0; end < 2; end++)
			setsockopt(fds[end], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		c->res_fd[c->nr_res_fds++] = fds[0];
		kernel_end[i] = fds[1];
	}
	return 0;
}

static void put_sockets(struct nlmsghdr *nlh, const int kernel_end[], unsigned int n)
{
	struct nlattr *sockets = mnl_attr_nest_start(nlh, NBD_ATTR_SOCKETS), *item;

	for (unsigned int i = 0; i < n; i++) {
		item = mnl_attr_nest_start(nlh, NBD_SOCK_ITEM);
		mnl_attr_put_u32(nlh, NBD_SOCK_FD, (uint32_t)kernel_end[i]);
		mnl_attr_nest_end(nlh, item);
	}
	mnl_attr_nest_end(nlh, sockets);
}

static int take_number(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr[NBD_ATTR_MAX + 1];
	int *number = arg;

	genetlink_attrs(nlh, attr, NBD_ATTR_MAX + 1);
	if (attr[NBD_ATTR_INDEX] && mnl_attr_validate(attr[NBD_ATTR_INDEX], MNL_TYPE_U32) >= 0)
		*number = (int)mnl_attr_get_u32(attr[NBD_ATTR_INDEX]);
	return MNL_CB_OK;
}

static void put_device(struct nlmsghdr *nlh, const struct broker_nbdk *a)
{
	mnl_attr_put_u64(nlh, NBD_ATTR_SIZE_BYTES, a->size);
	mnl_attr_put_u64(nlh, NBD_ATTR_BLOCK_SIZE_BYTES, a->block_size);
	mnl_attr_put_u64(nlh, NBD_ATTR_SERVER_FLAGS, a->flags);
	if (a->timeout)
		mnl_attr_put_u64(nlh, NBD_ATTR_TIMEOUT, a->timeout);
	if (a->dead_timeout)
		mnl_attr_put_u64(nlh, NBD_ATTR_DEAD_CONN_TIMEOUT, a->dead_timeout);
}

/* @cmd: NBD_CMD_CONNECT, or NBD_CMD_RECONFIGURE for another socket in place of one whose other end has closed. */
static int give_sockets(struct broker_call *c, struct broker_nbdk *a, uint8_t cmd, char *why,
			size_t size, struct ob_error *err)
{
	int kernel_end[NBDK_CONNECTIONS], number = a->number, ret;
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh;
	struct genetlink g;

	ret = nbdk_netlink(&g, err);
	if (ret)
		return ret;
	ret = make_sockets(c, a->connections, kernel_end, err);
	if (ret) {
		genetlink_close(&g);
		return ret;
	}
	nlh = genetlink_begin(&g, request, cmd);
	if (a->number >= 0)
		mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)a->number);
	if (cmd == NBD_CMD_CONNECT)
		put_device(nlh, a);
	mnl_attr_put_strz(nlh, NBD_ATTR_BACKEND_IDENTIFIER, a->backend);
	put_sockets(nlh, kernel_end, a->connections);
	ret = genetlink_talk(&g, nlh, take_number, &number, why, size);
	if (!ret && number < 0)
		ret = -EPROTO;
	a->number = number;
	/* The client has its own hold on them. */
	close_all(kernel_end, a->connections);
	genetlink_close(&g);
	if (ret) {
		close_all(c->res_fd, c->nr_res_fds);
		c->nr_res_fds = 0;
	}
	return ret;
}

int broker_nbdk_connect(struct broker_call *c, struct ob_error *err)
{
	char device[32] = "a device", index[16], why[256] = "";
	struct broker_nbdk a;
	int ret = take(c, &a, err), wanted;

	if (ret)
		return ret;
	wanted = a.number;
	snprintf(index, sizeof(index), "%d", wanted);
	if (wanted >= 0 && !broker_said("index", index))
		return ob_error_set(err, -EPERM,
				    "nbd-kernel: the driver process asks for another device");
	ret = give_sockets(c, &a, NBD_CMD_CONNECT, why, sizeof(why), err);
	if (!ret) {
		memcpy(c->res, &a, sizeof(a));
		return 0;
	}
	if (wanted >= 0)
		snprintf(device, sizeof(device), "/dev/nbd%d", wanted);
	if (err && err->code)
		return ret;
	ob_error_set(err, ret, "the kernel's NBD client does not connect %s: %s", device,
		     strerror(-ret));
	if (*why)
		ob_error_why(err, "%s", why);
	if (ret == -EBUSY && wanted >= 0)
		ob_error_fix(err, "leave index away, or: nbd-client -d %s", device);
	else if (ret == -EPERM)
		ob_error_fix(err, "run it as root of the initial user namespace");
	return ret;
}

/* Where the client has not noticed yet that the other end has closed it takes none: then ours ends, too, and it is tried again. */
int broker_nbdk_reconnect(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbdk a;
	char why[256] = "";
	int ret = take_own(c, &a, err);

	if (!ret)
		ret = give_sockets(c, &a, NBD_CMD_RECONFIGURE, why, sizeof(why), err);
	if (ret && !(err && err->code)) {
		ob_error_set(err, ret, "/dev/nbd%d takes no other connection: %s", a.number,
			     strerror(-ret));
		if (*why)
			ob_error_why(err, "%s", why);
	}
	return ret;
}

int broker_nbdk_disconnect(struct broker_call *c, struct ob_error *err)
{
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh;
	struct broker_nbdk a;
	struct genetlink g;
	int ret = take_own_by(&g, c, &a, err);

	if (ret)
		return ret;
	nlh = genetlink_begin(&g, request, NBD_CMD_DISCONNECT);
	mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)a.number);
	/* -EINVAL: somebody else has disconnected it, nbd-client -d perhaps. */
	ret = genetlink_talk(&g, nlh, NULL, NULL, NULL, 0);
	genetlink_close(&g);
	return ret;
}

/* ---- looking ------------------------------------------------------------------------------------- */

/* The device that a former driver process has connected. */
int broker_nbdk_find(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbdk a;
	int ret = take(c, &a, err), number;
	struct dirent *e;
	char path[64];
	DIR *d;

	if (ret)
		return ret;
	ret = -ENODEV;
	d = opendir("/sys/block");
	while (d && ret && (e = readdir(d))) {
		if (sscanf(e->d_name, "nbd%d", &number) != 1)
			continue;
		backend_path(path, number);
		if (access(path, F_OK) || !is_backend(path, a.backend))
			continue;
		a.number = number;
		memcpy(c->res, &a, sizeof(a));
		ret = 0;
	}
	if (d)
		closedir(d);
	return ret;
}

/* udev may still make the node. */
int broker_nbdk_node(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbdk a;
	int ret = take_own(c, &a, err);
	char node[32];

	if (ret)
		return ret;
	snprintf(node, sizeof(node), "/dev/nbd%d", a.number);
	for (unsigned int ms = 0; ms < NODE_MS; ms += LOOK_MS) {
		if (!access(node, R_OK))
			return 0;
		if (errno != ENOENT)
			break;
		usleep(LOOK_MS * 1000);
	}
	return ob_error_set(err, -errno, "%s cannot be opened: %s", node, strerror(errno));
}

/* Connected, by whomever: the file is there from connect until the last user is gone (nbd_config_put()). */
int broker_nbdk_idle(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbdk a;
	int ret = take_own(c, &a, err);
	char disk[16], path[64];

	if (ret)
		return ret;
	snprintf(disk, sizeof(disk), "nbd%d", a.number);
	snprintf(path, sizeof(path), "/sys/block/%s/pid", disk);
	if (access(path, F_OK))
		return -ENODEV;
	return holder_check_idle(disk, 0, err) == -EBUSY ? -EBUSY : 0;
}

/* ---- before the end -------------------------------------------------------------------------------- */

/* What went through the page cache and was not written back; returns 0 or an errno value, below 256. */
static unsigned char write_back(const struct broker_nbdk *a)
{
	char path[32];
	int fd, error = 0;

	snprintf(path, sizeof(path), "/dev/nbd%d", a->number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fsync(fd))
		error = errno;
	close(fd);
	return (unsigned char)error;
}

/*
 * The loop serves it meanwhile, and may have to ask the broker for another connection: so a child does it, and what comes of it can be
 * read from the result's pipe.
 */
int broker_nbdk_write_back(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbdk a;
	int ret = take_own(c, &a, err), fds[2];
	unsigned char error;
	pid_t pid = 0;

	if (!ret && pipe2(fds, O_CLOEXEC))
		ret = -errno;
	if (ret)
		return ret;
	if (broker_serves())
		pid = fork();
	if (!pid) {
		error = write_back(&a);
		/* A pipe has room for it. */
		ret = write(fds[1], &error, 1) == 1 ? 0 : -EIO;
		if (broker_serves())
			_exit(0);
	}
	close(fds[1]);
	c->res_fd[c->nr_res_fds++] = fds[0];
	return ret;
}

/* ---- the caretaker ---------------------------------------------------------------------------------- */

/* Nothing that must be made after the fork. */
struct care {
	char key[KEPT_KEY];
	char backend[NBDK_BACKEND];
	char backend_path[64];
	char node[32];
	bool kept;
	uint64_t dead_timeout;
	int netlink;
	char disconnect[256];
	size_t disconnect_len;
};

int nbdk_keep(const char *key, const char *backend, int care_fd)
{
	struct kept kept = {.fd = {care_fd}, .nr_fds = 1, .note_size = NBDK_BACKEND};

	if (!kept_keeper())
		return 0;
	memcpy(kept.key, key, sizeof(kept.key));
	memcpy(kept.note, backend, NBDK_BACKEND);
	return kept_put(&kept);
}

static int keep(void *arg, int care_fd)
{
	const struct care *care = arg;

	return nbdk_keep(care->key, care->backend, care_fd);
}

/*
 * The server has died, and with it its ends of the sockets. The client knows, and lets new requests fail; those that were
 * under way it ends only when it is disconnected.
 */
static void take_down(void *arg)
{
	const struct care *care = arg;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	/* Of a keeper nobody is left who would come. */
	struct timespec wait = {.tv_sec = care->kept ? 0 : (time_t)care->dead_timeout};

	while (wait.tv_sec && nanosleep(&wait, &wait) && errno == EINTR)
		continue;
	if (is_backend(care->backend_path, care->backend))
		(void)!sendto(care->netlink, care->disconnect, care->disconnect_len, 0,
			      (struct sockaddr *)&kernel, sizeof(kernel));
}

/*
 * The kernel reads the partition table. A process that serves it must not wait for that: killed meanwhile, it would neither die
 * nor serve.
 */
static void first_open(void *arg)
{
	const struct care *care = arg;
	int fd = open(care->node, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

static int prepare(struct care *care, struct genetlink *g, const struct broker_nbdk *a,
		   struct ob_error *err)
{
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh = genetlink_begin(g, request, NBD_CMD_DISCONNECT);

	mnl_attr_put_u32(nlh, NBD_ATTR_INDEX, (uint32_t)a->number);
	if (nlh->nlmsg_len > sizeof(care->disconnect))
		return ob_error_set(err, -E2BIG, "nbd-kernel: request too long");
	nlh->nlmsg_flags = NLM_F_REQUEST; /* nobody takes an answer */
	memcpy(care->disconnect, nlh, nlh->nlmsg_len);
	care->disconnect_len = nlh->nlmsg_len;
	care->netlink = mnl_socket_get_fd(g->sock);
	care->kept = kept_keeper() != 0;
	care->dead_timeout = a->dead_timeout;
	memcpy(care->key, a->key, sizeof(care->key));
	memcpy(care->backend, a->backend, sizeof(care->backend));
	backend_path(care->backend_path, a->number);
	snprintf(care->node, sizeof(care->node), "/dev/nbd%d", a->number);
	return 0;
}

int broker_nbdk_care(struct broker_call *c, struct ob_error *err)
{
	static struct care care; /* read in the child, as it was */
	struct caretaker_job job = {
		.take_down = take_down,
		.set_up = first_open,
		.keep = keep,
		.arg = &care,
		.nr_fds = 1,
	};
	struct caretaker caretaker;
	struct broker_nbdk a;
	struct genetlink g;
	int ret = take_own_by(&g, c, &a, err);

	if (ret)
		return ret;
	ret = prepare(&care, &g, &a, err);
	job.fd[0] = care.netlink;
	if (!ret)
		ret = caretaker_start(&caretaker, &job, err);
	genetlink_close(&g);
	if (ret)
		return ret;
	c->res_fd[c->nr_res_fds++] = caretaker.fd;
	return caretaker.pid;
}
