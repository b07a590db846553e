/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard devices: the PCI devices of this machine, who drives and who uses them, which way Outboard would
 * take them; and the embedded models, which need no hardware.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/access.h>
#include <outboard/driver.h>

#include "cli/binding.h"
#include "cli/cli.h"
#include "cli/pci_sysfs.h"

static const struct cli_option options[] = {
	{'a', "all", NULL, "bridges, too"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "devices",
	.synopsis = "[--all]",
	.about =
		"Lists the PCI devices of this machine: the kernel's driver, the IOMMU group, whose the device is\n"
		"now, Outboard's driver, the way that Outboard would take the device, and what uses it. Then the\n"
		"device models that need no hardware. Nothing is claimed or changed.",
	.options = options,
};

static bool is_shown(const struct pci_function *fn, bool all)
{
	return all || fn->pci.class_code >> 16 != SYSFS_CLASS_BRIDGE;
}

/* ---- whose it is -------------------------------------------------------------------------- */

/**
 * struct ownership - who has a function now
 * @state: "kernel": one of the kernel's drivers; "free": none; "bound": kept for Outboard; "held": a process
 *	drives it
 * @before: the kernel's driver before `outboard bind`, or ""
 * @reserved: driver that driverctl, or whoever set driver_override, has reserved it for, or ""
 */
struct ownership {
	const char *state;
	char before[64];
	char reserved[64];
	const char *reserved_by;
	pid_t pid;
	char comm[32];
};

static void find_owner(const struct sysfs_function *fn, struct ownership *own)
{
	struct binding_record rec;
	char node[64];

	memset(own, 0, sizeof(*own));
	own->pid = binding_holder("", fn, own->comm, node);
	own->state = own->pid			   ? "held"
		     : binding_is_ours(fn->driver) ? "bound"
		     : *fn->driver		   ? "kernel"
						   : "free";
	if (binding_recall("", fn, &rec)) {
		memcpy(own->before, rec.driver, sizeof(own->before));
		if (rec.persistent && binding_driverctl("", fn, own->reserved))
			own->reserved_by = "driverctl";
		return;
	}
	if (binding_driverctl("", fn, own->reserved)) {
		own->reserved_by = "driverctl";
	} else if (*fn->override) {
		memcpy(own->reserved, fn->override, sizeof(own->reserved));
		own->reserved_by = "driver_override";
	}
}

/* ---- embedded models ---------------------------------------------------------------------- */

/*
 * Backends list their models in their help: "models:", then lines of two blanks, name, blanks and summary.
 * Calls @fn for each; @name and @summary are not ended by NUL.
 */
static void for_each_model(const struct ob_access_ops *backend,
			   void (*fn)(void *arg, const char *backend, const char *name,
				      int name_len, const char *summary, int summary_len),
			   void *arg)
{
	const char *line = backend->help ? strstr(backend->help(), "models:\n") : NULL;

	if (!line)
		return;
	for (line = strchr(line, '\n') + 1; !strncmp(line, "  ", 2);) {
		const char *name = line + 2;
		const char *summary = name + strcspn(name, " \n");
		size_t name_len = (size_t)(summary - name);

		summary += strspn(summary, " ");
		line = summary + strcspn(summary, "\n");
		if (name_len)
			fn(arg, backend->name, name, (int)name_len, summary, (int)(line - summary));
		if (*line)
			line++;
	}
}

static void model_row(void *arg, const char *backend, const char *name, int name_len,
		      const char *summary, int summary_len)
{
	cli_cell(arg, "%s:%.*s", backend, name_len, name);
	cli_cell(arg, "%.*s", summary_len, summary);
}

static void model_json(void *arg, const char *backend, const char *name, int name_len,
		       const char *summary, int summary_len)
{
	struct json_object *o = json_object_new_object();
	char text[256];

	snprintf(text, sizeof(text), "%s:%.*s", backend, name_len, name);
	cli_put_str(o, "spec", text);
	snprintf(text, sizeof(text), "%.*s", summary_len, summary);
	cli_put_str(o, "summary", text);
	json_object_array_add(arg, o);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_hex(struct json_object *o, const char *key, unsigned int digits, uint32_t val)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%0*x", (int)digits, val);
	cli_put_str(o, key, text);
}

static void put_group(struct json_object *o, const struct pci_machine *m,
		      const struct pci_function *fn)
{
	struct json_object *members;

	if (fn->pci.group < 0) {
		json_object_object_add(o, "iommu_group", NULL);
		return;
	}
	cli_put_u64(o, "iommu_group", (uint64_t)fn->pci.group);
	members = cli_put_array(o, "iommu_group_members");
	for (size_t i = 0; i < m->n; i++)
		if (m->fn[i].pci.group == fn->pci.group)
			json_object_array_add(members, json_object_new_string(m->fn[i].pci.name));
}

static struct json_object *function_json(const struct pci_machine *m, const struct pci_function *fn,
					 struct pci_names *names)
{
	struct json_object *o = json_object_new_object(), *sub, *one;
	const struct ob_driver *driver;
	const struct ob_pci_id *id = NULL;
	struct ownership own;
	struct pci_way way;
	char text[256];

	driver = ob_driver_match(fn->pci.vendor, fn->pci.device, fn->pci.class_code, &id);
	pci_way("", m, fn, &way);
	find_owner(&fn->pci, &own);
	cli_put_str(o, "address", fn->pci.name);
	cli_put_str(o, "name",
		    pci_name_device(names, fn->pci.vendor, fn->pci.device, text, sizeof(text)));
	cli_put_str(o, "class_name", pci_name_class(names, fn->pci.class_code, text, sizeof(text)));
	put_hex(o, "vendor", 4, fn->pci.vendor);
	put_hex(o, "device", 4, fn->pci.device);
	put_hex(o, "subvendor", 4, fn->pci.subvendor);
	put_hex(o, "subdevice", 4, fn->pci.subdevice);
	put_hex(o, "class", 6, fn->pci.class_code);
	put_hex(o, "revision", 2, fn->pci.revision);
	cli_put_str(o, "kernel_driver", fn->pci.driver);
	cli_put_str(o, "kernel_nodes", fn->nodes);
	put_group(o, m, fn);
	cli_put_str(o, "driver", driver ? driver->name : "");
	cli_put_str(o, "driver_knows_it_as", id ? id->name : "");
	sub = cli_put_object(o, "way");
	cli_put_str(sub, "backend", way.backend);
	cli_put_bool(sub, "in_this_build", way.built);
	cli_put_str(sub, "why", way.why);
	cli_put_str(o, "state", own.state);
	cli_put_str(o, "kernel_driver_before", own.before);
	cli_put_str(o, "reserved_for", own.reserved);
	cli_put_str(o, "reserved_by", own.reserved_by ? own.reserved_by : "");
	if (own.pid) {
		sub = cli_put_object(o, "held_by");
		cli_put_u64(sub, "pid", (uint64_t)own.pid);
		cli_put_str(sub, "name", own.comm);
	} else {
		json_object_object_add(o, "held_by", NULL);
	}
	cli_put_bool(o, "can_be_taken_now", driver && way.built && !fn->uses && !own.pid);
	sub = cli_put_array(o, "used_by");
	for (size_t i = 0; i < fn->uses; i++) {
		one = json_object_new_object();
		cli_put_str(one, "kind", fn->use[i].kind);
		cli_put_str(one, "name", fn->use[i].name);
		cli_put_str(one, "text", fn->use[i].text);
		json_object_array_add(sub, one);
	}
	return o;
}

static void print_json(const struct pci_machine *m, struct pci_names *names, bool all)
{
	struct json_object *doc = json_object_new_object(), *list;

	list = cli_put_array(doc, "devices");
	for (size_t i = 0; i < m->n; i++)
		if (is_shown(&m->fn[i], all))
			json_object_array_add(list, function_json(m, &m->fn[i], names));
	list = cli_put_array(doc, "models");
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++)
		for_each_model(*b, model_json, list);
	cli_print_json(doc);
}

/* ---- for people ------------------------------------------------------------------------------- */

static void uses_cell(struct cli_table *t, const struct pci_function *fn,
		      const struct ownership *own)
{
	if (own->pid)
		cli_cell(t, "process %d (%s)", (int)own->pid, own->comm);
	else if (own->reserved_by && strcmp(own->reserved, fn->pci.driver) != 0)
		cli_cell(t, "%s%sreserved for %s by %s", fn->nodes, *fn->nodes ? ", " : "",
			 own->reserved, own->reserved_by);
	else if (*own->before)
		cli_cell(t, "was %s%s", own->before, own->reserved_by ? ", kept by driverctl" : "");
	else if (own->reserved_by && binding_is_ours(fn->pci.driver))
		cli_cell(t, "bound by %s", own->reserved_by);
	else if (fn->uses > 1)
		cli_cell(t, "%s (and %zu more)", fn->use[0].text, fn->uses - 1);
	else
		cli_cell(t, "%s", fn->uses ? fn->use[0].text : fn->nodes);
}

/* Names of pci.ids go up to some 100 characters; their ends tell least. */
static void name_cell(struct cli_table *t, const char *name)
{
	enum {
		MOST = 48
	};
	size_t n = 0, at = 0;

	/* Code points, and none of them is cut. */
	for (; name[at] && n < MOST; n++)
		for (at++; ((unsigned char)name[at] & 0xc0) == 0x80;)
			at++;
	cli_cell(t, "%.*s%s", (int)at, name, name[at] ? "…" : "");
}

static size_t print_functions(const struct pci_machine *m, struct pci_names *names, bool all)
{
	static const char *const heads[] = {
		"ADDRESS", "DEVICE",	      "KERNEL DRIVER", ">GROUP",
		"STATE",   "OUTBOARD DRIVER", "WAY",	       "USED AS",
	};
	struct cli_table *t = cli_table_create(heads, 8);
	size_t shown = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct pci_function *fn = &m->fn[i];
		const struct ob_driver *driver;
		struct ownership own;
		struct pci_way way;
		char text[256];

		if (!is_shown(fn, all))
			continue;
		find_owner(&fn->pci, &own);
		shown++;
		driver = ob_driver_match(fn->pci.vendor, fn->pci.device, fn->pci.class_code, NULL);
		pci_way("", m, fn, &way);
		cli_cell(t, "%s", fn->pci.name);
		name_cell(t, pci_name_device(names, fn->pci.vendor, fn->pci.device, text,
					     sizeof(text)));
		cli_cell(t, "%s", *fn->pci.driver ? fn->pci.driver : "-");
		if (fn->pci.group >= 0)
			cli_cell(t, "%d", fn->pci.group);
		else
			cli_cell(t, "%s", "");
		cli_cell(t, "%s", own.state);
		cli_cell(t, "%s", driver ? driver->name : "-");
		cli_cell(t, "%s", way.backend ? way.backend : "-");
		uses_cell(t, fn, &own);
	}
	cli_table_print(t, stdout);
	return shown;
}

/* Each reason once, with the devices that it holds for. */
static void print_reasons(const struct pci_machine *m, bool all)
{
	struct pci_way *way = calloc(m->n, sizeof(*way));
	bool *said = calloc(m->n, sizeof(*said));

	for (size_t i = 0; way && i < m->n; i++)
		pci_way("", m, &m->fn[i], &way[i]);
	for (size_t i = 0; way && said && i < m->n; i++) {
		if (said[i] || !is_shown(&m->fn[i], all))
			continue;
		printf("  %s:", way[i].backend ? way[i].backend : "none");
		for (size_t k = i; k < m->n; k++) {
			if (!is_shown(&m->fn[k], all) || strcmp(way[i].why, way[k].why) != 0)
				continue;
			said[k] = true;
			printf(" %s", m->fn[k].pci.name);
		}
		printf(" (%s)\n", way[i].why);
	}
	free(way);
	free(said);
}

static void print_text(const struct pci_machine *m, struct pci_names *names, bool all)
{
	static const char *const heads[] = {"SPEC", "WHAT"};
	struct cli_table *t = cli_table_create(heads, 2);

	if (!print_functions(m, names, all)) {
		printf("This machine has no PCI devices%s.\n",
		       m->n ? " but bridges (--all shows them)" : " that this system can see");
	} else {
		printf("\nSTATE: kernel: with the kernel's driver; free: with none; bound: kept for Outboard; held: a "
		       "process drives it.\nWAY is how Outboard would take the device:\n");
		print_reasons(m, all);
	}
	printf("\nModels that need no hardware ('outboard specs' lists their options):\n\n");
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++)
		for_each_model(*b, model_row, t);
	cli_table_print(t, stdout);
}

int cmd_devices(int argc, char **argv)
{
	struct ob_error err = {0};
	struct pci_machine machine;
	struct pci_names *names;
	struct cli_args args;
	bool all = false;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case 'a':
			all = true;
			break;
		case CLI_WORD:
			return cli_bad(&usage,
				       "'%s' is too much; 'outboard probe' shows one device",
				       args.value);
		default:
			return args.exit_code;
		}
	}
	ret = pci_machine_read("", &machine);
	if (ret) {
		ob_error_set(&err, ret, "cannot list PCI devices: %s", strerror(-ret));
		return cli_error("devices", &err);
	}
	names = pci_names_open();
	if (cli_json())
		print_json(&machine, names, all);
	else
		print_text(&machine, names, all);
	pci_names_close(names);
	pci_machine_free(&machine);
	return CLI_OK;
}
