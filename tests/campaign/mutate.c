/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mutate [--only PATTERN] --seed S --number N IN.so OUT.so: a copy of a driver's shared object or kernel module with one fault in its code (mutations.h). Same seed and
 * number, same fault. It is printed: number, class, offset in the file, virtual address, function, before, after.
 *
 * mutate [--only PATTERN] --count IN.so: how many places there are for each class.
 *
 * PATTERN, with *, is of the names of functions: "e1000_*" in an object that has a kernel in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/campaign/mutations.h"

static int usage(void)
{
	fprintf(stderr, "usage: mutate [--only PATTERN] --seed S --number N IN.so OUT.so\n"
			"       mutate [--only PATTERN] --count IN.so\n");
	return 2;
}

static void make_one(struct object *o, uint64_t seed, uint64_t number, const char *out)
{
	struct mutation m;

	object_mutation(o, seed, number, &m);
	object_write(o, &m, out);
	printf("%llu\t%s\t0x%llx\t0x%llx\t%s+0x%llx\t%s\t%s\n", (unsigned long long)number,
	       kind_names[m.kind], (unsigned long long)m.at, (unsigned long long)m.va, m.function,
	       (unsigned long long)m.offset, m.before, m.after);
}

int main(int argc, char **argv)
{
	const char *only = "*";
	struct object *o;
	bool count;

	if (argc > 2 && !strcmp(argv[1], "--only")) {
		only = argv[2];
		argc -= 2;
		argv += 2;
	}
	count = argc == 3 && !strcmp(argv[1], "--count");
	if (!count && (argc != 7 || strcmp(argv[1], "--seed") || strcmp(argv[3], "--number")))
		return usage();
	o = object_load(argv[count ? 2 : 5], only);
	if (count)
		for (unsigned int k = 0; k < KINDS; k++)
			printf("%s %zu\n", kind_names[k], object_places(o, (enum kind)k));
	else
		make_one(o, strtoull(argv[2], NULL, 0), strtoull(argv[4], NULL, 0), argv[6]);
	object_free(o);
	return 0;
}
