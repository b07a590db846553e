// SPDX-License-Identifier: GPL-2.0-only
/*
 * From nothing to a running kernel: memory, console, command line, and the fiber that works for the host.
 */
#include <asm/outboard.h>
#include <asm/setup.h>
#include <generated/utsrelease.h>
#include <linux/async.h>
#include <linux/console.h>
#include <linux/cpu.h>
#include <linux/debug_locks.h>
#include <linux/init.h>
#include <linux/kthread.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/stacktrace.h>
#include <linux/wait.h>

const struct ob_kit_ops *outboard_ops;
void *outboard_host;
struct ob_kit_memory outboard_memory;

unsigned long outboard_physmem;
u64 outboard_dma_offset;
unsigned long outboard_window;
unsigned long outboard_vmalloc_start, outboard_vmalloc_end;

/* /proc/cpuinfo, which nobody reads. */
const struct seq_operations cpuinfo_op;

static char command_line[COMMAND_LINE_SIZE];

/* ---- console --------------------------------------------------------------------------- */

/*
 * An extended record is "level,sequence,time,flags;text", its continuation lines begin with a space
 * (Documentation/ABI/testing/dev-kmsg): the only form that tells a console the level.
 */
static void console_write_record(struct console *con, const char *s, unsigned int len)
{
	const char *end = s + len, *p = s;
	unsigned int prio = 0;

	while (p < end && *p >= '0' && *p <= '9')
		prio = prio * 10 + (*p++ - '0');
	while (p < end && *p != ';')
		p++;
	if (p++ >= end)
		return;
	while (p < end) {
		const char *nl = memchr(p, '\n', end - p);

		if (!nl)
			nl = end;
		/* A newline in the text itself is told by its number. */
		for (const char *part; (part = strnstr(p, "\\x0a", nl - p)); p = part + 4)
			outboard_ops->log(outboard_host, prio & 7, p, part - p);
		outboard_ops->log(outboard_host, prio & 7, p, nl - p);
		p = nl + 1;
		/* What follows in lines that begin with a space is a dictionary for programs. */
		if (p < end && *p == ' ')
			break;
	}
}

static struct console host_console = {
	.name = "host",
	.write = console_write_record,
	.flags = CON_PRINTBUFFER | CON_ANYTIME | CON_EXTENDED | CON_ENABLED,
	.index = -1,
};

/* ---- boot -------------------------------------------------------------------------------- */

void __init setup_arch(char **cmdline)
{
	const struct ob_kit_memory *m = &outboard_memory;

	register_console(&host_console);
#ifdef CONFIG_KASAN
	/* The shadow is there since before the first instruction; from here on it is asked. */
	init_task.kasan_depth = 0;
#endif

	/* All of it has struct pages, so that frames of the host's can be sent where they lie. */
	memblock_add(0, m->size);
	memblock_reserve(0, PAGE_ALIGN(m->image));
	if (m->size > m->own)
		memblock_reserve(m->own, m->size - m->own);

	min_low_pfn = PFN_UP(m->image);
	max_low_pfn = max_pfn = PFN_DOWN(m->size);
	max_mapnr = max_low_pfn;
	high_memory = __va(m->size);
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	{
		unsigned long max_zone_pfn[MAX_NR_ZONES] = {[ZONE_NORMAL] = max_low_pfn};

		free_area_init(max_zone_pfn);
	}
#endif

	strscpy(boot_command_line, command_line, COMMAND_LINE_SIZE);
	*cmdline = command_line;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
/* The core sets up the zones itself, and asks how large they are. */
void __init arch_zone_limits_init(unsigned long *max_zone_pfn)
{
	max_zone_pfn[ZONE_NORMAL] = max_low_pfn;
}
#endif

void __init arch_cpu_finalize_init(void)
{
}

/* The memory of __init stays: it is in the image, and the image is not the kernel's to give away. */
void free_initmem(void)
{
}

/* ---- the fiber that works for the host ----------------------------------------------------- */

struct gate_call {
	long (*fn)(void *arg);
	void *arg;
	long *result;
	int *done;
};

static struct gate_call gate_call;
static DECLARE_WAIT_QUEUE_HEAD(gate_wait);
static bool gate_wanted;

void outboard_gate_wake(void)
{
	wake_up(&gate_wait);
}

static void gate_request(long (*fn)(void *arg), void *arg, long *result, int *done)
{
	gate_call = (struct gate_call){fn, arg, result, done};
	gate_wanted = true;
	outboard_pending |= OUTBOARD_PENDING_CALL;
}

/*
 * Takes the place of the first program: kernel_init() would look for a root file system now. The linker
 * script runs this after all other initcalls. Never returns.
 */
static int __init gate(void)
{
	struct gate_call call;

	async_synchronize_full();
	/* What kernel_init() does when it is done. */
	system_state = SYSTEM_RUNNING;
	outboard_ops->log(outboard_host, LOGLEVEL_DEBUG, "outboard: ready", 15);

	for (;;) {
		wait_event(gate_wait, gate_wanted);
		gate_wanted = false;
		call = gate_call;
		*call.result = call.fn(call.arg);
		*call.done = 1;
	}
	return 0;
}
static initcall_t gate_initcall __used __section(".initcall_outboard.init") = gate;

/* ---- the host's side of the boundary --------------------------------------------------------- */

static void start(const struct ob_kit_ops *ops, void *host, const struct ob_kit_memory *mem,
		  const char *cmdline)
{
	outboard_ops = ops;
	outboard_host = host;
	outboard_memory = *mem;
	outboard_physmem = mem->base;
	outboard_dma_offset = mem->dma;
	outboard_window = mem->window;
	outboard_vmalloc_start = mem->vmalloc;
	outboard_vmalloc_end = mem->vmalloc_end;
	/* A report of the kernel's own checks is its end; whoever wants more of them says so behind this. */
	if (IS_ENABLED(CONFIG_OUTBOARD_CHECKS))
		strscpy(command_line, "panic_on_warn=1 kasan.fault=panic ", sizeof(command_line));
	strlcat(command_line, cmdline, sizeof(command_line));
	outboard_boot_fiber();
}

const struct ob_kernel outboard_kernel = {
	.version = OB_KIT_VERSION,
	.release = UTS_RELEASE,
#ifdef CONFIG_OUTBOARD_CHECKS
	.coverage = &outboard_coverage,
#endif
#ifdef CONFIG_KASAN
	.shadow = KASAN_SHADOW_START,
	.shadow_size = KASAN_SHADOW_SIZE,
#endif
	.param = outboard_param,
	.start = start,
	.run = outboard_run,
	.call = gate_request,
	.burst = outboard_burst,
	.busy = outboard_busy,
	.callers = outboard_callers,
	.looks = outboard_looks,
	.lend_ms = outboard_lend_ms,
	.probe = outboard_probe,
	.remove = outboard_remove,
	.suspend = outboard_suspend,
	.resume = outboard_resume,
	.chr = &outboard_char,
#ifdef CONFIG_NET
	.net = &outboard_net,
	.net_of = outboard_net_of,
#endif
#ifdef CONFIG_CAN_DEV
	.can = &outboard_can,
#endif
#ifdef CONFIG_NETDEVICES
	.ip = &outboard_ip,
#endif
#ifdef CONFIG_BLOCK
	.block = &outboard_block,
#endif
#ifdef CONFIG_OUTBOARD_FS
	.fs = &outboard_fs,
	.host_disk = &outboard_host_disk,
#endif
};

/* ---- the end ----------------------------------------------------------------------------------- */

void outboard_fatal(const char *what)
{
	unsigned long pc[24];
	unsigned int n = outboard_callers(__builtin_frame_address(0), pc, ARRAY_SIZE(pc));

	outboard_ops->fatal(outboard_host, what, pc, n);
}

/* lockdep, and what finds that somebody sleeps where he must not, go on after a report and tell nobody. */
void outboard_look_at_checks(void)
{
	if (panic_on_warn &&
	    ((IS_ENABLED(CONFIG_LOCKDEP) && !debug_locks) || test_taint(TAINT_WARN)))
		outboard_fatal("one of its checks failed; the report stands above");
}

static int panicked(struct notifier_block *nb, unsigned long event, void *text)
{
	outboard_fatal(text);
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {.notifier_call = panicked};

static int __init panic_init(void)
{
	return atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}
early_initcall(panic_init);

void machine_restart(char *cmd)
{
	outboard_fatal("machine_restart");
}

void machine_halt(void)
{
	outboard_fatal("machine_halt");
}

void machine_power_off(void)
{
	outboard_fatal("machine_power_off");
}
