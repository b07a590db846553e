/* SPDX-License-Identifier: BSD-2-Clause */
/* What comes from outside and is read by our own code: DHCP answers, URLs, heads of HTTP, reports of a transfer. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/http.h"
#include "cli/net_transfer.h"
#include "cli/sha256.h"
#include "stack/dhcp.h"

/* ---- DHCP -------------------------------------------------------------------------------- */

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

enum {
	XID = 0x12345678,
	IP = 14,
	UDP = 34,
	MESSAGE = 42,
	OPTIONS = MESSAGE + 240,
};

static uint32_t words(const uint8_t *p, size_t len)
{
	uint32_t s = 0;

	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

static unsigned int fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* The checksum of the IP header made right; UDP's is left out, as it may be. */
static void seal(uint8_t *f, size_t len)
{
	unsigned int sum;

	f[IP + 2] = (uint8_t)((len - IP) >> 8);
	f[IP + 3] = (uint8_t)(len - IP);
	f[UDP + 4] = (uint8_t)((len - UDP) >> 8);
	f[UDP + 5] = (uint8_t)(len - UDP);
	f[UDP + 6] = f[UDP + 7] = 0;
	f[IP + 10] = f[IP + 11] = 0;
	sum = ~fold(words(f + IP, 20)) & 0xffff;
	f[IP + 10] = (uint8_t)(sum >> 8);
	f[IP + 11] = (uint8_t)sum;
}

/* An answer made of our own question, with these options. */
static size_t make_answer(uint8_t *f, const uint8_t *options, size_t len)
{
	struct dhcp_question q = {.type = DHCP_DISCOVER, .xid = XID};

	memset(f, 0, DHCP_FRAME_MAX);
	dhcp_build(f, mac, &q);
	f[UDP + 1] = 67;
	f[UDP + 3] = 68;
	f[MESSAGE] = 2;
	memcpy(f + MESSAGE + 16, (const uint8_t[]){10, 0, 0, 9}, 4);
	memset(f + OPTIONS, 0, 300 - 240);
	memcpy(f + OPTIONS, options, len);
	len = OPTIONS + len;
	seal(f, len);
	return len;
}

static const uint8_t ack[] = {53, 1, 5, 54, 4,	10, 0, 0, 1,  51, 4, 0, 0, 0, 100, 1, 4, 255, 255,
			      0,  0, 3, 8,  10, 0,  0, 1, 10, 0,  0, 2, 6, 4, 8,   8, 8, 8,   255};

static void dhcp_questions_are_right(void **state)
{
	struct dhcp_question q = {.type = DHCP_REQUEST,
				  .xid = XID,
				  .wanted = htonl(0x0a000009),
				  .server = htonl(0x0a000001)};
	uint8_t f[DHCP_FRAME_MAX];
	size_t len = dhcp_build(f, mac, &q), udp = len - UDP;

	assert_int_equal(len, MESSAGE + 300);
	assert_int_equal(fold(words(f + IP, 20)), 0xffff);
	assert_int_equal(fold(words(f + IP + 12, 8) + 17 + (uint32_t)udp + words(f + UDP, udp)),
			 0xffff);
	assert_memory_equal(f, "\xff\xff\xff\xff\xff\xff\x52\x54\0\1\2\3\x08\0", 14);
	assert_memory_equal(f + OPTIONS, "\x35\1\3", 3);
	/* Our own question is nobody's answer. */
	assert_false(dhcp_is_answer(f, len));
}

static void dhcp_answers_are_read(void **state)
{
	uint8_t f[DHCP_FRAME_MAX];
	size_t len = make_answer(f, ack, sizeof(ack));
	struct dhcp_message m;

	assert_true(dhcp_is_answer(f, len));
	assert_int_equal(dhcp_parse(f, len, mac, XID, &m), 0);
	assert_int_equal(m.type, DHCP_ACK);
	assert_int_equal(m.address, htonl(0x0a000009));
	assert_int_equal(m.netmask, htonl(0xffff0000));
	assert_int_equal(m.gateway, htonl(0x0a000001));
	assert_int_equal(m.dns, htonl(0x08080808));
	assert_int_equal(m.server, htonl(0x0a000001));
	assert_int_equal(m.seconds, 100);
	assert_int_equal(m.t1, 50);
	assert_int_equal(m.t2, 87);
	/* Options in the fields that are lent to them (RFC 2132, 9.3). */
	{
		static const uint8_t rest[] = {52, 1, 3, 53, 1, 5, 255};

		len = make_answer(f, rest, sizeof(rest));
		memcpy(f + MESSAGE + 108, (const uint8_t[]){51, 4, 0, 0, 1, 0, 255}, 7);
		memcpy(f + MESSAGE + 44, (const uint8_t[]){54, 4, 10, 0, 0, 1, 255}, 7);
		assert_int_equal(dhcp_parse(f, len, mac, XID, &m), 0);
		assert_int_equal(m.seconds, 256);
		assert_int_equal(m.server, htonl(0x0a000001));
	}
}

static void dhcp_others_answers_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} spoil[] = {
		{MESSAGE, 1},	      /* a question */
		{MESSAGE + 4, 0x13},  /* another transaction */
		{MESSAGE + 28, 0x53}, /* another card */
		{MESSAGE + 236, 98},  /* no DHCP */
		{MESSAGE + 16, 127},  /* no host's address */
		{MESSAGE + 16, 224},  /* nor this */
		{IP + 6, 0x20},	      /* a fragment */
		{OPTIONS + 2, 1},     /* a type that no server sends */
		{OPTIONS + 3, 55},    /* nobody's: the server is missing */
		{OPTIONS + 9, 55},    /* no time */
		{OPTIONS + 17, 0xf0}, /* a mask with a hole */
	};
	uint8_t f[DHCP_FRAME_MAX];
	struct dhcp_message m;
	size_t len;

	for (size_t i = 0; i < sizeof(spoil) / sizeof(spoil[0]); i++) {
		len = make_answer(f, ack, sizeof(ack));
		f[spoil[i].at] = spoil[i].value;
		seal(f, len);
		assert_int_equal(dhcp_parse(f, len, mac, XID, &m), -EBADMSG);
	}
	/* A wrong sum of the header, and of the payload. */
	len = make_answer(f, ack, sizeof(ack));
	f[IP + 10] ^= 1;
	assert_int_equal(dhcp_parse(f, len, mac, XID, &m), -EBADMSG);
	len = make_answer(f, ack, sizeof(ack));
	f[UDP + 7] = 1;
	assert_int_equal(dhcp_parse(f, len, mac, XID, &m), -EBADMSG);
	/* Cut off anywhere. */
	len = make_answer(f, ack, sizeof(ack));
	for (size_t n = 0; n < len; n++) {
		uint8_t *exact = malloc(n ? n : 1);

		assert_non_null(exact);
		memcpy(exact, f, n);
		assert_int_equal(dhcp_parse(exact, n, mac, XID, &m), -EBADMSG);
		free(exact);
	}
}

/* ---- HTTP -------------------------------------------------------------------------------- */

static void urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *path;
		uint16_t port;
	} good[] = {
		{"http://10.0.2.2", "10.0.2.2", "/", 80},
		{"10.0.2.2", "10.0.2.2", "/", 80},
		{"HTTP://10.0.2.2:8000/a/b?c#d", "10.0.2.2", "/a/b?c", 8000},
		{"http://10.0.2.2?x", "10.0.2.2", "/?x", 80},
		{"http://[fd00::1]:81/x", "fd00::1", "/x", 81},
	};
	static const char *const bad[] = {
		"",
		"http://",
		"https://10.0.2.2/",
		"ftp://10.0.2.2/",
		"http://:80/",
		"http://a:/",
		"http://a:0/",
		"http://a:65536/",
		"http://a:8x/",
		"http://u@a/",
		"http://[fd00::1/x",
		"http://[fd00::1]x/",
		"http://a/b c",
		"http://a/\r\nX: y",
		"http://a/\xc3\xa4",
	};
	char longest[2000];
	struct http_url u;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(http_url_parse(good[i].text, &u));
		assert_string_equal(u.host, good[i].host);
		assert_string_equal(u.path, good[i].path);
		assert_int_equal(u.port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(http_url_parse(bad[i], &u));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "http://b/", 9);
	longest[sizeof(longest) - 1] = '\0';
	assert_non_null(http_url_parse(longest, &u));
}

static int response(const char *text, struct http_response *r)
{
	return http_response_parse(text, strlen(text), r);
}

static void responses_are_read(void **state)
{
	struct http_response r;

	assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 12 \r\n\r\n", &r), 0);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 12);
	assert_string_equal(r.reason, "OK");
	assert_false(r.chunked);
	assert_int_equal(response("HTTP/1.0 404\r\n\r\n", &r), 0);
	assert_true(r.length == UINT64_MAX);
	assert_int_equal(response("HTTP/1.1 302 x\nlocation:\thttp://b/\nTransfer-Encoding: "
				  "chunked\n\n",
				  &r),
			 0);
	assert_string_equal(r.location, "http://b/");
	assert_true(r.chunked);
	assert_int_equal(response("SSH-2.0-OpenSSH\r\n\r\n", &r), -EBADMSG);
	assert_int_equal(response("HTTP/1.0 2x0 OK\r\n\r\n", &r), -EBADMSG);
	assert_int_equal(response("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", &r), -EBADMSG);
	assert_int_equal(response("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: "
				  "2\r\n\r\n",
				  &r),
			 -EBADMSG);
	assert_int_equal(response("HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
				  &r),
			 -EBADMSG);
	assert_int_equal(http_head_length("a\r\nb\r\n\r\nbody", 12), 8);
	assert_int_equal(http_head_length("a\nb\n\nbody", 9), 5);
	assert_int_equal(http_head_length("a\r\nb\r\n\r", 7), 0);
}

static unsigned int request(const char *line, struct http_request *r)
{
	return http_request_parse(line, strlen(line), r);
}

static void requests_stay_in_their_directory(void **state)
{
	static const struct {
		const char *line, *path;
		unsigned int status;
	} cases[] = {
		{"GET / HTTP/1.0\r\n\r\n", ".", 200},
		{"GET /a//b/%63?x HTTP/1.1\r\n\r\n", "a/b/c", 200},
		{"GET /a.b HTTP/1.1\r\n\r\n", "a.b", 200},
		{"GET //etc/passwd HTTP/1.1\r\n\r\n", "etc/passwd", 200},
		{"GET /../x HTTP/1.0\r\n\r\n", NULL, 404},
		{"GET /a/%2e%2e/x HTTP/1.0\r\n\r\n", NULL, 404},
		{"GET /.git/config HTTP/1.0\r\n\r\n", NULL, 404},
		{"GET /a%00b HTTP/1.0\r\n\r\n", NULL, 400},
		{"GET /a%2 HTTP/1.0\r\n\r\n", NULL, 400},
		{"GET x HTTP/1.0\r\n\r\n", NULL, 400},
		{"GET /x\r\n\r\n", NULL, 400},
		{"GET /x HTTP/2.0\r\n\r\n", NULL, 505},
		{"POST / HTTP/1.0\r\n\r\n", NULL, 405},
		{"nonsense\r\n\r\n", NULL, 400},
	};
	struct http_request r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(request(cases[i].line, &r), cases[i].status);
		if (cases[i].path)
			assert_string_equal(r.path, cases[i].path);
	}
	assert_int_equal(request("HEAD /x HTTP/1.1\r\n\r\n", &r), 200);
	assert_true(r.head);
}

/* ---- SHA-256 and transfers ----------------------------------------------------------------- */

static void sums_are_those_of_the_standard(void **state)
{
	/* NIST's examples for FIPS 180-4: of nothing, "abc", 448 bits, a million times "a". */
	static const struct {
		const char *text, *sum;
		unsigned int times;
	} cases[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 1},
		{"aaaaaaaaaaaaaaaaaaaaaaaaa",
		 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 40000},
	};
	char hex[65];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sha256 s;

		sha256_begin(&s);
		for (unsigned int k = 0; k < cases[i].times; k++)
			sha256_add(&s, cases[i].text, strlen(cases[i].text));
		sha256_hex(&s, hex);
		assert_string_equal(hex, cases[i].sum);
	}
}

static void datagrams_are_counted_once(void **state)
{
	static struct transfer_order o;
	struct transfer_report r = {0};
	uint8_t header[TRANSFER_HEADER];
	uint64_t number;

	assert_true(transfer_count(&o, 0, &r));
	assert_true(transfer_count(&o, 5, &r));
	assert_true(transfer_count(&o, 3, &r));
	assert_false(transfer_count(&o, 3, &r));
	assert_false(transfer_count(&o, 5, &r));
	assert_int_equal(r.late, 1);
	assert_int_equal(r.twice, 2);
	/* One window further the bits of the old numbers are gone. */
	assert_true(transfer_count(&o, 5 + TRANSFER_WINDOW, &r));
	assert_true(transfer_count(&o, 6, &r));
	assert_true(transfer_count(&o, 1, &r));
	assert_true(transfer_count(&o, UINT64_MAX - 1, &r));
	transfer_put_header(header, TRANSFER_END, 77);
	assert_int_equal(transfer_get_header(header, sizeof(header), &number), TRANSFER_END);
	assert_int_equal(number, 77);
	assert_int_equal(transfer_get_header(header, sizeof(header) - 1, &number), 0);
	header[0] ^= 1;
	assert_int_equal(transfer_get_header(header, sizeof(header), &number), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp_questions_are_right),
		cmocka_unit_test(dhcp_answers_are_read),
		cmocka_unit_test(dhcp_others_answers_are_refused),
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(responses_are_read),
		cmocka_unit_test(requests_stay_in_their_directory),
		cmocka_unit_test(sums_are_those_of_the_standard),
		cmocka_unit_test(datagrams_are_counted_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
