/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper/fd_store.h. An entry is several descriptors, of which the store keeps no order, and a key and a note, of which it keeps none.
 * So each descriptor has a name of its own, "ob-HASH.N" with a hash of the key, and "ob-HASH.m" is a memfd with the rest.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/kept.h"
#include "keeper/fd_store.h"
#include "keeper/notify.h"

#define MAGIC "outboard-kept-1"

/* In the memfd. The next keeper may be of another version: another magic then, and it makes everything anew. */
struct record {
	char magic[16];
	char key[KEPT_KEY];
	char note[KEPT_NOTE];
	uint32_t note_size, nr_fds;
	uint8_t has[KEPT_FDS];
};

/* FNV-1a (draft-eastlake-fnv): keys are ours, nobody aims at a collision. */
static uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

/* ---- giving ------------------------------------------------------------------------------------- */

static int make_record(const struct kept *k)
{
	struct record r = {.note_size = (uint32_t)k->note_size, .nr_fds = k->nr_fds};
	int fd = memfd_create("outboard-kept", MFD_CLOEXEC);

	memcpy(r.magic, MAGIC, sizeof(MAGIC));
	memcpy(r.key, k->key, sizeof(r.key));
	memcpy(r.note, k->note, sizeof(r.note));
	for (unsigned int i = 0; i < k->nr_fds; i++)
		r.has[i] = k->fd[i] >= 0;
	if (fd >= 0 && write(fd, &r, sizeof(r)) != sizeof(r)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* FDPOLL=0: a tap whose interface is down is in error for poll(), and is to be kept all the same. */
static void give_one(const char *key, const char *which, int fd)
{
	notify("FDSTOREREMOVE=1\nFDNAME=ob-%016" PRIx64 ".%s", hash(key), which);
	if (fd >= 0)
		notify_fd(fd, "FDSTORE=1\nFDPOLL=0\nFDNAME=ob-%016" PRIx64 ".%s", hash(key), which);
}

static void give(const struct kept *k)
{
	char which[12];
	int record = make_record(k);

	/* The record last: without it there is no entry, should this be the end. */
	give_one(k->key, "m", -1);
	for (unsigned int i = 0; i < k->nr_fds; i++) {
		snprintf(which, sizeof(which), "%u", i);
		give_one(k->key, which, k->fd[i]);
	}
	if (record < 0)
		return;
	give_one(k->key, "m", record);
	close(record);
}

/* ---- taking ------------------------------------------------------------------------------------- */

static bool read_record(int fd, const char *name, struct record *r)
{
	char want[32];

	if (pread(fd, r, sizeof(*r), 0) != sizeof(*r) || memcmp(r->magic, MAGIC, sizeof(MAGIC)) ||
	    r->nr_fds > KEPT_FDS || r->note_size > KEPT_NOTE ||
	    !memchr(r->key, '\0', sizeof(r->key)))
		return false;
	snprintf(want, sizeof(want), "ob-%016" PRIx64 ".m", hash(r->key));
	return !strcmp(name, want);
}

static int find(const char *want)
{
	char name[NOTIFY_NAME];
	int fd;

	for (unsigned int i = 0; (fd = notify_listen_fd(i, name)) >= 0; i++)
		if (!strcmp(name, want))
			return fd;
	return -1;
}

static bool take(const struct record *r)
{
	struct kept k = {.nr_fds = r->nr_fds, .note_size = r->note_size};
	char want[40];
	bool whole = true;

	memcpy(k.key, r->key, sizeof(k.key));
	memcpy(k.note, r->note, sizeof(k.note));
	for (unsigned int i = 0; i < k.nr_fds; i++) {
		snprintf(want, sizeof(want), "ob-%016" PRIx64 ".%u", hash(k.key), i);
		k.fd[i] = r->has[i] ? find(want) : -1;
		whole &= !r->has[i] || k.fd[i] >= 0;
	}
	return whole && !ob_kept_restore(&k);
}

unsigned int fd_store_open(void)
{
	char name[NOTIFY_NAME];
	struct record r;
	unsigned int n = 0;
	int fd;

	if (!notify_wanted())
		return 0;
	for (unsigned int i = 0; (fd = notify_listen_fd(i, name)) >= 0; i++)
		if (read_record(fd, name, &r) && take(&r))
			n++;
	/* Taken are duplicates. What is no entry is somebody else's (a socket unit's), and stays open. */
	for (unsigned int i = 0; (fd = notify_listen_fd(i, name)) >= 0; i++)
		if (!strncmp(name, "ob-", 3))
			close(fd);
	ob_kept_watch(give);
	return n;
}
