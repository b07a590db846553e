/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an IDE controller has its registers, and which disks hang on its cables. [ATA], [BMIDE] and
 * [PIIX] are named in ide.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "drivers/drivers.h"
#include "drivers/ide/ide.h"

/* A device that is there answers within this after a reset [ATA, software reset protocol]. */
#define DETECT_TIMEOUT_MS 31000

/* Longest transfer: what 48-bit commands take in a table of half its entries, or 256 sectors. */
#define TRANSFER_MAX	(1u << 20)
#define TRANSFER_MAX_28 256u

/* Legacy ports, when the programming interface says so [PCIIDE]. */
static const uint16_t legacy_command[IDE_CHANNELS] = {0x1f0, 0x170};
static const uint16_t legacy_control[IDE_CHANNELS] = {0x3f6, 0x376};

static const char *const disk_names[IDE_CHANNELS][2] = {
	{"ide0-master", "ide0-slave"},
	{"ide1-master", "ide1-slave"},
};

/* ---- finding the registers ---------------------------------------------------------------- */

static int place_native(struct ide_channel *ch, struct ob_error *err)
{
	struct ob_device *dev = ch->ide->dev;
	struct ob_bar *cmd = ob_device_bar(dev, 2 * ch->index);
	struct ob_bar *ctl = ob_device_bar(dev, 2 * ch->index + 1);

	if (!cmd || cmd->size < ATA_COMMAND_BLOCK || !ctl || ctl->size < 4)
		return ob_error_set(err, -ENODEV, "%s: channel %u has no BARs of its own",
				    ob_device_info(dev)->name, ch->index);
	ch->cmd = (struct ide_ports){cmd, 0};
	ch->ctl = (struct ide_ports){ctl, 2}; /* third of four ports [PCIIDE] */
	return 0;
}

static int place_legacy(struct ide_channel *ch, struct ob_error *err)
{
	struct ob_device *dev = ch->ide->dev;
	int rc;

	rc = ob_ports_claim(dev, legacy_command[ch->index], ATA_COMMAND_BLOCK, &ch->claimed[0],
			    err);
	if (rc)
		return rc;
	rc = ob_ports_claim(dev, legacy_control[ch->index], 1, &ch->claimed[1], err);
	if (rc)
		return rc;
	ch->cmd = (struct ide_ports){&ch->claimed[0], 0};
	ch->ctl = (struct ide_ports){&ch->claimed[1], 0};
	return 0;
}

int ide_place_registers(struct ide_channel *ch, struct ob_error *err)
{
	const struct ide_chip *chip = ch->ide->chip;
	struct ob_device *dev = ch->ide->dev;
	const struct ob_device_info *info = ob_device_info(dev);
	struct ob_bar *bm = ob_device_bar(dev, 4);
	uint8_t reg = chip->enable_reg[ch->index];

	if (!bm || bm->size < (ch->index + 1) * BM_CHANNEL)
		return ob_error_set(err, -ENODEV, "%s has no bus master registers in BAR 4",
				    info->name);
	ch->bm = (struct ide_ports){bm, (uint16_t)(ch->index * BM_CHANNEL)};
	if (reg)
		ob_config_write(dev, reg, 1,
				ob_config_read(dev, reg, 1) | chip->enable_bit[ch->index]);
	/* Programming interface, bit 0 and bit 2: native mode of each channel [PCIIDE]. */
	if (chip->native || info->class_code & (1u << 2 * ch->index))
		return place_native(ch, err);
	return place_legacy(ch, err);
}

/* ---- finding the disks ---------------------------------------------------------------------- */

/* Wait until BSY is clear, and all of @want set. */
static int wait_status(struct ide_channel *ch, uint8_t want, unsigned int timeout_ms,
		       uint8_t *status)
{
	uint64_t deadline = ob_clock_ms() + timeout_ms;
	unsigned int pause_us = 50;

	for (;;) {
		*status = ide_in(&ch->ctl, 0);
		if (ob_device_gone(ch->ide->dev))
			return -ENODEV;
		/* Nobody drives the bus: pulled up, or up but for bit 7 [ATA, single device configurations]. */
		if (*status == 0xff || *status == 0x7f)
			return -ENXIO;
		if (!(*status & ATA_BSY)) {
			if ((*status & want) == want)
				return 0;
			if (*status & (ATA_ERR | ATA_DF))
				return -EIO;
		}
		if (ob_clock_ms() >= deadline)
			return -ETIMEDOUT;
		usleep(pause_us);
		if (pause_us < 10000)
			pause_us *= 2;
	}
}

enum device_kind {
	DEVICE_NONE,
	DEVICE_ATA,
	DEVICE_ATAPI,
};

/* What the registers hold after a reset [ATA, signature and persistence]. */
static enum device_kind read_signature(struct ide_channel *ch, unsigned int unit)
{
	uint8_t status, mid, high;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	if (wait_status(ch, 0, DETECT_TIMEOUT_MS, &status))
		return DEVICE_NONE;
	if (ide_in(&ch->cmd, ATA_COUNT) != 1 || ide_in(&ch->cmd, ATA_LBA_LOW) != 1)
		return DEVICE_NONE;
	mid = ide_in(&ch->cmd, ATA_LBA_MID);
	high = ide_in(&ch->cmd, ATA_LBA_HIGH);
	if (mid == 0x14 && high == 0xeb)
		return DEVICE_ATAPI;
	/* Device 0 answers with status 0 for a device 1 that is not there [ATA, single device configurations]. */
	if (!mid && !high && status)
		return DEVICE_ATA;
	return DEVICE_NONE;
}

/* By PIO, 256 words: the one command that needs nothing to be known. */
static int read_identity(struct ide_channel *ch, unsigned int unit, uint8_t command,
			 uint16_t id[256])
{
	uint8_t status;
	int rc;

	ide_out(&ch->cmd, ATA_DEVICE, ATA_DEVICE_BASE | (unit ? ATA_DEVICE_1 : 0));
	ide_settle(ch);
	ide_out(&ch->cmd, ATA_COMMAND, command);
	ide_settle(ch);
	rc = wait_status(ch, ATA_DRQ, DETECT_TIMEOUT_MS, &status);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < 256; i++)
		id[i] = ob_read16(ch->cmd.bar, ch->cmd.off + ATA_DATA);
	ide_in(&ch->cmd, ATA_STATUS); /* clears the interrupt */
	return ob_device_gone(ch->ide->dev) ? -ENODEV : 0;
}

static void refuse(struct ide_channel *ch, unsigned int unit, const char *model, const char *why)
{
	struct ide_controller *ide = ch->ide;

	snprintf(ide->refused, sizeof(ide->refused), "%s%s%s%s: %s", disk_names[ch->index][unit],
		 *model ? " (" : "", model, *model ? ")" : "", why);
	ob_device_log(ide->dev, OB_LOG_INFO, "%s", ide->refused);
}

static int add_disk(struct ide_channel *ch, unsigned int unit, const struct ide_identity *id,
		    unsigned int depth)
{
	struct ide_disk *disk = calloc(1, sizeof(*disk));
	struct ob_block_limits *l;
	uint32_t most;

	if (!disk)
		return -ENOMEM;
	disk->ch = ch;
	disk->unit = unit;
	disk->id = *id;
	disk->shift = (unsigned int)__builtin_ctz(id->block_size);
	disk->wake_fd = -1;
	disk->blk.ops = &ide_block_ops;
	disk->blk.dev = ch->ide->dev;
	disk->blk.dma = ch->ide->dma;
	disk->blk.driver = ob_driver_ide.name;
	snprintf(disk->blk.name, sizeof(disk->blk.name), "%s", disk_names[ch->index][unit]);
	snprintf(disk->blk.model, sizeof(disk->blk.model), "%s", id->model);
	snprintf(disk->blk.serial, sizeof(disk->blk.serial), "%s", id->serial);
	for (unsigned int i = 0; i < OB_BLOCK_QUEUES; i++)
		disk->blk.irq_fd[i] = -1;

	most = TRANSFER_MAX_28 * id->block_size;
	l = &disk->blk.limits;
	l->size = id->sectors * id->block_size;
	l->block_size = id->block_size;
	l->physical_block_size = id->physical_block_size;
	l->max_transfer = id->lba48 || most > TRANSFER_MAX ? TRANSFER_MAX : most;
	l->dma_align = 4; /* 2 by [BMIDE]; chips that move double words want 4 */
	l->queues = 1;
	l->depth = (uint16_t)depth;
	l->volatile_cache = id->write_cache;
	l->rotational = id->rotational;
	ch->disk[unit] = disk;
	return 0;
}

static int examine(struct ide_channel *ch, unsigned int unit, enum device_kind kind,
		   unsigned int depth)
{
	uint8_t command = kind == DEVICE_ATAPI ? ATA_IDENTIFY_PACKET : ATA_IDENTIFY;
	struct ide_identity identity;
	const char *why = NULL;
	uint16_t id[256];
	int rc;

	rc = read_identity(ch, unit, command, id);
	if (rc == -ENODEV)
		return rc;
	if (rc) {
		refuse(ch, unit, "", "it does not identify itself");
		return 0;
	}
	rc = ide_identify_parse(id, &identity, &why);
	if (kind == DEVICE_ATAPI)
		why = "an ATAPI device (CD, DVD, tape), which this driver does not drive";
	else if (!rc)
		return add_disk(ch, unit, &identity, depth);
	refuse(ch, unit, identity.model, why);
	return 0;
}

int ide_find_disks(struct ide_channel *ch, unsigned int depth)
{
	enum device_kind kind[2];
	uint8_t status;
	int rc;

	status = ide_in(&ch->ctl, 0);
	if (status == 0xff || status == 0x7f)
		return 0; /* an empty cable */
	/* Interrupts stay off until somebody serves them. */
	ide_out(&ch->bm, BM_COMMAND, 0);
	ide_srst(ch, ATA_NIEN);
	for (unsigned int unit = 0; unit < 2; unit++)
		kind[unit] = read_signature(ch, unit);
	for (unsigned int unit = 0; unit < 2; unit++) {
		if (kind[unit] == DEVICE_NONE)
			continue;
		rc = examine(ch, unit, kind[unit], depth);
		if (rc)
			return rc;
	}
	return 0;
}
