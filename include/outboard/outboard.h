/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that a program with a driver in it needs. */
#ifndef OUTBOARD_OUTBOARD_H
#define OUTBOARD_OUTBOARD_H

#include <outboard/attach.h>
#include <outboard/block.h>
#include <outboard/device.h>
#include <outboard/dma.h>
#include <outboard/driver.h>
#include <outboard/error.h>
#include <outboard/irq.h>
#include <outboard/loop.h>
#include <outboard/net.h>

#endif
