/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fault-injection wrapper counts, for tests and for those who show it. */
#ifndef ACCESS_FAULT_H
#define ACCESS_FAULT_H

#include <stdatomic.h>

#include <outboard/access.h>

enum fault_kind {
	FAULT_READ,	/* a register read damaged */
	FAULT_ONES,	/* a register read all ones */
	FAULT_WRITE,	/* a register write dropped */
	FAULT_CONFIG,	/* a configuration read damaged */
	FAULT_SCRIBBLE, /* DMA memory overwritten */
	FAULT_IRQ,	/* an interrupt swallowed */
	FAULT_SPURIOUS, /* an interrupt that the device did not send */
	FAULT_GONE,	/* the device removed */
	FAULT_KINDS,
};

extern const char *const fault_kind_names[FAULT_KINDS];

/** fault_help() - the options, one a line, for outboard-spec(7) */
const char *fault_help(void);

/**
 * fault_counts() - what a device opened through `fault[...]:` had injected until now
 *
 * Return: 0; -EINVAL when @dev has no such wrapper outermost.
 */
int fault_counts(const struct ob_device *dev, uint64_t counts[FAULT_KINDS]);

/**
 * ob_fault_device_once() - one fault at a time, for a campaign: the @at-th event of @kind from now
 * @at: from 1; 0: none any more
 * @kind: not FAULT_GONE; interrupts are swallowed only where the wrapper has the option irq=
 * @struck: set to 1 when it strikes; as long-lived as the device
 *
 * Return: 0; -EINVAL when @dev has no such wrapper outermost.
 */
int ob_fault_device_once(struct ob_device *dev, enum fault_kind kind, uint64_t at,
			 _Atomic uint32_t *struck);

#endif
