/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard probe: one device in detail. One that a specification names is opened, without a driver; one of
 * this machine's is looked at through sysfs, without claiming it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <outboard/access.h>
#include <outboard/driver.h>

#include "cli/cli.h"
#include "cli/pci_caps.h"
#include "cli/pci_sysfs.h"

static const struct cli_option options[] = {
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "probe",
	.synopsis = "SPEC|ADDRESS",
	.about =
		"Shows one device in detail: IDs, ranges of registers, capabilities, interrupt vectors, DMA,\n"
		"and the driver that knows it. A SPEC (qemu:e1000e) is opened for it; a PCI device of this\n"
		"machine (0000:03:00.0) is looked at without claiming or changing it.",
	.options = options,
};

/* Either of the two, so that both are shown alike. */
struct subject {
	const char *name;
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	pci_config_fn read;
	void *read_arg;
	unsigned int config_size;
};

/* ---- what both have ----------------------------------------------------------------------- */

static void put_hex(struct json_object *o, const char *key, unsigned int digits, uint64_t val)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%0*llx", (int)digits, (unsigned long long)val);
	cli_put_str(o, key, text);
}

static void put_driver(struct json_object *doc, const struct subject *s)
{
	const struct ob_pci_id *id = NULL;
	const struct ob_driver *driver;
	struct json_object *o;

	driver = ob_driver_match(s->vendor, s->device, s->class_code, &id);
	if (!driver) {
		json_object_object_add(doc, "driver", NULL);
		return;
	}
	o = cli_put_object(doc, "driver");
	cli_put_str(o, "name", driver->name);
	cli_put_str(o, "summary", driver->summary);
	cli_put_str(o, "datasheet", driver->datasheet);
	cli_put_str(o, "knows_it_as", id->name);
	cli_put_bool(o, "selftest", driver->selftest);
}

static void put_identity(struct json_object *doc, const struct subject *s)
{
	struct pci_names *names = pci_names_open();
	char text[256];

	cli_put_str(doc, "device_name",
		    pci_name_device(names, s->vendor, s->device, text, sizeof(text)));
	cli_put_str(doc, "class_name", pci_name_class(names, s->class_code, text, sizeof(text)));
	put_hex(doc, "vendor", 4, s->vendor);
	put_hex(doc, "device", 4, s->device);
	put_hex(doc, "subvendor", 4, s->subvendor);
	put_hex(doc, "subdevice", 4, s->subdevice);
	put_hex(doc, "class", 6, s->class_code);
	put_hex(doc, "revision", 2, s->revision);
	pci_names_close(names);
}

static void put_capabilities(struct json_object *doc, const struct subject *s)
{
	struct pci_cap caps[PCI_CAPS_MAX];
	unsigned int n = pci_caps(s->read, s->read_arg, s->config_size, caps, PCI_CAPS_MAX);
	struct json_object *list, *o;

	cli_put_u64(doc, "config_bytes_readable", s->config_size);
	list = cli_put_array(doc, "capabilities");
	for (unsigned int i = 0; i < n; i++) {
		o = json_object_new_object();
		put_hex(o, "offset", 3, caps[i].offset);
		put_hex(o, "id", caps[i].extended ? 4 : 2, caps[i].id);
		cli_put_bool(o, "extended", caps[i].extended);
		if (caps[i].extended)
			cli_put_u64(o, "version", caps[i].version);
		cli_put_str(o, "name", caps[i].name);
		cli_put_str(o, "detail", caps[i].detail);
		json_object_array_add(list, o);
	}
}

/* ---- a device that a specification names ------------------------------------------------------ */

static uint32_t read_device(void *arg, unsigned int off, unsigned int size)
{
	return ob_config_read(arg, off, size);
}

static void put_device_bars(struct json_object *doc, struct ob_device *dev)
{
	struct json_object *list = cli_put_array(doc, "bars"), *o;

	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		const struct ob_bar *bar = ob_device_bar(dev, i);

		if (!bar)
			continue;
		o = json_object_new_object();
		cli_put_u64(o, "index", i);
		cli_put_str(o, "kind", bar->kind == OB_BAR_IO ? "I/O ports" : "memory");
		cli_put_u64(o, "bytes", bar->size);
		put_hex(o, "base", 1, bar->base);
		cli_put_str(o, "access", bar->map ? "mapped" : "messages");
		json_object_array_add(list, o);
	}
}

static void put_device_dma(struct json_object *doc, struct ob_device *dev)
{
	static const char *const policies[] = {"pooled", "strict", "lazy"};
	struct ob_dma *dma = ob_device_dma(dev);
	struct json_object *o = cli_put_object(doc, "dma");

	cli_put_bool(o, "iommu", ob_device_info(dev)->iommu);
	cli_put_str(o, "policy", policies[ob_dma_policy(dma)]);
	cli_put_u64(o, "arena_bytes", dma->size);
	put_hex(o, "arena_iova", 1, dma->iova);
}

static struct json_object *device_json(struct ob_device *dev)
{
	const struct ob_device_info *info = ob_device_info(dev);
	const struct subject s = {
		.name = info->name,
		.vendor = info->vendor,
		.device = info->device,
		.subvendor = info->subvendor,
		.subdevice = info->subdevice,
		.class_code = info->class_code,
		.revision = info->revision,
		.read = read_device,
		.read_arg = dev,
		/* What is not there reads as all ones, and a list ends with that. */
		.config_size = 4096,
	};
	struct json_object *doc = json_object_new_object(), *o;
	char text[32];

	cli_put_str(doc, "spec", info->spec);
	cli_put_str(doc, "name", info->name);
	cli_put_str(doc, "backend", info->backend);
	snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", info->bdf.domain, info->bdf.bus,
		 info->bdf.dev, info->bdf.fn);
	cli_put_str(doc, "address", text);
	if (info->vendor)
		put_identity(doc, &s);
	put_device_bars(doc, dev);
	if (info->vendor)
		put_capabilities(doc, &s);
	o = cli_put_object(doc, "vectors");
	cli_put_u64(o, "INTx", ob_irq_count(dev, OB_IRQ_INTX));
	cli_put_u64(o, "MSI", ob_irq_count(dev, OB_IRQ_MSI));
	cli_put_u64(o, "MSI-X", ob_irq_count(dev, OB_IRQ_MSIX));
	put_device_dma(doc, dev);
	put_driver(doc, &s);
	return doc;
}

/* ---- a device of this machine ------------------------------------------------------------------- */

struct stored_config {
	uint8_t byte[4096];
	unsigned int size;
};

static uint32_t read_stored(void *arg, unsigned int off, unsigned int size)
{
	const struct stored_config *config = arg;
	uint32_t val = 0;

	if (off + size > config->size)
		return 0xffffffffu >> (32 - 8 * size);
	/* Little endian (PCI 3.0, 6.1), whatever this processor is. */
	for (unsigned int i = size; i-- > 0;)
		val = val << 8 | config->byte[off + i];
	return val;
}

static int put_function_bars(struct json_object *doc, const struct pci_function *fn)
{
	struct sysfs_range ranges[SYSFS_RANGES];
	struct json_object *list, *o;
	int ret = sysfs_ranges("", fn->pci.name, ranges);

	if (ret)
		return ret;
	list = cli_put_array(doc, "bars");
	for (unsigned int i = 0; i < SYSFS_RANGES; i++) {
		if (!ranges[i].size)
			continue;
		o = json_object_new_object();
		cli_put_u64(o, "index", i);
		cli_put_str(o, "kind",
			    i == SYSFS_RANGES - 1 ? "expansion ROM"
			    : ranges[i].io	  ? "I/O ports"
						  : "memory");
		cli_put_u64(o, "bytes", ranges[i].size);
		put_hex(o, "base", 1, ranges[i].start);
		cli_put_bool(o, "prefetchable", ranges[i].prefetchable);
		cli_put_bool(o, "64-bit", ranges[i].wide);
		json_object_array_add(list, o);
	}
	return 0;
}

/* What the function offers; how many would be usable is the backend's to say. */
static void put_function_vectors(struct json_object *doc, const struct subject *s)
{
	struct pci_cap caps[PCI_CAPS_MAX];
	unsigned int n = pci_caps(s->read, s->read_arg, s->config_size, caps, PCI_CAPS_MAX);
	struct json_object *o = cli_put_object(doc, "vectors");
	unsigned int msi = 0, msix = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (caps[i].extended)
			continue;
		if (caps[i].id == PCI_CAP_MSI)
			msi = pci_msi_vectors(s->read, s->read_arg, &caps[i]);
		if (caps[i].id == PCI_CAP_MSIX)
			msix = pci_msi_vectors(s->read, s->read_arg, &caps[i]);
	}
	/* 6.2.4, interrupt pin: 1 to 4 for INTA# to INTD#. */
	cli_put_u64(o, "INTx", s->read(s->read_arg, 0x3d, 1) - 1u < 4);
	if (s->config_size < 256)
		return; /* the capabilities are hidden from this user */
	cli_put_u64(o, "MSI", msi);
	cli_put_u64(o, "MSI-X", msix);
}

static void put_function_kernel(struct json_object *doc, const struct pci_machine *m,
				const struct pci_function *fn)
{
	struct json_object *list, *o;
	struct pci_way way;

	cli_put_str(doc, "kernel_driver", fn->pci.driver);
	cli_put_str(doc, "kernel_nodes", fn->nodes);
	list = cli_put_array(doc, "used_by");
	for (size_t i = 0; i < fn->uses; i++)
		json_object_array_add(list, json_object_new_string(fn->use[i].text));
	if (fn->pci.group >= 0) {
		cli_put_u64(doc, "iommu_group", (uint64_t)fn->pci.group);
		list = cli_put_array(doc, "iommu_group_members");
		for (size_t i = 0; i < m->n; i++)
			if (m->fn[i].pci.group == fn->pci.group)
				json_object_array_add(list,
						      json_object_new_string(m->fn[i].pci.name));
	} else {
		json_object_object_add(doc, "iommu_group", NULL);
	}
	pci_way("", m, fn, &way);
	o = cli_put_object(doc, "way");
	cli_put_str(o, "backend", way.backend);
	cli_put_bool(o, "in_this_build", way.built);
	cli_put_str(o, "why", way.why);
}

static struct json_object *function_json(const struct pci_machine *m, const struct pci_function *fn,
					 struct ob_error *err)
{
	struct stored_config config = {.size = 0};
	struct subject s = {
		.name = fn->pci.name,
		.vendor = fn->pci.vendor,
		.device = fn->pci.device,
		.subvendor = fn->pci.subvendor,
		.subdevice = fn->pci.subdevice,
		.class_code = fn->pci.class_code,
		.revision = fn->pci.revision,
		.read = read_stored,
		.read_arg = &config,
	};
	struct json_object *doc;
	int ret = sysfs_config_load("", fn->pci.name, config.byte);

	if (ret < 0) {
		ob_error_set(err, ret, "%s: cannot read its configuration space: %s", fn->pci.name,
			     strerror(-ret));
		return NULL;
	}
	config.size = s.config_size = (unsigned int)ret;
	doc = json_object_new_object();
	cli_put_str(doc, "name", fn->pci.name);
	cli_put_str(doc, "address", fn->pci.name);
	put_identity(doc, &s);
	ret = put_function_bars(doc, fn);
	if (ret) {
		ob_error_set(err, ret, "%s: cannot read its ranges of registers: %s", fn->pci.name,
			     strerror(-ret));
		json_object_put(doc);
		return NULL;
	}
	put_capabilities(doc, &s);
	put_function_vectors(doc, &s);
	put_function_kernel(doc, m, fn);
	put_driver(doc, &s);
	return doc;
}

/* ---- for people: from the document, which is the same for both ---------------------------------- */

static void print_line(const char *key, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void print_line(const char *key, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (*text)
		printf("%-15s %s\n", key, cli_clean(text));
}

static void print_identity(struct json_object *doc)
{
	printf("%s%s%s\n", cli_bold(stdout), cli_get_str(doc, "name"), cli_plain(stdout));
	print_line("spec", "%s", cli_get_str(doc, "spec"));
	if (!cli_get(doc, "vendor")) {
		print_line("device", "no PCI device, only I/O ports");
		return;
	}
	print_line("device", "%s", cli_get_str(doc, "device_name"));
	print_line("class", "%s (%s)", cli_get_str(doc, "class_name"), cli_get_str(doc, "class"));
	print_line("IDs", "vendor %s, device %s, subsystem %s %s, revision %s",
		   cli_get_str(doc, "vendor"), cli_get_str(doc, "device"),
		   cli_get_str(doc, "subvendor"), cli_get_str(doc, "subdevice"),
		   cli_get_str(doc, "revision"));
	print_line("address", "%s%s", cli_get_str(doc, "address"),
		   cli_get(doc, "spec") ? " in a machine of its own" : "");
}

static void print_vectors(struct json_object *doc)
{
	static const char *const kinds[] = {"INTx", "MSI", "MSI-X"};
	struct json_object *vectors = cli_get(doc, "vectors");
	char text[128] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < 3; i++) {
		uint64_t count = cli_get_u64(vectors, kinds[i]);

		if (count)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %llu",
					      n ? ", " : "", kinds[i], (unsigned long long)count);
	}
	if (!cli_get(vectors, "MSI"))
		print_line("vectors", "%s (MSI and MSI-X are for root to see)",
			   n ? text : "no INTx");
	else
		print_line("vectors", "%s", n ? text : "none");
}

static void print_kernel(struct json_object *doc)
{
	struct json_object *used = cli_get(doc, "used_by"), *way = cli_get(doc, "way");
	const char *backend = cli_get_str(way, "backend");
	struct json_object *group = cli_get(doc, "iommu_group");

	if (!way)
		return;
	print_line("kernel driver", "%s%s%s",
		   *cli_get_str(doc, "kernel_driver") ? cli_get_str(doc, "kernel_driver") : "none",
		   *cli_get_str(doc, "kernel_nodes") ? ": " : "", cli_get_str(doc, "kernel_nodes"));
	for (size_t i = 0; i < cli_array_length(used); i++)
		print_line(i ? "" : "in use", "%s",
			   json_object_get_string(json_object_array_get_idx(used, i)));
	if (group)
		print_line("IOMMU group", "%s: %s", json_object_get_string(group),
			   json_object_to_json_string_ext(cli_get(doc, "iommu_group_members"),
							  JSON_C_TO_STRING_PLAIN));
	else
		print_line("IOMMU group", "none");
	if (!*backend)
		print_line("way", "none: %s", cli_get_str(way, "why"));
	else
		print_line("way", "%s: %s%s", backend, cli_get_str(way, "why"),
			   cli_get_bool(way, "in_this_build")
				   ? ""
				   : "; this build has no such backend yet, a later release has");
}

static void print_driver(struct json_object *doc)
{
	struct json_object *driver = cli_get(doc, "driver");

	if (!driver) {
		print_line("driver", "none knows it");
		return;
	}
	print_line("driver", "%s: %s", cli_get_str(driver, "name"),
		   cli_get_str(driver, "knows_it_as"));
	print_line("datasheet", "%s", cli_get_str(driver, "datasheet"));
}

static void print_dma(struct json_object *doc)
{
	struct json_object *dma = cli_get(doc, "dma");
	char size[16];

	if (!dma)
		return;
	print_line("DMA", "arena of %s at %s, %s, IOMMU %s",
		   cli_size(size, cli_get_u64(dma, "arena_bytes")), cli_get_str(dma, "arena_iova"),
		   cli_get_str(dma, "policy"), cli_get_bool(dma, "iommu") ? "on" : "off");
}

static void print_bars(struct json_object *doc)
{
	static const char *const heads[] = {">BAR",   "KIND", ">SIZE",	     ">BASE",
					    "ACCESS", "BITS", "PREFETCHABLE"};
	struct json_object *bars = cli_get(doc, "bars");
	struct cli_table *t = cli_table_create(heads, 7);
	char size[16];

	if (cli_array_length(bars))
		printf("\n");
	for (size_t i = 0; i < cli_array_length(bars); i++) {
		struct json_object *bar = json_object_array_get_idx(bars, i);
		bool stored = cli_get(bar, "64-bit");

		cli_cell(t, "%u", (unsigned int)cli_get_u64(bar, "index"));
		cli_cell(t, "%s", cli_get_str(bar, "kind"));
		cli_cell(t, "%s", cli_size(size, cli_get_u64(bar, "bytes")));
		cli_cell(t, "%s", cli_get_str(bar, "base"));
		cli_cell(t, "%s", cli_get_str(bar, "access"));
		cli_cell(t, "%s", !stored ? "" : cli_get_bool(bar, "64-bit") ? "64" : "32");
		cli_cell(t, "%s", !stored ? "" : cli_get_bool(bar, "prefetchable") ? "yes" : "no");
	}
	cli_table_print(t, stdout);
}

static void print_capabilities(struct json_object *doc)
{
	static const char *const heads[] = {"OFFSET", "CAPABILITY", "DETAIL"};
	struct json_object *caps = cli_get(doc, "capabilities");
	struct cli_table *t = cli_table_create(heads, 3);

	if (cli_array_length(caps))
		printf("\n");
	for (size_t i = 0; i < cli_array_length(caps); i++) {
		struct json_object *cap = json_object_array_get_idx(caps, i);

		cli_cell(t, "%s", cli_get_str(cap, "offset"));
		cli_cell(t, "%s", cli_get_str(cap, "name"));
		cli_cell(t, "%s", cli_get_str(cap, "detail"));
	}
	cli_table_print(t, stdout);
	if (cli_get(doc, "config_bytes_readable") &&
	    cli_get_u64(doc, "config_bytes_readable") < 256)
		printf("\nThe capabilities are for root to see.\n");
}

static int finish(struct json_object *doc, const struct ob_error *err)
{
	if (!doc)
		return cli_error("probe", err);
	if (cli_json()) {
		cli_print_json(doc);
		return CLI_OK;
	}
	print_identity(doc);
	print_driver(doc);
	print_vectors(doc);
	print_dma(doc);
	print_kernel(doc);
	print_bars(doc);
	print_capabilities(doc);
	json_object_put(doc);
	return CLI_OK;
}

static int probe_spec(const char *spec)
{
	struct ob_error err = {0};
	struct json_object *doc;
	struct ob_device *dev;
	bool gone;
	int ret;

	cli_progress("opening %s", spec);
	ret = ob_device_open(spec, &dev, &err);
	cli_progress_end();
	if (ret)
		return cli_error("probe", &err);
	doc = device_json(dev);
	gone = ob_device_gone(dev);
	ob_device_close(dev);
	if (gone) {
		json_object_put(doc);
		ob_error_set(&err, -ENODEV, "%s vanished while it was looked at", spec);
		cli_error("probe", &err);
		return CLI_GONE;
	}
	return finish(doc, &err);
}

static int probe_address(const char *address)
{
	struct json_object *doc = NULL;
	const struct pci_function *fn;
	struct ob_error err = {0};
	struct pci_machine machine;
	int ret = pci_machine_read("", &machine);

	if (ret) {
		ob_error_set(&err, ret, "cannot list PCI devices: %s", strerror(-ret));
		return cli_error("probe", &err);
	}
	fn = pci_machine_find(&machine, address);
	if (fn) {
		doc = function_json(&machine, fn, &err);
	} else {
		ob_error_set(&err, -ENOENT, "this machine has no PCI device %s", address);
		ob_error_fix(&err, "outboard devices --all");
	}
	ret = finish(doc, &err);
	pci_machine_free(&machine);
	return ret;
}

int cmd_probe(int argc, char **argv)
{
	const char *what = NULL;
	struct cli_args args;
	struct ob_bdf bdf;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt != CLI_WORD)
			return args.exit_code;
		if (!cli_only_word(&args, &what, "device"))
			return args.exit_code;
	}
	if (!what)
		return cli_bad(&usage, "which device? A SPEC, or the address of one of 'outboard "
				       "devices'");
	return sysfs_parse_bdf(what, &bdf) ? probe_address(what) : probe_spec(what);
}
