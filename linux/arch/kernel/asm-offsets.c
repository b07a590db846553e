/* SPDX-License-Identifier: GPL-2.0-only */
/* Nothing of ours is written in assembler: no offsets to give it. */
#include <linux/kbuild.h>

int main(void)
{
	return 0;
}
