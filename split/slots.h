/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables that `outboard split` generates: which fields of which objects a function that moved reads and writes. Module and daemon are
 * compiled with the same ones, against the same types; so this includes nothing, neither the kernel's nor a process's.
 */
#ifndef OB_SPLIT_SLOTS_H
#define OB_SPLIT_SLOTS_H

enum {
	OB_SPLIT_IN = 1,      /* sent with the request */
	OB_SPLIT_OUT = 2,     /* the daemon may change it */
	OB_SPLIT_POINTER = 4, /* travels as a token; never OUT */
	OB_SPLIT_TEXT = 8,    /* the address of a string, which travels as its bytes; never OUT */
	OB_SPLIT_STRING =
		16, /* an array of characters that ends with 0, whatever the daemon sends */
	OB_SPLIT_WHOLE = 32,   /* the object, whose size the caller knows */
	OB_SPLIT_BITS = 64,    /* @bits from bit @bit on of the 32 at @offset */
	OB_SPLIT_OBJECTS = 16, /* at most */
	OB_SPLIT_FRAME = 0,    /* object: parameters and result */
};

/**
 * struct ob_split_slot - one field
 * @object: of which it is a part
 * @offset: bytes from the object's begin
 * @size: bytes; of OB_SPLIT_WHOLE, the most that there may be
 */
struct ob_split_slot {
	unsigned short object, flags;
	unsigned int offset, size;
	unsigned char bit, bits;
};

struct ob_split_object {
	void *base; /* NULL: there is none; none of its slots travels */
	unsigned int size;
};

/**
 * struct ob_split_op - a function that moved
 * @number: in requests
 * @layout: over its slots; differs where the two sides do not fit
 * @netdev: object that is a struct net_device, for messages; 0: none
 * @region: what it keeps in the kernel, or NULL; 0, or -EPERM where the function would not have come to it
 * @place: in the daemon: gives objects memory of their own, by @get
 * @serve: in the daemon: the function itself
 */
struct ob_split_op {
	const char *name;
	unsigned int number, n_slots, n_objects, netdev;
	const struct ob_split_slot *slots;
	int (*region)(struct ob_split_object *objects);
	void (*place)(struct ob_split_object *objects, void *(*get)(unsigned long size));
	void (*serve)(struct ob_split_object *objects);
};

/* FNV-1a over what both sides must agree on. */
static inline unsigned long long ob_split_layout(const struct ob_split_op *const *ops,
						 unsigned int n)
{
	unsigned long long hash = 0xcbf29ce484222325ull;

	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < ops[i]->n_slots; k++) {
			const struct ob_split_slot *s = &ops[i]->slots[k];
			const unsigned int words[] = {s->object, s->flags, s->offset,
						      s->size,	 s->bit,   s->bits};

			for (unsigned int w = 0; w < sizeof(words) / sizeof(words[0]); w++)
				hash = (hash ^ words[w]) * 0x100000001b3ull;
		}
		hash = (hash ^ ops[i]->n_objects) * 0x100000001b3ull;
	}
	return hash;
}

#endif
