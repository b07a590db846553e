/* SPDX-License-Identifier: BSD-2-Clause */
/* A character device of the kernel's: its nodes, and calls to them. Everything here is called with nobody in the kernel. */
#ifndef LINUX_KIT_CHAR_H
#define LINUX_KIT_CHAR_H

#include "kit/host.h"

struct kit_sound;

/**
 * struct kit_char - what the driver made
 * @kind: of what clients use
 * @node, @record: the node in the kernel's /dev; of sound where it is played to and recorded from, each may be ""
 * @file: @node while clients have it open
 * @sound: the streams of the client that has it open
 */
struct kit_char {
	struct ob_char chr;
	struct kit *k;
	enum ob_kit_node_kind kind;
	char node[32], record[32];
	char driver[48];
	void *file;
	unsigned int opened;
	struct kit_sound *sound;
};

/* As the system calls of the kernel; errors are negative errno values. */
int kit_node_open(struct kit_char *c, const char *node, bool reading, bool writing, void **file);
void kit_node_close(struct kit_char *c, void *file);
long kit_node_read(struct kit_char *c, void *file, void *buf, unsigned long len);
long kit_node_write(struct kit_char *c, void *file, const void *buf, unsigned long len);
long kit_node_ioctl(struct kit_char *c, void *file, unsigned int cmd, void *arg);

/*
 * sound.c: a WAV file that is written is played, and one that is read was recorded meanwhile. kit_sound_close() waits until
 * all was played.
 */
int kit_sound_open(struct kit_char *c);
void kit_sound_close(struct kit_char *c);
long kit_sound_write(struct kit_char *c, const void *buf, unsigned long len);
long kit_sound_read(struct kit_char *c, void *buf, unsigned long len);

#endif
