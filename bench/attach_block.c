/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard-bench-attach_block [--json FILE] [--seconds N] [--depth N]: what it costs to give a disk back to the
 * kernel, by attachment: copies of a payload, system calls, sleeps and processor time of the serving
 * thread per request, with fio as the client of an NVMe disk that reads zeroes (null=), at depth 32.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <outboard/outboard.h>

#define SPEC "qemu:nvme,null=1G"

struct load {
	const char *name, *rw, *bs;
};

static const struct load loads[] = {
	{"read 4 KiB", "randread", "4k"},
	{"write 4 KiB", "randwrite", "4k"},
	{"read 128 KiB", "randread", "128k"},
	{"write 128 KiB", "randwrite", "128k"},
};

static const char *const attachments[] = {"loop", "nbd", "nbd,socket=%s"};

struct result {
	double iops, kernel_copies, own_copies, attach_calls, device_calls, sleeps, cpu_us;
};

struct sample {
	struct ob_attach_stats at;
	struct ob_loop_stats loop;
	struct ob_access_stats dev;
	double cpu;
};

struct served {
	struct ob_device *dev;
	struct ob_binding *b;
	struct ob_loop *loop;
	struct ob_attach *at;
	struct ob_attach_info info;
	pthread_t thread;
};

static unsigned int seconds = 2, depth = 32;

static void *run_loop(void *loop)
{
	ob_loop_run(loop);
	return NULL;
}

static void say(const char *what, const struct ob_error *err)
{
	char text[1400];

	fprintf(stderr, "%s: %s\n", what, ob_error_text(err, text, sizeof(text)));
}

static void stop(struct served *s)
{
	if (s->thread) {
		ob_attach_unpublish(s->at, true, NULL);
		ob_loop_stop(s->loop);
		pthread_join(s->thread, NULL);
	}
	ob_attach_close(s->at);
	ob_loop_destroy(s->loop);
	if (s->b)
		ob_driver_unbind(s->b);
	if (s->dev)
		ob_device_close(s->dev);
}

/* Return: 0; -EOPNOTSUPP or the like where this system or user cannot do it, which is told. */
static int serve(struct served *s, const char *attachment)
{
	struct ob_error err = {0};
	int ret;

	memset(s, 0, sizeof(*s));
	ret = ob_device_open(SPEC, &s->dev, &err);
	if (!ret)
		ret = ob_driver_bind(s->dev, NULL, NULL, &s->b, &err);
	if (!ret)
		ret = ob_loop_create(OB_MODE_ADAPTIVE, &s->loop);
	if (!ret)
		ret = ob_attach_open(s->b, 0, attachment, s->loop, &s->at, &err);
	if (!ret) {
		ret = -pthread_create(&s->thread, NULL, run_loop, s->loop);
		if (ret)
			s->thread = 0;
	}
	if (!ret)
		ret = ob_attach_publish(s->at, &err);
	if (ret) {
		say(attachment, &err);
		stop(s);
		return ret;
	}
	s->at->ops->info(s->at, &s->info);
	return 0;
}

static void take_sample(const struct served *s, struct sample *sample)
{
	struct timespec ts = {0};
	clockid_t clock;

	s->at->ops->stats(s->at, &sample->at);
	ob_loop_stats(s->loop, &sample->loop);
	ob_device_stats(s->dev, &sample->dev);
	if (!pthread_getcpuclockid(s->thread, &clock))
		clock_gettime(clock, &ts);
	sample->cpu = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* fio's terse output, version 3: the 8th field is IOPS of reads, the 49th of writes (fio(1)). */
static double run_fio(const struct served *s, const struct load *l)
{
	bool nbd = !strcmp(s->info.kind, "nbd");
	char command[1024], line[4096];
	double iops = -1;
	FILE *f;

	snprintf(command, sizeof(command),
		 "fio --name=load --minimal --terse-version=3 --rw=%s --bs=%s --iodepth=%u "
		 "--size=1G --time_based --runtime=%u %s'%s' 2>&1",
		 l->rw, l->bs, depth, seconds,
		 nbd ? "--ioengine=nbd --uri=" : "--ioengine=libaio --direct=1 --filename=",
		 s->info.name);
	f = popen(command, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		char *field = line;

		if (strncmp(line, "3;", 2) != 0)
			continue;
		for (unsigned int i = 1; field && i < (strstr(l->rw, "write") ? 49 : 8); i++)
			field = strchr(field, ';') ? strchr(field, ';') + 1 : NULL;
		if (field)
			iops = atof(field);
	}
	return pclose(f) ? -1 : iops;
}

static bool measure(struct served *s, const struct load *l, struct result *r)
{
	struct sample a, b;
	double n;

	take_sample(s, &a);
	r->iops = run_fio(s, l);
	take_sample(s, &b);
	n = (double)(b.at.requests_in + b.at.requests_out - a.at.requests_in - a.at.requests_out);
	if (r->iops <= 0 || n <= 0) {
		fprintf(stderr, "%s: fio has failed\n", s->info.name);
		return false;
	}
	r->kernel_copies = (double)(b.at.kernel_copies - a.at.kernel_copies) / n;
	r->own_copies = (double)(b.at.own_copies - a.at.own_copies) / n;
	r->attach_calls = (double)(b.at.syscalls - a.at.syscalls) / n;
	r->device_calls = (double)(b.dev.syscalls - a.dev.syscalls) / n;
	r->sleeps = (double)(b.loop.sleeps - a.loop.sleeps) / n;
	r->cpu_us = (b.cpu - a.cpu) * 1e6 / n;
	return true;
}

static void print_result(FILE *json, bool first, const char *kind, const struct load *l,
			 const struct result *r)
{
	printf("%-10s %-14s %9.0f %8.2f %6.2f %10.2f %10.2f %8.3f %8.2f\n", kind, l->name, r->iops,
	       r->kernel_copies, r->own_copies, r->attach_calls, r->device_calls, r->sleeps,
	       r->cpu_us);
	if (!json)
		return;
	fprintf(json,
		"%s\n  {\"attachment\": \"%s\", \"load\": \"%s\", \"depth\": %u, \"iops\": %.0f, "
		"\"kernel_copies\": %.3f, \"own_copies\": %.3f, \"attachment_syscalls\": %.3f, "
		"\"device_syscalls\": %.3f, \"sleeps\": %.4f, \"cpu_us\": %.3f}",
		first ? "" : ",", kind, l->name, depth, r->iops, r->kernel_copies, r->own_copies,
		r->attach_calls, r->device_calls, r->sleeps, r->cpu_us);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", required_argument, NULL, 'j'},
						{"seconds", required_argument, NULL, 's'},
						{"depth", required_argument, NULL, 'd'},
						{NULL, 0, NULL, 0}};
	char dir[] = "/tmp/outboard-bench-XXXXXX", path[64], text[96];
	unsigned int done = 0;
	FILE *json = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'j') {
			json = fopen(optarg, "w");
		} else if (opt == 's') {
			seconds = (unsigned int)atoi(optarg);
		} else if (opt == 'd') {
			depth = (unsigned int)atoi(optarg);
		} else {
			fprintf(stderr, "usage: %s [--json FILE] [--seconds N] [--depth N]\n",
				argv[0]);
			return 2;
		}
		if (opt == 'j' && !json) {
			perror(optarg);
			return 2;
		}
	}
	if (system("fio --version >/dev/null 2>&1")) {
		fprintf(stderr, "there is no fio: apt-get install fio\n");
		return 2;
	}
	if (!mkdtemp(dir)) {
		perror(dir);
		return 2;
	}
	snprintf(path, sizeof(path), "%s/nbd.sock", dir);
	printf("%s, depth %u; per request: copies by the kernel and by us, system calls of the "
	       "attachment and to the device model,\nsleeps, processor time of the serving thread\n\n",
	       SPEC, depth);
	printf("%-10s %-14s %9s %8s %6s %10s %10s %8s %8s\n", "", "", "IOPS", "kernel", "own",
	       "attachment", "device", "sleeps", "us");
	if (json)
		fprintf(json, "[");
	for (unsigned int a = 0; a < sizeof(attachments) / sizeof(attachments[0]); a++) {
		struct served s;
		struct result r;

		snprintf(text, sizeof(text), attachments[a], path);
		if (serve(&s, text))
			continue;
		for (unsigned int i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
			if (measure(&s, &loads[i], &r))
				print_result(json, !done++, strchr(text, ',') ? "nbd (unix)" : text,
					     &loads[i], &r);
		stop(&s);
	}
	if (json) {
		fprintf(json, "\n]\n");
		fclose(json);
	}
	rmdir(dir);
	return done ? 0 : 1;
}
