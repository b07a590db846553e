/* SPDX-License-Identifier: BSD-2-Clause */
/* See http.h: RFC 3986, 9110, 9112. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/http.h"

/* ---- URLs ------------------------------------------------------------------------------- */

/* Visible ASCII: anything else would need an encoding that nobody typed, or end the request line. */
static bool is_visible(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static const char *parse_port(const char *p, const char *end, uint16_t *port)
{
	unsigned long n = 0;

	if (p == end)
		return "its port is missing";
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return "its port is not a number";
		n = n * 10 + (unsigned long)(*p - '0');
		if (n > 65535)
			return "its port is above 65535";
	}
	if (!n)
		return "its port is 0";
	*port = (uint16_t)n;
	return NULL;
}

const char *http_url_parse(const char *text, struct http_url *url)
{
	static const char scheme[] = "http://";
	const char *host, *end, *host_end, *path;
	size_t n;

	memset(url, 0, sizeof(*url));
	url->port = 80;
	if (!is_visible(text))
		return "it has characters that must be encoded as %XX";
	if (!strncasecmp(text, "https://", 8))
		return "there is no TLS here, only http://";
	if (strstr(text, "://") && strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
		return "only http:// is understood";
	host = strncasecmp(text, scheme, sizeof(scheme) - 1) ? text : text + sizeof(scheme) - 1;
	end = host + strcspn(host, "/?#");
	if (memchr(host, '@', (size_t)(end - host)))
		return "user names are not understood";
	if (*host == '[') {
		host++;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return "the ']' of its address is missing";
		url->ipv6 = true;
		path = host_end + 1;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (!host_end)
			host_end = end;
		path = host_end;
	}
	n = (size_t)(host_end - host);
	if (!n)
		return "its host is missing";
	if (n >= sizeof(url->host))
		return "its host is too long";
	memcpy(url->host, host, n);
	if (path < end) {
		const char *wrong;

		if (*path != ':')
			return "behind its host is neither a port nor a path";
		wrong = parse_port(path + 1, end, &url->port);
		if (wrong)
			return wrong;
	}
	n = strcspn(end, "#"); /* a fragment is the reader's, not the server's */
	if (n + 2 > sizeof(url->path))
		return "its path is too long";
	if (*end != '/')
		url->path[0] = '/';
	memcpy(url->path + (*end != '/'), end, n);
	return NULL;
}

/* ---- heads ------------------------------------------------------------------------------ */

size_t http_head_length(const char *data, size_t len)
{
	/* Lines may end without a CR (RFC 9112, 2.2). */
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n')
			continue;
		if (i + 1 < len && data[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && data[i + 1] == '\r' && data[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* A line without its end, and where the next begins. */
static size_t line_length(const char *p, const char *end, const char **next)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p)), *last = nl ? nl : end;

	*next = nl ? nl + 1 : end;
	while (last > p && last[-1] == '\r')
		last--;
	return (size_t)(last - p);
}

/* The value of a field, without the blanks around it; NULL when this line is another. */
static const char *field(const char *line, size_t len, const char *name, size_t *value_len)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	len -= n + 1;
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	*value_len = len;
	return line;
}

static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	memcpy(to, from, n);
	to[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (to[i] < ' ' || to[i] > '~')
			to[i] = '?';
}

static int parse_length(const char *p, size_t len, uint64_t *val)
{
	uint64_t n = 0;

	if (!len)
		return -EBADMSG;
	for (; len; p++, len--) {
		unsigned int digit = (unsigned int)*p - '0';

		if (digit > 9 || n > (UINT64_MAX - 1 - digit) / 10)
			return -EBADMSG;
		n = n * 10 + digit;
	}
	*val = n;
	return 0;
}

int http_response_parse(const char *head, size_t len, struct http_response *r)
{
	const char *end = head + len, *next, *value;
	size_t n = line_length(head, end, &next), value_len;

	memset(r, 0, sizeof(*r));
	r->length = UINT64_MAX;
	/* "HTTP/1.1 200 OK" */
	if (n < 12 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ')
		return -EBADMSG;
	for (int i = 9; i < 12; i++) {
		if (head[i] < '0' || head[i] > '9')
			return -EBADMSG;
		r->status = r->status * 10 + (unsigned int)(head[i] - '0');
	}
	if (r->status < 100)
		return -EBADMSG;
	if (n > 13)
		copy_text(r->reason, sizeof(r->reason), head + 13, n - 13);
	for (const char *p = next; p < end; p = next) {
		n = line_length(p, end, &next);
		value = field(p, n, "content-length", &value_len);
		if (value) {
			uint64_t length;

			/* Two that differ are an attempt to smuggle (RFC 9112, 6.3). */
			if (parse_length(value, value_len, &length) ||
			    (r->length != UINT64_MAX && r->length != length))
				return -EBADMSG;
			r->length = length;
		}
		value = field(p, n, "transfer-encoding", &value_len);
		if (value && !(value_len == 8 && !strncasecmp(value, "identity", 8)))
			r->chunked = true;
		value = field(p, n, "location", &value_len);
		if (value)
			copy_text(r->location, sizeof(r->location), value, value_len);
	}
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decoded and made relative; no part of it is "..", none is hidden. */
static unsigned int parse_path(const char *p, size_t len, char *path)
{
	size_t n = 0;

	if (!len || *p != '/')
		return 400;
	for (size_t i = 0; i < len && p[i] != '?' && p[i] != '#'; i++) {
		char c = p[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_digit(p[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return 400;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!c)
			return 400;
		/* One '/' where there are several, none in front. */
		if (c == '/' && (!n || path[n - 1] == '/'))
			continue;
		if (c == '.' && (!n || path[n - 1] == '/'))
			return 404;
		if (n + 2 > HTTP_PATH_MAX)
			return 414;
		path[n++] = c;
	}
	if (!n)
		path[n++] = '.';
	path[n] = '\0';
	return 200;
}

unsigned int http_request_parse(const char *head, size_t len, struct http_request *r)
{
	const char *next, *target, *version;
	size_t n = line_length(head, head + len, &next);

	memset(r, 0, sizeof(*r));
	if (n >= 4 && !memcmp(head, "GET ", 4)) {
		target = head + 4;
	} else if (n >= 5 && !memcmp(head, "HEAD ", 5)) {
		target = head + 5;
		r->head = true;
	} else {
		return memchr(head, ' ', n) ? 405 : 400;
	}
	n -= (size_t)(target - head);
	version = memchr(target, ' ', n);
	if (!version)
		return 400;
	n -= (size_t)(version + 1 - target);
	if (n != 8 || memcmp(version + 1, "HTTP/", 5) != 0)
		return 400;
	if (version[6] != '1' || version[7] != '.')
		return 505;
	return parse_path(target, (size_t)(version - target), r->path);
}

const char *http_reason(unsigned int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 414:
		return "URI Too Long";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}

const char *http_type(const char *path)
{
	static const struct {
		const char *end, *type;
	} types[] = {
		{".html", "text/html"},	       {".txt", "text/plain"},	  {".css", "text/css"},
		{".js", "text/javascript"},    {".png", "image/png"},	  {".jpg", "image/jpeg"},
		{".json", "application/json"}, {".svg", "image/svg+xml"},
	};
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (n > strlen(types[i].end) &&
		    !strcmp(path + n - strlen(types[i].end), types[i].end))
			return types[i].type;
	return "application/octet-stream";
}
