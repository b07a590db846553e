/* SPDX-License-Identifier: BSD-2-Clause */
/* ob_device_look(): a driver says that it is about to look at memory that its device writes. */
#include "access/record/look.h"

bool look_wanted(const struct ob_device *dev)
{
	for (; dev; dev = dev->lower)
		if (record_owns(dev) || replay_owns(dev))
			return true;
	return false;
}

void ob_device_look(struct ob_device *dev)
{
	/* From the inside out, so that what one below puts there is seen by the one above. */
	if (dev->lower)
		ob_device_look(dev->lower);
	if (record_owns(dev))
		record_look(dev);
	else if (replay_owns(dev))
		replay_look(dev);
}
