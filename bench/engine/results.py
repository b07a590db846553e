# SPDX-License-Identifier: BSD-2-Clause
"""Results: a folder with machine.json and one NAME.json for each experiment, all samples in it; medians and spreads of them."""
import json
import os
import statistics

from experiment import Bad

SAMPLE = {"side": str, "load": str, "parameter": (int, float, type(None)), "metric": str, "value": (int, float), "unit": str}


def check_sample(sample):
    """None, or what is wrong with it."""
    if not isinstance(sample, dict) or set(sample) != set(SAMPLE):
        return f"has not exactly {', '.join(SAMPLE)}"
    for key, kind in SAMPLE.items():
        if not isinstance(sample[key], kind) or isinstance(sample[key], bool):
            return f"{key} is {sample[key]!r}"
    value = sample["value"]
    if value != value or value in (float("inf"), float("-inf")) or value < 0:
        return f"value is {value!r}"
    return None


def write_json(path, what):
    """Whole or not at all: a reader, or an end in the middle, never meets half of it."""
    # A sample is a line, so that two results can be looked at side by side.
    text = json.dumps({**what, "samples": []} if what.get("samples") else what, indent=1, ensure_ascii=False)
    if what.get("samples"):
        lines = ",\n".join("  " + json.dumps(sample, ensure_ascii=False) for sample in what["samples"])
        text = text.replace('"samples": []', '"samples": [\n' + lines + "\n ]")
    with open(path + ".part", "w", encoding="utf-8") as f:
        f.write(text + "\n")
    os.replace(path + ".part", path)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except OSError as error:
        raise Bad(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Bad(f"{path} is no JSON: {error}") from None


class Cell:
    """One figure: its values of all boots, in their order."""

    def __init__(self, unit):
        self.unit = unit
        self.by_boot = {}

    @property
    def values(self):
        return list(self.by_boot.values())

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def low(self):
        return min(self.values)

    @property
    def high(self):
        return max(self.values)

    @property
    def spread(self):
        """Highest less lowest over the median; None of a single value."""
        if len(self.by_boot) < 2 or not self.median:
            return None
        return (self.high - self.low) / self.median


class Result:
    """The samples of one experiment by (metric, load, parameter, side)."""

    def __init__(self, document):
        self.head = document["experiment"]
        self.skipped = document.get("skipped", {})
        self.failed = document.get("failed")
        self.noise = document.get("noise", [])
        self.seconds = document.get("seconds", 0)
        self.processor_seconds = document.get("processor_seconds")
        self.mode = document.get("mode", "full")
        self.boots = document.get("boots", 0)
        self.cells = {}
        for sample in document["samples"]:
            key = (sample["metric"], sample["load"], sample["parameter"], sample["side"])
            cell = self.cells.setdefault(key, Cell(sample["unit"]))
            cell.by_boot[sample["boot"]] = sample["value"]

    def metrics(self):
        return list(dict.fromkeys(key[0] for key in self.cells))

    def loads(self, metric):
        return list(dict.fromkeys(key[1] for key in self.cells if key[0] == metric))

    def parameters(self, metric, load):
        found = {key[2] for key in self.cells if key[:2] == (metric, load)}
        return sorted(found, key=lambda p: -1 if p is None else p)

    def sides(self, metric, *loads):
        found = {key[3] for key in self.cells if key[0] == metric and key[1] in loads}
        known = [side for side in self.head["sides"] if side in found]
        return known + sorted(found - set(known))

    def ratio(self, metric, load, parameter, side):
        """(median, lowest, highest) of the ratios to the base side in the same boot, or None."""
        own = self.cells.get((metric, load, parameter, side))
        base = self.cells.get((metric, load, parameter, self.head["base"]))
        if not own or not base:
            return None
        ratios = [own.by_boot[boot] / value for boot, value in base.by_boot.items() if boot in own.by_boot and value]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def goal(self, metric, load, parameter, side):
        """("<=", ratio) if the experiment's head names one for this figure."""
        for of_side, of_load, of_parameter, of_metric, goal in self.head["goals"]:
            if of_side in ("*", side) and of_load in ("*", load) and of_metric == metric and \
                    of_parameter in ("*", "" if parameter is None else f"{parameter:g}"):
                sign, value = goal.split()
                return sign, float(value)
        return None


def load(folder):
    """(machine, {name: Result}) of a folder."""
    machine = read_json(os.path.join(folder, "machine.json"))
    results = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json") and name != "machine.json":
            results[name[:-5]] = Result(read_json(os.path.join(folder, name)))
    return machine, results
