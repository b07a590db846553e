/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NBD: fixed newstyle negotiation (doc/proto.md, "Handshake"). Every length that a client gives is checked
 * against what it sent before anything is read from it.
 */
#include <stdio.h>

#include "attach/nbd.h"

static void put_out(struct nbd_conn *c, const void *data, size_t len)
{
	/* nbd_negotiate() steps only with NBD_OUT_RESERVE free, and no step writes more. */
	if (len > sizeof(c->out) - c->out_have) {
		nbd_conn_kill(c);
		return;
	}
	memcpy(c->out + c->out_have, data, len);
	c->out_have += (unsigned int)len;
}

void nbd_hello(struct nbd_conn *c)
{
	char hello[NBD_HELLO_SIZE], *p = hello;

	p = nbd_put64(p, NBD_MAGIC);
	p = nbd_put64(p, NBD_OPTION_MAGIC);
	nbd_put16(p, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	put_out(c, hello, sizeof(hello));
	c->state = NBD_CLIENT_FLAGS;
}

static void reply(struct nbd_conn *c, uint32_t type, const void *data, uint32_t len)
{
	char head[NBD_OPTION_REPLY_SIZE], *p = head;

	p = nbd_put64(p, NBD_OPTION_REPLY_MAGIC);
	p = nbd_put32(p, c->option);
	p = nbd_put32(p, type);
	nbd_put32(p, len);
	put_out(c, head, sizeof(head));
	if (len)
		put_out(c, data, len);
}

static void refuse(struct nbd_conn *c, uint32_t type, const char *message)
{
	reply(c, type, message, (uint32_t)strlen(message));
}

/* The empty name is the default export: there is only one. */
static bool name_known(const struct nbd_conn *c, const char *name, uint32_t len)
{
	const char *own = c->srv->export_;

	return !len || (len == strlen(own) && !memcmp(name, own, len));
}

static uint16_t flags_for(const struct nbd_conn *c)
{
	/* Every read is answered in one chunk. */
	return c->srv->flags | (c->structured ? NBD_FLAG_SEND_DF : 0);
}

static void option_export_name(struct nbd_conn *c, const char *data, uint32_t len)
{
	char answer[10 + NBD_EXPORT_NAME_ZEROES] = {0}, *p = answer;

	if (!name_known(c, data, len)) {
		/* "the server MUST terminate the session": this option has no error reply. */
		c->state = NBD_QUIT;
		return;
	}
	p = nbd_put64(p, c->srv->disk.blk->limits.size);
	nbd_put16(p, flags_for(c));
	put_out(c, answer, c->no_zeroes ? 10 : sizeof(answer));
	c->state = NBD_REQUEST;
}

static void option_list(struct nbd_conn *c, uint32_t len)
{
	char answer[4 + sizeof(c->srv->export_) + sizeof(c->srv->description)];
	size_t name = strlen(c->srv->export_), what = strlen(c->srv->description);
	char *p = answer;

	if (len) {
		refuse(c, NBD_REP_ERR_INVALID, "NBD_OPT_LIST has no data");
		return;
	}
	p = nbd_put32(p, (uint32_t)name);
	memcpy(p, c->srv->export_, name);
	memcpy(p + name, c->srv->description, what);
	reply(c, NBD_REP_SERVER, answer, (uint32_t)(4 + name + what));
	reply(c, NBD_REP_ACK, NULL, 0);
}

static void info_export(struct nbd_conn *c)
{
	char info[12], *p = info;

	p = nbd_put16(p, NBD_INFO_EXPORT);
	p = nbd_put64(p, c->srv->disk.blk->limits.size);
	nbd_put16(p, flags_for(c));
	reply(c, NBD_REP_INFO, info, sizeof(info));
}

static void info_block_size(struct nbd_conn *c)
{
	const struct ob_block_limits *l = &c->srv->disk.blk->limits;
	uint32_t preferred = l->physical_block_size > 4096 ? l->physical_block_size : 4096;
	char info[14], *p = info;

	if (preferred < l->block_size)
		preferred = l->block_size;
	p = nbd_put16(p, NBD_INFO_BLOCK_SIZE);
	p = nbd_put32(p, l->block_size);
	p = nbd_put32(p, preferred);
	nbd_put32(p, c->srv->max_payload);
	reply(c, NBD_REP_INFO, info, sizeof(info));
}

static void info_text(struct nbd_conn *c, uint16_t type, const char *text)
{
	char info[2 + sizeof(c->srv->export_)], *p = info;
	size_t len = strlen(text);

	if (len > sizeof(info) - 2)
		len = sizeof(info) - 2;
	p = nbd_put16(p, type);
	memcpy(p, text, len);
	reply(c, NBD_REP_INFO, info, (uint32_t)(2 + len));
}

/*
 * INFO and GO: 32 bits length of name, name, 16 bits number of requests, 16 bits each. The block sizes
 * are told unasked: the server may, and its requests must be aligned.
 */
static void option_info(struct nbd_conn *c, const char *data, uint32_t len)
{
	uint32_t name_len, n;
	bool name = false, description = false;
	const char *p;

	if (len < 6) {
		refuse(c, NBD_REP_ERR_INVALID, "too short for a name and its requests");
		return;
	}
	name_len = nbd_get32(data);
	if (name_len > len - 6 || name_len > NBD_NAME_MAX) {
		refuse(c, NBD_REP_ERR_INVALID, "name longer than the option or than 4096 bytes");
		return;
	}
	p = data + 4 + name_len;
	n = nbd_get16(p);
	if (2 * n != len - 6 - name_len) {
		refuse(c, NBD_REP_ERR_INVALID, "length does not match the number of requests");
		return;
	}
	if (!name_known(c, data + 4, name_len)) {
		refuse(c, NBD_REP_ERR_UNKNOWN, "there is no export of this name");
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint16_t type = nbd_get16(p + 2 + 2 * i);

		/* A flag, not a reply: a client that asks a thousand times is answered once. */
		name |= type == NBD_INFO_NAME;
		description |= type == NBD_INFO_DESCRIPTION;
	}
	info_export(c);
	info_block_size(c);
	if (name)
		info_text(c, NBD_INFO_NAME, c->srv->export_);
	if (description)
		info_text(c, NBD_INFO_DESCRIPTION, c->srv->description);
	reply(c, NBD_REP_ACK, NULL, 0);
	if (c->option == NBD_OPT_GO)
		c->state = NBD_REQUEST;
}

static void option_structured_reply(struct nbd_conn *c, uint32_t len)
{
	if (len) {
		refuse(c, NBD_REP_ERR_INVALID, "NBD_OPT_STRUCTURED_REPLY has no data");
		return;
	}
	c->structured = true;
	reply(c, NBD_REP_ACK, NULL, 0);
}

static void take_option(struct nbd_conn *c, const char *data, uint32_t len)
{
	if (c->srv->shutting_down && c->option != NBD_OPT_ABORT) {
		if (c->option == NBD_OPT_EXPORT_NAME)
			c->state = NBD_QUIT;
		else
			refuse(c, NBD_REP_ERR_SHUTDOWN, "the server is shutting down");
		return;
	}
	switch (c->option) {
	case NBD_OPT_EXPORT_NAME:
		option_export_name(c, data, len);
		break;
	case NBD_OPT_ABORT:
		reply(c, NBD_REP_ACK, NULL, 0);
		c->state = NBD_QUIT;
		break;
	case NBD_OPT_LIST:
		option_list(c, len);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		option_info(c, data, len);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
		option_structured_reply(c, len);
		break;
	default:
		refuse(c, NBD_REP_ERR_UNSUP, "unknown option");
		break;
	}
}

static unsigned int step_client_flags(struct nbd_conn *c)
{
	uint32_t flags;

	if (c->in_have - c->in_pos < NBD_CLIENT_FLAGS_SIZE)
		return NBD_CLIENT_FLAGS_SIZE;
	flags = nbd_get32(c->in + c->in_pos);
	c->in_pos += NBD_CLIENT_FLAGS_SIZE;
	/* "the server MUST drop the TCP connection if the client sets an unknown flag" */
	if (flags & ~(uint32_t)(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) {
		nbd_conn_kill(c);
		return 0;
	}
	c->no_zeroes = flags & NBD_FLAG_C_NO_ZEROES;
	c->state = NBD_OPTION;
	return 0;
}

static unsigned int step_option(struct nbd_conn *c)
{
	const char *head = c->in + c->in_pos;
	unsigned int have = c->in_have - c->in_pos;
	uint32_t len;

	if (have < NBD_OPTION_SIZE)
		return NBD_OPTION_SIZE;
	if (nbd_get64(head) != NBD_OPTION_MAGIC) {
		nbd_conn_kill(c);
		return 0;
	}
	len = nbd_get32(head + 12);
	if (len > NBD_OPTION_MAX) {
		if (len > NBD_OPTION_SKIP_MAX) {
			nbd_conn_kill(c);
			return 0;
		}
		c->option = nbd_get32(head + 8);
		c->in_pos += NBD_OPTION_SIZE;
		c->skip = len;
		c->state = NBD_OPTION_SKIP;
		return 0;
	}
	if (have < NBD_OPTION_SIZE + len)
		return NBD_OPTION_SIZE + len;
	c->option = nbd_get32(head + 8);
	take_option(c, head + NBD_OPTION_SIZE, len);
	c->in_pos += NBD_OPTION_SIZE + len;
	return 0;
}

static unsigned int step_option_skip(struct nbd_conn *c)
{
	if (!nbd_skipped(c))
		return 1;
	c->state = NBD_OPTION;
	/* EXPORT_NAME cannot be answered with an error. */
	if (c->option == NBD_OPT_EXPORT_NAME)
		c->state = NBD_QUIT;
	else
		refuse(c, NBD_REP_ERR_TOO_BIG, "option data are too long");
	return 0;
}

unsigned int nbd_negotiate(struct nbd_conn *c)
{
	switch (c->state) {
	case NBD_CLIENT_FLAGS:
		return step_client_flags(c);
	case NBD_OPTION:
		return step_option(c);
	default:
		return step_option_skip(c);
	}
}
