/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net http-get: a download over HTTP/1.0 (RFC 1945; heads as in RFC 9112), with its SHA-256. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/http.h"
#include "cli/net.h"
#include "cli/sha256.h"

enum {
	COMPLETE = 1,
};

struct download {
	struct net_run *r;
	struct http_url url;
	char head[HTTP_HEAD_MAX];
	size_t head_len;
	struct http_response response;
	bool in_body;
	uint64_t bytes;
	struct sha256 sum;
	int fd; /* or -1 */
	uint64_t began_ns, shown_ns;
};

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int take_body(struct download *d, const char *p, size_t len)
{
	uint64_t left = d->response.length - d->bytes, now;
	char size[16], rate[16];
	int ret;

	if (len > left)
		len = (size_t)left;
	sha256_add(&d->sum, p, len);
	if (d->fd >= 0) {
		ret = write_all(d->fd, p, len);
		if (ret)
			return ob_error_set(&d->r->err, ret, "writing to '%s': %s", d->r->output,
					    strerror(-ret));
	}
	d->bytes += len;
	now = ob_clock_ns();
	if (now - d->shown_ns > 500000000) {
		d->shown_ns = now;
		cli_progress("%s, %s/s", cli_size(size, d->bytes),
			     cli_size(rate, (uint64_t)((double)d->bytes * 1e9 /
						       (double)(now - d->began_ns))));
	}
	return d->bytes == d->response.length ? COMPLETE : 0;
}

static int bad_response(struct download *d)
{
	const struct http_response *a = &d->response;

	if (a->status >= 300 && a->status < 400) {
		ob_error_set(&d->r->err, -EREMOTE, "%s: it is elsewhere (%u %s)", d->r->word[0],
			     a->status, a->reason);
		if (*a->location)
			ob_error_fix(&d->r->err, "the server names %s", a->location);
		return -EREMOTE;
	}
	return ob_error_set(&d->r->err, a->status == 404 ? -ENOENT : -EREMOTEIO,
			    "%s: the server answered %u %s", d->r->word[0], a->status, a->reason);
}

static int take_head(struct download *d, size_t n)
{
	if (http_response_parse(d->head, n, &d->response))
		return ob_error_set(&d->r->err, -EBADMSG, "%s:%u did not answer in HTTP",
				    d->url.host, d->url.port);
	if (d->response.status != 200)
		return bad_response(d);
	if (d->response.chunked)
		return ob_error_set(&d->r->err, -EBADMSG,
				    "%s: the server sends chunks, though HTTP/1.0 was asked for",
				    d->r->word[0]);
	d->in_body = true;
	return d->response.length ? 0 : COMPLETE;
}

static int take(void *arg, const void *data, size_t len)
{
	struct download *d = arg;
	const char *p = data;
	size_t n, end, before = d->head_len;
	int ret;

	if (d->in_body)
		return take_body(d, p, len);
	n = len < sizeof(d->head) - before ? len : sizeof(d->head) - before;
	memcpy(d->head + before, p, n);
	d->head_len += n;
	end = http_head_length(d->head, d->head_len);
	if (!end) {
		if (d->head_len < sizeof(d->head))
			return 0;
		return ob_error_set(&d->r->err, -EBADMSG, "%s:%u answered with an endless head",
				    d->url.host, d->url.port);
	}
	ret = take_head(d, end);
	if (ret)
		return ret;
	/* What of this piece belongs to the body. */
	n = end - before;
	return len > n ? take_body(d, p + n, len - n) : 0;
}

static int request(struct download *d, struct ob_stream *st)
{
	char text[HTTP_PATH_MAX + 256], host[96];
	int ret;

	snprintf(host, sizeof(host), d->url.ipv6 ? "[%s]:%u" : "%s:%u", d->url.host, d->url.port);
	snprintf(text, sizeof(text),
		 "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: outboard/" OUTBOARD_VERSION
		 "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		 d->url.path, host);
	ret = ob_stream_write(st, text, strlen(text), &d->r->err);
	if (!ret)
		ret = ob_stream_receive(st, take, d, &d->r->err);
	if (ret == COMPLETE)
		return 0;
	if (ret)
		return ret;
	if (!d->in_body)
		return ob_error_set(&d->r->err, -EBADMSG,
				    "%s ended the connection without an answer", host);
	/* Without a length the end of the connection is the end of the body. */
	if (d->response.length == UINT64_MAX)
		return 0;
	return ob_error_set(&d->r->err, -EBADMSG,
			    "%s ended the connection after %" PRIu64 " of %" PRIu64 " bytes", host,
			    d->bytes, d->response.length);
}

static int print(struct download *d, const struct net_cost *cost)
{
	char hex[65];

	sha256_hex(&d->sum, hex);
	if (cli_json()) {
		net_print_transfer(d->r, "received", d->bytes, cost);
		cli_put_str(d->r->doc, "sha256", hex);
	} else if (!d->r->output || strcmp(d->r->output, "-") != 0) {
		net_print_transfer(d->r, "received", d->bytes, cost);
		printf("SHA-256 %s\n", hex);
	}
	if (d->r->sum && strcasecmp(hex, d->r->sum) != 0) {
		ob_error_set(&d->r->err, -EBADMSG, "%s has another SHA-256 than it should",
			     d->r->word[0]);
		ob_error_why(&d->r->err, "it is %s", hex);
		return -EBADMSG;
	}
	return 0;
}

static int open_output(struct download *d)
{
	const char *name = d->r->output;

	d->fd = -1;
	if (!name)
		return 0;
	if (!strcmp(name, "-")) {
		if (cli_json())
			return ob_error_set(
				&d->r->err, -EINVAL,
				"with --json the download cannot go to standard output");
		d->fd = dup(STDOUT_FILENO);
	} else {
		d->fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	}
	if (d->fd < 0)
		return ob_error_set(&d->r->err, -errno, "'%s' cannot be written: %s", name,
				    strerror(errno));
	return 0;
}

static int download(struct download *d)
{
	struct ob_stream *st;
	struct net_cost cost;
	int ret;

	ret = ob_stream_connect(d->r->stack, d->url.host, d->url.port, d->r->timeout_ms, &st,
				&d->r->err);
	if (ret)
		return ret;
	ret = open_output(d);
	if (!ret) {
		sha256_begin(&d->sum);
		net_cost_begin(d->r, &cost);
		d->began_ns = d->shown_ns = cost.began_ns;
		ret = request(d, st);
		net_cost_end(d->r, &cost);
		cli_progress_end();
	}
	ob_stream_close(st);
	/* What a full disk or a quota refuses may be told only now. */
	if (d->fd >= 0 && close(d->fd) && !ret)
		ret = ob_error_set(&d->r->err, -errno, "writing to '%s': %s", d->r->output,
				   strerror(errno));
	if (!ret)
		ret = print(d, &cost);
	/* Half a file looks like a file. */
	if (ret && d->r->output && strcmp(d->r->output, "-") != 0 && d->fd >= 0) {
		struct stat s;

		if (!stat(d->r->output, &s) && S_ISREG(s.st_mode))
			unlink(d->r->output);
	}
	return ret;
}

int net_http_get(struct net_run *r)
{
	struct download *d = calloc(1, sizeof(*d));
	const char *wrong;
	int ret;

	if (!d)
		return -ENOMEM;
	d->r = r;
	d->fd = -1;
	wrong = http_url_parse(r->word[0], &d->url);
	if (wrong) {
		ob_error_set(&r->err, -EINVAL, "'%.200s' cannot be fetched: %s", r->word[0], wrong);
		ob_error_fix(&r->err, "like http://10.0.2.2:8000/file");
		ret = -EINVAL;
	} else {
		ret = download(d);
	}
	free(d);
	return ret;
}
