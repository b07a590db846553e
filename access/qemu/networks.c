/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network cards on QEMU's command line, and what is at the other end of their wire.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/qemu/models.h"

/**
 * struct card_model - a network card that is not as QEMU's is by itself
 * @props: of the PCI device, or ""
 * @revision: what configuration space says; 0: what QEMU's says
 * @waits: a register's write is done when it returns
 */
struct card_model {
	const char *name, *props;
	uint8_t revision;
	bool waits;
};

/*
 * QEMU's eepro100 goes on behind the command block at which it was suspended, without a look at whether that has its suspend bit still
 * (82557 manual, CU resume, has it looked at again). A driver that puts the next block there while QEMU is at the one before would have
 * it run around the ring. No guest can do that: its processor waits until QEMU has done what a write asks for.
 */
#define EEPRO100(name)                                                                             \
	{                                                                                          \
		name, "", 0, true                                                                  \
	}

static const struct card_model card_models[] = {
	EEPRO100("i82550"),
	EEPRO100("i82551"),
	EEPRO100("i82557a"),
	EEPRO100("i82557b"),
	EEPRO100("i82557c"),
	EEPRO100("i82558a"),
	EEPRO100("i82558b"),
	EEPRO100("i82559a"),
	EEPRO100("i82559b"),
	EEPRO100("i82559c"),
	EEPRO100("i82559er"),
	EEPRO100("i82562"),
	EEPRO100("i82801"),
	/* Paravirtual: its driver reads what a command leaves in memory behind the write that asks for it. */
	{"vmxnet3", "", 0, true},
	/* An RTL8139C+ does what its predecessors do, whose drivers refuse it for its revision (from 0x20 on). */
	{"rtl8139c", "", 0x10, false},
	{"virtio-net-pci", QEMU_VIRTIO_PROPS, 0, false},
};

/* "qemu-system-x86_64 --version" as 100 * major + minor, 0 when it cannot be told. */
static unsigned int qemu_version(const char *binary)
{
	unsigned int major = 0, minor = 0;
	char text[128] = "";
	int pipefd[2];
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC))
		return 0;
	pid = fork();
	if (!pid) {
		dup2(pipefd[1], 1);
		execlp(binary, binary, "--version", (char *)NULL);
		_exit(127);
	}
	close(pipefd[1]);
	if (pid > 0) {
		if (read(pipefd[0], text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		waitpid(pid, NULL, 0);
	}
	close(pipefd[0]);
	if (sscanf(text, "QEMU emulator version %u.%u", &major, &minor) != 2)
		return 0;
	return major * 100 + minor;
}

static bool port_number(const char *text, unsigned long *port, char **end)
{
	if (!isdigit((unsigned char)*text))
		return false;
	*port = strtoul(text, end, 10);
	return *port >= 1 && *port <= 65535;
}

static int user_net(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *binary, struct ob_error *err)
{
	static const char *const fwd_keys[] = {"fwd", "fwd2", "fwd3", "fwd4"};
	struct ob_spec_part *part = &spec->device;
	char opts[512] = "", *end;
	unsigned long guest, host;
	const char *text;

	for (unsigned int i = 0; i < 4; i++) {
		unsigned int version, a, b, c, d;
		const char *colon, *reconnect;

		text = ob_spec_get(part, fwd_keys[i]);
		if (!text)
			continue;
		colon = strchr(text, ':');
		if (!colon || sscanf(text, "%3u.%3u.%3u.%3u:", &a, &b, &c, &d) != 4 || a > 255 ||
		    b > 255 || c > 255 || d > 255 || !port_number(colon + 1, &guest, &end) ||
		    *end != '-' || !port_number(end + 1, &host, &end) || *end)
			return ob_error_set(err, -EINVAL,
					    "%s: option %s='%s' is not IP:PORT-PORT, like "
					    "10.0.2.100:80-8080",
					    part->name, fwd_keys[i], text);
		/*
		 * A character device, because it connects again after each connection ends;
		 * the option got another name and unit in QEMU 9.2.
		 */
		version = qemu_version(binary);
		reconnect = version >= 902 ? "reconnect-ms=100" : "reconnect=1";
		qemu_arg(args, "-chardev");
		qemu_arg(args, "socket,id=fwd%u-%u,host=127.0.0.1,port=%lu,%s", qd->index, i, host,
			 reconnect);
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts),
			 ",guestfwd=tcp:%u.%u.%u.%u:%lu-chardev:fwd%u-%u", a, b, c, d, guest,
			 qd->index, i);
	}
	text = ob_spec_get(part, "listen");
	if (text) {
		if (!port_number(text, &host, &end) || *end != '-' ||
		    !port_number(end + 1, &guest, &end) || *end)
			return ob_error_set(err, -EINVAL,
					    "%s: option listen='%s' is not PORT-PORT, like 8080-80",
					    part->name, text);
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts),
			 ",hostfwd=tcp:127.0.0.1:%lu-:%lu", host, guest);
	}
	qemu_arg(args, "-netdev");
	qemu_arg(args, "user,id=net%u,restrict=on%s", qd->index, opts);
	return 0;
}

static int wire_fd(const char *text, const char *device, struct ob_error *err)
{
	int type = 0, size = 4 << 20, fd;
	socklen_t len = sizeof(type);
	char *end;

	fd = (int)strtol(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end)
		return ob_error_set(err, -EINVAL, "%s: netdev='fd:%s' is not a descriptor", device,
				    text);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_DGRAM)
		return ob_error_set(err, -EINVAL,
				    "%s: descriptor %d is not an open datagram socket", device, fd);
	/* Room for a burst of frames; QEMU waits when it is full. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? ob_error_set(err, -errno, "%s: out of descriptors", device) : fd;
}

int qemu_net_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		  const char *qemu, const char *where, const char *binary, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	const char *netdev = ob_spec_get(part, "netdev"), *mac = ob_spec_get(part, "mac");
	char props[512] = "";
	size_t len;
	int ret;

	if (!netdev || !strcmp(netdev, "user")) {
		ret = user_net(spec, qd, args, binary, err);
		if (ret)
			return ret;
	} else if (!strncmp(netdev, "fd:", 3)) {
		ret = wire_fd(netdev + 3, spec->text, err);
		if (ret < 0)
			return ret;
		ret = qemu_arg_fd(args, ret);
		qemu_arg(args, "-netdev");
		qemu_arg(args, "dgram,id=net%u,local.type=fd,local.str=%d", qd->index, ret);
	} else if (strcmp(netdev, "none")) {
		return ob_error_set(
			err, -EINVAL,
			"%s: option netdev='%s' is not possible, these are: user, none, "
			"fd:N",
			part->name, netdev);
	}
	for (unsigned int i = 0; i < sizeof(card_models) / sizeof(card_models[0]); i++) {
		if (strcmp(card_models[i].name, part->name))
			continue;
		snprintf(props, sizeof(props), "%s", card_models[i].props);
		qd->revision = card_models[i].revision;
		qd->waits = card_models[i].waits;
	}
	len = strlen(props);
	if (mac) {
		unsigned int m[6];
		int end = 0;

		if (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4],
			   &m[5], &end) != 6 ||
		    mac[end] || m[0] & 1)
			return ob_error_set(err, -EINVAL,
					    "%s: option mac='%s' is not a unicast MAC address",
					    part->name, mac);
		snprintf(props + len, sizeof(props) - len, ",mac=%s", mac);
	}
	qemu_add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	if (netdev && !strcmp(netdev, "none"))
		qemu_arg(args, "%s,id=dev%u%s%s", qemu, qd->index, where, props);
	else
		qemu_arg(args, "%s,id=dev%u,netdev=net%u%s%s", qemu, qd->index, qd->index, where,
			 props);
	return 0;
}
