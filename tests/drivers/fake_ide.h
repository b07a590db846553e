/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IDE controller in memory, for what no device model does when it is asked to: errors, hangs, resets
 * that do not end, and a look at every register that a command wrote. Real transfers are tested with QEMU.
 */
#ifndef TESTS_DRIVERS_FAKE_IDE_H
#define TESTS_DRIVERS_FAKE_IDE_H

#include <outboard/access.h>
#include <outboard/driver.h>

#include "drivers/ide/ide.h"

enum {
	FAKE_SECTORS = 4096, /* that have content; a disk may claim more */
	FAKE_ARENA = 4 << 20,
	FAKE_COMMANDS = 64,
	FAKE_OUTCOMES = 16,
};

/* How a command ends. All zero: as it should. */
struct fake_outcome {
	uint8_t status; /* bits of the status register beside DRDY */
	uint8_t error;
	uint8_t bm;	/* bits of the bus master status beside INTERRUPT */
	bool hang;	/* not at all */
	bool busy_irq;	/* the interrupt comes while BSY is still set, once */
	bool not_ready; /* DRDY is not set */
};

/* A command as the device saw it. */
struct fake_command {
	uint8_t command, unit;
	uint64_t lba;
	uint32_t count;
	unsigned int regions;
	uint32_t address[IDE_PRDS], bytes[IDE_PRDS];
};

struct fake_drive {
	bool present, atapi;
	uint16_t identify[256];
	uint8_t *content;
};

struct fake_ide {
	struct ob_device dev;
	char *arena;
	struct fake_drive drive[2]; /* of channel 0; channel 1 is an empty cable */
	bool native;
	bool simplex;
	uint8_t config[256];

	uint8_t reg[8], older[8], control;
	uint8_t status;
	unsigned int pio; /* words of IDENTIFY that were read */
	uint8_t bm_command, bm_status;
	uint32_t bm_table;
	bool fresh;   /* no register was written since a reset: the signature shows */
	bool pending; /* a DMA command waits for the start bit */

	struct fake_outcome outcome[FAKE_OUTCOMES];
	unsigned int nr_outcomes, next_outcome;
	bool hang_reset; /* BSY for ever after SRST */
	unsigned int resets, selects;
	struct fake_command command[FAKE_COMMANDS];
	unsigned int nr_commands;
	unsigned int reads; /* of any register, to count what a request costs */
	unsigned int bad;   /* accesses that a driver must not make */
};

/* A master with FAKE_SECTORS sectors, 48 bits, flush and FUA, write cache on. */
struct fake_ide *fake_ide_open(void);
void fake_ide_close(struct fake_ide *f);
/* Put a disk on the cable, in place of the one that is there. */
void fake_ide_add(struct fake_ide *f, unsigned int unit, uint64_t sectors, bool lba48);
void fake_ide_text(uint16_t *words, unsigned int n, const char *text);
/* As another chip, with its registers in BARs. */
void fake_ide_native(struct fake_ide *f, uint16_t vendor, uint16_t device);
/* The next commands end like this, one each; later ones as they should. */
void fake_ide_script(struct fake_ide *f, const struct fake_outcome *outcome, unsigned int n);

#endif
