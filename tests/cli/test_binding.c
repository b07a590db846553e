/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `bind` refuses and what it does when the kernel does not follow, on a folder like sysfs, where nothing follows. What the
 * kernel does do is tested in the rig (tests/rig/bind*.sh).
 */
#include <errno.h>

#include "access/uio/uio.h"
#include "cli/binding.h"
#include "tests/cli/sysfs_folder.h"

static const char *content(const char *file)
{
	static char text[512];
	char path[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, file);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

#define DEVICES "sys/bus/pci/devices/"

static void put_function(const char *name, uint32_t ids, uint32_t class_code, int group,
			 const char *driver)
{
	char file[256], target[256];

	snprintf(file, sizeof(file), DEVICES "%s/vendor", name);
	put(file, "0x%04x\n", ids >> 16);
	snprintf(file, sizeof(file), DEVICES "%s/device", name);
	put(file, "0x%04x\n", ids & 0xffff);
	snprintf(file, sizeof(file), DEVICES "%s/class", name);
	put(file, "0x%06x\n", class_code);
	snprintf(file, sizeof(file), DEVICES "%s/driver_override", name);
	put(file, "(null)\n");
	if (driver) {
		snprintf(file, sizeof(file), DEVICES "%s/driver", name);
		snprintf(target, sizeof(target), "../../drivers/%s", driver);
		link_to(target, file);
		snprintf(file, sizeof(file), "sys/bus/pci/drivers/%s/unbind", driver);
		put(file, "%s", "");
	}
	if (group < 0)
		return;
	snprintf(file, sizeof(file), DEVICES "%s/iommu_group", name);
	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%d", group);
	link_to(target, file);
	snprintf(file, sizeof(file), "sys/kernel/iommu_groups/%d/type", group);
	put(file, "DMA-FQ\n");
}

#define NIC	"0000:03:00.0"
#define SIBLING "0000:03:00.1"
#define BRIDGE	"0000:00:1c.0"
#define PLAIN	"0000:05:00.0"

static int set_up(void **state)
{
	if (make_root(state))
		return -1;
	put_function(BRIDGE, 0x80861901, 0x060400, 7, "pcieport");
	put_function(NIC, 0x808610d3, 0x020000, 7, "e1000e");
	put_function(SIBLING, 0x80861234, 0x020000, 7, NULL);
	put_function(PLAIN, 0x1b360010, 0x010802, -1, "nvme");
	put("sys/bus/pci/drivers/vfio-pci/bind", "%s", "");
	put("sys/bus/pci/drivers/uio_pci_generic/bind", "%s", "");
	put("sys/bus/pci/drivers_probe", "%s", "");
	put("run/empty", "%s", "");
	return 0;
}

static struct ob_error err;

static int try_bind(const char *address, const char *driver, const struct binding_options *options)
{
	struct binding_order order = {0};
	struct pci_machine machine;
	int ret;

	memset(&err, 0, sizeof(err));
	assert_int_equal(pci_machine_read(root, &machine), 0);
	ret = binding_add(&order, &machine, address, &err);
	if (!ret)
		ret = binding_bind(root, &machine, &order, driver, options, &err);
	pci_machine_free(&machine);
	return ret;
}

static void refused(int code, const char *says, const char *address, const char *driver)
{
	struct binding_options options = {0};
	char text[1400], file[128];

	assert_int_equal(try_bind(address, driver, &options), code);
	if (!strstr(ob_error_text(&err, text, sizeof(text)), says))
		fail_msg("no '%s' in: %s", says, text);
	/* And nothing was remembered. */
	snprintf(file, sizeof(file), "run/outboard/bind/%s", address);
	assert_null(content(file));
}

/* ---- refused ----------------------------------------------------------------------------------- */

static void what_is_typed_is_checked(void **state)
{
	refused(-EINVAL, "'eth0' is no PCI address", "eth0", BINDING_VFIO);
	refused(-ENOENT, "no PCI device 7f:00.0", "7f:00.0", BINDING_VFIO);
}

static void bridges_stay(void **state)
{
	refused(-EOPNOTSUPP, "is a bridge", BRIDGE, BINDING_VFIO);
}

static void the_driver_must_suit_the_iommu(void **state)
{
	refused(-EOPNOTSUPP, "needs an IOMMU", PLAIN, BINDING_VFIO);
	refused(-EOPNOTSUPP, "translated (DMA-FQ)", NIC, BINDING_UIO);
}

static void a_sibling_of_the_kernel_is_named(void **state)
{
	link_to("../../drivers/ahci", DEVICES SIBLING "/driver");
	refused(-EBUSY, SIBLING " (ahci)", NIC, BINDING_VFIO);
	assert_non_null(strstr(err.fix, "--group"));
}

static void what_others_have_decided_is_respected(void **state)
{
	put(DEVICES NIC "/driver_override", "pci-stub\n");
	refused(-EBUSY, "reserved it for pci-stub", NIC, BINDING_VFIO);
	put(DEVICES NIC "/driver_override", "(null)\n");
	put("etc/driverctl.d/pci-" NIC, "e1000e\n");
	refused(-EBUSY, "driverctl has stored e1000e", NIC, BINDING_VFIO);
}

static void a_mounted_disk_is_refused(void **state)
{
	put(DEVICES PLAIN "/block/nvme0n1/dev", "259:0\n");
	link_to("../bus/pci/devices/" PLAIN "/block/nvme0n1", "sys/block/nvme0n1");
	put("proc/self/mountinfo", "1 0 259:0 / /data rw - xfs /dev/nvme0n1 rw\n");
	refused(-EBUSY, "nvme0n1 is mounted on /data", PLAIN, BINDING_UIO);
}

/* ---- the kernel does not follow ---------------------------------------------------------------- */

static void a_bind_that_did_not_happen_is_undone_and_told(void **state)
{
	refused(-EIO, "vfio-pci did not take it", NIC, BINDING_VFIO);
	/* The override is away again, and the probe was asked. */
	assert_string_equal(content(DEVICES NIC "/driver_override"), "\n");
	assert_string_equal(content("sys/bus/pci/drivers_probe"), NIC);
	assert_string_equal(content("sys/bus/pci/drivers/e1000e/unbind"), NIC);
}

static void a_driver_that_is_missing_is_told_before_anything_is_touched(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/vfio-pci/bind", root);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	refused(-ENOENT, "no PCI driver vfio-pci", NIC, BINDING_VFIO);
	assert_string_equal(content(DEVICES NIC "/driver_override"), "(null)\n");
	assert_string_equal(content("sys/bus/pci/drivers/e1000e/unbind"), "");
}

static void a_device_that_is_there_already_is_left_alone(void **state)
{
	struct binding_options options = {0};
	char path[256];

	snprintf(path, sizeof(path), "%s/" DEVICES NIC "/driver", root);
	unlink(path);
	link_to("../../drivers/vfio-pci", DEVICES NIC "/driver");
	assert_int_equal(try_bind(NIC, BINDING_VFIO, &options), 0);
	assert_string_equal(content(DEVICES NIC "/driver_override"), "(null)\n");
	assert_string_equal(content("sys/bus/pci/drivers_probe"), "");
}

/* ---- records ------------------------------------------------------------------------------------- */

static void a_record_is_of_one_device_only(void **state)
{
	struct binding_record rec = {.driver = "e1000e",
				     .override = "",
				     .vendor = 0x8086,
				     .device = 0x10d3,
				     .persistent = true},
			      read = {0};
	struct sysfs_function fn;

	assert_int_equal(sysfs_function_read(root, NIC, &fn), 0);
	assert_false(binding_recall(root, &fn, &read));
	assert_int_equal(binding_remember(root, &fn, &rec, &err), 0);
	assert_true(binding_recall(root, &fn, &read));
	assert_string_equal(read.driver, "e1000e");
	assert_string_equal(read.override, "");
	assert_true(read.persistent);
	/* Another card in the same slot. */
	fn.device++;
	assert_false(binding_recall(root, &fn, &read));
	fn.device--;
	/* Whatever is in the file. */
	put("run/outboard/bind/" NIC, "device\ndriver");
	assert_false(binding_recall(root, &fn, &read));
	put("run/outboard/bind/" NIC, "device 8086:10d3\ndriver");
	assert_true(binding_recall(root, &fn, &read));
	assert_string_equal(read.driver, "");
	put("run/outboard/bind/" NIC, "%0400d", 7);
	assert_false(binding_recall(root, &fn, &read));
	binding_forget(root, &fn);
	assert_false(binding_recall(root, &fn, &read));
}

/* ---- ports (access/uio/ports.c) ---------------------------------------------------------------- */

static void ports_of_the_kernel_are_found_and_addresses_are_none(void **state)
{
	char owner[64];

	assert_false(uio_ports_owner(root, PLAIN, 0x1f0, 8, owner));
	put("proc/ioports", "0000-0cf7 : PCI Bus 0000:00\n"
			    "  0040-0043 : timer0\n"
			    "  0170-0177 : 0000:00:0a.0\n"
			    "    0170-0177 : ata_piix\n"
			    "  01f0-01f7 : 0000:00:0a.0\n"
			    "nonsense\n"
			    "  02e8-\n");
	assert_false(uio_ports_owner(root, PLAIN, 0x1f0, 8, owner));
	assert_true(uio_ports_owner(root, PLAIN, 0x170, 8, owner));
	assert_string_equal(owner, "ata_piix");
	assert_true(uio_ports_owner(root, PLAIN, 0x43, 1, owner));
	assert_string_equal(owner, "timer0");
	assert_false(uio_ports_owner(root, PLAIN, 0x44, 0xa0, owner));
	assert_true(uio_ports_owner(root, PLAIN, 0, 0xffff, owner));
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, remove_root)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(what_is_typed_is_checked),
		IN_A_FOLDER(bridges_stay),
		IN_A_FOLDER(the_driver_must_suit_the_iommu),
		IN_A_FOLDER(a_sibling_of_the_kernel_is_named),
		IN_A_FOLDER(what_others_have_decided_is_respected),
		IN_A_FOLDER(a_mounted_disk_is_refused),
		IN_A_FOLDER(a_bind_that_did_not_happen_is_undone_and_told),
		IN_A_FOLDER(a_driver_that_is_missing_is_told_before_anything_is_touched),
		IN_A_FOLDER(a_device_that_is_there_already_is_left_alone),
		IN_A_FOLDER(a_record_is_of_one_device_only),
		IN_A_FOLDER(ports_of_the_kernel_are_found_and_addresses_are_none),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
