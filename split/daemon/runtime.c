// SPDX-License-Identifier: BSD-2-Clause
/*
 * The daemon of a split driver: reads a request, puts what it has into objects that look like the kernel's, calls the function, and sends back
 * what it changed. protocol.h has the records. One request at a time: what a driver's functions share, they share as under RTNL.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"
#include "runtime.h"

enum {
	ARENA = 4 << 20,   /* objects of one request */
	WAIT_MS = 20,	   /* between attempts to open the device */
	UNKNOWN = 1 << 24, /* bytes that no address points into; registers have fewer */
};

static unsigned char *arena, *before; /* objects, and what they were when the request came */
static size_t used, placed;	      /* of the arena; of that, by objects: the rest is texts */
static unsigned char *unknown;
static unsigned char record[OB_SPLIT_MAX_RECORD], answer[OB_SPLIT_MAX_RECORD];
static int device = -1;
static uint64_t serving;
static const struct ob_split_op *serving_op;
static struct ob_split_object *serving_objects;
static jmp_buf failed; /* the function that is served cannot go on */

static void *get(unsigned long size)
{
	void *at = arena + used;

	size = (size + 63) & ~63ul;
	if (size > ARENA - used) {
		fprintf(stderr, "a request's objects need more than %d bytes\n", ARENA);
		abort();
	}
	used += size;
	return at;
}

void runtime_log(unsigned int level, const char *text)
{
	struct ob_split_down down = {.unique = serving,
				     .what = OB_SPLIT_LOG,
				     .level = level,
				     .in = (uintptr_t)text,
				     .in_len = strnlen(text, OB_SPLIT_MAX_TEXT)};

	if (ioctl(device, OB_SPLIT_DOWN, &down) && errno != ENOENT)
		fprintf(stderr, "a message was not taken: %s\n%s\n", strerror(errno), text);
}

/* ---- requests ---------------------------------------------------------------------------- */

static void *address_of(uint64_t token, const struct ob_split_op *op,
			const struct ob_split_object *objects)
{
	unsigned int what = token >> 48;

	if (!token)
		return NULL;
	if (what <= op->n_objects)
		return (unsigned char *)objects[what - 1].base + (token & 0xffffffffffff);
	return unknown + UNKNOWN / 2;
}

/* The kernel's items are as its own table says, which is the same: this one finds what is broken, not who lies. */
static int take_items(const struct ob_split_op *op, struct ob_split_object *objects,
		      const unsigned char *at, size_t size)
{
	while (size) {
		const struct ob_split_item *item = (const void *)at;
		const struct ob_split_slot *s;
		unsigned char *to;
		uint64_t token;
		void *p;

		if (size < sizeof(*item) || item->slot >= op->n_slots ||
		    size - sizeof(*item) < ((size_t)item->bytes + 7) / 8 * 8)
			return -EPROTO;
		at += sizeof(*item);
		s = &op->slots[item->slot];
		to = (unsigned char *)objects[s->object].base + s->offset;
		if (s->flags & OB_SPLIT_TEXT) {
			p = item->bytes ? get(item->bytes) : NULL;
			if (p)
				memcpy(p, at, item->bytes);
			memcpy(to, &p, sizeof(p));
		} else if (s->flags & OB_SPLIT_POINTER) {
			if (item->bytes != sizeof(token))
				return -EPROTO;
			memcpy(&token, at, sizeof(token));
			p = address_of(token, op, objects);
			memcpy(to, &p, sizeof(p));
		} else {
			if (item->bytes > s->size)
				return -EPROTO;
			if (s->flags & OB_SPLIT_WHOLE)
				objects[s->object].size = item->bytes;
			memcpy(to, at, item->bytes);
		}
		at += ((size_t)item->bytes + 7) / 8 * 8;
		size -= sizeof(*item) + ((size_t)item->bytes + 7) / 8 * 8;
	}
	return 0;
}

/* Bytes of a field; of a whole object, those that the request had. */
static size_t bytes_of(const struct ob_split_slot *s, const struct ob_split_object *o)
{
	return s->flags & OB_SPLIT_WHOLE ? o->size : s->size;
}

/* What may be changed, as both sides know it. An object may be much smaller than there is room for, so the arena as a whole is not copied. */
static void remember(const struct ob_split_op *op, const struct ob_split_object *objects)
{
	for (unsigned int i = 0; i < op->n_slots; i++) {
		const struct ob_split_slot *s = &op->slots[i];
		const struct ob_split_object *o = &objects[s->object];
		const unsigned char *at = (unsigned char *)o->base + s->offset;

		if (s->flags & OB_SPLIT_OUT)
			memcpy(before + (at - arena), at, bytes_of(s, o));
	}
}

static bool has_changed(const struct ob_split_slot *s, const unsigned char *at, size_t n)
{
	const unsigned char *was = before + (at - arena);
	uint32_t a, b;

	if (!(s->flags & OB_SPLIT_BITS))
		return memcmp(at, was, n) != 0;
	memcpy(&a, at, sizeof(a));
	memcpy(&b, was, sizeof(b));
	return ((a ^ b) >> s->bit & ((1ull << s->bits) - 1)) != 0;
}

/* A result is sent whether or not it is 0. */
static size_t put_changes(const struct ob_split_op *op, const struct ob_split_object *objects,
			  unsigned char *to)
{
	size_t n = 0;

	for (unsigned int i = 0; i < op->n_slots; i++) {
		const struct ob_split_slot *s = &op->slots[i];
		const struct ob_split_object *o = &objects[s->object];
		unsigned char *at = (unsigned char *)o->base + s->offset;
		struct ob_split_item item = {.slot = i, .bytes = bytes_of(s, o)};

		if (!(s->flags & OB_SPLIT_OUT) ||
		    (s->object != OB_SPLIT_FRAME && !has_changed(s, at, item.bytes)))
			continue;
		memcpy(to + n, &item, sizeof(item));
		n += sizeof(item);
		memcpy(to + n, at, item.bytes);
		memset(to + n + item.bytes, 0, (item.bytes + 7) / 8 * 8 - item.bytes);
		n += (item.bytes + 7) / 8 * 8;
	}
	return n;
}

/* ---- functions that the kernel kept ---------------------------------------------------------------- */

static uint64_t token_of(const void *p)
{
	const unsigned char *at = p;

	if (!p)
		return 0;
	for (unsigned int i = 1; i < serving_op->n_objects; i++) {
		const unsigned char *base = serving_objects[i].base;

		if (at >= base && at < base + serving_objects[i].size)
			return (uint64_t)(i + 1) << 48 | (uint64_t)(at - base);
	}
	return (uint64_t)OB_SPLIT_OPAQUE << 48 |
	       ((uint64_t)(at - (unknown + UNKNOWN / 2)) & 0xffffffffffff);
}

static const struct ob_split_kept *find_kept(unsigned int number)
{
	for (unsigned int i = 0; i < serving_op->n_kept; i++)
		if (serving_op->kept[i].number == number)
			return &serving_op->kept[i];
	return NULL;
}

/* What was changed goes along, and what it changes comes back, so that both sides see the same. */
unsigned long long ob_split_ask(unsigned int number, unsigned long long *v)
{
	static uint64_t in[OB_SPLIT_MAX_RECORD / 8], out[OB_SPLIT_MAX_RECORD / 8];
	const struct ob_split_kept *k = find_kept(number);
	unsigned int n;
	struct ob_split_down down = {.unique = serving,
				     .what = OB_SPLIT_CALL,
				     .level = number,
				     .in = (uintptr_t)in,
				     .out = (uintptr_t)out,
				     .out_room = sizeof(out)};

	if (!k) {
		fprintf(stderr, "function %u is none that this operation may ask for\n", number);
		longjmp(failed, 1);
	}
	n = k->n_arguments;
	for (unsigned int i = 0; i < n; i++)
		in[i] = k->arguments[i].kind <= OB_SPLIT_REGISTER ? token_of((void *)v[i]) : v[i];
	down.in_len = n * 8 + put_changes(serving_op, serving_objects, (unsigned char *)&in[n]);
	if (ioctl(device, OB_SPLIT_DOWN, &down)) {
		if (errno != ENOENT)
			fprintf(stderr, "%s is not to be had from the kernel: %s\n", k->name,
				strerror(errno));
		longjmp(failed, 1);
	}
	for (unsigned int i = 0; i < n; i++)
		if (k->arguments[i].kind == OB_SPLIT_RESULT)
			v[i] = out[1 + i];
	if (take_items(serving_op, serving_objects, (unsigned char *)&out[1 + n],
		       down.out_len - (1 + n) * 8))
		longjmp(failed, 1);
	remember(serving_op, serving_objects);
	return out[0];
}

/*
 * The arena is as new for the next request. A whole object may be much smaller than its room; what lies behind its end is no one's to write.
 * The driver's variables, which do not lie there, stay.
 */
static void forget(const struct ob_split_object *objects)
{
	for (unsigned int i = 0; i < OB_SPLIT_OBJECTS; i++) {
		unsigned char *at = objects[i].base;

		if (at >= arena && at < arena + placed)
			memset(at, 0, objects[i].size);
	}
	memset(arena + placed, 0, used - placed);
	used = placed = 0;
}

static int execute(const struct ob_split_op *op, struct ob_split_object *objects)
{
	serving_op = op;
	serving_objects = objects;
	remember(op, objects);
	if (setjmp(failed))
		return -EIO;
	op->serve(objects);
	return 0;
}

static int serve(const struct ob_split_request *request)
{
	struct ob_split_object objects[OB_SPLIT_OBJECTS] = {{NULL, 0}};
	struct ob_split_reply reply = {.len = sizeof(reply), .unique = request->unique};
	const struct ob_split_op *op;

	serving = request->unique;
	op = request->op < ob_split_n_ops ? ob_split_ops[request->op] : NULL;
	if (!op) {
		reply.error = -ENOSYS;
	} else {
		op->place(objects, get);
		placed = used;
		reply.error = take_items(op, objects, (const unsigned char *)(request + 1),
					 request->len - sizeof(*request));
	}
	if (!reply.error) {
		reply.error = execute(op, objects);
	}
	if (!reply.error) {
		reply.len += put_changes(op, objects, answer + sizeof(reply));
	}
	forget(objects);
	memcpy(answer, &reply, sizeof(reply));
	/* Its caller may have gone meanwhile. */
	return write(device, answer, reply.len) == reply.len || errno == ENOENT ? 0 : -errno;
}

static int serve_all(void)
{
	for (;;) {
		struct ob_split_request *request = (void *)record;
		ssize_t n = read(device, record, sizeof(record));
		int ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n < (ssize_t)sizeof(*request) || request->len != n)
			return -EPROTO;
		ret = serve(request);
		if (ret)
			return ret;
	}
}

/* ---- begin --------------------------------------------------------------------------------- */

static void *map(size_t size, int access)
{
	void *at = mmap(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		fprintf(stderr, "no memory: %s\n", strerror(errno));
		exit(1);
	}
	return at;
}

/* The module may come after the daemon. */
static int open_device(const char *path, long wait_ms)
{
	const struct timespec pause = {.tv_nsec = WAIT_MS * 1000000};
	int fd;

	for (;;) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || (errno != ENOENT && errno != EBUSY) || wait_ms <= 0)
			return fd;
		nanosleep(&pause, NULL);
		wait_ms -= WAIT_MS;
	}
}

static int usage(const char *program, FILE *out, int code)
{
	fprintf(out,
		"usage: %s [--device PATH | --fd N] [--wait SECONDS] [--unconfined]\n\n"
		"Serves the functions of a split driver that are not in the kernel.\n\n"
		"  --device PATH   default: /dev/%s\n"
		"  --fd N          the device is open already\n"
		"  --wait SECONDS  for the module to be loaded (default: 0)\n"
		"  --unconfined    keep rights and system calls, for debugging\n",
		program, ob_split_device);
	return code;
}

int main(int argc, char **argv)
{
	struct ob_split_hello hello = {.version = OB_SPLIT_VERSION};
	char path[256];
	const char *device_path = path;
	bool confined = true;
	long wait = 0;
	int ret;

	snprintf(path, sizeof(path), "/dev/%s", ob_split_device);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help"))
			return usage(argv[0], stdout, 0);
		if (!strcmp(argv[i], "--unconfined")) {
			confined = false;
			continue;
		}
		if (i + 1 == argc)
			return usage(argv[0], stderr, 2);
		if (!strcmp(argv[i], "--device"))
			device_path = argv[++i];
		else if (!strcmp(argv[i], "--fd"))
			device = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--wait"))
			wait = atol(argv[++i]);
		else
			return usage(argv[0], stderr, 2);
	}
	if (device < 0)
		device = open_device(device_path, wait * 1000);
	if (device < 0) {
		fprintf(stderr, "%s: %s\n", device_path, strerror(errno));
		return 1;
	}
	arena = map(ARENA, PROT_READ | PROT_WRITE);
	before = map(ARENA, PROT_READ | PROT_WRITE);
	unknown = map(UNKNOWN, PROT_NONE);
	hello.layout = ob_split_layout(ob_split_ops, ob_split_n_ops);
	if (ioctl(device, OB_SPLIT_HELLO, &hello)) {
		fprintf(stderr, "%s: %s\n", device_path,
			errno == EPROTO ? "the module was made from other sources or headers"
					: strerror(errno));
		return 1;
	}
	ret = confined ? runtime_confine() : 0;
	if (ret) {
		fprintf(stderr, "the daemon cannot be confined: %s\n", strerror(-ret));
		return 1;
	}
	fprintf(stderr, "%s: %u operations\n", device_path, hello.operations);
	ret = serve_all();
	fprintf(stderr, "%s: %s\n", device_path, strerror(-ret));
	return 1;
}
