/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard run: drives devices, attaches them, and serves until it is ended or COMMAND is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/tap.h"
#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/keep.h"
#include "cli/open_one.h"
#include "cli/run_config.h"
#include "keeper/notify.h"

enum {
	MODEL_HEARTBEAT_MS = 2000,
};

enum {
	OPT_MODE = CLI_LONG,
	OPT_QUEUES,
	OPT_DEPTH,
	OPT_IRQ,
	OPT_NAME,
	OPT_PRIORITY,
	OPT_CPU,
	OPT_PRIVATE,
	OPT_RESTART,
	OPT_SANDBOX,
	OPT_VERIFY,
	OPT_VERIFY_LOG,
	OPT_ONE,
	OPT_CONFIG,
	OPT_JSON,
};

static const struct cli_option options[] = {
	{'d', "driver", "NAME",
	 "use this driver: a name, or the path of a shared object;\n"
	 "one for all devices, or as many as there are devices"},
	{'a', "attach", "HOW",
	 "how to attach it: 'outboard version' lists what there is;\n"
	 "with options (NAME,OPTION=VALUE,...), or auto (default);\n"
	 "one for all devices that it fits, or as many as there are devices"},
	{OPT_MODE, "mode", "MODE", "adaptive (default), poll or interrupt"},
	{OPT_QUEUES, "queues", "N", "queues per device (default: the driver's choice)"},
	{OPT_DEPTH, "depth", "N", "entries per queue or ring (default: the driver's choice)"},
	{OPT_IRQ, "irq", "KIND", "intx, msi or msix (default: the best there is)"},
	{OPT_NAME, "name", "NAME", "of this instance, for 'show' and 'stop'"},
	{OPT_PRIORITY, "rt-priority", "N", "real-time priority of the loops (SCHED_FIFO, 1 to 99)"},
	{OPT_CPU, "cpu", "N[,N...]", "CPU of each device's loop"},
	{OPT_PRIVATE, "private-mounts", NULL, "COMMAND's mounts are its own, and end with it"},
	{OPT_RESTART, "restart", "POLICY",
	 "another driver process is started when one dies or hangs (default):\n"
	 "on-failure[,limit=N][,within=SECONDS][,backoff=MS][,most=MS]\n"
	 "[,heartbeat=MS][,start=MS] and others (man outboard-run), or never"},
	{OPT_SANDBOX, "sandbox", "POLICY",
	 "driver processes have no rights and see nothing of the system: auto (where\n"
	 "they can; default), off, or require; 'outboard show --sandbox' says what is\n"
	 "in force; with limits: [,memory=SIZE][,memlock=SIZE][,files=N]\n"
	 "[,threads=N][,cpu=PERCENT][,debug][,unsafe-device]"},
	{OPT_VERIFY, "verify", NULL,
	 "disks: what was written is read back before it is acknowledged, and each read\n"
	 "compared with what was written; a driver that was wrong is ended"},
	{OPT_VERIFY_LOG, "verify-log", "SIZE",
	 "with --verify: how much of what was written last is kept for each disk, to be\n"
	 "written again where a driver has spoilt it (default: 16M)"},
	{OPT_ONE, "one-process", NULL,
	 "no keeper: the devices are driven by this process, for debuggers and profilers"},
	{OPT_CONFIG, "config", "FILE",
	 "settings that are not given here; NAME is /etc/outboard/NAME.conf"},
	{OPT_JSON, "json", "[=FILE]", "print one JSON document at the end (to FILE), errors too"},
	{'q', "quiet", NULL, "say nothing but errors"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "run",
	.synopsis = "SPEC... [OPTIONS] [-- COMMAND [ARG...]]\n"
		    "       outboard run --config FILE [OPTIONS] [-- COMMAND [ARG...]]",
	.about =
		"Drives devices in this process and attaches them to the system: a network card as a network\n"
		"interface, a disk as a block device. Serves until Ctrl-C, or while COMMAND runs, which finds\n"
		"what was attached in OUTBOARD_IF, OUTBOARD_DEV, OUTBOARD_DIR and OUTBOARD_URI (and _0, _1,\n"
		"... where there are several). Nothing is left behind. 'outboard specs' explains SPEC.",
	.options = options,
	.rest = true,
};

struct run {
	struct instance ins;
	struct serving serving;
	struct minder minder;
	struct control *control;
	bool kept; /* not --one-process */
	bool restart_given, sandbox_given;
	struct keeper keeper;
	pid_t pid; /* of the process that was started, the keeper where there is one */
	const char *json_file, *name;
	const char *drivers[UNITS], *attaches[UNITS];
	unsigned int nr_drivers, nr_attaches;
	bool file_devices, file_drivers,
		file_attaches;			 /* of the file; what is typed takes their place */
	bool each_driver, each_attach, each_cpu; /* the file has them for single devices */
	char file_name[NAME_SIZE];
	struct ob_driver_config config;
	int cpus[UNITS];
	unsigned int nr_cpus;
	int priority;
	int name_fd;
	bool json, quiet, private_mounts;
	FILE *say; /* where people read */
	struct json_object *state;
	struct ob_error err;
};

/* ---- the command line ---------------------------------------------------------------------- */

static bool parse_cpus(struct run *r, struct cli_args *args)
{
	const char *p = args->value;
	char *end;

	for (r->nr_cpus = 0;; p = end + 1) {
		long cpu = strtol(p, &end, 10);

		if (end == p || cpu < 0 || cpu >= 1024 || (*end && *end != ',') ||
		    r->nr_cpus == UNITS)
			break;
		r->cpus[r->nr_cpus++] = (int)cpu;
		if (!*end)
			return true;
	}
	args->exit_code = cli_bad(&usage, "option '--cpu': '%s' is not a list of CPUs, like 0,1",
				  args->value);
	return false;
}

static bool parse_irq(struct run *r, struct cli_args *args)
{
	static const struct {
		const char *name;
		enum ob_irq_kind kind;
	} kinds[] = {{"intx", OB_IRQ_INTX}, {"msi", OB_IRQ_MSI}, {"msix", OB_IRQ_MSIX}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(args->value, kinds[i].name)) {
			r->config.irq_kind = kinds[i].kind;
			return true;
		}
	}
	args->exit_code =
		cli_bad(&usage, "option '--irq': '%s' is none of intx, msi, msix", args->value);
	return false;
}

static bool add_text(struct cli_args *args, const char *option, const char **list, unsigned int *n)
{
	if (*n == UNITS) {
		args->exit_code = cli_bad(&usage, "%s '%s': at most %d can be given", option,
					  args->value, UNITS);
		return false;
	}
	list[(*n)++] = args->value;
	return true;
}

static bool parse_number(struct cli_args *args, const char *option, long max, unsigned int *val)
{
	long n;

	if (!cli_number(args, option, 1, max, &n))
		return false;
	*val = (unsigned int)n;
	return true;
}

static bool parse_option(struct run *r, struct cli_args *args, int opt)
{
	struct ob_error err = {0};

	if (opt == CLI_WORD && r->file_devices) {
		r->file_devices = r->file_drivers = r->file_attaches = false;
		r->ins.n = r->nr_drivers = r->nr_attaches = r->nr_cpus = 0;
	} else if (opt == 'd' && r->file_drivers) {
		r->file_drivers = false;
		r->nr_drivers = 0;
	} else if (opt == 'a' && r->file_attaches) {
		r->file_attaches = false;
		r->nr_attaches = 0;
	}
	switch (opt) {
	case CLI_WORD:
		if (r->ins.n == UNITS) {
			args->exit_code =
				cli_bad(&usage, "'%s': at most %d devices in one instance",
					args->value, UNITS);
			return false;
		}
		r->ins.unit[r->ins.n++].spec = args->value;
		return true;
	case 'd':
		return add_text(args, "--driver", r->drivers, &r->nr_drivers);
	case 'a':
		return add_text(args, "--attach", r->attaches, &r->nr_attaches);
	case OPT_MODE:
		if (!ob_mode_parse(args->value, &r->config.mode, &err))
			return true;
		args->exit_code = cli_error("run", &err);
		return false;
	case OPT_QUEUES:
		return parse_number(args, "--queues", 64, &r->config.queues);
	case OPT_DEPTH:
		return parse_number(args, "--depth", 65536, &r->config.depth);
	case OPT_IRQ:
		return parse_irq(r, args);
	case OPT_NAME:
		if (strlen(args->value) >= NAME_SIZE || !*args->value) {
			args->exit_code =
				cli_bad(&usage,
					"option '--name': '%s' is empty or longer than %d "
					"characters",
					args->value, NAME_SIZE - 1);
			return false;
		}
		r->name = args->value;
		return true;
	case OPT_PRIORITY:
		return parse_number(args, "--rt-priority", 99, (unsigned int *)&r->priority);
	case OPT_CPU:
		return parse_cpus(r, args);
	case OPT_PRIVATE:
		r->private_mounts = true;
		return true;
	case OPT_RESTART:
		r->restart_given = true;
		if (!restart_parse(args->value, &r->keeper.policy, &err))
			return true;
		args->exit_code = cli_error("run", &err);
		return false;
	case OPT_SANDBOX:
		r->sandbox_given = true;
		if (!confine_parse(args->value, &r->keeper.confine, &err))
			return true;
		args->exit_code = cli_error("run", &err);
		return false;
	case OPT_VERIFY:
		r->ins.verify.on = true;
		return true;
	case OPT_VERIFY_LOG:
		if (!verify_parse_log(args->value, &r->ins.verify, &err))
			return true;
		args->exit_code = cli_error("run", &err);
		return false;
	case OPT_ONE:
		r->kept = false;
		return true;
	case OPT_CONFIG:
		return true; /* read already */
	case OPT_JSON:
		r->json = true;
		r->json_file = args->value;
		return true;
	case 'q':
		r->quiet = true;
		return true;
	}
	return false;
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool file_option(void *arg, struct cli_args *args, int opt)
{
	return parse_option(arg, args, opt);
}

static bool file_device(void *arg, struct cli_args *args)
{
	return parse_option(arg, args, CLI_WORD);
}

/* A list with an entry for each device, NULL for those before that had none. */
static void put_of_device(struct run *r, const char **list, unsigned int *n, const char *value)
{
	while (*n < r->ins.n)
		list[(*n)++] = NULL;
	list[r->ins.n - 1] = value;
}

static bool file_of_device(void *arg, struct cli_args *args, const char *key)
{
	struct run *r = arg;
	long cpu;

	if (*key == 'd') {
		r->each_driver = true;
		put_of_device(r, r->drivers, &r->nr_drivers, args->value);
	} else if (*key == 'a') {
		r->each_attach = true;
		put_of_device(r, r->attaches, &r->nr_attaches, args->value);
	} else {
		if (!cli_number(args, "--cpu", 0, 1023, &cpu))
			return false;
		r->each_cpu = true;
		while (r->nr_cpus < r->ins.n)
			r->cpus[r->nr_cpus++] = -1;
		r->cpus[r->ins.n - 1] = (int)cpu;
	}
	return true;
}

static bool read_file(struct run *r, struct cli_args *args, const char *file)
{
	const struct run_config to = {.args = args,
				      .option = file_option,
				      .device = file_device,
				      .of_device = file_of_device,
				      .arg = r};
	char path[4096];

	run_config_path(file, path, sizeof(path), r->file_name, sizeof(r->file_name));
	if (!run_config_read(path, &to))
		return false;
	/* What the last devices do not say. One for all is given in [instance]. */
	while (r->each_driver && r->nr_drivers < r->ins.n)
		r->drivers[r->nr_drivers++] = NULL;
	while (r->each_attach && r->nr_attaches < r->ins.n)
		r->attaches[r->nr_attaches++] = NULL;
	while (r->each_cpu && r->nr_cpus < r->ins.n)
		r->cpus[r->nr_cpus++] = -1;
	r->file_devices = r->ins.n;
	r->file_drivers = r->nr_drivers;
	r->file_attaches = r->nr_attaches;
	return true;
}

/* Before the command line is taken, which goes before the file. Return: false: something is wrong, and was said. */
static bool find_file(struct run *r, struct cli_args *args)
{
	struct cli_args look = *args;
	const char *file = NULL;
	int opt;

	while ((opt = cli_next(&look)) != CLI_END) {
		if (opt == CLI_STOP) {
			args->exit_code = look.exit_code;
			return false;
		}
		if (opt == OPT_CONFIG && file) {
			args->exit_code = cli_bad(&usage, "option '--config' was given twice");
			return false;
		}
		if (opt == OPT_CONFIG)
			file = look.value;
	}
	return !file || read_file(r, args, file);
}

static int check_counts(struct run *r, unsigned int n, const char *option)
{
	if (n <= 1 || n == r->ins.n)
		return CLI_OK;
	return cli_bad(&usage,
		       "option '%s' was given %u times for %u devices; give it once, or once for "
		       "each",
		       option, n, r->ins.n);
}

/* Everything that can be said of the command line without touching a device. */
static int check_command_line(struct run *r, struct cli_args *args)
{
	static struct ob_spec spec; /* some kilobytes */
	int ret;

	if (args->rest && !*args->rest)
		return cli_bad(&usage, "a command is missing after '--'");
	if (!r->ins.n)
		return cli_bad(&usage, "which device? A SPEC is missing, e.g. qemu:nvme,null=1G");
	if (!r->kept && (r->restart_given || r->sandbox_given))
		return cli_bad(&usage, "option '--one-process' goes with neither --restart nor "
				       "--sandbox, which are for a second one");
	if (r->ins.verify.log && !r->ins.verify.on)
		return cli_bad(&usage, "option '--verify-log' goes with --verify");
	if (r->private_mounts && !args->rest)
		return cli_bad(&usage, "option '--private-mounts' is for a COMMAND, after '--'");
	ret = check_counts(r, r->nr_drivers, "--driver");
	if (!ret)
		ret = check_counts(r, r->nr_attaches, "--attach");
	if (!ret && r->nr_cpus > 1)
		ret = check_counts(r, r->nr_cpus, "--cpu");
	if (ret)
		return ret;
	for (unsigned int i = 0; i < r->ins.n; i++) {
		struct unit *unit = &r->ins.unit[i];
		size_t n = strlen(r->ins.name);

		if (ob_spec_parse(unit->spec, &spec, &r->err))
			return cli_error("run", &r->err);
		snprintf(r->ins.name + n, sizeof(r->ins.name) - n, "%s%s", i ? "+" : "",
			 spec.device.name);
		unit->config = r->config;
		unit->priority = r->priority;
		unit->cpu = r->nr_cpus ? r->cpus[r->nr_cpus > 1 ? i : 0] : -1;
		if (r->nr_attaches)
			unit->attach = r->attaches[r->nr_attaches > 1 ? i : 0];
		unit->driver_name = r->nr_drivers ? r->drivers[r->nr_drivers > 1 ? i : 0] : NULL;
		/* A keeper runs nothing of a driver's: the driver process loads it. */
		if (unit->driver_name && !r->kept &&
		    cli_driver(unit->driver_name, &unit->driver, &r->err))
			return cli_error("run", &r->err);
	}
	if (r->kept && !r->restart_given && restart_parse("on-failure", &r->keeper.policy, &r->err))
		return cli_error("run", &r->err);
	r->ins.attach_shared = r->nr_attaches == 1 && r->ins.n > 1;
	r->ins.mode = r->config.mode;
	r->ins.command = args->rest;
	if (!r->name && *r->file_name)
		r->name = r->file_name;
	if (r->name)
		snprintf(r->ins.name, sizeof(r->ins.name), "%s", r->name);
	return CLI_OK;
}

/* ---- saying what it is ----------------------------------------------------------------------- */

static void describe(const struct unit *unit, unsigned int i, char *text, size_t size)
{
	const struct ob_binding *b = unit->binding;
	struct ob_net *net = b->net;
	char bytes[16];

	if (b->chr && !net && !b->nr_blocks) {
		snprintf(text, size, "%s (driver %s)", ob_device_info(unit->dev)->name,
			 b->driver->name);
		return;
	}
	if (!net) {
		snprintf(text, size, "%s (%s, %s)", b->block[i]->name,
			 cli_size(bytes, b->block[i]->limits.size), b->block[i]->model);
		return;
	}
	snprintf(text, size, "%s (%02x:%02x:%02x:%02x:%02x:%02x, driver %s)",
		 ob_device_info(unit->dev)->name, net->mac[0], net->mac[1], net->mac[2],
		 net->mac[3], net->mac[4], net->mac[5], b->driver->name);
}

static void announce(struct run *r, FILE *f)
{
	char what[160];

	for (unsigned int i = 0; i < r->ins.n; i++) {
		struct unit *unit = &r->ins.unit[i];

		for (unsigned int k = 0; k < unit->nr_at; k++) {
			const struct ob_attach_info *info = &unit->info[k];

			describe(unit, k, what, sizeof(what));
			fprintf(f, "%s as %s%s%s through %s%s%s%s%s%s\n", cli_clean(what),
				cli_bold(r->say), info->name, cli_plain(r->say), info->kind,
				*info->detail ? " (" : "", info->detail, *info->detail ? ")" : "",
				*unit->why[k] ? ": " : "", unit->why[k]);
		}
	}
	fflush(f);
}

/* ---- COMMAND ----------------------------------------------------------------------------------- */

struct environment {
	char text[12288];
	size_t n;
	unsigned int ifs, devs, dirs, uris;
	int netns; /* of the first interface that has one of its own */
};

static void put_env(struct environment *e, const char *name, unsigned int index, const char *value)
{
	size_t left = sizeof(e->text) - e->n;
	int n;

	if (!index) {
		n = snprintf(e->text + e->n, left, "%s=%s", name, value);
		if (n < 0 || (size_t)n + 32 >= left)
			return;
		e->n += (size_t)n + 1;
		left -= (size_t)n + 1;
	}
	n = snprintf(e->text + e->n, left, "%s_%u=%s", name, index, value);
	if (n > 0 && (size_t)n + 32 < left)
		e->n += (size_t)n + 1;
}

static void fill_environment(struct run *r, struct environment *e)
{
	memset(e, 0, sizeof(*e));
	e->netns = -1;
	for (unsigned int i = 0; i < r->ins.n; i++) {
		struct unit *unit = &r->ins.unit[i];

		for (unsigned int k = 0; k < unit->nr_at; k++) {
			const char *name = unit->info[k].name;
			int netns = ob_attach_tap_netns_fd(unit->at[k]);

			if (unit->at[k]->ops->class_ == OB_CLASS_NET)
				put_env(e, "OUTBOARD_IF", e->ifs++, name);
			else if (!strcmp(unit->info[k].kind, "mount"))
				put_env(e, "OUTBOARD_DIR", e->dirs++, name);
			else
				put_env(e, "OUTBOARD_DEV", e->devs++, name);
			if (strstr(name, "://") || strstr(name, "+unix:"))
				put_env(e, "OUTBOARD_URI", e->uris++, name);
			if (e->netns < 0)
				e->netns = netns;
		}
	}
	e->n += (size_t)snprintf(e->text + e->n, sizeof(e->text) - e->n, "OUTBOARD_PID=%d",
				 r->pid) +
		1;
}

static int start_command(struct run *r, const struct environment *e, int *exit_code)
{
	struct ob_error err = {0};
	int ret;

	ret = minder_go(&r->minder, e->text, e->n, e->netns, exit_code, &err);
	if (ret) {
		r->err = err;
		if (*exit_code == CLI_NOCMD || *exit_code == CLI_NOEXEC)
			ob_error_set(&r->err, ret, "the command '%s' cannot be run: %s",
				     r->ins.command[0], strerror(-ret));
		return ret;
	}
	r->serving.minder = &r->minder;
	return 0;
}

static int command_code(const struct minder *m)
{
	if (WIFSIGNALED(m->status))
		return CLI_SIGNAL + WTERMSIG(m->status);
	return WEXITSTATUS(m->status);
}

/* ---- the run ------------------------------------------------------------------------------------- */

static int exit_code_of(const struct run *r)
{
	if (r->serving.ended == ENDED_GONE)
		return CLI_GONE;
	if (r->serving.ended == ENDED_FAILED)
		return CLI_FAILED;
	if (r->ins.command && r->minder.ended && command_code(&r->minder))
		return command_code(&r->minder);
	if (r->ins.command && !r->minder.ended)
		return CLI_SIGNAL + atomic_load(&r->serving.signo);
	return r->serving.forced ? CLI_BUSY : CLI_OK;
}

static void finish(struct run *r, int exit_code)
{
	struct json_object *doc = r->state ? r->state : json_object_new_object();
	const char *text;
	FILE *f = stdout;
	char time[16];

	if (r->state && !r->quiet) {
		struct json_object *kept = cli_get(r->state, "keeper");
		struct json_object *whole = kept ? kept : r->state;
		unsigned int processes = (unsigned int)cli_get_u64(kept, "generation");

		fprintf(r->say, "Served for %s",
			cli_seconds(time, cli_get_double(whole, "seconds")));
		if (processes > 1)
			fprintf(r->say, " by %u driver processes; of the last one", processes);
		fputs(processes > 1 ? ":\n" : ".\n", r->say);
		state_print_summary(r->state, r->say);
		fflush(r->say);
	}
	if (!r->json) {
		json_object_put(doc);
		return;
	}
	cli_put_u64(doc, "exit", (uint64_t)exit_code);
	if (r->serving.ended)
		cli_put_str(doc, "ended", ended_names[r->serving.ended]);
	if (r->minder.ended)
		cli_put_u64(doc, "command_exit", (uint64_t)command_code(&r->minder));
	if (r->err.code)
		json_object_object_add(doc, "error", cli_error_json(&r->err, exit_code));
	if (r->json_file)
		f = fopen(r->json_file, "we");
	text = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!f || fprintf(f, "%s\n", text) < 0)
		fprintf(stderr, "outboard run: option '--json=%s': %s\n",
			r->json_file ? r->json_file : "", strerror(errno));
	if (f && f != stdout)
		fclose(f);
	json_object_put(doc);
}

/* What failed before it served: a device that died meanwhile is the better reason. */
static int start_failed(struct run *r, bool opened)
{
	int exit_code = cli_exit_code(r->err.code);

	for (unsigned int i = 0; opened && i < r->ins.n; i++)
		if (ob_device_gone(r->ins.unit[i].dev))
			exit_code = CLI_GONE;
	return exit_code;
}

static const struct control_ops control_ops = {
	.answer = instance_answer,
	.stop = serving_stop,
};

static int serve_devices(struct run *r)
{
	struct instance *ins = &r->ins;
	int exit_code = CLI_OK, ret;
	struct environment e;

	atomic_store(&r->serving.begun, true);
	ret = instance_start(ins, &r->err);
	if (!ret)
		ret = control_start(ins->name, &control_ops, ins, &r->serving, &r->control,
				    &r->err);
	if (!ret)
		ret = instance_publish(ins, &r->err);
	if (!ret) {
		notify("READY=1");
		if (!r->quiet)
			announce(r, r->say);
		fill_environment(r, &e);
		/* One that was interrupted meanwhile does not begin. */
		if (ins->command && !atomic_load(&r->serving.signals))
			ret = start_command(r, &e, &exit_code);
	}
	if (!ret) {
		serve(&r->serving);
		if (r->serving.err.code)
			r->err = r->serving.err;
		exit_code = exit_code_of(r);
	} else {
		struct ob_error ignored;

		if (exit_code == CLI_OK)
			exit_code = start_failed(r, true);
		instance_unpublish(ins, true, &ignored);
		cli_error_line("run", &r->err);
	}
	serving_end(&r->serving);
	control_end(r->control);
	instance_stop(ins);
	if (!ret)
		r->state = instance_state(ins);
	return exit_code;
}

/* ---- with a keeper ------------------------------------------------------------------------------- */

/* In the driver process: what the keeper prints, and COMMAND's environment. */
static struct json_object *ready_document(void *arg, int *netns)
{
	struct json_object *doc = json_object_new_object(), *list;
	struct environment e;
	struct run *r = arg;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (f) {
		announce(r, f);
		fclose(f);
	}
	cli_put_str(doc, "announcement", text ? text : "");
	free(text);
	fill_environment(r, &e);
	list = cli_put_array(doc, "environment");
	for (size_t at = 0; at < e.n; at += strlen(e.text + at) + 1)
		json_object_array_add(list, json_object_new_string(e.text + at));
	*netns = e.netns;
	return doc;
}

static void take_environment(struct json_object *doc, struct environment *e)
{
	struct json_object *list = cli_get(doc, "environment");

	e->n = 0;
	for (size_t i = 0; list && i < cli_array_length(list); i++) {
		const char *entry = json_object_get_string(json_object_array_get_idx(list, i));
		size_t size = strlen(entry) + 1;

		if (size > sizeof(e->text) - e->n)
			return;
		memcpy(e->text + e->n, entry, size);
		e->n += size;
	}
}

/*
 * A device model answers when the machine lets its process run: on a busy one, a loop that waits for it is silent for longer than one at
 * hardware ever is.
 */
static void choose_heartbeat(struct run *r)
{
	struct restart_policy *p = &r->keeper.policy;

	for (unsigned int i = 0; i < r->ins.n && !p->heartbeat_given; i++)
		if (unit_is_embedded(&r->ins.unit[i]))
			p->heartbeat_ms = MODEL_HEARTBEAT_MS;
}

static int serve_kept(struct run *r)
{
	static const struct control_ops ops = {.answer = keep_answer, .stop = serving_stop};
	struct keeper *k = &r->keeper;
	struct json_object *doc;
	struct environment e;
	int exit_code, ret;

	k->ins = &r->ins;
	k->ready = ready_document;
	k->ready_arg = r;
	k->quiet = r->quiet;
	k->restart_given = r->restart_given;
	choose_heartbeat(r);
	k->begun = &r->serving.begun;
	k->ended = &r->serving.ended;
	ret = keep_start(k, &r->serving.signals, &doc, &e.netns, &exit_code, &r->err);
	if (!ret)
		ret = control_start(r->ins.name, &ops, k, &r->serving, &r->control, &r->err);
	if (!ret && !r->quiet) {
		fputs(cli_get_str(doc, "announcement"), r->say);
		fflush(r->say);
	}
	if (!ret && r->ins.command && !atomic_load(&r->serving.signals)) {
		take_environment(doc, &e);
		ret = start_command(r, &e, &exit_code);
	}
	json_object_put(doc);
	if (e.netns >= 0)
		close(e.netns);
	if (!ret) {
		serve(&r->serving);
		if (r->serving.err.code)
			r->err = r->serving.err;
		exit_code = exit_code_of(r);
		r->state = keep_finish(k);
	} else {
		if (ret == -EINTR)
			exit_code = CLI_SIGNAL + atomic_load(&r->serving.signo);
		else
			cli_error_line("run", &r->err);
	}
	serving_end(&r->serving);
	control_end(r->control);
	if (r->state)
		keep_put_state(k, r->state);
	keep_end(k);
	return exit_code;
}

static int claim_name(struct run *r)
{
	char name[NAME_SIZE + 16];
	int holder, ret;

	if (!r->name)
		return 0;
	snprintf(name, sizeof(name), "instance:%s", r->name);
	ret = ob_claim(name, &r->name_fd, &holder);
	if (ret == -EBUSY) {
		ob_error_set(&r->err, ret, "option '--name %s': an instance has this name already",
			     r->name);
		ob_error_why(&r->err, "it is PID %d", holder);
		ob_error_fix(&r->err, "outboard stop %s; or choose another name", r->name);
	} else if (ret) {
		ob_error_set(&r->err, ret, "option '--name %s': %s", r->name, strerror(-ret));
	}
	return ret;
}

static int run(struct run *r)
{
	const struct minder_options minding = {
		.command = r->ins.command,
		.private_mounts = r->private_mounts,
		.output_to_stderr = r->json && !r->json_file,
	};
	int exit_code, ret;

	ret = claim_name(r);
	/* Before anything that COMMAND is not to inherit. */
	if (!ret && r->ins.command)
		ret = minder_fork(&minding, &r->minder, &r->err);
	if (!ret)
		ret = r->kept ? serving_init(&r->serving, &keep_serving_ops, &r->keeper, r->quiet,
					     &r->err)
			      : serving_init(&r->serving, &instance_serving_ops, &r->ins, r->quiet,
					     &r->err);
	if (!ret && !r->kept)
		ret = instance_open(&r->ins, &r->err);
	if (!ret && r->kept) {
		exit_code = serve_kept(r);
	} else if (!ret) {
		exit_code = serve_devices(r);
		instance_close(&r->ins);
	} else {
		exit_code = start_failed(r, false);
		cli_error_line("run", &r->err);
	}
	minder_end(&r->minder);
	finish(r, exit_code);
	return exit_code;
}

int cmd_run(int argc, char **argv)
{
	/* As long-lived as the process: the thread that takes signals uses it to the end. */
	static struct run the_run;
	struct run *r = &the_run;
	struct cli_args args;
	int opt, ret;

	notify_open();
	r->minder.sock = -1;
	r->name_fd = -1;
	r->ins.verify.fd = -1;
	r->pid = getpid();
	r->kept = true;
	cli_args_init(&args, &usage, argc, argv);
	if (!find_file(r, &args))
		return args.exit_code;
	while ((opt = cli_next(&args)) != CLI_END)
		if (opt == CLI_STOP || !parse_option(r, &args, opt))
			return args.exit_code;
	ret = check_command_line(r, &args);
	if (ret)
		return ret;
	/* Standard output belongs to COMMAND, or to the JSON document, where there is one. */
	r->say = args.rest || r->json ? stderr : stdout;
	return run(r);
}
