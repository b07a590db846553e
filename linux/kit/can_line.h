/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CAN frames as lines, as cansend(1) and candump(1) of can-utils write them: "123#DEADBEEF", "1F334455#11.22", "123#R4" for a remote frame,
 * "123##1CAFE" with flags for one of CAN FD. The identifier has 3 hexadecimal digits, or 8 if it is an extended one.
 */
#ifndef LINUX_KIT_CAN_LINE_H
#define LINUX_KIT_CAN_LINE_H

#include <stddef.h>

#include "kit/kit.h"

enum {
	CAN_LINE_MAX = 8 + 3 + 2 * OB_KIT_CAN_DATA + 2, /* with its newline and a zero byte */
};

/**
 * can_line_read() - a frame, of @len bytes without a newline
 * Return: 0 or -EINVAL
 */
int can_line_read(const char *line, size_t len, struct ob_kit_can_frame *f);

/**
 * can_line_write() - the same line with a newline. A frame that tells of errors (CAN_ERR_FLAG) comes with 8 digits, too
 * Return: bytes
 */
size_t can_line_write(const struct ob_kit_can_frame *f, char line[CAN_LINE_MAX]);

#endif
