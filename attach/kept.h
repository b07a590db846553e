/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that outlive a driver process: a tap's, a listening socket's. An attachment that has made one gives it to the
 * keeper, which holds it and nothing else; the driver process that follows, forked by the keeper, finds it here and makes none.
 * What the kernel uses to see that a server died (/dev/ublkcN, vhost's and io_uring's descriptors) must not be given.
 *
 * Without a keeper nothing is kept and nothing found. Not thread-safe: to be used while attachments are opened, published and closed.
 */
#ifndef ATTACH_KEPT_H
#define ATTACH_KEPT_H

#include <stdbool.h>
#include <stddef.h>

#include <outboard/access.h>

enum {
	KEPT_KEY = OB_SPEC_TEXT + 64,
	KEPT_FDS = 24,
	KEPT_NOTE = 256,
};

/**
 * struct kept - what is kept under a key
 * @key: whose it is: "tap", the device's specification, and which of its parts
 * @fd, @nr_fds: descriptors of this process; -1 where there is none
 * @note, @note_size: what else the next one has to know
 */
struct kept {
	char key[KEPT_KEY];
	int fd[KEPT_FDS];
	unsigned int nr_fds;
	char note[KEPT_NOTE];
	size_t note_size;
};

/** kept_key() - of a part of a device: "@kind SPEC @index" */
void kept_key(char key[KEPT_KEY], const char *kind, const struct ob_device *dev,
	      unsigned int index);

/** kept_find() - what an earlier driver process gave; its descriptors are duplicates, the caller's */
bool kept_find(const char *key, struct kept *k);

/** kept_put() - give; @k's descriptors stay the caller's. Return: 0, also when nobody keeps; or what sendmsg(2) says */
int kept_put(const struct kept *k);

/** kept_keeper() - the keeper of this process, or 0 */
int kept_keeper(void);

/* ---- for the two processes ---------------------------------------------------------------- */

/** ob_kept_connect() - in a process of the keeper's, @pid: it is behind this socket (SOCK_SEQPACKET); -1: nothing is given to it */
void ob_kept_connect(int sock, int pid);

/** ob_kept_list() - all descriptors that are kept here. Return: how many, at most @max */
unsigned int ob_kept_list(int *fds, unsigned int max);

/** ob_kept_receive() - in the keeper: take what a driver process has given so far; never waits */
void ob_kept_receive(int sock);

/**
 * ob_kept_restore() - in a keeper that begins: what an earlier one held
 * @k: its descriptors stay the caller's
 *
 * Return: 0; -ENOSPC; -EMFILE.
 */
int ob_kept_restore(const struct kept *k);

/** ob_kept_watch() - in the keeper: @fn is called with each entry that comes or is replaced, from ob_kept_receive() */
void ob_kept_watch(void (*fn)(const struct kept *k));

/** ob_kept_count() - how many entries are kept here */
unsigned int ob_kept_count(void);

#endif
