/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files of a character device's node, by libfuse's cuse_lowlevel. See cuse_node.h and docs/cuse.md. Messages
 * are read here, because the loop waits for them; libfuse parses them and answers.
 */
#define FUSE_USE_VERSION 312

#include <cuse_lowlevel.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/cuse_node.h"

enum {
	MAX_READ = 65536,
	/* A message: header, struct fuse_write_in, and the longest write. */
	RX_SIZE = CUSE_WRITE_MAX + 4096,
};

/**
 * struct parked - a read that waits for the device
 * @req: NULL when there is none
 * @unique: the kernel's number of it, by which it is interrupted
 */
struct parked {
	fuse_req_t req;
	uint64_t unique;
	size_t size;
};

/**
 * struct cuse_file - one open file
 * @asked: it has written, so it reads the replies to its own writes alone
 * @seen: the latest of all replies that it has begun to read
 * @reply: what it has not read is from @at to @len
 * @poll: who waits for a change, or NULL
 * @off: for a device without lines: where the next read or write goes
 * @parked: of such a device that has nothing to read at the moment
 */
struct cuse_file {
	bool asked;
	uint64_t seen;
	char reply[CUSE_REPLY_MAX];
	unsigned int at, len;
	struct fuse_pollhandle *poll;
	uint64_t off;
	struct parked parked;
};

static struct cuse_node *node_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void reply_error(fuse_req_t req, int error)
{
	struct cuse_node *n = node_of(req);

	n->stats.syscalls++;
	if (error)
		n->stats.errors++;
	fuse_reply_err(req, error);
}

/* The open file that a message is about; NULL, and it is answered, for one that there is not. */
static struct cuse_file *file_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct cuse_node *n = node_of(req);
	struct cuse_file *f = fi->fh < CUSE_FILES_MAX ? n->file[fi->fh] : NULL;

	if (!f)
		reply_error(req, EBADF);
	return f;
}

static bool gone(const struct cuse_node *n)
{
	return ob_device_gone(n->chr->dev);
}

/* Is there something to read? */
static bool readable(const struct cuse_node *n, const struct cuse_file *f)
{
	const struct ob_char_ops *ops = n->chr->ops;

	if (!ops->answer)
		return !ops->waiting || ops->waiting(n->chr);
	return f->at < f->len || (!f->asked && f->seen != n->generation);
}

static void forget_poll(struct cuse_file *f)
{
	if (f->poll)
		fuse_pollhandle_destroy(f->poll);
	f->poll = NULL;
}

/* Wake who polls a file that has become readable, or all when the device has gone. */
static void wake_pollers(struct cuse_node *n, bool all)
{
	for (unsigned int i = 0, left = n->nr_files; left && i < CUSE_FILES_MAX; i++) {
		struct cuse_file *f = n->file[i];

		if (!f)
			continue;
		left--;
		if (!f->poll || !(all || readable(n, f)))
			continue;
		n->stats.syscalls++;
		fuse_lowlevel_notify_poll(f->poll);
		forget_poll(f);
	}
}

/* ---- lines and their replies ------------------------------------------------------------- */

/* One line; its reply is added to the file's. 0, or a negative errno value. */
static int answer_line(struct cuse_node *n, struct cuse_file *f, const char *text, size_t len)
{
	char line[CUSE_LINE_MAX];
	long got;

	while (len && (text[len - 1] == '\r' || text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (!len)
		return 0;
	if (len >= sizeof(line) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(line, text, len);
	line[len] = '\0';
	got = n->chr->ops->answer(n->chr, line, f->reply + f->len, CUSE_REPLY_MAX - f->len);
	if (got < 0)
		return (int)got;
	if ((unsigned long)got > CUSE_REPLY_MAX - f->len)
		return -EOVERFLOW;
	f->len += (unsigned int)got;
	return 0;
}

/* Lines, each a question to the device. What was not read of earlier replies is forgotten. */
static void write_lines(fuse_req_t req, struct cuse_file *f, const char *buf, size_t size)
{
	struct cuse_node *n = node_of(req);
	size_t done = 0;
	int ret = 0;

	f->asked = true;
	f->at = f->len = 0;
	while (done < size) {
		const char *end = memchr(buf + done, '\n', size - done);
		size_t len = end ? (size_t)(end - buf) - done : size - done;

		ret = answer_line(n, f, buf + done, len);
		if (ret)
			break;
		done += len + (end ? 1 : 0);
	}
	if (f->len) {
		memcpy(n->reply, f->reply, f->len);
		n->reply_len = f->len;
		f->seen = ++n->generation;
		wake_pollers(n, false);
	}
	/* As far as it went: the client writes the rest again, and is told then what is wrong with it. */
	if (ret && !done) {
		reply_error(req, -ret);
		return;
	}
	n->stats.requests_in++;
	n->stats.bytes_in += done;
	n->stats.kernel_copies++;
	n->stats.syscalls++;
	fuse_reply_write(req, done);
}

static void read_reply(fuse_req_t req, struct cuse_file *f, size_t size)
{
	struct cuse_node *n = node_of(req);
	size_t left;

	if (f->at == f->len && readable(n, f)) {
		memcpy(f->reply, n->reply, n->reply_len);
		f->at = 0;
		f->len = n->reply_len;
		f->seen = n->generation;
	}
	left = f->len - f->at;
	if (left > size)
		left = size;
	n->stats.requests_out++;
	n->stats.bytes_out += left;
	n->stats.kernel_copies++;
	n->stats.syscalls++;
	fuse_reply_buf(req, f->reply + f->at, left);
	f->at += (unsigned int)left;
}

/* ---- bytes of a device that has no lines ------------------------------------------------------ */

/* Return: false when the device has nothing yet, and the request no answer. */
static bool try_read(fuse_req_t req, struct cuse_file *f, size_t size)
{
	struct cuse_node *n = node_of(req);
	char *buf;
	long got;

	/* Longer ones are short reads. */
	if (size > MAX_READ)
		size = MAX_READ;
	buf = malloc(size ? size : 1);

	if (!buf) {
		reply_error(req, ENOMEM);
		return true;
	}
	got = n->chr->ops->read(n->chr, buf, size, f->off);
	if (got == -EAGAIN && n->chr->ops->waiting) {
		free(buf);
		return false;
	}
	if (got < 0 || (size_t)got > size) {
		reply_error(req, got < 0 ? (int)-got : EIO);
	} else {
		f->off += (uint64_t)got;
		n->stats.requests_out++;
		n->stats.bytes_out += (uint64_t)got;
		n->stats.syscalls++;
		fuse_reply_buf(req, buf, (size_t)got);
	}
	free(buf);
	return true;
}

/* The request of a read that waits, which has its answer now. */
static fuse_req_t unpark(struct cuse_node *n, struct cuse_file *f)
{
	fuse_req_t req = f->parked.req;

	f->parked.req = NULL;
	n->nr_parked--;
	return req;
}

/* One read of each open file may wait. The kernel asks for another only where threads share the file. */
static void read_bytes(fuse_req_t req, struct cuse_file *f, size_t size,
		       const struct fuse_file_info *fi)
{
	struct cuse_node *n = node_of(req);
	const struct fuse_in_header *h = n->rx;

	if (!f->parked.req && try_read(req, f, size))
		return;
	if (f->parked.req || fi->flags & O_NONBLOCK) {
		reply_error(req, EAGAIN);
		return;
	}
	f->parked = (struct parked){.req = req, .unique = h->unique, .size = size};
	n->nr_parked++;
}

/* Reads that wait, when the device has something to read, or is gone, or @unique was interrupted. */
static void serve_parked(struct cuse_node *n, uint64_t unique)
{
	for (unsigned int i = 0; n->nr_parked && i < CUSE_FILES_MAX; i++) {
		struct cuse_file *f = n->file[i];

		if (!f || !f->parked.req)
			continue;
		if (gone(n))
			reply_error(unpark(n, f), ENODEV);
		else if (f->parked.unique == unique)
			reply_error(unpark(n, f), EINTR);
		else if (!unique && try_read(f->parked.req, f, f->parked.size))
			unpark(n, f);
	}
}

static void write_bytes(fuse_req_t req, struct cuse_file *f, const char *buf, size_t size)
{
	struct cuse_node *n = node_of(req);
	long put = n->chr->ops->write(n->chr, buf, size, f->off);

	if (put < 0 || (size_t)put > size) {
		reply_error(req, put < 0 ? (int)-put : EIO);
		return;
	}
	f->off += (uint64_t)put;
	n->stats.requests_in++;
	n->stats.bytes_in += (uint64_t)put;
	n->stats.syscalls++;
	fuse_reply_write(req, (size_t)put);
}

/* ---- operations --------------------------------------------------------------------------------- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = CUSE_WRITE_MAX;
}

static void op_init_done(void *userdata)
{
	struct cuse_node *n = userdata;

	atomic_store(&n->ready, true);
}

static void op_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct cuse_node *n = node_of(req);
	struct cuse_file *f;
	unsigned int i = 0;
	int ret = 0;

	if (gone(n)) {
		reply_error(req, ENODEV);
		return;
	}
	if (n->nr_files == CUSE_FILES_MAX) {
		reply_error(req, ENFILE);
		return;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		ret = -ENOMEM;
	else if (n->chr->ops->open)
		ret = n->chr->ops->open(n->chr);
	if (ret) {
		free(f);
		reply_error(req, -ret);
		return;
	}
	while (n->file[i])
		i++;
	n->file[i] = f;
	n->nr_files++;
	fi->fh = i;
	fi->direct_io = 1;
	fi->nonseekable = 1;
	atomic_store(&n->opened, n->nr_files);
	atomic_store(&n->last_pid, fuse_req_ctx(req)->pid);
	n->stats.syscalls++;
	fuse_reply_open(req, fi);
}

static void end_file(struct cuse_node *n, struct cuse_file *f)
{
	if (f->parked.req)
		reply_error(unpark(n, f), ENODEV);
	forget_poll(f);
	free(f);
	if (n->chr->ops->close)
		n->chr->ops->close(n->chr);
}

static void op_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct cuse_node *n = node_of(req);
	struct cuse_file *f = file_of(req, fi); /* without one the request is gone */

	if (!f)
		return;
	n->file[fi->fh] = NULL;
	end_file(n, f);
	atomic_store(&n->opened, --n->nr_files);
	reply_error(req, 0);
}

/* The file, when its device is still there; else the request has its answer. */
static struct cuse_file *file_at_work(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct cuse_file *f = file_of(req, fi);

	if (!f || !gone(node_of(req)))
		return f;
	reply_error(req, ENODEV);
	return NULL;
}

static void op_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct ob_char_ops *ops = node_of(req)->chr->ops;
	struct cuse_file *f = file_at_work(req, fi);

	if (!f)
		return;
	if (ops->answer)
		read_reply(req, f, size);
	else if (ops->read)
		read_bytes(req, f, size, fi);
	else
		reply_error(req, EOPNOTSUPP);
}

static void op_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	const struct ob_char_ops *ops = node_of(req)->chr->ops;
	struct cuse_file *f = file_at_work(req, fi);

	if (!f)
		return;
	if (ops->answer)
		write_lines(req, f, buf, size);
	else if (ops->write)
		write_bytes(req, f, buf, size);
	else
		reply_error(req, EOPNOTSUPP);
}

static void op_flush(fuse_req_t req, struct fuse_file_info *fi)
{
	reply_error(req, 0);
}

static void op_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi)
{
	reply_error(req, 0);
}

/*
 * A command whose number says what is copied, as the kernel has done it: there is no other memory of the client's to be
 * had. The largest is 16 KiB less one byte (_IOC_SIZEBITS).
 */
static void run_command(fuse_req_t req, unsigned int command, const void *in_buf, size_t in_bufsz,
			size_t out_bufsz)
{
	size_t size = _IOC_SIZE(command), out = _IOC_DIR(command) & _IOC_READ ? size : 0;
	_Alignas(16) char buf[1 << _IOC_SIZEBITS] = {0};
	struct cuse_node *n = node_of(req);
	long ret;

	if (!n->chr->ops->command || in_bufsz > size || out_bufsz < out ||
	    (_IOC_DIR(command) & _IOC_WRITE && in_bufsz != size)) {
		reply_error(req, ENOTTY);
		return;
	}
	if (in_bufsz)
		memcpy(buf, in_buf, in_bufsz);
	ret = n->chr->ops->command(n->chr, command, buf);
	if (ret < 0) {
		reply_error(req, (int)-ret);
		return;
	}
	n->stats.syscalls++;
	fuse_reply_ioctl(req, (int)ret, buf, out);
}

/* A number in, a number out (OB_CHAR_IOCTL()); the kernel has copied it, as the command says it may. */
static void op_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		     unsigned int flags, const void *in_buf, size_t in_bufsz, size_t out_bufsz)
{
	unsigned int command = (unsigned int)cmd, nr = _IOC_NR(command);
	struct cuse_node *n = node_of(req);
	uint64_t val;
	int ret;

	if (gone(n)) {
		reply_error(req, ENODEV);
		return;
	}
	if (command != OB_CHAR_IOCTL(nr)) {
		run_command(req, command, in_buf, in_bufsz, out_bufsz);
		return;
	}
	if (!n->chr->ops->ioctl || in_bufsz < sizeof(val) || out_bufsz < sizeof(val)) {
		reply_error(req, ENOTTY);
		return;
	}
	memcpy(&val, in_buf, sizeof(val));
	ret = n->chr->ops->ioctl(n->chr, nr, &val);
	if (ret < 0) {
		reply_error(req, -ret);
		return;
	}
	n->stats.syscalls++;
	fuse_reply_ioctl(req, ret, &val, sizeof(val));
}

static void op_poll(fuse_req_t req, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct cuse_node *n = node_of(req);
	struct cuse_file *f = file_of(req, fi); /* without one the request is gone */
	unsigned int events = POLLOUT | POLLWRNORM;

	if (!f) {
		if (ph)
			fuse_pollhandle_destroy(ph);
		return;
	}
	if (ph) {
		forget_poll(f);
		f->poll = ph;
	}
	if (readable(n, f))
		events |= POLLIN | POLLRDNORM;
	if (gone(n))
		events = POLLERR | POLLHUP;
	n->stats.syscalls++;
	fuse_reply_poll(req, events);
}

static const struct cuse_lowlevel_ops operations = {
	.init = op_init,
	.init_done = op_init_done,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.ioctl = op_ioctl,
	.poll = op_poll,
};

/* ---- the session ------------------------------------------------------------------------------------ */

int cuse_node_open(struct cuse_node *n, struct ob_char *chr, const char *name, int fd,
		   const void *init, size_t size, struct ob_error *err)
{
	struct fuse_buf first = {.size = size};
	char dev[sizeof(n->name) + 16], path[32], program[] = "outboard";
	const char *info[] = {dev};
	char *argv[] = {program, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	const struct cuse_info ci = {.dev_info_argc = 1, .dev_info_argv = info};
	int ret = -ENOMEM;

	memset(n, 0, sizeof(*n));
	n->chr = chr;
	n->fd = -1;
	snprintf(n->name, sizeof(n->name), "%s", name);
	snprintf(dev, sizeof(dev), "DEVNAME=%s", n->name);
	n->rx = malloc(RX_SIZE);
	n->session = n->rx ? cuse_lowlevel_new(&args, &ci, &operations, n) : NULL;
	fuse_opt_free_args(&args);
	if (!n->session)
		goto fail;
	/* libfuse takes a descriptor that somebody else opened in place of a directory (fuse3, 3.3). */
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	ret = -EIO;
	if (fuse_session_mount(n->session, path))
		goto fail;
	/* It has been answered; libfuse is to know it, and answers again, which the kernel takes for one too late. */
	memcpy(n->rx, init, size);
	first.mem = n->rx;
	fuse_session_process_buf(n->session, &first);
	if (!atomic_load(&n->ready))
		goto fail;
	n->fd = fd;
	return 0;

fail:
	close(fd);
	if (n->session)
		fuse_session_destroy(n->session);
	n->session = NULL;
	free(n->rx);
	n->rx = NULL;
	return ob_error_set(err, ret, "cuse: no session for /dev/%s: %s", name, strerror(-ret));
}

void cuse_node_close(struct cuse_node *n)
{
	if (!n->session)
		return;
	for (unsigned int i = 0; i < CUSE_FILES_MAX; i++) {
		if (!n->file[i])
			continue;
		end_file(n, n->file[i]);
		n->file[i] = NULL;
	}
	n->nr_files = 0;
	atomic_store(&n->opened, 0);
	fuse_session_destroy(n->session); /* closes the descriptor */
	n->session = NULL;
	n->fd = -1;
	free(n->rx);
	n->rx = NULL;
	atomic_store(&n->ended, true);
}

enum sense {
	MAKES_SENSE,
	MAKES_NONE,
	IS_UNKNOWN,
	IS_INTERRUPT,
};

/*
 * What libfuse takes the kernel's word for: that a message is as long as it says, and as what is in it needs. Bodies
 * that are too short would be read on in what an earlier message has left. And of what CUSE never sends, libfuse knows
 * more than it checks.
 */
static enum sense look_at(const void *message, size_t len)
{
	static const struct {
		uint32_t opcode;
		size_t body;
	} known[] = {
		{CUSE_INIT, sizeof(struct cuse_init_in)},
		{FUSE_OPEN, sizeof(struct fuse_open_in)},
		{FUSE_READ, sizeof(struct fuse_read_in)},
		{FUSE_WRITE, sizeof(struct fuse_write_in)},
		{FUSE_RELEASE, sizeof(struct fuse_release_in)},
		{FUSE_FLUSH, sizeof(struct fuse_flush_in)},
		{FUSE_FSYNC, sizeof(struct fuse_fsync_in)},
		{FUSE_IOCTL, sizeof(struct fuse_ioctl_in)},
		{FUSE_POLL, sizeof(struct fuse_poll_in)},
	};
	const struct fuse_in_header *h = message;
	const void *body = h + 1;
	size_t i = 0;

	if (len < sizeof(*h) || h->len != len)
		return MAKES_NONE;
	if (h->opcode == FUSE_INTERRUPT)
		return len < sizeof(*h) + sizeof(struct fuse_interrupt_in) ? MAKES_NONE
									   : IS_INTERRUPT;
	len -= sizeof(*h);
	while (i < sizeof(known) / sizeof(known[0]) && h->opcode != known[i].opcode)
		i++;
	if (i == sizeof(known) / sizeof(known[0]))
		return IS_UNKNOWN;
	if (len < known[i].body)
		return MAKES_NONE;
	len -= known[i].body;
	if (h->opcode == FUSE_WRITE && ((const struct fuse_write_in *)body)->size != len)
		return MAKES_NONE;
	if (h->opcode == FUSE_IOCTL && ((const struct fuse_ioctl_in *)body)->in_size != len)
		return MAKES_NONE;
	return MAKES_SENSE;
}

static void refuse(struct cuse_node *n)
{
	const struct fuse_in_header *h = n->rx;
	struct fuse_out_header out = {.len = sizeof(out), .error = -ENOSYS, .unique = h->unique};

	n->stats.syscalls++;
	if (write(n->fd, &out, sizeof(out)) < 0)
		n->stats.errors++;
}

/* All but reads that wait have been answered before this was read. */
static void interrupted(struct cuse_node *n)
{
	const struct fuse_interrupt_in *in =
		(const void *)((const struct fuse_in_header *)n->rx + 1);

	if (in->unique)
		serve_parked(n, in->unique);
}

unsigned int cuse_node_serve(struct cuse_node *n, unsigned int budget)
{
	unsigned int work = 0;

	if (ob_unlikely(n->chr->ops->waiting && n->chr->ops->waiting(n->chr))) {
		serve_parked(n, 0);
		wake_pollers(n, false);
	}

	while (n->session && !atomic_load_explicit(&n->ended, memory_order_relaxed) &&
	       work < budget) {
		struct fuse_buf buf = {.mem = n->rx};
		ssize_t got = read(n->fd, n->rx, RX_SIZE);

		n->stats.syscalls++;
		if (got < 0 && (errno == EINTR || errno == ENOENT))
			continue; /* ENOENT: the request was interrupted before it was read */
		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			/* ENODEV: the kernel has ended it, or refused the node. */
			atomic_store(&n->ended, true);
			break;
		}
		buf.size = (size_t)got;
		work++;
		switch (look_at(n->rx, buf.size)) {
		case MAKES_SENSE:
			fuse_session_process_buf(n->session, &buf);
			break;
		case IS_UNKNOWN:
			refuse(n);
			break;
		case MAKES_NONE:
			n->stats.errors++;
			break;
		case IS_INTERRUPT:
			interrupted(n);
			break;
		}
	}
	return work;
}

void cuse_node_tick(struct cuse_node *n)
{
	if (!n->session || n->said_gone || !gone(n))
		return;
	n->said_gone = true;
	serve_parked(n, 0);
	wake_pollers(n, true);
}
