/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults in a driver's code: mutations.h. */
#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/campaign/mutations.h"

enum {
	/* How far before a call its arguments are looked for. */
	ARGUMENTS_BACK = 8,
};

const char *const kind_names[KINDS] = {
	"operand", "store", "branch", "bound", "check", "init", "pointer", "interface", "bit",
};

/* A place for a fault: the instruction, and what is done there is drawn when it is chosen. */
struct place {
	uint64_t at; /* offset in the file */
	uint64_t va;
	uint8_t size;
	const char *function;
	uint64_t function_va;
};

struct places {
	struct place *p;
	size_t n, room;
};

struct object {
	uint8_t *data;
	size_t size;
	const Elf64_Shdr *sections;
	unsigned int nr_sections;
	struct places kind[KINDS];
	const char *only;
	/* Of a kernel module: what the loader writes over. */
	const Elf64_Rela *rela;
	size_t nr_rela;
};

static csh engine;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "mutations: %s: %s\n", what, why);
	exit(2);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- instructions ------------------------------------------------------------------------------- */

static unsigned int opcode_bytes(const cs_x86 *x)
{
	unsigned int n = 4;

	while (n > 1 && !x->opcode[n - 1])
		n--;
	return n;
}

/* Where the last byte of the opcode is, or 0 where that cannot be told. */
static unsigned int opcode_at(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;
	unsigned int next =
		x->encoding.modrm_offset ? x->encoding.modrm_offset : x->encoding.imm_offset;

	return next && i->bytes[next - 1] == x->opcode[opcode_bytes(x) - 1] ? next - 1 : 0;
}

static bool is_conditional(const cs_insn *i)
{
	uint8_t b = i->bytes[0];

	return (i->size == 2 && b >= 0x70 && b <= 0x7f) ||
	       (i->size == 6 && b == 0x0f && (i->bytes[1] & 0xf0) == 0x80);
}

static uint8_t *condition(const cs_insn *i, uint8_t *bytes)
{
	return &bytes[i->size == 2 ? 0 : 1];
}

/* Conditions with an order in them: below, above, less, greater and their equals (SDM 2, Jcc). */
static bool is_ordered(uint8_t cc)
{
	cc &= 0xf;
	return cc == 2 || cc == 3 || cc == 6 || cc == 7 || cc >= 0xc;
}

/* One that differs at equality: B 2 - BE 6, AE 3 - A 7, L c - LE e, GE d - G f. */
static uint8_t other_bound(uint8_t cc)
{
	return (cc & 0xf) < 0xc ? cc ^ 4 : cc ^ 2;
}

/* Opcodes of which bit 1 says which operand is written (SDM 2, B.1.4.8). */
static bool has_direction(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;
	uint8_t op = x->opcode[0];

	if (opcode_bytes(x) != 1 || !x->encoding.modrm_offset || !opcode_at(i))
		return false;
	return (op >= 0x88 && op <= 0x8b) || (op < 0x40 && (op & 7) < 4);
}

static const cs_x86_op *memory(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	for (unsigned int o = 0; o < x->op_count; o++)
		if (x->operands[o].type == X86_OP_MEM)
			return &x->operands[o];
	return NULL;
}

static bool is_move(const cs_insn *i)
{
	return i->id == X86_INS_MOV || i->id == X86_INS_MOVABS;
}

static bool stores(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	return (is_move(i) || i->id == X86_INS_MOVUPS || i->id == X86_INS_MOVAPS ||
		i->id == X86_INS_MOVDQA || i->id == X86_INS_MOVDQU) &&
	       x->op_count == 2 && x->operands[0].type == X86_OP_MEM;
}

static bool initialises(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	if (x->op_count != 2)
		return false;
	if (i->id == X86_INS_XOR)
		return x->operands[0].type == X86_OP_REG && x->operands[1].type == X86_OP_REG &&
		       x->operands[0].reg == x->operands[1].reg;
	return is_move(i) && x->operands[1].type == X86_OP_IMM;
}

static bool compares_constant(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	return i->id == X86_INS_CMP && x->op_count == 2 && x->operands[1].type == X86_OP_IMM &&
	       x->encoding.imm_offset && x->operands[1].imm;
}

/* The rest of a conditional branch behind "test r, r" or "cmp x, 0". */
static bool tests_zero(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	if (x->op_count != 2)
		return false;
	if (i->id == X86_INS_TEST)
		return x->operands[0].type == X86_OP_REG && x->operands[1].type == X86_OP_REG &&
		       x->operands[0].reg == x->operands[1].reg;
	return i->id == X86_INS_CMP && x->operands[1].type == X86_OP_IMM && !x->operands[1].imm;
}

static bool has_pointer(const cs_insn *i)
{
	const cs_x86_op *m = memory(i);

	/* Not of the stack: rsp needs another encoding, and is not what a programmer mistakes. */
	return m && i->id != X86_INS_NOP && i->detail->x86.encoding.modrm_offset &&
	       m->mem.base != X86_REG_INVALID && m->mem.base != X86_REG_RIP &&
	       m->mem.base != X86_REG_RSP && m->mem.segment == X86_REG_INVALID;
}

/* First in the order of arguments (System V ABI, 3.2.3): 32-bit and 64-bit names. */
static int argument_of(x86_reg reg)
{
	static const x86_reg args[][2] = {
		{X86_REG_EDI, X86_REG_RDI}, {X86_REG_ESI, X86_REG_RSI}, {X86_REG_EDX, X86_REG_RDX},
		{X86_REG_ECX, X86_REG_RCX}, {X86_REG_R8D, X86_REG_R8},	{X86_REG_R9D, X86_REG_R9},
	};

	for (int a = 0; a < 6; a++)
		if (reg == args[a][0] || reg == args[a][1])
			return a;
	return -1;
}

static bool sets_argument(const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	return (is_move(i) || i->id == X86_INS_LEA || initialises(i)) && x->op_count == 2 &&
	       x->operands[0].type == X86_OP_REG && argument_of(x->operands[0].reg) >= 0;
}

/* ---- the object ----------------------------------------------------------------------------------- */

static const void *part(const struct object *o, uint64_t at, uint64_t len, const char *what)
{
	if (at > o->size || len > o->size - at)
		fail(what, "lies outside of the file");
	return o->data + at;
}

static const Elf64_Shdr *section(const struct object *o, unsigned int n)
{
	if (n >= o->nr_sections)
		fail("section", "there is none of this number");
	return &o->sections[n];
}

static void load(struct object *o, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Ehdr *e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		fail(path, strerror(errno));
	o->size = (size_t)st.st_size;
	o->data = malloc(o->size + 1);
	if (!o->data || read(fd, o->data, o->size) != (ssize_t)o->size)
		fail(path, "cannot be read");
	close(fd);
	e = part(o, 0, sizeof(*e), path);
	if (memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->e_machine != EM_X86_64 || (e->e_type != ET_DYN && e->e_type != ET_REL) ||
	    e->e_shentsize != sizeof(Elf64_Shdr))
		fail(path, "is no shared object or kernel module for x86-64");
	o->nr_sections = e->e_shnum;
	o->sections = part(o, e->e_shoff, (uint64_t)e->e_shnum * sizeof(Elf64_Shdr), path);
}

static void add(struct object *o, enum kind k, struct place place)
{
	struct places *all = &o->kind[k];

	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 256;
		all->p = realloc(all->p, all->room * sizeof(*all->p));
		if (!all->p)
			fail("places", "no memory");
	}
	all->p[all->n++] = place;
}

/* Of those before a call, the last setter of each argument, if nothing in between is a jump or a call. */
static void add_arguments(struct object *o, const cs_insn *insn, size_t call, struct place place,
			  uint64_t base)
{
	unsigned int seen = 0;

	for (size_t j = call; j-- > 0 && call - j <= ARGUMENTS_BACK;) {
		const cs_insn *i = &insn[j];
		int a;

		if (cs_insn_group(engine, i, X86_GRP_CALL) ||
		    cs_insn_group(engine, i, X86_GRP_JUMP) || cs_insn_group(engine, i, X86_GRP_RET))
			return;
		if (!sets_argument(i))
			continue;
		a = argument_of(i->detail->x86.operands[0].reg);
		if (seen & 1u << a)
			continue;
		seen |= 1u << a;
		place.va = i->address;
		place.at = base + i->address;
		place.size = (uint8_t)i->size;
		add(o, INTERFACE, place);
	}
}

/* Calls that leave the driver's own code: through the procedure linkage table or a pointer. */
static bool leaves(const cs_insn *i, const Elf64_Shdr *text)
{
	const cs_x86_op *op = &i->detail->x86.operands[0];

	if (!cs_insn_group(engine, i, X86_GRP_CALL))
		return false;
	return op->type != X86_OP_IMM || (uint64_t)op->imm < text->sh_addr ||
	       (uint64_t)op->imm >= text->sh_addr + text->sh_size;
}

static void collect(struct object *o, const Elf64_Shdr *text, const char *name, uint64_t va,
		    uint64_t size)
{
	/* File offset of an address, modulo 2^64. */
	uint64_t base = text->sh_offset - text->sh_addr;
	cs_insn *insn;
	size_t n = cs_disasm(engine, part(o, va + base, size, name), size, va, 0, &insn);

	for (size_t j = 0; j < n; j++) {
		const cs_insn *i = &insn[j];
		struct place place = {.at = i->address + base,
				      .va = i->address,
				      .size = (uint8_t)i->size,
				      .function = name,
				      .function_va = va};

		/* What fills the room up to the next aligned address, and the mark for indirect branches. */
		if (i->id == X86_INS_NOP || i->id == X86_INS_ENDBR64)
			continue;
		add(o, BIT, place);
		if (has_direction(i))
			add(o, OPERAND, place);
		if (stores(i))
			add(o, STORE, place);
		if (is_conditional(i))
			add(o, BRANCH, place);
		if ((is_conditional(i) && is_ordered(*condition(i, (uint8_t *)i->bytes))) ||
		    compares_constant(i))
			add(o, BOUND, place);
		if (j && is_conditional(i) && tests_zero(&insn[j - 1]))
			add(o, CHECK, place);
		if (initialises(i))
			add(o, INIT, place);
		if (has_pointer(i))
			add(o, POINTER, place);
		if (leaves(i, text))
			add_arguments(o, insn, j, place, base);
	}
	cs_free(insn, n);
}

/* What the compiler's start files add to each object. */
static bool is_own(const struct object *o, const char *name)
{
	static const char *const foreign[] = {"deregister_tm_clones",
					      "register_tm_clones",
					      "__do_global_dtors_aux",
					      "frame_dummy",
					      "_init",
					      "_fini"};

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (!strcmp(name, foreign[i]))
			return false;
	return !fnmatch(o->only, name, 0);
}

struct function {
	uint64_t va, size;
	const char *name;
};

static int by_address(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return x->va != y->va ? (x->va < y->va ? -1 : 1) : strcmp(x->name, y->name);
}

static void find_places(struct object *o)
{
	const Elf64_Shdr *names = section(o, ((const Elf64_Ehdr *)o->data)->e_shstrndx);
	const Elf64_Shdr *text = NULL, *table = NULL, *strings;
	struct function *functions;
	unsigned int index = 0;
	const Elf64_Sym *sym;
	size_t n, found = 0;

	part(o, names->sh_offset, names->sh_size, "names of sections");
	for (unsigned int i = 0; i < o->nr_sections; i++) {
		const Elf64_Shdr *s = &o->sections[i];

		if (s->sh_type == SHT_SYMTAB)
			table = s;
		if (s->sh_type == SHT_PROGBITS && s->sh_name < names->sh_size &&
		    !strncmp((char *)o->data + names->sh_offset + s->sh_name, ".text",
			     names->sh_size - s->sh_name)) {
			text = s;
			index = i;
		}
	}
	for (unsigned int i = 0; i < o->nr_sections; i++) {
		const Elf64_Shdr *s = &o->sections[i];

		if (!text || s->sh_type != SHT_RELA || s->sh_info != index || !index ||
		    s->sh_entsize != sizeof(*o->rela) || text->sh_addr)
			continue;
		o->rela = part(o, s->sh_offset, s->sh_size, "relocations");
		o->nr_rela = s->sh_size / sizeof(*o->rela);
	}
	if (!text || !table)
		fail("object", "has no .text or no symbols; it is not to be stripped");
	strings = section(o, table->sh_link);
	part(o, strings->sh_offset, strings->sh_size, "names of symbols");
	if (!strings->sh_size || o->data[strings->sh_offset + strings->sh_size - 1])
		fail("names of symbols", "do not end");
	sym = part(o, table->sh_offset, table->sh_size, "symbols");
	n = table->sh_size / sizeof(*sym);
	functions = calloc(n + 1, sizeof(*functions));
	if (!functions)
		fail("functions", "no memory");
	for (size_t i = 0; i < n; i++) {
		if (ELF64_ST_TYPE(sym[i].st_info) != STT_FUNC || sym[i].st_shndx != index ||
		    !sym[i].st_size || sym[i].st_name >= strings->sh_size ||
		    sym[i].st_value < text->sh_addr ||
		    sym[i].st_value + sym[i].st_size > text->sh_addr + text->sh_size)
			continue;
		functions[found] =
			(struct function){sym[i].st_value, sym[i].st_size,
					  (char *)o->data + strings->sh_offset + sym[i].st_name};
		found += is_own(o, functions[found].name);
	}
	/* The order of places is the code's, not the symbol table's. */
	qsort(functions, found, sizeof(*functions), by_address);
	for (size_t i = 0; i < found; i++)
		if (!i || functions[i].va != functions[i - 1].va)
			collect(o, text, functions[i].name, functions[i].va, functions[i].size);
	free(functions);
}

/* ---- faults ----------------------------------------------------------------------------------------- */

/* No operation of any length (SDM 2, NOP): as many of one byte as it takes. */
static void drop(uint8_t *b, unsigned int n)
{
	memset(b, 0x90, n);
}

static void change_constant(uint8_t *b, unsigned int size, uint64_t *rng)
{
	uint64_t v = 0;

	memcpy(&v, b, size);
	v += draw(rng) & 1 ? 1 : UINT64_MAX;
	memcpy(b, &v, size);
}

static void change_pointer(const cs_insn *i, uint8_t *b, uint64_t *rng)
{
	const cs_x86_encoding *e = &i->detail->x86.encoding;
	uint8_t *modrm = &b[e->modrm_offset];

	/* Another member or element; or, where the base stands in the byte itself, another base. */
	if (e->disp_offset && (draw(rng) & 1 || (*modrm & 7) == 4)) {
		b[e->disp_offset] = (uint8_t)(b[e->disp_offset] ^ 8u << draw(rng) % 4);
		return;
	}
	*modrm = (uint8_t)(*modrm ^ 1u << draw(rng) % 2);
}

static void change_argument(const cs_insn *i, uint8_t *b, uint64_t *rng)
{
	const cs_x86 *x = &i->detail->x86;

	if (x->encoding.imm_offset)
		b[x->encoding.imm_offset] =
			(uint8_t)(b[x->encoding.imm_offset] ^ 1u << draw(rng) % 4);
	else if (i->id == X86_INS_XOR)
		drop(b, i->size);
	else if (x->encoding.disp_offset)
		b[x->encoding.disp_offset] =
			(uint8_t)(b[x->encoding.disp_offset] ^ 8u << draw(rng) % 4);
	else if (x->encoding.modrm_offset)
		/* Another source: in 8b the lower three bits, in 89 the middle ones. */
		b[x->encoding.modrm_offset] =
			(uint8_t)(b[x->encoding.modrm_offset] ^
				  (1u << draw(rng) % 3) << (x->opcode[0] == 0x89 ? 3 : 0));
}

/* Change @b, the bytes of @i. */
static void mutate(enum kind k, const cs_insn *i, uint8_t *b, uint64_t *rng)
{
	const cs_x86 *x = &i->detail->x86;

	switch (k) {
	case OPERAND:
		if (draw(rng) & 1)
			b[opcode_at(i)] ^= 2;
		else
			b[x->encoding.modrm_offset] =
				(uint8_t)(b[x->encoding.modrm_offset] ^ 8u << draw(rng) % 3);
		break;
	case STORE:
	case CHECK:
	case INIT:
		drop(b, i->size);
		break;
	case BRANCH:
		*condition(i, b) ^= 1;
		break;
	case BOUND:
		if (is_conditional(i))
			*condition(i, b) = other_bound(*condition(i, b));
		else
			change_constant(&b[x->encoding.imm_offset], x->encoding.imm_size, rng);
		break;
	case POINTER:
		change_pointer(i, b, rng);
		break;
	case INTERFACE:
		change_argument(i, b, rng);
		break;
	case BIT:
		b[draw(rng) % i->size] ^= (uint8_t)(1u << draw(rng) % 8);
		break;
	case KINDS:
		break;
	}
}

static void words_of(const cs_insn *insn, size_t n, char *text)
{
	size_t used = 0;

	text[0] = '\0';
	/* A run of no operations is told as one. */
	if (n > 1 && insn[0].id == X86_INS_NOP)
		n = 1;
	for (size_t i = 0; i < n && used < TEXT; i++)
		used += (size_t)snprintf(text + used, TEXT - used, "%s%s%s%s", i ? "; " : "",
					 insn[i].mnemonic, *insn[i].op_str ? " " : "",
					 insn[i].op_str);
}

/* An instruction whose bytes are the loader's is no place: what is written there is lost. */
static bool is_relocated(const struct object *o, const struct place *p)
{
	for (size_t i = 0; i < o->nr_rela; i++)
		if (o->rela[i].r_offset + 8 > p->va && o->rela[i].r_offset < p->va + p->size)
			return true;
	return false;
}

/* Return: whether it is one instruction, or none, of the same length, and another one. But for bits: these make anything. */
static bool try_place(const struct object *o, enum kind k, const struct place *p, uint64_t *rng,
		      struct mutation *m)
{
	cs_insn *insn;
	size_t n;
	bool good;

	*m = (struct mutation){.kind = k,
			       .at = p->at,
			       .va = p->va,
			       .offset = p->va - p->function_va,
			       .function = p->function,
			       .size = p->size};
	memcpy(m->was, o->data + p->at, p->size);
	memcpy(m->is, m->was, p->size);
	n = cs_disasm(engine, m->was, p->size, p->va, 1, &insn);
	if (!n)
		return false;
	if (is_relocated(o, p)) {
		cs_free(insn, n);
		return false;
	}
	words_of(insn, 1, m->before);
	mutate(k, insn, m->is, rng);
	cs_free(insn, n);
	if (!memcmp(m->was, m->is, p->size))
		return false;
	n = cs_disasm(engine, m->is, p->size, p->va, 0, &insn);
	good = k == BIT || (n && (insn[0].id == X86_INS_NOP || insn[0].size == p->size));
	words_of(insn, n, m->after);
	if (!n)
		snprintf(m->after, TEXT, "(no instruction)");
	if (n)
		cs_free(insn, n);
	return good;
}

/* ---- for others --------------------------------------------------------------------------------------- */

struct object *object_load(const char *path, const char *only)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		fail(path, "no memory");
	if (!engine && (cs_open(CS_ARCH_X86, CS_MODE_64, &engine) != CS_ERR_OK ||
			cs_option(engine, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK))
		fail("capstone", "cannot be used");
	o->only = only;
	load(o, path);
	find_places(o);
	return o;
}

void object_free(struct object *o)
{
	for (unsigned int k = 0; k < KINDS; k++)
		free(o->kind[k].p);
	free(o->data);
	free(o);
	cs_close(&engine);
	engine = 0;
}

size_t object_places(const struct object *o, enum kind kind)
{
	return o->kind[kind].n;
}

void object_mutation(struct object *o, uint64_t seed, uint64_t number, struct mutation *m)
{
	uint64_t rng = seed ^ (number + 1) * 0xd1b54a32d192ed03ull;

	/* A place may turn out to give the same or no instruction: then another is drawn. */
	for (unsigned int tries = 0; tries < 1000; tries++) {
		enum kind k = (enum kind)(draw(&rng) % KINDS);

		if (o->kind[k].n &&
		    try_place(o, k, &o->kind[k].p[draw(&rng) % o->kind[k].n], &rng, m))
			return;
	}
	fail("object", "has no place for a fault");
}

void object_write(struct object *o, const struct mutation *m, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	memcpy(o->data + m->at, m->is, m->size);
	if (fd < 0 || write(fd, o->data, o->size) != (ssize_t)o->size || close(fd))
		fail(path, strerror(errno));
	memcpy(o->data + m->at, m->was, m->size);
}
