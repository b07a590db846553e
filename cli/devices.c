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
		"Lists the PCI devices of this machine: the kernel's driver, the IOMMU group, Outboard's\n"
		"driver, the way that Outboard would take the device, and what uses it now. Then the device\n"
		"models that need no hardware. Nothing is claimed or changed.",
	.options = options,
};

static bool is_shown(const struct pci_function *fn, bool all)
{
	return all || fn->class_code >> 16 != PCI_CLASS_BRIDGE;
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

	if (fn->group < 0) {
		json_object_object_add(o, "iommu_group", NULL);
		return;
	}
	cli_put_u64(o, "iommu_group", (uint64_t)fn->group);
	members = cli_put_array(o, "iommu_group_members");
	for (size_t i = 0; i < m->n; i++)
		if (m->fn[i].group == fn->group)
			json_object_array_add(members, json_object_new_string(m->fn[i].name));
}

static struct json_object *function_json(const struct pci_machine *m, const struct pci_function *fn,
					 struct pci_names *names)
{
	struct json_object *o = json_object_new_object(), *sub, *one;
	const struct ob_driver *driver;
	const struct ob_pci_id *id = NULL;
	struct pci_way way;
	char text[256];

	driver = ob_driver_match(fn->vendor, fn->device, fn->class_code, &id);
	pci_way("", m, fn, &way);
	cli_put_str(o, "address", fn->name);
	cli_put_str(o, "name", pci_name_device(names, fn->vendor, fn->device, text, sizeof(text)));
	cli_put_str(o, "class_name", pci_name_class(names, fn->class_code, text, sizeof(text)));
	put_hex(o, "vendor", 4, fn->vendor);
	put_hex(o, "device", 4, fn->device);
	put_hex(o, "subvendor", 4, fn->subvendor);
	put_hex(o, "subdevice", 4, fn->subdevice);
	put_hex(o, "class", 6, fn->class_code);
	put_hex(o, "revision", 2, fn->revision);
	cli_put_str(o, "kernel_driver", fn->driver);
	cli_put_str(o, "kernel_nodes", fn->nodes);
	put_group(o, m, fn);
	cli_put_str(o, "driver", driver ? driver->name : "");
	cli_put_str(o, "driver_knows_it_as", id ? id->name : "");
	sub = cli_put_object(o, "way");
	cli_put_str(sub, "backend", way.backend);
	cli_put_bool(sub, "in_this_build", way.built);
	cli_put_str(sub, "why", way.why);
	cli_put_bool(o, "can_be_taken_now", driver && way.built && !fn->uses);
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

static void uses_cell(struct cli_table *t, const struct pci_function *fn)
{
	if (fn->uses > 1)
		cli_cell(t, "%s (and %zu more)", fn->use[0].text, fn->uses - 1);
	else
		cli_cell(t, "%s", fn->uses ? fn->use[0].text : fn->nodes);
}

static size_t print_functions(const struct pci_machine *m, struct pci_names *names, bool all)
{
	static const char *const heads[] = {"ADDRESS",	       "DEVICE", "KERNEL DRIVER", ">GROUP",
					    "OUTBOARD DRIVER", "WAY",	 "USED AS"};
	struct cli_table *t = cli_table_create(heads, 7);
	size_t shown = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct pci_function *fn = &m->fn[i];
		const struct ob_driver *driver;
		struct pci_way way;
		char text[256];

		if (!is_shown(fn, all))
			continue;
		shown++;
		driver = ob_driver_match(fn->vendor, fn->device, fn->class_code, NULL);
		pci_way("", m, fn, &way);
		cli_cell(t, "%s", fn->name);
		cli_cell(t, "%s",
			 pci_name_device(names, fn->vendor, fn->device, text, sizeof(text)));
		cli_cell(t, "%s", *fn->driver ? fn->driver : "-");
		if (fn->group >= 0)
			cli_cell(t, "%d", fn->group);
		else
			cli_cell(t, "%s", "");
		cli_cell(t, "%s", driver ? driver->name : "-");
		cli_cell(t, "%s", way.backend ? way.backend : "-");
		uses_cell(t, fn);
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
			printf(" %s", m->fn[k].name);
		}
		printf(" (%s)\n", way[i].why);
	}
	free(way);
	free(said);
}

static bool any_way_is_missing(const struct pci_machine *m, bool all)
{
	struct pci_way way;

	for (size_t i = 0; i < m->n; i++) {
		pci_way("", m, &m->fn[i], &way);
		if (is_shown(&m->fn[i], all) && way.backend && !way.built)
			return true;
	}
	return false;
}

static void print_text(const struct pci_machine *m, struct pci_names *names, bool all)
{
	static const char *const heads[] = {"SPEC", "WHAT"};
	struct cli_table *t = cli_table_create(heads, 2);

	if (!print_functions(m, names, all)) {
		printf("This machine has no PCI devices%s.\n",
		       m->n ? " but bridges (--all shows them)" : " that this system can see");
	} else {
		printf("\nWAY is how Outboard would take the device:\n");
		print_reasons(m, all);
		if (any_way_is_missing(m, all))
			printf("Not yet: the backends for hardware, vfio and uio, come in a later "
			       "release.\n");
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
