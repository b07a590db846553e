/* SPDX-License-Identifier: GPL-2.0-only */
/* x86's own would emit alternatives, which nobody applies here. */
#include <asm-generic/bitops/arch_hweight.h>
