/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses what we attached: processes, mounts and swap areas, for errors that name them. */
#ifndef ATTACH_HOLDERS_H
#define ATTACH_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <outboard/error.h>

/**
 * struct holder_socket - the other end of a connected local socket
 * @pid: 0 when the kernel does not tell or we may not look
 */
struct holder_socket {
	uid_t uid;
	pid_t pid;
};

/** holder_of_tcp() - the owner of the other end of a loopback connection, without its pid; -ENOENT */
int holder_of_tcp(int fd, struct holder_socket *peer);
/** holder_of_socket() - the owner of the other end of a loopback or UNIX connection; -ENOENT */
int holder_of_socket(int fd, struct holder_socket *peer);

/** holder_name() - "pid 1234 (mkfs.ext4)" */
void holder_name(pid_t pid, char *buf, size_t size);

/**
 * holder_check_unused() - does any process but @except have something open of what is mounted on @mountpoint?
 *
 * Return: 0; -EBUSY, and @err names them all: a child that inherited a descriptor uses it, too.
 */
int holder_check_unused(const char *mountpoint, pid_t except, struct ob_error *err);

/**
 * holders_of_block() - everything that holds a block device or one of its partitions
 * @disk: "loop3"
 * @text: "mounted on /mnt, open in pid 12 (fsck)"; empty when nothing was found
 * @except: a process that is not to be named
 *
 * Return: how many were found. Other mount namespaces and other users' processes may be hidden from us.
 */
unsigned int holders_of_block(const char *disk, pid_t except, char *text, size_t size);

/**
 * holder_check_idle() - is a block device used by nobody, in whatever mount namespace?
 * @disk, @except: as above
 *
 * Return: 0; -EBUSY with who it is; another negative errno value when it cannot be opened.
 */
int holder_check_idle(const char *disk, pid_t except, struct ob_error *err);

#endif
