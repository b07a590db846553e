/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a device specification to QEMU's command line. Known models have their options checked here; any
 * other model that QEMU has is passed on by its name.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/qemu/models.h"

enum model_kind {
	MODEL_PLAIN,
	MODEL_NET,
	MODEL_NVME,
	MODEL_IDE,
	MODEL_BUS,
	MODEL_SOUND,
	MODEL_WATCHDOG,
	MODEL_RANDOM,
	MODEL_CAN,
	MODEL_PORTS,
	MODEL_OTHER,
};

struct model {
	const char *name;
	const char *qemu;
	enum model_kind kind;
};

static const struct model models[] = {
	{"edu", "edu", MODEL_PLAIN},
	{"e1000e", "e1000e", MODEL_NET},
	{"igb", "igb", MODEL_NET},
	{"e1000-82540em", "e1000", MODEL_NET},
	{"e1000-82545em", "e1000-82545em", MODEL_NET},
	{"i82551", "i82551", MODEL_NET},
	{"i82557b", "i82557b", MODEL_NET},
	{"i82559er", "i82559er", MODEL_NET},
	{"pcnet", "pcnet", MODEL_NET},
	{"rtl8139", "rtl8139", MODEL_NET},
	{"rtl8139c", "rtl8139", MODEL_NET},
	{"ne2k_pci", "ne2k_pci", MODEL_NET},
	{"tulip", "tulip", MODEL_NET},
	{"vmxnet3", "vmxnet3", MODEL_NET},
	{"virtio-net-pci", "virtio-net-pci", MODEL_NET},
	{"nvme", "nvme", MODEL_NVME},
	{"piix3-ide", "piix3-ide", MODEL_IDE},
	{"ahci", "ich9-ahci", MODEL_BUS},
	{"lsi53c895a", "lsi53c895a", MODEL_BUS},
	{"am53c974", "am53c974", MODEL_BUS},
	{"mptsas1068", "mptsas1068", MODEL_BUS},
	{"megasas", "megasas", MODEL_BUS},
	{"megasas-gen2", "megasas-gen2", MODEL_BUS},
	{"virtio-scsi-pci", "virtio-scsi-pci", MODEL_BUS},
	{"virtio-blk-pci", "virtio-blk-pci", MODEL_BUS},
	{"qemu-xhci", "qemu-xhci", MODEL_BUS},
	{"usb-ehci", "usb-ehci", MODEL_BUS},
	{"pci-ohci", "pci-ohci", MODEL_BUS},
	{"piix3-usb-uhci", "piix3-usb-uhci", MODEL_BUS},
	{"sdhci-pci", "sdhci-pci", MODEL_BUS},
	{"es1370", "ES1370", MODEL_SOUND},
	{"ac97", "AC97", MODEL_SOUND},
	{"i6300esb", "i6300esb", MODEL_WATCHDOG},
	{"virtio-rng-pci", "virtio-rng-pci", MODEL_RANDOM},
	{"kvaser_pci", "kvaser_pci", MODEL_CAN},
	{"ctucan_pci", "ctucan_pci", MODEL_CAN},
	{"ports", NULL, MODEL_PORTS},
};

const char *qemu_models_help(void)
{
	return "qemu:MODEL[,option=value]...\n"
	       "models:\n"
	       "  edu            QEMU's teaching device: factorial, INTx, MSI, DMA\n"
	       "  e1000e         Intel 82574L gigabit Ethernet, PCIe, MSI-X\n"
	       "  igb            Intel 82576 gigabit Ethernet, PCIe, for linux:igb; QEMU 8.0 or later\n"
	       "  e1000-82540em  Intel 82540EM gigabit Ethernet, PCI\n"
	       "  e1000-82545em  Intel 82545EM gigabit Ethernet, PCI\n"
	       "  i82551         Intel 82551 100 Mbit/s Ethernet, for linux:e100\n"
	       "  i82557b        Intel 82557B 100 Mbit/s Ethernet, for linux:e100\n"
	       "  i82559er       Intel 82559ER 100 Mbit/s Ethernet, for linux:e100\n"
	       "  pcnet          AMD PCnet Ethernet, for linux:pcnet32\n"
	       "  rtl8139        Realtek 8139C+ Ethernet, for linux:8139cp\n"
	       "  rtl8139c       Realtek 8139C Ethernet, for linux:8139too\n"
	       "  ne2k_pci       Realtek 8029 Ethernet, for linux:ne2k-pci\n"
	       "  tulip          DEC 21143 Ethernet, for linux:tulip\n"
	       "  vmxnet3        VMware Ethernet, for linux:vmxnet3\n"
	       "  virtio-net-pci virtio Ethernet, for linux:virtio_net\n"
	       "  nvme           NVM Express disk\n"
	       "  piix3-ide      bus-master IDE (Intel 82371SB), up to four disks\n"
	       "  ahci           AHCI SATA (Intel 82801IR), up to four disks, for linux:ahci\n"
	       "  lsi53c895a     SCSI, up to four disks, for linux:sym53c8xx\n"
	       "  am53c974       SCSI, up to four disks, for linux:am53c974\n"
	       "  mptsas1068     SAS, up to four disks, for linux:mptsas\n"
	       "  megasas        SAS, up to four disks, for linux:megaraid_sas\n"
	       "  megasas-gen2   SAS, up to four disks, for linux:megaraid_sas\n"
	       "  virtio-scsi-pci virtio SCSI, up to four disks, for linux:virtio_scsi\n"
	       "  virtio-blk-pci virtio disk, for linux:virtio_blk\n"
	       "  qemu-xhci      USB 3, up to four disks, for linux:xhci_pci\n"
	       "  usb-ehci       USB 2, up to four disks, for linux:ehci_pci\n"
	       "  pci-ohci       USB 1, up to four disks, for linux:ohci_pci\n"
	       "  piix3-usb-uhci USB 1, up to four disks, for linux:uhci_hcd\n"
	       "  sdhci-pci      an SD card, of a power of two of bytes, for linux:sdhci-pci\n"
	       "  es1370         Ensoniq AudioPCI sound card, for linux:snd-ens1370\n"
	       "  ac97           Intel AC97 sound card, for linux:snd-intel8x0\n"
	       "  i6300esb       Intel 6300ESB watchdog, for linux:i6300esb; ends QEMU when it bites\n"
	       "  virtio-rng-pci virtio random generator, for linux:virtio-rng\n"
	       "  kvaser_pci     Kvaser PCIcan CAN card, for linux:kvaser_pci\n"
	       "  ctucan_pci     CTU CAN FD card, two interfaces on one bus, for linux:ctucanfd_pci\n"
	       "  ports          no PCI device, only the PC's timer and speaker ports\n"
	       "  NAME           any other PCI device of QEMU's, by its -device name\n"
	       "options of disks:\n"
	       "  file=PATH          raw image or block device (piix3-ide: first channel's master)\n"
	       "  null=SIZE          instead of a file: reads zeroes, forgets writes\n"
	       "  file2=, file3=, file4=PATH  nvme: further namespaces; ahci, SCSI, USB: disks\n"
	       "  namespaces=N       nvme with null=: how many (1 to 8)\n"
	       "  slave=, master2=, slave2=, cdrom=PATH  piix3-ide: the other disks, an image on\n"
	       "                     the second channel's CD-ROM drive\n"
	       "  readonly           open the images for reading only\n"
	       "  cache=writeback|none|unsafe  of the images (default writeback)\n"
	       "  serial=TEXT        serial number (nvme, first IDE disk)\n"
	       "  blkdebug=PATH      inject errors as QEMU's blkdebug reads them from a file\n"
	       "  iops=N             limit the first image to N requests a second\n"
	       "options of network cards:\n"
	       "  netdev=user|none|fd:N  QEMU's user network (no way out but fwd= and listen=),\n"
	       "                     nothing, or an inherited datagram socket, a frame each\n"
	       "  fwd=IP:PORT-PORT   user network: connections to IP:PORT go to 127.0.0.1:PORT\n"
	       "  listen=PORT-PORT   user network: 127.0.0.1:PORT goes to port PORT of 10.0.2.15\n"
	       "  mac=XX:XX:XX:XX:XX:XX\n"
	       "options of sound cards and ports:\n"
	       "  wav=PATH           what is played, as a WAV file\n"
	       "options of all:\n"
	       "  iommu=on|off       DMA isolation by an emulated VT-d (default on)\n"
	       "  dma=pooled|strict|lazy  when pages are mapped (default pooled)\n"
	       "  arena=SIZE         DMA memory of the device (default 64M)\n"
	       "  bridge=root-port   put it behind a PCIe root port\n"
	       "  vm=NAME            devices opened together with the same NAME share one QEMU\n"
	       "  qemu=PATH          the QEMU to run (default that of the environment's OUTBOARD_QEMU,\n"
	       "                     or qemu-system-x86_64)\n"
	       "  answer=MS          longest wait for an answer of QEMU's (default 10000)\n"
	       "  ids=VVVV:DDDD      vendor and device that configuration space says, to try a driver\n"
	       "                     of a device like it\n"
	       "  prop.KEY=VALUE     further property of the -device\n";
}

static const struct model *find_model(const char *name)
{
	for (unsigned int i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(models[i].name, name))
			return &models[i];
	return NULL;
}

int qemu_spec_options(struct ob_spec *spec, struct qemu_open_options *o, struct ob_error *err)
{
	static const char *const policies[] = {"pooled", "strict", "lazy", NULL};
	static const char *const bridges[] = {"none", "root-port", NULL};
	struct ob_spec_part *part = &spec->device;
	uint64_t answer = 10000;
	unsigned int bridge = 0;
	int ret;

	o->iommu = true;
	o->arena = 64ull << 20;
	o->policy = OB_DMA_POOLED;
	o->binary = ob_spec_get(part, "qemu");
	if (!o->binary)
		o->binary = secure_getenv("OUTBOARD_QEMU");
	if (!o->binary || !*o->binary)
		o->binary = "qemu-system-x86_64";
	o->vm = ob_spec_get(part, "vm");
	ret = ob_spec_get_bool(part, "iommu", &o->iommu, err);
	if (!ret)
		ret = ob_spec_get_choice(part, "dma", policies, &o->policy, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "arena", 1 << 20, 1536ull << 20, &o->arena, err);
	if (!ret)
		ret = ob_spec_get_choice(part, "bridge", bridges, &bridge, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "answer", 100, 600000, &answer, err);
	o->bridge = bridge == 1;
	o->answer_ms = (unsigned int)answer;
	return ret;
}

void qemu_quote(char *out, size_t size, const char *in)
{
	size_t n = 0;

	for (; *in && n + 3 < size; in++) {
		out[n++] = *in;
		if (*in == ',')
			out[n++] = ',';
	}
	out[n] = '\0';
}

/* ---- device properties ------------------------------------------------------------------- */

void qemu_add_props(struct ob_spec_part *part, char *props, size_t size)
{
	for (unsigned int i = 0; i < part->n; i++) {
		char value[300];

		if (strncmp(part->opt[i].key, "prop.", 5))
			continue;
		part->opt[i].used = true;
		qemu_quote(value, sizeof(value), part->opt[i].value);
		snprintf(props + strlen(props), size - strlen(props), ",%s=%s",
			 part->opt[i].key + 5, value);
	}
}

static int other_ids(struct ob_spec_part *part, struct qemu_device *qd, struct ob_error *err)
{
	const char *text = ob_spec_get(part, "ids");
	unsigned int vendor, device;
	int end = 0;

	if (!text)
		return 0;
	/* PCI Local Bus 3.0, 6.2.1: no device has FFFFh, which a bus without one answers. */
	if (sscanf(text, "%4x:%4x%n", &vendor, &device, &end) != 2 || text[end] ||
	    vendor == 0xffff || !vendor)
		return ob_error_set(err, -EINVAL,
				    "%s: option ids='%s' is not VVVV:DDDD, like 1095:0680",
				    part->name, text);
	qd->ids = device << 16 | vendor;
	return 0;
}

/* ---- all models ------------------------------------------------------------------------------ */

int qemu_model_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *binary, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	const struct model *model = find_model(part->name);
	char where[64], props[512] = "";
	int ret;

	ret = other_ids(part, qd, err);
	if (ret)
		return ret;
	if (qd->behind_bridge)
		snprintf(where, sizeof(where), ",bus=port%u,addr=0", qd->index);
	else
		snprintf(where, sizeof(where), ",addr=0x%x", qd->slot);
	if (qd->behind_bridge) {
		qemu_arg(args, "-device");
		qemu_arg(args, "pcie-root-port,id=port%u,addr=0x%x,chassis=%u,slot=%u", qd->index,
			 qd->slot, qd->index + 1, qd->index + 1);
	}
	for (const char *p = part->name; !model && *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_' && *p != '.')
			return ob_error_set(err, -EINVAL, "'%s' is not a device model", part->name);

	switch (model ? model->kind : MODEL_OTHER) {
	case MODEL_NVME:
		return qemu_nvme_args(spec, qd, args, where, err);
	case MODEL_IDE:
		return qemu_ide_args(spec, qd, args, where, err);
	case MODEL_BUS:
		return qemu_bus_args(spec, qd, args, model->qemu, where, err);
	case MODEL_NET:
		return qemu_net_args(spec, qd, args, model->qemu, where, binary, err);
	case MODEL_SOUND:
	case MODEL_WATCHDOG:
	case MODEL_RANDOM:
	case MODEL_CAN:
	case MODEL_PLAIN:
		if (model->kind == MODEL_SOUND)
			qemu_sound_args(args, qd->index, ob_spec_get(part, "wav"), props,
					sizeof(props));
		else if (model->kind == MODEL_RANDOM)
			snprintf(props, sizeof(props), QEMU_VIRTIO_PROPS);
		else if (model->kind == MODEL_WATCHDOG)
			qemu_watchdog_args(args);
		else if (model->kind == MODEL_CAN)
			qemu_can_args(args, qd->index, model->qemu, props, sizeof(props));
		qemu_add_props(part, props, sizeof(props));
		qemu_arg(args, "-device");
		qemu_arg(args, "%s,id=dev%u%s%s", model->qemu, qd->index, where, props);
		return 0;
	case MODEL_PORTS:
		qd->no_function = true;
		return 0;
	case MODEL_OTHER:
		break;
	}
	/* A model that we do not know: a network or a disk behind it when the spec names one. */
	for (unsigned int i = 0; i < part->n; i++)
		if (!strcmp(part->opt[i].key, "netdev"))
			return qemu_net_args(spec, qd, args, part->name, where, binary, err);
	ret = qemu_unknown_disk(spec, qd, args, props, sizeof(props), err);
	if (ret)
		return ret;
	qemu_add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	qemu_arg(args, "%s,id=dev%u%s%s", part->name, qd->index, where, props);
	return 0;
}
