/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded backend: QEMU's device models, driven from this process. No guest runs, no hardware, no
 * root is needed. notes in docs/qemu-backend.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/qemu/machine.h"

#define FIRST_SLOT  4 /* 1 and 2 are free for chipset parts, 3 is the doorbell */
#define ARENA_ALIGN 0x200000ull

/* Where a device sees its arena when the IOMMU translates: on purpose not where it is. */
#define IOVA_SMALL    0x08000000ull /* up to 64 MiB: below 2^28, for devices with few address bits */
#define IOVA_LARGE    0x10000000ull
#define IOVA_HOLE     0xb0000000ull /* ECAM, BARs (the doorbell among them), IOAPIC, APIC */
#define IOVA_HOLE_END 0xffffffffull

/* ---- start ------------------------------------------------------------------------------------- */

static void base_args(struct qemu_machine *m, struct ob_spec *const *specs, unsigned int n,
		      const char *binary, struct qemu_args *args)
{
	const char *wav = NULL;
	bool ports = false;

	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(specs[i]->device.name, "ports"))
			continue;
		ports = true;
		wav = ob_spec_get(&specs[i]->device, "wav");
	}
	qemu_arg(args, "%s", binary);
	qemu_arg(args, "-nodefaults");
	qemu_arg(args, "-no-user-config");
	qemu_arg(args, "-display");
	qemu_arg(args, "none");
	/* The processor never runs more than its four parked instructions. */
	qemu_arg(args, "-accel");
	qemu_arg(args, "tcg,tb-size=1");
	qemu_arg(args, "-sandbox");
	qemu_arg(args, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	if (wav)
		qemu_wav_args(args, "speaker", wav);
	qemu_arg(args, "-machine");
	qemu_arg(args,
		 "q35,memory-backend=ram,pit=%s,hpet=off,sata=off,smbus=off,i8042=off,vmport=off%s",
		 ports ? "on" : "off", wav ? ",pcspk-audiodev=speaker" : "");
	qemu_arg(args, "-m");
	qemu_arg(args, "%lluM", (unsigned long long)(m->ram_size >> 20));
	/* 3 to 6 are filled in by qemu_machine_start(). */
	args->nr_fds = 4;
	args->fd[0] = args->fd[1] = args->fd[2] = args->fd[3] = -1;
	qemu_arg(args, "-object");
	qemu_arg(args, "memory-backend-file,id=ram,size=%llu,mem-path=/proc/self/fd/4,share=on",
		 (unsigned long long)m->ram_size);
	qemu_arg(args, "-chardev");
	qemu_arg(args, "socket,id=qtest,fd=3");
	qemu_arg(args, "-object");
	qemu_arg(args, "qtest,id=qtest0,chardev=qtest,log=none");
	qemu_arg(args, "-bios");
	qemu_arg(args, "/proc/self/fd/6");
	if (m->iommu) {
		qemu_arg(args, "-device");
		qemu_arg(args, "intel-iommu,intremap=off");
	}
	qemu_arg(args, "-chardev");
	qemu_arg(args, "socket,id=doorbell,fd=5");
	qemu_arg(args, "-device");
	qemu_arg(args, "ivshmem-doorbell,chardev=doorbell,vectors=%d,addr=3", OB_IRQ_VECTORS);
}

static struct qemu_machine *machine_alloc(void)
{
	struct qemu_machine *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->intx_lock, NULL);
	m->ram_fd = m->pidfd = m->epoll_fd = m->handshake_fd = m->stderr_fd = m->end_fd = -1;
	m->dead_fd = -1;
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		m->vector_fd[i] = -1;
	m->mmio_next = QEMU_MMIO;
	m->io_next = QEMU_IO;
	m->bus_next = 1;
	return m;
}

/* ECAM on, interrupts intercepted before any device can raise one, doorbell, IOMMU. */
static int chipset_setup(struct qemu_machine *m, const char *name, struct ob_error *err)
{
	int ret;

	/* q35 PCIEXBAR at 0:0.0 offset 60h (82P965 datasheet, 5.1.16): base, 256 MiB, enable. */
	ret = qtest_out(&m->qt, 0xcf8, 4, 0x80000064);
	if (!ret)
		ret = qtest_out(&m->qt, 0xcfc, 4, 0);
	if (!ret)
		ret = qtest_out(&m->qt, 0xcf8, 4, 0x80000060);
	if (!ret)
		ret = qtest_out(&m->qt, 0xcfc, 4, (uint32_t)QEMU_ECAM | 1);
	if (!ret)
		ret = qtest_command(&m->qt, "irq_intercept_in ioapic");
	if (ret)
		return ob_error_set(err, ret, "%s: QEMU does not let its devices be driven (%s)",
				    name, m->qt.fail);
	ret = qemu_doorbell_setup(m, err);
	if (ret)
		return ret;
	if (m->iommu) {
		ret = vtd_start(&m->vtd, &m->qt, m->ram, QEMU_RAM_TABLES, QEMU_RAM_TABLES_SIZE);
		if (ret)
			return ob_error_set(err, ret,
					    "%s: the emulated IOMMU cannot be switched on", name);
	}
	return 0;
}

static int start_dma(struct qemu_device *qd, const struct qemu_open_options *o,
		     struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	struct ob_dma_window w = {
		.base = m->ram + qd->arena_off,
		.size = qd->arena_size,
		.iova = qd->arena_off,
		.translated = m->iommu && !qd->no_function,
		.aperture_min = 0x10000,
		.aperture_max = UINT32_MAX,
		.policy = o->policy,
	};
	uint64_t page = m->doorbell & ~4095ull;
	int ret;

	if (w.translated) {
		w.iova = qd->arena_size <= 64ull << 20 ? IOVA_SMALL : IOVA_LARGE;
		w.aperture_max = (1ull << (12 + 9 * m->vtd.levels)) - 1;
		w.hole_min = IOVA_HOLE;
		w.hole_max = IOVA_HOLE_END;
		ret = vtd_attach(&m->vtd, qd->bdf, &qd->domain);
		/* A message to the doorbell is a DMA write for the IOMMU, and so is a parked one. */
		if (!ret)
			ret = vtd_map(qd->domain, page, page, 4096, OB_DMA_READ | OB_DMA_WRITE);
		if (!ret)
			ret = vtd_map(qd->domain, QEMU_RAM_PARKING + 4096ull * qd->index,
				      QEMU_RAM_PARKING + 4096ull * qd->index, 4096, OB_DMA_WRITE);
		for (unsigned int i = 0; !ret && qd->reaches_itself && i < OB_BAR_COUNT; i++) {
			const struct ob_bar *bar = &qd->dev->bar[i];

			if (bar->kind == OB_BAR_MEM)
				ret = vtd_map(qd->domain, bar->base, bar->base,
					      (bar->size + 4095) & ~4095ull,
					      OB_DMA_READ | OB_DMA_WRITE);
		}
		if (ret)
			return ob_error_set(err, ret, "%s: no IOMMU domain", qd->dev->info.name);
		/* Below the parking pages nothing is given out, so that they stay apart. */
		w.aperture_min = QEMU_RAM_TABLES;
	}
	qd->dev->info.iommu = w.translated;
	return ob_dma_create(qd->dev, &w, err);
}

static void device_release(struct qemu_device *qd)
{
	for (unsigned int i = 0; i < qd->nr_claims; i++)
		close(qd->claim[i]);
	for (unsigned int i = 0; i < 2; i++)
		if (qd->intx_fd[i] >= 0)
			close(qd->intx_fd[i]);
	free(qd);
}

/*
 * The routing of q35 without any chipset programming, measured: slots 0 to 24 go to 20 + (slot + pin) % 4, pin A being 0. Most devices
 * have pin A; USB 1 and 2 controllers, which are functions of a chip with others, have D.
 */
static void route_intx(struct qemu_device *qd, const struct ob_spec *spec)
{
	unsigned int pin;

	if (qd->no_function)
		return;
	if (!strcmp(spec->device.name, "piix3-ide")) {
		qd->gsi[0] = 14; /* compatibility mode: ISA interrupts (82371SB datasheet, 2.3.5) */
		qd->gsi[1] = 15;
		qd->nr_intx = 2;
		return;
	}
	pin = qemu_config_read(qd->machine, qd->bdf, 0x3d, 1);
	if (!pin)
		return; /* none */
	qd->gsi[0] = 20 + (qd->slot + pin - 1) % 4;
	qd->nr_intx = 1;
}

static int device_setup(struct qemu_device *qd, struct ob_spec *spec,
			const struct qemu_open_options *o, struct ob_error *err)
{
	int ret = 0;

	if (!qd->no_function) {
		if (qd->behind_bridge)
			ret = qemu_pci_bridge_setup(qd, err);
		else
			qd->bdf = qd->slot << 3;
		if (!ret)
			ret = qemu_pci_setup(qd, err);
		if (ret)
			return ret;
	}
	route_intx(qd, spec);
	return start_dma(qd, o, err);
}

/* Options that belong to the whole machine must agree where it is shared. */
static int same_machine(struct ob_spec *const *specs, const struct qemu_open_options *o,
			unsigned int n, struct ob_error *err)
{
	for (unsigned int i = 1; i < n; i++)
		if (strcmp(o[i].binary, o[0].binary) || o[i].iommu != o[0].iommu)
			return ob_error_set(err, -EINVAL,
					    "'%s' and '%s' share a machine but differ in qemu= or "
					    "iommu=",
					    specs[0]->text, specs[i]->text);
	return 0;
}

/* The machine with its devices as they are asked for, and a QEMU started for it. */
static int build_machine(struct qemu_machine *m, struct ob_spec *const *specs,
			 struct qemu_open_options *o, unsigned int n, struct ob_device **devs,
			 struct ob_error *err)
{
	struct qemu_args args = {0};
	uint64_t arenas = QEMU_RAM_ARENAS;
	int ret = same_machine(specs, o, n, err);

	for (unsigned int i = 0; i < n && !ret; i++) {
		struct qemu_device *qd = calloc(1, sizeof(*qd));

		if (!qd) {
			ret = ob_error_set(err, -ENOMEM, "%s: out of memory", specs[i]->text);
			break;
		}
		qd->intx_fd[0] = qd->intx_fd[1] = -1;
		qd->machine = m;
		qd->dev = devs[i];
		qd->index = i;
		qd->slot = FIRST_SLOT + i;
		qd->behind_bridge = o[i].bridge;
		qd->arena_off = arenas;
		qd->arena_size = (o[i].arena + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
		arenas += qd->arena_size;
		m->devices[m->nr_devices++] = qd;
	}
	m->iommu = o[0].iommu;
	m->ram_size = arenas;
	if (!ret && m->ram_size > QEMU_RAM_MAX)
		ret = ob_error_set(err, -EINVAL, "%s: the arenas need %llu MiB, a machine has %llu",
				   specs[0]->text, (unsigned long long)(arenas >> 20),
				   (unsigned long long)(QEMU_RAM_MAX >> 20));
	if (ret)
		return ret;
	base_args(m, specs, n, o[0].binary, &args);
	for (unsigned int i = 0; i < n && !ret; i++)
		ret = qemu_model_args(specs[i], m->devices[i], &args, o[0].binary, err);
	/* An option that nobody took is told before QEMU is started for nothing. */
	for (unsigned int i = 0; i < n && !ret; i++) {
		struct ob_spec plain = *specs[i];

		plain.nr_wrappers = 0;
		ret = ob_spec_leftover(&plain, "see `outboard specs qemu`", err);
	}
	if (!ret)
		ret = qemu_machine_start(m, &args, o[0].answer_ms, specs[0]->text, err);
	qemu_args_free(&args);
	return ret;
}

static void dissolve_machine(struct qemu_machine *m)
{
	struct qemu_device *devices[QEMU_DEVICES];
	unsigned int nr = m->nr_devices;

	for (unsigned int i = 0; i < nr; i++) {
		struct qemu_device *qd = m->devices[i];

		if (qd->dev->dma)
			ob_dma_destroy(qd->dev);
		qd->dev->dma = NULL;
		qd->dev->priv = NULL;
	}
	for (unsigned int i = 0; i < nr; i++)
		vtd_detach(m->devices[i]->domain);
	memcpy(devices, m->devices, sizeof(devices));
	qemu_machine_stop(m);
	for (unsigned int i = 0; i < nr; i++)
		device_release(devices[i]);
}

static int open_machine(struct ob_spec *const *specs, struct qemu_open_options *o, unsigned int n,
			struct ob_device **devs, struct ob_error *err)
{
	struct qemu_held *held = qemu_held_find(specs, n);
	struct qemu_machine *m = machine_alloc();
	int ret;

	if (!m)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", specs[0]->text);
	if (held)
		ret = qemu_held_adopt(held, m, specs, devs, o[0].answer_ms, err);
	else
		ret = build_machine(m, specs, o, n, devs, err);
	if (!ret)
		ret = chipset_setup(m, specs[0]->text, err);
	for (unsigned int i = 0; i < n && !ret; i++) {
		devs[i]->priv = m->devices[i];
		ret = device_setup(m->devices[i], specs[i], &o[i], err);
	}
	__atomic_store_n(&m->open, true, __ATOMIC_RELEASE);
	if (!ret && qtest_drain(&m->qt))
		ret = ob_error_set(err, -ENODEV, "%s: QEMU died while it was set up",
				   specs[0]->text);
	if (ret) {
		dissolve_machine(m);
		return ret;
	}
	m->users = n;
	return 0;
}

static int hold_machine(struct ob_spec *const *specs, struct qemu_open_options *o, unsigned int n,
			struct ob_device **devs, struct ob_error *err)
{
	struct qemu_machine *m = machine_alloc();
	int ret;

	if (!m)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", specs[0]->text);
	ret = build_machine(m, specs, o, n, devs, err);
	if (!ret)
		ret = qemu_held_add(m, specs, n, err);
	if (ret)
		dissolve_machine(m);
	else /* how it ends is said here, by its parent */
		__atomic_store_n(&m->open, true, __ATOMIC_RELEASE);
	return ret;
}

typedef int (*machine_fn)(struct ob_spec *const *specs, struct qemu_open_options *o, unsigned int n,
			  struct ob_device **devs, struct ob_error *err);

/* One machine for each name, and one for each device without. */
static int each_machine(machine_fn fn, struct ob_spec *const *specs, unsigned int n,
			struct ob_device **devs, struct ob_error *err)
{
	struct qemu_open_options o[OB_SPEC_OPTIONS] = {0};
	bool done[OB_SPEC_OPTIONS] = {false};
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		ret = qemu_spec_options(specs[i], &o[i], err);
		if (ret)
			return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct qemu_open_options group_o[QEMU_DEVICES];
		struct ob_spec *group[QEMU_DEVICES];
		struct ob_device *group_devs[QEMU_DEVICES];
		unsigned int nr = 0;

		if (done[i])
			continue;
		for (unsigned int k = i; k < n; k++) {
			if (k != i && (!o[i].vm || !o[k].vm || strcmp(o[i].vm, o[k].vm)))
				continue;
			if (nr == QEMU_DEVICES)
				return ob_error_set(err, -EINVAL, "more than %d devices in vm=%s",
						    QEMU_DEVICES, o[i].vm);
			done[k] = true;
			group[nr] = specs[k];
			group_o[nr] = o[k];
			group_devs[nr++] = devs[k];
		}
		ret = fn(group, group_o, nr, group_devs, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int qemu_open(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		     struct ob_error *err)
{
	int ret = each_machine(open_machine, specs, n, devs, err);

	for (unsigned int i = 0; ret && i < n; i++) {
		if (!devs[i]->priv)
			continue;
		ob_dma_destroy(devs[i]);
		devs[i]->dma = NULL;
		devs[i]->ops->close(devs[i]);
		devs[i]->priv = NULL;
	}
	return ret;
}

static int qemu_hold(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		     struct ob_error *err)
{
	int ret = each_machine(hold_machine, specs, n, devs, err);

	if (ret)
		qemu_release();
	return ret;
}

void qemu_release(void)
{
	struct qemu_machine *m;

	while ((m = qemu_held_take()))
		dissolve_machine(m);
}

static void qemu_close(struct ob_device *dev)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m;
	bool last;

	if (!qd)
		return;
	m = qd->machine;
	vtd_detach(qd->domain);
	pthread_mutex_lock(&m->lock);
	pthread_mutex_lock(&m->intx_lock);
	m->devices[qd->index] = NULL;
	pthread_mutex_unlock(&m->intx_lock);
	last = !--m->users;
	pthread_mutex_unlock(&m->lock);
	if (last)
		qemu_machine_stop(m);
	device_release(qd);
}

/* ---- operations ----------------------------------------------------------------------------------- */

/* Of what was read at @off those bytes that lie in the @n bytes at @at, with other contents. */
static void say_instead(uint32_t *val, unsigned int off, unsigned int size, unsigned int at,
			unsigned int n, uint32_t what)
{
	for (unsigned int i = 0; i < size; i++) {
		if (off + i < at || off + i >= at + n)
			continue;
		*val &= ~(0xffu << 8 * i);
		*val |= (what >> 8 * (off + i - at) & 0xff) << 8 * i;
	}
}

static int qemu_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	struct qemu_device *qd = dev->priv;
	uint64_t addr = QEMU_ECAM + ((uint64_t)qd->bdf << 12) + off, got;
	int ret;

	if (qd->no_function)
		return -ENODEV;
	if (write) {
		/* BARs were assigned at open and are not the driver's to move. */
		if (off >= 0x10 && off < 0x28)
			return 0;
		return qtest_write(&qd->machine->qt, addr, size, *val);
	}
	ret = qtest_read(&qd->machine->qt, addr, size, &got);
	if (ret)
		return ret;
	*val = (uint32_t)got;
	/* PCI Local Bus 3.0, 6.2.1: vendor and device at 0, revision at 8. */
	if (qd->ids)
		say_instead(val, off, size, 0, 4, qd->ids);
	if (qd->revision)
		say_instead(val, off, size, 8, 1, qd->revision);
	return 0;
}

static uint64_t qemu_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct qemu_device *qd = bar->dev->priv;
	uint64_t val = 0;
	int ret;

	if (bar->kind == OB_BAR_IO)
		ret = qtest_in(&qd->machine->qt, (uint16_t)(bar->base + off), size, &val);
	else
		ret = qtest_read(&qd->machine->qt, bar->base + off, size, &val);
	return ret ? UINT64_MAX : val;
}

static void qemu_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct qemu_device *qd = bar->dev->priv;

	if (bar->kind == OB_BAR_IO)
		qtest_out_corked(&qd->machine->qt, (uint16_t)(bar->base + off), size, val);
	else
		qtest_write_corked(&qd->machine->qt, bar->base + off, size, val);
	if (qd->waits)
		qtest_drain(&qd->machine->qt);
}

static void qemu_flush(struct ob_device *dev)
{
	struct qemu_device *qd = dev->priv;

	qtest_drain(&qd->machine->qt);
}

static void qemu_cork(struct ob_device *dev, bool on)
{
	struct qemu_device *qd = dev->priv;

	if (on)
		qtest_cork(&qd->machine->qt);
	else
		qtest_uncork(&qd->machine->qt);
}

static int qemu_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		      struct ob_error *err)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m = qd->machine;

	/* The chipset's own: DMA, interrupt controllers, PCI configuration. */
	if (base < 0x40 || (base + count > 0xcf8 && base < 0xd00))
		return ob_error_set(err, -EACCES, "%s: ports 0x%x to 0x%x are the chipset's",
				    dev->info.name, base, base + count - 1);
	if (base + count > (int)QEMU_IO && base < m->io_next)
		return ob_error_set(err, -EBUSY, "%s: ports 0x%x to 0x%x belong to a BAR",
				    dev->info.name, base, base + count - 1);
	*bar = (struct ob_bar){
		.size = count,
		.kind = OB_BAR_IO,
		.index = -1,
		.dev = dev,
		.base = base,
	};
	return 0;
}

static int qemu_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
			unsigned int prot)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m = qd->machine;
	uint64_t off = (uint64_t)((uintptr_t)va - (uintptr_t)m->ram);

	/* Only the machine's RAM can be reached, and of that only arenas. */
	if (!qd->domain || off < QEMU_RAM_ARENAS || off >= m->ram_size || len > m->ram_size - off)
		return -EFAULT;
	return vtd_map(qd->domain, iova, off, len, prot);
}

static int qemu_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	struct qemu_device *qd = dev->priv;

	if (!qd->domain)
		return -EINVAL;
	return vtd_unmap(qd->domain, iova, len);
}

/* Function-level reset (PCIe 3.0, 6.6.2), or a reset of the bus behind the device's own root port. */
static int qemu_reset(struct ob_device *dev, struct ob_error *err)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m = qd->machine;
	unsigned int pcie = qd->no_function ? 0 : ob_pci_capability(dev, 0x10);

	/* Device capabilities bit 28, device control bit 15. The model has done it when it answers. */
	if (pcie && ob_config_read(dev, pcie + 4, 4) & 1u << 28) {
		uint32_t control = ob_config_read(dev, pcie + 8, 2);

		qemu_config_write(m, qd->bdf, pcie + 8, 2, control | 0x8000);
	} else if (qd->behind_bridge) {
		uint32_t control = qemu_config_read(m, qd->bridge_bdf, 0x3e, 2);

		/* Bridge control bit 6: secondary bus reset (PCI-to-PCI Bridge 1.2, 3.2.5.18). */
		qemu_config_write(m, qd->bridge_bdf, 0x3e, 2, control | 0x40);
		qemu_config_write(m, qd->bridge_bdf, 0x3e, 2, control & ~0x40u);
	} else {
		ob_error_set(err, -EOPNOTSUPP, "%s has no function reset", dev->info.name);
		ob_error_fix(err, "its driver resets it by its registers; or open it with "
				  "bridge=root-port");
		return -EOPNOTSUPP;
	}
	qemu_pci_restore(qd);
	return qtest_drain(&m->qt);
}

static int qemu_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m = qd->machine;
	struct vtd_fault f;
	unsigned int got = 0;

	if (!m->iommu)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&m->lock);
	/* The recording register is one for all devices; sort what it has to its device. */
	for (unsigned int tries = 0; tries < 64 && vtd_fault(&m->vtd, &f); tries++) {
		for (unsigned int i = 0; i < m->nr_devices; i++) {
			struct qemu_device *to = m->devices[i];
			struct ob_fault *slot;

			if (!to || to->bdf != f.bdf || to->nr_faults == 16)
				continue;
			slot = &to->faults[to->nr_faults++];
			slot->source = to->dev->info.bdf;
			slot->iova = f.iova;
			slot->write = f.write;
			slot->reason = f.reason;
			snprintf(slot->text, sizeof(slot->text),
				 "%.60s (%02x:%02x.%u): DMA %s at 0x%llx was blocked: %s",
				 to->dev->info.name, f.bdf >> 8, f.bdf >> 3 & 31, f.bdf & 7,
				 f.write ? "write" : "read", (unsigned long long)f.iova,
				 vtd_fault_reason(f.reason));
		}
	}
	while (got < n && got < qd->nr_faults) {
		faults[got] = qd->faults[got];
		got++;
	}
	memmove(qd->faults, qd->faults + got, (qd->nr_faults - got) * sizeof(qd->faults[0]));
	qd->nr_faults -= got;
	pthread_mutex_unlock(&m->lock);
	return (int)got;
}

/* The socket is the machine's, so that devices which share a machine share this figure, too. */
static void qemu_stats(const struct ob_device *dev, struct ob_access_stats *stats)
{
	const struct qemu_device *qd = dev->priv;

	stats->syscalls += __atomic_load_n(&qd->machine->qt.syscalls, __ATOMIC_RELAXED);
}

const struct ob_access_ops ob_access_qemu = {
	.name = "qemu",
	.summary = "QEMU's device models, without hardware, guest or root",
	.help = qemu_models_help,
	.open = qemu_open,
	.hold = qemu_hold,
	.release = qemu_release,
	.held = qemu_held_list,
	.held_gone = qemu_held_gone,
	.close = qemu_close,
	.config = qemu_config,
	.read = qemu_read,
	.write = qemu_write,
	.flush = qemu_flush,
	.cork = qemu_cork,
	.ports = qemu_ports,
	.irq_count = qemu_irq_count,
	.irq_enable = qemu_irq_enable,
	.irq_disable = qemu_irq_disable,
	.irq_mask = qemu_irq_mask,
	.dma_map = qemu_dma_map,
	.dma_unmap = qemu_dma_unmap,
	.reset = qemu_reset,
	.faults = qemu_faults,
	.stats = qemu_stats,
};
