/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What VDUSE needs rights for, as operations of the broker (attach/broker.h): a device is made, opened, given to the kernel's driver,
 * taken from it and removed, and the caretaker is started. The names of an instance's devices have its keeper's number, so that each
 * of its brokers knows them. Linux, drivers/vdpa/vdpa_user/vduse_dev.c and linux/vdpa.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/tap_link.h"
#include "attach/vduse.h"
#include "attach/vduse_broker.h"

#define DEVICES "/sys/bus/vdpa/devices"

enum {
	PAGE = 4096,
	WAIT_MS = 10000,
	LOOK_MS = 10,
};

/* ---- whose it is ------------------------------------------------------------------------------ */

void vduse_name(char name[VDUSE_NAME], unsigned int i)
{
	snprintf(name, VDUSE_NAME, "outboard-%d-%u", broker_number(), i);
}

bool vduse_name_is_ours(const char *name)
{
	char ours[VDUSE_NAME];

	for (unsigned int i = 0; i < VDUSE_NAMES; i++) {
		vduse_name(ours, i);
		if (!strcmp(name, ours))
			return true;
	}
	return false;
}

/* A copy with strings that end, of a device of this instance's. */
static int take(const struct broker_call *c, struct broker_vduse *a, struct ob_error *err)
{
	memcpy(a, c->arg, sizeof(*a));
	a->name[sizeof(a->name) - 1] = '\0';
	a->key[sizeof(a->key) - 1] = '\0';
	a->child[sizeof(a->child) - 1] = '\0';
	if (!broker_serves() || vduse_name_is_ours(a->name))
		return 0;
	return ob_error_set(err, -EPERM, "vduse: the driver process asks for another's device");
}

static bool is_attached(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "/%s", name);
	return !access(path, F_OK);
}

/* ---- sysfs ------------------------------------------------------------------------------------- */

static bool write_sysfs(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The entry of @dir whose name begins with @prefix. */
static bool find_entry(const char *dir, const char *prefix, char *name, size_t size)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0 ||
		    strlen(e->d_name) >= size)
			continue;
		strcpy(name, e->d_name);
		found = true;
	}
	if (d)
		closedir(d);
	return found;
}

/* What the kernel's driver has made of it: "vda" in virtioN/block, "eth1" in virtioN/net. */
static bool find_child(const struct broker_vduse *a, char child[VDUSE_CHILD])
{
	char dir[160], virtio[32];

	snprintf(dir, sizeof(dir), DEVICES "/%s", a->name);
	if (!find_entry(dir, "virtio", virtio, sizeof(virtio)))
		return false;
	snprintf(dir, sizeof(dir), DEVICES "/%s/%s/%s", a->name, virtio, a->net ? "net" : "block");
	return find_entry(dir, "", child, VDUSE_CHILD);
}

bool vduse_has_interface(const char *name)
{
	struct broker_vduse a = {.net = true};
	char child[VDUSE_CHILD];

	for (unsigned int i = 0; i < VDUSE_NAMES; i++) {
		vduse_name(a.name, i);
		if (find_child(&a, child) && !strcmp(child, name))
			return true;
	}
	return false;
}

/* ---- made and removed --------------------------------------------------------------------------- */

static int open_control(uint64_t *api, struct ob_error *err)
{
	int fd = open(VDUSE_CONTROL, O_RDWR | O_CLOEXEC), rc;

	if (fd < 0)
		return vduse_explain_control(-errno, err);
	if (ioctl(fd, VDUSE_GET_API_VERSION, api)) {
		rc = -errno;
		close(fd);
		return ob_error_set(err, rc, VDUSE_CONTROL ": its version: %s", strerror(-rc));
	}
	if (*api > VDUSE_API_VERSION_1)
		*api = VDUSE_API_VERSION_1;
	if (!ioctl(fd, VDUSE_SET_API_VERSION, api))
		return fd;
	rc = -errno;
	close(fd);
	return ob_error_set(err, rc, VDUSE_CONTROL ": version %" PRIu64 ": %s", *api,
			    strerror(-rc));
}

static int create(const struct broker_vduse *a, struct ob_error *err)
{
	union {
		struct vduse_dev_config dev;
		char room[sizeof(struct vduse_dev_config) + VDUSE_CONFIG];
	} u;
	int control, rc;
	uint64_t api;

	if (a->space_size > sizeof(a->space))
		return -EINVAL;
	control = open_control(&api, err);
	if (control < 0)
		return control;
	memset(&u, 0, sizeof(u));
	memcpy(u.dev.name, a->name, sizeof(a->name));
	u.dev.device_id = a->device_id;
	u.dev.features = a->features;
	u.dev.vq_num = a->queues;
	u.dev.vq_align = PAGE;
	if (api >= VDUSE_API_VERSION_1)
		u.dev.ngroups = u.dev.nas = 1;
	u.dev.config_size = a->space_size;
	memcpy(u.dev.config, a->space, a->space_size);
	rc = ioctl(control, VDUSE_CREATE_DEV, &u.dev) ? -errno : 0;
	close(control);
	/* The former process may have come further than to choose the name. */
	if (!rc || (rc == -EEXIST && a->taken_over))
		return 0;
	return ob_error_set(err, rc, "the kernel makes no VDUSE device: %s", strerror(-rc));
}

static int open_device(const struct broker_vduse *a, struct ob_error *err)
{
	char path[96];
	int fd, rc = -ENOENT;

	snprintf(path, sizeof(path), "/dev/vduse/%s", a->name);
	/* udev may still make it; and the last hold of a process that was killed may still go. */
	for (unsigned int ms = 0;
	     ms < WAIT_MS && (rc == -ENOENT || (rc == -EBUSY && a->taken_over)); ms++) {
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		rc = -errno;
		usleep(1000);
	}
	return ob_error_set(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
}

/* Since Linux 6.7; without it the area has 64 MiB, and ours does not fit. Returns 0 or a negative errno value. */
static int set_bounce_size(const struct broker_vduse *a)
{
	char path[128], text[32], now[32] = "";
	int fd, n, rc = 0;

	snprintf(path, sizeof(path), "/sys/class/vduse/%s/bounce_size", a->name);
	n = snprintf(text, sizeof(text), "%" PRIu64, a->bounce);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A former process may have set it; once the device is attached nobody can. */
	if ((pread(fd, now, sizeof(now) - 1, 0) <= 0 || strtoull(now, NULL, 10) != a->bounce) &&
	    pwrite(fd, text, (size_t)n, 0) != n)
		rc = -errno;
	close(fd);
	return rc;
}

int broker_vduse_make(struct broker_call *c, struct ob_error *err)
{
	struct broker_vduse a;
	int rc = take(c, &a, err), fd;

	if (!rc)
		rc = create(&a, err);
	if (rc)
		return rc;
	fd = open_device(&a, err);
	if (fd < 0)
		return fd;
	a.attached = is_attached(a.name);
	a.bounce_error = set_bounce_size(&a);
	c->res_fd[c->nr_res_fds++] = fd;
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

int broker_vduse_destroy(struct broker_call *c, struct ob_error *err)
{
	struct broker_vduse a;
	char name[VDUSE_NAME_MAX] = "";
	int control, rc = take(c, &a, err);
	uint64_t api;

	if (rc)
		return rc;
	control = open_control(&api, err);
	if (control < 0)
		return control;
	memcpy(name, a.name, sizeof(a.name));
	/* Busy while the last hold on its node goes. */
	for (unsigned int ms = 0; ms < WAIT_MS; ms++) {
		rc = ioctl(control, VDUSE_DESTROY_DEV, name) ? -errno : 0;
		if (rc != -EBUSY)
			break;
		usleep(1000);
	}
	close(control);
	return rc;
}

/* ---- given to the kernel's driver, and taken back -------------------------------------------------- */

struct said {
	int rc;
	char why[256];
};

static void talk(const char *name, uint8_t cmd, struct said *s)
{
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh;
	struct genetlink g;

	memset(s, 0, sizeof(*s));
	s->rc = vduse_netlink(&g, NULL);
	if (s->rc)
		return;
	nlh = genetlink_begin(&g, request, cmd);
	mnl_attr_put_strz(nlh, VDPA_ATTR_DEV_NAME, name);
	if (cmd == VDPA_CMD_DEV_NEW)
		mnl_attr_put_strz(nlh, VDPA_ATTR_MGMTDEV_DEV_NAME, "vduse");
	/* Returns when the driver has taken it, with all that it asks the device for, or let go of it. */
	s->rc = genetlink_talk(&g, nlh, NULL, NULL, s->why, sizeof(s->why));
	genetlink_close(&g);
}

/*
 * Until the device has answered, the kernel does not let go of who asked, not even of one that was killed. The broker has to end with the
 * driver process that should answer, so that another one can: hence in a child, which nobody waits for then.
 */
static void talk_apart(const char *name, uint8_t cmd, struct said *s)
{
	int fds[2] = {-1, -1};
	ssize_t n = -1;
	pid_t pid;

	if (!broker_serves()) {
		talk(name, cmd, s);
		return;
	}
	pid = pipe2(fds, O_CLOEXEC) ? -1 : fork();
	if (!pid) {
		talk(name, cmd, s);
		_exit(write(fds[1], s, sizeof(*s)) != (ssize_t)sizeof(*s));
	}
	if (fds[1] >= 0)
		close(fds[1]);
	do
		n = pid > 0 ? read(fds[0], s, sizeof(*s)) : -1;
	while (pid > 0 && n < 0 && errno == EINTR);
	if (fds[0] >= 0)
		close(fds[0]);
	if (n != (ssize_t)sizeof(*s))
		*s = (struct said){.rc = -ECHILD};
}

/* vhost_vdpa takes what it can get, too, when it was loaded first. */
static int choose_driver(const char *name, struct ob_error *err)
{
	char dir[128], path[192], driver[256];
	ssize_t n;

	snprintf(dir, sizeof(dir), DEVICES "/%s", name);
	snprintf(path, sizeof(path), "%s/driver", dir);
	n = readlink(path, driver, sizeof(driver) - 1);
	driver[n > 0 ? n : 0] = '\0';
	if (n > 0 && strstr(driver, "/virtio_vdpa"))
		return 0;
	snprintf(path, sizeof(path), "%s/driver_override", dir);
	write_sysfs(path, "virtio_vdpa");
	snprintf(path, sizeof(path), "%s/driver/unbind", dir);
	if (n > 0)
		write_sysfs(path, name);
	if (!write_sysfs("/sys/bus/vdpa/drivers_probe", name)) {
		ob_error_set(err, -ENODEV, "%s: no virtio device is made of it", name);
		ob_error_fix(err, "modprobe virtio_vdpa");
		return -ENODEV;
	}
	return 0;
}

static bool node_exists(const char *disk)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", disk);
	return !access(path, F_OK);
}

static int wait_for_child(struct broker_vduse *a, char child[VDUSE_CHILD], struct ob_error *err)
{
	for (unsigned int ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
		if (find_child(a, child) && (a->net || node_exists(child)))
			return 0;
		usleep(LOOK_MS * 1000);
	}
	ob_error_set(err, -ETIMEDOUT, "the kernel makes %s of %s",
		     a->net ? "no interface" : "no block device", a->name);
	ob_error_fix(err, "modprobe %s", a->net ? "virtio_net" : "virtio_blk");
	return -ETIMEDOUT;
}

static int rename_interface(char child[VDUSE_CHILD], const char *wanted, struct ob_error *err)
{
	struct ifreq ifr = {0};
	int fd, rc = 0;

	if (!*wanted || !strcmp(child, wanted))
		return 0;
	if (!broker_said("name", wanted))
		return ob_error_set(err, -EPERM,
				    "vduse-net: the driver process asks for another name");
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", child);
	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "%.15s", wanted);
	if (fd < 0 || ioctl(fd, SIOCSIFNAME, &ifr))
		rc = ob_error_set(err, -errno, "vduse-net: %s cannot be called %s: %s", child,
				  wanted, strerror(errno));
	else
		snprintf(child, VDUSE_CHILD, "%s", wanted);
	if (fd >= 0)
		close(fd);
	return rc;
}

int broker_vduse_attach(struct broker_call *c, struct ob_error *err)
{
	char child[VDUSE_CHILD] = "";
	struct broker_vduse a;
	struct said said;
	int rc = take(c, &a, err);

	if (rc)
		return rc;
	if (!is_attached(a.name)) {
		talk_apart(a.name, VDPA_CMD_DEV_NEW, &said);
		rc = said.rc;
	}
	if (rc) {
		ob_error_set(err, rc, "%s cannot be given to the kernel's driver: %s", a.name,
			     strerror(-rc));
		if (*said.why)
			ob_error_why(err, "%s", said.why);
		return rc;
	}
	rc = choose_driver(a.name, err);
	if (!rc)
		rc = wait_for_child(&a, child, err);
	if (!rc && a.net)
		rc = rename_interface(child, a.child, err);
	if (rc) {
		talk_apart(a.name, VDPA_CMD_DEV_DEL, &said);
		return rc;
	}
	memcpy(a.child, child, sizeof(a.child));
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

int broker_vduse_detach(struct broker_call *c, struct ob_error *err)
{
	char disk[VDUSE_CHILD] = "";
	struct broker_vduse a;
	struct said said;
	int rc = take(c, &a, err);

	if (rc)
		return rc;
	/* Has it gone of itself? Then its name may belong to another. */
	if (!a.net && find_child(&a, disk) && !a.force && holder_check_idle(disk, 0, err) == -EBUSY)
		return -EBUSY;
	/* The kernel writes dirty pages back first, which the loop's thread serves meanwhile. */
	talk_apart(a.name, VDPA_CMD_DEV_DEL, &said);
	rc = said.rc;
	/* -ENODEV: somebody else has taken it away, by `vdpa dev del`. */
	if (rc && rc != -ENODEV) {
		ob_error_set(err, rc, "%s cannot be taken from the kernel's driver: %s", a.name,
			     strerror(-rc));
		if (*said.why)
			ob_error_why(err, "%s", said.why);
		return rc;
	}
	for (unsigned int ms = 0; *disk && ms < WAIT_MS && node_exists(disk); ms++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/block/%s", disk);
		if (access(path, F_OK))
			break; /* the node is left to whoever makes nodes here */
		usleep(1000);
	}
	return 0;
}

/* ---- the caretaker ---------------------------------------------------------------------------------- */

/* For the next driver process. */
static int keep(void *arg, int care_fd)
{
	const struct vduse *v = arg;

	return vduse_keep(v, care_fd);
}

static int prepare_delete(struct vduse *v, struct ob_error *err)
{
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh = genetlink_begin(&v->netlink, request, VDPA_CMD_DEV_DEL);

	mnl_attr_put_strz(nlh, VDPA_ATTR_DEV_NAME, v->name);
	if (nlh->nlmsg_len > sizeof(v->delete_request))
		return ob_error_set(err, -E2BIG, "%s: request too long", v->name);
	nlh->nlmsg_flags = NLM_F_REQUEST; /* nobody takes an answer */
	memcpy(v->delete_request, nlh, nlh->nlmsg_len);
	v->delete_len = nlh->nlmsg_len;
	return 0;
}

static int start_caretaker(struct vduse *v, struct caretaker *care, struct ob_error *err)
{
	struct caretaker_job job = {
		.take_down = vduse_take_down,
		.keep = keep,
		.arg = v,
		.fd = {mnl_socket_get_fd(v->netlink.sock), v->control_fd, v->kick_fd},
		.nr_fds = 3,
		.shared = v->shared,
		.size = sizeof(*v->shared),
	};
	int rc = prepare_delete(v, err);

	return rc ? rc : caretaker_start(care, &job, err);
}

/* The child's memory of how far the device is: a driver process may write to it, but not cut it off. */
static int map_log(struct vduse *v, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) ||
	    (size_t)st.st_size < sizeof(*v->shared))
		return -EPERM;
	v->log_fd = fd;
	v->shared = mmap(NULL, sizeof(*v->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return v->shared == MAP_FAILED ? -errno : 0;
}

int broker_vduse_care(struct broker_call *c, struct ob_error *err)
{
	struct caretaker care = {.pid = 0};
	struct broker_vduse a;
	struct vduse *v;
	int rc = take(c, &a, err);
	uint64_t api;

	if (!rc && a.queues > VDUSE_QUEUES)
		rc = -EINVAL;
	v = rc ? NULL : calloc(1, sizeof(*v));
	if (!v)
		return rc ? rc : -ENOMEM;
	memcpy(v->name, a.name, sizeof(v->name));
	memcpy(v->key, a.key, sizeof(v->key));
	v->config.queues = a.queues;
	v->config.queue_size = a.queue_size;
	v->config.fail_byte = a.fail_byte;
	v->map.translate = vduse_translate;
	v->map.arg = &v->memory;
	v->memory.fd = -1;
	rc = map_log(v, c->fd[0]);
	if (rc)
		goto free;
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->control_fd = open_control(&api, err);
	rc = v->kick_fd < 0 ? -EMFILE : v->control_fd < 0 ? v->control_fd : 0;
	if (!rc)
		rc = vduse_netlink(&v->netlink, err);
	if (!rc) {
		rc = start_caretaker(v, &care, err);
		genetlink_close(&v->netlink);
	}
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	if (v->control_fd >= 0)
		close(v->control_fd);
	munmap(v->shared, sizeof(*v->shared));
	if (!rc)
		c->res_fd[c->nr_res_fds++] = care.fd;
free:
	free(v);
	return rc ? rc : care.pid;
}

/* ---- an interface's sockets ---------------------------------------------------------------------------- */

int broker_vduse_net(struct broker_call *c, struct ob_error *err)
{
	int rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int mcast, rc = rtnl < 0 ? -errno : tap_link_subscribe(rtnl);

	if (rc) {
		if (rtnl >= 0)
			close(rtnl);
		return ob_error_set(err, rc, "vduse-net: no socket: %s", strerror(-rc));
	}
	mcast = open("/proc/net/dev_mcast", O_RDONLY | O_CLOEXEC);
	c->res_fd[c->nr_res_fds++] = rtnl;
	if (mcast >= 0)
		c->res_fd[c->nr_res_fds++] = mcast;
	return 0;
}
