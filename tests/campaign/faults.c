/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * faults: faults in a driver below a keeper, one after the other, and a client that judges (--help for the options; docs/fault-injection.md).
 *
 * Each shard is an instance (`outboard run --restart`) whose driver is faulty.so and whose COMMAND is this program. It places fault after fault in the
 * driver process: in the driver's code (mutations.h), at a fault point, in the device (fault[...]); before the driver touches the device, or while it serves.
 * Under each it writes, reads, flushes and zeroes. A fault that was not reached is taken out, and the next one placed. One that was
 * reached has its process: when the keeper has not replaced it, it is killed, and the next process, without a fault, reads all back. What
 * was placed, reached, detected and by what, and what the client saw, is one line in a file. Same seed, same faults; a folder that has such files is gone on with.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/campaign/faults.h"
#include "tests/campaign/mutations.h"

enum {
	/* Of a request: a driver that gives one up does so while the campaign still waits for it. */
	TIMEOUT_MS = 300,
	SHARDS = 16,
	/* Instances of a shard that end before their first fault. */
	VAIN = 3,
};

struct campaign o = {.seed = 1,
		     .count = 1000,
		     .shards = 2,
		     .device = "nvme",
		     .git = "unknown",
		     .patience_ms = 2000};

static struct seat *seat;
static struct object *object;
static FILE *results;
static int said_fd;
static char device_options[64];

/* ---- the plan: a function of seed and number --------------------------------------------------------- */

/* Of the library and of the driver; not those of other drivers and of real hardware. */
struct points {
	const char *name[128];
	bool can_fail[128];
	unsigned int n;
};

static int take_point(void *arg, const struct ob_fault_point *point)
{
	static const char *const library[] = {"block.", "device.", "dma.",  "irq.",
					      "loop.",	"net.",	   "qtest."};
	struct points *all = arg;
	bool ours = !strncmp(point->name, o.device, strlen(o.device)) &&
		    point->name[strlen(o.device)] == '.';

	for (size_t i = 0; i < sizeof(library) / sizeof(library[0]); i++)
		ours = ours || !strncmp(point->name, library[i], strlen(library[i]));
	if (ours && all->n < 128) {
		all->name[all->n] = point->name;
		all->can_fail[all->n++] = point->can_fail;
	}
	return 0;
}

static void plan_point(struct fault *f, uint64_t *rng)
{
	static const char *const actions[] = {"segv",	  "abort", "ill",    "stack",
					      "exit",	  "kill",  "spin",   "stop",
					      "deadlock", "leak",  "corrupt"};
	static const char *const errors[] = {"enomem", "eintr", "eagain", "eio", "enodev"};
	static struct points all;
	unsigned int i, a;

	if (!all.n)
		ob_fault_points_each(take_point, &all);
	i = (unsigned int)(next_random(rng) % all.n);
	a = (unsigned int)(next_random(rng) % (all.can_fail[i] ? 16 : 11));
	f->class_ = a < 11 ? actions[a] : errors[a - 11];
	snprintf(f->points, sizeof(f->points), "seed=%llu,%s=%s@%u",
		 (unsigned long long)(next_random(rng) % 1000000), all.name[i], f->class_,
		 1u << next_random(rng) % 7);
}

static void plan(uint64_t number, struct fault *f)
{
	static const char *const kinds[] = {"read",	  "ones",      "write",	  "config",
					    "dma-memory", "interrupt", "spurious"};
	uint64_t rng = ((o.seed * 0x9e3779b97f4a7c15ull) ^ (number * 0xd1b54a32d192ed03ull)) | 1;
	unsigned int family;

	for (int i = 0; i < 4; i++)
		next_random(&rng); /* neighbours are to have nothing in common */
	family = (unsigned int)(next_random(&rng) % 10);
	memset(f, 0, sizeof(*f));
	f->number = number;
	f->at_load = next_random(&rng) % 2 == 0;
	f->family = family < 7 ? CODE : family < 9 ? POINT : DEVICE;
	switch (f->family) {
	case CODE:
		object_mutation(object, o.seed, number, &f->mutation);
		f->class_ = kind_names[f->mutation.kind];
		break;
	case POINT:
		plan_point(f, &rng);
		break;
	default:
		f->kind = (unsigned int)(next_random(&rng) % FAULT_GONE);
		f->at = 1ull << next_random(&rng) % 6;
		f->class_ = kinds[f->kind];
	}
}

/* ---- the seat -------------------------------------------------------------------------------------------- */

static void fill_seat(const struct fault *f)
{
	seat->family = f->family;
	atomic_store(&seat->struck, 0);
	atomic_store(&seat->trial, f->number);
	if (f->family == CODE) {
		seat->va = f->mutation.va;
		seat->size = f->mutation.size;
		memcpy(seat->was, f->mutation.was, INSN_MAX);
		memcpy(seat->is, f->mutation.is, INSN_MAX);
	} else if (f->family == POINT) {
		snprintf(seat->points, sizeof(seat->points), "%s", f->points);
	} else {
		seat->kind = f->kind;
		seat->at = f->at;
	}
}

/* Have the driver process see to the seat. Return: it has */
static bool call_driver(void)
{
	uint32_t word = atomic_fetch_add(&seat->word, 1) + 1, done;
	uint64_t until = now_ns() + NS;

	syscall(SYS_futex, &seat->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	while ((done = atomic_load(&seat->done)) != word) {
		const struct timespec ts = {.tv_nsec = 20000000};

		if (now_ns() > until)
			return false;
		syscall(SYS_futex, &seat->done, FUTEX_WAIT, done, &ts, NULL, 0);
	}
	return true;
}

/* ---- what the keeper says ---------------------------------------------------------------------------------- */

/* How a line of the keeper's tells of a death. */
static const struct {
	const char *text;
	enum detected by;
} causes[] = {
	{"its driver was wrong", BY_DATA},
	{"it was ended by signal", BY_SIGNAL},
	{"it exited with", BY_EXIT},
	{"it was not ready", BY_START},
	{"it hung", BY_HEARTBEAT},
	{"has not been answered for", BY_AGE},
	{"none is sent", BY_AGE},
	{"IOMMU", BY_IOMMU},
	{"died: ", BY_ERROR}, /* what it said itself */
};

/* Since it was asked last: the first death, and whether a fault point struck. */
static void hear(struct outcome *out)
{
	static char text[1 << 16];
	ssize_t n;

	while ((n = read(said_fd, text, sizeof(text) - 1)) > 0) {
		char *line = text, *end;

		text[n] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			if (strstr(line, "outboard: fault point "))
				out->struck = true;
			if (!strstr(line, " died: ") || out->by)
				continue;
			for (size_t i = 0; !out->by; i++)
				if (strstr(line, causes[i].text))
					out->by = causes[i].by;
		}
		/* A line may be on its way. */
		if (*line && lseek(said_fd, -(off_t)strlen(line), SEEK_CUR) < 0)
			return;
		if (*line)
			pause_ms(1);
	}
}

/* ---- one fault ----------------------------------------------------------------------------------------------- */

static bool wait_process(uint32_t processes)
{
	uint64_t until = now_ns() + 30 * NS;

	while (atomic_load(&seat->processes) == processes && now_ns() < until) {
		const struct timespec ts = {.tv_nsec = 200000};

		nanosleep(&ts, NULL);
	}
	return atomic_load(&seat->processes) != processes;
}

/* As an operator would. Return: another process begins */
static bool replace(void)
{
	uint32_t processes = atomic_load(&seat->processes);
	pid_t pid = driver_process_of(o.keeper);

	if (pid > 0)
		kill(pid, SIGKILL);
	return wait_process(processes);
}

static bool was_reached(const struct fault *f, const struct outcome *out)
{
	if (f->family == CODE)
		return atomic_load(&seat->state) == SEAT_REACHED;
	return f->family == POINT ? out->struck : atomic_load(&seat->struck) != 0;
}

/* Return: false when it cannot be placed. */
static bool place(const struct fault *f)
{
	uint64_t until = now_ns() + 20 * NS;

	fill_seat(f);
	atomic_store(&seat->state, f->at_load ? SEAT_PENDING : SEAT_ASKED);
	if (!f->at_load)
		return call_driver() && atomic_load(&seat->state) != SEAT_REFUSED;
	if (!replace())
		return false;
	while (atomic_load(&seat->state) == SEAT_PENDING && now_ns() < until)
		pause_ms(1);
	return atomic_load(&seat->state) != SEAT_PENDING &&
	       atomic_load(&seat->state) != SEAT_REFUSED;
}

/* One that was not reached. Return: false when it was, after all */
static bool withdraw(const struct fault *f)
{
	uint32_t state = SEAT_PLACED;

	return atomic_compare_exchange_strong(&seat->state, &state, SEAT_WITHDRAWN) &&
	       call_driver() && (f->family != DEVICE || !atomic_load(&seat->struck));
}

/* Return: the instance can go on. */
static bool try_fault(const struct fault *f, struct outcome *out)
{
	struct outcome later = {0};
	bool died;

	memset(out, 0, sizeof(*out));
	out->injected = place(f);
	if (f->at_load)
		hear(&later); /* of the process that was ended for it */
	if (later.struck)
		out->struck = true;
	o.client->work(out);
	died = out->injected && atomic_load(&seat->processes) != atomic_load(&seat->holder);
	if (died || out->late)
		hear(out);
	out->reached = was_reached(f, out);
	if (!out->reached && !died && !out->late && !out->errors && out->injected && withdraw(f)) {
		/* A point may have been passed since. */
		hear(out);
		out->reached = was_reached(f, out);
		if (!out->reached)
			return true;
	}
	atomic_store(&seat->state, SEAT_EMPTY);
	/* Whoever has had a fault does not go on. */
	if (!died && !replace()) {
		fprintf(stderr, "faults: no other process begins\n");
		return false;
	}
	if (!o.client->check(out))
		return false;
	hear(&later);
	return true;
}

static const char *const by_names[] = {
	[BY_NOTHING] = "-",	[BY_EXIT] = "exit",
	[BY_SIGNAL] = "signal", [BY_HEARTBEAT] = "heartbeat",
	[BY_START] = "start",	[BY_ERROR] = "error",
	[BY_AGE] = "age",	[BY_IOMMU] = "iommu",
	[BY_DATA] = "data",
};
static const char *const family_names[FAMILIES] = {"code", "point", "device"};

/* The worst that came of it. */
static const char *verdict(const struct outcome *out)
{
	if (!out->injected)
		return "refused";
	if (out->lost)
		return "lost";
	if (out->wrong)
		return "wrong";
	if (out->late)
		return "late";
	if (out->errors)
		return "client";
	if (!out->reached)
		return out->by ? "spurious" : "untouched";
	return out->by ? "recovered" : "unnoticed";
}

static void record(const struct fault *f, const struct outcome *out, const char *how)
{
	fprintf(results, "%llu %s %s %s %d %s %s", (unsigned long long)f->number,
		family_names[f->family], f->class_, f->at_load ? "load" : "serving", out->reached,
		by_names[out->by], how);
	if (f->family == CODE)
		fprintf(results, " %s+0x%llx\n", f->mutation.function,
			(unsigned long long)f->mutation.offset);
	else if (f->family == POINT)
		fprintf(results, " %s\n", f->points);
	else
		fprintf(results, " @%llu\n", (unsigned long long)f->at);
	fflush(results);
}

/* ---- a shard, as COMMAND of its instance ----------------------------------------------------------------- */

static void path_of(char *path, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s-%u", o.dir, name, o.shard);
}

static bool open_files(void)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, "seat");
	fd = open(path, O_RDWR | O_CLOEXEC);
	seat = fd < 0 ? MAP_FAILED
		      : mmap(NULL, sizeof(*seat), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	path_of(path, "said");
	said_fd = open(path, O_RDONLY | O_CLOEXEC);
	path_of(path, "results");
	results = fopen(path, "ae");
	return seat != MAP_FAILED && said_fd >= 0 && results && lseek(said_fd, 0, SEEK_END) >= 0;
}

static int work(uint64_t first)
{
	struct outcome out;
	struct fault f;

	if (!open_files() || !o.client->begin()) {
		fprintf(stderr, "faults: the shard cannot begin\n");
		return 2;
	}
	object = object_load(seat->victim, o.only ? o.only : "*");
	for (uint64_t n = first; n < o.count; n += o.shards) {
		bool goes_on;

		if (seat->until_ns && now_ns() > seat->until_ns)
			break;
		plan(n, &f);
		goes_on = try_fault(&f, &out);
		record(&f, &out, goes_on ? verdict(&out) : "ended");
		if (!goes_on)
			return 3;
	}
	return 0;
}

/* ---- the campaign -------------------------------------------------------------------------------------------- */

/* Faults of a shard that are done: its next one. */
static uint64_t next_number(unsigned int shard)
{
	uint64_t next = shard;
	char path[PATH_MAX], line[512];
	FILE *f;

	o.shard = shard;
	path_of(path, "results");
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		next = strtoull(line, NULL, 10) + o.shards;
	if (f)
		fclose(f);
	return next;
}

static bool make_seat(void)
{
	struct seat *s;
	char path[PATH_MAX];
	int fd;

	path_of(path, "seat");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*s)))
		return false;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (s == MAP_FAILED)
		return false;
	snprintf(s->victim, sizeof(s->victim), "%s", o.victim);
	s->timeout_ms = TIMEOUT_MS;
	s->until_ns = o.until_ns;
	munmap(s, sizeof(*s));
	setenv(SEAT_VARIABLE, path, 1);
	return true;
}

static void append(char *text, const char *format, const char *value)
{
	size_t n = strlen(text);

	snprintf(text + n, 2 * PATH_MAX - n, format, value);
}

/* Becomes `outboard run`. */
static void become_instance(uint64_t first, char **argv)
{
	char spec[2 * PATH_MAX], attach[PATH_MAX + 16], path[PATH_MAX], number[3][24];
	const char *args[64] = {o.outboard, "run",	 "-q",	      spec,	   "--attach",
				attach,	    "--driver",	 o.faulty,    "--restart", o.policy,
				"--mode",   "interrupt", "--sandbox", "off"};
	/*
	 * Interrupts: eight instances that poll while they wait would take the processors from each other. And faulty.so changes code, for which
	 * the sandbox ends a process.
	 */
	int n = 14, fd;

	*spec = '\0';
	path_of(path, "disk");
	append(spec, "fault[irq=1/100000000]:qemu:%s", o.client->model);
	if (o.client->disk) {
		append(spec, ",cache=unsafe,file=%s", path);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, 16 << 20))
			_exit(2);
		close(fd);
		path_of(path, "socket");
		snprintf(attach, sizeof(attach), "nbd,socket=%s", path);
	} else {
		append(spec, "%s", device_options);
		snprintf(attach, sizeof(attach), "tap,netns=new");
	}
	path_of(path, "said");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(2);
	snprintf(number[0], sizeof(number[0]), "%u", o.shard);
	snprintf(number[1], sizeof(number[1]), "%llu", (unsigned long long)first);
	if (o.verify)
		args[n++] = "--verify";
	args[n++] = "--";
	args[n++] = argv[0];
	args[n++] = "--shard";
	args[n++] = number[0];
	args[n++] = "--first";
	args[n++] = number[1];
	for (int i = 1; argv[i] && n < 63; i++)
		args[n++] = argv[i];
	execv(o.outboard, (char *const *)args);
	_exit(127);
}

/* An instance that ended by itself: its fault is that of this. */
static void note_end(uint64_t first)
{
	struct outcome out = {.injected = true, .reached = true};
	struct fault f;

	if (!open_files())
		return;
	/* Nothing was placed, or what was is written. */
	if (atomic_load(&seat->trial) < first || atomic_load(&seat->trial) < next_number(o.shard))
		return;
	plan(atomic_load(&seat->trial), &f);
	record(&f, &out, "ended");
	fclose(results);
}

/* Instance after instance, until all is done. */
static int run_shard(unsigned int shard, char **argv)
{
	unsigned int vain = 0;
	int status = 0;

	o.shard = shard;
	if (o.client->prepare && !o.client->prepare(device_options, sizeof(device_options)))
		return 2;
	for (;;) {
		uint64_t first = next_number(shard);
		pid_t pid;

		if (first >= o.count)
			return 0;
		if (!make_seat())
			return 2;
		pid = fork();
		if (!pid)
			become_instance(first, argv);
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 2;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return 0;
		/* 3: what ended it is written already. */
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
			note_end(first);
		vain = next_number(shard) == first ? vain + 1 : 0;
		if (vain == VAIN)
			return 2;
	}
}

static int run_all(char **argv)
{
	int ret = 0, status;
	pid_t pid;

	object = object_load(o.victim, o.only ? o.only : "*");
	for (unsigned int s = 0; s < o.shards; s++) {
		pid = fork();
		if (!pid)
			exit(run_shard(s, argv));
	}
	while ((pid = wait(&status)) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			ret = 2;
	if (ret)
		fprintf(stderr, "faults: a shard cannot run; see the files said-* in %s\n", o.dir);
	return ret;
}

/* ---- what came of it --------------------------------------------------------------------------------------- */

/* Columns of the table, by the words in the files. */
static const char *const columns[] = {"injected",  "reached",	"exit",	    "signal", "heartbeat",
				      "start",	   "error",	"age",	    "iommu",  "data",
				      "unnoticed", "recovered", "client",   "late",   "wrong",
				      "lost",	   "ended",	"spurious", "refused"};
enum {
	COLUMNS = sizeof(columns) / sizeof(columns[0]),
	ROWS = 64,
};

struct row {
	char name[48];
	uint64_t n[COLUMNS];
};

static struct row rows[ROWS];
static unsigned int nr_rows;

static void count(const char *name, const char *word)
{
	unsigned int r = 0;

	while (r < nr_rows && strcmp(rows[r].name, name))
		r++;
	if (r == ROWS)
		return;
	if (r == nr_rows)
		snprintf(rows[nr_rows++].name, sizeof(rows[r].name), "%s", name);
	for (unsigned int c = 0; c < COLUMNS; c++)
		if (!strcmp(columns[c], word))
			rows[r].n[c]++;
}

static void count_line(const char *line)
{
	char family[16], class_[32], when[16], by[16], how[16], name[64];
	int reached;

	if (sscanf(line, "%*s %15s %31s %15s %d %15s %15s", family, class_, when, &reached, by,
		   how) != 6)
		return;
	snprintf(name, sizeof(name), "%s.%s", family, class_);
	for (unsigned int all = 0; all < 3; all++) {
		const char *row = all == 0 ? name : all == 1 ? family : "all";

		if (strcmp(how, "refused"))
			count(row, "injected");
		if (reached) {
			count(row, "reached");
			count(row, by);
		}
		count(row, how);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void summarize(void)
{
	char path[PATH_MAX], line[512];
	FILE *f, *json;

	for (unsigned int s = 0; s < o.shards; s++) {
		o.shard = s;
		path_of(path, "results");
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			count_line(line);
		if (f)
			fclose(f);
	}
	qsort(rows, nr_rows, sizeof(rows[0]), by_name);
	printf("%-18s", "class");
	for (unsigned int c = 0; c < COLUMNS; c++)
		printf(" %9s", columns[c]);
	for (unsigned int r = 0; r < nr_rows; r++) {
		printf("\n%-18s", rows[r].name);
		for (unsigned int c = 0; c < COLUMNS; c++)
			printf(" %9llu", (unsigned long long)rows[r].n[c]);
	}
	printf("\n");
	json = o.json ? fopen(o.json, "we") : NULL;
	if (!json)
		return;
	fprintf(json,
		"{\"campaign\":\"faults\",\"device\":\"%s\",\"verify\":%s,\"seed\":%llu,\"shards\":%u,\"git\":\"%s\",\"kernel\":\"%s\",\"policy\":\"%s\",\"rows\":{",
		o.device, o.verify ? "true" : "false", (unsigned long long)o.seed, o.shards, o.git,
		o.kernel, o.policy);
	for (unsigned int r = 0; r < nr_rows; r++) {
		fprintf(json, "%s\"%s\":{", r ? "," : "", rows[r].name);
		for (unsigned int c = 0; c < COLUMNS; c++)
			fprintf(json, "%s\"%s\":%llu", c ? "," : "", columns[c],
				(unsigned long long)rows[r].n[c]);
		fprintf(json, "}");
	}
	fprintf(json, "}}\n");
	fclose(json);
}

/* A folder holds one campaign: what it is of is written first, and compared when it is gone on with. */
static bool manifest(void)
{
	char path[PATH_MAX], text[2048], was[2048];
	struct utsname u;
	size_t n;
	FILE *f;

	uname(&u);
	snprintf(o.kernel, sizeof(o.kernel), "%s %s", u.sysname, u.release);
	snprintf(text, sizeof(text),
		 "seed %llu\ndevice %s\nverify %d\nshards %u\nonly %s\nkernel %s\ngit %s\n",
		 (unsigned long long)o.seed, o.device, o.verify, o.shards, o.only ? o.only : "*",
		 o.kernel, o.git);
	snprintf(path, sizeof(path), "%s/manifest", o.dir);
	f = fopen(path, "re");
	if (f) {
		n = fread(was, 1, sizeof(was) - 1, f);
		was[n] = '\0';
		fclose(f);
		if (!strcmp(was, text))
			return true;
		fprintf(stderr, "faults: %s is of another campaign:\n%sthis one is:\n%s", path, was,
			text);
		return false;
	}
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f)) {
		fprintf(stderr, "faults: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static const struct option long_options[] = {
	{"outboard", required_argument, NULL, 'o'}, {"faulty", required_argument, NULL, 'f'},
	{"victim", required_argument, NULL, 'v'},   {"dir", required_argument, NULL, 'd'},
	{"device", required_argument, NULL, 'D'},   {"seed", required_argument, NULL, 's'},
	{"count", required_argument, NULL, 'n'},    {"shards", required_argument, NULL, 'j'},
	{"seconds", required_argument, NULL, 't'},  {"only", required_argument, NULL, 'O'},
	{"json", required_argument, NULL, 'J'},	    {"git", required_argument, NULL, 'g'},
	{"policy", required_argument, NULL, 'p'},   {"shard", required_argument, NULL, 'S'},
	{"first", required_argument, NULL, 'F'},    {"verify", no_argument, NULL, 'V'},
	{"spoil", required_argument, NULL, 'w'},    {NULL, 0, NULL, 0},
};

static const struct client *client_for(const char *device)
{
	static const struct client *const all[] = {&disk_nvme, &disk_ide, &net_e1000, NULL};

	for (unsigned int i = 0; all[i]; i++)
		if (!strcmp(all[i]->driver, device))
			return all[i];
	return NULL;
}

static bool parse(int argc, char **argv, bool *worker, uint64_t *first)
{
	static char policy[128];
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		unsigned long long n = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (opt) {
		case 'o':
			o.outboard = optarg;
			break;
		case 'f':
			o.faulty = optarg;
			break;
		case 'v':
			o.victim = optarg;
			break;
		case 'd':
			o.dir = optarg;
			break;
		case 'D':
			o.device = optarg;
			break;
		case 's':
			o.seed = n;
			break;
		case 'n':
			o.count = n;
			break;
		case 'j':
			o.shards = (unsigned int)n;
			break;
		case 't':
			o.until_ns = now_ns() + n * NS;
			break;
		case 'O':
			o.only = optarg;
			break;
		case 'J':
			o.json = optarg;
			break;
		case 'g':
			o.git = optarg;
			break;
		case 'p':
			o.policy = optarg;
			break;
		case 'S':
			o.shard = (unsigned int)n;
			*worker = true;
			break;
		case 'F':
			*first = n;
			break;
		case 'w':
			o.spoil = (unsigned int)n;
			break;
		case 'V':
			o.verify = true;
			break;
		default:
			return false;
		}
	}
	o.client = client_for(o.device);
	if (o.client && !o.policy) {
		int n = snprintf(policy, sizeof(policy),
				 "on-failure,limit=100,within=1,backoff=0,heartbeat=150,start=%u",
				 o.client->start_ms);

		if (o.client->age_s)
			snprintf(policy + n, sizeof(policy) - (size_t)n, ",age=%u",
				 o.client->age_s);
		o.policy = policy;
	}
	return o.outboard && o.faulty && o.victim && o.dir && o.client && o.seed && o.shards &&
	       o.shards <= SHARDS && optind == argc;
}

int main(int argc, char **argv)
{
	bool worker = false;
	uint64_t first = 0;
	int ret;

	if (!parse(argc, argv, &worker, &first)) {
		fprintf(stderr,
			"usage: faults --outboard PROGRAM --faulty FAULTY.so --victim DRIVER.so --dir FOLDER [--device nvme|ide|e1000]\n"
			"  [--seed N (1)] [--count N (1000)] [--shards N (2)] [--seconds N: no more then] [--only PATTERN: functions]\n"
			"  [--policy TEXT: of --restart] [--json FILE] [--git ID] [--verify] [--spoil N: one of N datagrams, on the wire]\n");
		return 2;
	}
	if (worker) {
		const char *keeper = getenv("OUTBOARD_PID");

		o.keeper = keeper ? atoi(keeper) : 0;
		return work(first);
	}
	if (!manifest())
		return 2;
	ret = run_all(argv);
	summarize();
	return ret;
}
