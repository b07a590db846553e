/* SPDX-License-Identifier: GPL-2.0-only */
/* What generated stubs of a split driver call; split/kernel/outboard_split.c. */
#ifndef OUTBOARD_SPLIT_H
#define OUTBOARD_SPLIT_H

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/netdevice.h>

#include "slots.h"

/* Generated: the operations, and under which name the device is to be found. */
extern const struct ob_split_op *const ob_split_ops[];
extern const unsigned int ob_split_n_ops;
extern const char ob_split_device[];

int ob_split_start(void);
void ob_split_stop(void);

/**
 * ob_split_call() - let the daemon execute a function, and take over what it may change
 * @objects: as many as the operation has
 *
 * The caller may sleep. Waits for split_timeout_ms at most, or until the caller is killed.
 *
 * Return: 0; -ETIMEDOUT; -EINTR; -EIO where the daemon died or answered wrongly; -ENOMEM; -EBUSY where too many wait.
 */
int ob_split_call(const struct ob_split_op *op, struct ob_split_object *objects);

/**
 * ob_split_unanswered() - whether nobody answered it a moment ago, so that its caller, who could not be told, has zeros
 *
 * Seconds later it is false again; and as soon as it is answered.
 */
bool ob_split_unanswered(const struct ob_split_op *op);

/**
 * ob_split_length() - a length that the kernel sizes memory by: the first answer stays the answer
 * @of: what it is a length of, with @key
 * @least, @most: others are refused
 *
 * Return: @value; -EIO where it is refused; -EOPNOTSUPP where it is 0.
 */
long long ob_split_length(const struct ob_split_op *op, int of, long long key, long long value,
			  long long least, long long most);

/* A length, or 0 where a function gave an error in its place. */
static inline unsigned int ob_split_positive(long long length)
{
	return length < 0 || length > INT_MAX ? 0 : length;
}

/* The driver's own functions for loading and unloading are called between those of this runtime. */
#undef module_init
#define module_init(fn)                                                                            \
	static int __init ob_split_module_init(void)                                               \
	{                                                                                          \
		int ob_ret = ob_split_start();                                                     \
		if (ob_ret)                                                                        \
			return ob_ret;                                                             \
		ob_ret = fn();                                                                     \
		if (ob_ret)                                                                        \
			ob_split_stop();                                                           \
		return ob_ret;                                                                     \
	}                                                                                          \
	int init_module(void) __copy(ob_split_module_init)                                         \
		__attribute__((alias("ob_split_module_init")));                                    \
	___ADDRESSABLE(init_module, __initdata)
#undef module_exit
#define module_exit(fn)                                                                            \
	static void __exit ob_split_module_exit(void)                                              \
	{                                                                                          \
		fn();                                                                              \
		ob_split_stop();                                                                   \
	}                                                                                          \
	void cleanup_module(void) __copy(ob_split_module_exit)                                     \
		__attribute__((alias("ob_split_module_exit")));                                    \
	___ADDRESSABLE(cleanup_module, __exitdata)

#endif
