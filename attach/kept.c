/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors that a keeper holds for its driver processes: attach/kept.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/kept.h"
#include "attach/passing.h"

enum {
	ENTRIES = 64,
};

/* In the keeper: what it holds. In a driver process: the same, as it was when the keeper forked. */
static struct kept *entries[ENTRIES];
static unsigned int nr_entries;
static void (*watcher)(const struct kept *k);
static int keeper = -1;
static pid_t keeper_pid;

/* As it goes over the socket, in front of the descriptors that are there. */
struct message {
	char key[KEPT_KEY];
	char note[KEPT_NOTE];
	size_t note_size;
	unsigned int nr_fds;
	bool has[KEPT_FDS];
};

void kept_key(char key[KEPT_KEY], const char *kind, const struct ob_device *dev, unsigned int index)
{
	snprintf(key, KEPT_KEY, "%s %s %u", kind, dev->info.spec, index);
}

static struct kept *find(const char *key)
{
	for (unsigned int i = 0; i < nr_entries; i++)
		if (!strcmp(entries[i]->key, key))
			return entries[i];
	return NULL;
}

/* With descriptors of its own. */
static bool copy(struct kept *k, const struct kept *from)
{
	*k = *from;
	for (unsigned int i = 0; i < k->nr_fds; i++) {
		if (from->fd[i] < 0)
			continue;
		k->fd[i] = fcntl(from->fd[i], F_DUPFD_CLOEXEC, 0);
		if (k->fd[i] >= 0)
			continue;
		while (i--)
			if (k->fd[i] >= 0)
				close(k->fd[i]);
		return false;
	}
	return true;
}

bool kept_find(const char *key, struct kept *k)
{
	const struct kept *entry = find(key);

	return entry && copy(k, entry);
}

int kept_put(const struct kept *k)
{
	struct message m = {.note_size = k->note_size, .nr_fds = k->nr_fds};
	struct iovec iov = {&m, sizeof(m)};
	unsigned int n = 0;
	int fds[KEPT_FDS];
	ssize_t sent;

	if (keeper < 0)
		return 0;
	memcpy(m.key, k->key, sizeof(m.key));
	memcpy(m.note, k->note, sizeof(m.note));
	for (unsigned int i = 0; i < k->nr_fds; i++) {
		m.has[i] = k->fd[i] >= 0;
		if (m.has[i])
			fds[n++] = k->fd[i];
	}
	sent = passing_send(keeper, &iov, 1, fds, n);
	return sent < 0 ? (int)sent : 0;
}

void ob_kept_connect(int sock, int pid)
{
	keeper = sock;
	keeper_pid = pid;
}

unsigned int ob_kept_list(int *fds, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr_entries; i++)
		for (unsigned int k = 0; k < entries[i]->nr_fds; k++)
			if (entries[i]->fd[k] >= 0 && n < max)
				fds[n++] = entries[i]->fd[k];
	return n;
}

int kept_keeper(void)
{
	return keeper_pid;
}

unsigned int ob_kept_count(void)
{
	return nr_entries;
}

/* ---- in the keeper ------------------------------------------------------------------------ */

static void close_all(struct kept *k)
{
	for (unsigned int i = 0; i < k->nr_fds; i++)
		if (k->fd[i] >= 0)
			close(k->fd[i]);
}

/* The driver process is not trusted: what is not as kept_put() makes it is dropped. */
static void take(const struct message *m, const int *fds, unsigned int n)
{
	struct kept *k = NULL;
	unsigned int used = 0, want = 0;

	if (m->nr_fds <= KEPT_FDS && m->note_size <= KEPT_NOTE &&
	    memchr(m->key, '\0', sizeof(m->key))) {
		for (unsigned int i = 0; i < m->nr_fds; i++)
			want += m->has[i];
		k = want == n ? find(m->key) : NULL;
		if (k)
			close_all(k);
		else if (want == n && nr_entries < ENTRIES && (k = calloc(1, sizeof(*k))))
			entries[nr_entries++] = k;
	}
	if (!k) {
		while (n)
			close(fds[--n]);
		return;
	}
	memcpy(k->key, m->key, sizeof(k->key));
	memcpy(k->note, m->note, sizeof(k->note));
	k->note_size = m->note_size;
	k->nr_fds = m->nr_fds;
	for (unsigned int i = 0; i < k->nr_fds; i++)
		k->fd[i] = m->has[i] ? fds[used++] : -1;
	if (watcher)
		watcher(k);
}

void ob_kept_watch(void (*fn)(const struct kept *k))
{
	watcher = fn;
}

int ob_kept_restore(const struct kept *given)
{
	struct kept *k;

	if (nr_entries == ENTRIES || find(given->key))
		return -ENOSPC;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOSPC;
	if (!copy(k, given)) {
		free(k);
		return -EMFILE;
	}
	entries[nr_entries++] = k;
	return 0;
}

void ob_kept_receive(int sock)
{
	for (;;) {
		struct message m;
		struct iovec iov = {&m, sizeof(m)};
		int fds[KEPT_FDS];
		unsigned int n = KEPT_FDS;
		bool cut;
		ssize_t got = passing_receive(sock, MSG_DONTWAIT, &iov, 1, fds, &n, &cut);

		if (got <= 0)
			return;
		/* Of what was cut off the kernel has closed the rest. */
		if (got != sizeof(m) || cut)
			m.nr_fds = KEPT_FDS + 1;
		take(&m, fds, n);
	}
}
