/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `devices` and `probe` make of PCI functions that this machine may not have: IOMMU groups, lockdown,
 * disks below device mapper, multipath; and of capability lists that lie. On a folder like sysfs.
 */
#include <errno.h>

#include "cli/pci_caps.h"
#include "cli/pci_sysfs.h"
#include "tests/cli/sysfs_folder.h"

/* A function below sys/devices, with its link in sys/bus/pci/devices. */
static void put_function(const char *path, uint32_t ids, uint32_t class_code, int group)
{
	const char *name = strrchr(path, '/') + 1;
	char file[256], target[256];

	snprintf(file, sizeof(file), "sys/devices/%s/vendor", path);
	put(file, "0x%04x\n", ids >> 16);
	snprintf(file, sizeof(file), "sys/devices/%s/device", path);
	put(file, "0x%04x\n", ids & 0xffff);
	snprintf(file, sizeof(file), "sys/devices/%s/class", path);
	put(file, "0x%06x\n", class_code);
	snprintf(file, sizeof(file), "sys/bus/pci/devices/%s", name);
	snprintf(target, sizeof(target), "../../../devices/%s", path);
	link_to(target, file);
	if (group < 0)
		return;
	snprintf(file, sizeof(file), "sys/devices/%s/iommu_group", path);
	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%d", group);
	link_to(target, file);
}

static void the_way_of(const char *address, struct pci_way *way)
{
	struct pci_machine m;

	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_non_null(pci_machine_find(&m, address));
	pci_way(root, &m, pci_machine_find(&m, address), way);
	pci_machine_free(&m);
}

/* ---- devices --------------------------------------------------------------------------------- */

static void a_machine_without_pci_has_no_devices(void **state)
{
	struct pci_machine m;

	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_int_equal(m.n, 0);
	assert_null(pci_machine_find(&m, "00:00.0"));
	pci_machine_free(&m);
}

static void functions_are_ordered_and_found_by_address(void **state)
{
	struct pci_machine m;

	put_function("pci0000:00/0000:00:1f.2", 0x80862922, 0x010601, -1);
	put_function("pci0000:00/0000:00:02.0", 0x808610d3, 0x020000, -1);
	put_function("pci0001:00/0001:00:00.0", 0x80861234, 0x020000, -1);
	link_to("nowhere", "sys/bus/pci/devices/not-an-address");
	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_int_equal(m.n, 3);
	assert_string_equal(m.fn[0].pci.name, "0000:00:02.0");
	assert_int_equal(m.fn[0].pci.device, 0x10d3);
	assert_int_equal(m.fn[0].pci.class_code, 0x020000);
	assert_string_equal(m.fn[2].pci.name, "0001:00:00.0");
	assert_ptr_equal(pci_machine_find(&m, "00:1f.2"), &m.fn[1]);
	assert_ptr_equal(pci_machine_find(&m, "0001:00:00.0"), &m.fn[2]);
	assert_null(pci_machine_find(&m, "01:00.0"));
	pci_machine_free(&m);
}

static void only_addresses_are_addresses(void **state)
{
	static const char *const bad[] = {"",	      "qemu:edu", "00:20.0",	   "00:1f.8",
					  "00:1f",    "00:1f.2x", "0000:00:1f.2 ", "-1:0.0",
					  " 00:1f.2", "1f.2"};
	struct ob_bdf bdf;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sysfs_parse_bdf(bad[i], &bdf))
			fail_msg("'%s' was taken for an address", bad[i]);
	assert_true(sysfs_parse_bdf("00:1f.2", &bdf));
	assert_true(sysfs_parse_bdf("00a1:fe:1f.7", &bdf));
	assert_int_equal(bdf.domain, 0xa1);
	assert_int_equal(bdf.bus, 0xfe);
	assert_int_equal(bdf.dev, 0x1f);
	assert_int_equal(bdf.fn, 7);
}

/* ---- the way ------------------------------------------------------------------------------------ */

static void a_function_alone_in_its_group_goes_by_vfio(void **state)
{
	struct pci_way way;

	put_function("pci0000:00/0000:00:01.0", 0x80861901, 0x060400, 7);
	put_function("pci0000:00/0000:00:01.0/0000:03:00.0", 0x808610d3, 0x020000, 7);
	put_function("pci0000:00/0000:00:1f.2", 0x80862922, 0x010601, 8);
	the_way_of("03:00.0", &way);
	assert_string_equal(way.backend, "vfio");
	/* The bridge of its group may stay, so it is alone. */
	assert_non_null(strstr(way.why, "alone in its group"));
	assert_true(way.built);
	the_way_of("00:01.0", &way);
	assert_null(way.backend);
	assert_non_null(strstr(way.why, "bridge"));
}

static void the_rest_of_a_group_is_named(void **state)
{
	struct pci_way way;

	put_function("pci0000:00/0000:03:00.0", 0x808610d3, 0x020000, 7);
	put_function("pci0000:00/0000:03:00.1", 0x808610d3, 0x020000, 7);
	put_function("pci0000:00/0000:04:00.0", 0x808610d3, 0x020000, 9);
	the_way_of("03:00.0", &way);
	assert_string_equal(way.backend, "vfio");
	assert_non_null(strstr(way.why, "0000:03:00.1"));
	assert_null(strstr(way.why, "0000:04:00.0"));
}

static void without_an_iommu_it_is_uio_unless_locked_down(void **state)
{
	struct pci_way way;

	put_function("pci0000:00/0000:03:00.0", 0x808610d3, 0x020000, -1);
	the_way_of("03:00.0", &way);
	assert_string_equal(way.backend, "uio");
	assert_non_null(strstr(way.why, "no IOMMU"));
	put("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	the_way_of("03:00.0", &way);
	assert_string_equal(way.backend, "uio");
	put("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	the_way_of("03:00.0", &way);
	assert_null(way.backend);
	assert_non_null(strstr(way.why, "locked down"));
}

/* ---- who uses it ---------------------------------------------------------------------------------- */

static void put_disk(const char *function, const char *name, const char *number)
{
	char file[256], target[256];

	snprintf(file, sizeof(file), "sys/devices/%s/block/%s/dev", function, name);
	put(file, "%s\n", number);
	snprintf(file, sizeof(file), "sys/block/%s", name);
	snprintf(target, sizeof(target), "../devices/%s/block/%s", function, name);
	link_to(target, file);
}

static void mounts_swap_and_what_lies_above_are_found(void **state)
{
	static const char fn[] = "pci0000:00/0000:00:01.0/0000:03:00.0";
	struct pci_machine m;
	const struct pci_function *f;

	put_function("pci0000:00/0000:00:01.0", 0x80861901, 0x060400, -1);
	put_function(fn, 0x1b360010, 0x010802, -1);
	put_disk(fn, "sda", "8:0");
	put("sys/devices/pci0000:00/0000:00:01.0/0000:03:00.0/block/sda/sda1/dev", "8:1\n");
	put("sys/devices/pci0000:00/0000:00:01.0/0000:03:00.0/block/sda/sda2/dev", "8:2\n");
	put("sys/devices/pci0000:00/0000:00:01.0/0000:03:00.0/block/sda/sda3/dev", "8:3\n");
	put("sys/devices/pci0000:00/0000:00:01.0/0000:03:00.0/block/sda/sda3/holders/dm-0", "%s",
	    "");
	put("sys/block/dm-0/dev", "254:0\n");
	/* One that holds itself must not hold us up. */
	put("sys/block/dm-0/holders/dm-0", "%s", "");
	put("proc/swaps",
	    "Filename\tType\n/dev/sda2  partition 1 0 -2\n/dev/sda20 partition 1 0 -2\n");
	put("proc/self/mountinfo", "1 0 8:1 / /boot\\040disk rw - ext4 /dev/sda1 rw\n"
				   "2 0 254:0 / / rw - ext4 /dev/mapper/root rw\n"
				   "3 0 8:99 / /other rw - ext4 /dev/sdb rw\n"
				   "nonsense\n");
	assert_int_equal(pci_machine_read(root, &m), 0);
	f = pci_machine_find(&m, "03:00.0");
	assert_string_equal(f->nodes, "sda");
	assert_int_equal(pci_machine_find(&m, "00:01.0")->uses, 0);
	{
		unsigned int boot = 0, swap = 0, top = 0;

		for (size_t i = 0; i < f->uses; i++) {
			boot += !strcmp(f->use[i].text, "sda1 is mounted on /boot disk");
			swap += !strcmp(f->use[i].text, "sda2 is swap space");
			top += !strcmp(f->use[i].text, "dm-0 is mounted on /");
		}
		assert_int_equal(boot, 1);
		assert_int_equal(swap, 1);
		assert_int_equal(top, 1);
		assert_int_equal(f->uses, boot + swap + top);
	}
	pci_machine_free(&m);
}

static void a_multipath_disk_is_used_by_its_head(void **state)
{
	static const char fn[] = "pci0000:00/0000:03:00.0";
	struct pci_machine m;

	put_function(fn, 0x1b360010, 0x010802, -1);
	put_disk(fn, "nvme0c1n2", "259:7");
	put("sys/block/nvme0n2/dev", "259:1\n");
	put("proc/self/mountinfo", "1 0 259:1 / /data rw - xfs /dev/nvme0n2 rw\n");
	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_int_equal(m.fn[0].uses, 1);
	assert_string_equal(m.fn[0].use[0].text, "nvme0n2 is mounted on /data");
	pci_machine_free(&m);
}

static void a_default_route_of_either_protocol_is_a_use(void **state)
{
	struct pci_machine m;

	put_function("pci0000:00/0000:03:00.0", 0x808610d3, 0x020000, -1);
	put_function("pci0000:00/0000:04:00.0", 0x808610d3, 0x020000, -1);
	put_function("pci0000:00/0000:05:00.0", 0x808610d3, 0x020000, -1);
	put("sys/devices/pci0000:00/0000:03:00.0/net/eth0/address", "\n");
	put("sys/devices/pci0000:00/0000:04:00.0/net/eth1/address", "\n");
	put("sys/devices/pci0000:00/0000:05:00.0/net/eth2/address", "\n");
	link_to("../../devices/pci0000:00/0000:03:00.0/net/eth0", "sys/class/net/eth0");
	link_to("../../devices/pci0000:00/0000:04:00.0/net/eth1", "sys/class/net/eth1");
	link_to("../../devices/pci0000:00/0000:05:00.0/net/eth2", "sys/class/net/eth2");
	put("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
			      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"
			      "eth2\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n");
	put("proc/net/ipv6_route",
	    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
	    "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth1\n");
	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_int_equal(m.fn[0].uses, 1);
	assert_string_equal(m.fn[0].use[0].text, "eth0 has the default route");
	assert_int_equal(m.fn[1].uses, 1);
	assert_int_equal(m.fn[2].uses, 0);
	assert_string_equal(m.fn[2].nodes, "eth2");
	pci_machine_free(&m);
}

static void ranges_are_read_and_nonsense_is_refused(void **state)
{
	struct sysfs_range r[SYSFS_RANGES];
	struct pci_machine m;

	put_function("pci0000:00/0000:03:00.0", 0x808610d3, 0x020000, -1);
	put("sys/devices/pci0000:00/0000:03:00.0/resource",
	    "0x00000000c0020000 0x00000000c003ffff 0x0000000000040200\n"
	    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	    "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
	    "0x0000004000100000 0x000000400017ffff 0x0000000000142204\n");
	assert_int_equal(pci_machine_read(root, &m), 0);
	assert_int_equal(sysfs_ranges(root, m.fn[0].pci.name, r), 0);
	assert_int_equal(r[0].size, 0x20000);
	assert_false(r[0].io);
	assert_int_equal(r[1].size, 0);
	assert_int_equal(r[2].size, 32);
	assert_true(r[2].io);
	assert_true(r[3].prefetchable);
	assert_true(r[3].wide);
	put("sys/devices/pci0000:00/0000:03:00.0/resource", "what is this\n");
	assert_int_equal(sysfs_ranges(root, m.fn[0].pci.name, r), -EBADMSG);
	pci_machine_free(&m);
}

/* ---- capabilities ------------------------------------------------------------------------------------ */

static uint8_t config[4096];

static uint32_t read_config(void *arg, unsigned int off, unsigned int size)
{
	uint32_t val = 0xffffffffu >> (32 - 8 * size);

	assert_int_equal(off % size, 0);
	if (off + size <= *(unsigned int *)arg)
		memcpy(&val, config + off, size);
	return val;
}

static unsigned int caps_of(unsigned int size, struct pci_cap *caps)
{
	return pci_caps(read_config, &size, size, caps, PCI_CAPS_MAX);
}

static void set32(unsigned int off, uint32_t val)
{
	memcpy(config + off, &val, 4);
}

static void both_lists_are_read(void **state)
{
	struct pci_cap caps[PCI_CAPS_MAX];
	unsigned int size = 4096;

	memset(config, 0, sizeof(config));
	config[6] = 0x10;
	config[0x34] = 0x40;
	set32(0x40, 0x00845005); /* MSI, 4 vectors, 64 bits */
	set32(0x50, 0x00400011); /* MSI-X, 65 vectors */
	set32(0x54, 0x00002003);
	set32(0x58, 0x00003003);
	set32(0x100, 0x14010001); /* AER, version 1 */
	set32(0x140, 0x00010003); /* serial number */
	set32(0x144, 0x11223344);
	set32(0x148, 0x55667788);
	assert_int_equal(caps_of(4096, caps), 4);
	assert_string_equal(caps[0].name, "MSI");
	assert_int_equal(pci_msi_vectors(read_config, &size, &caps[0]), 4);
	assert_string_equal(caps[1].name, "MSI-X");
	assert_int_equal(pci_msi_vectors(read_config, &size, &caps[1]), 65);
	assert_string_equal(
		caps[1].detail,
		"vectors: 65, table in BAR 3 at 0x2000, pending bits in BAR 3 at 0x3000");
	assert_true(caps[2].extended);
	assert_string_equal(caps[2].name, "advanced error reporting");
	assert_string_equal(caps[3].detail, "55667788-11223344");
	/* Without root there are 64 bytes, and old functions have 256. */
	assert_int_equal(caps_of(64, caps), 0);
	assert_int_equal(caps_of(256, caps), 2);
}

static void a_list_that_loops_ends(void **state)
{
	struct pci_cap caps[PCI_CAPS_MAX];

	memset(config, 0, sizeof(config));
	config[6] = 0x10;
	config[0x34] = 0x40;
	set32(0x40, 0x00005009);
	set32(0x50, 0x00004009); /* back to the first */
	set32(0x100, 0x20010001);
	set32(0x200, 0x10010002);
	assert_int_equal(caps_of(4096, caps), 4);
}

static void whatever_a_device_claims_stays_within_bounds(void **state)
{
	struct pci_cap caps[PCI_CAPS_MAX];
	uint32_t x = 1;

	for (unsigned int round = 0; round < 2000; round++) {
		unsigned int n;

		for (unsigned int i = 0; i < sizeof(config); i++) {
			x = x * 1664525 + 1013904223;
			config[i] = (uint8_t)(x >> 24);
		}
		config[6] |= 0x10;
		n = caps_of(round & 1 ? 4096 : 256, caps);
		assert_true(n <= PCI_CAPS_MAX);
		for (unsigned int i = 0; i < n; i++)
			assert_true(strlen(caps[i].name) > 0);
	}
	memset(config, 0xff, sizeof(config));
	assert_int_equal(caps_of(4096, caps), 0);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(a_machine_without_pci_has_no_devices),
		IN_A_FOLDER(functions_are_ordered_and_found_by_address),
		cmocka_unit_test(only_addresses_are_addresses),
		IN_A_FOLDER(a_function_alone_in_its_group_goes_by_vfio),
		IN_A_FOLDER(the_rest_of_a_group_is_named),
		IN_A_FOLDER(without_an_iommu_it_is_uio_unless_locked_down),
		IN_A_FOLDER(mounts_swap_and_what_lies_above_are_found),
		IN_A_FOLDER(a_multipath_disk_is_used_by_its_head),
		IN_A_FOLDER(a_default_route_of_either_protocol_is_a_use),
		IN_A_FOLDER(ranges_are_read_and_nonsense_is_refused),
		cmocka_unit_test(both_lists_are_read),
		cmocka_unit_test(a_list_that_loops_ends),
		cmocka_unit_test(whatever_a_device_claims_stays_within_bounds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
