/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers and ports. An address from ioremap() is either where a BAR is mapped in this process, then an
 * access is a load or a store, or an address in a window behind which there is no memory: then the access
 * is a message of the host's, whose address it tells. Ports are the first 64 KiB of the window.
 */
#ifndef __ASM_OUTBOARD_IO_H
#define __ASM_OUTBOARD_IO_H

#include <asm/barrier.h>
#include <asm/processor.h>
#include <linux/string.h>
#include <linux/types.h>

#define OUTBOARD_WINDOW_SIZE 0x100000000UL
#define IO_SPACE_LIMIT	     0xffffUL

extern unsigned long outboard_window;

u64 outboard_window_read(unsigned long off, unsigned int size);
void outboard_window_write(unsigned long off, unsigned int size, u64 val);

#define PCI_IOBASE ((void __iomem *)outboard_window)

/*
 * Reads are where a driver that spins without a pause can be caught: interrupts that came meanwhile are
 * looked for from time to time.
 */
#define OUTBOARD_IO(type, name, size)                                                              \
	static __always_inline type __raw_read##name(const volatile void __iomem *addr)            \
	{                                                                                          \
		unsigned long off = (unsigned long)addr - outboard_window;                         \
		type val;                                                                          \
                                                                                                   \
		if (off < OUTBOARD_WINDOW_SIZE)                                                    \
			return outboard_window_read(off, size);                                    \
		val = *(const volatile type __force *)addr;                                        \
		outboard_poll_read();                                                              \
		return val;                                                                        \
	}                                                                                          \
	static __always_inline void __raw_write##name(type val, volatile void __iomem *addr)       \
	{                                                                                          \
		unsigned long off = (unsigned long)addr - outboard_window;                         \
                                                                                                   \
		if (off < OUTBOARD_WINDOW_SIZE)                                                    \
			outboard_window_write(off, size, val);                                     \
		else                                                                               \
			*(volatile type __force *)addr = val;                                      \
	}
OUTBOARD_IO(u8, b, 1)
OUTBOARD_IO(u16, w, 2)
OUTBOARD_IO(u32, l, 4)
OUTBOARD_IO(u64, q, 8)
#undef OUTBOARD_IO

#define __raw_readb  __raw_readb
#define __raw_readw  __raw_readw
#define __raw_readl  __raw_readl
#define __raw_readq  __raw_readq
#define __raw_writeb __raw_writeb
#define __raw_writew __raw_writew
#define __raw_writel __raw_writel
#define __raw_writeq __raw_writeq

/* Uncached accesses are ordered with each other and with memory by the processor: see asm/barrier.h. */
#define __io_br()  barrier()
#define __io_ar(v) barrier()
#define __io_bw()  barrier()
#define __io_aw()  barrier()

/* What is behind the window is no memory that could be copied; elsewhere a copy is one. */
void outboard_window_copy_from(void *to, unsigned long off, size_t n);
void outboard_window_copy_to(unsigned long off, const void *from, size_t n);

static inline void memcpy_fromio(void *to, const volatile void __iomem *from, size_t n)
{
	unsigned long off = (unsigned long)from - outboard_window;

	if (off < OUTBOARD_WINDOW_SIZE)
		outboard_window_copy_from(to, off, n);
	else
		memcpy(to, (const void __force *)from, n);
}

static inline void memcpy_toio(volatile void __iomem *to, const void *from, size_t n)
{
	unsigned long off = (unsigned long)to - outboard_window;

	if (off < OUTBOARD_WINDOW_SIZE)
		outboard_window_copy_to(off, from, n);
	else
		memcpy((void __force *)to, from, n);
}

static inline void memset_io(volatile void __iomem *to, int c, size_t n)
{
	volatile u8 __iomem *p = to;

	while (n--)
		__raw_writeb(c, p++);
}
#define memcpy_fromio memcpy_fromio
#define memcpy_toio   memcpy_toio
#define memset_io     memset_io

void __iomem *ioremap(phys_addr_t phys, size_t size);
void iounmap(volatile void __iomem *addr);
#define ioremap	   ioremap
#define iounmap	   iounmap
#define ioremap_wc ioremap
#define ioremap_wt ioremap
#define ioremap_uc ioremap
#define ioremap_np ioremap

#include <asm-generic/io.h>

#endif
