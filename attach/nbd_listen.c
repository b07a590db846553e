/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where NBD clients come from: a port of 127.0.0.1 or a UNIX socket with a path, bound and listened on. By the broker where the
 * process is confined (attach/broker.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/broker_ops.h"
#include "attach/nbd.h"

enum {
	BACKLOG = 16,
};

static int start_to_listen(int fd, struct ob_error *err)
{
	int rc;

	if (!listen(fd, BACKLOG))
		return 0;
	rc = -errno;
	/* Two may hold the same port with SO_REUSEADDR until one of them listens. */
	return ob_error_set(err, rc, "nbd: it cannot be listened on: %s", strerror(-rc));
}

static int bind_port(int fd, struct broker_nbd *a, struct ob_error *err)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	socklen_t len = sizeof(addr);
	int one = 1, rc;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* A port whose last connections are still in TIME_WAIT can be used again. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = -errno;
		ob_error_set(err, rc, "nbd: port %u of 127.0.0.1 cannot be taken: %s", a->port,
			     strerror(-rc));
		if (rc == -EADDRINUSE)
			ob_error_fix(err, "leave port away, or give 0, for any that is free");
		else if (rc == -EACCES)
			ob_error_fix(err, "ports below 1024 are for root; take a higher one");
		return rc;
	}
	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return ob_error_set(err, -errno, "nbd: port: %s", strerror(errno));
	a->port = ntohs(addr.sin_port);
	return 0;
}

/*
 * Is the file at the path a socket that nobody listens on, left by a process that was killed?
 *
 * Return: 0 when it was removed; -EBUSY when somebody listens; -EEXIST when it is something else.
 */
static int remove_stale(const struct sockaddr_un *addr, struct ob_error *err)
{
	const char *path = addr->sun_path;
	struct holder_socket peer;
	struct stat st;
	char who[96];
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		ob_error_set(err, -EEXIST, "nbd: %s exists and is not a socket", path);
		ob_error_fix(err, "remove it, or choose another path");
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	if (rc == -ECONNREFUSED) {
		rc = unlink(path) && errno != ENOENT ? -errno : 0;
		if (rc)
			ob_error_set(err, rc, "nbd: stale socket %s cannot be removed: %s", path,
				     strerror(-rc));
	} else {
		/* Connected, or its queue is full (EAGAIN), or it is not ours to ask (EACCES). */
		snprintf(who, sizeof(who), "another process");
		if (!rc && !holder_of_socket(fd, &peer))
			holder_name(peer.pid, who, sizeof(who));
		ob_error_set(err, -EBUSY, "nbd: socket %s is in use by %s", path, who);
		ob_error_fix(err, "end it, or choose another path");
		rc = -EBUSY;
	}
	close(fd);
	return rc;
}

static int bind_path(int fd, struct broker_nbd *a, struct ob_error *err)
{
	const char *path = a->path.sun_path;
	struct stat st;
	int rc;

	/* The file gets the socket's mode: only for its owner, from the first moment on. */
	fchmod(fd, a->any_user ? 0666 : 0600);
	rc = remove_stale(&a->path, err);
	if (rc)
		return rc;
	if (bind(fd, (struct sockaddr *)&a->path, sizeof(a->path))) {
		rc = -errno;
		ob_error_set(err, rc, "nbd: socket %s cannot be made: %s", path, strerror(-rc));
		if (rc == -EADDRINUSE)
			ob_error_why(err, "another process made it at this moment");
		return rc;
	}
	if (!lstat(path, &st)) {
		a->dev = st.st_dev;
		a->ino = st.st_ino;
	}
	if (a->any_user)
		chmod(path, 0666); /* whatever the umask */
	return 0;
}

/* What the command line does not say is not for a confined process to choose. */
static int check_said(struct broker_nbd *a, struct ob_error *err)
{
	char port[8];

	a->path.sun_family = AF_UNIX;
	a->path.sun_path[sizeof(a->path.sun_path) - 1] = '\0';
	snprintf(port, sizeof(port), "%u", a->port);
	if (a->is_path ? broker_said("socket", a->path.sun_path)
		       : !a->port || broker_said("port", port))
		return 0;
	return ob_error_set(err, -EPERM, "nbd: the driver process asks for another socket");
}

int broker_nbd_bind(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbd a = *(const struct broker_nbd *)c->arg;
	int rc = check_said(&a, err), fd;

	if (rc)
		return rc;
	fd = socket(a.is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ob_error_set(err, -errno, "nbd: no socket: %s", strerror(errno));
	rc = a.is_path ? bind_path(fd, &a, err) : bind_port(fd, &a, err);
	if (!rc)
		rc = start_to_listen(fd, err);
	if (rc) {
		close(fd);
		return rc;
	}
	c->res_fd[c->nr_res_fds++] = fd;
	memcpy(c->res, &a, sizeof(a));
	return 0;
}

/* Not when somebody else has put his own there meanwhile. */
int broker_nbd_unlink(struct broker_call *c, struct ob_error *err)
{
	struct broker_nbd a = *(const struct broker_nbd *)c->arg;
	int rc = check_said(&a, err);
	struct stat st;

	if (rc)
		return rc;
	if (lstat(a.path.sun_path, &st) || st.st_dev != a.dev || st.st_ino != a.ino ||
	    !S_ISSOCK(st.st_mode))
		return 0;
	return unlink(a.path.sun_path) ? -errno : 0;
}

int broker_tcp_peer(struct broker_call *c, struct ob_error *err)
{
	return holder_of_tcp(c->fd[0], c->res);
}

/* ---- for the server ---------------------------------------------------------------- */

static struct broker_nbd where(const struct nbd_server *srv)
{
	return (struct broker_nbd){
		.is_path = nbd_is_path(srv),
		.any_user = srv->any_user,
		.port = srv->port,
		.path = srv->path,
		.dev = srv->file.dev,
		.ino = srv->file.ino,
	};
}

int nbd_listen(struct nbd_server *srv, struct ob_error *err)
{
	struct broker_nbd a = where(srv);
	struct broker_call c = {
		.arg = &a,
		.arg_size = sizeof(a),
		.res = &a,
		.res_size = sizeof(a),
	};
	int rc = broker_call(BROKER_NBD_BIND, &c, err);

	if (rc)
		return rc;
	srv->listen_fd = c.res_fd[0];
	srv->port = a.port;
	srv->file = (struct nbd_file){a.dev, a.ino};
	srv->path_bound = a.is_path;
	return 0;
}

void nbd_remove_path(struct nbd_server *srv)
{
	struct broker_nbd a = where(srv);
	struct broker_call c = {.arg = &a, .arg_size = sizeof(a)};

	if (!srv->path_bound)
		return;
	srv->path_bound = false;
	broker_call(BROKER_NBD_UNLINK, &c, NULL);
}

int nbd_tcp_peer(int fd, struct holder_socket *peer)
{
	struct broker_call c = {
		.fd = {fd},
		.nr_fds = 1,
		.res = peer,
		.res_size = sizeof(*peer),
	};

	return broker_call(BROKER_TCP_PEER, &c, NULL);
}
