#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kernel_table.py --kernel VERSION [--json FILE] DIR: the table of bench/kernel.sh, from the lines of its boots and
what the marks counted. In each boot the n-th line belongs to the n-th window of label 2."""
import argparse
import json
import os
import statistics
import sys

# What is to be reached, as a ratio of instructions to those of the kernel's driver (the best attachment counts).
GOALS = {
    ("looped back", "4 KiB read, depth 32"): 1.5,
    ("looped back", "4 KiB write, depth 32"): 1.5,
    ("looped back", "128 KiB read, depth 32"): 1.1,
    ("looped back", "128 KiB write, depth 32"): 1.1,
    ("looped back", "TCP, sent"): 1.3,
    ("looped back", "TCP, received"): 1.3,
    ("in-process", "4 KiB read, depth 32"): 0.5,
    ("in-process", "frames of 64 bytes, sent"): 0.2,
}
# The kernel's own driver in a process: what it and its part of the kernel cost more than in the kernel.
LINUX_GOAL = 1.1


def read_boot(folder):
    """[(side, load, figures)], [(side, reason)]"""
    counts = []
    seen = set()
    with open(os.path.join(folder, "counts")) as f:
        for line in f:
            words = line.split()
            if words[0] == "count" and words[1] == "2":
                counts.append((int(words[3]), int(words[5])))
    loads, skipped = [], []
    with open(os.path.join(folder, "lines")) as f:
        for line in f:
            side, load, text = line.rstrip("\n").split("\t")
            if side == "skip":
                skipped.append((load, text))
                continue
            if (side, load) in seen:
                sys.exit(f"{folder}: {side}, {load}: twice")
            seen.add((side, load))
            loads.append((side, load, json.loads(text)))
    if len(counts) != len(loads):
        sys.exit(f"{folder}: {len(loads)} loads, but {len(counts)} windows were counted")
    for (_, _, figures), (user, kernel) in zip(loads, counts):
        figures["user"] = user / figures["count"]
        figures["kernel"] = kernel / figures["count"]
        figures["instructions"] = figures["user"] + figures["kernel"]
    return loads, skipped


def spread(values):
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--json")
    parser.add_argument("dir")
    args = parser.parse_args()
    samples, skipped = {}, {}
    for name in sorted(os.listdir(args.dir)):
        loads, not_there = read_boot(os.path.join(args.dir, name))
        kind = name.split(".")[0]
        for side, load, figures in loads:
            samples.setdefault((kind, load), {}).setdefault(side, []).append(figures)
        skipped.update({side: reason for side, reason in not_there})

    rows = []
    for (kind, load), sides in samples.items():
        base = [f["instructions"] for f in sides["kernel"]]
        rate = [f["rate"] for f in sides["kernel"]]
        for side, figures in sides.items():
            own = [f["instructions"] for f in figures]
            row = {
                "kind": kind, "load": load, "side": side,
                "user": statistics.median(f["user"] for f in figures),
                "kernel": statistics.median(f["kernel"] for f in figures),
                "instructions": statistics.median(own),
                "spread": spread(own),
                # Both of the same boot: what made a boot different made both so.
                "ratio": statistics.median(a / b for a, b in zip(own, base)),
                "rate": statistics.median(f["rate"] for f in figures),
                "rate_ratio": statistics.median(f["rate"] / r for f, r in zip(figures, rate)),
            }
            if side == "linux":
                goal = LINUX_GOAL
            else:
                goal = GOALS.get(("in-process" if side == "in-process" else "looped back", load))
            if "interrupts" in figures[0]:
                # Counted with the tenth that warms up.
                row["interrupts"] = statistics.median(f["interrupts"] / f["count"] / 1.1 for f in figures)
            if not side.startswith(("kernel", "linux ", "uml", "(")) and goal:
                row["goal"] = goal
            rows.append(row)

    print(f"Instructions for each request or packet (TCP: 64 KiB) on kernel {args.kernel}, user + kernel; everything in the machine")
    print("between the marks, client and peer included. Ratios to the kernel's own driver in the same boot.\n")
    print(f"{'load':<26}{'through':<14}{'user':>8}{'kernel':>9}{'spread':>8}{'ratio':>8}  {'goal':<8}{'rate ratio':>10}")
    last = None
    for row in rows:
        goal = f"≤ {row['goal']}" if "goal" in row else ""
        if goal and row["ratio"] > row["goal"]:
            goal += " !"
        print(f"{row['load'] if row['load'] != last else '':<26}{row['side']:<14}{row['user']:>8.0f}{row['kernel']:>9.0f}"
              f"{row['spread']:>8.2%}{row['ratio']:>8.3f}  {goal:<8}{row['rate_ratio']:>10.2f}")
        last = row["load"]
    for row in rows:
        if "interrupts" in row:
            print(f"{row['side']}, {row['load']}: {row['interrupts']:.3f} interrupts each")
    for side, reason in skipped.items():
        print(f"{side}: {reason}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"kernel": args.kernel, "rows": rows, "skipped": skipped}, f, indent=1)
            f.write("\n")


main()
