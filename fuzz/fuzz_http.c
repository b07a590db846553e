/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli/http: a URL that somebody typed, the head of a response, the head of a request. No path
 * leaves its directory, no URL breaks out of its request line. Input: a letter (u, r, q) and the
 * text.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "fuzz/fuzz.h"

static void url(const char *text)
{
	struct http_url u;

	if (http_url_parse(text, &u))
		return;
	CHECK(u.port && u.host[0] && u.path[0] == '/');
	CHECK(!strpbrk(u.path, " \r\n") && !strpbrk(u.host, " \r\n/@"));
	CHECK(strlen(u.path) < sizeof(u.path) && strlen(u.host) < sizeof(u.host));
}

static void response(const char *p, size_t len)
{
	struct http_response r;

	if (http_response_parse(p, len, &r))
		return;
	CHECK(r.status >= 100 && r.status <= 999);
	CHECK(!strpbrk(r.reason, "\r\n\033") && !strpbrk(r.location, "\r\n\033"));
}

static void request(const char *p, size_t len)
{
	struct http_request r;

	if (http_request_parse(p, len, &r) != 200)
		return;
	CHECK(r.path[0] && r.path[0] != '/' && strlen(r.path) < sizeof(r.path));
	CHECK(!strcmp(r.path, ".") || r.path[0] != '.');
	CHECK(!strstr(r.path, "/."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head;
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	CHECK(text);
	memcpy(text, data + 1, size - 1);
	switch (data[0]) {
	case 'u':
		text[size - 1] = '\0';
		url(text);
		break;
	case 'r':
	case 'q':
		/* Exactly as long as its head, so that a look beyond it is seen. */
		head = http_head_length(text, size - 1);
		CHECK(head <= size - 1);
		if (head) {
			char *exact = malloc(head);

			CHECK(exact);
			memcpy(exact, text, head);
			if (data[0] == 'r')
				response(exact, head);
			else
				request(exact, head);
			free(exact);
		}
		break;
	}
	free(text);
	return 0;
}
