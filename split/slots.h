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
	OB_SPLIT_WHOLE = 32,	/* the object, whose size the caller knows */
	OB_SPLIT_BITS = 64,	/* @bits from bit @bit on of the 32 at @offset */
	OB_SPLIT_OBJECTS = 16,	/* at most */
	OB_SPLIT_FRAME = 0,	/* object: parameters and result */
	OB_SPLIT_ARGUMENTS = 6, /* of a function that is kept, at most */
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

enum ob_split_argument_kind {
	OB_SPLIT_OBJECT,   /* the address of one of @places */
	OB_SPLIT_REGISTER, /* the address that lies at @places[0], and one of @registers more */
	OB_SPLIT_VALUE,	   /* 0 to @most */
	OB_SPLIT_NUMBER,   /* any number of the argument's type */
	OB_SPLIT_RESULT,   /* the address of a number, which is set */
	OB_SPLIT_NOTHING,  /* NULL */
	OB_SPLIT_CALLER,   /* of a region: the operation's frame; 0 is sent */
};

struct ob_split_place {
	unsigned int object, offset;
};

struct ob_split_argument {
	enum ob_split_argument_kind kind;
	unsigned int n_places, n_registers;
	unsigned long long most;
	const struct ob_split_place *places;
	const unsigned int *registers;
};

/**
 * struct ob_split_kept - a function in the kernel that the moved one calls
 * @number: by which the daemon asks for it
 * @region: it is a part of the moved one, under a lock; @call returns whether the conditions before it hold, and does nothing where they do not
 * @call: in the module: calls it; @p has the addresses, @v the numbers, and gets those that are set
 */
struct ob_split_kept {
	const char *name;
	unsigned int number, n_arguments, region;
	const struct ob_split_argument *arguments;
	unsigned long long (*call)(void *const *p, unsigned long long *v);
};

/**
 * struct ob_split_op - a function that moved
 * @number: in requests
 * @layout: over its slots; differs where the two sides do not fit
 * @netdev: object that is a struct net_device, for messages; 0: none
 * @kept: what it may ask for while it is served
 * @place: in the daemon: gives objects memory of their own, by @get
 * @serve: in the daemon: the function itself
 */
struct ob_split_op {
	const char *name;
	unsigned int number, n_slots, n_objects, netdev, n_kept;
	const struct ob_split_slot *slots;
	const struct ob_split_kept *kept;
	void (*place)(struct ob_split_object *objects, void *(*get)(unsigned long size));
	void (*serve)(struct ob_split_object *objects);
};

static inline unsigned long long ob_split_mix(unsigned long long hash, unsigned long long word)
{
	return (hash ^ word) * 0x100000001b3ull;
}

static inline unsigned long long ob_split_layout_kept(unsigned long long hash,
						      const struct ob_split_kept *kept)
{
	hash = ob_split_mix(hash, kept->number);
	hash = ob_split_mix(hash, kept->n_arguments);
	hash = ob_split_mix(hash, kept->region);
	for (unsigned int i = 0; i < kept->n_arguments; i++) {
		const struct ob_split_argument *a = &kept->arguments[i];

		hash = ob_split_mix(hash, a->kind);
		hash = ob_split_mix(hash, a->most);
		for (unsigned int k = 0; k < a->n_places; k++) {
			hash = ob_split_mix(hash, a->places[k].object);
			hash = ob_split_mix(hash, a->places[k].offset);
		}
		for (unsigned int k = 0; k < a->n_registers; k++)
			hash = ob_split_mix(hash, a->registers[k]);
	}
	return hash;
}

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
				hash = ob_split_mix(hash, words[w]);
		}
		hash = ob_split_mix(hash, ops[i]->n_objects);
		for (unsigned int k = 0; k < ops[i]->n_kept; k++)
			hash = ob_split_layout_kept(hash, &ops[i]->kept[k]);
	}
	return hash;
}

#endif
