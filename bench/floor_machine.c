/* SPDX-License-Identifier: BSD-2-Clause */
/* See floor_machine.h; docs/qemu-backend.md says why QEMU is started like this. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/floor_machine.h"

enum {
	/* As the backend keeps it: neither side can block in send(). */
	POSTED_MAX = 64,
	ARGS_MAX = 64,
};

/* Take the OKs that have come; each ends a posted write. */
static void take_replies(struct floor_machine *m, int flags)
{
	char buf[1024];
	ssize_t n = recv(m->fd, buf, sizeof(buf), flags);

	m->syscalls++;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		m->dead = true;
	for (ssize_t i = 0; i < n; i++)
		m->posted -= buf[i] == '\n';
}

/* One sleep for many "OK\n": a write has no other reply. */
static void take_half(struct floor_machine *m)
{
	char buf[3 * POSTED_MAX / 2];
	ssize_t n = recv(m->fd, buf, sizeof(buf), MSG_WAITALL);

	m->syscalls++;
	if (n != (ssize_t)sizeof(buf))
		m->dead = true;
	else
		m->posted -= POSTED_MAX / 2;
}

void floor_poll(struct floor_machine *m)
{
	take_replies(m, MSG_DONTWAIT);
}

void floor_post(struct floor_machine *m, const char *text, size_t len)
{
	if (m->posted >= POSTED_MAX)
		take_half(m);
	if (send(m->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		m->dead = true;
	m->syscalls++;
	m->posted++;
}

/* A command whose value is wanted; everything posted before is answered first. */
static uint64_t ask(struct floor_machine *m, const char *text)
{
	char line[128];
	size_t n = 0;

	while (m->posted && !m->dead)
		take_replies(m, 0);
	if (m->dead || send(m->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		goto dead;
	while (n + 1 < sizeof(line)) {
		if (recv(m->fd, line + n, 1, 0) != 1)
			goto dead;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	if (!strncmp(line, "OK", 2))
		return n > 4 ? strtoull(line + 3, NULL, 0) : 0;
dead:
	m->dead = true;
	return UINT64_MAX;
}

uint64_t floor_read(struct floor_machine *m, char width, uint64_t addr)
{
	char text[48];

	snprintf(text, sizeof(text), "read%c 0x%llx\n", width, (unsigned long long)addr);
	return ask(m, text);
}

void floor_write(struct floor_machine *m, char width, uint64_t addr, uint64_t val)
{
	char text[64];

	snprintf(text, sizeof(text), "write%c 0x%llx 0x%llx\n", width, (unsigned long long)addr,
		 (unsigned long long)val);
	ask(m, text);
}

static void config_write(struct floor_machine *m, unsigned int slot, unsigned int reg, uint32_t val)
{
	char text[64];

	snprintf(text, sizeof(text), "outl 0xcf8 0x%x\n", 0x80000000u | slot << 11 | reg);
	ask(m, text);
	snprintf(text, sizeof(text), "outl 0xcfc 0x%x\n", val);
	ask(m, text);
}

void floor_machine_enable(struct floor_machine *m, unsigned int slot)
{
	config_write(m, slot, 0x10, FLOOR_BAR);
	config_write(m, slot, 0x04, 6);
}

/* A processor that is parked: hlt everywhere, at the reset vector cli; hlt; jump back. */
static int firmware(void)
{
	static const unsigned char parked[4] = {0xfa, 0xf4, 0xeb, 0xfd};
	int fd = memfd_create("firmware", MFD_CLOEXEC);
	unsigned char image[65536];

	memset(image, 0xf4, sizeof(image));
	memcpy(image + 0xfff0, parked, sizeof(parked));
	if (fd >= 0 && write(fd, image, sizeof(image)) != (ssize_t)sizeof(image)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void run_qemu(const char *qemu, const char *const *args, int sock, int ram, int bios)
{
	char memory[128];
	const char *argv[ARGS_MAX] = {
		qemu,
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-accel",
		"tcg,tb-size=1",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine",
		"q35,memory-backend=ram,pit=off,hpet=off,sata=off,smbus=off,i8042=off,vmport=off",
		"-m",
		"64M",
		"-object",
		memory,
		"-chardev",
		"socket,id=qtest,fd=3",
		"-object",
		"qtest,id=qtest0,chardev=qtest,log=none",
		"-bios",
		"/proc/self/fd/6",
	};
	unsigned int n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(memory, sizeof(memory),
		 "memory-backend-file,id=ram,size=%u,mem-path=/proc/self/fd/4,share=on", FLOOR_RAM);
	while (argv[n])
		n++;
	while (*args && n + 1 < ARGS_MAX)
		argv[n++] = *args++;
	/* Out of the way first: a target number may be in use by one of the others. */
	sock = fcntl(sock, F_DUPFD, 10);
	ram = fcntl(ram, F_DUPFD, 10);
	bios = fcntl(bios, F_DUPFD, 10);
	dup2(sock, 3);
	dup2(ram, 4);
	dup2(bios, 6);
	close(sock);
	close(ram);
	close(bios);
	close(0);
	close(2); /* "nic has no peer" */
	if (open("/dev/null", O_RDWR) == 0 && dup2(0, 2) == 2)
		execvp(qemu, (char *const *)argv);
	_exit(127);
}

bool floor_machine_start(struct floor_machine *m, const char *qemu, const char *const *args)
{
	int ram = memfd_create("ram", MFD_CLOEXEC), bios = firmware();
	int sv[2] = {-1, -1};
	bool ok = false;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	if (ram < 0 || bios < 0 || ftruncate(ram, FLOOR_RAM) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		goto out;
	m->ram = mmap(NULL, FLOOR_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	if (m->ram == MAP_FAILED) {
		m->ram = NULL;
		goto out;
	}
	m->pid = fork();
	if (!m->pid)
		run_qemu(qemu, args, sv[1], ram, bios);
	m->fd = sv[0];
	sv[0] = -1;
	ok = m->pid > 0;
out:
	for (int i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
	if (ram >= 0)
		close(ram);
	if (bios >= 0)
		close(bios);
	return ok;
}

void floor_machine_stop(struct floor_machine *m)
{
	if (m->pid > 0) {
		kill(m->pid, SIGKILL);
		waitpid(m->pid, NULL, 0);
	}
	if (m->fd >= 0)
		close(m->fd);
	if (m->ram)
		munmap(m->ram, FLOOR_RAM);
	memset(m, 0, sizeof(*m));
	m->fd = -1;
}
