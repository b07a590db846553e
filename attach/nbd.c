/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attachment "nbd": a disk as an export of an NBD server (doc/proto.md of the NetworkBlockDevice
 * project) on a loopback TCP port, a UNIX socket, or a descriptor that was handed over. Works for every
 * user on every kernel. On a port nothing is left behind, however the process ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/broker.h"
#include "attach/holders.h"
#include "attach/kept.h"
#include "attach/nbd.h"

enum {
	EVENTS = 16,
	/*
	 * While the loop is busy the sockets are looked at every so many rounds only: a system call per round
	 * would cost more than it finds, and take a payload from the socket in crumbs. A round
	 * is well below a microsecond.
	 */
	LOOK_EVERY = 16,
	/* A client that does not get on with its negotiation makes room for another. */
	NEGOTIATION_S = 30,
	/* One that takes no replies is cut off when others wait for the memory it holds. */
	STUCK_S = 30,
	/* And at the end it is not waited for. */
	SHUTDOWN_S = 3,
	/* How long those who come are not looked at while there is no descriptor for them, and nobody leaves. */
	FULL_S = 1,
	/* How long the thread that unpublishes waits for the loop. */
	ANSWER_S = 10,
};

#define NS_PER_S 1000000000ull

uint64_t nbd_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

bool nbd_is_path(const struct nbd_server *srv)
{
	return srv->path.sun_path[0] != '\0';
}

/* ---- connections ----------------------------------------------------------------- */

static void watch(struct nbd_server *srv, struct nbd_conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (events == c->events)
		return;
	c->events = events;
	disk_count(&srv->disk.stats.syscalls, 1);
	if (epoll_ctl(srv->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev))
		nbd_conn_kill(c);
}

/* The listening socket is watched while there is room for a connection. */
static void watch_listener(struct nbd_server *srv)
{
	bool want = srv->serving && !srv->shutting_down && srv->listen_fd >= 0 &&
		    srv->nr_conns < srv->max_conns && !srv->full_until_ns;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &srv->listen_fd};

	if (want == srv->accepting)
		return;
	if (!epoll_ctl(srv->epoll_fd, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, srv->listen_fd, &ev))
		srv->accepting = want;
}

static void add_conn(struct nbd_server *srv, int fd, bool negotiated)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct nbd_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->srv = srv;
	c->fd = fd;
	c->events = EPOLLIN;
	c->since_ns = nbd_now();
	ev.data.ptr = c;
	if (epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		close(fd);
		free(c);
		return;
	}
	srv->conn[srv->nr_conns++] = c;
	if (negotiated) {
		c->state = NBD_REQUEST;
		return;
	}
	nbd_hello(c);
	nbd_output(c);
}

void nbd_server_take_ready(struct nbd_server *srv)
{
	while (srv->nr_ready)
		add_conn(srv, srv->ready[--srv->nr_ready], srv->negotiated);
}

void nbd_conn_kill(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;

	if (c->state == NBD_DEAD)
		return;
	c->state = NBD_DEAD;
	srv->nr_dead++;
	nbd_unqueue(c);
	close(c->fd);
	c->fd = -1;
	srv->full_until_ns = 0;
	if (c->filling)
		nbd_tag_put(srv, c->filling);
	c->filling = NULL;
	while (c->send_first) {
		struct nbd_tag *t = c->send_first;

		c->send_first = t->link;
		nbd_tag_put(srv, t);
	}
	c->send_last = NULL;
}

/* Free the dead whose requests have all come back from the device. */
static void reap(struct nbd_server *srv)
{
	unsigned int n = 0;

	if (ob_likely(!srv->nr_dead))
		return;
	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];

		if (c->state == NBD_DEAD && !c->inflight) {
			srv->nr_dead--;
			free(c);
		} else {
			srv->conn[n++] = c;
		}
	}
	srv->nr_conns = n;
}

static bool allowed(struct nbd_server *srv, int fd)
{
	struct holder_socket peer;

	/* A socket's file has its own access rights, and a descriptor is handed over by its owner. */
	if (srv->any_user || srv->inherited || nbd_is_path(srv))
		return true;
	if (nbd_tcp_peer(fd, &peer))
		return false;
	return peer.uid == broker_uid() || peer.uid == 0;
}

/* It stays readable while somebody waits in its queue, so it is not watched for a while. */
static void cannot_accept(struct nbd_server *srv, int error)
{
	if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
		return;
	srv->full_until_ns = nbd_now() + FULL_S * NS_PER_S;
	watch_listener(srv);
	if (!srv->full)
		disk_log(&srv->disk, OB_LOG_WARN,
			 "nbd: a client has to wait: %s; it is served when there is room",
			 strerror(error));
	srv->full = true;
}

static void accept_conns(struct nbd_server *srv)
{
	int fd;

	while (srv->nr_conns < srv->max_conns) {
		fd = accept4(srv->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		disk_count(&srv->disk.stats.syscalls, 1);
		if (fd < 0) {
			cannot_accept(srv, errno);
			return;
		}
		srv->full = false;
		if (!allowed(srv, fd)) {
			disk_count(&srv->disk.stats.dropped, 1);
			disk_log(&srv->disk, OB_LOG_WARN,
				 "nbd: refused a client of another user (users=any allows all)");
			close(fd);
			continue;
		}
		add_conn(srv, fd, false);
	}
}

/* ---- orders of other threads ----------------------------------------------------- */

static void answer_order(struct nbd_server *srv, int result)
{
	pthread_mutex_lock(&srv->lock);
	srv->order_result = result;
	srv->order_done = true;
	pthread_cond_broadcast(&srv->answered);
	pthread_mutex_unlock(&srv->lock);
}

/* Who is connected? Text for the error. */
static unsigned int clients(struct nbd_server *srv, char *text, size_t size)
{
	unsigned int found = 0;
	size_t n = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];
		struct holder_socket peer;
		char who[96];

		if (!nbd_transmitting(c) || c->state == NBD_QUIT)
			continue;
		found++;
		if (holder_of_socket(c->fd, &peer))
			snprintf(who, sizeof(who), "a client that the kernel does not name");
		else
			holder_name(peer.pid, who, sizeof(who));
		if (n < size)
			n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "", who);
	}
	return found;
}

static void shut_down(struct nbd_server *srv)
{
	srv->shutting_down = true;
	srv->order_open = true;
	srv->shutdown_ns = nbd_now();
	watch_listener(srv);
	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];

		/* What was taken is served and answered; nothing more is taken. */
		if (nbd_transmitting(c) && c->state == NBD_REQUEST) {
			nbd_unqueue(c);
			c->wait = NBD_WAIT_NOT;
			c->state = NBD_QUIT;
			nbd_output(c);
		} else if (c->state != NBD_QUIT) {
			nbd_conn_kill(c);
		}
	}
}

static void take_order(struct nbd_server *srv)
{
	int order = atomic_exchange(&srv->order, NBD_ORDER_NONE);
	uint64_t count;

	/* Non-blocking; empty when an earlier round took it. */
	if (read(srv->order_fd, &count, sizeof(count)) < 0 && order == NBD_ORDER_NONE)
		return;
	switch (order) {
	case NBD_ORDER_SERVE:
		srv->serving = true;
		nbd_server_take_ready(srv);
		watch_listener(srv);
		break;
	case NBD_ORDER_CLOSE_IF_IDLE: {
		char who[400];
		unsigned int n = clients(srv, who, sizeof(who));

		if (n) {
			memset(&srv->order_error, 0, sizeof(srv->order_error));
			ob_error_set(&srv->order_error, -EBUSY, "%s is in use by %u NBD client%s",
				     srv->uri, n, n > 1 ? "s" : "");
			ob_error_why(&srv->order_error, "%s", who);
			ob_error_fix(&srv->order_error, "disconnect them, or force it");
			answer_order(srv, -EBUSY);
			break;
		}
		shut_down(srv);
		break;
	}
	case NBD_ORDER_CLOSE:
		shut_down(srv);
		break;
	default:
		break;
	}
}

/* ---- the sockets' source --------------------------------------------------------- */

static unsigned int look(struct nbd_server *srv)
{
	struct epoll_event ev[EVENTS];
	int n;

	disk_count(&srv->disk.stats.syscalls, 1);
	n = epoll_wait(srv->epoll_fd, ev, EVENTS, 0);
	for (int i = 0; i < n; i++) {
		struct nbd_conn *c = ev[i].data.ptr;

		if (ev[i].data.ptr == &srv->listen_fd) {
			accept_conns(srv);
		} else if (ev[i].data.ptr == &srv->order_fd) {
			take_order(srv);
		} else if (c->state == NBD_DEAD) {
			continue; /* killed by an earlier event of this look */
		} else {
			if (ev[i].events & EPOLLOUT)
				nbd_output(c);
			if (c->state == NBD_DEAD)
				continue;
			c->ready |= ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);
			c->noisy = c->ready && !nbd_wants_input(c);
			/* Gone for good, and it is not being read: nobody else would notice. */
			if (c->noisy && (ev[i].events & (EPOLLHUP | EPOLLERR)))
				nbd_conn_kill(c);
		}
	}
	return n > 0 ? (unsigned int)n : 0;
}

/* Send what has come up, and tell epoll what each connection waits for. */
static void finish_round(void *front)
{
	struct nbd_server *srv = front;

	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];
		uint32_t events;
		bool wants;

		if (c->state == NBD_DEAD)
			continue;
		if (!c->stuck_ns)
			nbd_output(c);
		if (c->state == NBD_DEAD)
			continue;
		wants = nbd_wants_input(c);
		/* Input that is unwanted for a moment only costs no call; see look(). */
		events = wants || (!c->noisy && (c->events & EPOLLIN)) ? EPOLLIN : 0;
		c->noisy = false;
		if (c->stuck_ns)
			events |= EPOLLOUT;
		watch(srv, c, events);
	}
	reap(srv);
	watch_listener(srv);
	if (ob_unlikely(srv->order_open) && !srv->nr_conns) {
		srv->order_open = false;
		answer_order(srv, 0);
	}
}

static bool has_input(const struct nbd_conn *c)
{
	/* The last of a budget may have made a payload whole: nothing more needs to come for that. */
	bool whole = c->state == NBD_PAYLOAD && c->filled == c->filling->len;

	return (c->ready || c->in_have > c->in_pos || whole) && nbd_wants_input(c);
}

static unsigned int nbd_poll(void *arg, unsigned int budget)
{
	struct nbd_server *srv = arg;
	unsigned int work = 0;

	if (!srv->rounds_to_look--) {
		srv->rounds_to_look = srv->looks_at_once ? 0 : LOOK_EVERY;
		srv->looks_at_once = 0;
		work = look(srv);
	}
	/* Each gets the same part of the budget. */
	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];

		if (has_input(c))
			work += nbd_input(c, 1 + budget / srv->nr_conns);
	}
	if (work || srv->nr_dead || srv->shutting_down)
		finish_round(srv);
	disk_submit(&srv->disk);
	return work;
}

/* A sleep comes: look before it, so that it is not in vain, and at once when it has ended. */
static bool nbd_arm(void *arg, bool on)
{
	struct nbd_server *srv = arg;

	if (on) {
		srv->rounds_to_look = 0;
		srv->looks_at_once = 1;
	}
	return false;
}

static void nbd_tick(void *arg, uint64_t now_ns)
{
	struct nbd_server *srv = arg;

	for (unsigned int i = 0; i < srv->nr_conns; i++) {
		struct nbd_conn *c = srv->conn[i];

		if (c->state == NBD_DEAD)
			continue;
		if (!nbd_transmitting(c) && now_ns - c->since_ns > NEGOTIATION_S * NS_PER_S)
			nbd_conn_kill(c);
		else if (c->stuck_ns && srv->wait_first && now_ns > c->stuck_ns &&
			 now_ns - c->stuck_ns > STUCK_S * NS_PER_S)
			nbd_conn_kill(c);
		else if (srv->shutting_down && now_ns > srv->shutdown_ns &&
			 now_ns - srv->shutdown_ns > SHUTDOWN_S * NS_PER_S)
			nbd_conn_kill(c);
	}
	if (srv->full_until_ns && now_ns >= srv->full_until_ns)
		srv->full_until_ns = 0;
	finish_round(srv);
}

/* ---- options --------------------------------------------------------------------- */

static int nbd_probe(struct ob_error *err)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ob_error_set(err, -errno, "nbd: no socket can be made: %s", strerror(errno));
	close(fd);
	return 0;
}

static int parse_where(struct nbd_server *srv, struct ob_spec_part *part, struct ob_error *err)
{
	const char *path = ob_spec_get(part, "socket");
	bool has_port = ob_spec_get(part, "port") != NULL;
	bool has_fd = ob_spec_get(part, "fd") != NULL;
	uint64_t port = 0, fd = 0;
	int rc;

	if ((path != NULL) + has_port + has_fd > 1)
		return ob_error_set(err, -EINVAL,
				    "nbd: only one of port, socket and fd is possible");
	rc = ob_spec_get_u64(part, "port", 0, UINT16_MAX, &port, err);
	if (!rc)
		rc = ob_spec_get_u64(part, "fd", 0, INT32_MAX, &fd, err);
	if (rc)
		return rc;
	srv->port = (uint16_t)port;
	if (path) {
		if (!*path || strlen(path) >= sizeof(srv->path.sun_path))
			return ob_error_set(err, -EINVAL,
					    "nbd: socket='%s' is not a path of 1 to %zu characters",
					    path, sizeof(srv->path.sun_path) - 1);
		srv->path.sun_family = AF_UNIX;
		strcpy(srv->path.sun_path, path);
	}
	if (has_fd) {
		srv->inherited = true;
		srv->ready[srv->nr_ready++] = (int)fd;
	}
	return 0;
}

/*
 * The part of a URI after nbd://host:port/ or the value of socket=: unreserved characters of RFC 3986
 * (2.3) and '/' stay, the others are written as %XX.
 */
static void put_escaped(char *to, size_t size, const char *from)
{
	size_t n = strlen(to);

	for (; *from; from++) {
		bool plain = (*from >= '0' && *from <= '9') || (*from >= 'a' && *from <= 'z') ||
			     (*from >= 'A' && *from <= 'Z') || strchr("-._~/", *from);

		if (n + 4 > size)
			return;
		if (plain)
			to[n++] = *from;
		else
			n += (size_t)snprintf(to + n, 4, "%%%02X", (unsigned char)*from);
		to[n] = '\0';
	}
}

static void make_uri(struct nbd_server *srv)
{
	if (srv->inherited) {
		snprintf(srv->uri, sizeof(srv->uri), "nbd on inherited descriptor %d",
			 srv->listen_fd >= 0 ? srv->listen_fd : srv->ready[0]);
		return;
	}
	if (!nbd_is_path(srv)) {
		snprintf(srv->uri, sizeof(srv->uri), "nbd://127.0.0.1:%u%s", srv->port,
			 *srv->export_ ? "/" : "");
		put_escaped(srv->uri, sizeof(srv->uri), srv->export_);
		return;
	}
	snprintf(srv->uri, sizeof(srv->uri), "nbd+unix:///");
	put_escaped(srv->uri, sizeof(srv->uri), srv->export_);
	strncat(srv->uri, "?socket=", sizeof(srv->uri) - strlen(srv->uri) - 1);
	put_escaped(srv->uri, sizeof(srv->uri), srv->path.sun_path);
}

static int parse_options(struct nbd_server *srv, struct ob_spec_part *part, struct ob_error *err)
{
	static const char *const users[] = {"own", "any", NULL};
	const char *name = ob_spec_get(part, "export");
	uint64_t conns = NBD_CONNECTIONS_DEFAULT;
	unsigned int user = 0;
	int rc = parse_where(srv, part, err);

	if (!rc)
		rc = ob_spec_get_u64(part, "connections", 1, NBD_CONNECTIONS_MAX, &conns, err);
	if (!rc)
		rc = ob_spec_get_choice(part, "users", users, &user, err);
	if (rc)
		return rc;
	srv->max_conns = (unsigned int)conns;
	srv->any_user = user == 1;
	/* "SHOULD be no longer than 256 bytes": what is longer is no name of ours. */
	if (name && strlen(name) >= sizeof(srv->export_))
		return ob_error_set(err, -EINVAL, "nbd: export='%s' is longer than %zu characters",
				    name, sizeof(srv->export_) - 1);
	strcpy(srv->export_, name ? name : "");
	return 0;
}

/* ---- sockets --------------------------------------------------------------------- */

/*
 * The listening socket outlives a driver process, so that a client which connects anew waits in its queue and is not refused. The
 * connections do not: what of a stream was read and not yet understood nobody could say.
 */
static bool find_listener(struct nbd_server *srv, unsigned int index)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	struct kept k;

	kept_key(srv->key, "nbd", srv->disk.blk->dev, index);
	if (!kept_find(srv->key, &k))
		return false;
	srv->listen_fd = k.fd[0];
	srv->kept = true;
	if (nbd_is_path(srv)) {
		srv->path_bound = true;
		memcpy(&srv->file, k.note, sizeof(srv->file));
	} else if (!getsockname(srv->listen_fd, (struct sockaddr *)&addr, &len)) {
		srv->port = ntohs(addr.sin_port);
	}
	return true;
}

static int keep_listener(const struct nbd_server *srv, struct ob_error *err)
{
	struct kept k = {.fd = {srv->listen_fd}, .nr_fds = 1, .note_size = sizeof(srv->file)};
	int rc;

	memcpy(k.note, &srv->file, sizeof(srv->file));
	memcpy(k.key, srv->key, sizeof(k.key));
	rc = kept_put(&k);
	return rc ? ob_error_set(err, rc, "%s cannot be kept: %s", srv->uri, strerror(-rc)) : 0;
}

static int take_fd(struct nbd_server *srv, struct ob_error *err)
{
	int fd = srv->ready[--srv->nr_ready], listening = 0, type = 0, flags;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM) {
		ob_error_set(err, -EINVAL, "nbd: descriptor %d is not a stream socket", fd);
		return -EINVAL;
	}
	len = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len))
		return ob_error_set(err, -errno, "nbd: descriptor %d: %s", fd, strerror(errno));
	if (!listening && kept_keeper()) {
		ob_error_set(
			err, -EOPNOTSUPP,
			"nbd: descriptor %d is a connection, which no other driver process could go on with",
			fd);
		ob_error_fix(err, "hand over a listening socket, or run without --restart");
		return -EOPNOTSUPP;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return ob_error_set(err, -errno, "nbd: descriptor %d: %s", fd, strerror(errno));
	if (listening)
		srv->listen_fd = fd;
	else
		srv->ready[srv->nr_ready++] = fd;
	return 0;
}

/* ---- open and close -------------------------------------------------------------- */

static const struct disk_ops nbd_disk_ops = {
	.done = nbd_done,
	.batch_end = finish_round,
};

static int make_tags(struct nbd_server *srv)
{
	unsigned int n = srv->disk.depth;

	srv->tags = calloc(n, sizeof(*srv->tags));
	if (!srv->tags)
		return -ENOMEM;
	for (unsigned int i = n; i-- > 0;) {
		srv->tags[i].link = srv->free;
		srv->free = &srv->tags[i];
	}
	srv->nr_free = n;
	return 0;
}

static int make_sources(struct nbd_server *srv, struct ob_loop *loop)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &srv->order_fd};

	srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (srv->epoll_fd < 0)
		return -errno;
	srv->order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (srv->order_fd < 0 || epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, srv->order_fd, &ev))
		return -errno;
	/* One descriptor for all sockets: an epoll set is readable when one of its members is. */
	return ob_loop_add(loop, &(struct ob_loop_source){
					 .name = "nbd",
					 .poll = nbd_poll,
					 .arm = nbd_arm,
					 .tick = nbd_tick,
					 .arg = srv,
					 .fd = srv->epoll_fd,
					 .level = true,
				 });
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_server(struct nbd_server *srv)
{
	close_fd(srv->epoll_fd);
	close_fd(srv->order_fd);
	close_fd(srv->listen_fd);
	while (srv->nr_ready)
		close(srv->ready[--srv->nr_ready]);
	pthread_cond_destroy(&srv->answered);
	pthread_mutex_destroy(&srv->lock);
	free(srv->tags);
}

static void init_server(struct nbd_server *srv, struct ob_block *blk)
{
	srv->epoll_fd = srv->order_fd = srv->listen_fd = -1;
	pthread_mutex_init(&srv->lock, NULL);
	pthread_cond_init(&srv->answered, NULL);
	snprintf(srv->description, sizeof(srv->description), "%s %s", blk->model, blk->serial);
}

/* Everything but where clients come from. */
static int open_disk(struct nbd_server *srv, struct ob_block *blk, struct ob_spec_part *part,
		     struct ob_loop *loop, struct ob_error *err)
{
	int rc = disk_open(&srv->disk, blk, part, loop, NBD_DEPTH_MAX, &nbd_disk_ops, srv, err);

	if (rc)
		return rc;
	srv->flags = nbd_transmission_flags(&srv->disk);
	/* So that four of the longest fit, and a share of half holds two. */
	srv->max_payload = (uint32_t)(srv->disk.payload.pages / 4) * PAYLOAD_PAGE;
	if (srv->max_payload > NBD_PAYLOAD_SKIP_MAX / 2)
		srv->max_payload = NBD_PAYLOAD_SKIP_MAX / 2;
	srv->max_payload &= ~(blk->limits.block_size - 1);
	rc = make_tags(srv);
	if (!rc)
		rc = make_sources(srv, loop);
	if (rc) {
		ob_error_set(err, rc, "nbd: %s: %s", blk->name, strerror(-rc));
		disk_close(&srv->disk);
	}
	return rc;
}

int nbd_server_open(struct nbd_server *srv, struct ob_block *blk, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_error *err)
{
	int rc;

	init_server(srv, blk);
	rc = open_disk(srv, blk, part, loop, err);
	if (rc)
		free_server(srv);
	return rc;
}

static int nbd_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct ob_block *blk = b->block[index];
	struct nbd_server *srv = calloc(1, sizeof(*srv));
	int rc, one = 1;

	if (!srv)
		return ob_error_set(err, -ENOMEM, "nbd: no memory");
	init_server(srv, blk);
	srv->disk.blk = blk;
	rc = parse_options(srv, part, err);
	if (!rc && srv->inherited)
		rc = take_fd(srv, err);
	else if (!rc && !find_listener(srv, index) && !nbd_is_path(srv))
		rc = nbd_listen(srv, err);
	if (rc)
		goto fail;
	/* Replies are gathered already. What is accepted has it of the socket that listens; a UNIX socket has no such thing. */
	setsockopt(srv->listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	make_uri(srv);
	rc = open_disk(srv, blk, part, loop, err);
	if (rc)
		goto fail;
	srv->at.clients = srv->max_conns;
	*at = &srv->at;
	return 0;

fail:
	/* What could not be used stays its owner's. */
	if (srv->inherited) {
		srv->listen_fd = -1;
		srv->nr_ready = 0;
	}
	free_server(srv);
	free(srv);
	return rc;
}

static void give_order(struct nbd_server *srv, enum nbd_order order)
{
	uint64_t one = 1;

	atomic_store(&srv->order, (int)order);
	if (write(srv->order_fd, &one, sizeof(one)) < 0)
		return; /* only when it is readable already */
}

void nbd_server_serve(struct nbd_server *srv)
{
	give_order(srv, NBD_ORDER_SERVE);
}

static int nbd_publish(struct ob_attach *at, struct ob_error *err)
{
	struct nbd_server *srv = (struct nbd_server *)at;
	int rc;

	if (nbd_is_path(srv) && !srv->kept) {
		rc = nbd_listen(srv, err);
		if (rc)
			return rc;
	}
	if (srv->listen_fd >= 0 && !srv->inherited && !srv->kept) {
		rc = keep_listener(srv, err);
		if (rc)
			return rc;
	}
	nbd_server_serve(srv);
	return 0;
}

int nbd_server_shut_down(struct nbd_server *srv, bool force, struct ob_error *err)
{
	struct timespec until;
	int rc = 0;

	pthread_mutex_lock(&srv->lock);
	srv->order_done = false;
	pthread_mutex_unlock(&srv->lock);
	give_order(srv, force ? NBD_ORDER_CLOSE : NBD_ORDER_CLOSE_IF_IDLE);

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ANSWER_S;
	pthread_mutex_lock(&srv->lock);
	while (!srv->order_done && !rc)
		rc = -pthread_cond_timedwait(&srv->answered, &srv->lock, &until);
	if (srv->order_done) {
		rc = srv->order_result;
		if (rc && err)
			*err = srv->order_error;
	} else {
		rc = ob_error_set(err, -ETIMEDOUT, "%s: its loop did not answer within %d seconds",
				  srv->uri, ANSWER_S);
	}
	pthread_mutex_unlock(&srv->lock);
	return rc;
}

static int nbd_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct nbd_server *srv = (struct nbd_server *)at;
	int rc = nbd_server_shut_down(srv, force, err);

	if (!rc)
		nbd_remove_path(srv);
	return rc;
}

void nbd_server_close(struct nbd_server *srv)
{
	ob_loop_remove(srv->disk.loop, srv);
	for (unsigned int i = 0; i < srv->nr_conns; i++)
		nbd_conn_kill(srv->conn[i]);
	srv->shutting_down = true;
	disk_close(&srv->disk);
	reap(srv);
	free_server(srv);
}

static void nbd_close(struct ob_attach *at)
{
	struct nbd_server *srv = (struct nbd_server *)at;

	nbd_server_close(srv);
	nbd_remove_path(srv);
	free(srv);
}

static void nbd_info(struct ob_attach *at, struct ob_attach_info *info)
{
	struct nbd_server *srv = (struct nbd_server *)at;

	info->kind = "nbd";
	snprintf(info->name, sizeof(info->name), "%.*s", (int)sizeof(info->name) - 1, srv->uri);
	snprintf(info->detail, sizeof(info->detail),
		 "up to %u connections, %u requests, longest %u KiB%s", srv->max_conns,
		 srv->disk.depth, srv->max_payload >> 10,
		 srv->disk.blk->limits.read_only ? ", read-only" : "");
}

static void nbd_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	disk_stats(&((struct nbd_server *)at)->disk, stats);
}

const struct ob_attach_ops ob_attach_nbd = {
	.name = "nbd",
	.summary = "NBD export on a loopback port or a UNIX socket",
	.class_ = OB_CLASS_BLOCK,
	.options = "port=N (0: any), socket=PATH, fd=N, export=NAME, connections=N, "
		   "users=own|any, depth=N, memory=SIZE",
	.confined = true,
	.outlives = true,
	.probe = nbd_probe,
	.open = nbd_open,
	.publish = nbd_publish,
	.unpublish = nbd_unpublish,
	.close = nbd_close,
	.info = nbd_info,
	.stats = nbd_stats,
};
