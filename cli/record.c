/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard record: writes down what a driver and its device say to each other, shows it, and plays it to a driver. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "access/record/recording.h"
#include "access/record/replay.h"
#include "cli/cli.h"
#include "cli/open_one.h"

enum {
	LINES = 64,
	LINE = 640,
	OPT_DRIVER = CLI_LONG,
	OPT_MODE,
	OPT_DEPTH,
	OPT_QUEUES,
	OPT_PRINT,
	OPT_REPLAY,
};

static const struct cli_option options[] = {
	{OPT_DRIVER, "driver", "NAME", "use this driver: a name, or the path of a shared object"},
	{OPT_MODE, "mode", "MODE", "adaptive (default), poll or interrupt"},
	{OPT_DEPTH, "depth", "N", "entries of each ring or queue (default: the driver's choice)"},
	{OPT_QUEUES, "queues", "N", "queues (default: the driver's choice)"},
	{OPT_PRINT, "print", NULL, "show what FILE holds, a line for each record"},
	{OPT_REPLAY, "replay", NULL, "play FILE to the driver, without the device"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "record",
	.synopsis = "SPEC FILE [-- COMMAND...] | --replay FILE | --print FILE",
	.about =
		"Records into FILE what a driver and its device say to each other, while the driver tests the device or,\n"
		"with a COMMAND, while the device is attached as `outboard run` does it. With --replay the driver tests the\n"
		"recorded device and must do what it did then; where it departs is told.",
	.options = options,
	.rest = true,
};

/* ---- with a driver ----------------------------------------------------------------------- */

struct tested {
	unsigned int passed, failed, skipped;
	char first[256]; /* the first that failed */
};

static int test(struct ob_binding *b, struct tested *t, struct ob_error *err)
{
	struct ob_selftest_line lines[LINES];
	int n;

	memset(lines, 0, sizeof(lines));
	if (!b->driver->selftest)
		return ob_error_set(err, -EOPNOTSUPP, "driver %s has no self-test",
				    b->driver->name);
	cli_progress("%s: testing", ob_device_info(b->dev)->name);
	n = b->driver->selftest(b, lines, LINES);
	cli_progress_end();
	for (int i = 0; i < n && i < LINES; i++) {
		t->passed += !lines[i].result;
		t->skipped += lines[i].result > 0;
		if (lines[i].result < 0 && !t->failed++)
			snprintf(t->first, sizeof(t->first), "%s: %s%s%s", lines[i].name,
				 strerror(-lines[i].result), *lines[i].detail ? ", " : "",
				 lines[i].detail);
	}
	return 0;
}

static void put_tested(struct json_object *doc, const struct tested *t)
{
	cli_put_u64(doc, "passed", t->passed);
	cli_put_u64(doc, "failed", t->failed);
	cli_put_u64(doc, "skipped", t->skipped);
}

/* Commas are doubled in a specification; nothing can stand for a bracket. */
static int wrapped(const char *spec, const char *file, char *text, size_t size,
		   struct ob_error *err)
{
	size_t n = (size_t)snprintf(text, size, "record[file=");

	if (strchr(file, ']'))
		return ob_error_set(err, -EINVAL, "'%s' cannot be recorded to: its name has a ']'",
				    file);
	for (const char *c = file; *c && n + 3 < size; c++) {
		text[n++] = *c;
		if (*c == ',')
			text[n++] = ',';
	}
	if (n + 3 + strlen(spec) >= size)
		return ob_error_set(err, -ENAMETOOLONG, "'%s' and '%s' are too long together", spec,
				    file);
	snprintf(text + n, size - n, "]:%s", spec);
	return 0;
}

static int record(const char *spec, const char *file, const char *driver,
		  const struct ob_driver_config *config)
{
	char text[OB_SPEC_TEXT], name[64], driver_name[64], size[16], count[16];
	struct recording *rec = NULL;
	struct ob_error err = {0};
	struct tested t = {0};
	struct ob_binding *b;
	struct stat st = {0};
	bool gone;
	int ret;

	ret = wrapped(spec, file, text, sizeof(text), &err);
	if (!ret)
		ret = open_one(text, driver, config, &b, &err);
	if (ret)
		return cli_error("record", &err);
	ret = test(b, &t, &err);
	gone = ob_device_gone(b->dev);
	snprintf(name, sizeof(name), "%s", ob_device_info(b->dev)->name);
	snprintf(driver_name, sizeof(driver_name), "%s", b->driver->name);
	close_one(b);
	if (!ret)
		ret = recording_open(file, &rec, &err);
	if (ret)
		return cli_error("record", &err);
	stat(file, &st);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();

		cli_put_str(doc, "device", recording_info(rec)->name);
		cli_put_str(doc, "driver", driver_name);
		cli_put_str(doc, "file", file);
		cli_put_u64(doc, "records", recording_length(rec));
		cli_put_u64(doc, "bytes", (uint64_t)st.st_size);
		put_tested(doc, &t);
		cli_print_json(doc);
	} else {
		printf("%s, driver %s: %s records, %s in %s; of its tests %u passed, %u failed, %u skipped\n",
		       recording_info(rec)->name, driver_name,
		       cli_count(count, recording_length(rec)),
		       cli_size(size, (uint64_t)st.st_size), file, t.passed, t.failed, t.skipped);
		if (t.failed)
			printf("%s\n", cli_clean(t.first));
	}
	recording_free(rec);
	return gone ? CLI_GONE : t.failed ? CLI_FAILED : CLI_OK;
}

/* As `outboard run record[file=FILE]:SPEC -- COMMAND...`, whose exit code it has. */
static int record_run(const char *spec, const char *file, const char *driver, char **command)
{
	static char run[] = "run", dashes[] = "--", opt[] = "--driver";
	char text[OB_SPEC_TEXT], *argv[64], *of;
	struct ob_error err = {0};
	int argc = 0, ret;

	if (wrapped(spec, file, text, sizeof(text), &err))
		return cli_error("record", &err);
	argv[argc++] = run;
	argv[argc++] = text;
	of = driver ? strdup(driver) : NULL;
	if (of) {
		argv[argc++] = opt;
		argv[argc++] = of;
	}
	argv[argc++] = dashes;
	while (*command && argc < 63)
		argv[argc++] = *command++;
	if (*command) {
		free(of);
		return cli_bad(&usage, "more than %d words of a command; put them into a script",
			       58);
	}
	argv[argc] = NULL;
	ret = cmd_run(argc, argv);
	free(of);
	return ret;
}

static int replay(const char *file, const char *driver, const struct ob_driver_config *config)
{
	struct ob_replay_result result = {0};
	struct ob_error err = {0}, departure = {0};
	char spec[OB_SPEC_TEXT], name[64], driver_name[64];
	const struct ob_driver *d = NULL;
	struct ob_binding *b = NULL;
	struct ob_device *dev;
	struct tested t = {0};
	const char *one = spec;
	int ret;

	if ((size_t)snprintf(spec, sizeof(spec), "replay:%s", file) >= sizeof(spec))
		return cli_bad(&usage, "'%s' is too long a name", file);
	ret = driver ? cli_driver(driver, &d, &err) : 0;
	if (!ret)
		ret = ob_devices_open(&one, 1, &dev, &err);
	if (ret)
		return cli_error("record", &err);
	ret = ob_driver_bind(dev, d, config, &b, &err);
	if (!ret) {
		snprintf(driver_name, sizeof(driver_name), "%s", b->driver->name);
		ret = test(b, &t, &err);
		ob_driver_unbind(b);
	}
	snprintf(name, sizeof(name), "%s", ob_device_info(dev)->name);
	ob_replay_result(dev, &result);
	if (result.departed || (!ret && !result.ended)) {
		ob_error_set(&departure, -EBADE,
			     "%s: the driver departs from the recording at record %" PRIu64
			     " of %" PRIu64,
			     name, result.record, result.records);
		ob_error_why(&departure, "%s", cli_clean(result.text));
	}
	ob_device_close(dev);
	if (departure.code) {
		cli_error("record", &departure);
		return CLI_FAILED;
	}
	if (ret)
		return cli_error("record", &err);
	if (cli_json()) {
		struct json_object *doc = json_object_new_object();

		cli_put_str(doc, "device", name);
		cli_put_str(doc, "driver", driver_name);
		cli_put_str(doc, "file", file);
		cli_put_u64(doc, "records", result.records);
		put_tested(doc, &t);
		cli_print_json(doc);
	} else {
		printf("%s, driver %s: as in the recording, %" PRIu64
		       " records; of its tests %u passed, %u failed, %u skipped\n",
		       name, driver_name, result.records, t.passed, t.failed, t.skipped);
		if (t.failed)
			printf("%s\n", cli_clean(t.first));
	}
	return t.failed ? CLI_FAILED : CLI_OK;
}

/* ---- without ------------------------------------------------------------------------------ */

static int print(const char *file)
{
	struct record_places places = {0};
	struct json_object *doc, *list = NULL;
	struct ob_error err = {0};
	struct recording *rec;
	struct record r;
	char line[LINE];

	if (recording_open(file, &rec, &err))
		return cli_error("record", &err);
	if (cli_json()) {
		doc = json_object_new_object();
		cli_put_str(doc, "device", recording_info(rec)->name);
		cli_put_str(doc, "spec", recording_info(rec)->spec);
		cli_put_u64(doc, "when", recording_info(rec)->when);
		list = cli_put_array(doc, "records");
	}
	for (uint64_t i = 0; i < recording_length(rec); i++) {
		recording_get(rec, i, &r);
		record_places_see(&places, &r);
		record_text(&r, recording_info(rec), &places, line, sizeof(line));
		if (list) {
			struct json_object *o = json_object_new_object();

			cli_put_u64(o, "number", i);
			cli_put_u64(o, "us", r.us);
			cli_put_str(o, "kind", record_kind_name(r.kind));
			cli_put_str(o, "text", line);
			json_object_array_add(list, o);
		} else {
			printf("%7" PRIu64 " %4" PRIu64 ".%06" PRIu64 "  %s\n", i, r.us / 1000000,
			       r.us % 1000000, line);
		}
	}
	if (list)
		cli_print_json(doc);
	record_places_free(&places);
	recording_free(rec);
	return CLI_OK;
}

int cmd_record(int argc, char **argv)
{
	struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	const char *word[2] = {NULL, NULL}, *driver = NULL;
	bool do_print = false, do_replay = false;
	unsigned int words = 0;
	struct ob_error err = {0};
	struct cli_args args;
	long number;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_WORD:
			if (words == 2)
				return cli_bad(&usage, "a SPEC and a FILE, not '%s', too",
					       args.value);
			word[words++] = args.value;
			break;
		case OPT_DRIVER:
			driver = args.value;
			break;
		case OPT_MODE:
			if (ob_mode_parse(args.value, &config.mode, &err))
				return cli_error("record", &err);
			break;
		case OPT_DEPTH:
			if (!cli_number(&args, "--depth", 1, 65536, &number))
				return args.exit_code;
			config.depth = (unsigned int)number;
			break;
		case OPT_QUEUES:
			if (!cli_number(&args, "--queues", 1, 64, &number))
				return args.exit_code;
			config.queues = (unsigned int)number;
			break;
		case OPT_PRINT:
			do_print = true;
			break;
		case OPT_REPLAY:
			do_replay = true;
			break;
		default:
			return args.exit_code;
		}
	}
	if (do_print && do_replay)
		return cli_bad(&usage, "--print or --replay, not both");
	if (do_print || do_replay) {
		if (words != 1 || args.rest)
			return cli_bad(&usage, "a FILE and nothing else goes with --%s",
				       do_print ? "print" : "replay");
		return do_print ? print(word[0]) : replay(word[0], driver, &config);
	}
	if (words != 2)
		return cli_bad(&usage, words ? "where to? A FILE is missing, e.g. nvme.rec"
					     : "which device? A SPEC is missing, e.g. qemu:edu");
	if (!cli_is_spec(word[0]) && strspn(word[0], "0123456789abcdefABCDEF:.") != strlen(word[0]))
		return cli_bad(&usage, "'%s' is no device; the SPEC comes first, then the FILE",
			       word[0]);
	if (args.rest)
		return record_run(word[0], word[1], driver, args.rest);
	return record(word[0], word[1], driver, &config);
}
