/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as a FUSE file whose driver process dies: a keeper holds /dev/fuse, and with it the connection; the kernel sends what was read from
 * it and not answered once more, when it is asked to (FUSE_NOTIFY_RESEND, Linux 6.9: fs/fuse/dev.c, fuse_resend()), with the payload
 * of writes. Before that it does not, and nothing is kept.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "attach/fuse.h"

/* linux/fuse.h of Linux 6.9 */
#define NOTIFY_RESEND 7

static bool kernel_resends(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 9));
}

static int find_log(struct fuse_disk *f)
{
	struct kept k;

	f->kept = kept_keeper() && kernel_resends();
	if (kept_keeper() && !f->kept)
		disk_log(
			&f->disk, OB_LOG_WARN,
			"this kernel is older than 6.9 and forgets what a process that dies had under way: "
			"with a driver process its file ends, and clients get errors");
	if (!f->kept || !kept_find(f->key, &k)) {
		f->log_fd = memfd_create("fuse log", MFD_CLOEXEC);
		if (f->log_fd < 0 || ftruncate(f->log_fd, sizeof(*f->log)))
			return -errno;
		return 0;
	}
	memcpy(f->left, k.fd, sizeof(f->left));
	f->taken_over = true;
	f->log_fd = f->left[FUSE_KEPT_LOG];
	f->left[FUSE_KEPT_LOG] = -1;
	return 0;
}

int fuse_disk_open_log(struct fuse_disk *f, struct ob_error *err)
{
	int ret;

	f->log = NULL;
	f->log_fd = -1;
	for (unsigned int i = 0; i < FUSE_KEPT_FDS; i++)
		f->left[i] = -1;
	ret = find_log(f);
	if (!ret) {
		f->log = mmap(NULL, sizeof(*f->log), PROT_READ | PROT_WRITE, MAP_SHARED, f->log_fd,
			      0);
		if (f->log == MAP_FAILED) {
			ret = -errno;
			f->log = NULL;
		}
	}
	return ret ? ob_error_set(err, ret, "%s: no memory for its log: %s", f->file,
				  strerror(-ret))
		   : 0;
}

void fuse_disk_close_log(struct fuse_disk *f)
{
	if (f->log)
		munmap(f->log, sizeof(*f->log));
	if (f->log_fd >= 0)
		close(f->log_fd);
	for (unsigned int i = 0; i < FUSE_KEPT_FDS; i++)
		if (f->left[i] >= 0)
			close(f->left[i]);
	f->log = NULL;
	f->log_fd = -1;
}

void fuse_disk_message(struct fuse_disk *f, const void *message, size_t len)
{
	const struct fuse_in_header *in = message;

	if (ob_likely(in->opcode != FUSE_INIT) || len > sizeof(f->log->init))
		return;
	/* It is there whole, or not at all, and then the kernel sends it again. */
	memcpy(f->log->init, message, len);
	atomic_store(&f->log->init_len, (unsigned int)len);
}

int fuse_disk_keep(const struct fuse_disk *f, int root, int pidfd)
{
	struct kept k = {
		.fd = {[FUSE_KEPT_DEVICE] = f->fd,
		       [FUSE_KEPT_ROOT] = root,
		       [FUSE_KEPT_HOLDER] = pidfd,
		       [FUSE_KEPT_LOG] = f->log_fd},
		.nr_fds = FUSE_KEPT_FDS,
	};

	if (!f->kept)
		return 0;
	memcpy(k.key, f->key, sizeof(k.key));
	return kept_put(&k);
}

void fuse_disk_let_holder_go(struct fuse_disk *f, struct fuse_keeper *k)
{
	if (!f->kept) {
		fuse_keeper_stop(&f->hold, k);
		return;
	}
	/* It ends when the last who has the connection does. */
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->pid = 0;
}

/*
 * libfuse wants to see the kernel's first message before all others. If it was answered, this answer is to nothing that the kernel knows
 * (ENOENT); if not, it waits for it. Then what else was not answered comes again.
 */
int fuse_disk_resume(struct fuse_disk *f, struct ob_error *err)
{
	struct fuse_out_header resend = {.len = sizeof(resend), .error = NOTIFY_RESEND};
	unsigned int len = atomic_load(&f->log->init_len);
	char message[sizeof(f->log->init)];
	struct fuse_buf buf = {.mem = message, .size = len};

	if (len > sizeof(message))
		return ob_error_set(err, -EPROTO, "%s: its log makes no sense", f->file);
	memcpy(message, f->log->init, len);
	if (len)
		fuse_session_process_buf(f->session, &buf);
	/* For a test's control: what a server without this does. */
	if (getenv("OUTBOARD_WITHOUT_RESEND"))
		return 0;
	if (write(fuse_session_fd(f->session), &resend, sizeof(resend)) == sizeof(resend))
		return 0;
	return ob_error_set(err, -errno,
			    "%s: the kernel does not send again what was under way: %s", f->file,
			    strerror(errno));
}
