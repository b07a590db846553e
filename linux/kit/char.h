/* SPDX-License-Identifier: BSD-2-Clause */
/* A character device of the kernel's: its nodes, and calls to them. Everything here is called with nobody in the kernel. */
#ifndef LINUX_KIT_CHAR_H
#define LINUX_KIT_CHAR_H

#include "kit/host.h"

struct kit_can;
struct kit_char;
struct kit_sound;

/**
 * struct kit_char_use - what clients do with one kind of device
 * @one: it has one user at a time
 * @waiting: has it something to read? NULL: a read waits for what it reads. With it a read of nothing is -EAGAIN
 */
struct kit_char_use {
	bool one;
	int (*open)(struct kit_char *c);
	void (*close)(struct kit_char *c);
	long (*read)(struct kit_char *c, void *buf, unsigned long len);
	long (*write)(struct kit_char *c, const void *buf, unsigned long len);
	bool (*waiting)(struct kit_char *c);
};

/**
 * struct kit_char - what the driver made
 * @kind, @use: of what clients use
 * @node, @record: the node in the kernel's /dev; of sound where it is played to and recorded from, each may be ""; of CAN the first of its
 *	interfaces, @port
 * @file: @node while clients have it open
 * @sound, @can: of the clients that have it open
 */
struct kit_char {
	struct ob_char chr;
	struct kit *k;
	enum ob_kit_node_kind kind;
	const struct kit_char_use *use;
	char node[32], record[32];
	char port[OB_KIT_CAN_PORTS][OB_KIT_CAN_NAME];
	unsigned int nr_ports;
	char driver[48];
	void *file;
	unsigned int opened;
	struct kit_sound *sound;
	struct kit_can *can;
};

/** kit_char_call() - @fn in the kernel, where it may sleep */
long kit_char_call(struct kit_char *c, long (*fn)(void *arg), void *arg);

/* As the system calls of the kernel; errors are negative errno values. */
int kit_node_open(struct kit_char *c, const char *node, bool reading, bool writing, void **file);
void kit_node_close(struct kit_char *c, void *file);
long kit_node_read(struct kit_char *c, void *file, void *buf, unsigned long len);
long kit_node_write(struct kit_char *c, void *file, const void *buf, unsigned long len);
long kit_node_ioctl(struct kit_char *c, void *file, unsigned int cmd, void *arg);

/*
 * sound.c: a WAV file that is written is played, and one that is read was recorded meanwhile. Its close waits until all was
 * played.
 */
extern const struct kit_char_use kit_sound_use;

/* can.c: lines, each a frame */
extern const struct kit_char_use kit_can_use;
bool kit_can_find(struct kit_char *c);

#endif
