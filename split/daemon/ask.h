/* SPDX-License-Identifier: BSD-2-Clause */
/* How functions that moved have the kernel do what it keeps; for those, which see the kernel's headers, and for the runtime, which sees libc's. */
#ifndef OB_SPLIT_ASK_H
#define OB_SPLIT_ASK_H

/** ob_split_ask() - have the kernel call function @number; @v are its arguments, of which it may set some. Does not return where it cannot */
unsigned long long ob_split_ask(unsigned int number, unsigned long long *v);

#endif
