/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NBD: the transmission phase (doc/proto.md, "Transmission"). Payload goes from the socket straight into
 * the device's arena and from there straight into the socket: one copy by the kernel each way, none here.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/nbd.h"

enum {
	/*
	 * A client that has lately sent only requests without payload is read ahead by so many headers
	 * in one call. Else one header is taken at a time, so that no payload gets into the buffer of
	 * the headers, from where it would have to be copied.
	 */
	READ_AHEAD = 64,
	READ_AHEAD_AFTER = 32,

	IOV_MAX_SEND = 64,
};

uint16_t nbd_transmission_flags(const struct disk *d)
{
	const struct ob_block_limits *l = &d->blk->limits;
	uint16_t flags = NBD_FLAG_HAS_FLAGS;

	if (l->rotational)
		flags |= NBD_FLAG_ROTATIONAL;
	/*
	 * All connections end in one queue, and a flush covers what has completed on it, so several
	 * connections see one cache even where the driver promises it for one queue only.
	 */
	flags |= NBD_FLAG_CAN_MULTI_CONN;
	if (l->read_only)
		return flags | NBD_FLAG_READ_ONLY;
	if (d->flush || !l->volatile_cache)
		flags |= NBD_FLAG_SEND_FLUSH;
	if (disk_can_fua(d))
		flags |= NBD_FLAG_SEND_FUA;
	if (d->discard)
		flags |= NBD_FLAG_SEND_TRIM;
	/*
	 * Not NBD_FLAG_SEND_FAST_ZERO: it promises that zeroing is never slower than writing, or refused
	 * at once; disks do not tell.
	 */
	if (d->zeroes)
		flags |= NBD_FLAG_SEND_WRITE_ZEROES;
	return flags;
}

static uint32_t error_of(int status)
{
	switch (status) {
	case 0:
		return 0;
	case -EPERM:
	case -EROFS:
		return NBD_EPERM;
	case -ENOMEM:
		return NBD_ENOMEM;
	case -EINVAL:
	case -ERANGE:
		return NBD_EINVAL;
	case -ENOSPC:
		return NBD_ENOSPC;
	case -EOPNOTSUPP:
		return NBD_ENOTSUP;
	default: /* also a device that is gone, timed out, or whose medium is bad */
		return NBD_EIO;
	}
}

/* ---- tags and payload memory ----------------------------------------------------- */

void nbd_unqueue(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;
	struct nbd_conn **at = &srv->wait_first, *before = NULL;

	if (!c->in_queue)
		return;
	while (*at != c) {
		before = *at;
		at = &(*at)->wait_link;
	}
	*at = c->wait_link;
	if (srv->wait_last == c)
		srv->wait_last = before;
	c->wait_link = NULL;
	c->in_queue = false;
	if (srv->wait_first)
		srv->wait_first->wait = NBD_WAIT_NOT;
}

/* In order of arrival, so that a request that needs much is not overtaken for ever by small ones. */
static void wait_for_pool(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;

	c->wait = NBD_WAIT_POOL;
	if (c->in_queue)
		return;
	c->in_queue = true;
	if (srv->wait_last)
		srv->wait_last->wait_link = c;
	else
		srv->wait_first = c;
	srv->wait_last = c;
}

/*
 * A connection has at most its share, and half when it is alone, so that a client that takes no replies
 * cannot keep the others out. What one request needs is always allowed to a connection that has nothing.
 */
static bool has_its_share(const struct nbd_conn *c, unsigned int pages)
{
	const struct nbd_server *srv = c->srv;
	unsigned int n = srv->nr_conns;

	if (!c->inflight)
		return false;
	if (n < 2)
		n = srv->max_conns > 1 ? 2 : 1;
	return c->inflight + 1 > srv->disk.depth / n ||
	       (pages && c->pages + pages > srv->disk.payload.pages / n);
}

static struct nbd_tag *tag_get(struct nbd_conn *c, uint32_t bytes)
{
	struct nbd_server *srv = c->srv;
	unsigned int pages = payload_pages(bytes);
	struct nbd_tag *t = srv->free;
	char *buf = NULL;

	if (has_its_share(c, pages)) {
		nbd_unqueue(c);
		c->wait = NBD_WAIT_SHARE;
		return NULL;
	}
	if (!t || (srv->wait_first && srv->wait_first != c) ||
	    (bytes && !(buf = payload_get(&srv->disk.payload, bytes)))) {
		wait_for_pool(c);
		return NULL;
	}
	nbd_unqueue(c);
	srv->free = t->link;
	srv->nr_free--;
	c->inflight++;
	c->pages += pages;
	t->link = NULL;
	t->conn = c;
	t->rq.buf = buf;
	t->rq.len = bytes;
	t->payload = 0;
	return t;
}

static void payload_release(struct nbd_server *srv, struct nbd_tag *t)
{
	if (!t->rq.buf)
		return;
	payload_put(&srv->disk.payload, t->rq.buf, t->len);
	t->conn->pages -= payload_pages(t->len);
	t->rq.buf = NULL;
}

void nbd_tag_put(struct nbd_server *srv, struct nbd_tag *t)
{
	struct nbd_conn *c = t->conn;

	payload_release(srv, t);
	c->inflight--;
	if (c->wait == NBD_WAIT_SHARE)
		c->wait = NBD_WAIT_NOT;
	t->conn = NULL;
	t->link = srv->free;
	srv->free = t;
	srv->nr_free++;
	if (srv->wait_first)
		srv->wait_first->wait = NBD_WAIT_NOT;
}

/* ---- replies --------------------------------------------------------------------- */

static void queue_reply(struct nbd_tag *t)
{
	struct nbd_conn *c = t->conn;

	t->link = NULL;
	if (c->send_last)
		c->send_last->link = t;
	else
		c->send_first = t;
	c->send_last = t;
}

static void chunk(struct nbd_tag *t, uint16_t type, uint32_t len)
{
	char *p = t->head;

	p = nbd_put32(p, NBD_STRUCTURED_REPLY_MAGIC);
	p = nbd_put16(p, NBD_REPLY_FLAG_DONE);
	p = nbd_put16(p, type);
	p = nbd_put64(p, t->cookie);
	nbd_put32(p, len);
	t->head_len = NBD_CHUNK_SIZE;
}

/* The answer to a request; its payload follows a read that went well. */
static void answer(struct nbd_tag *t, uint32_t error)
{
	bool is_read = t->command == NBD_CMD_READ;
	char *p = t->head;

	if (!is_read || error) {
		payload_release(t->conn->srv, t);
		t->payload = 0;
	} else {
		t->payload = t->len;
	}
	if (error)
		disk_count(&t->conn->srv->disk.stats.errors, 1);
	/* "if structured replies are negotiated, the server MUST NOT use a simple reply for a read" */
	if (is_read && t->conn->structured) {
		if (error) {
			chunk(t, NBD_REPLY_TYPE_ERROR, 6);
			nbd_put16(nbd_put32(p + NBD_CHUNK_SIZE, error), 0);
			t->head_len += 6;
		} else if (!t->len) {
			chunk(t, NBD_REPLY_TYPE_NONE, 0);
		} else {
			chunk(t, NBD_REPLY_TYPE_OFFSET_DATA, 8 + t->len);
			nbd_put64(p + NBD_CHUNK_SIZE, t->rq.offset);
			t->head_len += 8;
		}
	} else {
		p = nbd_put32(p, NBD_SIMPLE_REPLY_MAGIC);
		p = nbd_put32(p, error);
		nbd_put64(p, t->cookie);
		t->head_len = NBD_SIMPLE_REPLY_SIZE;
	}
	queue_reply(t);
}

void nbd_done(void *front, struct disk_request *rq)
{
	struct nbd_server *srv = front;
	struct nbd_tag *t = (struct nbd_tag *)rq;
	struct ob_attach_stats *stats = &srv->disk.stats;

	if (t->conn->state == NBD_DEAD) {
		nbd_tag_put(srv, t);
		return;
	}
	if (!rq->status && t->command == NBD_CMD_READ) {
		disk_count(&stats->requests_out, 1);
		disk_count(&stats->bytes_out, t->len);
	} else if (!rq->status) {
		disk_count(&stats->requests_in, 1);
		if (t->command == NBD_CMD_WRITE)
			disk_count(&stats->bytes_in, t->len);
	}
	answer(t, error_of(rq->status));
}

static unsigned int gather(const struct nbd_conn *c, struct iovec *iov)
{
	const struct nbd_tag *t = c->send_first;
	size_t skip = c->sent;
	unsigned int n = 0;

	if (c->out_have > c->out_pos) {
		iov[n].iov_base = (char *)c->out + c->out_pos;
		iov[n++].iov_len = c->out_have - c->out_pos;
	}
	for (; t && n + 2 <= IOV_MAX_SEND; t = t->link) {
		if (skip < t->head_len) {
			iov[n].iov_base = (char *)t->head + skip;
			iov[n++].iov_len = t->head_len - skip;
			skip = 0;
		} else {
			skip -= t->head_len;
		}
		if (t->payload) {
			iov[n].iov_base = t->rq.buf + skip;
			iov[n++].iov_len = t->payload - skip;
		}
		skip = 0;
	}
	return n;
}

/* The socket has taken @n bytes. */
static void advance(struct nbd_conn *c, size_t n)
{
	struct nbd_server *srv = c->srv;
	size_t text = c->out_have - c->out_pos;

	if (n < text) {
		c->out_pos += (unsigned int)n;
		return;
	}
	n -= text;
	c->out_pos = 0;
	c->out_have = 0;
	while (n) {
		struct nbd_tag *t = c->send_first;
		size_t left = (size_t)t->head_len + t->payload - c->sent;

		if (n < left) {
			c->sent += n;
			return;
		}
		n -= left;
		c->sent = 0;
		c->send_first = t->link;
		if (!c->send_first)
			c->send_last = NULL;
		if (t->payload)
			disk_count(&srv->disk.stats.kernel_copies, 1);
		nbd_tag_put(srv, t);
	}
}

void nbd_output(struct nbd_conn *c)
{
	struct iovec iov[IOV_MAX_SEND];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t n;

	while (c->state != NBD_DEAD && (c->send_first || c->out_have > c->out_pos)) {
		msg.msg_iovlen = gather(c, iov);
		n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		disk_count(&c->srv->disk.stats.syscalls, 1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				nbd_conn_kill(c);
				return;
			}
			if (!c->stuck_ns)
				c->stuck_ns = nbd_now();
			/* Its turn would be lost on it: others are behind it. */
			if (c->in_queue) {
				nbd_unqueue(c);
				c->wait = NBD_WAIT_NOT;
			}
			return;
		}
		c->stuck_ns = 0;
		advance(c, (size_t)n);
	}
	if (c->state == NBD_QUIT && !c->inflight)
		nbd_conn_kill(c);
}

/* ---- requests -------------------------------------------------------------------- */

struct request {
	uint16_t flags, command;
	uint64_t cookie, offset;
	uint32_t len;
};

/* What is wrong with it by the rules of the protocol, before the disk is asked. */
static uint32_t check(const struct nbd_conn *c, const struct request *r)
{
	const struct nbd_server *srv = c->srv;
	const struct disk *d = &srv->disk;
	uint16_t allowed = srv->flags & NBD_FLAG_SEND_FUA ? NBD_CMD_FLAG_FUA : 0;
	uint16_t needs = 0;
	bool writes = true;

	switch (r->command) {
	case NBD_CMD_READ:
		writes = false;
		if (c->structured)
			allowed |= NBD_CMD_FLAG_DF;
		break;
	case NBD_CMD_WRITE:
		break;
	case NBD_CMD_FLUSH:
		/* A flush of a disk that is never written has nothing to do: clients do send it. */
		needs = d->blk->limits.read_only ? 0 : NBD_FLAG_SEND_FLUSH;
		if (r->offset || r->len)
			return NBD_EINVAL;
		writes = false;
		break;
	case NBD_CMD_TRIM:
		needs = NBD_FLAG_SEND_TRIM;
		break;
	case NBD_CMD_WRITE_ZEROES:
		needs = NBD_FLAG_SEND_WRITE_ZEROES;
		allowed |= NBD_CMD_FLAG_NO_HOLE;
		break;
	default:
		return NBD_EINVAL;
	}
	if (r->flags & ~allowed)
		return NBD_EINVAL;
	if (writes && (srv->flags & NBD_FLAG_READ_ONLY))
		return NBD_EPERM;
	if ((srv->flags & needs) != needs)
		return NBD_EINVAL;
	if (srv->shutting_down)
		return NBD_ESHUTDOWN;
	if (!disk_in_range(d, r->offset, r->len))
		return r->command == NBD_CMD_WRITE || r->command == NBD_CMD_WRITE_ZEROES
			       ? NBD_ENOSPC
			       : NBD_EINVAL;
	/* The client was told the block size; this answer is what the protocol has for the rest. */
	if (!disk_aligned(d, r->offset) || !disk_aligned(d, r->len))
		return NBD_EINVAL;
	if (r->command <= NBD_CMD_WRITE && r->len > srv->max_payload)
		return NBD_EINVAL;
	return 0;
}

static void start(struct nbd_conn *c, struct nbd_tag *t)
{
	disk_start(&c->srv->disk, &t->rq);
}

static uint8_t block_op(uint16_t command)
{
	switch (command) {
	case NBD_CMD_READ:
		return OB_BLOCK_READ;
	case NBD_CMD_WRITE:
		return OB_BLOCK_WRITE;
	case NBD_CMD_TRIM:
		return OB_BLOCK_DISCARD;
	case NBD_CMD_WRITE_ZEROES:
		return OB_BLOCK_WRITE_ZEROES;
	default:
		return OB_BLOCK_FLUSH;
	}
}

/* A request that is refused still gets its reply in turn, and its payload is still on the way. */
static void refuse(struct nbd_conn *c, struct nbd_tag *t, const struct request *r, uint32_t error)
{
	t->len = 0;
	if (r->command == NBD_CMD_WRITE && r->len) {
		c->filling = t;
		c->skip = r->len;
		c->skip_error = error;
		c->state = NBD_PAYLOAD_SKIP;
		return;
	}
	answer(t, error);
}

/* Return: bytes that are lacking, or 0. */
static unsigned int step_request(struct nbd_conn *c)
{
	const char *p = c->in + c->in_pos;
	struct request r;
	struct nbd_tag *t;
	uint32_t error;

	if (c->in_have - c->in_pos < NBD_REQUEST_SIZE)
		return NBD_REQUEST_SIZE;
	r.flags = nbd_get16(p + 4);
	r.command = nbd_get16(p + 6);
	r.cookie = nbd_get64(p + 8);
	r.offset = nbd_get64(p + 16);
	r.len = nbd_get32(p + 24);
	/* Without the magic nobody knows where the next request begins. */
	if (nbd_get32(p) != NBD_REQUEST_MAGIC ||
	    (r.command == NBD_CMD_WRITE && r.len > NBD_PAYLOAD_SKIP_MAX)) {
		nbd_conn_kill(c);
		return 0;
	}
	if (r.command == NBD_CMD_DISC) {
		c->state = NBD_QUIT;
		return 0;
	}
	error = check(c, &r);
	t = tag_get(c, !error && r.command <= NBD_CMD_WRITE ? r.len : 0);
	if (!t)
		return 0; /* the header stays in the buffer until there is one */
	c->in_pos += NBD_REQUEST_SIZE;
	c->run_of_reads = r.command == NBD_CMD_WRITE ? 0 : c->run_of_reads + 1;
	t->command = r.command;
	t->cookie = r.cookie;
	t->len = r.command <= NBD_CMD_WRITE ? r.len : 0;
	t->rq.op = block_op(r.command);
	t->rq.offset = r.offset;
	t->rq.len = r.len;
	t->rq.flags = 0;
	if ((r.flags & NBD_CMD_FLAG_FUA) && r.command != NBD_CMD_READ)
		t->rq.flags |= OB_BLOCK_FUA;
	if (r.command == NBD_CMD_WRITE_ZEROES && !(r.flags & NBD_CMD_FLAG_NO_HOLE))
		t->rq.flags |= OB_BLOCK_MAY_UNMAP;
	if (error) {
		refuse(c, t, &r, error);
	} else if (r.command == NBD_CMD_WRITE && r.len) {
		c->filling = t;
		c->filled = 0;
		c->state = NBD_PAYLOAD;
	} else {
		start(c, t);
	}
	return 0;
}

static void payload_complete(struct nbd_conn *c)
{
	struct nbd_tag *t = c->filling;

	c->filling = NULL;
	c->state = NBD_REQUEST;
	disk_count(&c->srv->disk.stats.kernel_copies, 1);
	start(c, t);
}

/* What was read together with the header; rare, see READ_AHEAD. */
static unsigned int step_payload(struct nbd_conn *c)
{
	struct nbd_tag *t = c->filling;
	unsigned int have = c->in_have - c->in_pos;

	if (have > t->len - c->filled)
		have = t->len - c->filled; /* what is behind it is the next header */
	if (have) {
		memcpy(t->rq.buf + c->filled, c->in + c->in_pos, have);
		disk_count(&c->srv->disk.stats.own_copies, 1);
		c->in_pos += have;
		c->filled += have;
	}
	if (c->filled < t->len)
		return t->len - c->filled;
	payload_complete(c);
	return 0;
}

static unsigned int step_payload_skip(struct nbd_conn *c)
{
	struct nbd_tag *t = c->filling;

	if (!nbd_skipped(c))
		return 1;
	c->filling = NULL;
	c->state = NBD_REQUEST;
	answer(t, c->skip_error);
	return 0;
}

/* ---- input ----------------------------------------------------------------------- */

bool nbd_wants_input(const struct nbd_conn *c)
{
	switch (c->state) {
	case NBD_CLIENT_FLAGS:
	case NBD_OPTION:
	case NBD_OPTION_SKIP:
		return sizeof(c->out) - c->out_have >= NBD_OUT_RESERVE;
	case NBD_REQUEST:
		/* A client that takes no replies is not given more to reply to. */
		return c->wait == NBD_WAIT_NOT && !c->stuck_ns;
	case NBD_PAYLOAD:
	case NBD_PAYLOAD_SKIP:
		return true;
	case NBD_QUIT:
	case NBD_DEAD:
		break;
	}
	return false;
}

static unsigned int step(struct nbd_conn *c)
{
	switch (c->state) {
	case NBD_REQUEST:
		return step_request(c);
	case NBD_PAYLOAD:
		return step_payload(c);
	case NBD_PAYLOAD_SKIP:
		return step_payload_skip(c);
	default:
		return nbd_negotiate(c);
	}
}

/* How many bytes the buffer of the headers shall hold. */
static unsigned int window(const struct nbd_conn *c, unsigned int need)
{
	unsigned int size;

	switch (c->state) {
	case NBD_REQUEST:
		if (c->run_of_reads < READ_AHEAD_AFTER)
			return need;
		size = READ_AHEAD * NBD_REQUEST_SIZE;
		return size > need ? size : need;
	case NBD_PAYLOAD:
		/* Behind the payload comes a header. */
		return NBD_REQUEST_SIZE;
	case NBD_PAYLOAD_SKIP:
		return c->skip < sizeof(c->in) ? (unsigned int)c->skip : sizeof(c->in);
	default:
		/* What follows an option waits for its reply, so this takes nothing that is to come. */
		return sizeof(c->in);
	}
}

/* Returns true when something came. */
static bool receive(struct nbd_conn *c, unsigned int need)
{
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	struct nbd_tag *t = c->state == NBD_PAYLOAD ? c->filling : NULL;
	size_t asked = 0;
	ssize_t n;

	if (!c->ready)
		return false;
	if (c->in_pos) {
		c->in_have -= c->in_pos;
		memmove(c->in, c->in + c->in_pos, c->in_have);
		c->in_pos = 0;
	}
	if (t) {
		iov[msg.msg_iovlen].iov_base = t->rq.buf + c->filled;
		iov[msg.msg_iovlen++].iov_len = t->len - c->filled;
		asked = t->len - c->filled;
	}
	iov[msg.msg_iovlen].iov_base = c->in + c->in_have;
	iov[msg.msg_iovlen].iov_len = window(c, need) - c->in_have;
	asked += iov[msg.msg_iovlen++].iov_len;
	do {
		n = recvmsg(c->fd, &msg, MSG_DONTWAIT);
		disk_count(&c->srv->disk.stats.syscalls, 1);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		c->ready = false;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		/*
		 * Its end: between two requests the client may still want its replies. In the middle of
		 * something there is nothing sensible to come.
		 */
		if (n == 0 && c->state == NBD_REQUEST && c->in_have == 0)
			c->state = NBD_QUIT;
		else
			nbd_conn_kill(c);
		return false;
	}
	/* Less than asked for: the socket is empty, epoll tells when it is not. */
	if ((size_t)n < asked)
		c->ready = false;
	if (t) {
		size_t now = t->len - c->filled;

		if (now > (size_t)n)
			now = (size_t)n;
		c->filled += (uint32_t)now;
		n -= (ssize_t)now;
	}
	c->in_have += (unsigned int)n;
	return true;
}

unsigned int nbd_input(struct nbd_conn *c, unsigned int budget)
{
	unsigned int done = 0;

	while (done < budget && nbd_wants_input(c)) {
		unsigned int need = step(c);

		if (need && !receive(c, need))
			break;
		done++;
	}
	return done;
}
