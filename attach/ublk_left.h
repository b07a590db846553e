/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ublk devices that a server which died has left. The kernel keeps /dev/ublkcN until somebody deletes it, and, when the
 * device can be recovered, /dev/ublkbN too, with its clients waiting.
 *
 * Which are ours, and of which disk, is written into the device itself: the 64 bits that the kernel keeps for
 * servers (struct ublksrv_ctrl_dev_info, ublksrv_flags) hold a mark and a hash of what the disk is. Whether
 * somebody serves one is told by the claim "ublk:N" (ob_claim()), which is held by whoever does.
 */
#ifndef ATTACH_UBLK_LEFT_H
#define ATTACH_UBLK_LEFT_H

#include <stdbool.h>
#include <stdint.h>

#include <outboard/block.h>

struct caretaker;
struct ublk_ctrl;
struct ublksrv_ctrl_dev_info;

/**
 * struct ob_ublk_left - a device without a server
 * @id: N of /dev/ublkbN
 * @pid: who served it
 * @identity: of the disk that it was
 * @size: bytes; 0 when it was not told
 * @waiting: it can be taken over, and its clients wait for that
 */
struct ob_ublk_left {
	unsigned int id;
	int pid;
	uint64_t identity;
	uint64_t size;
	bool waiting;
};

/**
 * ob_ublk_left() - find them
 *
 * Return: how many there are, of which the first @n are in @left; 0 where there is no ublk, or who asks may
 * not know.
 */
unsigned int ob_ublk_left(struct ob_ublk_left *left, unsigned int n);

/**
 * ob_ublk_remove() - remove one, whose users get errors
 * @force: even while somebody has it open or mounted
 *
 * Return: 0; -EBUSY (in use, or it has a server); -ENODEV; -EPERM (it is not ours).
 */
int ob_ublk_remove(unsigned int id, bool force, struct ob_error *err);

/* ---- for the attachment ----------------------------------------------------------- */

/** ublk_identity() - what ublksrv_flags are for a disk; @share tells apart the memory shared with clients */
uint64_t ublk_identity(const struct ob_block *blk, uint16_t share);

/** ublk_claim() - be the one who serves, or removes, device @id; -EBUSY with @holder */
int ublk_claim(unsigned int id, int *fd, int *holder);

/**
 * ublk_find_left() - a device that was this disk
 * @claim_fd: set: the claim on it
 *
 * Return: its number, or -ENOENT.
 */
int ublk_find_left(struct ublk_ctrl *c, uint64_t identity, int *claim_fd,
		   struct ublksrv_ctrl_dev_info *info);

/**
 * struct ublk_care - what the caretaker of a device knows
 * @server: the process that died
 * @grace: seconds that it waits for somebody to take the device over
 * @keeper: descriptor of a process (pidfd) that sees to that, however long it takes and how often, or -1
 * @no_scheduler: the disk is to have none
 * @requests: of its queue, or 0: as it is
 */
struct ublk_care {
	unsigned int id;
	int server;
	unsigned int grace;
	int keeper;
	bool no_scheduler;
	unsigned int requests;
};

/** ublk_care_start() - the caretaker of a device; @care's server and keeper are filled in */
int ublk_care_start(const struct ublk_care *care, struct caretaker *caretaker,
		    struct ob_error *err);

/** ublk_set_up() - struct caretaker_job.set_up: attributes of the disk's queue; may wait for requests that are under way */
void ublk_set_up(void *care);

/** ublk_take_down() - struct caretaker_job.take_down, with a struct ublk_care */
void ublk_take_down(void *care);

#endif
