/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as a file, by libfuse's low-level interface. libfuse parses and answers; the messages are read here,
 * into the device's arena, so that the payload of a write is where the device can fetch it and a
 * read's payload goes from the arena to the kernel: one copy per direction, the kernel's own.
 * Linux, include/uapi/linux/fuse.h and Documentation/filesystems/fuse.rst.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/broker.h"
#include "attach/fuse.h"

/* In front of a write's payload: so the message begins this much before a page. */
#define WRITE_HEADER (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define MAX_WRITE    (1u << 20)
/*
 * While the loop is busy /dev/fuse is read every so many rounds only: a system call per round would cost
 * more than it finds. A round is well below a microsecond.
 */
#define LOOK_EVERY 16
/* Payload memory that is mapped beyond what is asked for: a fault costs less in company. */
#define MAP_AHEAD (512u << 10)
/* Attributes never change behind the kernel's back. */
#define FOR_EVER 86400.0

/*
 * One request of the kernel's.
 * @mem: pages to give back at its end, @mem_len bytes from there; likewise @whole
 */
struct fuse_tag {
	struct disk_request rq; /* first: the disk layer hands it back */
	struct fuse_disk *f;
	fuse_req_t req;
	char *mem;
	uint64_t mem_len;
	uint32_t size;	   /* of a write, as the client counts it */
	const char *piece; /* of a write that leaves a part of a block: its payload, */
	uint32_t piece_at; /* where it belongs in @whole, */
	char *whole;	   /* and the blocks that it touches */
	uint64_t whole_len;
	struct fuse_tag *link;
};

static struct fuse_disk *disk_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void count_reply(struct fuse_disk *f)
{
	disk_count(&f->disk.stats.syscalls, 1);
}

/* A reply that the kernel does not want any more (ENOENT: interrupted) is no error. */
static void reply_error(struct fuse_disk *f, fuse_req_t req, int error)
{
	count_reply(f);
	fuse_reply_err(req, error);
}

/* ---- payload memory --------------------------------------------------------------------- */

/*
 * Where the page of a message or of an answer's data is not mapped the kernel faults it in, which fails for a process that is being
 * killed; and for that it ends the client's request with EIO (fs/fuse/dev.c, fuse_copy_fill()). Where another driver process is to go on
 * with the request, the pages are mapped before: those that are used for the first time, as the pool is gone through from its beginning.
 */
static void map_pages(struct fuse_disk *f, const char *mem, uint64_t len)
{
	const struct payload *p = &f->disk.payload;
	size_t all = (size_t)p->pages * PAYLOAD_PAGE, to = (size_t)(mem - p->base) + len;

	if (ob_likely(to <= f->mapped) || !f->kept)
		return;
	to = to < all - MAP_AHEAD ? to + MAP_AHEAD : all;
	/* Where it fails they are mapped when they are touched. */
	(void)!madvise(p->base + f->mapped, to - f->mapped, MADV_POPULATE_WRITE);
	disk_count(&f->disk.stats.syscalls, 1);
	f->mapped = (to + PAYLOAD_PAGE - 1) & ~(size_t)(PAYLOAD_PAGE - 1);
}

static char *get_memory(struct fuse_disk *f, uint64_t len)
{
	char *mem = payload_get(&f->disk.payload, len);

	if (mem)
		map_pages(f, mem, len);
	return mem;
}

/* ---- requests to the disk -------------------------------------------------------------- */

static struct fuse_tag *tag_get(struct fuse_disk *f, fuse_req_t req, enum ob_block_op op,
				uint64_t offset, uint64_t len)
{
	/* One is always there: a message is only read when there is. */
	struct fuse_tag *t = f->free;

	f->free = t->link;
	t->req = req;
	t->mem = NULL;
	t->mem_len = 0;
	t->piece = NULL;
	t->whole = NULL;
	t->rq.op = op;
	t->rq.flags = 0;
	t->rq.offset = offset;
	t->rq.len = len;
	t->rq.buf = NULL;
	return t;
}

static void tag_put(struct fuse_disk *f, struct fuse_tag *t)
{
	if (t->mem)
		payload_put(&f->disk.payload, t->mem, t->mem_len);
	if (t->whole)
		payload_put(&f->disk.payload, t->whole, t->whole_len);
	t->mem = NULL;
	t->whole = NULL;
	t->link = f->free;
	f->free = t;
}

/* The blocks were read: put the piece in, and write them. */
static void write_piece(struct fuse_disk *f, struct fuse_tag *t)
{
	memcpy(t->whole + t->piece_at, t->piece, t->size);
	disk_count(&f->disk.stats.own_copies, 1);
	t->piece = NULL;
	t->rq.op = OB_BLOCK_WRITE;
	disk_start(&f->disk, &t->rq);
}

static void done(void *front, struct disk_request *rq)
{
	struct fuse_tag *t = (struct fuse_tag *)rq;
	struct fuse_disk *f = front;

	if (t->piece && !rq->status) {
		write_piece(f, t);
		return;
	}
	if (rq->status) {
		disk_count(&f->disk.stats.errors, 1);
		reply_error(f, t->req, -rq->status);
	} else if (rq->op == OB_BLOCK_READ) {
		struct iovec iov = {.iov_base = rq->buf, .iov_len = rq->len};

		disk_count(&f->disk.stats.requests_out, 1);
		disk_count(&f->disk.stats.bytes_out, rq->len);
		disk_count(&f->disk.stats.kernel_copies, 1);
		count_reply(f);
		fuse_reply_iov(t->req, &iov, 1);
	} else if (rq->op == OB_BLOCK_WRITE) {
		count_reply(f);
		fuse_reply_write(t->req, t->size);
	} else {
		reply_error(f, t->req, 0);
	}
	tag_put(f, t);
}

static void batch_end(void *front)
{
}

static const struct disk_ops disk_ops = {
	.done = done,
	.batch_end = batch_end,
};

/* ---- operations of the file system ------------------------------------------------------- */

static void attributes(const struct fuse_disk *f, fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_uid = f->owner_uid;
	st->st_gid = f->owner_gid;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0500;
		st->st_nlink = 2;
		return;
	}
	st->st_nlink = 1;
	if (ino == FUSE_KEEPER_INO) {
		st->st_mode = S_IFREG | 0400;
		return;
	}
	st->st_mode = S_IFREG | (f->disk.blk->limits.read_only ? 0400 : 0600);
	st->st_size = (off_t)f->disk.blk->limits.size;
	st->st_blocks = st->st_size / 512;
	st->st_blksize = PAYLOAD_PAGE;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fuse_disk *f = userdata;

	conn->max_write = f->max_write;
	conn->max_readahead = f->max_write;
	/* How many requests the kernel has under way that nobody waits for; the default is 12. */
	conn->max_background = f->disk.depth;
	conn->congestion_threshold = f->disk.depth * 3 / 4;
	/* Messages are read whole, into our memory. */
	conn->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				      FUSE_CAP_SPLICE_MOVE);
	/*
	 * Opening with O_TRUNC is left to setattr, which knows that a disk has one size. And no write-back
	 * cache: it would let the file grow in the kernel, and keep what nobody has synced from a disk
	 * whose server is killed.
	 */
	conn->want &= ~(unsigned int)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_WRITEBACK_CACHE);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.ino = FUSE_FILE_INO, .generation = 1};
	struct fuse_disk *f = disk_of(req);

	if (parent == FUSE_ROOT_ID && !strcmp(name, FUSE_KEEPER_FILE)) {
		e.ino = FUSE_KEEPER_INO;
	} else if (parent != FUSE_ROOT_ID || strcmp(name, f->file)) {
		reply_error(f, req, ENOENT);
		return;
	}
	e.attr_timeout = e.entry_timeout = FOR_EVER;
	attributes(f, e.ino, &e.attr);
	count_reply(f);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);
	struct stat st;

	attributes(f, ino, &st);
	count_reply(f);
	fuse_reply_attr(req, &st, FOR_EVER);
}

/* As with a block device, truncating changes nothing: programs do it to files that they take for new. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);

	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ||
	    (to_set & FUSE_SET_ATTR_SIZE && ino != FUSE_FILE_INO)) {
		reply_error(f, req, EPERM);
		return;
	}
	if (to_set & FUSE_SET_ATTR_SIZE &&
	    (attr->st_size < 0 || (uint64_t)attr->st_size > f->disk.blk->limits.size)) {
		reply_error(f, req, EFBIG);
		return;
	}
	op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);

	if (ino == FUSE_KEEPER_INO) {
		fi->direct_io = 1; /* so that every read comes here */
		count_reply(f);
		fuse_reply_open(req, fi);
		return;
	}
	if (ino != FUSE_FILE_INO) {
		reply_error(f, req, EISDIR);
		return;
	}
	if (f->disk.blk->limits.read_only && (fi->flags & O_ACCMODE) != O_RDONLY) {
		reply_error(f, req, EROFS);
		return;
	}
	fi->keep_cache = 1;
	count_reply(f);
	fuse_reply_open(req, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);
	const char *const names[] = {".", "..", f->file};
	char buf[512];
	size_t n = 0;

	for (off_t i = off; i >= 0 && i < 3; i++) {
		struct stat st;
		size_t len;

		attributes(f, i == 2 ? FUSE_FILE_INO : FUSE_ROOT_ID, &st);
		len = fuse_add_direntry(req, buf + n, sizeof(buf) - n, names[i], &st, i + 1);
		if (n + len > size || n + len > sizeof(buf))
			break;
		n += len;
	}
	count_reply(f);
	fuse_reply_buf(req, buf, n);
}

static bool request_fits(struct fuse_disk *f, uint64_t offset, uint64_t len)
{
	return disk_aligned(&f->disk, offset | len) && disk_in_range(&f->disk, offset, len);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);
	uint64_t end = f->disk.blk->limits.size, len = size;
	struct fuse_tag *t;

	if (ino == FUSE_KEEPER_INO) {
		fuse_hold_read(&f->hold, req);
		return;
	}
	if (ino != FUSE_FILE_INO || off < 0) {
		reply_error(f, req, EINVAL);
		return;
	}
	/* The kernel reads whole pages, also across the end. */
	if ((uint64_t)off >= end)
		len = 0;
	else if (len > end - (uint64_t)off)
		len = end - (uint64_t)off;
	if (!len) {
		count_reply(f);
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (len > f->max_write || !request_fits(f, (uint64_t)off, len)) {
		reply_error(f, req, EINVAL);
		return;
	}
	t = tag_get(f, req, OB_BLOCK_READ, (uint64_t)off, len);
	t->mem = get_memory(f, len);
	t->mem_len = len;
	if (!t->mem) {
		/* Not before the memory of a longest message was there; see room(). */
		tag_put(f, t);
		reply_error(f, req, ENOMEM);
		return;
	}
	t->rq.buf = t->mem;
	disk_start(&f->disk, &t->rq);
}

/*
 * A write's payload in payload memory: the message's own pages go along with the request, and its unused
 * tail goes back. NULL when there is no memory.
 */
static char *take_payload(struct fuse_disk *f, struct fuse_tag *t, const char *buf, size_t size)
{
	uint64_t used = PAYLOAD_PAGE + (uint64_t)payload_pages(size) * PAYLOAD_PAGE;
	uint64_t all = PAYLOAD_PAGE + (uint64_t)f->max_write;

	if (buf == f->rx + PAYLOAD_PAGE) {
		t->mem = f->rx;
		t->mem_len = used;
		if (all > used)
			payload_put(&f->disk.payload, f->rx + used, all - used);
		f->rx_taken = true;
		return t->mem + PAYLOAD_PAGE;
	}
	/* Another libfuse may hand its own copy on. */
	t->mem = get_memory(f, size);
	t->mem_len = size;
	if (t->mem) {
		memcpy(t->mem, buf, size);
		disk_count(&f->disk.stats.own_copies, 1);
	}
	return t->mem;
}

/*
 * A piece that does not fill its blocks: they are read, changed and written. The kernel lets one such write of
 * a file go at a time (its inode lock), so none gets lost between the two.
 */
static bool start_piece(struct fuse_disk *f, struct fuse_tag *t, uint64_t offset, size_t size)
{
	uint32_t block = f->disk.blk->limits.block_size;
	uint64_t from = offset & ~(uint64_t)(block - 1);
	uint64_t to = (offset + size + block - 1) & ~(uint64_t)(block - 1);

	t->whole_len = to - from;
	t->whole = get_memory(f, t->whole_len);
	if (!t->whole)
		return false;
	t->piece = t->rq.buf;
	t->piece_at = (uint32_t)(offset - from);
	t->rq.op = OB_BLOCK_READ;
	t->rq.offset = from;
	t->rq.len = t->whole_len;
	t->rq.buf = t->whole;
	return true;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);
	uint64_t end = f->disk.blk->limits.size;
	struct fuse_tag *t;
	bool whole;

	if (ino != FUSE_FILE_INO || off < 0 || !size || size > f->max_write) {
		reply_error(f, req, EINVAL);
		return;
	}
	/* As at the end of a block device. */
	if ((uint64_t)off >= end) {
		reply_error(f, req, ENOSPC);
		return;
	}
	if (size > end - (uint64_t)off)
		size = end - (uint64_t)off;
	whole = request_fits(f, (uint64_t)off, size);
	if (!whole && fi->flags & O_DIRECT) {
		reply_error(f, req, EINVAL);
		return;
	}
	t = tag_get(f, req, OB_BLOCK_WRITE, (uint64_t)off, size);
	t->size = (uint32_t)size;
	t->rq.buf = take_payload(f, t, buf, size);
	if (!t->rq.buf || (!whole && !start_piece(f, t, (uint64_t)off, size))) {
		tag_put(f, t);
		reply_error(f, req, ENOMEM);
		return;
	}
	disk_count(&f->disk.stats.requests_in, 1);
	disk_count(&f->disk.stats.bytes_in, size);
	disk_count(&f->disk.stats.kernel_copies, 1);
	disk_start(&f->disk, &t->rq);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);

	disk_count(&f->disk.stats.requests_in, 1);
	disk_start(&f->disk, &tag_get(f, req, OB_BLOCK_FLUSH, 0, 0)->rq);
}

/*
 * A hole reads as zeroes, so it is WRITE ZEROES with leave to deallocate, not DISCARD; the loop device
 * uses it for both. Space inside of the disk is always allocated.
 */
static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	struct fuse_disk *f = disk_of(req);
	struct fuse_tag *t;

	if (ino != FUSE_FILE_INO || off < 0 || len <= 0 ||
	    !disk_in_range(&f->disk, (uint64_t)off, (uint64_t)len)) {
		reply_error(f, req, EINVAL);
		return;
	}
	if (!(mode & ~FALLOC_FL_KEEP_SIZE)) {
		reply_error(f, req, 0);
		return;
	}
	if (!f->disk.zeroes ||
	    mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		reply_error(f, req, EOPNOTSUPP);
		return;
	}
	if (!disk_aligned(&f->disk, (uint64_t)off | (uint64_t)len)) {
		reply_error(f, req, EINVAL);
		return;
	}
	t = tag_get(f, req, OB_BLOCK_WRITE_ZEROES, (uint64_t)off, (uint64_t)len);
	if (mode & FALLOC_FL_PUNCH_HOLE)
		t->rq.flags = OB_BLOCK_MAY_UNMAP;
	disk_count(&f->disk.stats.requests_in, 1);
	disk_start(&f->disk, &t->rq);
}

static void op_nothing_to_do(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_error(disk_of(req), req, 0);
}

/* One file, for good. */
static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_error(disk_of(req), req, EPERM);
}
static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	reply_error(disk_of(req), req, EPERM);
}
static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	reply_error(disk_of(req), req, EPERM);
}
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
		      const char *to_name, unsigned int flags)
{
	reply_error(disk_of(req), req, EPERM);
}

static const struct fuse_lowlevel_ops lowlevel_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_nothing_to_do,
	.release = op_nothing_to_do,
	.fsync = op_fsync,
	.readdir = op_readdir,
	.fallocate = op_fallocate,
	.unlink = op_unlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.rename = op_rename,
};

/* ---- the connection's source ---------------------------------------------------------------- */

/* A message is read only when whatever it is can be served. */
static bool room(struct fuse_disk *f)
{
	uint64_t all = PAYLOAD_PAGE + (uint64_t)f->max_write;
	char *probe;

	if (!f->free)
		return false;
	if (!f->rx)
		f->rx = get_memory(f, all);
	if (!f->rx)
		return false;
	/* Also for a longest read, or the blocks of a piece, which get theirs after the message. */
	probe = payload_get(&f->disk.payload, all);
	if (!probe)
		return false;
	payload_put(&f->disk.payload, probe, all);
	return true;
}

static unsigned int fuse_poll(void *arg, unsigned int budget)
{
	struct fuse_disk *f = arg;
	unsigned int n = 0;

	if (f->rounds_to_look) {
		f->rounds_to_look--;
		return 0;
	}
	f->rounds_to_look = f->looks_at_once ? 0 : LOOK_EVERY;
	f->looks_at_once = 0;
	while (n < budget && !f->broken && room(f)) {
		struct fuse_buf buf = {.mem = f->rx + PAYLOAD_PAGE - WRITE_HEADER};
		ssize_t len;

		disk_count(&f->disk.stats.syscalls, 1);
		len = read(f->fd, buf.mem, WRITE_HEADER + f->max_write);
		if (len < 0) {
			/* ENOENT: the request was interrupted before it was read; there may be more. */
			if (errno == EINTR || errno == ENOENT)
				continue;
			if (errno != EAGAIN)
				f->broken = true; /* ENODEV: unmounted or aborted */
			break;
		}
		buf.size = (size_t)len;
		fuse_disk_message(f, buf.mem, buf.size);
		f->rx_taken = false;
		fuse_session_process_buf(f->session, &buf);
		if (f->rx_taken)
			f->rx = NULL;
		n++;
	}
	if (n)
		disk_submit(&f->disk);
	/* A broken connection stays readable for ever: sleep without it. */
	if (f->broken)
		ob_loop_remove(f->disk.loop, f);
	return n;
}

/* A sleep comes: look before it, so that it is not in vain, and at once when it has ended. */
static bool fuse_arm(void *arg, bool on)
{
	struct fuse_disk *f = arg;

	if (on) {
		f->rounds_to_look = 0;
		f->looks_at_once = 1;
	}
	return false;
}

static int serve(struct fuse_disk *f, int fd, struct ob_error *err)
{
	int ret;

	f->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	ret = ob_loop_add(f->disk.loop, &(struct ob_loop_source){
						.name = "fuse",
						.poll = fuse_poll,
						.arm = fuse_arm,
						.arg = f,
						.fd = fd,
						.level = true,
					});
	if (ret)
		return ob_error_set(err, ret, "%s: its FUSE connection cannot be added to the loop",
				    f->disk.blk->name);
	return 0;
}

int fuse_disk_connect(struct fuse_disk *f, int fd, struct ob_error *err)
{
	char path[32];

	/* libfuse takes a descriptor that somebody else mounts in place of a directory (fuse3, 3.3). */
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fuse_session_mount(f->session, path)) {
		close(fd);
		return ob_error_set(err, -EIO, "%s: libfuse does not take its descriptor",
				    f->disk.blk->name);
	}
	if (f->taken_over) {
		int ret = fuse_disk_resume(f, err);

		if (ret) {
			f->fd = fd; /* closed with the session */
			return ret;
		}
	}
	return serve(f, fd, err);
}

/* ---- open and close ---------------------------------------------------------------------------- */

/* What was agreed with the kernel another driver process cannot change. */
static int choose_max_write(struct fuse_disk *f, struct ob_error *err)
{
	uint64_t memory = (uint64_t)f->disk.payload.pages * PAYLOAD_PAGE;

	/* Three longest messages and a read must fit, or nothing moves. */
	f->max_write = f->taken_over ? f->log->max_write : MAX_WRITE;
	while (!f->taken_over && f->max_write > 128u << 10 && 8ull * f->max_write > memory)
		f->max_write /= 2;
	f->log->max_write = f->max_write;
	if (f->max_write && f->max_write <= MAX_WRITE && 4ull * f->max_write <= memory)
		return 0;
	return ob_error_set(
		err, -ENOSPC,
		"%s: its file is in use with writes of %u KiB, for which there is no memory",
		f->file, f->max_write >> 10);
}

static void close_void(struct fuse_disk *f)
{
	if (f->void_fd >= 0)
		close(f->void_fd);
	f->void_fd = -1;
}

int fuse_disk_open(struct fuse_disk *f, const char *kind, struct ob_binding *b, unsigned int index,
		   struct ob_spec_part *part, struct ob_loop *loop, struct ob_error *err)
{
	char name[] = "outboard";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int ret;

	f->fd = -1;
	/* Where a confined process has no such file, something else that takes nothing. */
	f->void_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (f->void_fd < 0)
		f->void_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->owner_uid = broker_uid();
	f->owner_gid = broker_gid();
	ret = disk_open(&f->disk, b->block[index], part, loop, FUSE_DEPTH_MAX, &disk_ops, f, err);
	if (ret) {
		close_void(f);
		return ret;
	}
	snprintf(f->file, sizeof(f->file), "%s", f->disk.blk->name);
	f->hold.name = f->file;
	kept_key(f->key, kind, f->disk.blk->dev, index);
	ret = fuse_disk_open_log(f, err);
	if (!ret)
		ret = choose_max_write(f, err);
	if (ret) {
		close_void(f);
		fuse_disk_close_log(f);
		disk_close(&f->disk);
		return ret;
	}
	f->tags = calloc(f->disk.depth, sizeof(*f->tags));
	f->session =
		f->tags ? fuse_session_new(&args, &lowlevel_ops, sizeof(lowlevel_ops), f) : NULL;
	fuse_opt_free_args(
		&args); /* libfuse has made a copy of its own to strike out what it knows */
	if (!f->session) {
		ret = ob_error_set(err, -ENOMEM, "%s: no memory for a FUSE session", f->file);
		free(f->tags);
		close_void(f);
		fuse_disk_close_log(f);
		disk_close(&f->disk);
		return ret;
	}
	for (unsigned int i = 0; i < f->disk.depth; i++) {
		f->tags[i].link = f->free;
		f->free = &f->tags[i];
	}
	return 0;
}

void fuse_disk_abort(struct fuse_disk *f)
{
	if (f->fd < 0 || f->void_fd < 0)
		return;
	/*
	 * The last close of the device ends the connection. Its number is kept busy, because libfuse
	 * answers requests that are still under way by it, and it must not be somebody else's by then.
	 */
	fuse_session_exit(f->session);
	dup3(f->void_fd, f->fd, O_CLOEXEC);
	close_void(f);
}

void fuse_disk_close(struct fuse_disk *f)
{
	if (f->fd >= 0)
		ob_loop_remove(f->disk.loop, f);
	fuse_disk_abort(f);
	fuse_hold_end(&f->hold); /* also into the void: it frees the request */
	/* Requests at the device end in here, with answers into the void. */
	disk_close(&f->disk);
	fuse_session_destroy(f->session); /* closes the descriptor */
	f->fd = -1;
	free(f->tags);
	close_void(f);
	fuse_disk_close_log(f);
}
