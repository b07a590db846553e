/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control commands of the kernel's ublk driver, by /dev/ublk-control (Linux,
 * Documentation/block/ublk.rst and include/uapi/linux/ublk_cmd.h).
 */
#ifndef ATTACH_UBLK_CTRL_H
#define ATTACH_UBLK_CTRL_H

#include <liburing.h>
#include <linux/ublk_cmd.h>

#include <outboard/error.h>

#define UBLK_CONTROL_PATH "/dev/ublk-control"

enum {
	/* What a command that the kernel answers by itself may take. */
	UBLK_CTRL_MS = 30000,
};

/**
 * struct ublk_ctrl - one way to give commands; one thread at a time
 * @asked: the process is confined, and its broker gives them
 * @path: the character device's, when the device is an unprivileged one: the kernel then checks the
 *	rights to that node instead of a capability. Empty otherwise
 * @buf: what the kernel reads and writes. A page of its own: where a command is not answered in time the
 *	kernel may still write to it later, so it is never used for anything else
 */
struct ublk_ctrl {
	bool asked; /* the broker gives them */
	int fd;
	struct io_uring ring;
	char path[32];
	char *buf;
};

/** ublk_ctrl_open() - 0, or an error that says what is missing and how to get it */
int ublk_ctrl_open(struct ublk_ctrl *c, struct ob_error *err);
void ublk_ctrl_close(struct ublk_ctrl *c);

/**
 * ublk_ctrl_cmd() - give a command and wait for its end
 * @op: UBLK_U_CMD_*
 * @id: of the device
 * @data: the command's word
 * @payload, @len: read before and written after the command; or NULL and 0
 * @ms: how long it may take
 * @give_up: asked every 100 ms: true ends the wait; may be NULL
 *
 * Return: what the kernel said, a negative errno value for an error; -ETIMEDOUT; -ECANCELED by @give_up.
 * After these two no further command can be given.
 */
int ublk_ctrl_cmd(struct ublk_ctrl *c, unsigned int op, unsigned int id, uint64_t data,
		  void *payload, size_t len, unsigned int ms, bool (*give_up)(void *arg),
		  void *arg);

/** ublk_char_open() - /dev/ublkcN. Return: a descriptor, or a negative errno value */
int ublk_char_open(unsigned int id);

/** ublk_ctrl_own() - in the broker: device @id is the confined process's to command */
void ublk_ctrl_own(unsigned int id);

/** ublk_ctrl_owns() - may it be commanded? Always, but for a confined process's broker */
bool ublk_ctrl_owns(unsigned int id);

/** ublk_ctrl_usable() - could another command be given? */
bool ublk_ctrl_usable(const struct ublk_ctrl *c);

/** ublk_features() - UBLK_F_* that this kernel has */
int ublk_features(struct ublk_ctrl *c, uint64_t *features);

/** ublk_dev_info() - what the kernel says of a device; sets @c->path as that device needs it */
int ublk_dev_info(struct ublk_ctrl *c, unsigned int id, struct ublksrv_ctrl_dev_info *info);

/** ublk_dev_delete() - stop a device, whoever used it gets errors, and remove it */
int ublk_dev_delete(struct ublk_ctrl *c, unsigned int id);

#endif
