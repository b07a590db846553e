# SPDX-License-Identifier: BSD-2-Clause
"""The machine that measures: what it is, and how much it disturbs a measurement."""
import glob
import os
import platform
import shutil
import statistics
import subprocess
import time

from experiment import ROOT

NOISE_LOOPS = 150       # of a few hundred microseconds each: a tenth of a second in all
NOISE_ADDITIONS = 10000


def first_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.readline().strip()
    except OSError:
        return None


def said_by(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def memory_mib():
    line = first_line("/proc/meminfo") or ""
    words = line.split()
    return int(words[1]) // 1024 if len(words) > 1 else None


def mitigations():
    """Those that the kernel has switched on, without its explanations."""
    found = []
    for path in sorted(glob.glob("/sys/devices/system/cpu/vulnerabilities/*")):
        line = first_line(path) or ""
        if line.startswith("Mitigation"):
            found.append(os.path.basename(path))
    return found


def describe():
    governors = {first_line(path) for path in glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    groups = glob.glob("/sys/kernel/iommu_groups/*")
    changed = said_by("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no")
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "memory_mib": memory_mib(),
        "kernel": platform.release(),
        "hypervisor": said_by("systemd-detect-virt") or "unknown",
        "kvm": os.access("/dev/kvm", os.R_OK | os.W_OK),
        "governor": ", ".join(sorted(g for g in governors if g)) or "none (the kernel does not set the frequency)",
        "iommu_groups": len(groups),
        "mitigations": mitigations(),
        "qemu": said_by(os.environ.get("OUTBOARD_QEMU", "qemu-system-x86_64"), "--version"),
        "compiler": said_by("cc", "--version"),
        "outboard": said_by("git", "-C", ROOT, "describe", "--always", "--tags") or "unknown",
        "changed": bool(changed),
        "valgrind": said_by("valgrind", "--version") if shutil.which("valgrind") else None,
    }


def stolen():
    """(all, stolen by the hypervisor) in ticks since the machine started, of all processors."""
    words = (first_line("/proc/stat") or "").split()
    ticks = [int(word) for word in words[1:9]] if len(words) > 8 else [0] * 8
    return sum(ticks), ticks[7]


def noise():
    """How long the same additions take again and again: median, and from the 5th to the 95th percentile."""
    before = stolen()
    took = []
    for _ in range(NOISE_LOOPS):
        start = time.perf_counter_ns()
        for _ in range(NOISE_ADDITIONS):
            pass
        took.append(time.perf_counter_ns() - start)
    after = stolen()
    took.sort()
    middle = statistics.median(took)
    ticks = after[0] - before[0]
    return {
        "loop_us": middle / 1000,
        "spread": (took[len(took) * 95 // 100] - took[len(took) * 5 // 100]) / middle,
        "load": os.getloadavg()[0],
        "stolen": (after[1] - before[1]) / ticks if ticks else 0.0,
    }
