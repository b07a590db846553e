/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a service says to the manager that started it, by datagrams of lines to the socket in NOTIFY_SOCKET, and the descriptors that
 * it hands over: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Without a manager nothing happens.
 */
#ifndef KEEPER_NOTIFY_H
#define KEEPER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/**
 * notify_open() - take what the manager left in the environment out of it, so that no child believes it was meant
 *
 * Before there is a second thread.
 */
void notify_open(void);

/** notify_wanted() - is there a manager that listens? */
bool notify_wanted(void);

/** notify() - say lines, as "READY=1"; waits two seconds at most */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** notify_fd() - say lines and pass @fd with them. Return: 0; -ENOENT: nobody listens; what sendmsg(2) says */
int notify_fd(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** notify_watchdog_ms() - how often "WATCHDOG=1" is to be said, at half of what is allowed; 0: not at all */
unsigned int notify_watchdog_ms(void);

enum {
	NOTIFY_NAME = 256, /* sd_pid_notify_with_fds(3): at most 255 characters */
	NOTIFY_FDS = 1024,
};

/**
 * notify_listen_fd() - the descriptors that were handed over, one after the other
 * @i: 0, 1, ...
 * @name: what it is called
 *
 * Return: the descriptor, which is closed by exec; -1: there are no more.
 */
int notify_listen_fd(unsigned int i, char name[NOTIFY_NAME]);

#endif
