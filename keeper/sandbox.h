/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandbox of a driver process: everything that is taken from it before a driver's code is loaded, and the rest
 * once it serves. docs/sandbox.md says what is in force, and what an attacker can still do.
 *
 *	sandbox_prepare()  in the keeper: the cgroup, what this system can
 *	sandbox_fork()     or fork()
 *	sandbox_enter()    in the child, before it has a second thread or a line of a driver's code
 *	...                the driver is loaded and bound, attachments are opened
 *	sandbox_lock()     in the child: from now on the short list of system calls
 *	sandbox_describe() in the keeper: what is in force, as the kernel says it
 *	sandbox_release()  in the keeper, when the child has ended and was waited for
 */
#ifndef KEEPER_SANDBOX_H
#define KEEPER_SANDBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <outboard/error.h>

struct json_object;

/* In the order in which sandbox_describe() lists them. */
enum sandbox_measure {
	SANDBOX_UID,  /* a user and a group of its own, no other groups */
	SANDBOX_CAPS, /* all capability sets are empty, the bounding set too */
	SANDBOX_NO_NEW_PRIVS,
	SANDBOX_USER_NS,  /* for an ordinary user: it allows the other namespaces */
	SANDBOX_MOUNT_NS, /* an empty root, but for what is to be loaded */
	SANDBOX_NET_NS,
	SANDBOX_PID_NS,
	SANDBOX_IPC_NS,
	SANDBOX_UTS_NS,
	SANDBOX_LANDLOCK,
	SANDBOX_DESCRIPTORS,
	SANDBOX_ENVIRONMENT,
	SANDBOX_SESSION, /* no terminal */
	SANDBOX_NOT_DUMPABLE,
	SANDBOX_DIES_WITH_KEEPER,
	SANDBOX_LIMITS,	    /* rlimits */
	SANDBOX_CGROUP,	    /* memory, processes, processor time */
	SANDBOX_INIT_CALLS, /* system calls while the driver is loaded and bound */
	SANDBOX_RUN_CALLS,  /* ... while it serves: sandbox_lock() */
	SANDBOX_MEASURES,
};

/*
 * What a driver process works with, for the lists of system calls: those that only one kind of device or attachment needs
 * are allowed where it is used.
 */
enum sandbox_uses {
	SANDBOX_USES_VFIO = 1 << 0,
	SANDBOX_USES_UIO = 1 << 1,
	SANDBOX_USES_QEMU = 1 << 2,
	SANDBOX_USES_LINUX = 1 << 3, /* drivers of the Linux kernel */
	SANDBOX_USES_UBLK = 1 << 4,
	SANDBOX_USES_NBD = 1 << 5,
	SANDBOX_USES_FUSE = 1 << 6, /* fuse, loop, cuse */
	SANDBOX_USES_TAP = 1 << 7,
	SANDBOX_USES_VHOST = 1 << 8,
	SANDBOX_USES_VDUSE = 1 << 9,
	SANDBOX_USES_THREADS = 1 << 10, /* threads are started after sandbox_lock() */
	SANDBOX_USES_PASSING = 1 << 11, /* descriptors come from the keeper after sandbox_lock() */
};

/**
 * struct sandbox_limits - 0: the default
 * @nofile: descriptors. Default: after sandbox_lock(), eight more than are open and clients may come
 * @nproc: processes and threads (64)
 * @memory: bytes of memory of its own (512 MiB); what is shared, as the DMA arena, counts in the cgroup only
 * @memlock: bytes that it may pin for DMA, or lock (64 MiB)
 * @stack: bytes of a stack (8 MiB)
 * @cpu_percent: of one processor, by the cgroup. Default: no limit
 */
struct sandbox_limits {
	unsigned int nofile, nproc;
	uint64_t memory, memlock, stack;
	unsigned int cpu_percent;
};

enum {
	SANDBOX_WHY = 160,
};

/* What became of each measure. Written by the child until a driver's code could, and by the keeper of its cgroup. */
struct sandbox_report {
	struct {
		bool on;
		char why[SANDBOX_WHY]; /* where it is off, or not whole; else a detail, or "" */
	} measure[SANDBOX_MEASURES];
	atomic_bool put;   /* into the cgroup, or that failed */
	unsigned int uses; /* of which the child's lists of system calls were made */
};

/**
 * struct sandbox - a driver process's sandbox, from one sandbox_prepare() to its sandbox_release()
 *
 * Zero is the strictest. The caller fills the first part; texts and lists must live until sandbox_enter().
 *
 * @name: of the instance: of its cgroup, and whence its user is chosen
 * @without: measures that are not wanted, as 1 << enum sandbox_measure
 * @required: those without which sandbox_enter() fails, beside the ones that every system has
 * @uid, @gid: 0: chosen, and held machine-wide. Only root can give another
 * @keep, @nr_keep: descriptors that stay open, in any order; 0 to 2 are not kept by themselves
 * @read, @nr_read: files and folders that exist in its root, by the same absolute paths, read-only: the driver's object. Others
 *	must have the right to read them
 * @keep_environment: names of variables that stay, ended by NULL, "NAME*" for all that begin so; or NULL
 * @system_libraries: and the system's libraries, for a driver that needs others than are loaded
 * @debuggable: gdb works, cores are written, and the filter says which call was not on its list before it kills
 * @clients: that may come after sandbox_lock(), with a descriptor each
 * @uses: enum sandbox_uses
 * @cgroup: absolute path of the cgroup (version 2) below which it gets one; NULL: chosen, see docs/sandbox.md
 * @may_write_files: after sandbox_lock(), too, files and memfds that it has open may grow; so they may where one of them is a
 *	file with a name, as a log
 */
struct sandbox {
	const char *name;
	uint32_t without, required;
	uid_t uid;
	gid_t gid;
	struct sandbox_limits limits;
	const int *keep;
	unsigned int nr_keep;
	const char *const *read;
	unsigned int nr_read;
	const char *const *keep_environment;
	bool system_libraries, debuggable, may_write_files;
	unsigned int clients, uses;
	const char *cgroup;

	/* The rest is the sandbox's own. */
	struct sandbox_report *report;
	int uid_claim; /* holds the user */
	int keeper_fd; /* pidfd of the keeper */
	int cgroup_fd; /* folder of the cgroup, -1: none */
	int procs_fd;  /* its cgroup.procs */
	char cgroup_path[256];
	bool as_root;			      /* the keeper is root */
	bool made, made_pid_ns, made_user_ns; /* the child, by sandbox_fork() */
	uid_t keeper_uid;
	gid_t keeper_gid;
	unsigned int keeper_filters; /* seccomp filters that the keeper has already */
};

/**
 * sandbox_prepare() - in the keeper: choose a user, make the cgroup, see what this system can
 *
 * What cannot be had is in the report with its reason, and is no failure unless it is required.
 *
 * Return: 0; -EINVAL: a field makes no sense; -EPERM: a required measure cannot be had.
 */
int sandbox_prepare(struct sandbox *s, struct ob_error *err);

/**
 * sandbox_fork() - as fork(), with the process namespace, which a process cannot enter itself
 *
 * In the namespace the child is number 1: signals without a handler do nothing to it, but for SIGKILL, SIGSTOP and those of its own
 * faults. An ordinary user's keeper with several threads gets a fork() without the namespace.
 *
 * Return: as fork(), but a negative errno value.
 */
pid_t sandbox_fork(struct sandbox *s);

/**
 * sandbox_enter() - in the child, which has one thread and no driver's code: everything but the short list of calls
 *
 * After a failure the process must end: it may be half inside.
 *
 * Return: 0; -EBUSY: there are several threads; -EPERM and others: a measure that every system has failed, or a
 * required one; -ENOENT: @read names what is not there.
 */
int sandbox_enter(struct sandbox *s, struct ob_error *err);

/**
 * sandbox_lock() - in the child, when it is ready to serve: the short list of system calls, for all its threads
 *
 * Also of use without sandbox_enter(): then this list is all that holds.
 *
 * Return: 0 or a negative errno value; then the process must end.
 */
int sandbox_lock(struct sandbox *s, struct ob_error *err);

/**
 * sandbox_describe() - in the keeper: each measure, whether it is in force, and why not
 * @pid: of the driver process: what the kernel says of it (/proc/PID) goes before what was reported
 * @doc: an object, filled; or NULL
 * @table: where a table is printed; or NULL
 */
void sandbox_describe(const struct sandbox *s, pid_t pid, struct json_object *doc, FILE *table);

/**
 * sandbox_events() - what its cgroup counted: deaths by its limit of memory, forks that were refused
 *
 * Return: 0; -ENOENT: no cgroup.
 */
int sandbox_events(const struct sandbox *s, uint64_t *oom_kills, uint64_t *forks_refused);

/** sandbox_kill() - SIGKILL to every process in its cgroup. Return: 0; -ENOENT: no cgroup */
int sandbox_kill(const struct sandbox *s);

/** sandbox_release() - in the keeper, after the child's end; also after a sandbox_prepare() that failed */
void sandbox_release(struct sandbox *s);

/* ---- lists of system calls: seccomp.c -------------------------------------------------------------------------- */

enum sandbox_phase {
	SANDBOX_INIT = 1,
	SANDBOX_RUN = 2,
};

/** sandbox_calls_allowed() - how many the list has; with @f it is printed: number, name, reason, a line each */
unsigned int sandbox_calls_allowed(enum sandbox_phase phase, unsigned int uses, FILE *f);

/**
 * sandbox_uses_of() - enum sandbox_uses of a backend ("vfio", "vfio:0000:03:00.0"), a driver ("linux:e1000e") or an attachment
 * ("nbd,socket=..."); 0 where it needs nothing of its own. A device behind a wrapper is that of its own backend
 */
unsigned int sandbox_uses_of(const char *name);

/* ---- is a device isolated? isolation.c -------------------------------------------------------------------------- */

/**
 * sandbox_check_isolation() - may a driver of this device be called isolated?
 * @root: "" for this machine, else as in access/sysfs.h
 * @spec: a device specification, or a PCI address
 * @err: which of the reasons of docs/sandbox.md holds, and what to do
 *
 * Return: 0: it is, or it is a device model (qemu:); -EXDEV: it is not; -ENODEV: there is no such device; -EINVAL: no
 * specification.
 */
int sandbox_check_isolation(const char *root, const char *spec, struct ob_error *err);

#endif
