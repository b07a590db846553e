#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
equal.py DRIVER ORIGINAL OTHER: whether two drivers said the same of each operation (operations.sh) or of each random one
(random_operations.c), byte for byte (but for MOVING): with a clock that goes by instructions, counters and places in rings are the same, too. Also compared: what their kernels'
logs show of bugs.
Exit code 1: they differ, and the differences are shown.
"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MOST_SHOWN = 20
# What differs when the original is compared with itself, in a machine where something else moves its times: (driver, operation, what is replaced, by what).
MOVING = [
    # e100's interrupt status (SCB, bit 11): a read of its PHY is done; until its handler has run. After the header: command, version, length.
    ("e100", "registers", r"( 2:[0-9a-f]+ 0:)8(50 )", r"\1\2"),
]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def bugs(log):
    """Lines of a kernel's log that tell of a bug: with the original, too, when they are the driver's own."""
    found = re.compile("|".join(read(os.path.join(HERE, "../../rig/kernel-bugs")).splitlines()))
    return [re.sub(r"^\[[^]]*\] |PID: \d+|CPU: \d+", "", line) for line in read(log).splitlines() if found.search(line)]


def lines_of(driver, folder):
    """(name of the operation, what it said), in order."""
    said = os.path.join(folder, "said")
    if os.path.isdir(said):
        for file in sorted(os.listdir(said)):
            yield file, read(os.path.join(said, file))
    else:
        for line in read(os.path.join(folder, "random")).splitlines():
            number, name, rest = line.split(" ", 2)
            for whose, operation, what, by in MOVING:
                if (whose, operation) == (driver, name):
                    rest = re.sub(what, by, rest)
            yield f"{number} {name}", rest


def show(name, a, b):
    print(f"different: {name}")
    a, b = a.splitlines(), b.splitlines()
    shown = 0
    for i in range(max(len(a), len(b))):
        one, other = (x[i] if i < len(x) else "(nothing)" for x in (a, b))
        if one != other and shown < MOST_SHOWN:
            print(f"  original: {one}\n  other:    {other}")
            shown += 1


def main():
    driver, original, other = sys.argv[1:]
    first, second = list(lines_of(driver, original)), list(lines_of(driver, other))
    different = 0
    for (name, a), (name_b, b) in zip(first, second):
        if name != name_b:
            print(f"{name} is {name_b} with the other: not the same operations were done")
            different += 1
            break
        if a != b:
            different += 1
            if different <= MOST_SHOWN:
                show(name, a, b)
    if len(first) != len(second):
        print(f"{len(first)} operations were done, {len(second)} with the other")
        different += 1
    a, b = bugs(f"{original}/kernel-log"), bugs(f"{other}/kernel-log")
    if a != b:
        show("kernel's log", "\n".join(a), "\n".join(b))
        different += 1
    if not first:
        print("there is nothing to compare")
        return 1
    print(f"{driver}: {len(first)} operations, {different} different" + (f"; both kernels' logs tell of {len(a)} bugs" if a else ""))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
