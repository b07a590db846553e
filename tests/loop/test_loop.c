/* SPDX-License-Identifier: BSD-2-Clause */
/* class/loop: nothing is lost between arming and sleeping, an idle loop sleeps, modes, sources, stop. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/loop.h>

static void kick(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* A device: work counts up, an eventfd is written only while it is armed, once per arming. */
struct device {
	_Atomic unsigned int pending;
	_Atomic bool armed;
	_Atomic uint64_t done;
	_Atomic unsigned int arms;
	int fd;
	struct ob_loop *loop;
	uint64_t stop_at;
};

static void device_produce(struct device *d)
{
	atomic_fetch_add(&d->pending, 1);
	if (atomic_exchange(&d->armed, false))
		kick(d->fd);
}

static unsigned int device_poll(void *arg, unsigned int budget)
{
	struct device *d = arg;
	unsigned int n = atomic_load(&d->pending);

	if (n > budget)
		n = budget;
	atomic_fetch_sub(&d->pending, n);
	if (n && atomic_fetch_add(&d->done, n) + n >= d->stop_at)
		ob_loop_stop(d->loop);
	return n;
}

/* Deliberately does not look for pending work: the loop's own second look has to find it. */
static bool device_arm(void *arg, bool on)
{
	struct device *d = arg;

	if (on)
		atomic_fetch_add(&d->arms, 1);
	atomic_store(&d->armed, on);
	return false;
}

static void device_init(struct device *d, struct ob_loop *loop, uint64_t stop_at)
{
	memset(d, 0, sizeof(*d));
	d->fd = eventfd(0, EFD_CLOEXEC);
	assert_true(d->fd >= 0);
	d->loop = loop;
	d->stop_at = stop_at;
}

static struct ob_loop_source device_source(struct device *d)
{
	return (struct ob_loop_source){
		.name = "device",
		.poll = device_poll,
		.arm = device_arm,
		.arg = d,
		.fd = d->fd,
	};
}

enum {
	HAMMER_ITEMS = 100000,
	HAMMER_SECONDS = 60, /* only to turn a lost wake-up into a failure */
};

static void *run_loop(void *arg)
{
	return (void *)(intptr_t)ob_loop_run(arg);
}

static bool wait_done(struct device *d, uint64_t n)
{
	struct timespec t0, t;
	unsigned int spins = 0;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	while (atomic_load(&d->done) < n) {
		if (++spins & 0x3ff)
			continue;
		/* With fewer processors than threads the loop needs this one. */
		usleep(1);
		clock_gettime(CLOCK_MONOTONIC, &t);
		if (t.tv_sec - t0.tv_sec > HAMMER_SECONDS)
			return false;
	}
	return true;
}

/*
 * One item at a time, after a pause of every length from none to longer than the loop spins: so that
 * many arrive just between arm and sleep. No source ticks, so a lost one hangs the loop for good.
 */
static void hammer(enum ob_mode mode)
{
	struct ob_loop_source src;
	struct ob_loop_stats st;
	struct ob_loop *loop;
	struct device d;
	pthread_t thread;
	void *ret;
	unsigned int seed = 1;

	assert_int_equal(ob_loop_create(mode, &loop), 0);
	device_init(&d, loop, HAMMER_ITEMS);
	src = device_source(&d);
	assert_int_equal(ob_loop_add(loop, &src), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (unsigned int i = 1; i <= HAMMER_ITEMS; i++) {
		volatile unsigned int delay = (unsigned int)rand_r(&seed) % 400;

		if (i % 64 == 0)
			delay = 40000;
		while (delay)
			delay--;
		device_produce(&d);
		if (!wait_done(&d, i))
			fail_msg("item %u was lost (mode %s)", i, ob_mode_name(mode));
	}
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, 0);
	ob_loop_stats(loop, &st);
	assert_int_equal(st.work, HAMMER_ITEMS);
	if (mode != OB_MODE_POLL) {
		/* It did sleep and was woken, else this showed nothing. */
		assert_true(st.wakeups > 0);
		assert_true(st.irqs > 0);
		assert_true(st.irqs <= HAMMER_ITEMS);
	}
	ob_loop_destroy(loop);
	close(d.fd);
}

static void no_work_is_lost_between_arm_and_sleep_adaptive(void **state)
{
	hammer(OB_MODE_ADAPTIVE);
}

static void no_work_is_lost_between_arm_and_sleep_interrupt(void **state)
{
	hammer(OB_MODE_INTERRUPT);
}

/* ---- counting what a quiet loop does ------------------------------------------------ */

struct ticker {
	struct ob_loop *loop;
	unsigned int ticks, stop_at;
	unsigned int polls;
	unsigned int arms;
	bool says_pending;
};

static unsigned int ticker_poll(void *arg, unsigned int budget)
{
	((struct ticker *)arg)->polls++;
	return 0;
}

static void ticker_tick(void *arg, uint64_t now_ns)
{
	struct ticker *t = arg;

	assert_true(now_ns > 0);
	if (++t->ticks == t->stop_at)
		ob_loop_stop(t->loop);
}

static bool ticker_arm(void *arg, bool on)
{
	struct ticker *t = arg;

	t->arms += on;
	return t->says_pending;
}

/* Wake-ups are counted, not timed: one sleep per tick and a few rounds around each. */
static void idle_loop_only_wakes_for_ticks(void **state)
{
	struct ticker t = {.stop_at = 6};
	struct ob_loop_stats st;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct ob_loop_source src = {
		.poll = ticker_poll, .arm = ticker_arm, .tick = ticker_tick, .arg = &t, .fd = fd};

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &t.loop), 0);
	assert_int_equal(ob_loop_add(t.loop, &src), 0);
	assert_int_equal(ob_loop_run(t.loop), 0);
	ob_loop_stats(t.loop, &st);
	assert_int_equal(t.ticks, 6);
	/* Time-outs of epoll may come a little early and be repeated: up to two sleeps per tick. */
	assert_in_range(st.sleeps, 5, 12);
	assert_in_range(st.rounds, 5, 60);
	assert_int_equal(st.rounds, st.idle_rounds);
	assert_int_equal(st.wakeups, 0);
	assert_int_equal(st.irqs, 0);
	assert_int_equal(st.work, 0);
	ob_loop_destroy(t.loop);
	close(fd);
}

/* A stuck transmitter says that there is work and can do none: that must not burn a core. */
static void source_that_cannot_do_its_work_does_not_spin(void **state)
{
	struct ticker t = {.stop_at = 4, .says_pending = true};
	struct ob_loop_stats st;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct ob_loop_source src = {
		.poll = ticker_poll, .arm = ticker_arm, .tick = ticker_tick, .arg = &t, .fd = fd};

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &t.loop), 0);
	assert_int_equal(ob_loop_add(t.loop, &src), 0);
	assert_int_equal(ob_loop_run(t.loop), 0);
	ob_loop_stats(t.loop, &st);
	/* 300 ms in pauses of a millisecond; spinning would need fewer than ten sleeps. */
	assert_true(st.sleeps > 20);
	ob_loop_destroy(t.loop);
	close(fd);
}

/* A descriptor that stays readable while nobody finds work (an interrupt nobody serves). */
static void descriptor_that_stays_readable_does_not_spin(void **state)
{
	struct ticker t = {.stop_at = 4};
	struct ob_loop_stats st;
	int fd = eventfd(1, EFD_CLOEXEC);
	struct ob_loop_source src = {
		.poll = ticker_poll, .tick = ticker_tick, .arg = &t, .fd = fd, .level = true};

	assert_int_equal(ob_loop_create(OB_MODE_INTERRUPT, &t.loop), 0);
	assert_int_equal(ob_loop_add(t.loop, &src), 0);
	assert_int_equal(ob_loop_run(t.loop), 0);
	ob_loop_stats(t.loop, &st);
	assert_true(st.sleeps > 20);
	/* 2 ms of wake-ups, then one per millisecond: far from the millions that spinning makes. */
	assert_true(st.rounds < 60000);
	assert_int_equal(st.irqs, 0); /* a level is not read */
	ob_loop_destroy(t.loop);
	close(fd);
}

/* ---- modes --------------------------------------------------------------------------- */

struct script {
	struct ob_loop *loop;
	unsigned int rounds;
	unsigned int work_until; /* rounds that find work */
	unsigned int stop_at;
	unsigned int arms, disarms;
	unsigned int round_of_arm;
	bool add_done;
	struct script *other;
	int fd;
};

static unsigned int script_poll(void *arg, unsigned int budget)
{
	struct script *s = arg;

	s->rounds++;
	if (s->rounds == s->stop_at)
		ob_loop_stop(s->loop);
	return s->rounds <= s->work_until ? budget : 0;
}

static bool script_arm(void *arg, bool on)
{
	struct script *s = arg;

	if (on && !s->arms++)
		s->round_of_arm = s->rounds;
	if (!on)
		s->disarms++;
	return false;
}

/* From the loop's creation to its end. */
static struct ob_loop_stats run_script(struct script *s, enum ob_mode mode)
{
	struct ob_loop_source src = {.poll = script_poll, .arm = script_arm, .arg = s, .fd = s->fd};
	struct ob_loop_stats st;

	assert_int_equal(ob_loop_create(mode, &s->loop), 0);
	assert_int_equal(ob_loop_add(s->loop, &src), 0);
	assert_int_equal(ob_loop_run(s->loop), 0);
	ob_loop_stats(s->loop, &st);
	ob_loop_destroy(s->loop);
	close(s->fd);
	return st;
}

static void poll_mode_never_arms_and_never_sleeps(void **state)
{
	struct script s = {.stop_at = 100000, .fd = eventfd(0, EFD_CLOEXEC)};
	struct ob_loop_stats st = run_script(&s, OB_MODE_POLL);

	assert_int_equal(st.rounds, 100000);
	assert_int_equal(st.sleeps, 0);
	assert_int_equal(s.arms, 0);
}

static void interrupt_mode_arms_after_one_empty_round(void **state)
{
	struct script s = {.work_until = 10, .stop_at = 12, .fd = eventfd(0, EFD_CLOEXEC)};
	struct ob_loop_stats st = run_script(&s, OB_MODE_INTERRUPT);

	assert_int_equal(s.round_of_arm, 11); /* the first that found nothing */
	assert_int_equal(s.rounds, 12);	      /* the look between arm and sleep */
	assert_int_equal(st.work, 10 * 64);
	assert_int_equal(s.disarms, 1); /* quiet again at the end */
}

static void adaptive_mode_polls_while_there_is_work(void **state)
{
	struct script s = {.work_until = 50000, .stop_at = 50000, .fd = eventfd(0, EFD_CLOEXEC)};
	struct ob_loop_stats st = run_script(&s, OB_MODE_ADAPTIVE);

	assert_int_equal(s.arms, 0);
	assert_int_equal(st.sleeps, 0);
	assert_int_equal(st.idle_rounds, 0);
}

/* ---- sources ------------------------------------------------------------------------- */

static void eventfd_is_read_and_counted_and_socket_is_not_read(void **state)
{
	struct device d;
	struct ob_loop_source src;
	struct ob_loop_stats st;
	struct ob_loop *loop;
	int pair[2];
	char byte;

	assert_int_equal(ob_loop_create(OB_MODE_INTERRUPT, &loop), 0);
	device_init(&d, loop, UINT64_MAX);
	src = device_source(&d);
	assert_int_equal(ob_loop_add(loop, &src), 0);
	kick(d.fd);
	kick(d.fd);
	kick(d.fd);
	assert_int_equal(ob_loop_once(loop, 10000), 0);
	ob_loop_stats(loop, &st);
	assert_int_equal(st.wakeups, 1);
	assert_int_equal(st.irqs, 3);
	ob_loop_remove(loop, &d);

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	d.stop_at = UINT64_MAX;
	src = (struct ob_loop_source){.poll = device_poll, .arg = &d, .fd = pair[0], .level = true};
	assert_int_equal(ob_loop_add(loop, &src), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(ob_loop_once(loop, 10000), 0);
	ob_loop_stats(loop, &st);
	assert_int_equal(st.wakeups, 2);
	assert_int_equal(st.irqs, 3);
	assert_int_equal(recv(pair[0], &byte, 1, MSG_DONTWAIT), 1);
	ob_loop_destroy(loop);
	close(pair[0]);
	close(pair[1]);
	close(d.fd);
}

/* Two queues on one vector: epoll knows a descriptor once, and it lives as long as one of them. */
struct level {
	int fd;
	unsigned int polls;
	bool does; /* takes what is there */
};

static unsigned int level_poll(void *arg, unsigned int budget)
{
	struct level *l = arg;
	uint64_t n;

	l->polls++;
	return l->does && read(l->fd, &n, sizeof(n)) == sizeof(n);
}

/* Each look at a tap is a system call. */
static void level_that_did_not_wake_the_loop_is_left_out_once(void **state)
{
	struct level l[2] = {0};
	struct ob_loop *loop;

	assert_int_equal(ob_loop_create(OB_MODE_INTERRUPT, &loop), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct ob_loop_source src = {.poll = level_poll, .arg = &l[i], .level = true};

		src.fd = l[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(l[i].fd >= 0);
		assert_int_equal(ob_loop_add(loop, &src), 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int a = l[i].polls, b = l[!i].polls;

		/* Two rounds before the sleep, which it ends at once, and one after it. */
		kick(l[i].fd);
		assert_int_equal(ob_loop_once(loop, 60000), 0);
		assert_int_equal(l[i].polls, a + 3);
		assert_int_equal(l[!i].polls, b + 2);
		l[i].does = true;
		assert_int_equal(ob_loop_once(loop, 60000), 1);
		l[i].does = false;
		assert_int_equal(l[!i].polls, b + 3);
	}
	/* Both at the same time. */
	kick(l[0].fd);
	kick(l[1].fd);
	assert_int_equal(ob_loop_once(loop, 60000), 0);
	assert_int_equal(l[0].polls, l[1].polls);
	for (unsigned int i = 0; i < 2; i++) {
		ob_loop_remove(loop, &l[i]);
		close(l[i].fd);
	}
	ob_loop_destroy(loop);
}

static void sources_may_share_a_descriptor(void **state)
{
	struct device a, b;
	struct ob_loop_source src;
	struct ob_loop_stats st;
	struct ob_loop *loop;

	assert_int_equal(ob_loop_create(OB_MODE_INTERRUPT, &loop), 0);
	device_init(&a, loop, UINT64_MAX);
	device_init(&b, loop, UINT64_MAX);
	src = device_source(&a);
	assert_int_equal(ob_loop_add(loop, &src), 0);
	src = device_source(&b);
	src.fd = a.fd;
	assert_int_equal(ob_loop_add(loop, &src), 0);
	ob_loop_remove(loop, &a);
	atomic_store(&b.pending, 1);
	kick(a.fd);
	assert_int_equal(ob_loop_once(loop, 10000), 1);
	assert_int_equal(ob_loop_once(loop, 10000), 0); /* the kick wakes it */
	ob_loop_stats(loop, &st);
	assert_int_equal(st.irqs, 1);
	ob_loop_destroy(loop);
	close(a.fd);
	close(b.fd);
}

static unsigned int greedy_poll(void *arg, unsigned int budget)
{
	return budget;
}

static void busy_source_does_not_starve_others(void **state)
{
	struct script s = {.stop_at = 1000, .fd = -1};
	struct ob_loop_source greedy = {.poll = greedy_poll, .arg = &s.fd, .fd = -1};
	struct ob_loop_source src = {.poll = script_poll, .arg = &s, .fd = -1};
	struct ob_loop_stats st;

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &s.loop), 0);
	assert_int_equal(ob_loop_add(s.loop, &greedy), 0);
	assert_int_equal(ob_loop_add(s.loop, &src), 0);
	assert_int_equal(ob_loop_run(s.loop), 0);
	ob_loop_stats(s.loop, &st);
	assert_int_equal(st.rounds, 1000); /* one look at each per round */
	ob_loop_destroy(s.loop);
}

static unsigned int self_removing_poll(void *arg, unsigned int budget)
{
	struct script *s = arg;
	struct ob_loop_source src = {.poll = script_poll, .arg = s->other, .fd = s->other->fd};

	s->rounds++;
	/* Enough of them that the array moves while the loop walks it. */
	for (int i = 0; i < 20 && !s->add_done; i++) {
		struct ob_loop_source tick = {
			.poll = greedy_poll, .arg = &s->round_of_arm, .fd = -1};

		assert_int_equal(ob_loop_add(s->loop, &tick), 0);
	}
	s->add_done = true;
	assert_int_equal(ob_loop_add(s->loop, &src), 0);
	ob_loop_remove(s->loop, s);
	ob_loop_remove(s->loop, &s->round_of_arm);
	return 1;
}

static void sources_may_be_added_and_removed_during_poll(void **state)
{
	struct script other = {.stop_at = 10, .fd = eventfd(0, EFD_CLOEXEC)};
	struct script s = {.other = &other, .fd = eventfd(0, EFD_CLOEXEC)};
	struct ob_loop_source src = {.poll = self_removing_poll, .arg = &s, .fd = s.fd};

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &s.loop), 0);
	other.loop = s.loop;
	other.work_until = 10;
	assert_int_equal(ob_loop_add(s.loop, &src), 0);
	assert_int_equal(ob_loop_run(s.loop), 0);
	assert_int_equal(s.rounds, 1);
	assert_int_equal(other.rounds, 10);
	ob_loop_destroy(s.loop);
	close(s.fd);
	close(other.fd);
}

static void source_without_descriptor_is_still_looked_at(void **state)
{
	struct script s = {.stop_at = 20, .fd = -1};
	struct ob_loop_source src = {.poll = script_poll, .arg = &s, .fd = -1};
	struct ob_loop_stats st;

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &s.loop), 0);
	assert_int_equal(ob_loop_add(s.loop, &src), 0);
	assert_int_equal(ob_loop_run(s.loop), 0);
	ob_loop_stats(s.loop, &st);
	assert_true(st.sleeps > 0);
	ob_loop_destroy(s.loop);
}

static void bad_sources_are_refused(void **state)
{
	struct ob_loop_source src = {.fd = -1};
	struct ob_loop *loop;

	assert_int_equal(ob_loop_create((enum ob_mode)7, &loop), -EINVAL);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &loop), 0);
	assert_int_equal(ob_loop_add(loop, &src), -EINVAL);
	src.poll = greedy_poll;
	src.fd = 1 << 20; /* not open */
	assert_int_equal(ob_loop_add(loop, &src), -EBADF);
	assert_int_equal(ob_loop_once(loop, 0), 0);
	ob_loop_destroy(loop);
	ob_loop_destroy(NULL);
}

/* ---- stop ---------------------------------------------------------------------------- */

static struct ob_loop *signalled;

static void on_alarm(int signo)
{
	ob_loop_stop(signalled);
}

static void stop_works_from_a_signal_handler(void **state)
{
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	struct device d;
	struct ob_loop_source src;

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &signalled), 0);
	device_init(&d, signalled, UINT64_MAX);
	src = device_source(&d);
	assert_int_equal(ob_loop_add(signalled, &src), 0);
	assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
	for (int i = 0; i < 20; i++) {
		ualarm(1000 * (useconds_t)(i % 5 + 1), 0);
		assert_int_equal(ob_loop_run(signalled), 0);
	}
	sigaction(SIGALRM, &old, NULL);
	ob_loop_destroy(signalled);
	close(d.fd);
}

static void stop_before_run_ends_it_once(void **state)
{
	struct script s = {.stop_at = 5, .fd = -1};
	struct ob_loop_source src = {.poll = script_poll, .arg = &s, .fd = -1};

	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &s.loop), 0);
	assert_int_equal(ob_loop_add(s.loop, &src), 0);
	ob_loop_stop(s.loop);
	ob_loop_stop(s.loop);
	assert_int_equal(ob_loop_run(s.loop), 0);
	assert_int_equal(s.rounds, 0);
	assert_int_equal(ob_loop_run(s.loop), 0);
	assert_int_equal(s.rounds, 5);
	ob_loop_destroy(s.loop);
}

static void modes_have_names(void **state)
{
	struct ob_error err = {0};
	enum ob_mode mode;

	assert_int_equal(ob_mode_parse("adaptive", &mode, &err), 0);
	assert_int_equal(mode, OB_MODE_ADAPTIVE);
	assert_int_equal(ob_mode_parse("poll", &mode, &err), 0);
	assert_int_equal(mode, OB_MODE_POLL);
	assert_int_equal(ob_mode_parse("interrupt", &mode, &err), 0);
	assert_int_equal(mode, OB_MODE_INTERRUPT);
	assert_int_equal(ob_mode_parse("fast", &mode, &err), -EINVAL);
	assert_non_null(strstr(err.what, "fast"));
	assert_non_null(strstr(err.fix, "adaptive"));
	assert_int_equal(ob_mode_parse("fast", &mode, NULL), -EINVAL);
	assert_string_equal(ob_mode_name(OB_MODE_INTERRUPT), "interrupt");
	assert_string_equal(ob_mode_name((enum ob_mode)9), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_work_is_lost_between_arm_and_sleep_adaptive),
		cmocka_unit_test(no_work_is_lost_between_arm_and_sleep_interrupt),
		cmocka_unit_test(idle_loop_only_wakes_for_ticks),
		cmocka_unit_test(source_that_cannot_do_its_work_does_not_spin),
		cmocka_unit_test(descriptor_that_stays_readable_does_not_spin),
		cmocka_unit_test(poll_mode_never_arms_and_never_sleeps),
		cmocka_unit_test(interrupt_mode_arms_after_one_empty_round),
		cmocka_unit_test(adaptive_mode_polls_while_there_is_work),
		cmocka_unit_test(eventfd_is_read_and_counted_and_socket_is_not_read),
		cmocka_unit_test(level_that_did_not_wake_the_loop_is_left_out_once),
		cmocka_unit_test(sources_may_share_a_descriptor),
		cmocka_unit_test(busy_source_does_not_starve_others),
		cmocka_unit_test(sources_may_be_added_and_removed_during_poll),
		cmocka_unit_test(source_without_descriptor_is_still_looked_at),
		cmocka_unit_test(bad_sources_are_refused),
		cmocka_unit_test(stop_works_from_a_signal_handler),
		cmocka_unit_test(stop_before_run_ends_it_once),
		cmocka_unit_test(modes_have_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
