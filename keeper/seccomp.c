/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls of a driver process, as two tables with a reason for each: while the driver is loaded and bound, and while it
 * serves. What is not in a table kills the process. seccomp(2), libseccomp.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/iommufd.h>
#include <linux/vduse.h>
#include <linux/vfio.h>
#include <linux/vhost.h>

#include "keeper/sandbox_parts.h"

/* Of Linux 5.17 and 5.6; Debian 12's linux/prctl.h has them, sys/prctl.h of older systems not. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* include/uapi/linux/io_uring.h of Linux 5.12; liburing's copy in Debian 12 ends before some of them. */
enum {
	REGISTER_BUFFERS = 0,
	REGISTER_FILES = 2,
	UNREGISTER_FILES = 3,
	REGISTER_EVENTFD = 4,
	REGISTER_FILES_UPDATE = 6,
	REGISTER_PROBE = 8,
	REGISTER_RESTRICTIONS = 11,
	REGISTER_ENABLE_RINGS = 12,
	REGISTER_FILES2 = 13,
	REGISTER_BUFFERS2 = 15,
	REGISTER_IOWQ_AFF = 17,
	REGISTER_RING_FDS = 20,
	REGISTER_FILE_ALLOC_RANGE = 25,
};

/* What of a call's arguments is looked at. */
enum check {
	ANY,
	NO_EXEC,   /* mmap, mprotect: no PROT_EXEC */
	LOAD_EXEC, /* mmap: PROT_EXEC for files that are not written to */
	READ_ONLY, /* openat */
	IOCTLS,	   /* by request: the table below */
	OWN_ABORT, /* tgkill: SIGABRT to itself, which is abort() */
	THREAD,	   /* clone: a thread */
	FCNTLS,
	PRCTLS,
	OWN_LIMITS, /* prlimit64: its own */
	NODELAY,    /* setsockopt */
	BATCH,	    /* sched_setscheduler: SCHED_BATCH */
	UNIX,	    /* socketpair */
	REGISTERS,  /* io_uring_register */
	REFUSE =
		64, /* plus an errno value: the call fails, since libraries try it and go on without */
};

#define BOTH (SANDBOX_INIT | SANDBOX_RUN)
#define ALL  0 /* whatever it works with */

struct call {
	const char *name;
	unsigned int phases;
	unsigned int uses; /* any of these; ALL */
	unsigned int check;
	const char *why;
};

static const struct call calls[] = {
	/* ---- while it serves, too -------------------------------------------------------------------- */
	{"futex", BOTH, ALL, ANY, "locks and condition variables between its threads"},
	{"epoll_wait", BOTH, ALL, ANY, "the loop sleeps"},
	{"epoll_ctl", BOTH, ALL, ANY, "the loop arms a source before it sleeps"},
	{"read", BOTH, ALL, ANY, "eventfds of interrupts, timers and the heartbeat; FUSE requests"},
	{"preadv2", BOTH, ALL, ANY,
	 "an eventfd's counter without waiting; frames; configuration space and registers that "
	 "cannot be mapped"},
	{"write", BOTH, ALL, ANY, "eventfds; what it has to say"},
	{"mmap", SANDBOX_RUN, ALL, NO_EXEC, "malloc() of much; buffers"},
	{"mmap", SANDBOX_INIT, ALL, LOAD_EXEC, "the driver's object, memory, registers, rings"},
	{"munmap", BOTH, ALL, ANY, "free() of much"},
	{"brk", BOTH, ALL, ANY,
	 "malloc(), which takes a refusal for an address, so it cannot be refused"},
	{"close", BOTH, ALL, ANY, "connections; the end"},
	{"clock_gettime", BOTH, ALL, ANY, "time, where the clock cannot be read without a call"},
	{"clock_nanosleep", BOTH, ALL, ANY, "waits that a datasheet asks for, in a reset"},
	{"restart_syscall", BOTH, ALL, ANY, "the kernel's own, after a stop"},
	{"getpid", SANDBOX_INIT, ALL, ANY, "what it says of itself"},
	{"exit", BOTH, ALL, ANY, "a thread ends"},
	{"exit_group", BOTH, ALL, ANY, "the process ends"},

	{"rseq", SANDBOX_RUN, ALL, ANY,
	 "a thread that was started before begins; else the C library ends the process"},

	{"ioctl", SANDBOX_RUN,
	 SANDBOX_USES_VFIO | SANDBOX_USES_TAP | SANDBOX_USES_VHOST | SANDBOX_USES_VDUSE, IOCTLS,
	 "those of the device and the attachment, by number"},
	{"pwrite64", SANDBOX_RUN, SANDBOX_USES_VFIO | SANDBOX_USES_UIO, ANY,
	 "configuration space and registers that cannot be mapped"},
	{"poll", SANDBOX_RUN, SANDBOX_USES_VFIO | SANDBOX_USES_UIO | SANDBOX_USES_PASSING, ANY,
	 "waits for the device's removal, for errors, for the keeper's questions"},
	{"sched_yield", SANDBOX_RUN,
	 SANDBOX_USES_QEMU | SANDBOX_USES_UBLK | SANDBOX_USES_NBD | SANDBOX_USES_FUSE |
		 SANDBOX_USES_VDUSE,
	 ANY, "a lock that is held for an instant"},
	{"sendto", SANDBOX_RUN, SANDBOX_USES_QEMU, ANY, "registers"},
	{"recvfrom", SANDBOX_RUN, SANDBOX_USES_QEMU | SANDBOX_USES_UIO, ANY,
	 "registers; the kernel tells which devices were removed"},
	{"timerfd_settime", SANDBOX_RUN, SANDBOX_USES_LINUX, ANY, "the kernel's timers"},
	{"rt_sigreturn", SANDBOX_RUN, SANDBOX_USES_LINUX, ANY,
	 "the handler that says where the driver crashed"},
	{"rt_sigaction", SANDBOX_RUN, SANDBOX_USES_LINUX, ANY,
	 "that handler takes itself away, or the crash would not end"},
	{"eventfd2", SANDBOX_RUN, SANDBOX_USES_LINUX, ANY,
	 "an interrupt that the driver asks for when its device is opened"},
	{"io_uring_enter", BOTH, SANDBOX_USES_UBLK, ANY, "ublk's requests and replies"},
	{"writev", SANDBOX_RUN, SANDBOX_USES_TAP | SANDBOX_USES_FUSE, ANY, "frames; replies"},
	{"accept4", SANDBOX_RUN, SANDBOX_USES_NBD, ANY, "clients"},
	{"dup3", BOTH, SANDBOX_USES_FUSE | SANDBOX_USES_VFIO, ANY,
	 "at the end something else takes the number of a connection or a device"},
	{"madvise", SANDBOX_RUN, SANDBOX_USES_FUSE, ANY,
	 "memory is there before the kernel writes to it"},
	{"recvmsg", SANDBOX_RUN, SANDBOX_USES_NBD | SANDBOX_USES_PASSING, ANY,
	 "requests; descriptors and questions from the keeper; changes of an interface"},
	{"sendmsg", SANDBOX_RUN, SANDBOX_USES_NBD | SANDBOX_USES_PASSING, ANY,
	 "replies; answers to the keeper; questions about an interface"},

	{"clone", SANDBOX_RUN, SANDBOX_USES_THREADS, THREAD, "a thread"},
	{"set_robust_list", SANDBOX_RUN, SANDBOX_USES_THREADS, ANY, "a thread begins"},
	{"rt_sigprocmask", SANDBOX_RUN, SANDBOX_USES_THREADS, ANY, "a thread begins and ends"},
	{"mprotect", SANDBOX_RUN, SANDBOX_USES_THREADS, NO_EXEC, "a thread's stack"},
	{"madvise", SANDBOX_RUN, SANDBOX_USES_THREADS, ANY, "a thread's stack is given back"},
	{"sched_setaffinity", SANDBOX_RUN, SANDBOX_USES_THREADS, ANY, "a thread's processor"},

#ifdef __SANITIZE_ADDRESS__
	{"sigaltstack", SANDBOX_RUN, ALL, ANY, "the sanitizer, before a thread or process ends"},
	/* When two threads want one of its locks at once: rarely, and not in each run. */
	{"sched_getaffinity", SANDBOX_RUN, ALL, ANY, "the sanitizer: is it worth to spin?"},
	{"sched_yield", SANDBOX_RUN, ALL, ANY, "the sanitizer's locks"},
#endif
	/* What the C library tries, and does without; a refusal costs it nothing. */
	{"mprotect", SANDBOX_RUN, ALL, REFUSE + ENOMEM,
	 "malloc() goes on in another arena, which grows by brk"},
	{"madvise", SANDBOX_RUN, ALL, REFUSE + EINVAL, "free() and a thread's end, as advice only"},
	{"rt_sigprocmask", SANDBOX_RUN, ALL, REFUSE + EINVAL, "abort() and a thread's end"},
	{"rt_sigaction", SANDBOX_RUN, ALL, REFUSE + EPERM, "abort()"},
	{"gettid", SANDBOX_RUN, ALL, REFUSE + EPERM,
	 "abort(), which goes on to an instruction that is none: SIGSEGV, not SIGSYS as an attack"},
	{"tgkill", SANDBOX_RUN, ALL, REFUSE + EPERM, "abort()"},
	{"getpid", SANDBOX_RUN, ALL, REFUSE + EPERM, "abort()"},
	{"geteuid", SANDBOX_RUN, ALL, REFUSE + EPERM, "what it says of itself"},
	{"ioctl", SANDBOX_RUN, ALL, REFUSE + ENOTTY, "isatty()"},
	{"set_robust_list", SANDBOX_RUN, ALL, REFUSE + ENOSYS, "a thread begins"},
	{"openat", SANDBOX_RUN, ALL, REFUSE + EACCES, "there is nothing to open"},
	{"ioperm", BOTH, SANDBOX_USES_UIO, REFUSE + EPERM,
	 "a thread asks for ports that it has been given with its device"},
	{"newfstatat", SANDBOX_RUN, ALL, REFUSE + EACCES, "stdio chooses a buffer's size by it"},
	{"fstat", SANDBOX_RUN, ALL, REFUSE + EACCES, "as newfstatat"},
	{"lseek", SANDBOX_RUN, ALL, REFUSE + ESPIPE, "dprintf() asks where in a file it is"},
	{"clone3", BOTH, ALL, REFUSE + ENOSYS,
	 "its flags cannot be seen by a filter; pthread_create() takes clone then"},

	/* ---- while the driver is loaded and bound and attachments are opened ------------------------- */
	{"openat", SANDBOX_INIT, ALL, READ_ONLY, "the driver's object and what it needs"},
	{"pread64", SANDBOX_INIT, ALL, ANY, "the driver's object; configuration space"},
	{"pwrite64", SANDBOX_INIT, ALL, ANY, "configuration space; to see that memory is there"},
	{"fstat", SANDBOX_INIT, ALL, ANY, "loading"},
	{"newfstatat", SANDBOX_INIT, ALL, ANY, "loading"},
	{"statx", SANDBOX_INIT, ALL, ANY, "what a descriptor is"},
	{"lseek", SANDBOX_INIT, ALL, ANY, "size of a file that is open"},
	{"access", SANDBOX_INIT, ALL, ANY, "may the driver's object be read?"},
	{"faccessat", SANDBOX_INIT, ALL, ANY, "as access"},
	{"faccessat2", SANDBOX_INIT, ALL, ANY, "as access"},
	{"getcwd", SANDBOX_INIT, ALL, ANY, "dlopen() of a relative path"},
	{"readlink", SANDBOX_INIT, ALL, ANY, "realpath()"},
	{"readlinkat", SANDBOX_INIT, ALL, ANY, "realpath()"},
	{"getdents64", SANDBOX_INIT, ALL, ANY, "firmware in a folder"},
	{"fcntl", SANDBOX_INIT, ALL, FCNTLS, "descriptors' flags, seals of the arena"},
	{"dup", SANDBOX_INIT, ALL, ANY, "a descriptor for each of two users"},
	{"mprotect", SANDBOX_INIT, ALL, NO_EXEC, "relocated data becomes read-only; stacks"},
	{"mremap", SANDBOX_INIT, ALL, ANY, "realloc()"},
	{"madvise", SANDBOX_INIT, ALL, ANY, "huge pages for the arena, no copies for children"},
	{"mlock", SANDBOX_INIT, ALL, ANY, "memory that must not be paged out; limited"},
	{"mlock2", SANDBOX_INIT, ALL, ANY, "as mlock"},
	{"munlock", SANDBOX_INIT, ALL, ANY, "as mlock"},
	{"mlockall", SANDBOX_INIT, ALL, ANY, "as mlock"},
	{"memfd_create", SANDBOX_INIT, ALL, ANY, "the DMA arena"},
	{"ftruncate", SANDBOX_INIT, ALL, ANY, "size of the DMA arena"},
	{"fallocate", SANDBOX_INIT, ALL, ANY, "memory of the DMA arena"},
	{"clock_getres", SANDBOX_INIT, ALL, ANY, "clocks"},
	{"nanosleep", SANDBOX_INIT, ALL, ANY, "waits that a datasheet asks for"},
	{"rt_sigreturn", SANDBOX_INIT, ALL, ANY, "the end of a signal handler"},
	{"gettid", SANDBOX_INIT, ALL, ANY, "abort()"},
	{"tgkill", SANDBOX_INIT, ALL, OWN_ABORT, "abort()"},
	{"set_robust_list", SANDBOX_INIT, ALL, ANY, "a thread begins"},
	{"rseq", SANDBOX_INIT, ALL, ANY, "a thread begins"},
	{"clone", SANDBOX_INIT, ALL, THREAD, "the threads of loops and interrupts"},
	{"sched_getaffinity", SANDBOX_INIT, ALL, ANY, "how many processors there are"},
	{"sched_setaffinity", SANDBOX_INIT, ALL, ANY, "a loop's processor"},
	{"sched_getscheduler", SANDBOX_INIT, ALL, ANY, "attributes of a thread to be"},
	{"sched_getparam", SANDBOX_INIT, ALL, ANY, "as sched_getscheduler"},
	{"sched_setscheduler", SANDBOX_INIT, SANDBOX_USES_UBLK, BATCH, "to give way to clients"},
	{"rt_sigaction", SANDBOX_INIT, ALL, ANY, "handlers"},
	{"rt_sigprocmask", SANDBOX_INIT, ALL, ANY, "threads that take no signals"},
	{"sched_yield", SANDBOX_INIT, ALL, ANY, "a lock that is held for an instant"},
	{"sigaltstack", SANDBOX_INIT, ALL, ANY, "a stack for handlers"},
	{"prctl", SANDBOX_INIT, ALL, PRCTLS, "names of threads and memory; I/O without recursion"},
	{"prlimit64", SANDBOX_INIT, ALL, OWN_LIMITS, "what its limits are, and lower ones"},
	{"getuid", SANDBOX_INIT, ALL, ANY, "messages"},
	{"geteuid", SANDBOX_INIT, ALL, ANY, "messages"},
	{"getgid", SANDBOX_INIT, ALL, ANY, "messages"},
	{"getegid", SANDBOX_INIT, ALL, ANY, "messages"},
	{"getppid", SANDBOX_INIT, ALL, ANY, "has the keeper died?"},
	{"uname", SANDBOX_INIT, ALL, ANY, "which kernel"},
	{"sysinfo", SANDBOX_INIT, ALL, ANY, "how much memory"},
	{"getrandom", SANDBOX_INIT, ALL, ANY, "malloc(); names"},
	{"eventfd2", SANDBOX_INIT, ALL, ANY, "interrupts, wake-ups"},
	{"epoll_create1", SANDBOX_INIT, ALL, ANY, "loops"},
	{"epoll_pwait", SANDBOX_INIT, ALL, ANY, "loops"},
	{"poll", SANDBOX_INIT, ALL, ANY, "waits for an interrupt"},
	{"ppoll", SANDBOX_INIT, ALL, ANY, "waits for an interrupt"},
	{"timerfd_create", SANDBOX_INIT, ALL, ANY, "timers"},
	{"timerfd_settime", SANDBOX_INIT, ALL, ANY, "timers"},
	{"pipe2", SANDBOX_INIT, ALL, ANY, "wake-ups"},
	{"socketpair", SANDBOX_INIT, ALL, UNIX, "between its threads"},
	{"readv", SANDBOX_INIT, ALL, ANY, "frames"},
	{"writev", SANDBOX_INIT, ALL, ANY, "frames, replies; what it has to say"},
	{"setsockopt", SANDBOX_INIT, SANDBOX_USES_NBD, NODELAY, "replies are not held back"},
	{"sendto", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"recvfrom", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"sendmsg", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"recvmsg", SANDBOX_INIT, ALL, ANY, "on sockets that it has: descriptors from the keeper"},
	{"shutdown", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"getsockopt", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"getsockname", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"getpeername", SANDBOX_INIT, ALL, ANY, "on sockets that it has"},
	{"accept4", SANDBOX_INIT, SANDBOX_USES_NBD, ANY, "clients"},
	{"ioctl", SANDBOX_INIT, ALL, IOCTLS, "those of the device and the attachment, by number"},
	{"io_uring_setup", SANDBOX_INIT, SANDBOX_USES_UBLK, ANY, "ublk's queue"},
	{"io_uring_register", SANDBOX_INIT, SANDBOX_USES_UBLK, REGISTERS, "ublk's queue"},
	{"seccomp", SANDBOX_INIT, ALL, ANY, "the filter for the time after"},
	{"landlock_create_ruleset", SANDBOX_INIT, ALL, ANY, "nothing can be opened after"},
	{"landlock_restrict_self", SANDBOX_INIT, ALL, ANY, "nothing can be opened after"},
};

struct request {
	unsigned long nr;
	unsigned int phases;
	unsigned int uses;
	const char *name;
};

#define REQUEST(request, phases, uses)                                                             \
	{                                                                                          \
		(unsigned long)(request), phases, uses, #request                                   \
	}

/* clang-format off */
static const struct request requests[] = {
	REQUEST(VFIO_DEVICE_SET_IRQS, BOTH, SANDBOX_USES_VFIO),
	REQUEST(VFIO_DEVICE_GET_IRQ_INFO, BOTH, SANDBOX_USES_VFIO),
	REQUEST(VFIO_DEVICE_RESET, BOTH, SANDBOX_USES_VFIO),
	REQUEST(VFIO_IOMMU_MAP_DMA, BOTH, SANDBOX_USES_VFIO),
	REQUEST(VFIO_IOMMU_UNMAP_DMA, BOTH, SANDBOX_USES_VFIO),
	REQUEST(IOMMU_IOAS_MAP, BOTH, SANDBOX_USES_VFIO),
	REQUEST(IOMMU_IOAS_UNMAP, BOTH, SANDBOX_USES_VFIO),
	REQUEST(VFIO_DEVICE_GET_INFO, SANDBOX_INIT, SANDBOX_USES_VFIO),
	REQUEST(VFIO_DEVICE_GET_REGION_INFO, SANDBOX_INIT, SANDBOX_USES_VFIO),
	REQUEST(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, SANDBOX_INIT, SANDBOX_USES_VFIO),
	REQUEST(VFIO_IOMMU_GET_INFO, SANDBOX_INIT, SANDBOX_USES_VFIO),
	REQUEST(IOMMU_IOAS_IOVA_RANGES, SANDBOX_INIT, SANDBOX_USES_VFIO),

	REQUEST(TUNSETCARRIER, BOTH, SANDBOX_USES_TAP | SANDBOX_USES_VHOST),
	REQUEST(TUNGETIFF, BOTH, SANDBOX_USES_TAP | SANDBOX_USES_VHOST),
	REQUEST(SIOCGIFINDEX, SANDBOX_INIT,
		SANDBOX_USES_TAP | SANDBOX_USES_VHOST | SANDBOX_USES_VDUSE),
	REQUEST(TUNGETFEATURES, SANDBOX_INIT, SANDBOX_USES_TAP | SANDBOX_USES_VHOST),
	REQUEST(TUNSETOFFLOAD, SANDBOX_INIT, SANDBOX_USES_TAP | SANDBOX_USES_VHOST),
	REQUEST(TUNSETVNETHDRSZ, SANDBOX_INIT, SANDBOX_USES_TAP | SANDBOX_USES_VHOST),

	REQUEST(VHOST_GET_FEATURES, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_FEATURES, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_OWNER, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_MEM_TABLE, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_VRING_NUM, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_VRING_BASE, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_VRING_ADDR, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_VRING_KICK, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_SET_VRING_CALL, SANDBOX_INIT, SANDBOX_USES_VHOST),
	REQUEST(VHOST_NET_SET_BACKEND, BOTH, SANDBOX_USES_VHOST),

	REQUEST(VDUSE_IOTLB_GET_FD, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_DEV_GET_FEATURES, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_DEV_SET_CONFIG, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_DEV_INJECT_CONFIG_IRQ, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_VQ_SETUP, SANDBOX_INIT, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_VQ_GET_INFO, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_VQ_SETUP_KICKFD, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_VQ_INJECT_IRQ, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_IOTLB_REG_UMEM, BOTH, SANDBOX_USES_VDUSE),
	REQUEST(VDUSE_IOTLB_DEREG_UMEM, BOTH, SANDBOX_USES_VDUSE),
};
/* clang-format on */

/* isatty(), which stdio asks of each stream that it writes to first. */
#define ASKED_BY_STDIO                                                                             \
	0x5401 /* TCGETS of asm-generic/ioctls.h; its header cannot stand beside <sys/ioctl.h> */

static bool used(unsigned int wanted, unsigned int uses)
{
	return wanted == ALL || (wanted & uses);
}

/* A later line for a call of which an earlier one holds already says what happens without its condition. */
static bool is_listed(size_t n, enum sandbox_phase phase, unsigned int uses)
{
	const struct call *c = &calls[n];

	if (!(c->phases & (unsigned int)phase) || !used(c->uses, uses))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(calls[i].name, c->name) && is_listed(i, phase, uses))
			return false;
	return true;
}

unsigned int sandbox_calls_allowed(enum sandbox_phase phase, unsigned int uses, FILE *f)
{
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int nr = seccomp_syscall_resolve_name(calls[i].name);

		if (!is_listed(i, phase, uses) || calls[i].check >= REFUSE || nr < 0)
			continue;
		n++;
		if (f)
			fprintf(f, "%d %s %s\n", nr, calls[i].name, calls[i].why);
	}
	return n;
}

/* ---- rules --------------------------------------------------------------------------------------------------------- */

struct filter {
	scmp_filter_ctx ctx;
	enum sandbox_phase phase;
	unsigned int uses;
	int nr;
};

static int allow(const struct filter *f, unsigned int n, const struct scmp_arg_cmp *args)
{
	return seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, f->nr, n, args);
}

/* The low half of an argument: the kernel itself forgets the rest of an int. */
static struct scmp_arg_cmp is_int(unsigned int arg, uint32_t val)
{
	return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, 0xffffffff, val};
}

static struct scmp_arg_cmp has_bits(unsigned int arg, uint64_t mask, uint64_t val)
{
	return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, mask, val};
}

static int allow_each(const struct filter *f, unsigned int arg, const uint32_t *vals, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		const struct scmp_arg_cmp is = is_int(arg, vals[i]);

		ret = allow(f, 1, &is);
	}
	return ret;
}

#define ALLOW_EACH(f, arg, vals) allow_each(f, arg, vals, sizeof(vals) / sizeof((vals)[0]))

static int add_ioctls(const struct filter *f)
{
	const struct scmp_arg_cmp isatty = is_int(1, ASKED_BY_STDIO);
	int ret = seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(ENOTTY), f->nr, 1, &isatty);

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && !ret; i++) {
		const struct scmp_arg_cmp is = is_int(1, (uint32_t)requests[i].nr);

		if (requests[i].phases & (unsigned int)f->phase && used(requests[i].uses, f->uses))
			ret = allow(f, 1, &is);
	}
	return ret;
}

static int add_mmap(const struct filter *f, bool load)
{
	const struct scmp_arg_cmp no_exec = has_bits(2, PROT_EXEC, 0);
	const struct scmp_arg_cmp code[] = {
		has_bits(2, PROT_EXEC | PROT_WRITE, PROT_EXEC),
		has_bits(3, MAP_ANONYMOUS | MAP_TYPE, MAP_PRIVATE),
	};
	int ret = allow(f, 1, &no_exec);

	return ret || !load ? ret : allow(f, 2, code);
}

static int add_thread(const struct filter *f)
{
	const uint64_t must = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	const uint64_t may_not = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE |
				 CLONE_VFORK;
	const struct scmp_arg_cmp is = has_bits(0, must | may_not, must);

	return allow(f, 1, &is);
}

static int add_checked(const struct filter *f, unsigned int check)
{
	static const uint32_t fcntls[] = {F_DUPFD_CLOEXEC, F_GETFD,	F_SETFD,    F_GETFL,
					  F_SETFL,	   F_ADD_SEALS, F_GET_SEALS};
	static const uint32_t prctls[] = {PR_SET_NAME,	     PR_GET_NAME,     PR_SET_VMA,
					  PR_SET_IO_FLUSHER, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS,
					  PR_GET_SECCOMP};
	static const uint32_t registers[] = {REGISTER_BUFFERS,	       REGISTER_FILES,
					     UNREGISTER_FILES,	       REGISTER_EVENTFD,
					     REGISTER_FILES_UPDATE,    REGISTER_PROBE,
					     REGISTER_RESTRICTIONS,    REGISTER_ENABLE_RINGS,
					     REGISTER_FILES2,	       REGISTER_BUFFERS2,
					     REGISTER_IOWQ_AFF,	       REGISTER_RING_FDS,
					     REGISTER_FILE_ALLOC_RANGE};
	const struct scmp_arg_cmp no_exec = has_bits(2, PROT_EXEC, 0);
	const struct scmp_arg_cmp reads =
		has_bits(2, O_ACCMODE | O_CREAT | (O_TMPFILE & ~O_DIRECTORY) | O_TRUNC, O_RDONLY);
	struct scmp_arg_cmp aborts[] = {is_int(0, 0), is_int(2, SIGABRT)};
	const struct scmp_arg_cmp both = has_bits(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDWR);
	const struct scmp_arg_cmp own = is_int(0, 0);
	int ret;
	const struct scmp_arg_cmp nodelay[] = {is_int(1, IPPROTO_TCP), is_int(2, TCP_NODELAY)};
	const struct scmp_arg_cmp batch = is_int(1, SCHED_BATCH);
	const struct scmp_arg_cmp local = is_int(0, AF_UNIX);

	switch (check) {
	case NO_EXEC:
		return allow(f, 1, &no_exec);
	case LOAD_EXEC:
		return add_mmap(f, true);
	case READ_ONLY:
		/* libfuse tries to open /dev/null for both, and goes on without. */
		ret = seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(EACCES), f->nr, 1, &both);
		return ret ? ret : allow(f, 1, &reads);
	case IOCTLS:
		return add_ioctls(f);
	case OWN_ABORT:
		/* This filter goes on holding while it serves, where abort() is not told its numbers. */
		aborts[0] = is_int(0, UINT32_MAX);
		ret = seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(EPERM), f->nr, 1, aborts);
		aborts[0] = is_int(0, (uint32_t)getpid());
		return ret ? ret : allow(f, 2, aborts);
	case THREAD:
		return add_thread(f);
	case FCNTLS:
		return ALLOW_EACH(f, 1, fcntls);
	case PRCTLS:
		return ALLOW_EACH(f, 0, prctls);
	case OWN_LIMITS:
		return allow(f, 1, &own);
	case NODELAY:
		return allow(f, 2, nodelay);
	case BATCH:
		return allow(f, 1, &batch);
	case UNIX:
		return allow(f, 1, &local);
	case REGISTERS:
		return ALLOW_EACH(f, 1, registers);
	}
	return allow(f, 0, NULL);
}

static int add_call(struct filter *f, const struct call *c)
{
	f->nr = seccomp_syscall_resolve_name(c->name);
	/* Another architecture's, e.g. poll: it has its successor in the table. */
	if (f->nr < 0)
		return 0;
	if (c->check >= REFUSE)
		return seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(c->check - REFUSE), f->nr, 0,
					      NULL);
	return add_checked(f, c->check);
}

/* ---- saying which call it was, for who debugs -------------------------------------------------------------------------- */

enum {
	NAMED = 512,
};
static char names[NAMED][32];

/* In a signal handler: async-signal-safe functions only, that are on the short list. */
static void say_call(int signo, siginfo_t *info, void *context)
{
	char text[96], *p = text + sizeof(text);
	int nr = info->si_syscall, left = nr;
	size_t len;

	*--p = '\n';
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	*--p = ' ';
	len = nr >= 0 && nr < NAMED ? strlen(names[nr]) : 0;
	p -= len;
	memcpy(p, names[nr >= 0 && nr < NAMED ? nr : 0], len);
	len = sizeof("outboard: sandbox: not on the list of system calls: ") - 1;
	p -= len;
	memcpy(p, "outboard: sandbox: not on the list of system calls: ", len);
	if (write(STDERR_FILENO, p, (size_t)(text + sizeof(text) - p)) < 0)
		_exit(128 + SIGSYS);
	_exit(128 + SIGSYS);
}

static int take_names(void)
{
	struct sigaction act = {.sa_sigaction = say_call, .sa_flags = SA_SIGINFO};

	for (int i = 0; i < NAMED; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		if (name)
			strncpy(names[i], name, sizeof(names[i]) - 1);
		free(name);
	}
	return sigaction(SIGSYS, &act, NULL) ? -errno : 0;
}

/* ---- the filter ----------------------------------------------------------------------------------------------------------- */

int sandbox_filter(const struct sandbox *s, enum sandbox_phase phase, struct ob_error *err)
{
	struct filter f = {.phase = phase, .uses = s->uses};
	const char *failed = "seccomp_init";
	int ret = 0;

	if (s->debuggable && !names[0][0])
		ret = take_names();
	if (ret)
		return ob_error_set(err, ret, "sandbox: sigaction: %s", strerror(-ret));
	f.ctx = seccomp_init(s->debuggable ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
	if (!f.ctx)
		return ob_error_set(err, -ENOMEM, "sandbox: %s: no memory", failed);
	/* Calls of another architecture or of x32: whoever makes them does so to get past the filter. */
	seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* It is on already; the short list has no prctl. */
	seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_NNP, 0);
	/* Each thread that there is. */
	seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A binary tree instead of a chain of comparisons; not in libseccomp before 2.5.0, which is no failure. */
	seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !ret; i++) {
		failed = calls[i].name;
		if (is_listed(i, phase, s->uses))
			ret = add_call(&f, &calls[i]);
	}
	if (!ret) {
		failed = "the kernel";
		ret = seccomp_load(f.ctx);
	}
	seccomp_release(f.ctx);
	if (ret)
		ob_error_set(err, ret, "sandbox: the filter of system calls is refused by %s: %s",
			     failed, strerror(-ret));
	return ret;
}
