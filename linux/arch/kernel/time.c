// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time is the host's monotonic clock. The one-shot timer is a deadline that the host is told when the kernel
 * has nothing to do, and that poll points compare with the clock: setting it costs nothing.
 */
#include <asm/outboard.h>
#include <linux/clockchips.h>
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/sched/clock.h>
#include <linux/timekeeping.h>

u64 outboard_deadline = ~0ull;

u64 outboard_clock(void)
{
	return outboard_ops->clock(outboard_host);
}

static u64 clock_read(struct clocksource *cs)
{
	return outboard_clock();
}

static struct clocksource clock = {
	.name = "host",
	.rating = 400,
	.read = clock_read,
	.mask = CLOCKSOURCE_MASK(64),
	.flags = CLOCK_SOURCE_IS_CONTINUOUS,
};

static int timer_set(unsigned long delta, struct clock_event_device *evt)
{
	outboard_deadline = outboard_clock() + delta;
	return 0;
}

static int timer_stop(struct clock_event_device *evt)
{
	outboard_deadline = ~0ull;
	return 0;
}

static struct clock_event_device timer = {
	.name = "host",
	.rating = 300,
	.features = CLOCK_EVT_FEAT_ONESHOT,
	.set_next_event = timer_set,
	.set_state_shutdown = timer_stop,
	.set_state_oneshot_stopped = timer_stop,
	.cpumask = cpu_possible_mask,
};

void outboard_timer_run(void)
{
	if (outboard_clock() < outboard_deadline)
		return;
	outboard_deadline = ~0ull;
	timer.event_handler(&timer);
}

/*
 * Ticks that a thread of the host has moved on while the code here waited for them and did nothing else. They are
 * taken back before the tick counts what has really passed; that both change jiffies at the same time may cost a
 * tick or two, once.
 */
static unsigned long lent;

void outboard_lend_ms(unsigned int ms)
{
	unsigned long ticks = ms * HZ / 1000;

	__atomic_fetch_add(&lent, ticks, __ATOMIC_RELAXED);
	__atomic_fetch_add(&jiffies_64, ticks, __ATOMIC_RELAXED);
}

bool outboard_repay(void)
{
	unsigned long ticks;

	if (likely(!READ_ONCE(lent)))
		return false;
	ticks = __atomic_exchange_n(&lent, 0, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&jiffies_64, ticks, __ATOMIC_RELAXED);
	return true;
}

unsigned long long notrace sched_clock(void)
{
	return outboard_ops ? outboard_clock() : 0;
}

void __init time_init(void)
{
	clocksource_register_hz(&clock, NSEC_PER_SEC);
	/* In nanoseconds; the longest is an hour, of which a deadline in 64 bits has no part. */
	clockevents_config_and_register(&timer, NSEC_PER_SEC, 1000, 3600ull * NSEC_PER_SEC);
}

void read_persistent_clock64(struct timespec64 *ts)
{
	*ts = ns_to_timespec64(outboard_ops->real_time(outboard_host));
}

/* ---- short waits ---------------------------------------------------------------------------- */

static void wait_ns(u64 ns)
{
	u64 end = outboard_clock() + ns;

	while (outboard_clock() < end)
		cpu_relax();
}

/* Microseconds times 2^32 / 10^6, or nanoseconds times 5 (asm-generic/delay.h). */
void __const_udelay(unsigned long x)
{
	wait_ns(mul_u64_u32_shr(x, 1000000000, 32) + 1);
}
EXPORT_SYMBOL(__const_udelay);

void __udelay(unsigned long us)
{
	wait_ns(us * 1000ull);
}
EXPORT_SYMBOL(__udelay);

void __ndelay(unsigned long ns)
{
	wait_ns(ns);
}
EXPORT_SYMBOL(__ndelay);

void __delay(unsigned long loops)
{
	wait_ns(loops);
}
EXPORT_SYMBOL(__delay);
