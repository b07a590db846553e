/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and asking running instances. They are found in /proc/net/unix, so there is no file that could be
 * stale. Anybody can listen on such a name, so the kernel's word on the peer (SO_PEERCRED, unix(7))
 * decides whether it is believed.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/peer.h"

enum {
	ANSWER_MAX = 4 << 20, /* nobody has that many devices: somebody wants our memory */
	ASK_MS = 3000,
};

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int connect_to(const char *id, struct ucred *cred)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(*cred);
	int fd, n, ret;

	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PEER_PREFIX "%s", id);
	/* Non-blocking: a stopped instance with a full backlog would hold us for ever. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &size)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

static bool believe(const struct ucred *cred)
{
	return cred->uid == geteuid() || cred->uid == 0;
}

static int wait_for(int fd, short events, long end)
{
	struct pollfd p = {.fd = fd, .events = events};
	long left = end - now_ms();
	int n;

	if (left < 0)
		left = 0;
	do
		n = poll(&p, 1, (int)left);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : -ETIMEDOUT;
}

/* The whole answer as text, to be freed; or NULL and *ret. */
static char *converse(int fd, const char *request, int timeout_ms, int *ret)
{
	char line[PEER_REQUEST + 2], *text = NULL;
	size_t n = 0, room = 0;
	long end = now_ms() + timeout_ms;
	int len = snprintf(line, sizeof(line), "%s\n", request);

	if (len >= (int)sizeof(line)) {
		*ret = -EINVAL;
		return NULL;
	}
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len) {
		*ret = -EPIPE;
		return NULL;
	}
	for (;;) {
		ssize_t got;

		if (n + 1 >= room) {
			char *more;

			room = room ? room * 2 : 65536;
			more = room <= ANSWER_MAX ? realloc(text, room) : NULL;
			if (!more) {
				*ret = -EMSGSIZE;
				break;
			}
			text = more;
		}
		got = recv(fd, text + n, room - n - 1, 0);
		if (got > 0) {
			n += (size_t)got;
			continue;
		}
		if (!got && n) {
			text[n] = '\0';
			return text;
		}
		if (!got || (errno != EAGAIN && errno != EINTR)) {
			*ret = -ECONNRESET;
			break;
		}
		*ret = wait_for(fd, POLLIN, end);
		if (*ret)
			break;
	}
	free(text);
	return NULL;
}

static int ask_on(int fd, const char *request, int timeout_ms, struct json_object **answer)
{
	int ret = 0;
	char *text = converse(fd, request, timeout_ms, &ret);

	if (!text)
		return ret;
	*answer = json_tokener_parse(text);
	free(text);
	return *answer ? 0 : -EBADMSG;
}

/* Call @fn with the id of each instance that listens; stops when it returns false. */
static void for_each_id(bool (*fn)(void *arg, const char *id), void *arg)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char *line = NULL;
	size_t size = 0;
	bool more = true;

	if (!f)
		return;
	while (more && getline(&line, &size, f) > 0) {
		char *at = strstr(line, " @" PEER_PREFIX), *id, *end;
		unsigned int flags = 0;

		if (!at)
			continue;
		/* Num: RefCount Protocol Flags ...: only what accepts connections (__SO_ACCEPTCON). */
		if (sscanf(line, "%*s %*s %*s %x", &flags) != 1 || !(flags & 0x10000))
			continue;
		id = at + 2 + strlen(PEER_PREFIX);
		end = id + strspn(id, "0123456789.");
		if (end == id || (*end != '\n' && *end) || end - id >= 24)
			continue;
		*end = '\0';
		more = fn(arg, id);
	}
	free(line);
	fclose(f);
}

static bool is_ours(void *arg, const char *id)
{
	bool *found = arg;
	struct ucred cred;
	int fd = connect_to(id, &cred);

	if (fd < 0)
		return true;
	*found |= believe(&cred);
	close(fd);
	return !*found;
}

bool peers_running(void)
{
	bool found = false;

	for_each_id(is_ours, &found);
	return found;
}

struct list {
	const char *request;
	struct peer *peer;
	size_t n;
};

/* In a PID namespace of its own it knows itself by another number. */
static void put_pid(struct json_object *state, const struct ucred *cred)
{
	if (cred->pid && json_object_is_type(state, json_type_object))
		cli_put_u64(state, "pid", (uint64_t)cred->pid);
}

static bool add_peer(void *arg, const char *id)
{
	struct list *list = arg;
	struct peer *more, *p;
	struct ucred cred;
	int fd = connect_to(id, &cred);

	if (fd < 0)
		return true; /* ended meanwhile */
	more = realloc(list->peer, (list->n + 1) * sizeof(*more));
	if (!more) {
		close(fd);
		return false;
	}
	list->peer = more;
	p = &more[list->n++];
	memset(p, 0, sizeof(*p));
	snprintf(p->id, sizeof(p->id), "%s", id);
	p->pid = cred.pid;
	p->uid = cred.uid;
	p->trusted = believe(&cred);
	if (p->trusted && ask_on(fd, list->request, ASK_MS, &p->state))
		p->state = NULL;
	put_pid(p->state, &cred);
	close(fd);
	return true;
}

static int by_pid(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid) : strcmp(x->id, y->id);
}

size_t peers_list(const char *request, struct peer **peers)
{
	struct list list = {.request = request};

	for_each_id(add_peer, &list);
	if (list.n)
		qsort(list.peer, list.n, sizeof(*list.peer), by_pid);
	*peers = list.peer;
	return list.n;
}

void peers_free(struct peer *peers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_put(peers[i].state);
	free(peers);
}

/* The instance that a driver process or a broker belongs to, as `outboard devices` names them: its parent. 0: it is none. */
static int keeper_of(const char *who)
{
	char path[32], comm[32], state;
	int pid, parent = 0;
	FILE *f;

	if (!*who || who[strspn(who, "0123456789")] || strlen(who) > 10)
		return 0;
	snprintf(path, sizeof(path), "/proc/%s/stat", who);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d (outboard-%15[a-z]) %c %d", &pid, comm, &state, &parent) != 4)
		parent = 0;
	fclose(f);
	return parent;
}

static bool is_named(const struct peer *p, const char *who, int keeper)
{
	char pid[16];

	if (!who)
		return p->trusted;
	snprintf(pid, sizeof(pid), "%d", p->pid);
	return !strcmp(p->id, who) || (p->pid && (!strcmp(pid, who) || p->pid == keeper)) ||
	       !strcmp(cli_get_str(p->state, "name"), who);
}

/* Nobody was named: whose is the only one? @list: of those that are trusted. */
static int not_only_one(size_t found, size_t running, const char *list, struct ob_error *err)
{
	if (!found)
		return ob_error_set(err, -ESRCH, "no instance is running%s",
				    running ? " that is yours" : "");
	ob_error_set(err, -EINVAL, "which instance? There are %zu: %s", found, list);
	ob_error_fix(err, "name one, or give its PID; `outboard show` lists them");
	return -EINVAL;
}

int peer_find(const char *who, struct peer *peer, struct ob_error *err)
{
	char list[256] = "";
	struct peer *peers;
	size_t n = peers_list("name", &peers), found = 0, len = 0;
	int ret = 0, keeper = who ? keeper_of(who) : 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_named(&peers[i], who, keeper))
			continue;
		if (!found++)
			*peer = peers[i];
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", peers[i].id);
	}
	if (!who && found != 1) {
		ret = not_only_one(found, n, list, err);
	} else if (!found) {
		for (size_t i = 0; i < n && len < sizeof(list); i++)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s (%s)",
						len ? ", " : "",
						cli_get_str(peers[i].state, "name"), peers[i].id);
		ret = ob_error_set(err, -ESRCH, "no running instance is called '%s'", who);
		if (n)
			ob_error_why(err, "running: %s", list);
		else
			ob_error_why(err, "none is running");
	} else if (found > 1) {
		ret = ob_error_set(err, -EINVAL, "'%s' is the name of %zu instances: %s", who,
				   found, list);
		ob_error_fix(err, "name one by its PID");
	} else if (!peer->trusted) {
		ret = ob_error_set(err, -EACCES, "instance '%s' belongs to another user (uid %u)",
				   who, peer->uid);
	}
	peer->state = NULL;
	peers_free(peers, n);
	return ret;
}

int peer_ask(const struct peer *peer, const char *request, int timeout_ms,
	     struct json_object **answer, struct ob_error *err)
{
	struct json_object *bad;
	struct ucred cred;
	int fd, ret;

	*answer = NULL;
	fd = connect_to(peer->id, &cred);
	if (fd < 0)
		return ob_error_set(err, fd, "instance %s does not listen any more", peer->id);
	if (!believe(&cred)) {
		close(fd);
		return ob_error_set(err, -EACCES, "instance %s belongs to another user (uid %u)",
				    peer->id, cred.uid);
	}
	ret = ask_on(fd, request, timeout_ms, answer);
	close(fd);
	if (ret) {
		ob_error_set(err, ret, "instance %s does not answer", peer->id);
		ob_error_why(err, "%s", strerror(-ret));
		return ret;
	}
	put_pid(*answer, &cred);
	bad = cli_get(*answer, "error");
	if (!bad)
		return 0;
	ret = json_object_get_int(cli_get(bad, "code"));
	if (ret >= 0)
		ret = -EIO;
	ob_error_set(err, ret, "%s", cli_get_str(bad, "what"));
	ob_error_why(err, "%s", cli_get_str(bad, "why"));
	ob_error_fix(err, "%s", cli_get_str(bad, "fix"));
	json_object_put(*answer);
	*answer = NULL;
	return ret;
}

bool peer_wait_end(const struct peer *peer, int timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	long end = now_ms() + timeout_ms;
	struct ucred cred;
	int fd;

	/* The process, where it is one of our PID namespace: its socket closes a little earlier. */
	fd = peer->pid ? (int)syscall(SYS_pidfd_open, peer->pid, 0) : -1;
	if (fd >= 0) {
		int ret = wait_for(fd, POLLIN, end);

		close(fd);
		return !ret;
	}
	while ((fd = connect_to(peer->id, &cred)) >= 0) {
		close(fd);
		if (now_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}
