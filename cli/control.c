/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket on which an instance answers (peer.h): a thread that takes one request at a time. Slow or
 * silent clients are cut off, others than this user and root are not heard.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ethtool_query.h"
#include "cli/instance.h"
#include "cli/peer.h"

enum {
	CLIENT_SECONDS = 2,
};

struct control {
	const char *name;
	const struct control_ops *ops;
	void *arg, *stop_arg;
	int sock, end_fd;
	pthread_t thread;
};

struct json_object *control_failed(const struct ob_error *err)
{
	struct json_object *doc = json_object_new_object();

	json_object_object_add(doc, "error", cli_error_json(err, cli_exit_code(err->code)));
	return doc;
}

struct ethtool_call {
	struct ob_net *net;
	char what;
	struct json_object *answer;
	struct ob_error err;
};

static void ask_ethtool(void *arg)
{
	struct ethtool_call *c = arg;

	c->answer = ethtool_query(c->net, c->what, &c->err);
}

/* @interface: that it is attached as, or NULL for the first */
static struct json_object *answer_ethtool(struct instance *ins, char what, const char *interface)
{
	struct ethtool_call c = {.what = what};

	for (unsigned int i = 0; i < ins->n; i++) {
		if (!ins->unit[i].binding->net)
			continue;
		unit_refresh_info(&ins->unit[i]);
		if (interface && strcmp(ins->unit[i].info[0].name, interface) != 0)
			continue;
		c.net = ins->unit[i].binding->net;
		unit_call(&ins->unit[i], ask_ethtool, &c);
		return c.answer ? c.answer : control_failed(&c.err);
	}
	ob_error_set(&c.err, -EOPNOTSUPP, "instance '%s' has no network device", ins->name);
	return control_failed(&c.err);
}

struct json_object *instance_answer(void *arg, const char *request)
{
	struct instance *ins = arg;
	struct ob_error err = {0};

	if (!strcmp(request, "show"))
		return instance_state(ins);
	if (!strncmp(request, "ethtool ", 8) && request[8] && !request[9])
		return answer_ethtool(ins, request[8], NULL);
	if (!strncmp(request, "ethtool ", 8) && request[8] && request[9] == ' ')
		return answer_ethtool(ins, request[8], request + 10);
	ob_error_set(&err, -EINVAL, "instance '%s' does not know the request '%.40s'", ins->name,
		     request);
	ob_error_why(&err, "it is of version %s", OUTBOARD_VERSION);
	return control_failed(&err);
}

static struct json_object *answer_name(const struct control *c)
{
	struct json_object *doc = json_object_new_object();

	cli_put_str(doc, "name", c->name);
	cli_put_u64(doc, "pid", (uint64_t)getpid());
	return doc;
}

static struct json_object *answer(struct control *c, const char *request)
{
	struct ob_error err = {0};
	int ret;

	if (!strcmp(request, "name"))
		return answer_name(c);
	if (!strcmp(request, "stop") || !strcmp(request, "stop force")) {
		ret = c->ops->stop(c->stop_arg, request[4] != '\0', &err);
		return ret ? control_failed(&err) : answer_name(c);
	}
	return c->ops->answer(c->arg, request);
}

static bool welcome(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) &&
	       (cred.uid == geteuid() || cred.uid == 0);
}

static void serve_client(struct control *c, int fd)
{
	const struct timeval limit = {.tv_sec = CLIENT_SECONDS};
	char request[PEER_REQUEST];
	struct json_object *doc;
	const char *text;
	size_t n = 0, len;
	char *end = NULL;

	if (!welcome(fd) || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return;
	while (!end && n < sizeof(request) - 1) {
		ssize_t got = recv(fd, request + n, sizeof(request) - 1 - n, 0);

		if (got <= 0)
			return;
		n += (size_t)got;
		request[n] = '\0';
		end = strchr(request, '\n');
	}
	if (!end)
		return;
	*end = '\0';
	doc = answer(c, request);
	text = json_object_to_json_string_length(doc, JSON_C_TO_STRING_PLAIN, &len);
	while (len) {
		ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);

		if (sent <= 0)
			break;
		text += sent;
		len -= (size_t)sent;
	}
	json_object_put(doc);
}

static void *answer_clients(void *arg)
{
	struct control *c = arg;
	struct pollfd p[2] = {{.fd = c->sock, .events = POLLIN},
			      {.fd = c->end_fd, .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		if (!p[0].revents)
			continue;
		fd = accept4(c->sock, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		serve_client(c, fd);
		/* A driver process that was forked meanwhile has it, too, and would keep it open. */
		shutdown(fd, SHUT_RDWR);
		close(fd);
	}
}

static int listen_as_instance(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char suffix[8] = "";
	int fd, ret = 0;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	for (unsigned int i = 1; i <= PEER_SAME_PID; i++) {
		int n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PEER_PREFIX "%d%s",
				 getpid(), suffix);

		if (!bind(fd, (struct sockaddr *)&addr,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
			ret = listen(fd, 8) ? -errno : 0;
		else
			ret = -errno;
		if (ret != -EADDRINUSE)
			break;
		snprintf(suffix, sizeof(suffix), ".%u", i);
	}
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int control_start(const char *name, const struct control_ops *ops, void *arg, void *stop_arg,
		  struct control **control, struct ob_error *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return ob_error_set(err, -ENOMEM, "out of memory");
	c->name = name;
	c->ops = ops;
	c->arg = arg;
	c->stop_arg = stop_arg;
	c->sock = listen_as_instance();
	if (c->sock < 0) {
		ret = c->sock;
		goto free_control;
	}
	c->end_fd = eventfd(0, EFD_CLOEXEC);
	if (c->end_fd < 0) {
		ret = -errno;
		goto close_sock;
	}
	ret = -pthread_create(&c->thread, NULL, answer_clients, c);
	if (ret)
		goto close_end;
	*control = c;
	return 0;

close_end:
	close(c->end_fd);
close_sock:
	close(c->sock);
free_control:
	free(c);
	return ob_error_set(err, ret, "cannot listen for 'outboard show': %s", strerror(-ret));
}

void control_end(struct control *c)
{
	const uint64_t one = 1;

	if (!c)
		return;
	if (write(c->end_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(c->thread, NULL);
	close(c->end_fd);
	close(c->sock);
	free(c);
}
