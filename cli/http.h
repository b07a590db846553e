/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `outboard net` needs of HTTP: URLs (RFC 3986), the heads of requests and responses (RFC
 * 9112), paths. All of it comes from outside; nothing here reads beyond the length that it is
 * given.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_HEAD_MAX = 8192,
	HTTP_PATH_MAX = 1024,
};

struct http_url {
	char host[64]; /* without brackets */
	char path[HTTP_PATH_MAX];
	uint16_t port;
	bool ipv6;
};

/** http_url_parse() - http://HOST[:PORT][/PATH]; returns NULL, or what is wrong with it */
const char *http_url_parse(const char *text, struct http_url *url);

/** http_head_length() - bytes up to and with the empty line; 0 when that has not come yet */
size_t http_head_length(const char *data, size_t len);

/**
 * struct http_response - a response's head
 * @length: of the body; UINT64_MAX: until the connection ends
 * @chunked: the body comes in pieces with lengths of their own
 */
struct http_response {
	unsigned int status;
	char reason[64];
	char location[256];
	uint64_t length;
	bool chunked;
};

/** http_response_parse() - -EBADMSG when it is none */
int http_response_parse(const char *head, size_t len, struct http_response *r);

struct http_request {
	bool head; /* HEAD, not GET */
	char path
		[HTTP_PATH_MAX]; /* decoded, without the leading '/', never empty: "." for the root */
};

/** http_request_parse() - the status to answer with, 200 when it can be served: 400, 405, 414, 505 */
unsigned int http_request_parse(const char *head, size_t len, struct http_request *r);

const char *http_reason(unsigned int status);
const char *http_type(const char *path);

#endif
