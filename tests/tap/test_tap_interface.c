/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap attachment's interface: it is like the device and the device like it, it may be renamed, deleted or
 * made beforehand, and what is wrong with options is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/tap/rig.h"

/* ---- the interface is like the device, and the device like the interface ----------------------------- */

/* The kernel tells of a carrier by its own clock, up to a second late. */
static void wait_running(struct rig *r, bool running)
{
	uint64_t end = ob_clock_ms() + 60000;
	struct ifreq ifr = {0};

	do {
		serve(r, 0.05);
		assert_int_equal(interface_ioctl(r, SIOCGIFFLAGS, &ifr), 0);
		assert_true(ifr.ifr_flags & IFF_UP);
	} while (!!(ifr.ifr_flags & IFF_RUNNING) != running && ob_clock_ms() < end);
	assert_int_equal(!!(ifr.ifr_flags & IFF_RUNNING), running);
}

static void interface_has_address_mtu_and_link_of_the_device(void **state)
{
	struct ifreq ifr = {0};
	struct rig r;

	rig_device(&r, 1);
	r.f->link_up = false;
	rig_attach(&r, "tap,netns=new,up,name=cable%d,mtu=4000");
	assert_string_equal(r.name, "cable0");
	assert_int_equal(interface_ioctl(&r, SIOCGIFHWADDR, &ifr), 0);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, r.f->net.mac, 6);
	assert_int_equal(interface_ioctl(&r, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 4000);
	assert_int_equal(r.f->net.mtu, 4000);
	wait_running(&r, false);
	r.f->link_up = true;
	wait_running(&r, true);
	r.f->link_up = false;
	wait_running(&r, false);
	assert_true(r.f->ticks > 3);
	rig_close(&r);
}

static void device_follows_what_is_set_on_the_interface(void **state)
{
	static const uint8_t group[6] = {0x33, 0x33, 1, 2, 3, 4};
	struct packet_mreq mreq = {.mr_type = PACKET_MR_PROMISC};
	struct ifreq ifr = {0};
	bool joined = false;
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	ifr.ifr_mtu = 8000;
	assert_int_equal(interface_ioctl(&r, SIOCSIFMTU, &ifr), 0);
	serve(&r, 0.3);
	assert_int_equal(r.f->net.mtu, 8000);

	/* More than the device can: the interface goes back. */
	ifr.ifr_mtu = 9001;
	assert_int_equal(interface_ioctl(&r, SIOCSIFMTU, &ifr), 0);
	serve(&r, 0.3);
	assert_int_equal(r.f->net.mtu, 8000);
	assert_int_equal(interface_ioctl(&r, SIOCGIFMTU, &ifr), 0);
	assert_int_equal(ifr.ifr_mtu, 8000);

	ifr.ifr_hwaddr.sa_family = 1; /* ARPHRD_ETHER */
	memcpy(ifr.ifr_hwaddr.sa_data, "\x02\x55\x55\x55\x55\x55", 6);
	assert_int_equal(interface_ioctl(&r, SIOCSIFHWADDR, &ifr), 0);
	serve(&r, 0.3);
	assert_memory_equal(r.f->net.mac, "\x02\x55\x55\x55\x55\x55", 6);

	/* A group address on the interface, as joining a group adds it. */
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_hwaddr.sa_data, group, 6);
	assert_int_equal(interface_ioctl(&r, SIOCADDMULTI, &ifr), 0);
	serve(&r, 1.5);
	for (unsigned int i = 0; i < r.f->nr_macs; i++)
		joined |= !memcmp(r.f->macs[i], group, 6);
	assert_true(joined);

	assert_false(r.f->promisc);
	mreq.mr_ifindex = r.index;
	assert_int_equal(
		setsockopt(r.packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)), 0);
	serve(&r, 1.5);
	assert_true(r.f->promisc);
	assert_int_equal(
		setsockopt(r.packet, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, sizeof(mreq)), 0);
	serve(&r, 1.5);
	assert_false(r.f->promisc);
	rig_close(&r);
}

static void many_groups_mean_all(void **state)
{
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	for (int i = 0; i < 80; i++) {
		struct ifreq ifr = {0};
		uint8_t group[6] = {0x33, 0x33, 9, 9, 9, (uint8_t)i};

		memcpy(ifr.ifr_hwaddr.sa_data, group, 6);
		assert_int_equal(interface_ioctl(&r, SIOCADDMULTI, &ifr), 0);
	}
	serve(&r, 1.5);
	assert_true(r.f->promisc);
	rig_close(&r);
}

static void renamed_interface_is_still_ours(void **state)
{
	struct ob_attach_info info;
	struct ob_error err = {0};
	struct ifreq ifr = {0};
	struct rig r;

	rig_open(&r, 1, "tap,netns=new");
	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "other");
	assert_int_equal(interface_ioctl(&r, SIOCSIFNAME, &ifr), 0);
	serve(&r, 0.3);
	r.at->ops->info(r.at, &info);
	assert_string_equal(info.name, "other");
	snprintf(r.name, sizeof(r.name), "other");
	rig_up(&r, true);
	assert_int_equal(ob_attach_unpublish(r.at, false, &err), 0);
	assert_int_equal(interface_ioctl(&r, SIOCGIFFLAGS, &ifr), 0);
	assert_int_equal(ifr.ifr_flags & IFF_UP, 0);
	rig_close(&r);
}

/* Somebody runs `ip link delete`: no crash, no spinning, one line in the log. */
static void deleted_interface_is_survived(void **state)
{
	struct ob_loop_stats before, after;
	uint8_t b[100];
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,up");
	assert_int_equal(run_in(&r, "ip link delete ob0"), 0);
	serve(&r, 0.3);
	assert_non_null(strstr(r.device->log, "was deleted by somebody else"));
	fake_net_receive(r.f, 0, b, test_frame(b, 100, 1), 2048, 0);
	serve(&r, 0.1);
	assert_int_equal(r.f->nr_rx[0], 0); /* dropped, not kept */
	ob_loop_stats(r.loop, &before);
	ob_loop_once(r.loop, 50);
	ob_loop_stats(r.loop, &after);
	assert_int_equal(after.wakeups, before.wakeups);
	rig_close(&r);
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void refuse(struct rig *r, const char *text, int code, const char *what)
{
	struct ob_error err = {0};
	char all[1400];
	int ret = ob_attach_open(&r->f->b, 0, text, r->loop, &r->at, &err);

	if (ret != code)
		fail_msg("'%s' gave %d: %s", text, ret, ob_error_text(&err, all, sizeof(all)));
	ob_error_text(&err, all, sizeof(all));
	if (!strstr(all, what))
		fail_msg("'%s' says: %s", text, all);
	assert_null(r->at);
}

static void bad_options_are_named(void **state)
{
	struct rig r;

	rig_device(&r, 2);
	refuse(&r, "tap,name=a/b", -EINVAL, "a/b");
	refuse(&r, "tap,name=0123456789abcdef", -EINVAL, "0123456789abcdef");
	refuse(&r, "tap,name=", -EINVAL, "name");
	refuse(&r, "tap,queues=3", -EINVAL, "queues");
	refuse(&r, "tap,mtu=9001", -EINVAL, "mtu");
	refuse(&r, "tap,gro=perhaps", -EINVAL, "perhaps");
	refuse(&r, "tap,netns=new,colour=red", -EINVAL, "colour");
	refuse(&r, "tap,netns=pid:x", -EINVAL, "process id");
	refuse(&r, "tap,netns=pid:999999999", -ENOENT, "999999999");
	refuse(&r, "tap,netns=no-such-name", -ENOENT, "no-such-name");
	refuse(&r, "tap,netns=/etc/passwd", -EINVAL, "not a network namespace");
	refuse(&r, "tap,netns=new,address=10.0.0.1", -EINVAL, "10.0.0.1");
	refuse(&r, "tap,netns=new,address=10.0.0.1/33", -EINVAL, "10.0.0.1/33");
	refuse(&r, "tap,netns=new,name=lo", -EEXIST, "lo");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

static void small_arena_is_an_error_that_says_what_to_do(void **state)
{
	struct rig r;

	memset(&r, 0, sizeof(r));
	r.device = fake_open(OB_DMA_POOLED, 1 << 20, false);
	r.f = fake_net_open(&r.device->dev, 1);
	assert_int_equal(ob_loop_create(OB_MODE_ADAPTIVE, &r.loop), 0);
	refuse(&r, "tap,netns=new", -ENOSPC, "arena=");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

/* What was opened without success leaves no descriptor and no process. */
static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void nothing_stays_open(void **state)
{
	struct ob_error err = {0};
	unsigned int before;
	struct rig r;

	rig_device(&r, 2);
	before = open_descriptors();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ob_attach_open(&r.f->b, 0, "tap,netns=new,address=nonsense",
						r.loop, &r.at, &err),
				 -EINVAL);
		assert_int_equal(
			ob_attach_open(&r.f->b, 0, "tap,netns=new,up", r.loop, &r.at, &err), 0);
		ob_attach_close(r.at);
		r.at = NULL;
	}
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
}

static void both_families_of_address_can_be_given(void **state)
{
	struct rig r;

	rig_open(&r, 1, "tap,netns=new,address=192.168.50.7/28");
	assert_int_equal(
		run_in(&r, "ip -o address show dev ob0 up | grep -q 'inet 192.168.50.7/28'"), 0);
	rig_close(&r);
	rig_open(&r, 1, "tap,netns=new,address=fd00::7/64");
	assert_int_equal(run_in(&r, "ip -o address show dev ob0 up | grep -q 'inet6 fd00::7/64'"),
			 0);
	rig_close(&r);
}

/* An interface that an administrator made for this user is used and left. */
static void premade_interface_is_used_and_left(void **state)
{
	struct ob_error err = {0};
	struct ifreq ifr = {0};
	char text[64], all[1400];
	struct rig r;
	int fd, pair[2], status;
	pid_t pid;
	char c;

	/* A process with a namespace that has a persistent tap. */
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(1);
		fd = open("/dev/net/tun", O_RDWR);
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "made");
		ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
		if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETPERSIST, 1))
			_exit(2);
		close(fd);
		if (write(pair[1], "x", 1) != 1)
			_exit(3);
		pause();
		_exit(0);
	}
	close(pair[1]);
	assert_int_equal(read(pair[0], &c, 1), 1);
	close(pair[0]);

	rig_device(&r, 1);
	snprintf(text, sizeof(text), "tap,netns=pid:%d,name=made", pid);
	for (int i = 0; i < 2; i++) {
		if (ob_attach_open(&r.f->b, 0, text, r.loop, &r.at, &err))
			fail_msg("%s", ob_error_text(&err, all, sizeof(all)));
		assert_true(ob_attach_tap_netns_fd(r.at) >= 0);
		r.inet = socket_in(&r, AF_INET, SOCK_DGRAM, 0);
		snprintf(r.name, sizeof(r.name), "made");
		ob_attach_close(r.at);
		r.at = NULL;
		assert_int_equal(interface_ioctl(&r, SIOCGIFINDEX, &ifr), 0);
		close(r.inet);
	}
	/* Made without multi_queue: two queues do not fit. */
	fake_net_close(r.f);
	r.f = fake_net_open(&r.device->dev, 2);
	refuse(&r, text, -EEXIST, "multi_queue");
	fake_net_close(r.f);
	ob_loop_destroy(r.loop);
	fake_close(r.device);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interface_has_address_mtu_and_link_of_the_device),
		cmocka_unit_test(device_follows_what_is_set_on_the_interface),
		cmocka_unit_test(many_groups_mean_all),
		cmocka_unit_test(renamed_interface_is_still_ours),
		cmocka_unit_test(deleted_interface_is_survived),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(small_arena_is_an_error_that_says_what_to_do),
		cmocka_unit_test(nothing_stays_open),
		cmocka_unit_test(both_families_of_address_can_be_given),
		cmocka_unit_test(premade_interface_is_used_and_left),
	};

	return rig_run(tests, sizeof(tests) / sizeof(tests[0]));
}
