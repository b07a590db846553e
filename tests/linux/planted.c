/* SPDX-License-Identifier: GPL-2.0-only */
/* Bugs for the kernel's checks to find, of which tests/linux/checks.sh puts one call into a copy of e1000e: e1000e.planted=NUMBER. */
#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static int planted;
module_param(planted, int, 0);
MODULE_PARM_DESC(planted, "Which bug");

/* What the compiler cannot know. */
static volatile int planted_40 = 40;
static char planted_global[40];

static void planted_timeout(struct timer_list *unused)
{
}

static noinline void planted_bug(void)
{
	static DEFINE_SPINLOCK(a);
	static DEFINE_SPINLOCK(b);
	static DEFINE_MUTEX(mutex);
	static int table[8];
	char local[40], *p = kmalloc(40, GFP_KERNEL);
	struct {
		struct timer_list timer;
	} * t;

	switch (planted) {
	case 1:
		kfree(p);
		((volatile char *)p)[8] = 1;
		return;
	case 2:
		((volatile char *)p)[planted_40] = 1;
		break;
	case 3:
		((volatile char *)local)[planted_40] = 1;
		break;
	case 4:
		((volatile char *)planted_global)[planted_40] = 1;
		break;
	case 5:
		table[0] = 1 << planted_40;
		break;
	case 6:
		table[planted_40 - 32] = 1;
		break;
	case 7: /* one order, then the other */
		spin_lock(&a);
		spin_lock(&b);
		spin_unlock(&b);
		spin_unlock(&a);
		spin_lock(&b);
		spin_lock(&a);
		spin_unlock(&a);
		spin_unlock(&b);
		break;
	case 8:
		spin_lock(&a);
		mutex_lock(&mutex);
		mutex_unlock(&mutex);
		spin_unlock(&a);
		break;
	case 9: /* freed while it runs */
		t = kmalloc(sizeof(*t), GFP_KERNEL);
		timer_setup(&t->timer, planted_timeout, 0);
		mod_timer(&t->timer, jiffies + HZ);
		kfree(t);
		break;
	}
	kfree(p);
}
