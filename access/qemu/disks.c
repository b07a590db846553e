/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks on QEMU's command line: images are checked and claimed, made block nodes, and put behind their controllers.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/qemu/models.h"

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

/* Disks on a bus of a controller: QEMU's bus is called as the controller, a dot and a number. */
#define AHCI_PORT ",bus=dev%1$u.%2$u,werror=report,rerror=report"
#define SCSI_ID	  ",bus=dev%1$u.0,scsi-id=%2$u,werror=report,rerror=report"
#define USB_PORT  ",bus=dev%1$u.0"
/* QEMU's reader has one slot, whose bus is always called so. */
#define SD_SLOT ",bus=sd-bus"
/* A SAS disk is one that has an address; QEMU's has none by itself. This is of those that anybody may give (SPC-4, NAA 3, locally assigned). */
#define SAS_ID SCSI_ID ",wwn=0x300000000000000%2$u"
static const struct disk_model disk_models[] = {
	{"ich9-ahci", "", "ide-hd", AHCI_PORT, false},
	/* Its program and that program's variables (53C895A technical manual, SCRIPTS RAM). */
	{"lsi53c895a", "", "scsi-hd", SCSI_ID, true},
	{"am53c974", "", "scsi-hd", SCSI_ID, false},
	{"mptsas1068", "", "scsi-hd", SAS_ID, false},
	{"megasas", "", "scsi-hd", SCSI_ID, false},
	{"megasas-gen2", "", "scsi-hd", SCSI_ID, false},
	{"virtio-scsi-pci", QEMU_VIRTIO_PROPS, "scsi-hd", SCSI_ID, false},
	{"virtio-blk-pci", QEMU_VIRTIO_PROPS, NULL, NULL, false},
	{"qemu-xhci", "", "usb-storage", USB_PORT, false},
	{"usb-ehci", "", "usb-storage", USB_PORT, false},
	{"pci-ohci", "", "usb-storage", USB_PORT, false},
	{"piix3-usb-uhci", "", "usb-storage", USB_PORT, false},
	{"sdhci-pci", "", "sd-card", SD_SLOT, false},
};

static const char *const disk_keys[] = {"file", "file2", "file3", "file4"};

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
		qemu_quote(quoted, sizeof(quoted), path);
		qemu_arg(args, "-blockdev");
		qemu_arg(args,
			 "driver=%s,node-name=%s-file,filename=%s,read-only=%s,aio=threads,"
			 "discard=unmap%s",
			 "file", node, quoted, ro, cache);
		if (first && o->blkdebug) {
			if (access(o->blkdebug, R_OK))
				return ob_error_set(err, -errno, "%s: blkdebug='%s': %s", device,
						    o->blkdebug, strerror(errno));
			qemu_quote(config, sizeof(config), o->blkdebug);
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

static void add_serial(struct ob_spec_part *part, const char *fallback, char *props, size_t size)
{
	const char *serial = ob_spec_get(part, "serial");
	char value[64];

	if (!serial)
		serial = fallback;
	if (!serial)
		return;
	qemu_quote(value, sizeof(value), serial);
	snprintf(props + strlen(props), size - strlen(props), ",serial=%s", value);
}

/* ---- controllers ----------------------------------------------------------------------------- */

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

int qemu_nvme_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
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
	qemu_add_props(part, props, sizeof(props));
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

int qemu_ide_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
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
	qemu_add_props(part, props, sizeof(props));
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

int qemu_bus_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
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
	qemu_add_props(part, props, sizeof(props));
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

int qemu_unknown_disk(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		      char *props, size_t size, struct ob_error *err)
{
	struct ob_spec_part *part = &spec->device;
	struct disk_options o;
	char node[32];
	int ret;

	ret = disk_options(part, &o, err);
	if (ret)
		return ret;
	if (!ob_spec_get(part, "file") && !o.null_size)
		return 0;
	snprintf(node, sizeof(node), "disk%u-0", qd->index);
	ret = add_disk(args, qd, spec->text, ob_spec_get(part, "file"), &o, node, true, err);
	if (ret)
		return ret;
	snprintf(props, size, ",drive=%s", node);
	add_serial(part, NULL, props, size);
	return 0;
}
