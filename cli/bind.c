/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard bind, outboard unbind: take PCI devices from the kernel's drivers, for Outboard, and give them back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/driver.h>

#include "cli/binding.h"
#include "cli/cli.h"

enum {
	OPT_USER = CLI_LONG,
	OPT_GROUP,
	OPT_PERSIST,
};

static const struct cli_option bind_options[] = {
	{'d', "driver", "NAME", "vfio-pci or uio_pci_generic; default: what suits the machine"},
	{'f', "force", NULL, "although it is in use, or reserved by others"},
	{'g', "group", NULL, "the rest of its IOMMU group, too"},
	{OPT_PERSIST, "persist", NULL, "over restarts, by driverctl"},
	{OPT_USER, "user", "NAME", "make NAME the owner of /dev/vfio/GROUP"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage bind_usage = {
	.command = "bind",
	.synopsis = "[OPTIONS] ADDRESS...",
	.about =
		"Takes PCI devices from the kernel's drivers and gives them to vfio-pci (where there is an\n"
		"IOMMU) or uio_pci_generic, which keep them for Outboard. The driver before is remembered, and\n"
		"'outboard unbind' brings it back. Refused for disks and interfaces that are in use.\n"
		"All of the devices or none.",
	.options = bind_options,
};

static const struct cli_option unbind_options[] = {
	{'a', "all", NULL, "all devices that 'outboard bind' has bound"},
	{'f', "force", NULL, "although driverctl has stored another driver"},
	{'g', "group", NULL, "the rest of its IOMMU group, too"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage unbind_usage = {
	.command = "unbind",
	.synopsis = "[OPTIONS] ADDRESS... | --all",
	.about =
		"Gives PCI devices back to the kernel's drivers that they had before 'outboard bind'.\n"
		"Devices that a process drives are refused; stop it first.",
	.options = unbind_options,
};

struct request {
	struct cli_args args;
	const char *address[BINDING_STEPS];
	unsigned int n;
	const char *driver;
	bool all;
	struct binding_options options;
	int code; /* exit code, when there is nothing to do */
};

static bool read_request(struct request *r, const struct cli_usage *usage, int argc, char **argv)
{
	int opt;

	r->code = CLI_USAGE;
	cli_args_init(&r->args, usage, argc, argv);
	while ((opt = cli_next(&r->args)) != CLI_END) {
		switch (opt) {
		case 'a':
			r->all = true;
			break;
		case 'd':
			r->driver = r->args.value;
			break;
		case 'f':
			r->options.force = true;
			break;
		case 'g':
			r->options.whole_group = true;
			break;
		case OPT_PERSIST:
			r->options.persist = true;
			break;
		case OPT_USER:
			r->options.user = r->args.value;
			break;
		case CLI_WORD:
			if (r->n == BINDING_STEPS) {
				cli_bad(usage, "more than %d devices at once", BINDING_STEPS);
				return false;
			}
			r->address[r->n++] = r->args.value;
			break;
		default:
			r->code = r->args.exit_code;
			return false;
		}
	}
	if (r->driver && !binding_is_ours(r->driver)) {
		cli_bad(usage,
			"'%s' keeps no device for user space; vfio-pci and uio_pci_generic do",
			r->driver);
		return false;
	}
	if (!r->n && !r->all) {
		cli_bad(usage, "which device? 'outboard devices' lists them");
		return false;
	}
	if (r->n && r->all) {
		cli_bad(usage, "either --all or addresses");
		return false;
	}
	return true;
}

/* ---- what became of it -------------------------------------------------------------------------- */

static const char *node_of(const struct sysfs_function *fn, char node[64])
{
	node[0] = '\0';
	if (!strcmp(fn->driver, BINDING_VFIO) && fn->group >= 0)
		snprintf(node, 64, "/dev/vfio/%d", fn->group);
	else if (!strcmp(fn->driver, BINDING_UIO))
		snprintf(node, 64, "/dev/uio%d", sysfs_uio_number("", fn->name));
	return node;
}

static void report_json(const struct binding_order *order)
{
	struct json_object *doc = json_object_new_object();
	struct json_object *list = cli_put_array(doc, "devices");

	for (unsigned int i = 0; i < order->n; i++) {
		const struct binding_step *step = &order->step[i];
		struct json_object *o = json_object_new_object();
		struct binding_record rec;
		char node[64];

		cli_put_str(o, "address", step->fn.name);
		cli_put_str(o, "driver", step->fn.driver);
		cli_put_str(o, "driver_before", step->previous);
		cli_put_bool(o, "changed", step->changed);
		if (binding_recall("", &step->fn, &rec))
			cli_put_str(o, "kernel_driver_before", rec.driver);
		cli_put_str(o, "node", node_of(&step->fn, node));
		if (step->fn.group >= 0)
			cli_put_u64(o, "iommu_group", (uint64_t)step->fn.group);
		else
			json_object_object_add(o, "iommu_group", NULL);
		json_object_array_add(list, o);
	}
	cli_print_json(doc);
}

static void report_text(const struct binding_order *order, bool bound)
{
	for (unsigned int i = 0; i < order->n; i++) {
		const struct binding_step *step = &order->step[i];
		const char *now = *step->fn.driver ? step->fn.driver : "no driver";
		char node[64];

		if (!step->changed) {
			printf("%s: %s already\n", step->fn.name, now);
			continue;
		}
		printf("%s: %s, was %s", step->fn.name, now,
		       *step->previous ? step->previous : "without a driver");
		if (*node_of(&step->fn, node))
			printf("; %s", node);
		printf("\n");
	}
	for (unsigned int i = 0; bound && i < order->n; i++) {
		const struct sysfs_function *fn = &order->step[i].fn;

		if (!ob_driver_match(fn->vendor, fn->device, fn->class_code, NULL))
			continue;
		printf("Try: outboard selftest %s:%s\n",
		       !strcmp(fn->driver, BINDING_VFIO) ? "vfio" : "uio", fn->name);
		break;
	}
}

static void add_all_bound(struct binding_order *order, const struct pci_machine *machine)
{
	struct binding_record rec;

	for (size_t i = 0; i < machine->n; i++)
		if (binding_recall("", &machine->fn[i].pci, &rec))
			binding_add(order, machine, machine->fn[i].pci.name, NULL);
}

static int carry_out(struct request *r, bool bind)
{
	const char *command = bind ? "bind" : "unbind";
	struct binding_order *order = calloc(1, sizeof(*order));
	struct pci_machine machine = {0};
	struct ob_error err = {0};
	int ret = order ? pci_machine_read("", &machine) : -ENOMEM;

	if (ret)
		ob_error_set(&err, ret, "cannot list PCI devices: %s", strerror(-ret));
	for (unsigned int i = 0; i < r->n && !ret; i++)
		ret = binding_add(order, &machine, r->address[i], &err);
	if (!ret && r->all)
		add_all_bound(order, &machine);
	if (!ret && bind)
		ret = binding_bind("", &machine, order,
				   r->driver ? r->driver : binding_choose(&order->step[0].fn),
				   &r->options, &err);
	else if (!ret)
		ret = binding_unbind("", &machine, order, &r->options, &err);
	if (ret)
		ret = cli_error(command, &err);
	else if (cli_json())
		report_json(order);
	else
		report_text(order, bind);
	pci_machine_free(&machine);
	free(order);
	return ret;
}

int cmd_bind(int argc, char **argv)
{
	struct request r = {0};

	return read_request(&r, &bind_usage, argc, argv) ? carry_out(&r, true) : r.code;
}

int cmd_unbind(int argc, char **argv)
{
	struct request r = {0};

	return read_request(&r, &unbind_usage, argc, argv) ? carry_out(&r, false) : r.code;
}
