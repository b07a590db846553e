/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network namespaces for the tap attachment: see tap_netns.h. namespaces(7), user_namespaces(7),
 * network_namespaces(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/passing.h"
#include "attach/tap_netns.h"

#define TUN_NODE "/dev/net/tun"

/* What the child did last, so that the parent can say what failed. */
enum step {
	STEP_DONE,
	STEP_OPEN_NS,
	STEP_ENTER_NS,
	STEP_ENTER_USER,
	STEP_NEW_NS,
	STEP_ID_MAP,
	STEP_TUN,
	STEP_SOCKETS,
	STEP_TUNSETIFF,
};

struct answer {
	int step;
	int error;
	/* which descriptors follow, in the order of struct tap_netns */
	uint8_t has_net, has_user;
};

struct request {
	char path[192];	     /* of the namespace; "" for a new one */
	char user_path[64];  /* of the user namespace to enter when the right is missing */
	unsigned int queues; /* 0: try whether a tap can be made, nothing else */
	bool here;	     /* stay */
	uid_t uid;
	gid_t gid;
};

void tap_netns_forget(struct tap_netns *ns)
{
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		ns->tun[i] = -1;
	ns->queues = 0;
	ns->ctl = ns->rtnl = ns->mcast = ns->net = ns->user = -1;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void tap_netns_close(struct tap_netns *ns)
{
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		close_fd(&ns->tun[i]);
	close_fd(&ns->ctl);
	close_fd(&ns->rtnl);
	close_fd(&ns->mcast);
	close_fd(&ns->net);
	close_fd(&ns->user);
	tap_netns_forget(ns);
}

/* Everything below open_here() runs in a forked child of a threaded process: system calls only. */
static enum step open_here(unsigned int queues, struct tap_netns *ns)
{
	for (unsigned int i = 0; i < queues; i++) {
		ns->tun[i] = open(TUN_NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (ns->tun[i] < 0)
			return STEP_TUN;
	}
	ns->queues = queues;
	ns->ctl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (ns->ctl < 0)
		return STEP_SOCKETS;
	ns->rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (ns->rtnl < 0)
		return STEP_SOCKETS;
	/* Missing without /proc; then all multicasts are received. */
	ns->mcast = open("/proc/thread-self/net/dev_mcast", O_RDONLY | O_CLOEXEC);
	return STEP_DONE;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

/* "0 ID 1": the caller is root in the namespace, and no other id exists there. */
static const char *map_line(char *buf, size_t size, unsigned long id)
{
	char digits[24];
	size_t n = 0, at = 0;

	do
		digits[n++] = (char)('0' + id % 10);
	while ((id /= 10) && n < sizeof(digits));
	buf[at++] = '0';
	buf[at++] = ' ';
	while (n && at + 4 < size)
		buf[at++] = digits[--n];
	buf[at++] = ' ';
	buf[at++] = '1';
	buf[at] = '\0';
	return buf;
}

static enum step create_namespace(const struct request *rq, bool *made_user)
{
	char line[40];

	if (!unshare(CLONE_NEWNET))
		return STEP_DONE;
	if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return STEP_NEW_NS;
	*made_user = true;
	/* Since Linux 3.19 an unprivileged gid_map wants setgroups off first (user_namespaces(7)). */
	if (!write_file("/proc/self/setgroups", "deny") ||
	    !write_file("/proc/self/uid_map", map_line(line, sizeof(line), rq->uid)) ||
	    !write_file("/proc/self/gid_map", map_line(line, sizeof(line), rq->gid)))
		return STEP_ID_MAP;
	return STEP_DONE;
}

static enum step enter_namespace(const struct request *rq, bool *entered_user)
{
	int fd = open(rq->path, O_RDONLY | O_CLOEXEC), user;

	if (fd < 0)
		return STEP_OPEN_NS;
	if (!setns(fd, CLONE_NEWNET))
		return STEP_DONE;
	if (errno != EPERM || !rq->user_path[0])
		return STEP_ENTER_NS;
	user = open(rq->user_path, O_RDONLY | O_CLOEXEC);
	if (user < 0 || setns(user, CLONE_NEWUSER))
		return STEP_ENTER_USER;
	*entered_user = true;
	return setns(fd, CLONE_NEWNET) ? STEP_ENTER_NS : STEP_DONE;
}

/* A new namespace has its loopback down, which surprises everybody. */
static void loopback_up(int ctl)
{
	struct ifreq ifr = {.ifr_name = "lo"};

	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	ioctl(ctl, SIOCSIFFLAGS, &ifr);
}

/*
 * May an interface be made here? Asking for one that is neither tun nor tap is refused with EPERM before
 * it is refused with EINVAL, so nothing is made and udev sees nothing.
 */
static enum step try_tap(void)
{
	struct ifreq ifr = {.ifr_name = "obprobe%d"};
	int fd = open(TUN_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return STEP_TUN;
	ifr.ifr_flags = IFF_NO_PI;
	if (!ioctl(fd, TUNSETIFF, &ifr) || errno == EINVAL)
		return STEP_DONE;
	return STEP_TUNSETIFF;
}

static enum step child(const struct request *rq, struct tap_netns *ns, bool *user)
{
	enum step step = STEP_DONE;
	bool fresh = !rq->here && !rq->path[0];

	if (fresh)
		step = create_namespace(rq, user);
	else if (!rq->here)
		step = enter_namespace(rq, user);
	if (step != STEP_DONE)
		return step;
	if (!rq->queues)
		return try_tap();
	step = open_here(rq->queues, ns);
	if (step != STEP_DONE)
		return step;
	ns->net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns->net < 0)
		return STEP_OPEN_NS;
	if (*user) {
		ns->user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
		if (ns->user < 0)
			return STEP_OPEN_NS;
	}
	if (fresh)
		loopback_up(ns->ctl);
	return STEP_DONE;
}

unsigned int tap_netns_list(struct tap_netns *ns, unsigned int queues, int *fds[TAP_NETNS_FDS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < queues; i++)
		fds[n++] = &ns->tun[i];
	fds[n++] = &ns->ctl;
	fds[n++] = &ns->rtnl;
	fds[n++] = &ns->mcast;
	fds[n++] = &ns->net;
	fds[n++] = &ns->user;
	return n;
}

static void send_answer(int sock, struct answer *a, struct tap_netns *ns, uint32_t *present)
{
	struct iovec iov[2] = {{a, sizeof(*a)}, {present, sizeof(*present)}};
	int *fds[TAP_NETNS_FDS];
	unsigned int n = tap_netns_list(ns, ns->queues, fds), m = 0;
	int list[TAP_NETNS_FDS];

	*present = 0;
	for (unsigned int i = 0; i < n && a->step == STEP_DONE; i++) {
		if (*fds[i] < 0)
			continue;
		list[m++] = *fds[i];
		*present |= 1u << i;
	}
	passing_send(sock, iov, 2, list, m);
}

static int receive_answer(int sock, struct answer *a, struct tap_netns *ns, unsigned int queues)
{
	uint32_t present = 0;
	struct iovec iov[2] = {{a, sizeof(*a)}, {&present, sizeof(present)}};
	int list[TAP_NETNS_FDS], *fds[TAP_NETNS_FDS];
	unsigned int n, m = 0, got = TAP_NETNS_FDS;
	bool cut;

	if (passing_receive(sock, 0, iov, 2, list, &got, &cut) !=
	    (ssize_t)(sizeof(*a) + sizeof(present)))
		return -EIO;
	n = tap_netns_list(ns, queues, fds);
	for (unsigned int i = 0; i < n; i++)
		if ((present & 1u << i) && m < got)
			*fds[i] = list[m++];
	ns->queues = queues;
	return 0;
}

static int in_child(const struct request *rq, struct tap_netns *ns, struct answer *a,
		    struct ob_error *err)
{
	sigset_t all, old;
	int pair[2], ret;
	pid_t pid;

	tap_netns_forget(ns);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return ob_error_set(err, -errno, "no socket for entering a network namespace");
	/* No handler of the application shall run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (!pid) {
		uint32_t present;
		bool user = false;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		errno = 0;
		a->step = child(rq, ns, &user);
		a->error = errno;
		send_answer(pair[1], a, ns, &present);
		_exit(0);
	}
	ret = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(pair[1]);
	if (ret) {
		close(pair[0]);
		return ob_error_set(err, ret, "no process for entering a network namespace");
	}
	ret = receive_answer(pair[0], a, ns, rq->queues);
	close(pair[0]);
	/* ECHILD when the application ignores SIGCHLD or waits for everybody: it is gone all the same. */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (ret)
		return ob_error_set(err, ret,
				    "the process that entered the network namespace died");
	return 0;
}

static int tun_error(int error, struct ob_error *err)
{
	struct stat st;

	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		ob_error_set(err, -EOPNOTSUPP, "no tap: %s %s", TUN_NODE,
			     stat(TUN_NODE, &st) ? "does not exist" : "has no driver behind it");
		ob_error_why(err, "the kernel's tun module is not loaded, or not there in this "
				  "container");
		ob_error_fix(err, "sudo modprobe tun  (in a container: --device %s)", TUN_NODE);
		return -EOPNOTSUPP;
	case EACCES:
	case EPERM:
		ob_error_set(err, -EACCES, "no tap: %s may not be opened by this user", TUN_NODE);
		if (!stat(TUN_NODE, &st))
			ob_error_why(err, "it belongs to uid %u with mode %03o", st.st_uid,
				     st.st_mode & 0777);
		else
			ob_error_why(err, "a container's device rules forbid it");
		ob_error_fix(err,
			     "sudo chmod 666 %s  (the mode that udev gives it; making an "
			     "interface needs CAP_NET_ADMIN all the same)",
			     TUN_NODE);
		return -EACCES;
	}
	ob_error_set(err, -error, "no tap: %s: %s", TUN_NODE, strerror(error));
	return -error;
}

static int step_error(const struct request *rq, const struct answer *a, const char *where,
		      struct ob_error *err)
{
	switch ((enum step)a->step) {
	case STEP_TUN:
		return tun_error(a->error, err);
	case STEP_OPEN_NS:
		ob_error_set(err, -a->error, "network namespace '%s' cannot be opened: %s", where,
			     strerror(a->error));
		if (a->error == ENOENT)
			ob_error_fix(err, "ip netns list shows the names; netns=new makes one");
		return -a->error;
	case STEP_ENTER_NS:
	case STEP_ENTER_USER:
		ob_error_set(err, -a->error, "network namespace '%s' cannot be entered: %s", where,
			     strerror(a->error));
		if (a->error == EPERM)
			ob_error_why(err, "it needs CAP_SYS_ADMIN in the namespace's own user "
					  "namespace and in this one");
		else if (a->error == EINVAL)
			ob_error_why(err, "it is not a network namespace");
		ob_error_fix(err, "run as root, or use netns=new");
		return -a->error;
	case STEP_NEW_NS:
	case STEP_ID_MAP:
		ob_error_set(err, -a->error, "no new network namespace for this user: %s",
			     strerror(a->error));
		ob_error_why(err, "it takes CAP_SYS_ADMIN, or user namespaces for everybody");
		ob_error_fix(err,
			     "run as root, or: sudo sysctl user.max_user_namespaces=10000 "
			     "kernel.unprivileged_userns_clone=1 "
			     "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)");
		return -a->error;
	case STEP_TUNSETIFF:
		return ob_error_set(err, -a->error, "no interface can be made: %s",
				    strerror(a->error));
	case STEP_SOCKETS:
	case STEP_DONE:
		break;
	}
	return ob_error_set(err, -a->error, "no sockets in network namespace '%s': %s", where,
			    strerror(a->error));
}

static int parse_where(const char *where, struct request *rq, struct ob_error *err)
{
	char *end;
	long pid;
	int n;

	if (!strcmp(where, "new"))
		return 0;
	if (!strncmp(where, "pid:", 4)) {
		errno = 0;
		pid = strtol(where + 4, &end, 10);
		if (errno || end == where + 4 || *end || pid <= 0 || pid > 0x7fffffff)
			return ob_error_set(err, -EINVAL, "netns=%s: '%s' is not a process id",
					    where, where + 4);
		snprintf(rq->path, sizeof(rq->path), "/proc/%ld/ns/net", pid);
		snprintf(rq->user_path, sizeof(rq->user_path), "/proc/%ld/ns/user", pid);
		return 0;
	}
	if (!*where || (*where != '/' && strchr(where, '/'))) {
		ob_error_set(err, -EINVAL, "netns=%s is not a namespace", where);
		ob_error_fix(err, "possible: new, pid:N, a path, or a name of `ip netns list`");
		return -EINVAL;
	}
	n = snprintf(rq->path, sizeof(rq->path), "%s%s", *where == '/' ? "" : "/run/netns/", where);
	if (n < 0 || (size_t)n >= sizeof(rq->path))
		return ob_error_set(err, -ENAMETOOLONG, "netns=%.40s... is too long", where);
	return 0;
}

int tap_netns_open(const char *where, unsigned int queues, struct tap_netns *ns,
		   struct ob_error *err)
{
	struct request rq = {.queues = queues, .uid = geteuid(), .gid = getegid()};
	struct answer a = {0};
	enum step step;
	int ret;

	tap_netns_forget(ns);
	if (!queues || queues > OB_NET_QUEUES)
		return ob_error_set(err, -EINVAL, "a tap has 1 to %d queues here", OB_NET_QUEUES);
	if (!where) {
		step = open_here(queues, ns);
		if (step == STEP_DONE)
			return 0;
		a.step = step;
		a.error = errno;
		tap_netns_close(ns);
		return step_error(&rq, &a, "own", err);
	}
	ret = parse_where(where, &rq, err);
	if (ret)
		return ret;
	ret = in_child(&rq, ns, &a, err);
	if (!ret && a.step != STEP_DONE)
		ret = step_error(&rq, &a, where, err);
	/* What the message should have carried (RLIMIT_NOFILE cuts it short). */
	for (unsigned int i = 0; i < queues && !ret; i++)
		if (ns->tun[i] < 0)
			ret = ob_error_set(err, -EMFILE, "no descriptors left for a tap");
	if (!ret && (ns->ctl < 0 || ns->rtnl < 0 || ns->net < 0))
		ret = ob_error_set(err, -EMFILE, "no descriptors left for a tap");
	if (ret)
		tap_netns_close(ns);
	return ret;
}

int tap_netns_can_create(bool *here, struct ob_error *err)
{
	struct request rq = {.here = true, .uid = geteuid(), .gid = getegid()};
	struct answer a = {0};
	struct tap_netns ns;
	int ret;

	*here = false;
	ret = in_child(&rq, &ns, &a, err);
	if (ret)
		return ret;
	if (a.step == STEP_DONE) {
		*here = true;
		return 0;
	}
	if (a.step == STEP_TUN)
		return step_error(&rq, &a, "own", err);
	rq.here = false;
	ret = in_child(&rq, &ns, &a, err);
	if (ret)
		return ret;
	return a.step == STEP_DONE ? 0 : step_error(&rq, &a, "new", err);
}
