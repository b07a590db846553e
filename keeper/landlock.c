/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Landlock: a second wall behind the empty root and the empty network, which stands also where namespaces cannot be had.
 * landlock(7); include/uapi/linux/landlock.h for what each version of the ABI brought.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#include "keeper/sandbox_parts.h"

static int abi(void)
{
	long ret = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return ret < 0 ? -errno : (int)ret;
}

/* All rights that this kernel can take away. Older kernels accept the larger struct while its rest is zero. */
static int create(int version)
{
	struct landlock_ruleset_attr attr = {
		/* ABI 1: the first 13 rights */
		.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1,
	};

	if (version >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 4)
		attr.handled_access_net =
			LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (version >= 5)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (version >= 6)
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
}

/* A path that is not there needs no rule. */
static int may_read(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE};
	struct stat st;
	int ret = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!fstat(rule.parent_fd, &st) && S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		ret = -errno;
	close(rule.parent_fd);
	return ret;
}

void sandbox_landlock(struct sandbox *s)
{
	int version, ruleset, ret = 0;

	if (!sandbox_wants(s, SANDBOX_LANDLOCK))
		return;
	version = abi();
	if (version < 0) {
		sandbox_lacks(s, SANDBOX_LANDLOCK, "%s",
			      version == -EOPNOTSUPP
				      ? "not switched on in this kernel (its option lsm=)"
				      : "not in this kernel");
		return;
	}
	ruleset = create(version);
	if (ruleset < 0) {
		sandbox_lacks(s, SANDBOX_LANDLOCK, "%s", strerror(errno));
		return;
	}
	for (unsigned int i = 0; i < s->nr_read && !ret; i++)
		ret = may_read(ruleset, s->read[i]);
	for (unsigned int i = 0; s->system_libraries && sandbox_library_paths[i] && !ret; i++)
		ret = may_read(ruleset, sandbox_library_paths[i]);
	if (!ret && syscall(SYS_landlock_restrict_self, ruleset, 0))
		ret = -errno;
	close(ruleset);
	if (ret)
		sandbox_lacks(s, SANDBOX_LANDLOCK, "%s", strerror(-ret));
	else
		sandbox_is(s, SANDBOX_LANDLOCK, "ABI %d", version);
}

void sandbox_landlock_rest(void)
{
	int version = abi(), ruleset = version < 0 ? -1 : create(version);

	if (ruleset < 0)
		return;
	/* All threads: ABI 8, Linux 7.0. */
	syscall(SYS_landlock_restrict_self, ruleset,
		version >= 8 ? LANDLOCK_RESTRICT_SELF_TSYNC : 0);
	close(ruleset);
}
