/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abusive_daemon --device PATH --layout N [--seed N] [--replies N]: a split driver's daemon that does all that none should: answers garbage, late, twice,
 * with wrong lengths and numbers, to requests of the daemon before it; it is slow, stops, closes, dies. It learns from what the module refuses which slots may be
 * changed, and changes these to whatever it likes: that is the worst an obedient-looking daemon can do. Until N replies are written.
 *
 * A parent starts one life after the other; what was learned outlives them. The last line tells how often each was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "split/protocol.h"

enum {
	MOST_OPS = 256,
	MOST_SLOTS = 256,
	MOST_ITEMS = 24, /* of one reply */
	POCKET = 64,	 /* replies that are kept to be late */
	LIFE = 400,	 /* requests, on the average */
	LARGEST = 1 << 16,
};

enum mischief {
	OBEDIENT, /* in form */
	GARBAGE,
	WRONG_LENGTH,
	WRONG_UNIQUE,
	TWICE,
	LATE,
	NEVER,
	ERROR,
	BAD_ITEM,
	STALE,
	SLOW,
	STOPS,
	DIES,
	CLOSES,
	ASKS, /* OB_SPLIT_DOWN, with whatever */
	ASKS_NONSENSE,
	RACES, /* two threads answer */
	LEARNS,
	MISCHIEFS
};

static const struct {
	const char *name;
	unsigned int weight;
} kinds[MISCHIEFS] = {
	[OBEDIENT] = {"obedient", 300},
	[GARBAGE] = {"garbage", 60},
	[WRONG_LENGTH] = {"length", 60},
	[WRONG_UNIQUE] = {"unique", 60},
	[TWICE] = {"twice", 60},
	[LATE] = {"late", 4},
	[NEVER] = {"never", 3},
	[ERROR] = {"error", 60},
	[BAD_ITEM] = {"bad-item", 100},
	[STALE] = {"stale", 40},
	[SLOW] = {"slow", 4},
	[STOPS] = {"stops", 2},
	[DIES] = {"dies", 4},
	[CLOSES] = {"closes", 4},
	[ASKS] = {"asks", 150},
	[ASKS_NONSENSE] = {"asks-nonsense", 60},
	[RACES] = {"races", 10},
	[LEARNS] = {"learns", 300},
};

struct slot {
	uint32_t bytes;
	bool known; /* that it may be changed, and how large it is */
};

/* What outlives a life. */
struct memory {
	uint64_t seed, replies, requests, accepted, refused, lives, calls, regions, too_many,
		too_late;
	uint64_t done[MISCHIEFS];
	uint64_t old[POCKET]; /* requests of earlier lives */
	struct slot slots[MOST_OPS][MOST_SLOTS];
	uint32_t seen[MOST_OPS][MOST_SLOTS]; /* bytes of a slot in requests */
	pid_t life;
	unsigned int timeout_ms;
};

static struct memory *memory;
static int device = -1;

static uint64_t any(void)
{
	uint64_t z = memory->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
	return any() % n;
}

static void fill(void *at, size_t n)
{
	static const uint64_t edges[] = {0,	     1,	     ~0ull,	 0x7fffffff,
					 0x80000000, 0xffff, 1ull << 63, 0xffff888000000000};
	const uint64_t token = (uint64_t)below(20) << 48 | below(4096);
	uint64_t word = below(3)   ? edges[below(sizeof(edges) / sizeof(edges[0]))]
			: below(2) ? token
				   : any();
	bool same = below(2);

	for (size_t i = 0; i < n; i += 8) {
		memcpy((char *)at + i, &word, n - i < 8 ? n - i : 8);
		if (!same)
			word = any();
	}
}

static void sleep_ms(unsigned int ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* ---- replies ------------------------------------------------------------------------------- */

struct record {
	union {
		struct ob_split_reply reply;
		char bytes[LARGEST];
	};
	size_t n;
};

static bool post(const void *record, size_t n)
{
	ssize_t ret = write(device, record, n);

	__atomic_fetch_add(&memory->replies, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(ret == (ssize_t)n ? &memory->accepted : &memory->refused, 1,
			   __ATOMIC_RELAXED);
	return ret == (ssize_t)n;
}

static void begin(struct record *r, uint64_t unique, int error)
{
	memset(&r->reply, 0, sizeof(r->reply));
	r->reply.unique = unique;
	r->reply.error = error;
	r->n = sizeof(r->reply);
}

static void end(struct record *r)
{
	r->reply.len = r->n;
}

static void add_item(struct record *r, uint32_t slot, uint32_t bytes, uint32_t really)
{
	struct ob_split_item item = {.slot = slot, .bytes = bytes};

	if (r->n + sizeof(item) + really + 8 > LARGEST)
		return;
	memcpy(r->bytes + r->n, &item, sizeof(item));
	fill(r->bytes + r->n + sizeof(item), really);
	memset(r->bytes + r->n + sizeof(item) + really, 0, -really & 7);
	r->n += sizeof(item) + ((really + 7) & ~7u);
}

/* Slots that may be changed, in order, some of them left out. */
static void add_known(struct record *r, uint32_t op)
{
	for (uint32_t i = 0, n = 0; i < MOST_SLOTS && n < MOST_ITEMS; i++) {
		const struct slot *s = &memory->slots[op][i];

		if (s->known && below(4)) {
			add_item(r, i, s->bytes, s->bytes);
			n++;
		}
	}
}

/* One slot that may be changed, perhaps, of a size that it has, perhaps. The module says whether. */
static void learn(struct record *r, uint32_t op)
{
	static const uint32_t sizes[] = {1, 2, 4, 4, 8, 6, 16, 32};
	uint32_t slot = below(MOST_SLOTS), bytes;

	/* Most operations have a few. */
	if (below(8))
		slot %= below(4) ? 12 : 48;
	bytes = memory->seen[op][slot];
	if (!bytes || !below(4))
		bytes = below(4) ? sizes[below(sizeof(sizes) / sizeof(sizes[0]))] : below(1024);
	add_item(r, slot, bytes, bytes);
	end(r);
	if (post(r, r->n))
		memory->slots[op][slot] = (struct slot){.bytes = bytes, .known = true};
}

static void bad_item(struct record *r, uint32_t op)
{
	uint32_t before = r->n;

	switch (below(6)) {
	case 0: /* a length that is not there */
		add_item(r, below(8), any() | 0x100000, 8);
		break;
	case 1: /* no such slot */
		add_item(r, below(2) ? MOST_SLOTS + below(1000) : any(), 8, 8);
		break;
	case 2: /* twice, or not in order */
		add_known(r, op);
		add_item(r, below(4), 4, 4);
		add_item(r, below(4), 4, 4);
		break;
	case 3: /* cut off */
		add_known(r, op);
		if (r->n > before)
			r->n -= 1 + below(r->n - before);
		break;
	case 4: /* no whole head of an item */
		r->n += 1 + below(7);
		break;
	default: /* behind what is good */
		add_known(r, op);
		for (int i = below(64); i >= 0 && r->n < LARGEST; i--)
			r->bytes[r->n++] = any();
		break;
	}
}

/* ---- what it asks the module for ----------------------------------------------------------- */

static int ask(uint64_t unique, uint32_t what, uint32_t level, const void *in, uint32_t in_len,
	       void *out, uint32_t room)
{
	struct ob_split_down down = {
		.unique = unique,
		.what = what,
		.level = level,
		.in = (uintptr_t)in,
		.in_len = in_len,
		.out = (uintptr_t)out,
		.out_room = room,
	};

	return ioctl(device, OB_SPLIT_DOWN, &down);
}

/* An object's begin, a register, a small number, or anything. */
static uint64_t argument(void)
{
	switch (below(8)) {
	case 0 ... 2:
		return (uint64_t)(2 + below(5)) << 48 | (below(4) ? 0 : below(4096));
	case 3 ... 5:
		return (uint64_t)OB_SPLIT_OPAQUE << 48 | (below(4) ? below(4) * 8 : any() >> 16);
	case 6:
		return below(33);
	default:
		return any();
	}
}

/* A function that the kernel kept: any number, any arguments, and what is changed. One that is accepted is asked for until there are too many. */
static void ask_for_call(uint32_t op, uint64_t unique)
{
	static char out[LARGEST];
	uint32_t number = below(8) ? below(20) : (uint32_t)any(), n = below(5), times = 0;
	bool plain = below(4);
	struct record r;

	begin(&r, unique, 0);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = plain && i ? below(33) : argument();

		memcpy(r.bytes + r.n, &word, sizeof(word));
		r.n += sizeof(word);
	}
	if (!plain)
		add_known(&r, op);
	if (below(4)) {
		while (times <= OB_SPLIT_MOST_CALLS &&
		       !ask(unique, OB_SPLIT_CALL, number, r.bytes + sizeof(r.reply),
			    r.n - sizeof(r.reply), out, sizeof(out)))
			times++;
	} else {
		ask(unique, OB_SPLIT_CALL, number, r.bytes + sizeof(r.reply), r.n - sizeof(r.reply),
		    out, below(64));
	}
	__atomic_fetch_add(&memory->calls, times, __ATOMIC_RELAXED);
	if (times > OB_SPLIT_MOST_CALLS)
		__atomic_fetch_add(&memory->too_many, 1, __ATOMIC_RELAXED);
}

/*
 * What takes a 0 in the place of the first argument is a locked region, since no function takes NULL: whichever are asked for, in whatever order, one is
 * executed in a request, once.
 */
static void ask_for_regions(uint32_t op, uint64_t unique)
{
	static char out[LARGEST];
	uint32_t times = 0, from = below(24);
	struct record r;

	for (uint32_t i = 0; i < 48; i++) {
		uint64_t words[3] = {0, any(), any()};

		begin(&r, unique, 0);
		memcpy(r.bytes + r.n, words, sizeof(words));
		r.n += (1 + below(3)) * sizeof(words[0]);
		if (!below(4))
			add_known(&r, op);
		if (!ask(unique, OB_SPLIT_CALL, (from + i) % 24, r.bytes + sizeof(r.reply),
			 r.n - sizeof(r.reply), out, sizeof(out)))
			times++;
	}
	__atomic_fetch_add(&memory->regions, times, __ATOMIC_RELAXED);
	if (times > 1)
		__atomic_fetch_add(&memory->too_many, 1, __ATOMIC_RELAXED);
}

static void ask_for_things(uint32_t op, uint64_t unique)
{
	if (below(2))
		ask_for_regions(op, unique);
	for (int i = below(600); i >= 0; i--)
		ask_for_call(op, unique);
	if (!below(4)) {
		char text[600];

		fill(text, sizeof(text));
		/* A level that no one takes for a bug of the kernel, and text that says no more. */
		ask(unique, OB_SPLIT_LOG, 7 | (uint32_t)any() << 3, text, below(sizeof(text)), NULL,
		    0);
	}
}

/* The request is answered: its objects are nobody's any more. */
static void ask_too_late(uint64_t unique)
{
	uint64_t words[4], out[64];

	for (size_t i = 0; i < 4; i++)
		words[i] = argument();
	for (uint32_t number = 0; number < 20; number++)
		for (uint32_t n = 0; n < 4; n++)
			if (!ask(unique, OB_SPLIT_CALL, number, words, n * 8, out, sizeof(out)))
				memory->too_late++;
}

static void ask_nonsense(uint64_t unique)
{
	void *const nowhere[] = {NULL, (void *)8, (void *)-4096, (void *)0xffff888000000000};
	char some[64];

	fill(some, sizeof(some));
	switch (below(8)) {
	case 0:
		ask(unique, any(), any(), some, sizeof(some), some, sizeof(some));
		break;
	case 1:
		ask(unique, OB_SPLIT_CALL, 0, nowhere[below(4)], any(), nowhere[below(4)], any());
		break;
	case 2:
		ask(unique, OB_SPLIT_LOG, any(), nowhere[below(4)], below(512), NULL, 0);
		break;
	case 3:
		ask(any(), OB_SPLIT_CALL, 0, some, sizeof(some), some, sizeof(some));
		break;
	case 4:
		ioctl(device, OB_SPLIT_DOWN, nowhere[below(4)]);
		ioctl(device, OB_SPLIT_HELLO, nowhere[below(4)]);
		break;
	case 5:
		ioctl(device, (unsigned long)any(), some);
		break;
	case 6:
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0) != MAP_FAILED)
			fprintf(stderr, "abusive_daemon: the device can be mapped\n");
		lseek(device, any(), SEEK_SET);
		break;
	default:
		if (write(device, nowhere[below(4)], below(2000)) > 0 ||
		    write(device, some, below(sizeof(struct ob_split_reply))) > 0 ||
		    write(device, some, 0) > 0)
			fprintf(stderr, "abusive_daemon: nonsense was accepted\n");
		break;
	}
}

/* ---- a life ------------------------------------------------------------------------------------ */

struct racer {
	pthread_t thread;
	struct record record;
	uint32_t op;
};

static void *race(void *argument)
{
	struct racer *r = argument;

	ask(r->record.reply.unique, OB_SPLIT_CALL, 0, NULL, 0, NULL, 0);
	post(r->record.bytes, r->record.n);
	return NULL;
}

/* Both answer at the same time, while a third thread asks. */
static void answer_in_races(uint32_t op, uint64_t unique)
{
	static struct racer racers[3];
	int n = 0;

	for (; n < 3; n++) {
		begin(&racers[n].record, unique, 0);
		if (n)
			add_known(&racers[n].record, op);
		end(&racers[n].record);
		if (pthread_create(&racers[n].thread, NULL, race, &racers[n]))
			break;
	}
	while (n--)
		pthread_join(racers[n].thread, NULL);
}

static struct {
	uint64_t unique, due;
	uint32_t op;
} pocket[POCKET];

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static void send_late_ones(void)
{
	struct record r;

	for (int i = 0; i < POCKET; i++) {
		if (!pocket[i].unique || pocket[i].due > now_ms())
			continue;
		begin(&r, pocket[i].unique, 0);
		add_known(&r, pocket[i].op);
		end(&r);
		post(&r, r.n);
		pocket[i].unique = 0;
	}
}

static enum mischief choose(void)
{
	uint32_t all = 0, at;
	int i;

	for (i = 0; i < MISCHIEFS; i++)
		all += kinds[i].weight;
	at = below(all);
	for (i = 0; at >= kinds[i].weight; i++)
		at -= kinds[i].weight;
	return i;
}

/* Everything but the ways to die and to be late ends with what a caller takes for an answer, or for a refusal. */
static void serve(uint32_t op, uint64_t unique)
{
	enum mischief what = choose();
	struct record r;
	int i;

	memory->done[what]++;
	memory->old[memory->requests % POCKET] = unique;
	begin(&r, unique, 0);
	switch (what) {
	case GARBAGE:
		for (i = below(2000); i >= 0; i--)
			r.bytes[r.n++] = any();
		break;
	case WRONG_LENGTH:
		add_known(&r, op);
		end(&r);
		r.reply.len = below(2) ? any() : r.n + 8 - below(16);
		post(&r, r.n);
		return;
	case WRONG_UNIQUE:
		r.reply.unique = below(2) ? unique + 1 + below(3) : below(2) ? 0 : any();
		end(&r);
		post(&r, r.n);
		r.reply.unique = unique;
		break;
	case TWICE:
		add_known(&r, op);
		end(&r);
		post(&r, r.n);
		break;
	case LATE:
	case NEVER:
		i = below(POCKET);
		pocket[i].unique = what == LATE ? unique : 0;
		pocket[i].op = op;
		pocket[i].due = now_ms() + memory->timeout_ms + below(10);
		return;
	case ERROR:
		r.reply.error = below(3) ? -(int)below(5000) : (int)any();
		if (!below(4))
			add_known(&r, op);
		break;
	case BAD_ITEM:
		bad_item(&r, op);
		break;
	case STALE:
		for (i = 0; i < 4; i++) {
			r.reply.unique = memory->old[below(POCKET)];
			if (r.reply.unique == unique)
				continue;
			end(&r);
			post(&r, r.n);
		}
		r.reply.unique = unique;
		break;
	case SLOW:
		sleep_ms(memory->timeout_ms * 3 / 4 + below(memory->timeout_ms / 2));
		break;
	case STOPS:
		raise(SIGSTOP); /* the parent sends it on, after a while */
		break;
	case DIES:
		kill(getpid(), SIGKILL);
		break;
	case CLOSES:
		_exit(0);
	case ASKS:
		ask_for_things(op, unique);
		if (below(2))
			add_known(&r, op);
		break;
	case ASKS_NONSENSE:
		for (i = 0; i < 4; i++)
			ask_nonsense(unique);
		break;
	case RACES:
		answer_in_races(op, unique);
		return;
	case LEARNS:
		learn(&r, op);
		return;
	default:
		add_known(&r, op);
		break;
	}
	end(&r);
	post(&r, r.n);
	if (what == ASKS)
		ask_too_late(unique);
}

static void remember_slots(const char *request, uint32_t op)
{
	const struct ob_split_request *head = (const void *)request;
	uint32_t at = sizeof(*head);

	while (at + sizeof(struct ob_split_item) <= head->len) {
		const struct ob_split_item *item = (const void *)(request + at);

		if (item->slot < MOST_SLOTS)
			memory->seen[op][item->slot] = item->bytes;
		at += sizeof(*item) + ((item->bytes + 7) & ~7u);
	}
}

static int live(const char *path, uint64_t layout, uint64_t replies)
{
	static char request[OB_SPLIT_MAX_RECORD] __attribute__((aligned(8)));
	struct ob_split_hello hello = {.version = OB_SPLIT_VERSION, .layout = layout};
	const struct ob_split_request *head = (const void *)request;

	device = open(path, O_RDWR | O_CLOEXEC);
	if (device < 0) {
		if (errno == EBUSY) /* the one before is not gone yet */
			return 0;
		perror("abusive_daemon: the device");
		return 1;
	}
	if (!below(8) &&
	    (read(device, request, sizeof(request)) >= 0 ||
	     ioctl(device, OB_SPLIT_HELLO, &(struct ob_split_hello){.version = 99}) >= 0)) {
		fprintf(stderr, "abusive_daemon: served without a greeting\n");
		return 1;
	}
	if (ioctl(device, OB_SPLIT_HELLO, &hello)) {
		perror("abusive_daemon: it was not greeted back");
		return 1;
	}
	memory->timeout_ms = hello.timeout_ms;
	while (memory->replies < replies) {
		struct pollfd wait = {.fd = device, .events = POLLIN};

		send_late_ones();
		if (poll(&wait, 1, 10) <= 0)
			continue;
		if (!below(50) && read(device, request, below(24)) >= 0) {
			fprintf(stderr, "abusive_daemon: a request was cut off\n");
			return 1;
		}
		if (read(device, request, sizeof(request)) < (ssize_t)sizeof(*head))
			continue;
		memory->requests++;
		if (head->op < MOST_OPS) {
			remember_slots(request, head->op);
			serve(head->op, head->unique);
		}
		if (!below(LIFE))
			return 0;
	}
	return 0;
}

/* The parent: it wakes a life that stopped, and sees to the next when it is over. */
static int watch(pid_t life)
{
	int status;

	for (;;) {
		if (waitpid(life, &status, WUNTRACED) < 0)
			return 1;
		if (!WIFSTOPPED(status))
			break;
		sleep_ms(memory->timeout_ms + 20);
		kill(life, SIGCONT);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) != SIGKILL;
}

static void end_now(int signal)
{
	(void)signal;
	if (memory->life > 0)
		kill(memory->life, SIGKILL);
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"device", required_argument, NULL, 'd'},
						{"layout", required_argument, NULL, 'l'},
						{"seed", required_argument, NULL, 's'},
						{"replies", required_argument, NULL, 'n'},
						{0}};
	const char *path = NULL;
	uint64_t layout = 0, replies = 1000, known = 0;
	int c, ret = 0;

	memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		return 1;
	while ((c = getopt_long(argc, argv, "d:l:s:n:", options, NULL)) != -1) {
		if (c == 'd')
			path = optarg;
		else if (c == 'l')
			layout = strtoull(optarg, NULL, 0);
		else if (c == 's')
			memory->seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			replies = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	if (!path) {
		fprintf(stderr,
			"usage: abusive_daemon --device PATH --layout N [--seed N] [--replies N]\n");
		return 2;
	}
	signal(SIGTERM, end_now);
	while (!ret && memory->replies < replies) {
		memory->life = fork();
		if (memory->life < 0)
			return 1;
		if (!memory->life)
			_exit(live(path, layout, replies));
		ret = watch(memory->life);
		memory->lives++;
		if (!below(4))
			sleep_ms(below(60)); /* nobody is there */
	}
	for (int i = 0; i < MOST_OPS; i++)
		for (int k = 0; k < MOST_SLOTS; k++)
			known += memory->slots[i][k].known;
	printf("replies %" PRIu64 " accepted %" PRIu64 " refused %" PRIu64 " requests %" PRIu64
	       " lives %" PRIu64 " slots %" PRIu64 " calls %" PRIu64 " regions %" PRIu64,
	       memory->replies, memory->accepted, memory->refused, memory->requests, memory->lives,
	       known, memory->calls, memory->regions);
	for (int i = 0; i < MISCHIEFS; i++)
		printf(" %s %" PRIu64, kinds[i].name, memory->done[i]);
	putchar('\n');
	if (memory->too_many || memory->too_late) {
		fprintf(stderr,
			"abusive_daemon: %" PRIu64 " requests had too many calls, %" PRIu64
			" calls were after the answer\n",
			memory->too_many, memory->too_late);
		return 1;
	}
	return ret;
}
