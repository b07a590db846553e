/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a device specification to QEMU's command line. Known models have their options checked here; any
 * other model that QEMU has is passed on by its name.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/qemu/machine.h"

enum model_kind {
	MODEL_PLAIN,
	MODEL_NET,
	MODEL_NVME,
	MODEL_IDE,
	MODEL_BUS,
	MODEL_SOUND,
	MODEL_WATCHDOG,
	MODEL_RANDOM,
	MODEL_PORTS,
	MODEL_OTHER,
};

struct model {
	const char *name;
	const char *qemu;
	enum model_kind kind;
	const char *summary;
};

/**
 * struct disk_model - a controller with disks, or a disk that is a PCI device
 * @props: of the PCI device
 * @disk: what is plugged in for each image, at @place (device, number of the image); NULL: it is the disk
 * @reaches_itself: it has accesses of its own to its own memory, which the chip does not put on the bus and QEMU does
 */
struct disk_model {
	const char *qemu, *props, *disk, *place;
	bool reaches_itself;
};

/**
 * struct card_model - a network card that is not as QEMU's is by itself
 * @props: of the PCI device, or ""
 * @revision: what configuration space says; 0: what QEMU's says
 * @waits: a register's write is done when it returns
 */
struct card_model {
	const char *name, *props;
	uint8_t revision;
	bool waits;
};

/* Disks on a bus of a controller: QEMU's bus is called as the controller, a dot and a number. */
#define AHCI_PORT ",bus=dev%1$u.%2$u,werror=report,rerror=report"
#define SCSI_ID	  ",bus=dev%1$u.0,scsi-id=%2$u,werror=report,rerror=report"
#define USB_PORT  ",bus=dev%1$u.0"
/* QEMU's reader has one slot, whose bus is always called so. */
#define SD_SLOT ",bus=sd-bus"
/* A SAS disk is one that has an address; QEMU's has none by itself. This is of those that anybody may give (SPC-4, NAA 3, locally assigned). */
#define SAS_ID SCSI_ID ",wwn=0x300000000000000%2$u"
/*
 * Behind an IOMMU like any other device (VIRTIO 1.2, 6.1, VIRTIO_F_ACCESS_PLATFORM): otherwise QEMU's virtio devices take addresses
 * for those of the machine's memory.
 */
#define VIRTIO_PROPS ",disable-legacy=on,iommu_platform=on"

static const struct model models[] = {
	{"edu", "edu", MODEL_PLAIN, "QEMU's teaching device: factorial, INTx, MSI, DMA"},
	{"e1000e", "e1000e", MODEL_NET, "Intel 82574L gigabit Ethernet, PCIe, MSI-X"},
	{"e1000-82540em", "e1000", MODEL_NET, "Intel 82540EM gigabit Ethernet, PCI"},
	{"e1000-82545em", "e1000-82545em", MODEL_NET, "Intel 82545EM gigabit Ethernet, PCI"},
	{"i82551", "i82551", MODEL_NET, "Intel 82551 Ethernet, 100 Mbit/s"},
	{"i82557b", "i82557b", MODEL_NET, "Intel 82557B Ethernet, 100 Mbit/s"},
	{"i82559er", "i82559er", MODEL_NET, "Intel 82559ER Ethernet, 100 Mbit/s"},
	{"pcnet", "pcnet", MODEL_NET, "AMD Am79C970A Ethernet, 10 Mbit/s"},
	{"rtl8139", "rtl8139", MODEL_NET, "Realtek RTL8139C+ Ethernet, 100 Mbit/s"},
	{"rtl8139c", "rtl8139", MODEL_NET, "Realtek RTL8139C Ethernet, 100 Mbit/s"},
	{"ne2k_pci", "ne2k_pci", MODEL_NET,
	 "Realtek RTL8029 Ethernet (NE2000), 10 Mbit/s, ports only"},
	{"tulip", "tulip", MODEL_NET, "DEC 21143 Ethernet, 100 Mbit/s"},
	{"vmxnet3", "vmxnet3", MODEL_NET, "VMware's network card"},
	{"virtio-net-pci", "virtio-net-pci", MODEL_NET, "virtio network card"},
	{"nvme", "nvme", MODEL_NVME, "NVM Express disk"},
	{"piix3-ide", "piix3-ide", MODEL_IDE, "bus-master IDE (Intel 82371SB), legacy ports"},
	{"ahci", "ich9-ahci", MODEL_BUS, "AHCI SATA (Intel 82801IR)"},
	{"lsi53c895a", "lsi53c895a", MODEL_BUS, "LSI 53C895A SCSI"},
	{"am53c974", "am53c974", MODEL_BUS, "AMD Am53c974 SCSI"},
	{"mptsas1068", "mptsas1068", MODEL_BUS, "LSI SAS 1068"},
	{"megasas", "megasas", MODEL_BUS, "LSI MegaRAID SAS 1078"},
	{"megasas-gen2", "megasas-gen2", MODEL_BUS, "LSI MegaRAID SAS 2108"},
	{"virtio-scsi-pci", "virtio-scsi-pci", MODEL_BUS, "virtio SCSI"},
	{"virtio-blk-pci", "virtio-blk-pci", MODEL_BUS, "virtio disk"},
	{"qemu-xhci", "qemu-xhci", MODEL_BUS, "USB 3 by xHCI"},
	{"usb-ehci", "usb-ehci", MODEL_BUS, "USB 2 by EHCI"},
	{"pci-ohci", "pci-ohci", MODEL_BUS, "USB 1.1 by OHCI"},
	{"piix3-usb-uhci", "piix3-usb-uhci", MODEL_BUS, "USB 1.1 by UHCI"},
	{"sdhci-pci", "sdhci-pci", MODEL_BUS, "SD card reader"},
	{"es1370", "ES1370", MODEL_SOUND, "Ensoniq AudioPCI ES1370 sound card"},
	{"ac97", "AC97", MODEL_SOUND, "Intel 82801AA AC97 sound card"},
	{"i6300esb", "i6300esb", MODEL_WATCHDOG, "Intel 6300ESB watchdog"},
	{"virtio-rng-pci", "virtio-rng-pci", MODEL_RANDOM, "virtio random generator"},
	{"ports", NULL, MODEL_PORTS, "no PCI device, only the PC's timer and speaker ports"},
};

static const struct disk_model disk_models[] = {
	{"ich9-ahci", "", "ide-hd", AHCI_PORT, false},
	/* Its program and that program's variables (53C895A technical manual, SCRIPTS RAM). */
	{"lsi53c895a", "", "scsi-hd", SCSI_ID, true},
	{"am53c974", "", "scsi-hd", SCSI_ID, false},
	{"mptsas1068", "", "scsi-hd", SAS_ID, false},
	{"megasas", "", "scsi-hd", SCSI_ID, false},
	{"megasas-gen2", "", "scsi-hd", SCSI_ID, false},
	{"virtio-scsi-pci", VIRTIO_PROPS, "scsi-hd", SCSI_ID, false},
	{"virtio-blk-pci", VIRTIO_PROPS, NULL, NULL, false},
	{"qemu-xhci", "", "usb-storage", USB_PORT, false},
	{"usb-ehci", "", "usb-storage", USB_PORT, false},
	{"pci-ohci", "", "usb-storage", USB_PORT, false},
	{"piix3-usb-uhci", "", "usb-storage", USB_PORT, false},
	{"sdhci-pci", "", "sd-card", SD_SLOT, false},
};

/*
 * QEMU's eepro100 goes on behind the command block at which it was suspended, without a look at whether that has its suspend bit still
 * (82557 manual, CU resume, has it looked at again). A driver that puts the next block there while QEMU is at the one before would have
 * it run around the ring. No guest can do that: its processor waits until QEMU has done what a write asks for.
 */
#define EEPRO100(name)                                                                             \
	{                                                                                          \
		name, "", 0, true                                                                  \
	}

static const struct card_model card_models[] = {
	EEPRO100("i82550"),
	EEPRO100("i82551"),
	EEPRO100("i82557a"),
	EEPRO100("i82557b"),
	EEPRO100("i82557c"),
	EEPRO100("i82558a"),
	EEPRO100("i82558b"),
	EEPRO100("i82559a"),
	EEPRO100("i82559b"),
	EEPRO100("i82559c"),
	EEPRO100("i82559er"),
	EEPRO100("i82562"),
	EEPRO100("i82801"),
	/* Paravirtual: its driver reads what a command leaves in memory behind the write that asks for it. */
	{"vmxnet3", "", 0, true},
	/* An RTL8139C+ does what its predecessors do, whose drivers refuse it for its revision (from 0x20 on). */
	{"rtl8139c", "", 0x10, false},
	{"virtio-net-pci", VIRTIO_PROPS, 0, false},
};

static const char *const disk_keys[] = {"file", "file2", "file3", "file4"};

const char *qemu_models_help(void)
{
	return "qemu:MODEL[,option=value]...\n"
	       "models:\n"
	       "  edu            QEMU's teaching device: factorial, INTx, MSI, DMA\n"
	       "  e1000e         Intel 82574L gigabit Ethernet, PCIe, MSI-X\n"
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
	       "  qemu=PATH          the QEMU to run (default qemu-system-x86_64)\n"
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

/* ---- images ------------------------------------------------------------------------------ */

/* Which process has the file open? Looks through /proc, as fuser does. 0 when nobody is seen. */
static int file_holder(const struct stat *want)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while (proc && !found && (e = readdir(proc))) {
		char path[300];
		struct dirent *f;
		DIR *fds;

		if (!isdigit((unsigned char)e->d_name[0]) || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fd", e->d_name);
		fds = opendir(path);
		while (fds && !found && (f = readdir(fds))) {
			struct stat st;

			if (!fstatat(dirfd(fds), f->d_name, &st, 0) && st.st_dev == want->st_dev &&
			    st.st_ino == want->st_ino)
				found = atoi(e->d_name);
		}
		if (fds)
			closedir(fds);
	}
	if (proc)
		closedir(proc);
	return found;
}

static void name_process(int pid, char *buf, size_t size)
{
	char path[64], comm[32] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	snprintf(buf, size, "process %d (%s)", pid, comm);
}

static int image_busy(const char *device, const char *path, int pid, struct ob_error *err)
{
	char who[80];

	ob_error_set(err, -EBUSY, "%s: image '%s' is in use", device, path);
	if (pid) {
		name_process(pid, who, sizeof(who));
		ob_error_why(err, "%s holds it", who);
		ob_error_fix(err, "stop it (`outboard stop %d` or `kill %d`), or use another image",
			     pid, pid);
	}
	return -EBUSY;
}

/* QEMU locks bytes 100 to 300 of an image by open file description locks (its block/file-posix.c). */
static bool image_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200};

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/*
 * Who claimed the image before and was killed let go of it at once, but its QEMU ends a moment later. Whoever
 * else has it locked keeps it.
 */
static bool stays_locked(int fd)
{
	for (unsigned int ms = 0; image_locked(fd); ms += 10) {
		if (ms >= 1000)
			return true;
		usleep(10000);
	}
	return false;
}

/* Is the image there, usable as asked for, and free? Claims it for this process when written. */
static int check_image(struct qemu_device *qd, const char *device, const char *path, bool readonly,
		       struct ob_error *err)
{
	char name[64];
	struct stat st;
	off_t size;
	int fd, ret = 0, holder;

	fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		ob_error_set(err, ret, "%s: image '%s' cannot be opened for %s: %s", device, path,
			     readonly ? "reading" : "writing", strerror(-ret));
		if (ret == -ENOENT)
			ob_error_fix(err, "create it: truncate -s 1G '%s'", path);
		else if (!readonly && (ret == -EACCES || ret == -EROFS || ret == -EPERM))
			ob_error_fix(err, "make it writable (chmod u+w '%s'), or add ',readonly'",
				     path);
		return ret;
	}
	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		ret = ob_error_set(err, -EINVAL,
				   "%s: image '%s' is neither a regular file nor a block device",
				   device, path);
		goto out;
	}
	/* root opens it all the same, but whoever took the write bits away meant something by it. */
	if (!readonly && S_ISREG(st.st_mode) && !(st.st_mode & 0222)) {
		ret = ob_error_set(err, -EACCES, "%s: image '%s' is read-only", device, path);
		ob_error_fix(err, "make it writable (chmod u+w '%s'), or add ',readonly'", path);
		goto out;
	}
	size = lseek(fd, 0, SEEK_END);
	if (size < 512) {
		ret = ob_error_set(err, -EINVAL,
				   "%s: image '%s' has %lld bytes, less than one sector of 512",
				   device, path, (long long)size);
		ob_error_fix(err, "make it larger: truncate -s 1G '%s'", path);
		goto out;
	}
	if (size % 512) {
		ret = ob_error_set(
			err, -EINVAL,
			"%s: image '%s' has %lld bytes, not a multiple of 512 (truncated?)", device,
			path, (long long)size);
		ob_error_fix(err, "round it up: truncate -s %%512 '%s'", path);
		goto out;
	}
	if (readonly)
		goto out;
	if (qd->nr_claims == QEMU_CLAIMS) {
		ret = ob_error_set(err, -EINVAL, "%s: too many images", device);
		goto out;
	}
	snprintf(name, sizeof(name), "image/%llx/%llx", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	ret = ob_claim(name, &qd->claim[qd->nr_claims], &holder);
	if (!ret)
		qd->nr_claims++;
	if (!ret && stays_locked(fd)) {
		holder = file_holder(&st);
		ret = -EBUSY;
	}
	if (ret == -EBUSY)
		ret = image_busy(device, path, holder, err);
	else if (ret)
		ob_error_set(err, ret, "%s: image '%s' cannot be claimed", device, path);
out:
	close(fd);
	return ret;
}

/* Commas are doubled in QEMU's option syntax. */
static void quote(char *out, size_t size, const char *in)
{
	size_t n = 0;

	for (; *in && n + 3 < size; in++) {
		out[n++] = *in;
		if (*in == ',')
			out[n++] = ',';
	}
	out[n] = '\0';
}

struct disk_options {
	bool readonly;
	unsigned int cache;
	uint64_t null_size, iops;
	const char *blkdebug;
};

static int disk_options(struct ob_spec_part *part, struct disk_options *o, struct ob_error *err)
{
	static const char *const caches[] = {"writeback", "none", "unsafe", NULL};
	int ret;

	memset(o, 0, sizeof(*o));
	o->blkdebug = ob_spec_get(part, "blkdebug");
	ret = ob_spec_get_bool(part, "readonly", &o->readonly, err);
	if (!ret)
		ret = ob_spec_get_choice(part, "cache", caches, &o->cache, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "null", 512, 1ull << 50, &o->null_size, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "iops", 1, 1000000000, &o->iops, err);
	return ret;
}

/* Make block node "node" from an image, or from nothing. */
static int add_disk(struct qemu_args *args, struct qemu_device *qd, const char *device,
		    const char *path, const struct disk_options *o, const char *node, bool first,
		    struct ob_error *err)
{
	const char *cache = o->cache == 1   ? ",cache.direct=on"
			    : o->cache == 2 ? ",cache.no-flush=on"
					    : "";
	const char *ro = o->readonly ? "on" : "off";
	const char *base = first && o->iops ? "-limited" : "";
	char quoted[1100], config[1100];
	int ret;

	if (!path) {
		qemu_arg(args, "-blockdev");
		qemu_arg(args,
			 "driver=null-co,node-name=%s%s,size=%llu,read-zeroes=on,read-only=%s",
			 node, base, (unsigned long long)o->null_size, ro);
	} else {
		ret = check_image(qd, device, path, o->readonly, err);
		if (ret)
			return ret;
		if (strlen(path) > 500)
			return ob_error_set(err, -ENAMETOOLONG, "%s: image path is too long",
					    device);
		quote(quoted, sizeof(quoted), path);
		qemu_arg(args, "-blockdev");
		qemu_arg(args,
			 "driver=%s,node-name=%s-file,filename=%s,read-only=%s,aio=threads,"
			 "discard=unmap%s",
			 "file", node, quoted, ro, cache);
		if (first && o->blkdebug) {
			if (access(o->blkdebug, R_OK))
				return ob_error_set(err, -errno, "%s: blkdebug='%s': %s", device,
						    o->blkdebug, strerror(errno));
			quote(config, sizeof(config), o->blkdebug);
			qemu_arg(args, "-blockdev");
			qemu_arg(args, "driver=blkdebug,node-name=%s-debug,image=%s-file,config=%s",
				 node, node, config);
		}
		qemu_arg(args, "-blockdev");
		qemu_arg(args, "driver=raw,node-name=%s%s,file=%s%s,read-only=%s,discard=unmap%s",
			 node, base, node, first && o->blkdebug ? "-debug" : "-file", ro, cache);
	}
	if (first && o->iops) {
		qemu_arg(args, "-object");
		qemu_arg(args, "throttle-group,id=%s-group,x-iops-total=%llu", node,
			 (unsigned long long)o->iops);
		qemu_arg(args, "-blockdev");
		qemu_arg(args,
			 "driver=throttle,node-name=%s,throttle-group=%s-group,file=%s-limited",
			 node, node, node);
	}
	return 0;
}

/* ---- device properties ----------------------------------------------------------------------- */

static void add_props(struct ob_spec_part *part, char *props, size_t size)
{
	for (unsigned int i = 0; i < part->n; i++) {
		char value[300];

		if (strncmp(part->opt[i].key, "prop.", 5))
			continue;
		part->opt[i].used = true;
		quote(value, sizeof(value), part->opt[i].value);
		snprintf(props + strlen(props), size - strlen(props), ",%s=%s",
			 part->opt[i].key + 5, value);
	}
}

static void add_serial(struct ob_spec_part *part, const char *fallback, char *props, size_t size)
{
	const char *serial = ob_spec_get(part, "serial");
	char value[64];

	if (!serial)
		serial = fallback;
	if (!serial)
		return;
	quote(value, sizeof(value), serial);
	snprintf(props + strlen(props), size - strlen(props), ",serial=%s", value);
}

/* Every option of a disk has been looked at: a misspelt one is the likelier mistake. */
static int no_disk(const struct ob_spec *spec, struct ob_error *err)
{
	struct ob_spec device = *spec;

	device.nr_wrappers = 0;
	if (ob_spec_leftover(&device, "see `outboard specs qemu`", err))
		return -EINVAL;
	ob_error_set(err, -EINVAL, "%s has no disk behind it", spec->text);
	ob_error_fix(err, "add ',file=PATH' or ',null=1G'");
	return -EINVAL;
}

static int nvme_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		     const char *where, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	uint64_t namespaces = 1;
	struct disk_options o;
	char props[512] = "", node[32];
	unsigned int n = 0;
	int ret;

	ret = disk_options(part, &o, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "namespaces", 1, 8, &namespaces, err);
	if (ret)
		return ret;
	add_serial(part, "outboard", props, sizeof(props));
	add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	qemu_arg(args, "nvme,id=dev%u%s%s", qd->index, where, props);
	qd->dev->info.read_only = o.readonly;
	for (unsigned int i = 0; i < 4; i++) {
		const char *path = ob_spec_get(part, disk_keys[i]);

		if (!path)
			continue;
		if (o.null_size)
			return ob_error_set(err, -EINVAL, "%s: both null= and %s= are given",
					    spec->text, disk_keys[i]);
		snprintf(node, sizeof(node), "disk%u-%u", qd->index, n);
		ret = add_disk(args, qd, spec->text, path, &o, node, !n, err);
		if (ret)
			return ret;
		qemu_arg(args, "-device");
		qemu_arg(args, "nvme-ns,bus=dev%u,drive=%s,nsid=%u", qd->index, node, ++n);
	}
	for (uint64_t i = 0; o.null_size && i < namespaces; i++) {
		snprintf(node, sizeof(node), "disk%u-%u", qd->index, n);
		add_disk(args, qd, spec->text, NULL, &o, node, !n, err);
		qemu_arg(args, "-device");
		qemu_arg(args, "nvme-ns,bus=dev%u,drive=%s,nsid=%u", qd->index, node, ++n);
	}
	return n ? 0 : no_disk(spec, err);
}

static int ide_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *where, struct ob_error *err)
{
	static const struct {
		const char *key;
		unsigned int channel, unit;
		const char *model;
	} place[] = {
		{"file", 0, 0, "ide-hd"},   {"slave", 0, 1, "ide-hd"}, {"master2", 1, 0, "ide-hd"},
		{"slave2", 1, 1, "ide-hd"}, {"cdrom", 1, 0, "ide-cd"},
	};
	struct ob_spec_part *part = &spec->device;
	char props[512] = "", serial[128] = "", node[32];
	struct disk_options o;
	unsigned int n = 0;
	int ret;

	ret = disk_options(part, &o, err);
	if (ret)
		return ret;
	if (o.readonly)
		return ob_error_set(err, -EINVAL, "%s: an IDE disk cannot be read-only",
				    spec->text);
	add_serial(part, NULL, serial, sizeof(serial));
	add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	qemu_arg(args, "piix3-ide,id=dev%u%s%s", qd->index, where, props);
	for (unsigned int i = 0; i < sizeof(place) / sizeof(place[0]); i++) {
		const char *path = ob_spec_get(part, place[i].key);
		struct disk_options one = o;
		bool cd = !strcmp(place[i].model, "ide-cd");

		if (!path && !(i == 0 && o.null_size))
			continue;
		if (path && i == 0 && o.null_size)
			return ob_error_set(err, -EINVAL, "%s: both null= and file= are given",
					    spec->text);
		one.readonly = cd;
		snprintf(node, sizeof(node), "disk%u-%u", qd->index, n);
		ret = add_disk(args, qd, spec->text, path, &one, node, !n, err);
		if (ret)
			return ret;
		qemu_arg(args, "-device");
		/* werror: the default stops the whole machine when the disk behind is full. */
		qemu_arg(args, "%s,bus=dev%u.%u,unit=%u,drive=%s%s%s", place[i].model, qd->index,
			 place[i].channel, place[i].unit, node,
			 cd ? "" : ",werror=report,rerror=report", n || cd ? "" : serial);
		n++;
	}
	return n ? 0 : no_disk(spec, err);
}

/* A controller with disks on a bus of its own, all of the same kind; or one that is the disk. */
static int bus_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *qemu, const char *where, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	char props[512] = "", serial[128] = "", place[128] = "", node[32];
	const struct disk_model *model = disk_models;
	struct disk_options o;
	unsigned int n = 0;
	int ret;

	while (strcmp(model->qemu, qemu))
		model++;
	ret = disk_options(part, &o, err);
	if (ret)
		return ret;
	if (o.readonly && model->disk && !strcmp(model->disk, "ide-hd"))
		return ob_error_set(err, -EINVAL, "%s: a SATA disk cannot be read-only",
				    spec->text);
	add_serial(part, NULL, serial, sizeof(serial));
	add_props(part, props, sizeof(props));
	qd->dev->info.read_only = o.readonly;
	qd->reaches_itself = model->reaches_itself;
	if (model->disk) {
		qemu_arg(args, "-device");
		qemu_arg(args, "%s,id=dev%u%s%s%s", model->qemu, qd->index, where, model->props,
			 props);
	}
	for (unsigned int i = 0; i < sizeof(disk_keys) / sizeof(disk_keys[0]); i++) {
		const char *path = ob_spec_get(part, disk_keys[i]);

		if (!path && !(i == 0 && o.null_size))
			continue;
		if (path && o.null_size)
			return ob_error_set(err, -EINVAL, "%s: both null= and %s= are given",
					    spec->text, disk_keys[i]);
		if (n && !model->disk)
			return ob_error_set(err, -EINVAL, "%s: %s is one disk", spec->text,
					    part->name);
		snprintf(node, sizeof(node), "disk%u-%u", qd->index, n);
		ret = add_disk(args, qd, spec->text, path, &o, node, !n, err);
		if (ret)
			return ret;
		qemu_arg(args, "-device");
		if (model->disk) {
			snprintf(place, sizeof(place), model->place, qd->index, n);
			qemu_arg(args, "%s,drive=%s%s%s", model->disk, node, place,
				 n ? "" : serial);
		} else {
			qemu_arg(args, "%s,id=dev%u,drive=%s%s%s%s%s", model->qemu, qd->index, node,
				 where, model->props, serial, props);
		}
		n++;
	}
	return n ? 0 : no_disk(spec, err);
}

/* ---- networks ------------------------------------------------------------------------------ */

/* "qemu-system-x86_64 --version" as 100 * major + minor, 0 when it cannot be told. */
static unsigned int qemu_version(const char *binary)
{
	unsigned int major = 0, minor = 0;
	char text[128] = "";
	int pipefd[2];
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC))
		return 0;
	pid = fork();
	if (!pid) {
		dup2(pipefd[1], 1);
		execlp(binary, binary, "--version", (char *)NULL);
		_exit(127);
	}
	close(pipefd[1]);
	if (pid > 0) {
		if (read(pipefd[0], text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		waitpid(pid, NULL, 0);
	}
	close(pipefd[0]);
	if (sscanf(text, "QEMU emulator version %u.%u", &major, &minor) != 2)
		return 0;
	return major * 100 + minor;
}

static bool port_number(const char *text, unsigned long *port, char **end)
{
	if (!isdigit((unsigned char)*text))
		return false;
	*port = strtoul(text, end, 10);
	return *port >= 1 && *port <= 65535;
}

static int user_net(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *binary, struct ob_error *err)
{
	static const char *const fwd_keys[] = {"fwd", "fwd2", "fwd3", "fwd4"};
	struct ob_spec_part *part = &spec->device;
	char opts[512] = "", *end;
	unsigned long guest, host;
	const char *text;

	for (unsigned int i = 0; i < 4; i++) {
		unsigned int version, a, b, c, d;
		const char *colon, *reconnect;

		text = ob_spec_get(part, fwd_keys[i]);
		if (!text)
			continue;
		colon = strchr(text, ':');
		if (!colon || sscanf(text, "%3u.%3u.%3u.%3u:", &a, &b, &c, &d) != 4 || a > 255 ||
		    b > 255 || c > 255 || d > 255 || !port_number(colon + 1, &guest, &end) ||
		    *end != '-' || !port_number(end + 1, &host, &end) || *end)
			return ob_error_set(err, -EINVAL,
					    "%s: option %s='%s' is not IP:PORT-PORT, like "
					    "10.0.2.100:80-8080",
					    part->name, fwd_keys[i], text);
		/*
		 * A character device, because it connects again after each connection ends;
		 * the option got another name and unit in QEMU 9.2.
		 */
		version = qemu_version(binary);
		reconnect = version >= 902 ? "reconnect-ms=100" : "reconnect=1";
		qemu_arg(args, "-chardev");
		qemu_arg(args, "socket,id=fwd%u-%u,host=127.0.0.1,port=%lu,%s", qd->index, i, host,
			 reconnect);
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts),
			 ",guestfwd=tcp:%u.%u.%u.%u:%lu-chardev:fwd%u-%u", a, b, c, d, guest,
			 qd->index, i);
	}
	text = ob_spec_get(part, "listen");
	if (text) {
		if (!port_number(text, &host, &end) || *end != '-' ||
		    !port_number(end + 1, &guest, &end) || *end)
			return ob_error_set(err, -EINVAL,
					    "%s: option listen='%s' is not PORT-PORT, like 8080-80",
					    part->name, text);
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts),
			 ",hostfwd=tcp:127.0.0.1:%lu-:%lu", host, guest);
	}
	qemu_arg(args, "-netdev");
	qemu_arg(args, "user,id=net%u,restrict=on%s", qd->index, opts);
	return 0;
}

static int wire_fd(const char *text, const char *device, struct ob_error *err)
{
	int type = 0, size = 4 << 20, fd;
	socklen_t len = sizeof(type);
	char *end;

	fd = (int)strtol(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end)
		return ob_error_set(err, -EINVAL, "%s: netdev='fd:%s' is not a descriptor", device,
				    text);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_DGRAM)
		return ob_error_set(err, -EINVAL,
				    "%s: descriptor %d is not an open datagram socket", device, fd);
	/* Room for a burst of frames; QEMU waits when it is full. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? ob_error_set(err, -errno, "%s: out of descriptors", device) : fd;
}

static int net_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *qemu, const char *where, const char *binary, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	const char *netdev = ob_spec_get(part, "netdev"), *mac = ob_spec_get(part, "mac");
	char props[512] = "";
	size_t len;
	int ret;

	if (!netdev || !strcmp(netdev, "user")) {
		ret = user_net(spec, qd, args, binary, err);
		if (ret)
			return ret;
	} else if (!strncmp(netdev, "fd:", 3)) {
		ret = wire_fd(netdev + 3, spec->text, err);
		if (ret < 0)
			return ret;
		ret = qemu_arg_fd(args, ret);
		qemu_arg(args, "-netdev");
		qemu_arg(args, "dgram,id=net%u,local.type=fd,local.str=%d", qd->index, ret);
	} else if (strcmp(netdev, "none")) {
		return ob_error_set(
			err, -EINVAL,
			"%s: option netdev='%s' is not possible, these are: user, none, "
			"fd:N",
			part->name, netdev);
	}
	for (unsigned int i = 0; i < sizeof(card_models) / sizeof(card_models[0]); i++) {
		if (strcmp(card_models[i].name, part->name))
			continue;
		snprintf(props, sizeof(props), "%s", card_models[i].props);
		qd->revision = card_models[i].revision;
		qd->waits = card_models[i].waits;
	}
	len = strlen(props);
	if (mac) {
		unsigned int m[6];
		int end = 0;

		if (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4],
			   &m[5], &end) != 6 ||
		    mac[end] || m[0] & 1)
			return ob_error_set(err, -EINVAL,
					    "%s: option mac='%s' is not a unicast MAC address",
					    part->name, mac);
		snprintf(props + len, sizeof(props) - len, ",mac=%s", mac);
	}
	add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	if (netdev && !strcmp(netdev, "none"))
		qemu_arg(args, "%s,id=dev%u%s%s", qemu, qd->index, where, props);
	else
		qemu_arg(args, "%s,id=dev%u,netdev=net%u%s%s", qemu, qd->index, qd->index, where,
			 props);
	return 0;
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
	struct disk_options o;
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
		return nvme_args(spec, qd, args, where, err);
	case MODEL_IDE:
		return ide_args(spec, qd, args, where, err);
	case MODEL_BUS:
		return bus_args(spec, qd, args, model->qemu, where, err);
	case MODEL_NET:
		return net_args(spec, qd, args, model->qemu, where, binary, err);
	case MODEL_SOUND:
	case MODEL_WATCHDOG:
	case MODEL_RANDOM:
	case MODEL_PLAIN:
		if (model->kind == MODEL_SOUND)
			qemu_sound_args(args, qd->index, ob_spec_get(part, "wav"), props,
					sizeof(props));
		else if (model->kind == MODEL_RANDOM)
			snprintf(props, sizeof(props), VIRTIO_PROPS);
		else if (model->kind == MODEL_WATCHDOG)
			qemu_watchdog_args(args);
		add_props(part, props, sizeof(props));
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
			return net_args(spec, qd, args, part->name, where, binary, err);
	ret = disk_options(part, &o, err);
	if (ret)
		return ret;
	if (ob_spec_get(part, "file") || o.null_size) {
		char node[32];

		snprintf(node, sizeof(node), "disk%u-0", qd->index);
		ret = add_disk(args, qd, spec->text, ob_spec_get(part, "file"), &o, node, true,
			       err);
		if (ret)
			return ret;
		snprintf(props, sizeof(props), ",drive=%s", node);
		add_serial(part, NULL, props, sizeof(props));
	}
	add_props(part, props, sizeof(props));
	qemu_arg(args, "-device");
	qemu_arg(args, "%s,id=dev%u%s%s", part->name, qd->index, where, props);
	return 0;
}
