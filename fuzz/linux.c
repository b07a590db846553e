/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-fuzz-linux DRIVER fuzz:MODEL [SECONDS [FOLDER [SEED]]]: an unmodified driver of the kernel's against a device that does what it likes (access/fuzz/).
 * The kernel boots once; then each input has a process of its own, forked from there: probe, use, removal. What ends a process by itself is
 * a finding: its input and the kernel's words are left in FOLDER, whose other inputs are those that found a new way through the driver.
 * With fuzz:MODEL,input=FILE that one input is run, in this process. docs/linux-fuzzing.md.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "access/fuzz/fuzz.h"

enum {
	INPUT = 64 * FUZZ_RECORD,
	CORPUS = 4096,
	FINDINGS = 256,
	TEXT = 16384,
	SIGNATURE = 128,
	/* Of the processor: an input takes some milliseconds of that, and perhaps hours on its driver's clock. */
	HANG_SECONDS = 10,
	PASSES = 96,
	IO_PASSES = 400,
};

struct input {
	uint8_t data[INPUT];
	size_t len;
};

/* What a child tells: the kernel's words, and the driver's ways. */
struct shared {
	char text[TEXT];
	size_t len;
	uint8_t coverage[OB_COVERAGE];
	bool bound;
};

static struct {
	struct ob_device *dev;
	struct shared *shared;
	const char *folder;
	unsigned int seconds;
	uint64_t random, runs, bound, hangs;
	uint8_t seen[OB_COVERAGE];
	unsigned int ways;
	struct input *corpus;
	unsigned int nr_corpus;
	char found[FINDINGS][SIGNATURE];
	unsigned int nr_found;
	unsigned long base;
} fz;

static uint64_t chance(void)
{
	/* xorshift64*, G. Marsaglia, S. Vigna */
	fz.random ^= fz.random >> 12;
	fz.random ^= fz.random << 25;
	fz.random ^= fz.random >> 27;
	return fz.random * 0x2545f4914f6cdd1dull;
}

/* ---- inputs -------------------------------------------------------------------------------- */

static void any_record(uint8_t *r)
{
	static const uint32_t odd[] = {0,	   1,	       0xffffffff, 0x7fffffff, 0x80000000,
				       0xffff,	   0x10000,    0xff,	   0x3fff,     0x4000,
				       0x00ff0000, 0x01000000, 0x600,	   0x5dc,      0x40};
	uint32_t value = (uint32_t)chance();
	unsigned int wait = (unsigned int)(chance() % (chance() % 4 ? 32 : 2000));

	if (chance() % 3 == 0)
		value = odd[chance() % (sizeof(odd) / sizeof(odd[0]))];
	else if (chance() % 3 == 0)
		value = 1u << (chance() % 32);
	r[0] = (uint8_t)(chance() % FUZZ_WHATS);
	/* A device that is gone ends all that could come behind it. */
	if (r[0] == FUZZ_GONE && chance() % 8)
		r[0] = FUZZ_ARRIVE;
	r[1] = (uint8_t)chance();
	r[2] = (uint8_t)wait;
	r[3] = (uint8_t)(wait >> 8);
	memcpy(r + 4, &value, 4);
}

static void mutate(struct input *in)
{
	unsigned int n = 1 + (unsigned int)(chance() % 4);

	while (n--) {
		size_t records = in->len / FUZZ_RECORD;
		size_t at = records ? (size_t)(chance() % records) * FUZZ_RECORD : 0;

		switch (chance() % 6) {
		case 0:
		case 1: /* one more, somewhere */
			if (in->len + FUZZ_RECORD > INPUT)
				break;
			memmove(in->data + at + FUZZ_RECORD, in->data + at, in->len - at);
			in->len += FUZZ_RECORD;
			any_record(in->data + at);
			break;
		case 2: /* one less */
			if (!records)
				break;
			memmove(in->data + at, in->data + at + FUZZ_RECORD,
				in->len - at - FUZZ_RECORD);
			in->len -= FUZZ_RECORD;
			break;
		case 3: /* another one */
			if (records)
				any_record(in->data + at);
			break;
		case 4: /* one byte of one */
			if (records)
				in->data[at + chance() % FUZZ_RECORD] ^=
					(uint8_t)(1u << (chance() % 8));
			break;
		case 5: { /* the end of another input */
			const struct input *other = &fz.corpus[chance() % fz.nr_corpus];
			size_t from = other->len ? (size_t)(chance() % (other->len / FUZZ_RECORD)) *
							   FUZZ_RECORD
						 : 0;
			size_t len = other->len - from;

			if (len > INPUT - at)
				len = INPUT - at;
			memcpy(in->data + at, other->data + from, len);
			if (in->len < at + len)
				in->len = at + len;
			break;
		}
		}
	}
}

static void keep(const struct input *in)
{
	if (fz.nr_corpus < CORPUS)
		fz.corpus[fz.nr_corpus++] = *in;
}

static void save(const struct input *in, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", fz.folder, name);
	f = fopen(path, "we");
	if (!f || fwrite(in->data, 1, in->len, f) != in->len)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (f)
		fclose(f);
	if (!text)
		return;
	snprintf(path, sizeof(path), "%s/%s.txt", fz.folder, name);
	f = fopen(path, "we");
	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static void load_corpus(void)
{
	DIR *d = opendir(fz.folder);
	const struct dirent *e;
	struct input in = {.len = 0};

	keep(&in);
	while (d && (e = readdir(d))) {
		char path[512];
		FILE *f;

		if (strncmp(e->d_name, "way-", 4))
			continue;
		snprintf(path, sizeof(path), "%s/%s", fz.folder, e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		in.len = fread(in.data, 1, INPUT, f) / FUZZ_RECORD * FUZZ_RECORD;
		fclose(f);
		keep(&in);
	}
	if (d)
		closedir(d);
}

/* ---- use of what the driver made ------------------------------------------------------------------ */

static void use_net(struct ob_net *net)
{
	struct ob_net_value values[256];
	struct ob_net_stats stats;
	struct ob_net_link link;
	struct ob_pool *pool = NULL;
	struct ob_pkt *pkts[16];
	struct ob_error err;

	if (ob_net_start(net, &err))
		return;
	if (ob_pool_create(ob_device_dma(net->dev), 64, 2048, 64, 64, &pool))
		pool = NULL;
	for (unsigned int i = 0; i < PASSES; i++) {
		unsigned int n = ob_net_rx_burst(net, 0, pkts, 16);

		for (unsigned int j = 0; j < n; j++) {
			/* Each byte of it is read, as a client does. */
			for (const struct ob_pkt *p = pkts[j]; p; p = p->next)
				for (uint32_t b = 0; b < p->len; b += 64)
					*(volatile uint8_t *)(p->data + b);
			ob_pkt_free(pkts[j]);
		}
		if (pool && i % 4 == 0) {
			struct ob_pkt *pkt = ob_pkt_alloc(pool);

			if (pkt) {
				memset(pkt->data, 0xff, 64);
				memcpy(pkt->data + 6, net->mac, 6);
				pkt->len = i % 8 ? 60 : 1514;
				if (!ob_net_tx_burst(net, 0, &pkt, 1))
					ob_pkt_free(pkt);
			}
		}
		net->ops->irq_arm(net, 0, true);
		if (i == PASSES / 2) {
			net->ops->link(net, &link);
			net->ops->stats(net, &stats);
			if (net->ops->counters)
				net->ops->counters(net, values, 256);
			if (net->ops->registers)
				net->ops->registers(net, values, 256);
		}
	}
	ob_net_stop(net);
}

static void use_block(struct ob_block *blk)
{
	static const uint8_t ops[] = {OB_BLOCK_READ, OB_BLOCK_WRITE, OB_BLOCK_FLUSH, OB_BLOCK_READ};
	struct ob_dma *dma = ob_device_dma(blk->dev);
	struct ob_block_req req[4] = {0}, *submit[4], *done[4];
	unsigned int sent = 0, got = 0;
	struct ob_error err;
	ob_iova iova;
	char *buf;

	if (ob_block_start(blk, &err))
		return;
	buf = ob_dma_alloc(dma, 16384, 4096, "fuzz", &iova);
	for (unsigned int i = 0; buf && i < 4; i++) {
		bool flush = ops[i] == OB_BLOCK_FLUSH;

		req[i].op = ops[i];
		req[i].len = flush ? 0 : 4096;
		req[i].offset = 4096 * i;
		req[i].buf = flush ? NULL : buf + 4096 * i;
		req[i].iova.addr = iova.addr + 4096 * i;
		submit[i] = &req[i];
	}
	if (buf)
		sent = ob_block_submit(blk, 0, submit, 4);
	for (unsigned int i = 0; i < IO_PASSES && got < sent; i++) {
		got += ob_block_complete(blk, 0, done, 4);
		blk->ops->irq_arm(blk, 0, true);
	}
	/* Its memory stays: requests of a disk that never answers may still be in flight. */
	ob_block_stop(blk);
}

static void use(struct ob_binding *b)
{
	if (b->net)
		use_net(b->net);
	for (unsigned int i = 0; i < b->nr_blocks; i++)
		use_block(b->block[i]);
	ob_driver_unbind(b);
}

/* ---- a process for each input ----------------------------------------------------------------------- */

static void tell(void *arg, enum ob_log_level level, const char *line)
{
	struct shared *s = fz.shared;
	size_t n = strlen(line);

	if (level > OB_LOG_WARN || s->len + n + 2 > TEXT)
		return;
	memcpy(s->text + s->len, line, n);
	s->len += n;
	s->text[s->len++] = '\n';
	s->text[s->len] = '\0';
}

/* A pointer to nowhere: told by where, since there is no kernel's text about it. */
static void fault(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *c = context;
	char line[160];

	snprintf(line, sizeof(line), "BUG: signal %d at object + 0x%lx", sig,
		 (unsigned long)c->uc_mcontext.gregs[REG_RIP] - fz.base);
	tell(NULL, OB_LOG_ERROR, line);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void watch_faults(void)
{
	static char stack[65536];
	const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaltstack(&alternative, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
}

/* The line that says what it is, without addresses and numbers that differ from run to run. */
static void signature(const char *text, int status, char *out)
{
	static const char *const marks[] = {"BUG: ", "UBSAN: ", "WARNING: ", "kernel ends: "};
	const char *at = NULL;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && !at; i++)
		at = strstr(text, marks[i]);
	if (!at) {
		snprintf(out, SIGNATURE, "ended by signal %d", WTERMSIG(status));
		return;
	}
	/* "WARNING: CPU: 0 PID: 1 at file:line function": from "at" on. */
	if (!strncmp(at, "WARNING: ", 9) && strstr(at, " at "))
		at = strstr(at, " at ") + 1;
	while (*at && *at != '\n' && n < SIGNATURE - 1) {
		if (!strncmp(at, "+0x", 3)) {
			while (*at && *at != ' ' && *at != '\n')
				at++;
			continue;
		}
		out[n++] = *at++;
	}
	out[n] = '\0';
}

static void finding(const struct input *in, int status)
{
	char what[SIGNATURE], name[64];

	signature(fz.shared->text, status, what);
	for (unsigned int i = 0; i < fz.nr_found; i++)
		if (!strcmp(fz.found[i], what))
			return;
	if (fz.nr_found == FINDINGS)
		return;
	memcpy(fz.found[fz.nr_found], what, SIGNATURE);
	snprintf(name, sizeof(name), "finding-%u", fz.nr_found++);
	save(in, name, fz.shared->text);
	printf("%s: %s\n", name, what);
	fflush(stdout);
}

/* Ways that no input has taken before. */
static unsigned int fresh_ways(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < OB_COVERAGE; i++) {
		uint8_t count = fz.shared->coverage[i], class_ = 0;

		/* Once, a few times, often: a loop that goes on longer is not a new way each time. */
		while (count) {
			class_ = (uint8_t)(class_ << 1 | 1);
			count >>= 2;
		}
		if (class_ & ~fz.seen[i]) {
			fz.ways += !fz.seen[i];
			fz.seen[i] |= class_;
			n++;
		}
	}
	return n;
}

static void progress(double seconds)
{
	printf("%.0f s: %llu inputs, %.0f per second, %llu bound, %llu hangs, %u ways, %u kept, %u findings\n",
	       seconds, (unsigned long long)fz.runs, (double)fz.runs / seconds,
	       (unsigned long long)fz.bound, (unsigned long long)fz.hangs, fz.ways, fz.nr_corpus,
	       fz.nr_found);
	fflush(stdout);
}

/* The kernel has booted. The children return from here, and the driver finds the device. */
static void serve(void *unused)
{
	const struct itimerval limit = {.it_value.tv_sec = HANG_SECONDS};
	uint64_t start = ob_clock_ms(), told = start, now;
	unsigned int next = 0;

	load_corpus();
	if (ob_fuzz_pages(fz.dev)) {
		fprintf(stderr, "no memory\n");
		_exit(1);
	}
	do {
		struct input in;
		int status;
		pid_t pid;

		/* What was found before is run as it is, first. */
		if (next < fz.nr_corpus && fz.runs < fz.nr_corpus) {
			in = fz.corpus[next++];
		} else {
			in = fz.corpus[chance() % fz.nr_corpus];
			mutate(&in);
		}
		fz.shared->len = 0;
		fz.shared->text[0] = '\0';
		fz.shared->bound = false;
		memset(fz.shared->coverage, 0, OB_COVERAGE);
		pid = fork();
		if (!pid) {
			if (ob_fuzz_private(fz.dev) || ob_fuzz_input(fz.dev, in.data, in.len))
				_exit(3);
			setitimer(ITIMER_PROF, &limit, NULL);
			return;
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			fprintf(stderr, "no process for an input: %s\n", strerror(errno));
			_exit(1);
		}
		fz.runs++;
		fz.bound += fz.shared->bound;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) {
			char name[64];

			snprintf(name, sizeof(name), "hang-%llu", (unsigned long long)fz.hangs++);
			if (fz.hangs <= 16)
				save(&in, name, fz.shared->text);
		} else if (WIFSIGNALED(status)) {
			finding(&in, status);
		} else if (WEXITSTATUS(status)) {
			fprintf(stderr, "a child could not begin\n");
			_exit(1);
		} else if (fresh_ways()) {
			char name[64];

			snprintf(name, sizeof(name), "way-%u", fz.nr_corpus);
			keep(&in);
			save(&in, name, NULL);
		}
		now = ob_clock_ms();
		if (now - told >= 10000) {
			told = now;
			progress((double)(now - start) / 1e3);
		}
	} while (now - start < fz.seconds * 1000ull);
	progress((double)(now - start) / 1e3);
	_exit(fz.nr_found ? 2 : 0);
}

static int fail(const struct ob_error *err)
{
	char text[1200];

	fprintf(stderr, "outboard-fuzz-linux: %s\n", ob_error_text(err, text, sizeof(text)));
	return 1;
}

int main(int argc, char **argv)
{
	struct ob_driver_config config = {0};
	const struct ob_driver *driver;
	struct ob_error err = {0};
	struct ob_binding *b;
	bool once;
	Dl_info where;

	if (argc < 3 || strncmp(argv[2], "fuzz:", 5)) {
		fprintf(stderr,
			"usage: outboard-fuzz-linux DRIVER fuzz:MODEL [SECONDS [FOLDER [SEED]]]\n"
			"       outboard-fuzz-linux DRIVER fuzz:MODEL,input=FILE\n");
		return 1;
	}
	once = strstr(argv[2], "input=");
	fz.seconds = argc > 3 ? (unsigned int)atoi(argv[3]) : 60;
	fz.folder = argc > 4 ? argv[4] : ".";
	fz.random = (argc > 5 ? strtoull(argv[5], NULL, 0) : 1) | 1ull << 63;
	fz.corpus = calloc(CORPUS, sizeof(*fz.corpus));
	fz.shared = mmap(NULL, sizeof(*fz.shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!fz.corpus || fz.shared == MAP_FAILED) {
		fprintf(stderr, "outboard-fuzz-linux: no memory\n");
		return 1;
	}
	mkdir(fz.folder, 0777);
	if (ob_driver_load(argv[1], &driver, &err) || ob_device_open(argv[2], &fz.dev, &err))
		return fail(&err);
	if (dladdr(driver, &where))
		fz.base = (unsigned long)where.dli_fbase;
	if (!once) {
		config.ready = serve;
		config.coverage = fz.shared->coverage;
		ob_device_set_log(fz.dev, tell, NULL);
		watch_faults();
	}
	if (ob_driver_bind(fz.dev, driver, &config, &b, &err)) {
		if (once)
			return fail(&err);
		_exit(0);
	}
	fz.shared->bound = true;
	use(b);
	if (!once)
		_exit(0);
	ob_device_close(fz.dev);
	return 0;
}
