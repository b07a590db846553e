/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of CAN frames (linux/kit/can_line.c) as clients write them: no byte behind a line is looked at, what is taken for a frame is one, and
 * written again it is read as the same.
 */
#include <linux/can.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "kit/can_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of exact size, so that the address sanitizer sees a byte too many. */
	char *exact = malloc(size ? size : 1), line[CAN_LINE_MAX];
	struct ob_kit_can_frame f, again;
	size_t len;
	int ret;

	CHECK(exact);
	if (size)
		memcpy(exact, data, size);
	ret = can_line_read(exact, size, &f);
	free(exact);
	if (ret)
		return 0;
	CHECK(f.len <= (f.flags & OB_KIT_CAN_FD ? CANFD_MAX_DLEN : CAN_MAX_DLEN));
	CHECK(!(f.id & CAN_ERR_FLAG));
	CHECK(f.id & CAN_EFF_FLAG || !(f.id & CAN_EFF_MASK & ~CAN_SFF_MASK));
	len = can_line_write(&f, line);
	CHECK(len < CAN_LINE_MAX && line[len - 1] == '\n' && strlen(line) == len);
	CHECK(!can_line_read(line, len - 1, &again) && !memcmp(&f, &again, sizeof(f)));
	return 0;
}
