/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses in this object as names of functions, for a person who reads why a driver failed. The kernel's functions are local symbols, which the
 * dynamic linker does not know: they are looked up in the object's file (System V ABI, "Symbol Table").
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/host.h"

struct symbols {
	const unsigned char *file;
	size_t size;
	const Elf64_Sym *sym;
	size_t n;
	const char *name;
	size_t names;
};

static bool lies_in(const struct symbols *s, uint64_t off, uint64_t len)
{
	return off <= s->size && len <= s->size - off;
}

static bool find_table(struct symbols *s)
{
	const Elf64_Ehdr *head = (const void *)s->file;
	const Elf64_Shdr *section, *strings;

	if (s->size < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) ||
	    !lies_in(s, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*section)))
		return false;
	section = (const void *)(s->file + head->e_shoff);
	for (unsigned int i = 0; i < head->e_shnum; i++) {
		if (section[i].sh_type != SHT_SYMTAB || section[i].sh_link >= head->e_shnum)
			continue;
		strings = &section[section[i].sh_link];
		if (!lies_in(s, section[i].sh_offset, section[i].sh_size) ||
		    !lies_in(s, strings->sh_offset, strings->sh_size) || !strings->sh_size)
			continue;
		s->sym = (const void *)(s->file + section[i].sh_offset);
		s->n = section[i].sh_size / sizeof(*s->sym);
		s->name = (const char *)s->file + strings->sh_offset;
		s->names = strings->sh_size;
		return !s->name[s->names - 1];
	}
	return false;
}

static bool symbols_open(struct symbols *s)
{
	struct stat st;
	Dl_info info;
	void *p;
	int fd;

	memset(s, 0, sizeof(*s));
	if (!dladdr(&outboard_driver, &info) || !info.dli_fname)
		return false;
	fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	p = fstat(fd, &st) ? MAP_FAILED
			   : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return false;
	s->file = p;
	s->size = (size_t)st.st_size;
	return find_table(s);
}

static void symbols_close(struct symbols *s)
{
	if (s->file)
		munmap((void *)s->file, s->size);
}

static const Elf64_Sym *find(const struct symbols *s, unsigned long at)
{
	for (size_t i = 0; i < s->n; i++) {
		const Elf64_Sym *sym = &s->sym[i];

		if (ELF64_ST_TYPE(sym->st_info) == STT_FUNC && sym->st_name < s->names &&
		    at >= sym->st_value && at - sym->st_value < sym->st_size)
			return sym;
	}
	return NULL;
}

/* A return address is behind the call, which may be the last of its function. */
static const Elf64_Sym *caller(const struct kit *k, const struct symbols *s, unsigned long pc)
{
	return s->sym ? find(s, pc - k->mem.base - 1) : NULL;
}

void kit_log_callers(struct kit *k, const unsigned long *pc, unsigned int n)
{
	struct symbols s;

	symbols_open(&s);
	for (unsigned int i = 0; i < n; i++) {
		const Elf64_Sym *sym = caller(k, &s, pc[i]);
		unsigned long at = pc[i] - k->mem.base;

		if (sym)
			ob_device_log(k->dev, OB_LOG_ERROR, "linux:   %s + 0x%lx (object + 0x%lx)",
				      s.name + sym->st_name, at - (unsigned long)sym->st_value, at);
		else
			ob_device_log(k->dev, OB_LOG_ERROR, "linux:   object + 0x%lx", at);
	}
	symbols_close(&s);
}

/* Ours, between the driver's function and here. */
static bool is_boundary(const char *name)
{
	static const char *const begin[] = {"outboard_", "stack_trace_", "arch_stack_", "callers",
					    "look"};

	for (unsigned int i = 0; i < sizeof(begin) / sizeof(begin[0]); i++)
		if (!strncmp(name, begin[i], strlen(begin[i])))
			return true;
	return false;
}

void kit_name_callers(const struct kit *k, char *text, size_t size)
{
	unsigned long pc[16];
	unsigned int n = outboard_kernel.callers(NULL, pc, 16), named = 0;
	struct symbols s;
	size_t len = 0;

	*text = '\0';
	symbols_open(&s);
	/* The innermost say what was wanted, and whose function it is. */
	for (unsigned int i = 0; i < n && named < 3 && len < size; i++) {
		const Elf64_Sym *sym = caller(k, &s, pc[i]);

		if (!sym || is_boundary(s.name + sym->st_name))
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s%s()",
					named++ ? ", called by " : "", s.name + sym->st_name);
	}
	symbols_close(&s);
}
