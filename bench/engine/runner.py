# SPDX-License-Identifier: BSD-2-Clause
"""Runs experiments: each boot starts the script once, in the rig or here, and takes a sample from each of its lines that begin
with a brace. What a boot yielded is on disk before the next begins."""
import concurrent.futures
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

import machine
import results
from experiment import ROOT, Bad

MODES = ("full", "quick", "smoke")
RIG_DIED = (120, 121)  # of rig/vm: the kernel's log has a bug, or the machine ended by itself
RIG_CANNOT = 77     # exit code of rig/vm: no such kernel, or no QEMU; of a script: something that it needs is not there
PATIENCE = 20       # seconds to end in, after a signal


class Interrupted(Exception):
    """Ctrl-C, or a signal to end."""


class Progress:
    """A line that the next one replaces; where there is no terminal, only what is worth a line of its own."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.width = 0
        self.lock = threading.RLock()

    def show(self, text):
        with self.lock:
            if self.terminal:
                sys.stderr.write("\r" + text[:100].ljust(self.width))
                sys.stderr.flush()
                self.width = len(text[:100])

    def say(self, *lines):
        with self.lock:
            self.show("")
            sys.stderr.write(("\r" if self.terminal else "") + "\n".join(lines) + "\n")
            sys.stderr.flush()


def rig_command(experiment, build, mode, where, log):
    command = [os.path.join(ROOT, "rig", "vm"), "--kernel", experiment.kernel, "--iommu", experiment.iommu, "--timeout",
               str(experiment.timeout), "--results", where, "--append", "tsc=reliable", "--dmesg", log]
    for device in experiment.devices:
        command += ["--device", device]
    for module in experiment.modules:
        command += ["--modprobe", module]
    cache = os.environ.get("OUTBOARD_LINUX_CACHE") or \
        os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "outboard", "linux")
    for value in (f"BENCH_MODE={mode}", f"BUILD={build}", f"OUTBOARD_LINUX_CACHE={cache}"):
        command += ["--env", value]
    return command + experiment.options + ["--", experiment.path]


class Boot:
    """One run of an experiment's script: its samples, what it had to leave out, and what went wrong."""

    running = set()     # processes, of all boots
    interrupted = False
    lock = threading.Lock()

    def __init__(self, experiment, build, mode, progress):
        self.experiment, self.progress = experiment, progress
        self.samples, self.skipped, self.failed, self.died, self.said = [], {}, None, False, []
        self.processor_seconds = 0.0
        with tempfile.TemporaryDirectory(prefix="outboard-bench-") as where:
            if experiment.where == "rig":
                command = rig_command(experiment, build, mode, where, os.path.join(where, "dmesg"))
                environment = os.environ
            else:
                command = [experiment.path]
                environment = {**os.environ, "BENCH_MODE": mode, "BUILD": build, "RIG_RESULTS": where}
            with tempfile.TemporaryFile(mode="w+", errors="replace") as errors:
                self.run(command, environment, errors)
                errors.seek(0)
                self.said += errors.read().splitlines()[-20:]

    def run(self, command, environment, errors):
        # A session of its own: a Ctrl-C is ours to handle, and all of it can be ended.
        with self.lock:
            if self.interrupted:
                raise Interrupted
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                                     errors="replace", start_new_session=True, env=environment, cwd=ROOT)
            self.running.add(child)
        with child.stdout:
            for line in child.stdout:
                self.take(line.rstrip("\r\n"))
        # What it used, and all that it waited for.
        status, used = os.wait4(child.pid, 0)[1:]
        with self.lock:
            self.running.discard(child)
            child.returncode = os.waitstatus_to_exitcode(status)
        self.processor_seconds = used.ru_utime + used.ru_stime
        if self.interrupted:
            raise Interrupted
        if child.returncode == RIG_CANNOT:
            self.skipped[""] = "it cannot be run here"
        elif child.returncode:
            self.died = child.returncode in RIG_DIED and not self.samples
            self.failed = f"{shlex.join(command[:1])} ended with {child.returncode}"

    @classmethod
    def end_all(cls):
        """No further one begins, and those that run end."""
        with cls.lock:
            cls.interrupted = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with cls.lock:
                for child in cls.running:
                    os.killpg(child.pid, number)
            until = time.monotonic() + PATIENCE
            while cls.running and time.monotonic() < until:
                time.sleep(0.05)

    def take(self, line):
        if not line.startswith("{"):
            self.said.append(line)
            return
        try:
            sample = json.loads(line)
        except ValueError:
            self.failed = f"a line is no JSON: {line[:200]}"
            return
        if isinstance(sample, dict) and "skip" in sample:
            self.skipped[str(sample["skip"])] = str(sample.get("reason", ""))
            return
        wrong = results.check_sample(sample)
        if wrong:
            self.failed = f"a sample {wrong}: {line[:200]}"
            return
        self.samples.append(sample)
        self.progress.show(f"{self.experiment.name}: {sample['load']} {sample['parameter'] or ''}, {sample['side']}")


def run_one(experiment, build, mode, boots, folder, progress):
    """True unless it failed."""
    document = {"experiment": experiment.described(), "mode": mode, "boots": 0, "seconds": 0, "processor_seconds": 0, "noise": [], "skipped": {},
                "failed": None, "samples": []}
    start = time.monotonic()
    path = os.path.join(folder, experiment.name + ".json")
    for boot in range(1, boots + 1):
        progress.show(f"{experiment.name}: boot {boot} of {boots}")
        document["noise"].append(machine.noise())
        done = Boot(experiment, build, mode, progress)
        if done.died:
            # On a busy machine an emulated one sometimes does not get through its boot (rig/kernel-bugs). Nothing was measured yet.
            progress.say(f"{experiment.name}: the machine died while it booted; once more")
            document["processor_seconds"] += done.processor_seconds
            done = Boot(experiment, build, mode, progress)
        document["noise"].append(machine.noise())
        document["samples"] += [{"boot": boot, **sample} for sample in done.samples]
        document["skipped"].update(done.skipped)
        document["boots"] = boot
        document["seconds"] = round(time.monotonic() - start, 1)
        document["processor_seconds"] = round(document["processor_seconds"] + done.processor_seconds, 1)
        if not done.failed and not done.samples and not done.skipped:
            done.failed = "it printed no sample"
        document["failed"] = done.failed
        results.write_json(path, document)
        if done.failed:
            progress.say(f"{experiment.name}: {done.failed}", *[f"    {line}" for line in done.said[-20:]])
            return False
        if not done.samples:
            break
    left_out = "".join(f"; without {side or 'all of it'}: {why}" for side, why in document["skipped"].items())
    progress.say(f"{experiment.name}: {len(document['samples'])} samples in {document['seconds']:.0f} s "
                 f"({document['processor_seconds']:.0f} s of processor time){left_out}")
    return True


def check_build(build):
    if not os.access(os.path.join(build, "bench", "outboard-bench-client"), os.X_OK):
        raise Bad(f"{build} is no build directory of Outboard with its benchmarks; give one with --build, or: make")


def run(experiments, build, mode, boots, folder):
    """
    Exit code: 0, 1 when one failed, 130 when it was interrupted. Those that nothing disturbs are side by side, as many as there are processors, and where
    it is to be quick all that count; then the others, one after the other.
    """
    check_build(build)
    os.makedirs(folder, exist_ok=True)
    progress = Progress()

    def interrupt(_number, _frame):
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    about = {"machine": machine.describe(), "begun": time.strftime("%Y-%m-%d %H:%M:%S %z"), "mode": mode}
    results.write_json(os.path.join(folder, "machine.json"), about)

    def one(experiment):
        count = boots or (experiment.boots if mode == "full" else 2 if mode == "quick" else 1)
        return run_one(experiment, build, mode, count, folder, progress)

    beside = [e for e in experiments if e.undisturbed or (mode != "full" and e.kind == "counts")]
    good = True
    try:
        for group, workers in (beside, os.cpu_count()), ([e for e in experiments if e not in beside], 1):
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                try:
                    for done in [pool.submit(one, e) for e in group]:
                        good &= done.result()
                except Interrupted:
                    Boot.end_all()
                    raise
    except Interrupted:
        progress.say(f"interrupted; what was measured is in {folder}")
        return 130
    return 0 if good else 1


def default_folder():
    """A place for results that nobody named, by date."""
    return os.path.join(default_place(), time.strftime("%Y-%m-%d-%H%M%S"))


def default_place():
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "outboard", "bench")


def latest_folder():
    place = default_place()
    found = sorted(n for n in os.listdir(place) if re.fullmatch(r"[0-9-]+", n)) if os.path.isdir(place) else []
    if not found:
        raise Bad(f"there are no results in {place}; name a folder, or: outboard bench run --all --quick")
    return os.path.join(place, found[-1])
