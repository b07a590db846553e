/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs are never started; the core's headers want the format all the same. */
#ifndef __ASM_OUTBOARD_ELF_H
#define __ASM_OUTBOARD_ELF_H

#include <asm/ptrace.h>

#define ELF_CLASS	  ELFCLASS64
#define ELF_DATA	  ELFDATA2LSB
#define ELF_ARCH	  EM_X86_64
#define elf_check_arch(x) ((x)->e_machine == EM_X86_64)
#define ELF_EXEC_PAGESIZE 4096
#define ELF_ET_DYN_BASE	  (TASK_SIZE / 3 * 2)
#define ELF_HWCAP	  0
#define ELF_PLATFORM	  NULL
#define SET_PERSONALITY(ex)                                                                        \
	do {                                                                                       \
	} while (0)

typedef unsigned long elf_greg_t;
#define ELF_NGREG (sizeof(struct pt_regs) / sizeof(elf_greg_t))
typedef elf_greg_t elf_gregset_t[ELF_NGREG];
typedef struct {
	unsigned long none;
} elf_fpregset_t;

#endif
