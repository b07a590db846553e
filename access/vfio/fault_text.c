/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an IOMMU's driver says in the kernel's log of DMA that was blocked: a form for each (drivers/iommu/intel/dmar.c, amd/iommu.c,
 * virtio-iommu.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/vfio/vfio.h"

static bool take_bdf(const char *text, size_t len, struct ob_bdf *bdf)
{
	char name[SYSFS_NAME];

	if (len >= sizeof(name))
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	return sysfs_parse_bdf(name, bdf);
}

static bool take_hex(const char *text, const char *key, uint64_t *val)
{
	const char *at = strstr(text, key);
	char *end;

	if (!at)
		return false;
	at += strlen(key);
	*val = strtoull(at, &end, 16);
	return end != at;
}

/* "DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0x2000000 [fault reason 0x05] PTE Write access ..." */
static bool parse_vtd(const char *text, struct ob_fault *f, char reason[64])
{
	const char *p = strstr(text, "DMAR: [DMA "), *device, *end;
	uint64_t val;

	if (!p)
		return false;
	f->write = !strncmp(p + 11, "Write", 5);
	device = strstr(p, "device [");
	if (!device)
		return false;
	device += 8;
	end = strchr(device, ']');
	if (!end || !take_bdf(device, (size_t)(end - device), &f->source) ||
	    !take_hex(end, "fault addr ", &f->iova))
		return false;
	if (take_hex(end, "fault reason ", &val)) {
		f->reason = (unsigned int)val;
		p = strchr(strstr(end, "fault reason "), ']');
		snprintf(reason, 64, "%s", p && p[1] ? p + 2 : "");
	}
	return true;
}

/*
 * "vfio-pci 0000:00:05.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x2000000 flags=0x0020]", or with
 * "device=0000:00:05.0" in it.
 */
static bool parse_amd(const char *text, struct ob_fault *f, char reason[64])
{
	const char *p = strstr(text, "IO_PAGE_FAULT"), *device, *before;
	uint64_t flags = 0;

	if (!p || !strstr(text, "AMD-Vi: "))
		return false;
	device = strstr(p, "device=");
	if (device) {
		device += 7;
		if (!take_bdf(device, strcspn(device, " ]"), &f->source))
			return false;
	} else {
		before = strstr(text, ": AMD-Vi: ");
		if (!before)
			return false;
		for (device = before; device > text && device[-1] != ' '; device--)
			continue;
		if (!take_bdf(device, (size_t)(before - device), &f->source))
			return false;
	}
	if (!take_hex(p, "address=", &f->iova))
		return false;
	take_hex(p, "flags=", &flags);
	/* AMD I/O Virtualization Technology specification, 2.5.3: bit 5 is RW. */
	f->write = flags & 0x20;
	f->reason = (unsigned int)flags;
	snprintf(reason, 64, "page fault");
	return true;
}

/* "virtio_iommu virtio0: page fault from EP 48 at 0x40000000 [W]": the endpoint is bus, device and function. */
static bool parse_virtio(const char *text, struct ob_fault *f, char reason[64])
{
	const char *p = strstr(text, " fault from EP "), *flags;
	unsigned int ep;

	if (!p || !strstr(text, "virtio_iommu") || sscanf(p, " fault from EP %u", &ep) != 1 ||
	    !take_hex(p, " at ", &f->iova))
		return false;
	f->source = (struct ob_bdf){
		.domain = (uint16_t)(ep >> 16),
		.bus = ep >> 8 & 0xff,
		.dev = ep >> 3 & 31,
		.fn = ep & 7,
	};
	flags = strchr(p, '[');
	f->write = flags && strchr(flags, 'W');
	snprintf(reason, 64, "page fault");
	return true;
}

bool vfio_fault_parse(const char *text, struct ob_fault *fault, char reason[64])
{
	memset(fault, 0, sizeof(*fault));
	reason[0] = '\0';
	return parse_vtd(text, fault, reason) || parse_amd(text, fault, reason) ||
	       parse_virtio(text, fault, reason);
}

bool vfio_fault_record(char *record, struct ob_fault *f)
{
	char *text = strchr(record, ';'), reason[64], name[SYSFS_NAME];

	/* "priority,sequence,time,flags;message\n KEY=value\n" */
	if (!text)
		return false;
	text[strcspn(text, "\n")] = '\0';
	if (!vfio_fault_parse(text + 1, f, reason))
		return false;
	snprintf(f->text, sizeof(f->text),
		 "%s: DMA %s at 0x%" PRIx64 " was blocked by the IOMMU%s%.64s",
		 sysfs_bdf_name(&f->source, name), f->write ? "write" : "read", f->iova,
		 reason[0] ? ": " : "", reason);
	return true;
}
