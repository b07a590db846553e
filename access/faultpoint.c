/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault points: what happens where, and at which passing. Contract: faultpoint.h; docs/fault-injection.md.
 *
 * Everything is decided by the specification and by counting, so that a run with one thread can be repeated, and every
 * (point, passing) of it be gone through: one run with "count" says how many there are. Counters lie in memory that is shared over
 * fork(), so that what struck a driver process does not strike the next one at the same passing again.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/faultpoint.h"

enum {
	RULES = 16,
	NAME = 64,
	POINTS = 256, /* of the library, and of drivers that were loaded; each name once */
	LEAK = 1 << 20,
};

enum action {
	/* Ends of a process, and ways to hang: what "?" draws from. */
	SEGV,
	ABORT,
	ILL,
	STACK,
	EXIT,
	KILL,
	SPIN,
	STOP,
	DEADLOCK,
	DRAWN,
	LEAK_MEMORY = DRAWN,
	CORRUPT,
	FAIL,
};

static const struct {
	const char *name;
	enum action action;
	int error;
} actions[] = {
	{"segv", SEGV, 0},	   {"abort", ABORT, 0},	      {"ill", ILL, 0},
	{"stack", STACK, 0},	   {"exit", EXIT, 0},	      {"kill", KILL, 0},
	{"spin", SPIN, 0},	   {"stop", STOP, 0},	      {"deadlock", DEADLOCK, 0},
	{"leak", LEAK_MEMORY, 0},  {"corrupt", CORRUPT, 0},   {"enomem", FAIL, -ENOMEM},
	{"eintr", FAIL, -EINTR},   {"eagain", FAIL, -EAGAIN}, {"eio", FAIL, -EIO},
	{"enodev", FAIL, -ENODEV},
};

/**
 * struct rule - at the @at-th passing of the points that @name matches
 * @which: of actions[]
 * @on: and at all that follow
 * @each: or at each @at-th
 */
struct rule {
	char name[NAME];
	unsigned int which;
	uint64_t at;
	bool on, each;
};

/* What is counted: passings for each rule, and for each name. */
struct counters {
	uint64_t rule[RULES];
	struct {
		char name[NAME];
		uint64_t passed;
	} point[POINTS];
	unsigned int points;
};

static struct {
	struct rule rule[RULES];
	unsigned int n;
	uint64_t seed;
	bool count;
	char file[256];	  /* of counts; empty for standard error */
	uintptr_t memory; /* the heap's begin */
	struct counters *counters;
	pid_t pid; /* whose end writes the counts */
	bool at_exit;
	pthread_mutex_t lock;
} armed = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool ob_fault_points_on;
extern bool ob_fault_points_here __attribute__((alias("ob_fault_points_on"), visibility("hidden")));

/* The linker's, for a section whose name can be a C name. */
extern struct ob_fault_point __start_ob_fault_points[], __stop_ob_fault_points[];

const char *ob_fault_points_help(void)
{
	return "POINT=ACTION      at the first passing of POINT, or of all that a pattern with * matches\n"
	       "POINT=ACTION@K    at the K-th passing; @K+ from there on; @%K at each K-th; @?M at one from\n"
	       "                  1 to M that the seed draws\n"
	       "seed=N            before what it draws (default 1)\n"
	       "count[=FILE]      write at the end how often each point was passed\n"
	       "actions: segv abort ill stack exit kill (deaths), spin stop deadlock (hangs), ? (one of\n"
	       "these, drawn), leak, corrupt (a bit of the heap); where something can fail: enomem eintr\n"
	       "eagain eio enodev\n";
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(void)
{
	uint64_t x = armed.seed += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- what happens -------------------------------------------------------------------------- */

/* Deeper than any stack, and each depth is used after the one above it, so that none takes the place of another. */
static __attribute__((noinline)) uint64_t overflow(uint64_t depth)
{
	volatile char page[4096];

	page[0] = (char)depth;
	return depth == UINT64_MAX ? 0 : overflow(depth + 1) + (uint64_t)page[0];
}

static void corrupt(void)
{
	uintptr_t end = (uintptr_t)sbrk(0);
	uint64_t *word;

	if (!armed.memory || end < armed.memory + sizeof(*word))
		return;
	word = (uint64_t *)(armed.memory +
			    draw() % (end - armed.memory) / sizeof(*word) * sizeof(*word));
	*word ^= 1ull << draw() % 64;
}

static void leak(void)
{
	char *p = malloc(LEAK);

	if (p)
		memset(p, 1, LEAK);
	__asm__ volatile("" : : "r"(p) : "memory"); /* or the compiler sees that nobody has it */
	if (fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) < 0)
		return;
}

/* The processor is to find it, not a sanitizer, which would call it something else. */
static void __attribute__((noinline, no_sanitize("undefined"))) write_nowhere(void)
{
	volatile int *volatile nowhere = NULL; /* of which the compiler knows nothing */

	*nowhere = 1;
}

static int strike(enum action action, int error)
{
	static pthread_mutex_t twice = PTHREAD_MUTEX_INITIALIZER;

	switch (action) {
	case SEGV:
		write_nowhere();
		break;
	case ABORT:
		abort();
	case ILL:
		__builtin_trap();
	case STACK:
		overflow(0);
		break;
	case EXIT:
		_exit(1);
	case KILL:
		raise(SIGKILL);
		break;
	case SPIN:
		for (;;)
			__asm__ volatile("");
	case STOP:
		raise(SIGSTOP);
		break;
	case DEADLOCK:
		pthread_mutex_lock(&twice);
		pthread_mutex_lock(&twice);
		break;
	case LEAK_MEMORY:
		leak();
		break;
	case CORRUPT:
		corrupt();
		break;
	case FAIL:
		return error;
	}
	return 0;
}

/* The counter of a name. Two processes that see one for the first time at once may give it two: they are added up when they are told. */
static unsigned int find_counter(const char *name)
{
	struct counters *c = armed.counters;
	unsigned int n;

	for (n = 0; n < __atomic_load_n(&c->points, __ATOMIC_ACQUIRE) && n < POINTS; n++)
		if (!strncmp(c->point[n].name, name, NAME - 1))
			return n + 1;
	pthread_mutex_lock(&armed.lock);
	n = __atomic_fetch_add(&c->points, 1, __ATOMIC_ACQ_REL);
	if (n < POINTS)
		snprintf(c->point[n].name, NAME, "%s", name);
	pthread_mutex_unlock(&armed.lock);
	return n < POINTS ? n + 1 : 0;
}

int ob_fault_point_pass(struct ob_fault_point *point)
{
	int ret = 0;

	if (!point->count)
		point->count = find_counter(point->name);
	if (point->count)
		__atomic_fetch_add(&armed.counters->point[point->count - 1].passed, 1,
				   __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < armed.n; i++) {
		struct rule *r = &armed.rule[i];
		uint64_t passed;

		if ((actions[r->which].action == FAIL && !point->can_fail) ||
		    fnmatch(r->name, point->name, 0))
			continue;
		passed = __atomic_add_fetch(&armed.counters->rule[i], 1, __ATOMIC_RELAXED);
		if (r->each ? passed % r->at != 0 : passed < r->at || (passed > r->at && !r->on))
			continue;
		/* One write: what follows may be the end of the process. */
		dprintf(STDERR_FILENO, "outboard: fault point %s, passing %" PRIu64 ": %s\n",
			point->name, passed, actions[r->which].name);
		ret = strike(actions[r->which].action, actions[r->which].error);
	}
	return ret;
}

/* ---- lists --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct ob_fault_point *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int ob_fault_points_each(int (*fn)(void *arg, const struct ob_fault_point *point), void *arg)
{
	const struct ob_fault_point *points[POINTS];
	unsigned int n = 0;
	int ret = 0;

	for (struct ob_fault_point *p = __start_ob_fault_points; p < __stop_ob_fault_points; p++)
		if (n < POINTS)
			points[n++] = p;
	qsort(points, n, sizeof(points[0]), by_name);
	for (unsigned int i = 0; i < n && !ret; i++)
		/* A function that is inlined in two places has its points twice. */
		if (!i || strcmp(points[i]->name, points[i - 1]->name))
			ret = fn(arg, points[i]);
	return ret;
}

static void write_counts(void)
{
	FILE *f = *armed.file ? fopen(armed.file, "we") : stderr;
	unsigned int n;

	if (!f)
		return;
	n = armed.counters->points < POINTS ? armed.counters->points : POINTS;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t passed = 0;
		unsigned int first = n;

		for (unsigned int j = 0; j < n; j++) {
			if (strcmp(armed.counters->point[i].name, armed.counters->point[j].name))
				continue;
			first = j < first ? j : first;
			passed += armed.counters->point[j].passed;
		}
		if (passed && first == i)
			fprintf(f, "%s %" PRIu64 "\n", armed.counters->point[i].name, passed);
	}
	if (f != stderr)
		fclose(f);
}

static void counts_at_exit(void)
{
	if (armed.count && armed.pid == getpid())
		write_counts();
}

/* ---- the specification ------------------------------------------------------------------------ */

struct named {
	const char *name;
	bool fails, found;
};

static int is_named(void *arg, const struct ob_fault_point *point)
{
	struct named *named = arg;

	if (!strcmp(named->name, point->name) && (!named->fails || point->can_fail))
		named->found = true;
	return named->found;
}

static int parse_at(struct rule *r, const char *text, struct ob_error *err)
{
	bool drawn = *text == '?', each = *text == '%';
	const char *number = text + (drawn || each);
	char *end;

	errno = 0;
	r->at = strtoull(number, &end, 10);
	r->on = *end == '+' && number == text;
	r->each = each;
	if (errno || end[r->on] || !r->at || *number < '0' || *number > '9')
		return ob_error_set(err, -EINVAL,
				    "fault points: '@%s' is no passing: @K, @K+, @%%K or @?M",
				    text);
	if (drawn)
		r->at = 1 + draw() % r->at;
	return 0;
}

static int parse_rule(char *item, struct ob_error *err)
{
	struct named named = {.name = item};
	struct rule *r = &armed.rule[armed.n];
	char *action = strchr(item, '='), *at;
	int ret;

	if (!action || armed.n == RULES || action - item >= NAME) {
		ob_error_set(err, -EINVAL, "fault points: '%s' is %s", item,
			     armed.n == RULES ? "one too many" : "not POINT=ACTION[@K]");
		ob_error_fix(err, "`outboard specs fault-points` explains them");
		return -EINVAL;
	}
	*action++ = '\0';
	*r = (struct rule){.at = 1};
	snprintf(r->name, sizeof(r->name), "%s", item);
	at = strchr(action, '@');
	if (at) {
		*at++ = '\0';
		ret = parse_at(r, at, err);
		if (ret)
			return ret;
	}
	if (!strcmp(action, "?"))
		action = (char *)actions[draw() % DRAWN].name;
	while (r->which < sizeof(actions) / sizeof(actions[0]) &&
	       strcmp(actions[r->which].name, action))
		r->which++;
	if (r->which == sizeof(actions) / sizeof(actions[0])) {
		ob_error_set(err, -EINVAL, "fault points: there is no action '%s'", action);
		ob_error_fix(err, "`outboard specs fault-points` lists them");
		return -EINVAL;
	}
	/* A pattern may be for the points of a driver that is not loaded yet; a name is one of ours. */
	named.fails = actions[r->which].action == FAIL;
	if (!strchr(item, '*') && !ob_fault_points_each(is_named, &named)) {
		ob_error_set(err, -EINVAL, "fault points: there is no '%s'%s", item,
			     named.fails ? " at which something can fail" : "");
		ob_error_fix(err, "`outboard specs fault-points` lists them");
		return -EINVAL;
	}
	armed.n++;
	return 0;
}

static int parse_item(char *item, struct ob_error *err)
{
	char *end;

	if (!strncmp(item, "seed=", 5)) {
		errno = 0;
		armed.seed = strtoull(item + 5, &end, 0);
		if (!errno && item[5] >= '0' && item[5] <= '9' && !*end)
			return 0;
		return ob_error_set(err, -EINVAL, "fault points: seed '%s' is no number", item + 5);
	}
	if (!strcmp(item, "count") || !strncmp(item, "count=", 6)) {
		armed.count = true;
		snprintf(armed.file, sizeof(armed.file), "%s", item[5] ? item + 6 : "");
		return 0;
	}
	return parse_rule(item, err);
}

/* The heap's begin, while files can be opened. */
static void find_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	armed.memory = 0;
	while (maps && !armed.memory && fgets(line, sizeof(line), maps))
		if (strstr(line, "[heap]"))
			armed.memory = strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
}

int ob_fault_points_arm(const char *spec, struct ob_error *err)
{
	char *copy, *item, *rest;
	int ret = 0;

	ob_fault_points_on = false;
	armed.n = 0;
	armed.seed = 1;
	armed.count = false;
	if (!spec || !*spec)
		return 0;
	/* Kept for ever: a point that is being passed looks there. */
	if (!armed.counters)
		armed.counters = mmap(NULL, sizeof(*armed.counters), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (armed.counters == MAP_FAILED) {
		armed.counters = NULL;
		return ob_error_set(err, -ENOMEM, "no memory for fault points");
	}
	memset(armed.counters->rule, 0, sizeof(armed.counters->rule));
	for (unsigned int i = 0; i < POINTS; i++)
		armed.counters->point[i].passed = 0;
	armed.pid = getpid();
	copy = strdup(spec);
	if (!copy)
		return ob_error_set(err, -ENOMEM, "no memory for fault points");
	for (item = strtok_r(copy, ",", &rest); item && !ret; item = strtok_r(NULL, ",", &rest))
		ret = parse_item(item, err);
	free(copy);
	if (ret) {
		armed.n = 0;
		armed.count = false;
		return ret;
	}
	find_memory();
	if (armed.count && !armed.at_exit)
		armed.at_exit = !atexit(counts_at_exit);
	ob_fault_points_on = true;
	return 0;
}

static struct ob_error from_environment;

static void arm_once(void)
{
	const char *spec = getenv("OUTBOARD_FAULT_POINTS");

	if (spec)
		ob_fault_points_arm(spec, &from_environment);
}

int ob_fault_points_environment(struct ob_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, arm_once);
	if (from_environment.code && err)
		*err = from_environment;
	return from_environment.code;
}
