/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the sandbox share; sandbox.h is what others use. */
#ifndef KEEPER_SANDBOX_PARTS_H
#define KEEPER_SANDBOX_PARTS_H

#include "keeper/sandbox.h"

/** sandbox_wants() - false: the caller does not want it, which is noted */
bool sandbox_wants(struct sandbox *s, enum sandbox_measure m);
/** sandbox_is() - note that a measure is on, with a detail or NULL */
void sandbox_is(struct sandbox *s, enum sandbox_measure m, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** sandbox_lacks() - note why a measure cannot be had */
void sandbox_lacks(struct sandbox *s, enum sandbox_measure m, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool sandbox_on(const struct sandbox *s, enum sandbox_measure m);

/* describe.c */
const char *sandbox_measure_name(enum sandbox_measure m);

/* namespaces.c */
bool sandbox_has_threads(void);
/** sandbox_unshare() - the namespaces, and the root. In the child */
int sandbox_unshare(struct sandbox *s, struct ob_error *err);

/* landlock.c */
/** sandbox_landlock() - nothing but @read can be opened. In the child, in its new root */
void sandbox_landlock(struct sandbox *s);
/** sandbox_landlock_rest() - nothing at all any more. Of the caller's thread, where the kernel is older than 7.0 */
void sandbox_landlock_rest(void);

/* limits.c */
int sandbox_limit(struct sandbox *s, struct ob_error *err);
/** sandbox_limit_more() - to what is in use now, by sandbox_lock() */
int sandbox_limit_more(const struct sandbox *s, struct ob_error *err);
int sandbox_close_others(struct sandbox *s, struct ob_error *err);
void sandbox_forget_environment(struct sandbox *s);

/* privileges.c */
void sandbox_choose_user(struct sandbox *s);
int sandbox_drop_privileges(struct sandbox *s, struct ob_error *err);

/* cgroup.c */
void sandbox_cgroup_make(struct sandbox *s);
/** sandbox_cgroup_put() - put a process into it; 0: the caller */
void sandbox_cgroup_put(struct sandbox *s, pid_t pid);
/** sandbox_cgroup_await() - in the child: be in it, if that is required, or on the way to it */
void sandbox_cgroup_await(struct sandbox *s);
void sandbox_cgroup_remove(struct sandbox *s);
/** sandbox_write() - @text into a file that is there; @dir: as of openat(2). Return: 0 or a negative errno value */
int sandbox_write(int dir, const char *file, const char *text);

/* seccomp.c */
int sandbox_filter(const struct sandbox *s, enum sandbox_phase phase, struct ob_error *err);

/* The system's folders of libraries, as ld.so(8) searches them, and its cache; NULL-terminated. */
extern const char *const sandbox_library_paths[];

#endif
