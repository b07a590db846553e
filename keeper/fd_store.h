/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper holds (attach/kept.h) is held by the manager of services, too, so that the next keeper finds it when this one was
 * killed: systemd's descriptor store (FileDescriptorStoreMax= in systemd.service(5), FDSTORE=1 in sd_notify(3)).
 */
#ifndef KEEPER_FD_STORE_H
#define KEEPER_FD_STORE_H

/**
 * fd_store_open() - take over what an earlier keeper left, and give away what is kept from now on
 *
 * After notify_open().
 *
 * Return: how many entries were taken over.
 */
unsigned int fd_store_open(void);

#endif
