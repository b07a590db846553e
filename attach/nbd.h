/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NBD server's own structs: one server per disk, several connections, each a state machine that never
 * blocks. nbd.c opens and closes, nbd_negotiate.c speaks the options, nbd_transmit.c moves the data.
 */
#ifndef ATTACH_NBD_H
#define ATTACH_NBD_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "attach/disk.h"
#include "attach/holders.h"
#include "attach/kept.h"
#include "attach/nbd_protocol.h"

enum {
	/* Option data that is looked at: a longest name, and room for as many information requests. */
	NBD_OPTION_MAX = 2 * NBD_NAME_MAX,
	/* Longer option data, or a longer payload, is a broken or hostile client: it is disconnected. */
	NBD_OPTION_SKIP_MAX = 1 << 20,
	NBD_PAYLOAD_SKIP_MAX = 64 << 20,

	NBD_IN_SIZE = NBD_OPTION_SIZE + NBD_OPTION_MAX,
	/* Replies to options that wait for the socket; a client that does not take them is not read. */
	NBD_OUT_SIZE = 4096,
	NBD_OUT_RESERVE = 1024, /* more than the replies to any one option */

	NBD_CONNECTIONS_DEFAULT = 16,
	NBD_CONNECTIONS_MAX = 64,
	NBD_DEPTH_MAX = 1024,
};

struct nbd_conn;

/*
 * A request, from its header to the last byte of its reply.
 * @len: of the payload that the client sends or gets
 * @head: the reply without its payload
 * @payload: bytes of @rq.buf that follow it
 */
struct nbd_tag {
	struct disk_request rq; /* first: the disk layer hands it back */
	struct nbd_conn *conn;
	struct nbd_tag *link;
	uint64_t cookie;
	uint16_t command;
	uint32_t len;
	uint32_t payload;
	uint32_t head_len;
	char head[NBD_CHUNK_SIZE + 8];
};

enum nbd_state {
	NBD_CLIENT_FLAGS, /* hello is sent, flags are awaited */
	NBD_OPTION,	  /* an option with its data */
	NBD_OPTION_SKIP,  /* data too long to look at */
	NBD_REQUEST,	  /* a request's header */
	NBD_PAYLOAD,	  /* into payload memory */
	NBD_PAYLOAD_SKIP, /* of a request that is refused */
	NBD_QUIT,	  /* no more input; ends when the last reply is out */
	NBD_DEAD, /* its socket is closed; freed when the device has let go of its requests */
};

enum nbd_wait {
	NBD_WAIT_NOT,
	NBD_WAIT_SHARE, /* for its own requests to end: it has its share */
	NBD_WAIT_POOL,	/* for its turn in the queue for tags and payload memory */
};

struct nbd_conn {
	struct nbd_server *srv;
	struct nbd_conn *wait_link;
	int fd;
	enum nbd_state state;
	enum nbd_wait wait;
	bool in_queue; /* of those that wait for tags or payload memory */
	bool no_zeroes, structured;
	bool ready;	   /* there may be input, in the buffer or in the socket */
	bool noisy;	   /* epoll reported input that is not wanted now */
	uint32_t events;   /* what epoll watches */
	uint64_t since_ns; /* when it was accepted */
	uint64_t stuck_ns; /* since when its client takes no replies, or 0 */

	unsigned int inflight; /* tags it holds */
	unsigned int pages;    /* payload memory it holds */

	unsigned int in_pos, in_have;
	unsigned int run_of_reads;
	uint64_t skip;
	uint32_t skip_error;
	struct nbd_tag *filling;
	uint32_t filled;

	uint32_t option;
	unsigned int out_pos, out_have;
	struct nbd_tag *send_first, *send_last;
	size_t sent; /* of the first */

	char in[NBD_IN_SIZE];
	char out[NBD_OUT_SIZE];
};

/* What the loop's thread is asked to do. */
enum nbd_order {
	NBD_ORDER_NONE,
	NBD_ORDER_SERVE,
	NBD_ORDER_CLOSE_IF_IDLE,
	NBD_ORDER_CLOSE,
};

struct nbd_server {
	struct ob_attach at; /* first */
	struct disk disk;
	char export_[256];
	char description[128];
	char uri[512];
	uint16_t flags; /* transmission flags */
	uint32_t max_payload;

	/* how clients come */
	int listen_fd;
	int ready[NBD_CONNECTIONS_MAX]; /* connected sockets, until the loop has taken them */
	unsigned int nr_ready;
	bool negotiated; /* their clients know all about the export already */
	uint16_t port;
	struct sockaddr_un path;
	struct nbd_file {
		dev_t dev;
		ino_t ino;
	} file; /* the path's */
	bool inherited, path_bound, any_user;
	bool kept;	    /* an earlier driver process listened on it */
	char key[KEPT_KEY]; /* of the listening socket, for the keeper */
	unsigned int max_conns;

	/* the loop's thread */
	int epoll_fd;
	struct nbd_conn *conn[NBD_CONNECTIONS_MAX];
	unsigned int nr_conns, nr_dead;
	bool serving;	/* published */
	bool accepting; /* epoll watches the listening socket */
	bool full;	/* there was no descriptor for the last that came, and it was said */
	uint64_t full_until_ns; /* not tried again before, unless one leaves; 0: tried */
	bool shutting_down;
	bool order_open; /* somebody waits for the last connection to end */
	uint64_t shutdown_ns;
	unsigned int rounds_to_look; /* at the sockets */
	unsigned int looks_at_once;
	struct nbd_tag *tags, *free;
	unsigned int nr_free;
	struct nbd_conn *wait_first, *wait_last;

	/* orders from the thread that publishes and unpublishes */
	int order_fd;
	_Atomic int order;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool order_done;
	int order_result;
	struct ob_error order_error;
};

/* ---- nbd.c ----------------------------------------------------------------------- */

/*
 * A server without sockets: @srv is zeroed memory that begins an attachment's struct. What @srv has of ready
 * sockets is closed by nbd_server_close(), or when this fails.
 */
int nbd_server_open(struct nbd_server *srv, struct ob_block *blk, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_error *err);
/* Serve the ready sockets, and who connects, from now on. From another thread than the loop's. */
void nbd_server_serve(struct nbd_server *srv);
/* The same of what is ready by now, in the loop's thread. */
void nbd_server_take_ready(struct nbd_server *srv);
/* No client any more; -EBUSY when there is one, unless @force. From another thread than the loop's. */
int nbd_server_shut_down(struct nbd_server *srv, bool force, struct ob_error *err);
/* The loop has ended. */
void nbd_server_close(struct nbd_server *srv);

/* Clients come by a path, not a port. */
bool nbd_is_path(const struct nbd_server *srv);

/*
 * The connection ends at once; what its client still had under way is dropped. The struct stays until
 * the end of the round, and until the device has let go of its requests.
 */
void nbd_conn_kill(struct nbd_conn *c);
uint64_t nbd_now(void);

/* ---- nbd_listen.c ---------------------------------------------------------------- */

/* Bind and listen, to the path or the port. */
int nbd_listen(struct nbd_server *srv, struct ob_error *err);
/* The path goes, when it is still ours. */
void nbd_remove_path(struct nbd_server *srv);
/* Whose the other end of a loopback connection is. */
int nbd_tcp_peer(int fd, struct holder_socket *peer);

/* ---- nbd_negotiate.c ------------------------------------------------------------- */

void nbd_hello(struct nbd_conn *c);
/*
 * One step with what is in c->in.
 *
 * Return: bytes it lacks for the next step, or 0 after a step; the state tells what became of it.
 */
unsigned int nbd_negotiate(struct nbd_conn *c);

/* ---- nbd_transmit.c -------------------------------------------------------------- */

uint16_t nbd_transmission_flags(const struct disk *d);
/* Take input until there is no more, or what it needs is not to be had. Returns requests taken. */
unsigned int nbd_input(struct nbd_conn *c, unsigned int budget);
/* Send what is to be sent, as far as the socket takes it. */
void nbd_output(struct nbd_conn *c);
/* Would it take input now? */
bool nbd_wants_input(const struct nbd_conn *c);
/* A request has ended at the device (disk_ops.done). */
void nbd_done(void *front, struct disk_request *rq);
/* Give a tag and its memory back; connections that wait for them look again. */
void nbd_tag_put(struct nbd_server *srv, struct nbd_tag *t);
/* Leave the queue for tags and payload memory. */
void nbd_unqueue(struct nbd_conn *c);

/* Drop what has come of that which nobody wants; true when all of it has. */
static inline bool nbd_skipped(struct nbd_conn *c)
{
	unsigned int have = c->in_have - c->in_pos;

	if (have > c->skip)
		have = (unsigned int)c->skip;
	c->in_pos += have;
	c->skip -= have;
	return !c->skip;
}

static inline bool nbd_transmitting(const struct nbd_conn *c)
{
	return c->state >= NBD_REQUEST && c->state <= NBD_QUIT;
}

#endif
