/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an evil driver tries with the device that it was given, behind the kernel's VFIO, from inside of the sandbox: DMA to where it
 * may not, the device's addresses and identity, interrupts that are not its own, more pinned memory, the device a second time. In the rig,
 * by tests/rig/evil.sh, on edu. The keeper, this process, has opened the device and looks at what became of it.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "access/vfio/vfio.h"
#include "keeper/sandbox.h"
#include "tests/rig/descriptors.h"
#include "tests/vfio/rig.h"
#include "tests/wild_dma.h"

enum {
	PATTERN = 0x5a,
	MEMLOCK_MIB = 8,
	MORE_MIB = 16,
	CONFIG = 256,
	/* The device model's DMA reaches 28 bits; nothing is mapped there. */
	WILD = 0x8000000,
	MSI_CAP_ADDRESS = 4,
	MSI_CAP_DATA = 12,
};

static struct {
	struct ob_device *dev;
	const char *bdf;
	char *page; /* in the arena */
	uint64_t page_iova;
} scene;

static struct {
	int ret;
	bool done;
} * shared;

static struct vfio_device *vfio(void)
{
	return scene.dev->priv;
}

/* ---- attacks, in the driver process: 0 when it was not refused ------------------------------------------------------------- */

static int wild_dma(void)
{
	edu_write(scene.dev, WILD);
	return 0;
}

static int allowed_dma(void)
{
	edu_write(scene.dev, scene.page_iova);
	return 0;
}

static int put_config(unsigned int off, const void *val, size_t len)
{
	off_t at = (off_t)(vfio()->config.offset + off);

	return pwrite(vfio()->fd, val, len, at) == (ssize_t)len ? 0 : -errno;
}

static int write_identity(void)
{
	const uint32_t ids = 0xdeadbeef;

	return put_config(PCI_VENDOR_ID, &ids, 4);
}

static int write_bar(void)
{
	/* The interrupt controllers' addresses. */
	const uint32_t bar = 0xfee00000;

	return put_config(PCI_BASE_ADDRESS_0, &bar, 4);
}

static int forge_interrupt(void)
{
	const uint32_t address = 0xfee00000, data = 0x20;
	unsigned int msi = vfio()->msi;
	int ret = put_config(msi + MSI_CAP_ADDRESS, &address, 4);

	return ret ? ret : put_config(msi + MSI_CAP_DATA, &data, 2);
}

static int pin_more(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = WILD,
		.size = MORE_MIB << 20,
	};
	void *p = mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	map.vaddr = (uintptr_t)p;
	return ioctl(vfio()->space->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static int open_again(void)
{
	int fd = ioctl(vfio()->space->group_fd, VFIO_GROUP_GET_DEVICE_FD, scene.bdf);

	return fd < 0 ? -errno : 0;
}

static int open_group(void)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", vfio()->space->group);
	fd = open(path, O_RDWR);
	return fd < 0 ? -errno : 0;
}

static int leave_the_iommu(void)
{
	return ioctl(vfio()->space->group_fd, VFIO_GROUP_UNSET_CONTAINER) ? -errno : 0;
}

static int reset_the_bus(void)
{
	struct vfio_pci_hot_reset reset = {.argsz = sizeof(reset)};

	return ioctl(vfio()->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset) ? -errno : 0;
}

static int other_feature(void)
{
	struct vfio_device_feature feature = {.argsz = sizeof(feature),
					      .flags = VFIO_DEVICE_FEATURE_PROBE};

	return ioctl(vfio()->fd, VFIO_DEVICE_FEATURE, &feature) ? -errno : 0;
}

/* ---- one of them ---------------------------------------------------------------------------------------------------------- */

/* Returns what it returned, or minus the number of the signal that ended it, minus 1000. */
static int inside(int (*attack)(void))
{
	struct sandbox s = {
		.name = "evil-device",
		.limits.memlock = (uint64_t)MEMLOCK_MIB << 20,
		.uses = SANDBOX_USES_VFIO,
	};
	struct ob_error err = {0};
	int fds[DESCRIPTORS], status;
	pid_t pid;

	s.keep = fds;
	s.nr_keep = every_descriptor(fds);
	if (sandbox_prepare(&s, &err))
		fail_msg("%s", err.what);
	shared->done = false;
	pid = sandbox_fork(&s);
	if (!pid) {
		if (sandbox_enter(&s, &err) || sandbox_lock(&s, &err))
			rig_child_fails("sandbox", &err);
		shared->ret = attack();
		shared->done = true;
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	sandbox_release(&s);
	if (WIFSIGNALED(status))
		return -1000 - WTERMSIG(status);
	assert_int_equal(status, 0);
	assert_true(shared->done);
	return shared->ret;
}

static void is_killed(int (*attack)(void))
{
	assert_int_equal(inside(attack), -1000 - SIGSYS);
}

/* The function as the kernel sees it: identity, BARs, MSI. */
static void look(unsigned char config[CONFIG], char resource[1024])
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", scene.bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, config, CONFIG, 0), CONFIG);
	close(fd);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", scene.bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, resource, 1023);
	assert_true(n > 0);
	resource[n] = '\0';
	close(fd);
}

static void changes_nothing(int (*attack)(void), unsigned int off, size_t len)
{
	unsigned char before[CONFIG], after[CONFIG];
	char resource[2][1024];

	look(before, resource[0]);
	print_message("# it returned %d\n", inside(attack));
	look(after, resource[1]);
	assert_memory_equal(before + off, after + off, len);
	assert_string_equal(resource[0], resource[1]);
	/* The device still answers where it was, and by its name: 0xed in the identification register's low byte. */
	assert_int_equal(ob_read32(ob_device_bar(scene.dev, 0), EDU_IDENT) & 0xff, 0xed);
}

/* ---- the tests ---------------------------------------------------------------------------------------------------------------- */

static bool unchanged(void)
{
	for (size_t i = 0; i < PAGE; i++)
		if (((volatile char *)scene.page)[i] != PATTERN)
			return false;
	return true;
}

static void what_is_allowed_works(void **state)
{
	memset(scene.page, PATTERN, PAGE);
	assert_int_equal(inside(allowed_dma), 0);
	assert_false(unchanged());
}

static void dma_outside_is_blocked_and_told(void **state)
{
	long before = rig_refused();

	memset(scene.page, PATTERN, PAGE);
	/* The device does not notice. */
	assert_int_equal(inside(wild_dma), 0);
	if (before >= 0)
		WAIT_FOR(rig_refused() > before);
	assert_true(unchanged());
}

static void identity_stays(void **state)
{
	changes_nothing(write_identity, PCI_VENDOR_ID, 4);
}

static void addresses_stay(void **state)
{
	changes_nothing(write_bar, PCI_BASE_ADDRESS_0, 4);
}

static void interrupts_are_not_forged(void **state)
{
	assert_int_not_equal(vfio()->msi, 0);
	changes_nothing(forge_interrupt, vfio()->msi + MSI_CAP_ADDRESS, 12);
}

static void no_more_memory_is_pinned_than_allowed(void **state)
{
	int ret = inside(pin_more);

	print_message("# it returned %d\n", ret);
	assert_int_equal(ret, -ENOMEM);
}

static void the_device_is_not_opened_again(void **state)
{
	is_killed(open_again);
	assert_true(inside(open_group) < 0);
}

static void the_iommu_is_not_left(void **state)
{
	is_killed(leave_the_iommu);
}

static void other_requests_are_not_made(void **state)
{
	/* Its number is that of VFIO_IOMMU_MAP_DMA, so it is the kernel that refuses: it wants each group of the bus. */
	assert_true(inside(reset_the_bus) < 0);
	is_killed(other_feature);
}

static void the_device_is_isolated_while_vfio_is_strict(void **state)
{
	static const char parameter[] =
		"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
	struct ob_error err = {0};
	char spec[64];
	int ret;

	snprintf(spec, sizeof(spec), "vfio:%s", scene.bdf);
	if (sandbox_check_isolation("", spec, &err))
		fail_msg("%s: %s", err.what, err.why);
	assert_int_equal(rig_sysfs_write(parameter, "Y"), 0);
	ret = sandbox_check_isolation("", spec, &err);
	assert_int_equal(rig_sysfs_write(parameter, "N"), 0);
	assert_int_equal(ret, -EXDEV);
	assert_non_null(strstr(err.why, "interrupt remapping"));
	snprintf(spec, sizeof(spec), "uio:%s", scene.bdf);
	assert_int_equal(sandbox_check_isolation("", spec, &err), -EXDEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_device_is_isolated_while_vfio_is_strict),
		cmocka_unit_test(what_is_allowed_works),
		cmocka_unit_test(dma_outside_is_blocked_and_told),
		cmocka_unit_test(identity_stays),
		cmocka_unit_test(addresses_stay),
		cmocka_unit_test(interrupts_are_not_forged),
		cmocka_unit_test(no_more_memory_is_pinned_than_allowed),
		cmocka_unit_test(the_device_is_not_opened_again),
		cmocka_unit_test(the_iommu_is_not_left),
		cmocka_unit_test(other_requests_are_not_made),
	};
	struct ob_error err = {0};
	ob_iova iova;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	scene.bdf = getenv("RIG_EDU");
	if (!scene.bdf) {
		printf("1..0 # SKIP RIG_EDU is not set: this test runs in the rig\n");
		return 0;
	}
	scene.dev = rig_open("RIG_EDU", ",arena=4M");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (ob_dma_set_mask(ob_device_dma(scene.dev), EDU_DMA_BITS, &err)) {
		printf("Bail out! %s\n", err.what);
		return 1;
	}
	scene.page = ob_dma_alloc(ob_device_dma(scene.dev), PAGE, PAGE, "must not change", &iova);
	scene.page_iova = iova.addr;
	if (!scene.page || shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
