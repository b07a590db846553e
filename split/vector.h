/* SPDX-License-Identifier: BSD-2-Clause */
/* Arrays that grow: struct { TYPE *at; size_t n, room; }. */
#ifndef SPLIT_VECTOR_H
#define SPLIT_VECTOR_H

#include <stdbool.h>
#include <stdlib.h>

#define VECTOR(type)                                                                               \
	struct {                                                                                   \
		type *at;                                                                          \
		size_t n, room;                                                                    \
	}

/* vector_add() - room for one more, zeroed, at its end; NULL without memory */
#define vector_add(v)                                                                              \
	(vector_grow((void **)&(v)->at, &(v)->room, (v)->n, sizeof(*(v)->at)) ? &(v)->at[(v)->n++] \
									      : NULL)

#define vector_free(v) free((v)->at)

static inline bool vector_grow(void **at, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? 2 * *room : 8;
	void *moved = *at;

	if (n == *room) {
		moved = realloc(*at, more * size);
		if (!moved)
			return false;
		*at = moved;
		*room = more;
	}
	__builtin_memset((char *)moved + n * size, 0, size);
	return true;
}

#endif
