/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard net http-serve: files of one directory over HTTP/1.0, one request a connection, many at
 * a time, by lwIP's callbacks (<lwip/tcp.h>).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lwip/tcp.h>

#include "cli/http.h"
#include "cli/net.h"

enum {
	CLIENTS_MAX = 256,
	/* Read from the file at once; tcp_write() copies it. */
	CHUNK = 16384,
	/* lwIP asks each client's callback so often, in units of half a second. */
	POLL_INTERVAL = 2,
	POLL_MS = 1000,
};

struct client;

struct server {
	struct net_run *r;
	struct tcp_pcb *listener;
	int dir;
	struct client *first;
	unsigned int clients;
	uint64_t requests, failed, bytes;
	char chunk[CHUNK];
};

/**
 * struct client - a connection
 * @at, @end: of the file, what is to be sent
 * @silent_ms: since it last took or gave anything
 * @answered: head and body are on their way; nothing more is read
 */
struct client {
	struct server *server;
	struct client *next, **link; /* of the server's list */
	struct tcp_pcb *pcb;
	char head[HTTP_HEAD_MAX];
	size_t head_len;
	int file;
	uint64_t at, end;
	unsigned int silent_ms, status;
	bool answered;
	char from[48], what[80];
};

static void log_end(struct client *c, const char *how)
{
	if (cli_json() || !c->status)
		return;
	cli_progress_end();
	printf("%s  %s  %u%s\n", c->from, cli_clean(c->what), c->status, how);
	fflush(stdout);
}

static void free_client(struct client *c)
{
	c->server->clients--;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	if (c->file >= 0)
		close(c->file);
	free(c);
}

/* All is acknowledged, or nothing more can be: @how says which. Returns what a callback of lwIP's must. */
static err_t end_client(struct client *c, const char *how)
{
	struct tcp_pcb *pcb = c->pcb;
	err_t ret = ERR_OK;

	log_end(c, how);
	if (*how)
		c->server->failed++;
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
	free_client(c);
	if (*how || tcp_close(pcb) != ERR_OK) {
		tcp_abort(pcb);
		ret = ERR_ABRT;
	}
	return ret;
}

/* As much of the file as lwIP takes now. */
static err_t feed(struct client *c)
{
	while (c->at < c->end && tcp_sndbuf(c->pcb)) {
		size_t n = c->end - c->at < CHUNK ? (size_t)(c->end - c->at) : CHUNK;
		ssize_t got;

		if (n > tcp_sndbuf(c->pcb))
			n = tcp_sndbuf(c->pcb);
		got = pread(c->file, c->server->chunk, n, (off_t)c->at);
		/* Somebody made it shorter: the client must not take the rest for whole. */
		if (got <= 0)
			return end_client(c, " (the file became shorter)");
		if (tcp_write(c->pcb, c->server->chunk, (u16_t)got,
			      TCP_WRITE_FLAG_COPY |
				      (c->at + (uint64_t)got < c->end ? TCP_WRITE_FLAG_MORE : 0)) !=
		    ERR_OK)
			break;
		c->at += (uint64_t)got;
		c->server->bytes += (uint64_t)got;
	}
	tcp_output(c->pcb);
	return ERR_OK;
}

/* The file of a request; -errno. */
static int open_file(const struct server *s, const char *path, struct stat *st)
{
	/* Nothing outside of the directory, whatever links are in it. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, s->dir, path, &how, sizeof(how)), index;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st)) {
		close(fd);
		return -EIO;
	}
	if (S_ISDIR(st->st_mode)) {
		index = (int)syscall(SYS_openat2, fd, "index.html", &how, sizeof(how));
		close(fd);
		fd = index;
		if (fd < 0)
			return -errno;
		if (fstat(fd, st)) {
			close(fd);
			return -EIO;
		}
	}
	if (!S_ISREG(st->st_mode)) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

static err_t answer(struct client *c, const struct http_request *req)
{
	char head[512], body[64] = "";
	struct stat st = {0};
	int fd = -1, n;

	if (c->status == 200) {
		fd = open_file(c->server, req->path, &st);
		if (fd < 0)
			c->status = fd == -ENOENT || fd == -ENOTDIR || fd == -EXDEV ? 404
				    : fd == -EACCES || fd == -EPERM		    ? 403
										    : 500;
	}
	if (fd >= 0) {
		c->file = fd;
		c->end = req->head ? 0 : (uint64_t)st.st_size;
	} else {
		snprintf(body, sizeof(body), "%u %s\n", c->status, http_reason(c->status));
		st.st_size = (off_t)strlen(body);
	}
	n = snprintf(
		head, sizeof(head),
		"HTTP/1.0 %u %s\r\nServer: outboard/" OUTBOARD_VERSION
		"\r\nContent-Type: %s\r\nContent-Length: %llu\r\nConnection: close\r\n%s\r\n%s",
		c->status, http_reason(c->status), fd >= 0 ? http_type(req->path) : "text/plain",
		(unsigned long long)st.st_size, c->status == 405 ? "Allow: GET, HEAD\r\n" : "",
		req->head ? "" : body);
	c->answered = true;
	c->server->requests++;
	if (tcp_write(c->pcb, head, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
		return end_client(c, " (out of memory)");
	return feed(c);
}

static err_t take_request(struct client *c)
{
	size_t n = http_head_length(c->head, c->head_len);
	struct http_request req = {.path = "."};

	if (!n && c->head_len < sizeof(c->head))
		return ERR_OK;
	c->status = n ? http_request_parse(c->head, n, &req) : 431;
	snprintf(c->what, sizeof(c->what), "%.*s", (int)strcspn(c->head, "\r\n"), c->head);
	return answer(c, &req);
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct client *c = arg;
	size_t n;

	/* It may end its side before it has the answer, and that is no end of ours. */
	if (!p)
		return c->answered ? ERR_OK : end_client(c, "");
	c->silent_ms = 0;
	tcp_recved(pcb, p->tot_len);
	n = sizeof(c->head) - c->head_len;
	if (n > p->tot_len)
		n = p->tot_len;
	if (!c->answered)
		c->head_len += pbuf_copy_partial(p, c->head + c->head_len, (u16_t)n, 0);
	pbuf_free(p);
	return c->answered ? ERR_OK : take_request(c);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct client *c = arg;

	c->silent_ms = 0;
	if (c->at < c->end)
		return feed(c);
	return c->answered && !pcb->unsent && !pcb->unacked ? end_client(c, "") : ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct client *c = arg;

	c->silent_ms += POLL_MS;
	if (c->silent_ms > c->server->r->timeout_ms)
		return end_client(c, " (the client fell silent)");
	return c->at < c->end ? feed(c) : ERR_OK;
}

static void on_error(void *arg, err_t err)
{
	struct client *c = arg;

	/* lwIP has freed the connection. */
	log_end(c, " (the client broke off)");
	c->server->failed++;
	free_client(c);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct server *s = arg;
	struct client *c;

	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	c = s->clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		s->failed++;
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	c->server = s;
	c->pcb = pcb;
	c->file = -1;
	c->next = s->first;
	c->link = &s->first;
	if (c->next)
		c->next->link = &c->next;
	s->first = c;
	s->clients++;
	snprintf(c->from, sizeof(c->from), "%s", ipaddr_ntoa(&pcb->remote_ip));
	tcp_arg(pcb, c);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, POLL_INTERVAL);
	return ERR_OK;
}

static bool is_finished(void *arg)
{
	const struct server *s = arg;

	return s->r->count && s->requests >= (uint64_t)s->r->count && !s->clients;
}

static int listen_on(struct server *s, uint16_t port)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

	if (!pcb)
		return -ENOMEM;
	tcp_bind_netif(pcb, ob_stack_netif(s->r->stack));
	if (tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK) {
		tcp_abort(pcb);
		return -EADDRINUSE;
	}
	s->listener = tcp_listen(pcb);
	if (!s->listener) {
		tcp_abort(pcb);
		return -ENOMEM;
	}
	tcp_arg(s->listener, s);
	tcp_accept(s->listener, on_accept);
	return 0;
}

static int serve(struct server *s, uint16_t port)
{
	struct net_run *r = s->r;
	struct net_cost cost;
	int ret = listen_on(s, port);

	if (ret)
		return ret;
	if (!cli_json()) {
		printf("serving '%s' on %s, port %u\n", r->word[0],
		       ipaddr_ntoa(&ob_stack_netif(r->stack)->ip_addr), port);
		fflush(stdout);
	}
	net_cost_begin(r, &cost);
	ret = ob_stack_wait(r->stack, is_finished, s, 0);
	net_cost_end(r, &cost);
	tcp_close(s->listener);
	/* Ctrl-C is the usual end. */
	if (ret == -ECANCELED || ret == -EINTR)
		ret = 0;
	net_print_transfer(r, "served", s->bytes, &cost);
	if (cli_json()) {
		cli_put_u64(r->doc, "requests", s->requests);
		cli_put_u64(r->doc, "broken_off", s->failed);
	} else {
		printf("%lu requests, %lu broken off\n", (unsigned long)s->requests,
		       (unsigned long)s->failed);
	}
	return ret;
}

/* Those that are still there end with the stack, which resets them: after this struct is gone, so now. */
static void end_clients(struct server *s)
{
	while (s->first)
		tcp_abort(s->first->pcb); /* on_error() frees its client */
}

int net_http_serve(struct net_run *r)
{
	struct server *s;
	uint16_t port;
	int ret;

	if (net_wants_lwip(r, "serving many connections") || !net_port(r, 1, HTTP_PORT, &port))
		return r->err.code;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->r = r;
	s->dir = open(r->word[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0) {
		ret = ob_error_set(&r->err, -errno, "'%s' cannot be served: %s", r->word[0],
				   strerror(errno));
	} else {
		ret = serve(s, port);
		end_clients(s);
		close(s->dir);
	}
	free(s);
	return ret;
}
