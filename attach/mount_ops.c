/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file system of the kernel's in this process for the host, by libfuse's low-level interface: each request of the host's becomes one of
 * linux/kit/fs.h, a burst of them goes into the kernel at once, and they are answered as they end.
 * Linux, include/uapi/linux/fuse.h and Documentation/filesystems/fuse.rst.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "attach/disk.h"
#include "attach/mount.h"

/* A system call in each round of the loop would cost more than it finds. */
#define LOOK_EVERY 16
/* Nobody else changes the disk, so what the host knows of it stays true until it changes it itself. */
#define FOR_EVER 86400.0

static struct mount_attach *attach_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void count(struct mount_tag *t, uint64_t *requests, uint64_t *bytes, uint64_t n)
{
	disk_count(requests, 1);
	disk_count(bytes, n);
	disk_count(&t->m->stats.kernel_copies, 1);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void give_back(struct mount_tag *t)
{
	t->taken = false;
	t->link = t->m->free;
	t->m->free = t;
}

static struct timespec timespec_of(const struct ob_fs_time *t)
{
	return (struct timespec){.tv_sec = t->sec, .tv_nsec = t->nsec};
}

static struct stat stat_of(const struct ob_fs_attr *a)
{
	return (struct stat){
		.st_ino = a->ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size,
		.st_blksize = a->blksize,
		.st_blocks = (blkcnt_t)a->blocks,
		.st_atim = timespec_of(&a->atime),
		.st_mtim = timespec_of(&a->mtime),
		.st_ctim = timespec_of(&a->ctime),
	};
}

static struct fuse_entry_param entry_of(const struct mount_tag *t)
{
	return (struct fuse_entry_param){
		.ino = t->r.node,
		.generation = t->r.generation,
		.attr = stat_of(&t->r.attr),
		.attr_timeout = FOR_EVER,
		.entry_timeout = FOR_EVER,
	};
}

static void answer_nothing(struct mount_tag *t)
{
	fuse_reply_none(t->req);
}

static void answer_done(struct mount_tag *t)
{
	fuse_reply_err(t->req, 0);
}

static void answer_entry(struct mount_tag *t)
{
	struct fuse_entry_param e = entry_of(t);

	fuse_reply_entry(t->req, &e);
}

static void answer_attr(struct mount_tag *t)
{
	struct stat st = stat_of(&t->r.attr);

	fuse_reply_attr(t->req, &st, FOR_EVER);
}

static struct fuse_file_info file_of(const struct mount_tag *t)
{
	/* What the host has of it is true: see FOR_EVER. */
	return (struct fuse_file_info){.fh = t->r.handle, .keep_cache = 1, .cache_readdir = 1};
}

static void answer_open(struct mount_tag *t)
{
	struct fuse_file_info fi = file_of(t);

	fuse_reply_open(t->req, &fi);
}

static void answer_create(struct mount_tag *t)
{
	struct fuse_entry_param e = entry_of(t);
	struct fuse_file_info fi = file_of(t);

	fuse_reply_create(t->req, &e, &fi);
}

static void answer_data(struct mount_tag *t)
{
	count(t, &t->m->stats.requests_out, &t->m->stats.bytes_out, (uint64_t)t->r.result);
	fuse_reply_buf(t->req, t->r.buf, (size_t)t->r.result);
}

static void answer_link(struct mount_tag *t)
{
	/* One byte less than the buffer was asked for. */
	((char *)t->r.buf)[t->r.result] = '\0';
	fuse_reply_readlink(t->req, t->r.buf);
}

static void answer_write(struct mount_tag *t)
{
	count(t, &t->m->stats.requests_in, &t->m->stats.bytes_in, (uint64_t)t->r.result);
	fuse_reply_write(t->req, (size_t)t->r.result);
}

/* Its length, where no room was given, else itself. */
static void answer_xattr(struct mount_tag *t)
{
	if (!t->r.len)
		fuse_reply_xattr(t->req, (size_t)t->r.result);
	else
		fuse_reply_buf(t->req, t->r.buf, (size_t)t->r.result);
}

static void answer_offset(struct mount_tag *t)
{
	fuse_reply_lseek(t->req, t->r.offset);
}

static void answer_statfs(struct mount_tag *t)
{
	const struct ob_fs_statfs *s = &t->r.statfs;
	struct statvfs st = {
		.f_bsize = s->bsize,
		.f_frsize = s->frsize ? s->frsize : s->bsize,
		.f_blocks = s->blocks,
		.f_bfree = s->bfree,
		.f_bavail = s->bavail,
		.f_files = s->files,
		.f_ffree = s->ffree,
		.f_favail = s->ffree,
		.f_namemax = s->namelen,
	};

	fuse_reply_statfs(t->req, &st);
}

void mount_ended(void *attach, struct ob_fs_request *first)
{
	struct mount_attach *m = attach;
	struct ob_fs_request *next;

	for (struct ob_fs_request *r = first; r; r = next) {
		struct mount_tag *t = (struct mount_tag *)r;

		next = r->next;
		disk_count(&m->stats.syscalls, 1);
		if (r->result < 0 && r->op != OB_FS_FORGET) {
			/* What is not there is no failure. */
			if (r->result == -EIO)
				disk_count(&m->stats.errors, 1);
			fuse_reply_err(t->req, (int)-r->result);
		} else {
			t->answer(t);
		}
		give_back(t);
	}
}

/* ---- requests ----------------------------------------------------------------------------------- */

/* The tag whose message this is: there is one, or the message would not have been read. */
static struct mount_tag *take(fuse_req_t req, enum ob_fs_op op, fuse_ino_t node,
			      void (*answer)(struct mount_tag *t))
{
	struct mount_attach *m = attach_of(req);
	struct mount_tag *t = m->now;

	t->req = req;
	t->taken = true;
	t->answer = answer;
	t->r = (struct ob_fs_request){.op = op, .node = node, .buf = t->msg};
	*m->last = &t->r;
	m->last = &t->r.next;
	return t;
}

/* A name of the message's, whose memory is the answer's later. */
static void take_name(struct mount_tag *t, const char *name)
{
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->r.name = t->name;
}

static void take_name2(struct mount_tag *t, const char *name)
{
	snprintf(t->name2, sizeof(t->name2), "%s", name);
	t->r.name2 = t->name2;
}

static void take_owner(struct mount_tag *t, fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	t->r.uid = ctx->uid;
	t->r.gid = ctx->gid;
}

/* Data of the message's, where they lie; another libfuse may hand its own copy on. */
static void take_data(struct mount_tag *t, const char *buf, size_t size)
{
	t->r.buf = (void *)buf;
	t->r.len = (unsigned int)size;
	if (buf >= t->msg && buf + size <= t->msg + MOUNT_HEADER + MOUNT_DATA)
		return;
	memcpy(t->msg, buf, size);
	t->r.buf = t->msg;
}

static bool too_long(fuse_req_t req, size_t size)
{
	if (size <= MOUNT_DATA)
		return false;
	fuse_reply_err(req, EINVAL);
	return true;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = MOUNT_DATA;
	conn->max_readahead = MOUNT_DATA;
	conn->max_background = MOUNT_TAGS;
	conn->congestion_threshold = MOUNT_TAGS * 3 / 4;
	/* Messages are read whole, into our memory. */
	conn->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				      FUSE_CAP_SPLICE_MOVE);
	/*
	 * What is truncated comes as that, and who loses the rights of a set-user-ID program the host decides. No cache for writing: what a
	 * program was told is written the kernel in here knows, and its journal orders.
	 */
	conn->want &= ~(unsigned int)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV |
				      FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_name(take(req, OB_FS_LOOKUP, parent, answer_entry), name);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	struct fuse_forget_data *one = (struct fuse_forget_data *)attach_of(req)->now->msg;

	*one = (struct fuse_forget_data){.ino = ino, .nlookup = lookups};
	take(req, OB_FS_FORGET, 0, answer_nothing)->r.len = sizeof(*one);
}

static void op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
	size_t most = MOUNT_DATA / sizeof(*forgets);
	struct mount_tag *t = take(req, OB_FS_FORGET, 0, answer_nothing);

	/* More do not fit into a message. */
	n = n < most ? n : most;
	memmove(t->msg, forgets, n * sizeof(*forgets));
	t->r.len = (unsigned int)(n * sizeof(*forgets));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	take(req, OB_FS_GETATTR, ino, answer_attr);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	struct mount_tag *t = take(req, OB_FS_SETATTR, ino, answer_attr);

	t->r.valid = (unsigned int)to_set;
	t->r.attr = (struct ob_fs_attr){
		.mode = attr->st_mode,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size = (uint64_t)attr->st_size,
		.atime = {.sec = attr->st_atim.tv_sec, .nsec = (unsigned int)attr->st_atim.tv_nsec},
		.mtime = {.sec = attr->st_mtim.tv_sec, .nsec = (unsigned int)attr->st_mtim.tv_nsec},
	};
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	take(req, OB_FS_READLINK, ino, answer_link)->r.len = PATH_MAX - 1;
}

static struct mount_tag *make(fuse_req_t req, enum ob_fs_op op, fuse_ino_t parent, const char *name,
			      mode_t mode)
{
	struct mount_tag *t = take(req, op, parent, answer_entry);

	take_name(t, name);
	take_owner(t, req);
	t->r.mode = mode;
	return t;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, OB_FS_MKNOD, parent, name, mode)->r.rdev = (unsigned int)rdev;
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, OB_FS_MKDIR, parent, name, mode);
}

static void op_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name)
{
	take_name2(make(req, OB_FS_SYMLINK, parent, name, 0), to);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mount_tag *t = make(req, OB_FS_LINK, ino, name, 0);

	t->r.node2 = parent;
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_name(take(req, OB_FS_UNLINK, parent, answer_done), name);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_name(take(req, OB_FS_RMDIR, parent, answer_done), name);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
		      const char *to_name, unsigned int flags)
{
	struct mount_tag *t = take(req, OB_FS_RENAME, parent, answer_done);

	take_name(t, name);
	take_name2(t, to_name);
	t->r.node2 = to_parent;
	t->r.flags = flags;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	take(req, OB_FS_OPEN, ino, answer_open)->r.flags = (unsigned int)fi->flags;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	take(req, OB_FS_OPENDIR, ino, answer_open)->r.flags = (unsigned int)fi->flags;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct mount_tag *t = make(req, OB_FS_CREATE, parent, name, mode);

	t->r.flags = (unsigned int)fi->flags;
	t->answer = answer_create;
}

static struct mount_tag *on_file(fuse_req_t req, enum ob_fs_op op, fuse_ino_t ino,
				 struct fuse_file_info *fi, void (*answer)(struct mount_tag *t))
{
	struct mount_tag *t = take(req, op, ino, answer);

	t->r.handle = fi->fh;
	return t;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct mount_tag *t;

	if (too_long(req, size))
		return;
	t = on_file(req, OB_FS_READ, ino, fi, answer_data);
	t->r.len = (unsigned int)size;
	t->r.offset = off;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct mount_tag *t;

	if (too_long(req, size))
		return;
	t = on_file(req, OB_FS_READDIR, ino, fi, answer_data);
	t->r.len = (unsigned int)size;
	t->r.offset = off;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct mount_tag *t;

	if (too_long(req, size))
		return;
	t = on_file(req, OB_FS_WRITE, ino, fi, answer_write);
	take_data(t, buf, size);
	t->r.offset = off;
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	on_file(req, OB_FS_FSYNC, ino, fi, answer_done)->r.flags = datasync ? 1 : 0;
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	on_file(req, OB_FS_RELEASE, ino, fi, answer_done);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	struct mount_tag *t = on_file(req, OB_FS_FALLOCATE, ino, fi, answer_done);

	t->r.flags = (unsigned int)mode;
	t->r.offset = off;
	t->r.length = (uint64_t)len;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct mount_tag *t = on_file(req, OB_FS_LSEEK, ino, fi, answer_offset);

	t->r.offset = off;
	t->r.flags = (unsigned int)whence;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	take(req, OB_FS_STATFS, ino, answer_statfs);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	struct mount_tag *t;

	if (too_long(req, size))
		return;
	t = take(req, OB_FS_SETXATTR, ino, answer_done);
	take_name(t, name);
	take_data(t, value, size);
	t->r.flags = (unsigned int)flags;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount_tag *t;

	if (too_long(req, size))
		return;
	t = take(req, OB_FS_GETXATTR, ino, answer_xattr);
	take_name(t, name);
	t->r.len = (unsigned int)size;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (too_long(req, size))
		return;
	take(req, OB_FS_LISTXATTR, ino, answer_xattr)->r.len = (unsigned int)size;
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	take_name(take(req, OB_FS_REMOVEXATTR, ino, answer_done), name);
}

static const struct fuse_lowlevel_ops lowlevel_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.fsyncdir = op_fsync,
	.releasedir = op_release,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};

/* ---- the connection's source ------------------------------------------------------------------------ */

static unsigned int connection_poll(void *arg, unsigned int budget)
{
	struct mount_attach *m = arg;
	unsigned int n = 0;

	/* While the loop is busy: as attach/fuse_disk.c does. */
	if (m->rounds_to_look) {
		m->rounds_to_look--;
		return 0;
	}
	m->rounds_to_look = m->look_at_once ? 0 : LOOK_EVERY;
	m->look_at_once = false;
	m->first = NULL;
	m->last = &m->first;
	/* A message is read only when it can be served. */
	while (n < budget && m->free) {
		struct mount_tag *t = m->free;
		struct fuse_buf buf = {.mem = t->msg};
		ssize_t len;

		disk_count(&m->stats.syscalls, 1);
		len = read(m->fd, t->msg, MOUNT_HEADER + MOUNT_DATA);
		if (len < 0) {
			/* ENOENT: the request was interrupted before it was read; there may be more. */
			if (errno == EINTR || errno == ENOENT)
				continue;
			m->broken = errno != EAGAIN; /* ENODEV: unmounted or aborted */
			break;
		}
		buf.size = (size_t)len;
		m->free = t->link;
		m->now = t;
		fuse_session_process_buf(m->session, &buf);
		if (!t->taken) {
			t->link = m->free;
			m->free = t;
		}
		n++;
	}
	if (m->first)
		m->driver->submit(m->fs, m->first);
	if (m->broken) {
		/* It stays readable for ever. */
		ob_loop_remove(m->loop, m);
		/* Somebody has unmounted it: there is nothing to serve any more. */
		if (!atomic_load(&m->ending))
			ob_loop_stop(m->loop);
	}
	return n;
}

/* A sleep comes: look before it, so that it is not in vain, and at once when it has ended. */
static bool connection_arm(void *arg, bool on)
{
	struct mount_attach *m = arg;

	if (on) {
		m->rounds_to_look = 0;
		m->look_at_once = true;
	}
	return false;
}

/* ---- open and close ------------------------------------------------------------------------------------ */

int mount_session_connect(struct mount_attach *m, int fd, struct ob_error *err)
{
	char path[32];
	int ret;

	/* libfuse takes a descriptor that somebody else mounts in place of a directory (fuse3, 3.3). */
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fuse_session_mount(m->session, path)) {
		close(fd);
		return ob_error_set(err, -EIO, "%s: libfuse does not take its descriptor",
				    m->blk->name);
	}
	m->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	ret = ob_loop_add(m->loop, &(struct ob_loop_source){
					   .name = "mount",
					   .poll = connection_poll,
					   .arm = connection_arm,
					   .arg = m,
					   .fd = fd,
					   .level = true,
				   });
	if (ret)
		return ob_error_set(err, ret, "%s: its FUSE connection cannot be added to the loop",
				    m->blk->name);
	return 0;
}

int mount_session_open(struct mount_attach *m, struct ob_error *err)
{
	char name[] = "outboard";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	m->fd = -1;
	m->session = fuse_session_new(&args, &lowlevel_ops, sizeof(lowlevel_ops), m);
	fuse_opt_free_args(&args);
	m->tags = calloc(MOUNT_TAGS, sizeof(*m->tags));
	if (!m->session || !m->tags)
		goto no_memory;
	for (unsigned int i = 0; i < MOUNT_TAGS; i++) {
		struct mount_tag *t = &m->tags[i];

		t->m = m;
		if (posix_memalign((void **)&t->msg, 4096, MOUNT_HEADER + MOUNT_DATA)) {
			t->msg = NULL;
			goto no_memory;
		}
		t->link = m->free;
		m->free = t;
	}
	return 0;

no_memory:
	mount_session_close(m);
	return ob_error_set(err, -ENOMEM, "%s: no memory for a FUSE session", m->blk->name);
}

void mount_session_abort(struct mount_attach *m)
{
	int null;

	if (m->fd < 0)
		return;
	/* The number is kept busy: libfuse answers what is still under way by it (attach/fuse_disk.c). */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup3(null, m->fd, O_CLOEXEC);
		close(null);
	}
}

void mount_session_close(struct mount_attach *m)
{
	if (m->fd >= 0)
		ob_loop_remove(m->loop, m);
	mount_session_abort(m);
	for (unsigned int i = 0; m->tags && i < MOUNT_TAGS; i++) {
		/* It was under way; an answer into the void frees libfuse's memory. */
		if (m->tags[i].taken)
			fuse_reply_err(m->tags[i].req, ENOTCONN);
		free(m->tags[i].msg);
	}
	free(m->tags);
	m->tags = m->free = NULL;
	if (m->session)
		fuse_session_destroy(m->session); /* closes the descriptor */
	m->session = NULL;
	m->fd = -1;
}
