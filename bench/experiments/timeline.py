# SPDX-License-Identifier: BSD-2-Clause
"""timeline.py SIDE MOMENTS TRACE: joins what bench/timeline.c noted with what the kernel traced meanwhile, and prints the median of each stage as samples of
an experiment (docs/benchmarks.md)."""
import bisect
import json
import re
import statistics
import sys

EVENT = re.compile(r"\s(\d+): (irq_handler_entry|sched_waking|sched_switch|block_rq_issue): ")
STAGES = ("queue", "device", "kernel", "wake-up", "handler", "client", "all")


def moments_of(path):
    """([(asked, submitted, found, done)], ticks of a microsecond)"""
    lines = [line.split() for line in open(path, encoding="utf-8")]
    return [tuple(int(word) for word in line) for line in lines[:-1]], float(lines[-1][1])


def events_of(path):
    found = {}
    for line in open(path, encoding="utf-8", errors="replace"):
        event = EVENT.search(line)
        if event:
            found.setdefault(event.group(2), []).append(int(event.group(1)))
    return found


def first(events, name, after, before):
    """The first of that name between two moments, or None."""
    times = events.get(name, [])
    at = bisect.bisect_left(times, after)
    return times[at] if at < len(times) and times[at] <= before else None


def stages_of(moments, following, events):
    asked, submitted, found, done = moments
    in_kernel = not submitted
    if in_kernel:
        submitted = first(events, "block_rq_issue", asked, done)
        if submitted is None:
            return None    # another program's flush issued it, or it was merged
        found = done
    at = {"queue": submitted - asked, "all": following - asked}
    irq = first(events, "irq_handler_entry", submitted, found)
    waking = irq and first(events, "sched_waking", irq, found)
    if waking:
        switch = first(events, "sched_switch", waking, found) or waking
        awake = switch if in_kernel else found
        at.update({"device": irq - submitted, "kernel": waking - irq, "wake-up": awake - waking})
    else:
        awake = found
        at.update({"device": found - submitted, "kernel": 0, "wake-up": 0})
    at["handler"] = 0 if in_kernel else done - awake
    at["client"] = following - (awake if in_kernel else done)
    return at, bool(waking)


def main():
    side, moments, ticks = sys.argv[1], *moments_of(sys.argv[2])
    events = events_of(sys.argv[3])
    following = [m[0] for m in moments[1:]]
    found = [stages_of(m, n, events) for m, n in zip(moments, following)]
    found = [f for f in found if f]
    if len(found) < len(moments) / 2:
        sys.exit(f"timeline.py: of {len(moments)} requests only {len(found)} were traced")

    def say(load, metric, value, unit):
        print(json.dumps({"side": side, "load": load, "parameter": None, "metric": metric, "value": round(value, 4), "unit": unit}))

    for stage in STAGES:
        say(stage, "time", statistics.median(at[stage] for at, _ in found) / ticks, "us")
    say("requests that slept", "slept", statistics.fmean(slept for _, slept in found), "of all")


main()
