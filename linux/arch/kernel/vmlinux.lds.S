/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel and the host side as one shared object, in three segments: code; data; and, far behind, a page that
 * makes the loader keep the addresses between free for the kernel's memory. Data of the kernel proper lie together,
 * because they are moved into the device's memory and put back when the device is given back. Input: linux/link.
 */
#define RUNTIME_DISCARD_EXIT
#include <asm/page.h>
#include <asm/cache.h>
#include <asm/thread_info.h>
#include <asm-generic/vmlinux.lds.h>

/* Memory of the largest arena (1.5 GiB), mappings (512 MiB), the register window (4 GiB), and room to align these. */
#define OUTBOARD_RESERVE 0x1c0000000

OUTPUT_FORMAT("elf64-x86-64")
OUTPUT_ARCH(i386:x86-64)

PHDRS
{
	text PT_LOAD FILEHDR PHDRS FLAGS(5);
	data PT_LOAD FLAGS(6);
	tail PT_LOAD FLAGS(4);
	dynamic PT_DYNAMIC FLAGS(6);
	stack PT_GNU_STACK FLAGS(6);
}

SECTIONS
{
	. = SIZEOF_HEADERS;
	.hash : { *(.hash) } :text
	.gnu.hash : { *(.gnu.hash) }
	.dynsym : { *(.dynsym) }
	.dynstr : { *(.dynstr) }
	.gnu.version : { *(.gnu.version) }
	.gnu.version_d : { *(.gnu.version_d) }
	.gnu.version_r : { *(.gnu.version_r) }
	.rela.dyn : { *(.rela.*) }
	.rela.plt : { *(.rela.plt) }
	.note.gnu.build-id : { *(.note.gnu.build-id) }
	.plt : { *(.plt) *(.plt.got) *(.plt.sec) }
	. = ALIGN(PAGE_SIZE);
	.text : {
		_text = .;
		_stext = .;
		TEXT_TEXT
		SCHED_TEXT
#ifdef CPUIDLE_TEXT
		CPUIDLE_TEXT
#endif
		LOCK_TEXT
		IRQENTRY_TEXT
		SOFTIRQENTRY_TEXT
		*(.fixup)
		_etext = .;
	}
	.init.text : {
		_sinittext = .;
		INIT_TEXT
		_einittext = .;
	}
	.exit.text : { EXIT_TEXT }
	.kit.text : { *(.kit.text .kit.text.*) }
	.kit.rodata : { *(.kit.rodata .kit.rodata.*) }
	.eh_frame : { KEEP(*(.eh_frame)) *(.kit.eh_frame) } :text

	. = ALIGN(PAGE_SIZE);
	.dynamic : { *(.dynamic) } :data :dynamic
	.got : { *(.got) *(.got.plt) } :data
	.kit.data : { *(.kit.data .kit.data.*) *(.kit.bss .kit.bss.*)
		/* The tail is out of reach for code. */
		. = ALIGN(8);
		outboard_room = .;
		QUAD(outboard_tail - outboard_data_end)
	}
	.init_array : { KEEP(*(.kit.init_array*)) }

	. = ALIGN(PAGE_SIZE);
	outboard_data_start = .;
	RO_DATA(PAGE_SIZE)
	EXCEPTION_TABLE(16)
	.init.data : {
		__init_begin = .;
		INIT_DATA
		INIT_SETUP(16)
		__initcall_start = .;
		KEEP(*(.initcallearly.init))
		INIT_CALLS_LEVEL(0)
		INIT_CALLS_LEVEL(1)
		INIT_CALLS_LEVEL(2)
		INIT_CALLS_LEVEL(3)
		INIT_CALLS_LEVEL(4)
		INIT_CALLS_LEVEL(5)
		INIT_CALLS_LEVEL(rootfs)
		INIT_CALLS_LEVEL(6)
		INIT_CALLS_LEVEL(7)
		KEEP(*(.initcall_outboard.init))
		__initcall_end = .;
		CON_INITCALL
		INIT_RAM_FS
		__init_end = .;
	}
	.exit.data : { EXIT_DATA }
	PERCPU_SECTION(L1_CACHE_BYTES)
	jiffies = jiffies_64;
	_sdata = .;
	RW_DATA(L1_CACHE_BYTES, PAGE_SIZE, THREAD_SIZE)
	/* Of code that is position independent: pointers that the loader fills in. lockdep asks whether a lock is static data. */
	.data.rel : { *(.data.rel .data.rel.*) }
	_edata = .;
	BSS_SECTION(PAGE_SIZE, PAGE_SIZE, PAGE_SIZE)
	. = ALIGN(PAGE_SIZE);
	outboard_data_end = .;
	_end = .;

	. = ALIGN(PAGE_SIZE) + OUTBOARD_RESERVE;
	.outboard_tail : { outboard_tail = .; QUAD(0) } :tail

	STABS_DEBUG
	DWARF_DEBUG
	ELF_DETAILS

	/DISCARD/ : {
		*(.discard) *(.discard.*) *(.modinfo) *(.gnu.version*) *(.note.GNU-stack) *(.altinst*)
		*(.export_symbol) *(.comment) *(.note.*) *(.kit.note.*)
	}
}
