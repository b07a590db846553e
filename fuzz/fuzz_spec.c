/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device specifications (outboard/access.h): whatever a person types is either refused with a
 * sentence or parsed into strings that lie in the specification's own copy.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/access.h>

#include "fuzz/fuzz.h"

static void check_string(const struct ob_spec *spec, const char *s)
{
	const char *end = spec->copy + sizeof(spec->copy);

	/* An option without '=' has the constant "" for its value. */
	CHECK(s);
	if (!*s && !(s >= spec->copy && s < end))
		return;
	CHECK(s >= spec->copy && s < end);
	CHECK(memchr(s, '\0', (size_t)(end - s)));
}

static void check_part(const struct ob_spec *spec, struct ob_spec_part *part)
{
	static const char *const choices[] = {"pooled", "strict", "lazy", NULL};
	struct ob_error err = {0};
	unsigned int choice = 0;
	uint64_t number = 0;
	bool yes = false;

	check_string(spec, part->name);
	CHECK(part->n <= OB_SPEC_OPTIONS);
	for (unsigned int i = 0; i < part->n; i++) {
		const char *key = part->opt[i].key;

		check_string(spec, key);
		check_string(spec, part->opt[i].value);
		CHECK(!part->opt[i].used);
		CHECK(ob_spec_get(part, key) == part->opt[i].value);
		CHECK(part->opt[i].used);
		if (!ob_spec_get_u64(part, key, 16, 1 << 20, &number, &err))
			CHECK(number >= 16 && number <= 1 << 20);
		else
			CHECK(err.code == -EINVAL && err.what[0]);
		if (!ob_spec_get_choice(part, key, choices, &choice, &err))
			CHECK(choice < 3);
		ob_spec_get_bool(part, key, &yes, &err);
	}
	CHECK(!ob_spec_get(part, "no such option"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_error err = {0};
	struct ob_spec *spec;
	char *text;

	/* On the heap and of exact size, so that the address sanitizer sees a byte too many. */
	spec = malloc(sizeof(*spec));
	text = malloc(size + 1);
	if (!spec || !text) {
		free(spec);
		free(text);
		return 0;
	}
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';

	if (ob_spec_parse(text, spec, &err)) {
		char all[2048];

		CHECK(err.code < 0 && err.what[0]);
		CHECK(ob_error_text(&err, all, sizeof(all)) == all);
		CHECK(memchr(all, '\0', sizeof(all)));
	} else {
		CHECK(!strcmp(spec->text, text));
		CHECK(spec->nr_wrappers <= OB_SPEC_WRAPPERS);
		check_string(spec, spec->backend);
		/* Before anybody took an option, one that was given is left over. */
		if (spec->device.n || (spec->nr_wrappers && spec->wrapper[0].n))
			CHECK(ob_spec_leftover(spec, "file=PATH", &err) == -EINVAL);
		for (unsigned int i = 0; i < spec->nr_wrappers; i++)
			check_part(spec, &spec->wrapper[i]);
		check_part(spec, &spec->device);
		CHECK(ob_spec_leftover(spec, "file=PATH", &err) == 0);
	}
	free(text);
	free(spec);
	return 0;
}
