/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before the functions of a driver that moved: the kernel's headers have been read by now, and what the rest of the file does with the kernel's
 * loader and with files that are no programs is taken away.
 */
#ifndef OUTBOARD_DAEMON_H
#define OUTBOARD_DAEMON_H

#include <linux/module.h>
#include <linux/netdevice.h>

#include "ask.h"
#include "slots.h"

#undef module_init
#undef module_exit
#undef module_driver
#undef module_param
#undef module_param_named
#undef module_param_array
#undef module_param_array_named
#undef module_param_cb
#undef module_param_string
#undef MODULE_PARM_DESC
#undef MODULE_DEVICE_TABLE
#undef MODULE_INFO
#undef EXPORT_SYMBOL
#undef EXPORT_SYMBOL_GPL
#define module_init(f)
#define module_exit(f)
#define module_driver(...)
#define module_param(...)
#define module_param_named(...)
#define module_param_array(...)
#define module_param_array_named(...)
#define module_param_cb(...)
#define module_param_string(...)
#define MODULE_PARM_DESC(...)
#define MODULE_DEVICE_TABLE(...)
#define MODULE_INFO(...)
#define EXPORT_SYMBOL(s)
#define EXPORT_SYMBOL_GPL(s)

#define OB_SPLIT_WORD(x) ((unsigned long long)(unsigned long)(x))

#endif
