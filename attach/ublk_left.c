/* SPDX-License-Identifier: BSD-2-Clause */
/* What servers of ublk that died have left: found, removed, taken down (attach/ublk_left.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <outboard/access.h>

#include "attach/broker_ops.h"
#include "attach/caretaker.h"
#include "attach/holders.h"
#include "attach/kept.h"
#include "attach/ublk_ctrl.h"
#include "attach/ublk_left.h"

/* The mark in the upper 16 bits ("OB"), what is shared in the next, the disk in the lower half. */
#define MARK	  0x4f42ull
#define MARK_BIT  48
#define SHARE_BIT 32

enum {
	POLL_MS = 200,
	/* Somebody who has begun to take a device over gets so long to end it. */
	TAKE_OVER_S = 60,
};

/* FNV-1a (draft-eastlake-fnv): not secret, only unlikely to meet. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	return hash(h, text, strlen(text) + 1);
}

uint64_t ublk_identity(const struct ob_block *blk, uint16_t share)
{
	const struct ob_device_info *info = ob_device_info(blk->dev);
	uint64_t h = 0xcbf29ce484222325ull;
	bool real =
		info->backend && (!strcmp(info->backend, "vfio") || !strcmp(info->backend, "uio"));

	h = hash_text(h, info->name);
	h = hash_text(h, blk->name);
	h = hash_text(h, blk->model);
	h = hash_text(h, blk->serial);
	h = hash(h, &blk->limits.size, sizeof(blk->limits.size));
	/*
	 * A real device is known by its address. All embedded ones of a kind have the same name, and only the
	 * specification tells their images apart.
	 */
	if (!real)
		h = hash_text(h, info->spec);
	return MARK << MARK_BIT | (uint64_t)share << SHARE_BIT | (uint32_t)(h ^ h >> 32);
}

static bool is_ours(const struct ublksrv_ctrl_dev_info *info)
{
	return info->ublksrv_flags >> MARK_BIT == MARK;
}

static int claim(unsigned int id, int *fd, int *holder)
{
	char name[24];

	snprintf(name, sizeof(name), "ublk:%u", id);
	return ob_claim(name, fd, holder);
}

/* And not only waiting for its parent to ask for its exit code (proc(5), "stat"). */
static bool alive(int pid)
{
	char path[32], stat[256], *state;
	ssize_t n;
	int fd;

	if (pid <= 0 || (kill(pid, 0) && errno != EPERM))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	state = strrchr(stat, ')');
	return !state || (state[1] == ' ' && state[2] != 'Z' && state[2] != 'X');
}

/*
 * Has it no server? Then the claim is ours. A server in another network namespace has a claim that is not seen here, but
 * a process that is.
 */
static bool take_claim(const struct ublksrv_ctrl_dev_info *info, int *fd)
{
	int holder;

	if (info->state != UBLK_S_DEV_QUIESCED && alive(info->ublksrv_pid))
		return false;
	return !claim(info->dev_id, fd, &holder);
}

/* ---- finding ---------------------------------------------------------------------------- */

/* Call @fn with each device that has the mark until it returns true. */
static bool each_device(struct ublk_ctrl *c,
			bool (*fn)(struct ublk_ctrl *c, struct ublksrv_ctrl_dev_info *info,
				   void *arg),
			void *arg)
{
	struct ublksrv_ctrl_dev_info info;
	DIR *dir = opendir("/sys/class/ublk-char");
	bool found = false;
	struct dirent *e;
	unsigned int id;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		if (sscanf(e->d_name, "ublkc%u", &id) != 1)
			continue;
		/* Of other users' devices nothing is told. */
		if (ublk_dev_info(c, id, &info) < 0 || info.dev_id != id || !is_ours(&info))
			continue;
		found = fn(c, &info, arg);
	}
	closedir(dir);
	return found;
}

struct wanted {
	uint64_t identity;
	struct ublksrv_ctrl_dev_info *info;
	int claim_fd;
};

static bool is_wanted(struct ublk_ctrl *c, struct ublksrv_ctrl_dev_info *info, void *arg)
{
	struct wanted *w = arg;

	if (info->ublksrv_flags != w->identity || !take_claim(info, &w->claim_fd))
		return false;
	*w->info = *info;
	return true;
}

static int find_left(struct ublk_ctrl *c, uint64_t identity, int *claim_fd,
		     struct ublksrv_ctrl_dev_info *info)
{
	struct wanted w = {.identity = identity, .info = info, .claim_fd = -1};

	if (!each_device(c, is_wanted, &w))
		return -ENOENT;
	*claim_fd = w.claim_fd;
	return (int)info->dev_id;
}

struct list {
	struct ob_ublk_left *left;
	unsigned int room, n;
};

static bool add_to_list(struct ublk_ctrl *c, struct ublksrv_ctrl_dev_info *info, void *arg)
{
	struct list *list = arg;
	struct ublk_params p = {.len = sizeof(p)};
	int claim_fd;

	if (!take_claim(info, &claim_fd))
		return false;
	close(claim_fd);
	if (list->n++ >= list->room)
		return false;
	list->left[list->n - 1] = (struct ob_ublk_left){
		.id = info->dev_id,
		.pid = info->ublksrv_pid,
		.identity = info->ublksrv_flags,
		.waiting = (info->flags & UBLK_F_USER_RECOVERY) && info->state != UBLK_S_DEV_DEAD,
	};
	if (ublk_ctrl_cmd(c, UBLK_U_CMD_GET_PARAMS, info->dev_id, 0, &p, sizeof(p), UBLK_CTRL_MS,
			  NULL, NULL) >= 0 &&
	    (p.types & UBLK_PARAM_TYPE_BASIC))
		list->left[list->n - 1].size = p.basic.dev_sectors << 9;
	return false;
}

unsigned int ob_ublk_left(struct ob_ublk_left *left, unsigned int n)
{
	struct list list = {.left = left, .room = n};
	struct ublk_ctrl c;

	if (ublk_ctrl_open(&c, NULL))
		return 0;
	each_device(&c, add_to_list, &list);
	ublk_ctrl_close(&c);
	return list.n;
}

/* ---- for the attachment, by its broker where it has one ---------------------------------- */

int broker_ublk_left(struct broker_call *c, struct ob_error *err)
{
	struct broker_ublk *res = c->res;
	struct ublksrv_ctrl_dev_info info;
	struct ublk_ctrl ctrl;
	int fd, ret;

	ret = ublk_ctrl_open(&ctrl, err);
	if (ret)
		return ret;
	ret = find_left(&ctrl, *(const uint64_t *)c->arg, &fd, &info);
	if (ret >= 0) {
		memcpy(res->path, ctrl.path, sizeof(res->path));
		memcpy(res->payload, &info, sizeof(info));
		c->res_fd[c->nr_res_fds++] = fd;
		ublk_ctrl_own(info.dev_id);
	}
	ublk_ctrl_close(&ctrl);
	return ret;
}

int ublk_find_left(struct ublk_ctrl *c, uint64_t identity, int *claim_fd,
		   struct ublksrv_ctrl_dev_info *info)
{
	struct broker_ublk res;
	struct broker_call call = {
		.arg = &identity,
		.arg_size = sizeof(identity),
		.res = &res,
		.res_size = sizeof(res),
	};
	int ret = broker_call(BROKER_UBLK_LEFT, &call, NULL);

	if (ret < 0)
		return ret;
	memcpy(info, res.payload, sizeof(*info));
	memcpy(c->path, res.path, sizeof(c->path));
	*claim_fd = call.res_fd[0];
	return ret;
}

int broker_ublk_claim(struct broker_call *c, struct ob_error *err)
{
	uint32_t id = *(const uint32_t *)c->arg;
	char text[16];
	int fd, ret;

	snprintf(text, sizeof(text), "%u", id);
	if (!ublk_ctrl_owns(id) && !broker_said("id", text))
		return -EPERM;
	ret = claim(id, &fd, c->res);
	if (ret)
		return ret;
	c->res_fd[c->nr_res_fds++] = fd;
	ublk_ctrl_own(id);
	return 0;
}

int ublk_claim(unsigned int id, int *fd, int *holder)
{
	uint32_t n = id;
	struct broker_call c = {
		.arg = &n,
		.arg_size = sizeof(n),
		.res = holder,
		.res_size = sizeof(*holder),
	};
	int ret = broker_call(BROKER_UBLK_CLAIM, &c, NULL);

	if (!ret)
		*fd = c.res_fd[0];
	return ret;
}

int broker_ublk_idle(struct broker_call *c, struct ob_error *err)
{
	uint32_t id = *(const uint32_t *)c->arg;
	char disk[24];

	if (!ublk_ctrl_owns(id))
		return -EPERM;
	snprintf(disk, sizeof(disk), "ublkb%u", id);
	return holder_check_idle(disk, 0, err);
}

int broker_ublk_care(struct broker_call *c, struct ob_error *err)
{
	struct ublk_care care = *(const struct ublk_care *)c->arg;
	struct caretaker_job job = {
		.take_down = ublk_take_down,
		.set_up = ublk_set_up,
		.arg = &care,
	};
	struct caretaker caretaker;
	int ret;

	if (!ublk_ctrl_owns(care.id))
		return -EPERM;
	care.server = getpid();
	care.keeper = -1;
	if (kept_keeper()) {
		care.keeper = (int)syscall(SYS_pidfd_open, kept_keeper(), 0);
		if (care.keeper < 0)
			return ob_error_set(err, -errno, "/dev/ublkb%u: its keeper is gone",
					    care.id);
		job.fd[job.nr_fds++] = care.keeper;
	}
	ret = caretaker_start(&caretaker, &job, err);
	if (care.keeper >= 0)
		close(care.keeper);
	if (ret)
		return ret;
	c->res_fd[c->nr_res_fds++] = caretaker.fd;
	return caretaker.pid;
}

int ublk_care_start(const struct ublk_care *care, struct caretaker *caretaker, struct ob_error *err)
{
	struct broker_call c = {.arg = care, .arg_size = sizeof(*care)};
	int ret = broker_call(BROKER_UBLK_CARE, &c, err);

	if (ret < 0)
		return ret;
	caretaker->pid = ret;
	caretaker->others = broker_asked();
	caretaker->fd = c.res_fd[0];
	return 0;
}

/* ---- removing --------------------------------------------------------------------------- */

static int check_removable(unsigned int id, const struct ublksrv_ctrl_dev_info *info, bool force,
			   int *claim_fd, struct ob_error *err)
{
	char disk[24], who[256];
	int holder = 0;

	if (!is_ours(info)) {
		ob_error_set(err, -EPERM, "/dev/ublkb%u is not Outboard's", id);
		ob_error_why(err, "process %d of another program serves or has left it",
			     info->ublksrv_pid);
		return -EPERM;
	}
	/* By force also where another process has got the number of the one that died. */
	if ((info->state != UBLK_S_DEV_QUIESCED && alive(info->ublksrv_pid) && !force) ||
	    claim(id, claim_fd, &holder)) {
		if (!holder)
			holder = info->ublksrv_pid;
		ob_error_set(err, -EBUSY, "/dev/ublkb%u is served by process %d", id, holder);
		ob_error_fix(err, "outboard stop %d", holder);
		return -EBUSY;
	}
	snprintf(disk, sizeof(disk), "ublkb%u", id);
	if (force || !holders_of_block(disk, 0, who, sizeof(who)))
		return 0;
	close(*claim_fd);
	ob_error_set(err, -EBUSY, "/dev/%s is in use, and its users wait for a server", disk);
	ob_error_why(err, "%s", who);
	ob_error_fix(err,
		     "run its disk again, which takes it over; or remove it by force: they then "
		     "get errors");
	return -EBUSY;
}

int ob_ublk_remove(unsigned int id, bool force, struct ob_error *err)
{
	struct ublksrv_ctrl_dev_info info;
	int claim_fd = -1, ret;
	struct ublk_ctrl c;

	ret = ublk_ctrl_open(&c, err);
	if (ret)
		return ret;
	ret = ublk_dev_info(&c, id, &info);
	if (ret < 0)
		ob_error_set(err, ret, "there is no /dev/ublkb%u, or not for this user: %s", id,
			     strerror(-ret));
	else
		ret = check_removable(id, &info, force, &claim_fd, err);
	if (!ret) {
		ret = ublk_dev_delete(&c, id);
		if (ret)
			ob_error_set(err, ret, "/dev/ublkb%u cannot be removed: %s", id,
				     strerror(-ret));
		close(claim_fd);
	}
	ublk_ctrl_close(&c);
	return ret;
}

/* ---- in the caretaker ------------------------------------------------------------------- */

static uint64_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

/* Gone, or somebody else serves it? */
static bool cared_for(struct ublk_ctrl *c, const struct ublk_care *care)
{
	struct ublksrv_ctrl_dev_info info;
	int ret = ublk_dev_info(c, care->id, &info);

	if (ret == -ENODEV)
		return true;
	return ret >= 0 && info.state == UBLK_S_DEV_LIVE && info.ublksrv_pid != care->server &&
	       alive(info.ublksrv_pid);
}

static void set_queue(unsigned int id, const char *name, const char *value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", id, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	/* Without root it stays as it is, which works. */
	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		value = NULL;
	if (fd >= 0)
		close(fd);
}

void ublk_set_up(void *arg)
{
	const struct ublk_care *care = arg;
	char text[16];

	if (care->no_scheduler)
		set_queue(care->id, "scheduler", "none");
	snprintf(text, sizeof(text), "%u", care->requests);
	if (care->requests)
		set_queue(care->id, "nr_requests", text);
}

void ublk_take_down(void *arg)
{
	const struct ublk_care *care = arg;
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000l};
	struct pollfd keeper = {.fd = care->keeper, .events = POLLIN};
	uint64_t patience = seconds() + care->grace;
	uint64_t end = patience + TAKE_OVER_S;
	int claim_fd, holder;
	struct ublk_ctrl c;

	if (ublk_ctrl_open(&c, NULL))
		return;
	while (!cared_for(&c, care)) {
		uint64_t now = seconds();

		/* Its servers may die one after the other: that none is there when we look says nothing. */
		if (care->keeper >= 0 && !poll(&keeper, 1, 0)) {
			patience = now + care->grace;
			end = patience + TAKE_OVER_S;
		}
		if (now >= end || (now >= patience && !claim(care->id, &claim_fd, &holder))) {
			ublk_dev_delete(&c, care->id);
			return;
		}
		nanosleep(&pause, NULL);
	}
}
