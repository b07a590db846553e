/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations of attach/broker.h: their values, and the functions, which stand where the rest of the attachment is. They trust
 * neither a value nor a descriptor: both may come from a process that runs a driver.
 */
#ifndef ATTACH_BROKER_OPS_H
#define ATTACH_BROKER_OPS_H

#include <net/if.h>
#include <sys/un.h>

#include <linux/ethtool.h>

#include "attach/broker.h"
#include "attach/holders.h"
#include "attach/ublk_left.h"

/** struct broker_tap - an interface to be made; @netns and @owner as the options of "tap" */
struct broker_tap {
	char name[IFNAMSIZ];
	char netns[128];
	bool has_netns, has_owner;
	unsigned int queues;
	uid_t owner;
};

/**
 * struct broker_tap_made - what was made
 * @has: which of a tap_netns's descriptors there are, in the order of tap_netns_list()
 */
struct broker_tap_made {
	char name[IFNAMSIZ];
	bool premade;
	uint32_t has;
};

/** struct broker_link - SIOCSIFHWADDR, SIOCSIFMTU, SIOCGIFFLAGS, SIOCSIFFLAGS, or SIOCETHTOOL with @speed. Descriptors: socket, tun */
struct broker_link {
	unsigned long request;
	struct ifreq ifr;
	struct ethtool_cmd speed;
};

/** struct broker_address - an RTM_NEWADDR message. Descriptors: netlink socket, tun, socket. Its answer is for who asks */
struct broker_address {
	unsigned int size;
	_Alignas(8) char message[128];
};

/** struct broker_ublk - ublk_ctrl_cmd()'s parameters; the result has its payload, or a device's struct ublksrv_ctrl_dev_info */
struct broker_ublk {
	uint32_t op, id, ms, len;
	uint64_t data;
	char path[32];
	_Alignas(8) char payload[512];
};

/**
 * struct broker_fuse - a FUSE file system
 * @name: for messages
 * @path: the directory as it was typed, and absolute in the result; empty: it is mounted nowhere
 * @placed: in the result: it is mounted already, so there is no second descriptor, of its root
 * @except: a process that may use it
 */
struct broker_fuse {
	char name[40];
	char path[512];
	bool placed;
	pid_t except;
};

/**
 * struct broker_hold - a child that holds what lies on a FUSE file: a mount on @path, or a loop device where that is empty
 *
 * Descriptors: struct fuse_log's memory, and the root of the mount (or the first again, where it is @placed). The result's: of the
 * process, and of a pipe for the word that lets it begin.
 */
struct broker_hold {
	char file[40];
	char path[512];
	bool placed, direct, partscan, read_only;
	uint32_t block_size;
};

/** struct broker_loop - a loop device; @there and @diskseq in the result */
struct broker_loop {
	int number;
	pid_t except;
	bool there;
	char diskseq[24];
};

/** struct broker_nbd - a socket to be bound: a path, or a port of 127.0.0.1, 0 for any; @dev and @ino are the path's then */
struct broker_nbd {
	bool is_path, any_user;
	uint16_t port;
	struct sockaddr_un path;
	dev_t dev;
	ino_t ino;
};

/* Each returns 0 or more, or a negative errno value with @err. */
int broker_vhost_net(struct broker_call *c, struct ob_error *err);
int broker_tap_make(struct broker_call *c, struct ob_error *err);
int broker_link_set(struct broker_call *c, struct ob_error *err);
int broker_link_address(struct broker_call *c, struct ob_error *err);
int broker_ublk_open(struct broker_call *c, struct ob_error *err);
int broker_ublk_cmd(struct broker_call *c, struct ob_error *err);
int broker_ublk_char(struct broker_call *c, struct ob_error *err);
int broker_ublk_left(struct broker_call *c, struct ob_error *err);
int broker_ublk_claim(struct broker_call *c, struct ob_error *err);
int broker_ublk_care(struct broker_call *c, struct ob_error *err);
int broker_ublk_idle(struct broker_call *c, struct ob_error *err);
int broker_fuse_mount(struct broker_call *c, struct ob_error *err);
int broker_fuse_unmount(struct broker_call *c, struct ob_error *err);
int broker_fuse_hold(struct broker_call *c, struct ob_error *err);
int broker_fuse_unused(struct broker_call *c, struct ob_error *err);
int broker_loop_idle(struct broker_call *c, struct ob_error *err);
int broker_loop_look(struct broker_call *c, struct ob_error *err);
int broker_nbd_bind(struct broker_call *c, struct ob_error *err);
int broker_nbd_unlink(struct broker_call *c, struct ob_error *err);
int broker_tcp_peer(struct broker_call *c, struct ob_error *err);
int broker_vduse_make(struct broker_call *c, struct ob_error *err);
int broker_vduse_destroy(struct broker_call *c, struct ob_error *err);
int broker_vduse_attach(struct broker_call *c, struct ob_error *err);
int broker_vduse_detach(struct broker_call *c, struct ob_error *err);
int broker_vduse_care(struct broker_call *c, struct ob_error *err);
int broker_vduse_net(struct broker_call *c, struct ob_error *err);
int broker_nbdk_connect(struct broker_call *c, struct ob_error *err);
int broker_nbdk_reconnect(struct broker_call *c, struct ob_error *err);
int broker_nbdk_disconnect(struct broker_call *c, struct ob_error *err);
int broker_nbdk_find(struct broker_call *c, struct ob_error *err);
int broker_nbdk_node(struct broker_call *c, struct ob_error *err);
int broker_nbdk_idle(struct broker_call *c, struct ob_error *err);
int broker_nbdk_write_back(struct broker_call *c, struct ob_error *err);
int broker_nbdk_care(struct broker_call *c, struct ob_error *err);
int broker_cuse_make(struct broker_call *c, struct ob_error *err);
int broker_cuse_who(struct broker_call *c, struct ob_error *err);

#endif
