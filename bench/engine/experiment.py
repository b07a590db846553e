# SPDX-License-Identifier: BSD-2-Clause
"""Experiments: scripts in bench/experiments/ whose heads say what they show, which sides they have and which machine they need
(docs/benchmarks.md, "An experiment")."""
import os
import re
import shlex

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "bench", "experiments")

LISTS = {"bench-side", "bench-plot", "bench-goal", "bench-needs", "rig-device", "rig-modprobe", "rig-options"}
SINGLE = {"bench-title", "bench-from", "bench-about", "bench-base", "bench-parameter", "bench-where", "bench-boots", "bench-kind",
          "bench-time", "rig-iommu", "rig-kernel"}
# How an experiment's figures move from run to run: counts of instructions and events repeat, times do not.
KINDS = ("counts", "times")


class Bad(Exception):
    """Something that the user or the author of an experiment got wrong, in a sentence."""


class Experiment:
    """What the head of a script says."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        lists = {key: [] for key in LISTS}
        single = {}
        last = None
        with open(path, encoding="utf-8") as script:
            for number, line in enumerate(script, 1):
                if not line.startswith("#"):
                    break
                found = re.match(r"#\s?((?:bench|rig)-[a-z]+):\s*(.*?)\s*$", line)
                if found:
                    last, value = found.groups()
                    if last in LISTS:
                        lists[last].append(value)
                    elif last in SINGLE:
                        single[last] = value
                    else:
                        raise Bad(f"{path}:{number}: there is no {last}; possible: {', '.join(sorted(LISTS | SINGLE))}")
                elif last and re.match(r"#\s{3}\S", line):
                    # A line that is further in goes on with the one before.
                    if last in SINGLE:
                        single[last] += " " + line[1:].strip()
                    else:
                        lists[last][-1] += " " + line[1:].strip()
                else:
                    last = None
        for key in ("bench-title", "bench-from", "bench-about"):
            if not single.get(key):
                raise Bad(f"{path}: its head has no {key}")
        self.title = single["bench-title"]
        self.source = single["bench-from"]
        self.about = single["bench-about"]
        self.base = single.get("bench-base")
        self.parameter = single.get("bench-parameter", "")
        self.where = single.get("bench-where", "rig")
        self.boots = int(single.get("bench-boots", "3"))
        self.kind = single.get("bench-kind", "counts")
        self.timeout = int(single.get("bench-time", "900"))
        self.iommu = single.get("rig-iommu", "vtd")
        self.kernel = single.get("rig-kernel", "6.12")
        self.devices = lists["rig-device"]
        self.modules = lists["rig-modprobe"]
        self.options = shlex.split(" ".join(lists["rig-options"]))
        # Its clock goes by instructions: what else this machine does changes nothing.
        self.undisturbed = self.where == "rig" and "--deterministic" in self.options
        self.needs = lists["bench-needs"]
        self.plots = [plot.split() for plot in lists["bench-plot"]]
        # "NAME: what it is"
        self.sides = dict(side.split(": ", 1) for side in lists["bench-side"])
        # "SIDE | LOAD | PARAMETER | METRIC | <= RATIO": "*" for any
        self.goals = [[word.strip() for word in goal.split("|")] for goal in lists["bench-goal"]]
        if self.where not in ("rig", "here") or self.kind not in KINDS:
            raise Bad(f"{path}: bench-where is rig or here, bench-kind {' or '.join(KINDS)}")
        if self.base and self.base not in self.sides:
            raise Bad(f"{path}: bench-base {self.base} is no bench-side")
        for goal in self.goals:
            if len(goal) != 5 or not re.fullmatch(r"(<=|>=) [0-9.]+", goal[4]):
                raise Bad(f"{path}: a bench-goal is SIDE | LOAD | PARAMETER | METRIC | <= RATIO")

    def described(self):
        """What a result keeps of it, so that it can be shown without the script."""
        return {
            "name": self.name, "title": self.title, "from": self.source, "about": self.about, "base": self.base,
            "parameter": self.parameter, "where": self.where, "kind": self.kind, "sides": self.sides, "plots": self.plots,
            "goals": self.goals, "devices": self.devices, "kernel": self.kernel if self.where == "rig" else None,
            "iommu": self.iommu if self.where == "rig" else None, "options": self.options,
        }


def all_experiments():
    """In the order of the page: by the number that some names begin with, else by name."""
    return [Experiment(os.path.join(FOLDER, name)) for name in sorted(os.listdir(FOLDER)) if name.endswith(".sh")]


def chosen(names):
    """The experiments of these names, in that order."""
    known = {e.name: e for e in all_experiments()}
    for name in names:
        if name not in known:
            raise Bad(f"there is no experiment '{name}'; there are {', '.join(known)}")
    return [known[name] for name in names]
