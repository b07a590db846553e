/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in force for a driver process: what it reported before a driver's code ran, and what the kernel says of it now. proc(5). */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "keeper/sandbox_parts.h"

static const struct {
	const char *name, *what;
} measures[SANDBOX_MEASURES] = {
	[SANDBOX_UID] = {"user", "a user and a group of its own"},
	[SANDBOX_CAPS] = {"capabilities", "none, and none can be had"},
	[SANDBOX_NO_NEW_PRIVS] = {"no-new-privs", "no program that it starts has more rights"},
	[SANDBOX_USER_NS] = {"user-namespace", "an ordinary user's way to the other namespaces"},
	[SANDBOX_MOUNT_NS] = {"root", "a root of its own"},
	[SANDBOX_NET_NS] = {"network", "no interface, no address"},
	[SANDBOX_PID_NS] = {"processes", "it sees no other process"},
	[SANDBOX_IPC_NS] = {"ipc", "no message queue or semaphore of others"},
	[SANDBOX_UTS_NS] = {"host-name", "the host's name cannot be changed"},
	[SANDBOX_LANDLOCK] = {"landlock", "nothing can be opened or connected to"},
	[SANDBOX_DESCRIPTORS] = {"descriptors", "those that it was given only"},
	[SANDBOX_ENVIRONMENT] = {"environment", "empty"},
	[SANDBOX_SESSION] = {"session", "no terminal"},
	[SANDBOX_NOT_DUMPABLE] = {"not-dumpable", "its memory is for root only"},
	[SANDBOX_DIES_WITH_KEEPER] = {"dies-with-keeper", "it does not outlive the keeper"},
	[SANDBOX_LIMITS] = {"limits", "descriptors, memory, processes, pinned pages"},
	[SANDBOX_CGROUP] = {"cgroup", "memory, processes and processor time"},
	[SANDBOX_INIT_CALLS] = {"calls-loading",
				"system calls while the driver is loaded and bound"},
	[SANDBOX_RUN_CALLS] = {"calls", "system calls while it serves"},
};

const char *sandbox_measure_name(enum sandbox_measure m)
{
	return measures[m].name;
}

/* ---- what the kernel says ------------------------------------------------------------------------------------------------- */

struct seen {
	bool known;
	unsigned int uid, seccomp, filters, no_new_privs;
	unsigned long long caps, bounding;
};

static void look(pid_t pid, struct seen *seen)
{
	unsigned long long caps;
	char path[64], line[256];
	FILE *f;

	memset(seen, 0, sizeof(*seen));
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		seen->known = true;
		if (sscanf(line, "CapInh: %llx", &caps) == 1 ||
		    sscanf(line, "CapPrm: %llx", &caps) == 1 ||
		    sscanf(line, "CapEff: %llx", &caps) == 1 ||
		    sscanf(line, "CapAmb: %llx", &caps) == 1)
			seen->caps |= caps;
		sscanf(line, "CapBnd: %llx", &seen->bounding);
		sscanf(line, "Uid: %u", &seen->uid);
		sscanf(line, "NoNewPrivs: %u", &seen->no_new_privs);
		sscanf(line, "Seccomp: %u", &seen->seccomp);
		sscanf(line, "Seccomp_filters: %u", &seen->filters);
	}
	if (f)
		fclose(f);
}

/* 1: it is another one than the keeper's, 0: the same, -1: this user may not see that */
static int other_namespace(pid_t pid, const char *name)
{
	struct stat own, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	if (stat(path, &own))
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	if (stat(path, &its))
		return -1;
	return own.st_ino != its.st_ino;
}

static bool in_cgroup(const struct sandbox *s, pid_t pid)
{
	char path[64], line[512];
	bool found = false;
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) || strlen(line + 3) > strlen(s->cgroup_path))
			continue;
		end = s->cgroup_path + strlen(s->cgroup_path) - strlen(line + 3);
		found = line[4] && !strcmp(end, line + 3);
	}
	if (f)
		fclose(f);
	return found;
}

struct state {
	bool on;
	const char *seen; /* "kernel": it says so; "report": only the report does */
	char why[SANDBOX_WHY];
};

static void contradict(struct state *st, bool on, const char *why)
{
	st->seen = "kernel";
	if (st->on && !on)
		snprintf(st->why, sizeof(st->why), "the kernel says: %s", why);
	st->on = on;
}

static void verify(const struct sandbox *s, pid_t pid, const struct seen *seen,
		   enum sandbox_measure m, struct state *st)
{
	static const char *const spaces[SANDBOX_MEASURES] = {
		[SANDBOX_USER_NS] = "user", [SANDBOX_MOUNT_NS] = "mnt", [SANDBOX_NET_NS] = "net",
		[SANDBOX_PID_NS] = "pid",   [SANDBOX_IPC_NS] = "ipc",	[SANDBOX_UTS_NS] = "uts",
	};
	unsigned int wanted;

	if (!seen->known)
		return;
	if (spaces[m]) {
		int other = other_namespace(pid, spaces[m]);

		if (other >= 0)
			contradict(st, other && (st->on || m != SANDBOX_USER_NS),
				   "it is in the keeper's");
		return;
	}
	switch ((int)m) {
	case SANDBOX_UID:
		contradict(st, s->uid && seen->uid == s->uid, "it is another user");
		break;
	case SANDBOX_CAPS:
		contradict(st, !seen->caps, "it has some");
		break;
	case SANDBOX_NO_NEW_PRIVS:
		contradict(st, seen->no_new_privs, "it is off");
		break;
	case SANDBOX_CGROUP:
		contradict(st, st->on && in_cgroup(s, pid), "it is in another one");
		break;
	case SANDBOX_INIT_CALLS:
	case SANDBOX_RUN_CALLS:
		wanted = s->keeper_filters + 1;
		if (m == SANDBOX_RUN_CALLS && !(s->without & 1u << SANDBOX_INIT_CALLS))
			wanted++;
		contradict(st, seen->seccomp == 2 && seen->filters >= wanted, "it has no filter");
		/* It cannot report this one: a driver's code is in the process then. */
		if (m == SANDBOX_RUN_CALLS && st->on)
			snprintf(st->why, sizeof(st->why), "%u",
				 sandbox_calls_allowed(SANDBOX_RUN, s->report->uses, NULL));
		break;
	}
}

/* ---- telling ---------------------------------------------------------------------------------------------------------------- */

void sandbox_describe(const struct sandbox *s, pid_t pid, struct json_object *doc, FILE *table)
{
	struct json_object *list = doc ? json_object_new_array() : NULL;
	struct seen seen;

	look(pid, &seen);
	for (unsigned int i = 0; i < SANDBOX_MEASURES; i++) {
		struct state st = {.on = s->report->measure[i].on, .seen = "report"};

		memcpy(st.why, s->report->measure[i].why, sizeof(st.why));
		st.why[sizeof(st.why) - 1] = '\0';
		verify(s, pid, &seen, (enum sandbox_measure)i, &st);
		if (table)
			fprintf(table, "%-18s %-4s %s%s%s%s\n", measures[i].name,
				st.on ? "on" : "off", measures[i].what, *st.why ? " (" : "", st.why,
				*st.why ? ")" : "");
		if (list) {
			struct json_object *one = json_object_new_object();

			json_object_object_add(one, "measure",
					       json_object_new_string(measures[i].name));
			json_object_object_add(one, "on", json_object_new_boolean(st.on));
			json_object_object_add(one, "what",
					       json_object_new_string(measures[i].what));
			json_object_object_add(one, "detail", json_object_new_string(st.why));
			json_object_object_add(one, "seen_by", json_object_new_string(st.seen));
			json_object_array_add(list, one);
		}
	}
	if (!doc)
		return;
	json_object_object_add(doc, "measures", list);
	json_object_object_add(doc, "user", json_object_new_int64(s->uid));
	json_object_object_add(doc, "cgroup", json_object_new_string(s->cgroup_path));
	json_object_object_add(doc, "bounding",
			       json_object_new_boolean(seen.known && seen.bounding));
}
