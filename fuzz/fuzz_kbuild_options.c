/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kbuild leaves in .cmd files, and Makefiles (split/flags.c): whatever stands there, what comes of it are options for a parser and nothing
 * that names an output, and no option is without its value.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "split/sources.h"

static bool is_pair(const char *word)
{
	return !strcmp(word, "-include") || !strcmp(word, "-I") || !strcmp(word, "-D") ||
	       !strcmp(word, "-U") || !strcmp(word, "-isystem") || !strcmp(word, "-iquote") ||
	       !strcmp(word, "-idirafter") || !strcmp(word, "-imacros") ||
	       !strcmp(word, "-iprefix") || !strcmp(word, "-iwithprefix");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	texts flags = {0};
	char *text = malloc(size + 1);
	int ret;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	ret = flags_from_cmd(&flags, text);
	CHECK(ret == 0 || ret == -EINVAL);
	CHECK(ret == 0 || flags.n == 0);
	for (size_t i = 0; i < flags.n; i++) {
		CHECK(*flags.at[i] == '-');
		CHECK(strncmp(flags.at[i], "-o", 2) != 0);
		if (is_pair(flags.at[i]))
			CHECK(++i < flags.n);
	}
	texts_free(&flags);
	CHECK(flags_from_makefile(&flags, text, "/driver", "/kernel") == 0);
	for (size_t i = 0; i < flags.n; i++) {
		CHECK(!strncmp(flags.at[i], "-I", 2) || !strncmp(flags.at[i], "-D", 2));
		CHECK(flags.at[i][2] && !strstr(flags.at[i], "$("));
	}
	texts_free(&flags);
	free(text);
	return 0;
}
