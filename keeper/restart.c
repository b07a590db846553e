/* SPDX-License-Identifier: BSD-2-Clause */
/* Restart policies: keeper/restart.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/access.h>

#include "keeper/restart.h"

static const struct restart_policy defaults = {
	.restart = true,
	.limit = 10,
	.within_s = 60,
	.first_ms = 100,
	.most_ms = 7500, /* 30 periods of the heartbeat */
	.heartbeat_ms = 250,
	/* Probing a device that hangs is a hang, too; an emulated one under a checker on a busy machine takes long. */
	.start_ms = 120000,
	/* Linux' and our nvme drivers try to help themselves after 30 s; this is for those that did not manage in three times that. */
	.age_s = 90,
	/* The same for frames: the kernel's watchdog, and our drivers, reset a card after 5 s. */
	.unsent_s = 15,
	/* A core spends some percent on as many; what a device of a gigabit or an SSD sends for work is not counted. */
	.storm = 10000,
	.on_storm = STORM_MASK,
	/* A driver that resets a device under its own requests may see one, and help itself. */
	.on_iommu = IOMMU_LOG,
	/* Queues, caches and clients come and go: far above that, far below what the system would notice. */
	.memory = 256ull << 20,
	.pinned = 256ull << 20,
	.descriptors = 1024,
};

static const char *const on_storm[] = {"mask", "restart", NULL};
static const char *const on_iommu[] = {"log", "restart", NULL};

int restart_get(struct ob_spec_part *part, const char *key, uint64_t min, uint64_t max,
		unsigned int *val, struct ob_error *err)
{
	uint64_t n = *val;
	int ret = ob_spec_get_u64(part, key, min, max, &n, err);

	*val = (unsigned int)n;
	return ret;
}

int restart_parse(const char *text, struct restart_policy *p, struct ob_error *err)
{
	char line[OB_SPEC_TEXT];
	struct ob_spec spec;
	int ret;

	*p = defaults;
	/* The same form as a device's specification, with an empty left part. */
	if ((size_t)snprintf(line, sizeof(line), "restart:%s", text) >= sizeof(line))
		return ob_error_set(err, -EINVAL, "option '--restart': too long");
	ret = ob_spec_parse(line, &spec, err);
	if (!ret && !strcmp(spec.device.name, "never"))
		p->restart = false;
	else if (!ret && strcmp(spec.device.name, "on-failure"))
		ret = ob_error_set(err, -EINVAL,
				   "option '--restart': '%s' is none of " RESTART_HELP,
				   spec.device.name);
	if (!ret)
		ret = restart_get(&spec.device, "limit", 0, RESTART_LIMIT_MAX, &p->limit, err);
	if (!ret)
		ret = restart_get(&spec.device, "within", 1, 86400, &p->within_s, err);
	if (!ret)
		ret = restart_get(&spec.device, "backoff", 0, 60000, &p->first_ms, err);
	if (!ret)
		ret = restart_get(&spec.device, "most", 0, 600000, &p->most_ms, err);
	if (!ret)
		p->heartbeat_given = ob_spec_get(&spec.device, "heartbeat") != NULL;
	if (!ret)
		ret = restart_get(&spec.device, "heartbeat", 0, 60000, &p->heartbeat_ms, err);
	if (!ret)
		ret = restart_get(&spec.device, "start", 100, 3600000, &p->start_ms, err);
	if (!ret)
		ret = restart_get(&spec.device, "age", 0, 86400, &p->age_s, err);
	if (!ret && ob_spec_get(&spec.device, "age"))
		p->unsent_s = p->age_s;
	if (!ret)
		ret = restart_get(&spec.device, "storm", 0, 100000000, &p->storm, err);
	if (!ret)
		ret = ob_spec_get_choice(&spec.device, "on-storm", on_storm, &p->on_storm, err);
	if (!ret)
		ret = ob_spec_get_choice(&spec.device, "iommu-fault", on_iommu, &p->on_iommu, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec.device, "memory", 0, UINT64_MAX, &p->memory, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec.device, "pinned", 0, UINT64_MAX, &p->pinned, err);
	if (!ret)
		ret = restart_get(&spec.device, "descriptors", 0, 1000000, &p->descriptors, err);
	if (!ret)
		ret = ob_spec_leftover(&spec, RESTART_HELP, err);
	return ret;
}

int restart_after(const struct restart_policy *p, struct restart_history *h, uint64_t now_ms,
		  uint64_t served_ms)
{
	uint64_t pause = p->first_ms;
	unsigned int recent = 0;

	h->death_ms[h->deaths++ % (RESTART_LIMIT_MAX + 1)] = now_ms;
	if (!p->restart)
		return -1;
	for (unsigned int i = 0; i < h->deaths && i <= RESTART_LIMIT_MAX; i++)
		recent += now_ms - h->death_ms[i] < (uint64_t)p->within_s * 1000;
	if (p->limit && recent > p->limit)
		return -1;
	if (served_ms >= RESTART_SETTLED_MS) {
		h->unsettled = 0;
		return 0;
	}
	/* The first that dies young is no loop yet. */
	if (!h->unsettled++)
		return 0;
	for (unsigned int i = 2; i < h->unsettled && pause < p->most_ms; i++)
		pause *= 2;
	return (int)(pause < p->most_ms ? pause : p->most_ms);
}
