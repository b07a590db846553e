/* SPDX-License-Identifier: BSD-2-Clause */
/* The attempts of tests/keeper/evil.c; each needs privileges, names or calls that a driver of one device has no use for. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <sys/io.h>
#endif

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <net/ethernet.h>
#include <net/if.h>

#include "keeper/sandbox.h"
#include "tests/keeper/attempts.h"

struct scene scene;

/* What a call that makes a descriptor returned. */
static int fd_result(long fd)
{
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int result(long ret)
{
	return ret < 0 ? -errno : 0;
}

/* ---- files and nodes ---------------------------------------------------------------------------------------------------- */

static int open_dev_mem(void)
{
	return fd_result(open("/dev/mem", O_RDWR | O_CLOEXEC));
}

static int open_dev_port(void)
{
	return fd_result(open("/dev/port", O_RDWR | O_CLOEXEC));
}

static int open_kcore(void)
{
	return fd_result(open("/proc/kcore", O_RDONLY | O_CLOEXEC));
}

static int open_kmsg(void)
{
	return fd_result(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
}

static int open_vfio(void)
{
	return fd_result(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
}

static int open_tun(void)
{
	return fd_result(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
}

static int make_mem_node(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/mem", scene.outside ? scene.dir : "");
	unlink(path);
	return result(mknod(path, S_IFCHR | 0666, makedev(1, 1)));
}

static int read_shadow(void)
{
	return fd_result(open("/etc/shadow", O_RDONLY | O_CLOEXEC));
}

static int read_passwd(void)
{
	return fd_result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int list_root(void)
{
	return fd_result(open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int write_file(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/file", scene.dir);
	return fd_result(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int write_root(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/file", scene.outside ? scene.dir : "");
	return fd_result(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int write_sysfs(void)
{
	return fd_result(open("/sys/class/net/lo/mtu", O_WRONLY | O_CLOEXEC));
}

static int write_sysctl(void)
{
	return fd_result(open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
}

static int make_folder(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/folder", scene.dir);
	rmdir(path);
	return result(mkdir(path, 0700));
}

static int leave_by_descriptor(void)
{
	return fd_result(syscall(SYS_open_tree, AT_FDCWD, "/etc", OPEN_TREE_CLOEXEC));
}

/* ---- other processes ------------------------------------------------------------------------------------------------------ */

static int trace_keeper(void)
{
	return result(ptrace(PTRACE_SEIZE, scene.keeper, NULL, NULL));
}

static int read_keeper(void)
{
	int secret = 0;
	struct iovec to = {&secret, sizeof(secret)};
	struct iovec from = {(void *)&scene.secret, sizeof(secret)};

	if (process_vm_readv(scene.keeper, &to, 1, &from, 1, 0) < 0)
		return -errno;
	return secret == SECRET ? 0 : -EFAULT;
}

static int write_keeper(void)
{
	int secret = SECRET;
	struct iovec from = {&secret, sizeof(secret)};
	struct iovec to = {(void *)&scene.secret, sizeof(secret)};

	return result(process_vm_writev(scene.keeper, &from, 1, &to, 1, 0));
}

static int of_keeper(const char *file, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", scene.keeper, file);
	return open(path, flags | O_CLOEXEC);
}

static int open_keepers_memory(void)
{
	return fd_result(of_keeper("mem", O_RDWR));
}

static int read_keepers_environment(void)
{
	return fd_result(of_keeper("environ", O_RDONLY));
}

static int take_keepers_descriptor(void)
{
	int fd = (int)syscall(SYS_pidfd_open, scene.keeper, 0);

	return fd < 0 ? -errno : fd_result(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

/* SIGURG does nothing to who does not wait for it. */
static int signal_keeper(void)
{
	return result(kill(scene.keeper, SIGURG));
}

static int signal_keeper_by_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, scene.keeper, 0);

	return fd < 0 ? -errno : result(syscall(SYS_pidfd_send_signal, fd, SIGURG, NULL, 0));
}

static int signal_keeper_by_descriptor(void)
{
	return result(fcntl(scene.pipe_fd, F_SETOWN, scene.keeper));
}

static int signal_everybody(void)
{
	return result(kill(-1, 0));
}

static int join_keepers_network(void)
{
	int fd = of_keeper("ns/net", O_RDONLY);

	return fd < 0 ? -errno : result(setns(fd, CLONE_NEWNET));
}

static int run_program(void)
{
	char name[] = "true", *const argv[] = {name, NULL};
	int status;
	pid_t pid;

	if (!scene.outside)
		return result(execv("/bin/true", argv));
	pid = fork();
	if (!pid)
		_exit(execv("/bin/true", argv) ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && !status ? 0 : -EIO;
}

static int run_memory(void)
{
	static const char script[] = "#!/bin/true\n";
	char name[] = "true", *const argv[] = {name, NULL};
	int fd = (int)syscall(SYS_memfd_create, "x", 0), status;
	pid_t pid;

	if (fd < 0 || write(fd, script, sizeof(script) - 1) < 0)
		return -errno;
	if (!scene.outside)
		return result(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH));
	pid = fork();
	if (!pid)
		_exit(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH) ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && !status ? 0 : -EIO;
}

static int make_process(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(0);
	return result(waitpid(pid, NULL, 0));
}

static int fork_bomb(void)
{
	pid_t pids[LEAKED_CHILDREN];
	int n, ret = 0;

	for (n = 0; n < LEAKED_CHILDREN; n++) {
		pids[n] = fork();
		if (pids[n] < 0) {
			ret = -errno;
			break;
		}
		if (!pids[n])
			for (;;)
				pause();
	}
	while (n-- > 0) {
		kill(pids[n], SIGKILL);
		waitpid(pids[n], NULL, 0);
	}
	return ret;
}

/* ---- networks --------------------------------------------------------------------------------------------------------------- */

static int raw_socket(void)
{
	return fd_result(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static int packet_socket(void)
{
	return fd_result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
}

static int netlink_socket(void)
{
	return fd_result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

static struct sockaddr_in listener(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)scene.port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp_connection(void)
{
	struct sockaddr_in to = listener();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int abstract_connection(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(to.sun_path + 1, scene.abstract, strlen(scene.abstract));
	return result(connect(
		fd, (struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(scene.abstract))));
}

/* ---- the system --------------------------------------------------------------------------------------------------------------- */

static int mount_something(void)
{
	return result(mount("x", scene.outside ? scene.dir : "/", "tmpfs", 0, NULL));
}

static int unmount_something(void)
{
	if (scene.outside)
		mount("x", scene.dir, "tmpfs", 0, NULL);
	return result(umount2(scene.outside ? scene.dir : "/", MNT_DETACH));
}

static int change_root(void)
{
	return result(chroot("/"));
}

static int pivot_root(void)
{
	if (scene.outside &&
	    (unshare(CLONE_NEWNS) || mount("x", scene.dir, "tmpfs", 0, NULL) || chdir(scene.dir)))
		return -errno;
	return result(syscall(SYS_pivot_root, ".", "."));
}

static int new_mounts(void)
{
	return result(unshare(CLONE_NEWNS));
}

static int new_user_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int child_in_new_user_namespace(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid)
		_exit(0);
	return result(pid);
}

static int become_root(void)
{
	return result(setresuid(0, 0, 0));
}

static int join_group(void)
{
	const gid_t root = 0;

	return result(syscall(SYS_setgroups, 1, &root));
}

static int take_capability(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = 1u << CAP_SYS_ADMIN, .permitted = 1u << CAP_SYS_ADMIN}};

	return result(syscall(SYS_capset, &head, data));
}

static int forget_no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
		return -errno;
	return 0;
}

static int become_dumpable(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1));
}

static int outlive_keeper(void)
{
	return result(prctl(PR_SET_PDEATHSIG, 0));
}

static int raise_limit(void)
{
	struct rlimit lim = {65536, 65536};

	return result(setrlimit(RLIMIT_NOFILE, &lim));
}

static int write_cores(void)
{
	struct rlimit lim = {1 << 30, 1 << 30};

	return result(setrlimit(RLIMIT_CORE, &lim));
}

static int priority(void)
{
	return result(setpriority(PRIO_PROCESS, 0, -5));
}

static int real_time(void)
{
	const struct sched_param param = {.sched_priority = 1};

	return result(sched_setscheduler(0, SCHED_FIFO, &param));
}

static int host_name(void)
{
	return result(sethostname("evil", 4));
}

static int load_module(void)
{
	return result(syscall(SYS_init_module, "x", 1, ""));
}

static int load_kernel(void)
{
	return result(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int load_bpf(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4};

	attr.max_entries = 1;
	return fd_result(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int count_events(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
				       .size = sizeof(attr),
				       .config = PERF_COUNT_SW_TASK_CLOCK};

	return fd_result(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int watch_page_faults(void)
{
	return fd_result(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int add_key(void)
{
	return result(syscall(SYS_add_key, "user", "evil", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int watch_files(void)
{
	return fd_result(syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY));
}

static int share_memory(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600);

	if (id < 0)
		return -errno;
	return result(shmctl(id, IPC_RMID, NULL));
}

static int make_ring(void)
{
	struct io_uring_params p = {0};

	return fd_result(syscall(SYS_io_uring_setup, 4, &p));
}

static int make_polled_ring(void)
{
	struct io_uring_params p = {.flags = IORING_SETUP_SQPOLL};

	return fd_result(syscall(SYS_io_uring_setup, 4, &p));
}

#if defined(__x86_64__)
static int all_ports(void)
{
	return result(iopl(3));
}

static int one_port(void)
{
	return result(ioperm(0x80, 1, 1));
}

/* The calls of 32-bit programs have other numbers. */
static int old_calls(void)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(20 /* getpid */)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret < 0 ? ret : 0;
}

static int x32_calls(void)
{
	return result(syscall(0x40000000 | SYS_getpid));
}
#endif

/* ---- memory and descriptors ----------------------------------------------------------------------------------------------------- */

static int writable_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

static int data_becomes_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int code_from_memory(void)
{
	int fd = (int)syscall(SYS_memfd_create, "x", 0);
	void *p;

	if (fd < 0 || ftruncate(fd, 4096))
		return -errno;
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? -errno : 0;
}

static int leak_descriptors(void)
{
	int fd = 0;

	for (int i = 0; i < LEAKED_FDS; i++) {
		fd = fcntl(scene.pipe_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
	}
	return 0;
}

#ifndef __SANITIZE_ADDRESS__ /* its shadow is private memory, so that limit is not set */
static int leak_memory(void)
{
	for (int i = 0; i < LEAKED_MIB; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED)
			return -errno;
		for (int k = 0; k < 1 << 20; k += 4096)
			p[k] = 1;
	}
	return 0;
}
#endif

static int lock_memory(void)
{
	void *p = mmap(NULL, LOCKED_MIB << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Not mlock(), which the sanitizers make do nothing. */
	return result(syscall(SYS_mlock, p, LOCKED_MIB << 20));
}

static int type_for_the_user(void)
{
	return result(ioctl(scene.pty_fd, TIOCSTI, "x"));
}

static int make_interface(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	return result(ioctl(scene.tun_fd, TUNSETIFF, &ifr));
}

static int other_ioctl(void)
{
	int on = 1;

	return result(ioctl(scene.pipe_fd, FIONBIO, &on));
}

/* ---- by io_uring, which a filter of system calls does not see ------------------------------------------------------------------ */

static int ring_before(void)
{
	return io_uring_queue_init(4, &scene.ring, 0);
}

static int complete_one(void)
{
	struct io_uring_cqe *cqe;
	int ret = io_uring_submit_and_wait(&scene.ring, 1);

	if (ret < 0)
		return ret;
	ret = io_uring_peek_cqe(&scene.ring, &cqe);
	return ret ? ret : cqe->res < 0 ? cqe->res : 0;
}

static int ring_opens(void)
{
	io_uring_prep_openat(io_uring_get_sqe(&scene.ring), AT_FDCWD, "/etc/passwd",
			     O_RDONLY | O_CLOEXEC, 0);
	return complete_one();
}

static int ring_connects(void)
{
	static struct sockaddr_in to;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&scene.ring);
	struct io_uring_cqe *cqe;
	int fd, ret;

	/* IORING_OP_SOCKET of Linux 5.19, which Debian 12's liburing has not. */
	io_uring_prep_nop(sqe);
	sqe->opcode = 45;
	sqe->fd = AF_INET;
	sqe->off = SOCK_STREAM;
	ret = io_uring_submit_and_wait(&scene.ring, 1);
	if (ret < 0 || (ret = io_uring_peek_cqe(&scene.ring, &cqe)))
		return ret;
	fd = cqe->res;
	io_uring_cqe_seen(&scene.ring, cqe);
	if (fd < 0)
		return fd;
	to = listener();
	io_uring_prep_connect(io_uring_get_sqe(&scene.ring), fd, (struct sockaddr *)&to,
			      sizeof(to));
	return complete_one();
}

static int ring_keeps_rights(void)
{
	int ret = io_uring_register_personality(&scene.ring);

	return ret < 0 ? ret : 0;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------------ */

const struct attempt attempts[] = {
	{.name = "open /dev/mem", .try = open_dev_mem},
	{.name = "open /dev/port", .try = open_dev_port},
	{.name = "open /proc/kcore", .try = open_kcore},
	{.name = "open /dev/kmsg", .try = open_kmsg},
	{.name = "open /dev/vfio/vfio", .try = open_vfio},
	{.name = "open /dev/net/tun", .try = open_tun},
	{.name = "mknod of physical memory", .try = make_mem_node},
	{.name = "read /etc/shadow", .try = read_shadow},
	{.name = "read /etc/passwd", .try = read_passwd},
	{.name = "list a folder", .try = list_root},
	{.name = "write a file", .try = write_file},
	{.name = "write into the root", .try = write_root},
	{.name = "write to sysfs", .try = write_sysfs},
	{.name = "write /proc/sys", .try = write_sysctl},
	{.name = "make a folder", .try = make_folder},
	{.name = "open_tree of /etc", .try = leave_by_descriptor},
	{.name = "ptrace the keeper", .try = trace_keeper},
	{.name = "process_vm_readv of the keeper", .try = read_keeper},
	{.name = "process_vm_writev of the keeper", .try = write_keeper},
	{.name = "open /proc/KEEPER/mem", .try = open_keepers_memory},
	{.name = "read /proc/KEEPER/environ", .try = read_keepers_environment},
	{.name = "pidfd_getfd from the keeper", .try = take_keepers_descriptor},
	{.name = "kill the keeper", .try = signal_keeper},
	{.name = "pidfd_send_signal to the keeper", .try = signal_keeper_by_pidfd},
	{.name = "F_SETOWN to the keeper", .try = signal_keeper_by_descriptor},
	{.name = "kill everybody", .try = signal_everybody},
	{.name = "setns to the keeper's network", .try = join_keepers_network},
	{.name = "exec of a program", .try = run_program},
	{.name = "exec of memory", .try = run_memory},
	{.name = "fork", .try = make_process},
	{.name = "fork bomb", .try = fork_bomb},
	{.name = "raw socket", .try = raw_socket},
	{.name = "packet socket", .try = packet_socket},
	{.name = "netlink socket", .try = netlink_socket},
	{.name = "TCP connect", .try = tcp_connection},
	{.name = "connect to an abstract UNIX socket", .try = abstract_connection},
	{.name = "mount", .try = mount_something},
	{.name = "umount", .try = unmount_something},
	{.name = "chroot", .try = change_root},
	{.name = "pivot_root", .try = pivot_root},
	{.name = "unshare of mounts", .try = new_mounts},
	{.name = "unshare of users", .try = new_user_namespace},
	{.name = "clone into a user namespace", .try = child_in_new_user_namespace},
	{.name = "setresuid(0)", .try = become_root},
	{.name = "setgroups(0)", .try = join_group},
	{.name = "capset", .try = take_capability},
	{.name = "undo NO_NEW_PRIVS", .try = forget_no_new_privs},
	{.name = "become dumpable", .try = become_dumpable},
	{.name = "outlive the keeper", .try = outlive_keeper},
	{.name = "raise a limit", .try = raise_limit},
	{.name = "ask for core dumps", .try = write_cores},
	{.name = "raise the priority", .try = priority},
	{.name = "real-time scheduling", .try = real_time},
	{.name = "sethostname", .try = host_name},
	{.name = "load a module", .try = load_module},
	{.name = "kexec", .try = load_kernel},
	{.name = "bpf", .try = load_bpf},
	{.name = "perf_event_open", .try = count_events},
	{.name = "userfaultfd", .try = watch_page_faults},
	{.name = "add_key", .try = add_key},
	{.name = "fanotify", .try = watch_files},
	{.name = "System V shared memory", .try = share_memory},
	{.name = "io_uring_setup", .try = make_ring},
	{.name = "io_uring with a kernel thread", .try = make_polled_ring},
#if defined(__x86_64__)
	{.name = "iopl", .try = all_ports},
	{.name = "ioperm", .try = one_port},
	{.name = "system call of 32 bits", .try = old_calls},
	{.name = "system call of x32", .try = x32_calls},
#endif
	{.name = "mmap writable code", .try = writable_code},
	{.name = "mprotect data to code", .try = data_becomes_code},
	{.name = "map code from a memfd",
	 .try = code_from_memory,
	 .while_loading = "so is the driver's object"},
	{.name = "leak descriptors", .try = leak_descriptors},
#ifndef __SANITIZE_ADDRESS__
	{.name = "leak memory", .try = leak_memory},
#endif
	{.name = "mlock more than allowed", .try = lock_memory},
	{.name = "TIOCSTI", .try = type_for_the_user},
	{.name = "TUNSETIFF", .try = make_interface},
	{.name = "an ioctl that is not listed", .try = other_ioctl},
	{.name = "open by io_uring",
	 .try = ring_opens,
	 .before = ring_before,
	 .uses = SANDBOX_USES_UBLK},
	{.name = "connect by io_uring",
	 .try = ring_connects,
	 .before = ring_before,
	 .uses = SANDBOX_USES_UBLK},
	{.name = "keep rights by io_uring",
	 .try = ring_keeps_rights,
	 .before = ring_before,
	 .uses = SANDBOX_USES_UBLK},
};
const size_t nr_attempts = sizeof(attempts) / sizeof(attempts[0]);
