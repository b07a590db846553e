/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting, watching and ending QEMU. One thread per QEMU does all three: it forks (PR_SET_PDEATHSIG
 * follows the thread that forked, so it must live as long as QEMU), sleeps on the pidfd, on QEMU's
 * stderr and, while an INTx line is in use, on the qtest socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/qemu/machine.h"
#include "access/threads.h"

enum {
	END_TEXT = 300,
	END_MS = 2000, /* from the end of its sockets to that of the process */
};

#define FIRMWARE_SIZE 65536
#define RESET_VECTOR  0xfff0 /* of a 64 KiB image below 4 GiB (SDM 3A, 9.1.4) */

/* ---- command line -------------------------------------------------------------------- */

void qemu_arg(struct qemu_args *args, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (args->failed)
		return;
	if (args->argc + 2 > args->room) {
		unsigned int room = args->room ? args->room * 2 : 64;
		char **argv = realloc(args->argv, room * sizeof(*argv));

		if (!argv) {
			args->failed = true;
			return;
		}
		args->argv = argv;
		args->room = room;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		args->failed = true;
	else
		args->argv[args->argc++] = text;
	va_end(ap);
	args->argv[args->argc] = NULL;
}

void qemu_wav_args(struct qemu_args *args, const char *id, const char *path)
{
	char escaped[1100] = "";

	/* A comma in a value is written twice (qemu(1), Introduction). */
	for (size_t i = 0, o = 0; path[i] && o + 3 < sizeof(escaped); i++) {
		escaped[o++] = path[i];
		if (path[i] == ',')
			escaped[o++] = ',';
	}
	qemu_arg(args, "-audiodev");
	qemu_arg(args, "wav,id=%s,path=%s", id, escaped);
}

void qemu_sound_args(struct qemu_args *args, unsigned int index, const char *wav, char *props,
		     size_t size)
{
	char id[16];

	snprintf(id, sizeof(id), "sound%u", index);
	if (wav) {
		qemu_wav_args(args, id, wav);
	} else {
		/* Takes its time for what is played, and records silence. */
		qemu_arg(args, "-audiodev");
		qemu_arg(args, "none,id=%s", id);
	}
	snprintf(props, size, ",audiodev=%s", id);
}

void qemu_watchdog_args(struct qemu_args *args)
{
	/* A reset would take the IOMMU's tables away from under us; an end is seen as the device's removal. */
	qemu_arg(args, "-action");
	qemu_arg(args, "watchdog=poweroff");
}

void qemu_can_args(struct qemu_args *args, unsigned int index, const char *model, char *props,
		   size_t size)
{
	/* A bus of its own, on which all interfaces of the card are: what one sends the others receive. */
	qemu_arg(args, "-object");
	qemu_arg(args, "can-bus,id=can%u", index);
	if (!strcmp(model, "ctucan_pci"))
		snprintf(props, size, ",canbus0=can%u,canbus1=can%u", index, index);
	else
		snprintf(props, size, ",canbus=can%u", index);
}

int qemu_arg_fd(struct qemu_args *args, int fd)
{
	if (args->nr_fds == QEMU_FILES || fd < 0) {
		args->failed = true;
		if (fd >= 0)
			close(fd);
		return -1;
	}
	args->fd[args->nr_fds] = fd;
	return 3 + (int)args->nr_fds++;
}

void qemu_args_free(struct qemu_args *args)
{
	for (unsigned int i = 0; i < args->argc; i++)
		free(args->argv[i]);
	free(args->argv);
	for (unsigned int i = 0; i < args->nr_fds; i++)
		close(args->fd[i]);
	memset(args, 0, sizeof(*args));
}

/* ---- the child ------------------------------------------------------------------------ */

struct start {
	struct qemu_machine *m;
	struct qemu_args *args;
	pid_t parent;
	int stderr_w;
	int error;
	sem_t done;
};

/* Between fork and exec in a threaded process: async-signal-safe calls only (fork(2)). */
static void child(struct start *s)
{
	const struct rlimit no_core = {0, 0};
	unsigned int n = s->args->nr_fds;
	int high[QEMU_FILES], err_fd, null;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != s->parent)
		_exit(126); /* it died before the line above */
	setpgid(0, 0);	    /* Ctrl-C on the terminal is for us; we end QEMU in order */
	sigemptyset(&none); /* the forking thread has all of them blocked */
	sigprocmask(SIG_SETMASK, &none, NULL);
	setrlimit(RLIMIT_CORE, &no_core);
	for (unsigned int i = 0; i < n; i++)
		high[i] = fcntl(s->args->fd[i], F_DUPFD, 64);
	err_fd = fcntl(s->stderr_w, F_DUPFD, 64);
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(err_fd, 2);
	for (unsigned int i = 0; i < n; i++)
		dup2(high[i], 3 + (int)i);
	syscall(SYS_close_range, 3 + n, ~0u, 0);
	execvp(s->args->argv[0], s->args->argv);
	_exit(127);
}

static void keep_stderr(struct qemu_machine *m)
{
	char buf[512];
	ssize_t n;

	while ((n = read(m->stderr_fd, buf, sizeof(buf))) > 0) {
		size_t len = (size_t)n;

		pthread_mutex_lock(&m->lock);
		if (m->said_len + len > sizeof(m->said)) {
			size_t drop = m->said_len + len - sizeof(m->said);

			memmove(m->said, m->said + drop, m->said_len - drop);
			m->said_len -= drop;
		}
		memcpy(m->said + m->said_len, buf, len);
		m->said_len += len;
		pthread_mutex_unlock(&m->lock);
	}
}

void qemu_machine_said(struct qemu_machine *m, char *buf, size_t size)
{
	size_t start;

	pthread_mutex_lock(&m->lock);
	start = m->said_len > size - 1 ? m->said_len - (size - 1) : 0;
	memcpy(buf, m->said + start, m->said_len - start);
	buf[m->said_len - start] = '\0';
	pthread_mutex_unlock(&m->lock);
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = p[1] ? ' ' : '\0';
}

/* All its devices are, unless whoever starts it or closes it tells the reason himself. */
static void qemu_gone(struct qemu_machine *m)
{
	qtest_kill(&m->qt);
	if (__atomic_load_n(&m->closing, __ATOMIC_ACQUIRE) ||
	    !__atomic_load_n(&m->open, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->nr_devices; i++)
		if (m->devices[i] && m->devices[i]->dev)
			ob_device_set_gone(m->devices[i]->dev);
	pthread_mutex_unlock(&m->lock);
}

/* Return: @buf, with what is known of its end. */
static const char *end_text(struct qemu_machine *m, char *buf, size_t size)
{
	char said[200];

	qemu_machine_said(m, said, sizeof(said));
	if (WIFSIGNALED(m->exit_status))
		snprintf(buf, size, "QEMU (pid %d) was ended by signal %d", m->pid,
			 WTERMSIG(m->exit_status));
	else
		snprintf(buf, size, "QEMU (pid %d) exited with %d%s%s", m->pid,
			 WEXITSTATUS(m->exit_status), said[0] ? ": " : "", said);
	return buf;
}

static void say_of_all(struct qemu_machine *m, const char *text)
{
	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->nr_devices; i++)
		if (m->devices[i] && m->devices[i]->dev)
			ob_device_log(m->devices[i]->dev, OB_LOG_ERROR, "%s", text);
	pthread_mutex_unlock(&m->lock);
}

void qemu_machine_explain_end(struct qemu_machine *m, struct ob_error *err)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	char text[END_TEXT];

	for (unsigned int ms = 0; ms < END_MS; ms++) {
		if (__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE)) {
			ob_error_why(err, "%s", end_text(m, text, sizeof(text)));
			return;
		}
		nanosleep(&pause, NULL);
	}
	ob_error_why(err, "QEMU (pid %d) closed its qtest socket", m->pid);
}

/* Nobody is told of what he wanted himself. */
static void gone_because(struct qemu_machine *m, const char *text)
{
	if (!__atomic_load_n(&m->closing, __ATOMIC_ACQUIRE) &&
	    __atomic_load_n(&m->open, __ATOMIC_ACQUIRE))
		say_of_all(m, text);
	qemu_gone(m);
}

/* QEMU has ended, whoever wanted it. */
static void reap(struct qemu_machine *m)
{
	char text[END_TEXT];
	int status = 0;

	waitpid(m->pid, &status, 0);
	keep_stderr(m);
	pthread_mutex_lock(&m->lock);
	m->exit_status = status;
	__atomic_store_n(&m->ended, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&m->lock);
	gone_because(m, end_text(m, text, sizeof(text)));
}

/*
 * Its socket is of no use any more. Most likely it has ended, as its pidfd is about to tell; while it lives nobody else would notice that no access of
 * this process reaches it any more.
 */
static void qtest_died(struct qemu_machine *m)
{
	struct pollfd end = {.fd = m->pidfd, .events = POLLIN}, qt = {.fd = m->qt.fd};
	char text[END_TEXT];

	epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, m->dead_fd, NULL);
	/* A process that ends closes its sockets first. */
	if (poll(&end, 1, poll(&qt, 1, 0) > 0 && (qt.revents & POLLHUP) ? END_MS : 0) > 0)
		return;
	snprintf(text, sizeof(text), "QEMU (pid %d) cannot be reached: %.100s", m->pid, m->qt.fail);
	gone_because(m, text);
}

static int watch_qtest(struct qemu_machine *m)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &m->dead_fd};

	m->dead_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->dead_fd < 0 || epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->dead_fd, &ev))
		return -errno;
	ev = (struct epoll_event){.data.ptr = &m->qt};
	if (epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->qt.fd, &ev))
		return -errno;
	m->qt.watch_fd = m->epoll_fd;
	m->qt.dead_fd = m->dead_fd;
	return 0;
}

static void watch(struct qemu_machine *m)
{
	struct epoll_event ev[4];

	for (;;) {
		int n = epoll_wait(m->epoll_fd, ev, 4, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &m->stderr_fd) {
				keep_stderr(m);
				if (ev[i].events & EPOLLHUP)
					epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, m->stderr_fd, NULL);
			} else if (ev[i].data.ptr == &m->qt) {
				/* A dead socket stays readable; the pidfd tells the rest. */
				if (qtest_pump(&m->qt))
					epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, m->qt.fd, NULL);
			} else if (ev[i].data.ptr == &m->dead_fd) {
				qtest_died(m);
			} else if (ev[i].data.ptr == &m->pidfd) {
				reap(m);
				return;
			}
		}
	}
}

/* The same where another process is QEMU's parent: of its end only the fact can be known. */
static void *watch_adopted(void *arg)
{
	struct qemu_machine *m = arg;
	struct epoll_event ev[4];

	for (;;) {
		int n = epoll_wait(m->epoll_fd, ev, 4, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &m->end_fd)
				return NULL;
			if (ev[i].data.ptr == &m->pidfd) {
				qemu_gone(m);
				return NULL;
			}
			if (ev[i].data.ptr == &m->dead_fd)
				qtest_died(m);
			else if (qtest_pump(&m->qt))
				epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, m->qt.fd, NULL);
		}
	}
}

static void *thread_main(void *arg)
{
	struct start *s = arg;
	struct qemu_machine *m = s->m;

	m->pid = fork();
	if (!m->pid)
		child(s);
	s->error = m->pid < 0 ? errno : 0;
	if (!s->error) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &m->pidfd};

		m->pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
		if (m->pidfd < 0) {
			s->error = errno;
			kill(m->pid, SIGKILL);
			waitpid(m->pid, NULL, 0);
			m->ended = true;
		} else {
			epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->pidfd, &ev);
		}
	}
	if (s->error) {
		sem_post(&s->done);
		return NULL;
	}
	sem_post(&s->done); /* "s" is not valid any more */
	watch(m);
	return NULL;
}

/* ---- start ------------------------------------------------------------------------------ */

static int sealed_memfd(const char *name, uint64_t size, void **map)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	/* QEMU must not shrink it under us: that would be SIGBUS here. */
	if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	if (map) {
		*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (*map == MAP_FAILED) {
			ret = -errno;
			close(fd);
			return ret;
		}
	}
	return fd;
}

/* A processor that halts with interrupts off, for ever: we only want the devices. */
static int firmware(void)
{
	static const uint8_t park[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; 1: hlt; jmp 1b */
	void *map;
	int fd = sealed_memfd("outboard-firmware", FIRMWARE_SIZE, &map);

	if (fd < 0)
		return fd;
	memset(map, 0xf4, FIRMWARE_SIZE);
	memcpy((char *)map + RESET_VECTOR, park, sizeof(park));
	munmap(map, FIRMWARE_SIZE);
	return fd;
}

static int send_ivshmem(int sock, int64_t val, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = &val, .iov_len = sizeof(val)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == sizeof(val) ? 0 : -errno;
}

/*
 * Play the ivshmem server (QEMU, docs/specs/ivshmem-spec.txt): version 0, QEMU's own number, the shared
 * memory, then our eventfds as peer 0. We must be peer 0 because MSI data has 16 bits and the doorbell
 * takes the peer from the upper 16. QEMU gets no vectors of its own, which a server would send last: nobody
 * interrupts it, and each would be one more descriptor in its main loop's poll.
 */
static int ivshmem_handshake(struct qemu_machine *m, int sock)
{
	int shm = sealed_memfd("outboard-ivshmem", 4096, NULL);
	int ret = shm < 0 ? shm : 0;

	ret = ret ? ret : send_ivshmem(sock, 0, -1);
	ret = ret ? ret : send_ivshmem(sock, 1, -1);
	ret = ret ? ret : send_ivshmem(sock, -1, shm);
	for (unsigned int i = 0; !ret && i < OB_IRQ_VECTORS; i++)
		ret = send_ivshmem(sock, 0, m->vector_fd[i]);
	if (shm >= 0)
		close(shm);
	return ret;
}

static int open_files(struct qemu_machine *m, int qtest_pair[2], int ivshmem_pair[2],
		      int stderr_pipe[2])
{
	struct epoll_event ev = {.events = EPOLLIN};
	void *ram;
	int ret;

	m->ram_fd = sealed_memfd("outboard-ram", m->ram_size, &ram);
	if (m->ram_fd < 0)
		return m->ram_fd;
	m->ram = ram;
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++) {
		m->vector_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (m->vector_fd[i] < 0)
			return -errno;
	}
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll_fd < 0 || pipe2(stderr_pipe, O_CLOEXEC | O_NONBLOCK) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qtest_pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ivshmem_pair))
		return -errno;
	/* QEMU's end of the pipe blocks, as a program expects of its stderr. */
	fcntl(stderr_pipe[1], F_SETFL, 0);
	m->stderr_fd = stderr_pipe[0];
	ev.data.ptr = &m->stderr_fd;
	epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->stderr_fd, &ev);
	qtest_open(&m->qt, qtest_pair[0], 1000);
	m->qt.irq = qemu_line;
	m->qt.irq_arg = m;
	ret = watch_qtest(m);
	return ret ? ret : ivshmem_handshake(m, ivshmem_pair[0]);
}

static int no_qemu(struct ob_error *err, const char *name, const char *binary, int code)
{
	ob_error_set(err, code, "%s: QEMU ('%s') cannot be started", name, binary);
	ob_error_why(err, "there is no such program that can be run");
	ob_error_fix(
		err,
		"apt-get install qemu-system-x86 (or name it with qemu=PATH or OUTBOARD_QEMU)");
	return code;
}

/* The first answer: QEMU is up and has made all devices, or has ended and said why. */
static int first_answer(struct qemu_machine *m, const char *name, const char *binary,
			struct ob_error *err)
{
	char said[400];

	m->qt.answer_ms = 60000; /* a loaded machine under a checker starts slowly */
	if (!qtest_command(&m->qt, "endianness"))
		return 0;
	if (!__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd = {.fd = m->pidfd, .events = POLLIN};

		poll(&pfd, 1, 2000);
	}
	__atomic_store_n(&m->closing, true, __ATOMIC_RELEASE);
	kill(m->pid, SIGKILL);
	pthread_join(m->thread, NULL);
	m->thread_runs = false;
	if (WIFEXITED(m->exit_status) && WEXITSTATUS(m->exit_status) == 127)
		return no_qemu(err, name, binary, -ENOENT);
	qemu_machine_said(m, said, sizeof(said));
	ob_error_set(err, -ENODEV, "%s: QEMU refused to start", name);
	ob_error_why(err, "%s", said[0] ? said : m->qt.fail);
	if (strstr(said, "is not a valid device model name"))
		ob_error_fix(err,
			     "`outboard specs qemu` lists the models that have a driver, `%s "
			     "-device help` all that it has; qemu=PATH or OUTBOARD_QEMU names "
			     "another QEMU",
			     binary);
	return -ENODEV;
}

int qemu_machine_start(struct qemu_machine *m, struct qemu_args *args, unsigned int answer_ms,
		       const char *name, struct ob_error *err)
{
	int qtest_pair[2] = {-1, -1}, ivshmem_pair[2] = {-1, -1}, stderr_pipe[2] = {-1, -1};
	struct start s = {.m = m, .args = args, .parent = getpid()};
	sigset_t all, old;
	int ret;

	ret = open_files(m, qtest_pair, ivshmem_pair, stderr_pipe);
	if (ret) {
		ob_error_set(err, ret, "%s: cannot set up a machine of %llu MiB: %s", name,
			     (unsigned long long)(m->ram_size >> 20), strerror(-ret));
		goto out;
	}
	/* The order is that of the numbers in qemu_base_args(): 3, 4, 5, 6. */
	args->fd[0] = qtest_pair[1];
	args->fd[1] = fcntl(m->ram_fd, F_DUPFD_CLOEXEC, 3);
	args->fd[2] = ivshmem_pair[1];
	args->fd[3] = firmware();
	qtest_pair[1] = ivshmem_pair[1] = -1;
	s.stderr_w = stderr_pipe[1];
	if (args->failed || args->fd[1] < 0 || args->fd[3] < 0) {
		ret = ob_error_set(err, -ENOMEM, "%s: out of memory or descriptors", name);
		goto out;
	}
	sem_init(&s.done, 0, 0);
	/* Not by ob_thread_start(): it is waited for below. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = -pthread_create(&m->thread, NULL, thread_main, &s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		ob_error_set(err, ret, "%s: cannot start a thread", name);
		goto out;
	}
	m->thread_runs = true;
	while (sem_wait(&s.done))
		continue;
	sem_destroy(&s.done);
	if (s.error) {
		ret = ob_error_set(err, -s.error, "%s: cannot start a process: %s", name,
				   strerror(s.error));
		goto out;
	}
	/* QEMU has its own copies; ours would hide its death. */
	for (unsigned int i = 0; i < args->nr_fds; i++)
		close(args->fd[i]);
	args->nr_fds = 0;
	close(stderr_pipe[1]);
	stderr_pipe[1] = -1;
	/* It must not see the end of the handshake's socket before it has read all of it. */
	m->handshake_fd = ivshmem_pair[0];
	ivshmem_pair[0] = -1;
	ret = first_answer(m, name, args->argv[0], err);
	m->qt.answer_ms = answer_ms;
out:
	if (qtest_pair[1] >= 0)
		close(qtest_pair[1]);
	if (ivshmem_pair[0] >= 0)
		close(ivshmem_pair[0]);
	if (ivshmem_pair[1] >= 0)
		close(ivshmem_pair[1]);
	if (stderr_pipe[1] >= 0)
		close(stderr_pipe[1]);
	return ret;
}

/* ---- one that another process holds -------------------------------------------------------- */

int qemu_machine_adopt(struct qemu_machine *m, const struct qemu_machine *from,
		       unsigned int answer_ms, const char *name, struct ob_error *err)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &m->pidfd};
	int ret;

	m->adopted = true;
	m->iommu = from->iommu;
	m->ram = from->ram;
	m->ram_size = from->ram_size;
	m->ram_fd = from->ram_fd;
	m->pid = from->pid;
	m->pidfd = from->pidfd;
	memcpy(m->vector_fd, from->vector_fd, sizeof(m->vector_fd));
	/* What an earlier user left must not be taken for an interrupt: see qemu_doorbell_setup(). */
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		fcntl(m->vector_fd[i], F_SETFL, O_NONBLOCK);
	qtest_open(&m->qt, from->qt.fd, answer_ms);
	m->qt.irq = qemu_line;
	m->qt.irq_arg = m;
	m->end_fd = eventfd(0, EFD_CLOEXEC);
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->end_fd < 0 || m->epoll_fd < 0 ||
	    epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->pidfd, &ev))
		return ob_error_set(err, -errno, "%s: no descriptors to watch QEMU: %s", name,
				    strerror(errno));
	ev.data.ptr = &m->end_fd;
	epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->end_fd, &ev);
	ret = watch_qtest(m);
	if (ret)
		return ob_error_set(err, ret, "%s: no descriptor to watch QEMU: %s", name,
				    strerror(-ret));
	ret = ob_thread_start(&m->thread, watch_adopted, m);
	if (ret)
		return ob_error_set(err, ret, "%s: cannot start a thread", name);
	m->thread_runs = true;
	return 0;
}

static void end_adopted_thread(struct qemu_machine *m)
{
	const uint64_t one = 1;

	if (write(m->end_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(m->thread, NULL);
}

/* ---- end ------------------------------------------------------------------------------- */

/*
 * A driver process that is another one may have noticed QEMU's end first, by its socket: what ended QEMU is said nevertheless. A
 * process that ends closes its descriptors before its parent is told.
 */
static void await_own_end(struct qemu_machine *m)
{
	struct pollfd qt = {.fd = m->qt.fd}, end = {.fd = m->pidfd, .events = POLLIN};

	if (poll(&qt, 1, 0) > 0 && (qt.revents & POLLHUP))
		poll(&end, 1, 1000);
	if (poll(&end, 1, 0) > 0) {
		pthread_join(m->thread, NULL);
		m->thread_runs = false;
	}
}

void qemu_machine_stop(struct qemu_machine *m)
{
	if (m->thread_runs && !m->adopted && m->pidfd >= 0)
		await_own_end(m);
	__atomic_store_n(&m->closing, true, __ATOMIC_RELEASE);
	if (m->adopted)
		qemu_held_give(m);
	if (m->thread_runs && m->adopted) {
		end_adopted_thread(m);
	} else if (m->thread_runs) {
		struct pollfd pfd = {.fd = m->pidfd, .events = POLLIN};

		if (!__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE) && m->pidfd >= 0) {
			kill(m->pid, SIGTERM);
			/* It flushes and closes its images; 5 s are for a slow disk. */
			if (poll(&pfd, 1, 5000) <= 0)
				kill(m->pid, SIGKILL);
		}
		pthread_join(m->thread, NULL);
	}
	vtd_stop(&m->vtd);
	if (m->qt.answer_ms)
		qtest_close(&m->qt);
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		if (m->vector_fd[i] >= 0)
			close(m->vector_fd[i]);
	if (m->epoll_fd >= 0)
		close(m->epoll_fd);
	if (m->handshake_fd >= 0)
		close(m->handshake_fd);
	if (m->stderr_fd >= 0)
		close(m->stderr_fd);
	if (m->pidfd >= 0)
		close(m->pidfd);
	if (m->end_fd >= 0)
		close(m->end_fd);
	if (m->dead_fd >= 0)
		close(m->dead_fd);
	if (m->ram)
		munmap(m->ram, m->ram_size);
	if (m->ram_fd >= 0)
		close(m->ram_fd);
	pthread_mutex_destroy(&m->lock);
	pthread_mutex_destroy(&m->intx_lock);
	free(m);
}
