// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suspend and resume of the device by its driver's own functions, in the order of Documentation/driver-api/pm/devices.rst of the
 * kernel: prepare, suspend, late, interrupts off, and back. The processor and the process go on all the time.
 */
#include <asm/outboard.h>
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/suspend.h>

/* kernel/power/power.h, which only that folder's files include. */
int pm_notifier_call_chain_robust(unsigned long val_up, unsigned long val_down);
int pm_notifier_call_chain(unsigned long val);

static bool asleep;
static unsigned int sleep_flags;

/* The driver has functions for it, of today's or yesterday's form. */
static bool can_sleep(struct pci_dev *pdev)
{
	struct device_driver *drv = pdev ? pdev->dev.driver : NULL;

	return drv && (drv->pm || to_pci_driver(drv)->suspend);
}

long outboard_suspend(void *unused)
{
	int ret;

	if (!can_sleep(outboard_pci_dev()))
		return -EOPNOTSUPP;
	if (asleep)
		return -EALREADY;
	sleep_flags = lock_system_sleep();
	/* Some prepare by this: firmware files that are wanted at resume are read now, for one. */
	ret = pm_notifier_call_chain_robust(PM_SUSPEND_PREPARE, PM_POST_SUSPEND);
	if (ret)
		goto unlock;
	/* On failure both leave what is suspended to be resumed. */
	ret = dpm_suspend_start(PMSG_SUSPEND);
	if (!ret)
		ret = dpm_suspend_end(PMSG_SUSPEND);
	if (!ret) {
		asleep = true;
		return 0;
	}
	dpm_resume_end(PMSG_RESUME);
	pm_notifier_call_chain(PM_POST_SUSPEND);
unlock:
	unlock_system_sleep(sleep_flags);
	return ret;
}

long outboard_resume(void *unused)
{
	if (!asleep)
		return -EALREADY;
	asleep = false;
	dpm_resume_start(PMSG_RESUME);
	dpm_resume_end(PMSG_RESUME);
	pm_notifier_call_chain(PM_POST_SUSPEND);
	unlock_system_sleep(sleep_flags);
	return 0;
}
