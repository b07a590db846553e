/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers of an interrupted program: there is none, but the core passes them around. */
#ifndef __ASM_OUTBOARD_PTRACE_H
#define __ASM_OUTBOARD_PTRACE_H

#ifndef __ASSEMBLY__

struct pt_regs {
	unsigned long ip;
	unsigned long sp;
	unsigned long bp;
	unsigned long ax;
};

#define user_mode(regs)		   ((void)(regs), 0)
#define instruction_pointer(regs)  ((regs)->ip)
#define profile_pc(regs)	   ((regs)->ip)
#define user_stack_pointer(regs)   ((regs)->sp)
#define kernel_stack_pointer(regs) ((regs)->sp)
#define frame_pointer(regs)	   ((regs)->bp)
#define regs_return_value(regs)	   ((regs)->ax)
#define arch_has_single_step()	   0

static inline void instruction_pointer_set(struct pt_regs *regs, unsigned long ip)
{
	regs->ip = ip;
}

#endif

#endif
