/* SPDX-License-Identifier: BSD-2-Clause */
/* A user of its own for a driver process, and no privilege. capabilities(7), libcap-ng. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <linux/securebits.h>

#include <outboard/access.h>

#include "keeper/sandbox_parts.h"

/*
 * Users without a name that nobody else gives out: systemd's UIDS-GIDS.md lists from 1879048192 on as unused. In a container that maps
 * fewer, those that it lists for services of a moment, 61184 to 65519.
 */
enum {
	USERS = 0x70000000,
	USERS_CONTAINER = 61184,
	NR_USERS = 4096,
};

static bool is_mapped(uid_t uid)
{
	unsigned int first, outside, n;
	bool mapped = false;
	FILE *f = fopen("/proc/self/uid_map", "re");

	while (f && !mapped && fscanf(f, "%u %u %u", &first, &outside, &n) == 3)
		mapped = uid >= first && uid - first < n;
	if (f)
		fclose(f);
	return mapped;
}

/* From the name, so that an instance has the same one each time; the next where somebody holds it. */
void sandbox_choose_user(struct sandbox *s)
{
	uid_t base = is_mapped(USERS + NR_USERS) ? USERS : USERS_CONTAINER;
	uint32_t hash = 2166136261u; /* FNV-1a */
	char claim[48];
	int holder;

	if (!s->as_root) {
		sandbox_lacks(s, SANDBOX_UID, "only root can give it another user");
		return;
	}
	if (!sandbox_wants(s, SANDBOX_UID) || s->uid)
		return;
	/* The namespace that an ordinary user made for himself, as by unshare(1), has one. */
	if (!is_mapped(base + NR_USERS - 1)) {
		sandbox_lacks(s, SANDBOX_UID, "this user namespace has no other users");
		return;
	}
	for (const char *p = s->name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	for (unsigned int i = 0; i < NR_USERS; i++) {
		uid_t uid = base + (hash + i) % NR_USERS;

		snprintf(claim, sizeof(claim), "driver-user:%u", uid);
		if (ob_claim(claim, &s->uid_claim, &holder))
			continue;
		s->uid = uid;
		s->gid = uid;
		return;
	}
	sandbox_lacks(s, SANDBOX_UID, "all %d users are taken", NR_USERS);
}

static int drop_user(struct sandbox *s, struct ob_error *err)
{
	if (!s->uid || s->without & 1u << SANDBOX_UID)
		return 0;
	if (setgroups(0, NULL) || setresgid(s->gid, s->gid, s->gid) ||
	    setresuid(s->uid, s->uid, s->uid))
		return ob_error_set(err, -errno, "sandbox: cannot become user %u: %s", s->uid,
				    strerror(errno));
	sandbox_is(s, SANDBOX_UID, "%u", s->uid);
	return 0;
}

/* The kernel's word: libcap-ng would look at /proc by a number that is another process's there, since this one has a namespace of its own. */
static bool bounding_set_is_empty(void)
{
	for (unsigned long cap = 0; cap <= 63; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0)
			return false;
	return true;
}

/* The bounding set needs a capability itself, so it goes first where there is one; the sets are empty after it in any case. */
static int drop_capabilities(struct sandbox *s, bool before, struct ob_error *err)
{
	int ret;

	if (s->without & 1u << SANDBOX_CAPS) {
		sandbox_lacks(s, SANDBOX_CAPS, "not wanted");
		return 0;
	}
	if (before) {
		/* Root is a user as any other, and that cannot be changed back. */
		if (s->as_root || sandbox_on(s, SANDBOX_USER_NS))
			prctl(PR_SET_SECUREBITS,
			      SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
				      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
				      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
		capng_clear(CAPNG_SELECT_BOUNDS);
		/* Without the right to do it (an ordinary user and no namespace): NO_NEW_PRIVS makes it the same. */
		if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
			capng_apply(CAPNG_SELECT_BOUNDS);
		return 0;
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	capng_clear(CAPNG_SELECT_CAPS);
	ret = capng_apply(CAPNG_SELECT_CAPS);
	if (ret || capng_get_caps_process() || capng_have_capabilities(CAPNG_SELECT_CAPS))
		return ob_error_set(err, -EPERM, "sandbox: capabilities cannot be dropped");
	sandbox_is(s, SANDBOX_CAPS, bounding_set_is_empty() ? NULL : "but for the bounding set");
	return 0;
}

/* The keeper may have died before the kernel was told to end this process with it. */
static int die_with_keeper(struct sandbox *s, struct ob_error *err)
{
	struct pollfd keeper = {.fd = s->keeper_fd, .events = POLLIN};

	if (!sandbox_wants(s, SANDBOX_DIES_WITH_KEEPER))
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return ob_error_set(err, -errno, "sandbox: PR_SET_PDEATHSIG: %s", strerror(errno));
	if (poll(&keeper, 1, 0))
		return ob_error_set(err, -ESRCH, "sandbox: the keeper is dead");
	sandbox_is(s, SANDBOX_DIES_WITH_KEEPER, NULL);
	return 0;
}

int sandbox_drop_privileges(struct sandbox *s, struct ob_error *err)
{
	int ret;

	if (capng_get_caps_process())
		return ob_error_set(err, -EIO, "sandbox: cannot read own capabilities");
	ret = drop_capabilities(s, true, err);
	if (!ret)
		ret = drop_user(s, err);
	if (!ret)
		ret = drop_capabilities(s, false, err);
	if (ret)
		return ret;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ob_error_set(err, -errno, "sandbox: PR_SET_NO_NEW_PRIVS: %s",
				    strerror(errno));
	sandbox_is(s, SANDBOX_NO_NEW_PRIVS, NULL);
	if (s->debuggable) {
		/* Becoming another user has taken it away. */
		prctl(PR_SET_DUMPABLE, 1);
		sandbox_lacks(s, SANDBOX_NOT_DUMPABLE, "it is to be debugged");
	} else if (sandbox_wants(s, SANDBOX_NOT_DUMPABLE)) {
		if (prctl(PR_SET_DUMPABLE, 0))
			return ob_error_set(err, -errno, "sandbox: PR_SET_DUMPABLE: %s",
					    strerror(errno));
		sandbox_is(s, SANDBOX_NOT_DUMPABLE, NULL);
	}
	/* After the change of the user, which takes it back. */
	return die_with_keeper(s, err);
}
