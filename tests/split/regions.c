/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executes the locked regions of split.sh's driver, as generated for the kernel: where the function that moved does not come to one, it does nothing and says so; else it
 * works on what the function was called with. Compiled by split.sh, with regions_kernel/ in the place of the runtime's header. TAP's lines without numbers.
 */
#include <stdio.h>

#include "src/toy.c"

static struct toy card;
static struct net_device interface;
static struct ring one;

void *netdev_priv(const struct net_device *dev)
{
	return dev == &interface ? &card : NULL;
}

void spin_lock(spinlock_t *l)
{
	l->x++;
}

void spin_unlock(spinlock_t *l)
{
	l->x--;
}

unsigned int readl(const volatile void *a)
{
	return a == card.regs ? 7 : 0;
}

_Bool device_can_wakeup(struct device *dev)
{
	return dev;
}

void kfree(const void *p)
{
}

unsigned long copy_to_user(void *to, const void *from, unsigned long n)
{
	return n;
}

int unknown(int x)
{
	return x;
}

/* The region @n of those that the operation has: what it returned. */
static unsigned long long execute(const struct ob_split_op *op, unsigned int n, void *frame,
				  unsigned long long *v)
{
	void *p[OB_SPLIT_ARGUMENTS] = {frame};
	unsigned long long none[OB_SPLIT_ARGUMENTS] = {0};

	for (unsigned int i = 0; i < op->n_kept; i++)
		if (op->kept[i].region && !n--)
			return op->kept[i].call(p, v ? v : none);
	return 99;
}

static void ok(bool good, const char *name)
{
	printf("%s %s\n", good && !card.lock.x ? "ok" : "not ok", name);
	card = (struct toy){.regs = &card, .one = &one};
}

static unsigned long long case_of(unsigned int n, int what)
{
	return execute(&ob_split_op_region_cases, n,
		       &(struct ob_split_frame_region_cases){.dev = &interface, .what = what},
		       NULL);
}

static unsigned long long guarded(unsigned int n, int what)
{
	return execute(&ob_split_op_region_guarded, n,
		       &(struct ob_split_frame_region_guarded){.dev = &interface, .what = what},
		       NULL);
}

int main(void)
{
	unsigned long long v[OB_SPLIT_ARGUMENTS] = {0};

	card = (struct toy){.regs = &card, .one = &one};
	ok(case_of(0, 1) == 1 && card.data[3] == 1, "a case's region is executed");
	ok(case_of(1, 2) == 1 && card.data[3] == 2, "so is the next one's");
	ok(case_of(1, 3) == 1 && card.data[3] == 2, "each of its labels leads to it");
	ok(!case_of(0, 2) && !case_of(1, 1) && !case_of(0, 4) && !case_of(1, 4) && !card.data[3],
	   "of other cases none is");

	card.seen = 1;
	ok(guarded(0, 1) == 1 && card.data[0] == 5, "where the conditions hold, it is executed");
	ok(!guarded(0, 1) && !card.data[0], "after a way out it is not");
	card.seen = 1;
	ok(!guarded(0, 5) && !guarded(1, 5) && !card.data[0],
	   "nor after the same with a parameter");
	card.seen = 1;
	ok(!guarded(0, 2) && !card.data[0], "where a condition does not hold, it is not");
	card.seen = card.fast = 1;
	ok(!guarded(1, 1) && !card.data[0], "behind else it is not where it does");
	card.seen = 1;
	ok(!guarded(1, 2) && !card.data[0], "nor where the next condition does not");
	card.seen = card.fast = 1;
	ok(guarded(1, 2) == 1 && card.data[0] == 6, "but where both are so");

	card.flags = 9;
	ok(execute(&ob_split_op_locked, 0, &(struct ob_split_frame_locked){.dev = &interface}, v) ==
			   1 &&
		   v[1] == 9,
	   "what it sets is told");
	card.flags = 9;
	v[1] = 5;
	ok(execute(&ob_split_op_region_both, 0,
		   &(struct ob_split_frame_region_both){.dev = &interface}, v) == 1 &&
		   v[2] == 9,
	   "a number that was computed decides on a branch");
	card.flags = 9;
	v[1] = 0;
	ok(execute(&ob_split_op_region_both, 0,
		   &(struct ob_split_frame_region_both){.dev = &interface}, v) == 1 &&
		   v[2] == 0,
	   "and on the other one");
	card.seen = 1;
	one.count = 0;
	v[1] = 77;
	ok(execute(&ob_split_op_get_link, 0, &(struct ob_split_frame_get_link){.dev = &interface},
		   v) == 1 &&
		   v[1] == 3 && one.count == 28,
	   "initial values are the kernel's, whatever the daemon sends");
	return 0;
}
