# SPDX-License-Identifier: BSD-2-Clause
"""Two sets of results: which figures differ, as far as the noise lets one see.

For each figure both sets have a few values, one of each boot. Their difference is the median of all quotients (Hodges and Lehmann's
estimator, of ratios), and p is the exact two-sided probability of ranks as far apart as these or farther if both sets came from the
same machine and program (Mann and Whitney's U). With three values against three p cannot be below 0.1, with four against four not
below 0.03. A figure differs when its values do not overlap or p is at most 0.05, and the difference is larger than either set's own
spread and than what the method resolves: 1 % of a count, and of a time as much as the machine's noise was in either run."""
import itertools
import statistics

COUNTS_RESOLVE = 0.01
CERTAIN = 0.05
MOST_EXACT = 12     # values in both together up to which all orders are tried: 924 at most
HIGHER_IS_BETTER = ("throughput", "rate", "achieved", "available")


def better_when_higher(metric):
    return any(word in metric for word in HIGHER_IS_BETTER)


def probability(a, b):
    """Exact two-sided p of Mann and Whitney's U; None for more values than are tried."""
    if len(a) + len(b) > MOST_EXACT:
        return None

    def u(first, second):
        return sum((x > y) + (x == y) / 2 for x in first for y in second)

    middle = len(a) * len(b) / 2
    seen = abs(u(a, b) - middle)
    values = a + b
    orders = list(itertools.combinations(range(len(values)), len(a)))
    extreme = 0
    for chosen in orders:
        first = [values[i] for i in chosen]
        second = [values[i] for i in range(len(values)) if i not in chosen]
        extreme += abs(u(first, second) - middle) >= seen - 1e-9
    return extreme / len(orders)


class Difference:
    """Of one figure between two sets."""

    def __init__(self, a, b, metric, resolves):
        self.a, self.b = a, b
        quotients = [y / x for x in a.values for y in b.values if x]
        self.ratio = statistics.median(quotients) if quotients else None
        self.p = probability(a.values, b.values)
        self.noise = max(a.spread or 0, b.spread or 0, resolves)
        alone = len(a.values) < 2 or len(b.values) < 2
        apart = a.high < b.low or b.high < a.low
        if self.ratio is None:
            self.verdict = "cannot be said: the first is 0"
        elif abs(self.ratio - 1) <= self.noise:
            self.verdict = "same"
        elif alone:
            self.verdict = "cannot be said: a single value"
        elif not apart and (self.p is None or self.p > CERTAIN):
            self.verdict = "cannot be said: they overlap"
        else:
            self.verdict = "better" if (self.ratio > 1) == better_when_higher(metric) else "worse"


def resolves(one, other):
    """What differences the method of an experiment sees at best, in both of its results."""
    if one.head["kind"] == "counts":
        return COUNTS_RESOLVE
    return max([noise["spread"] for noise in one.noise + other.noise] or [1.0])


def differences(first, second):
    """[(experiment, metric, load, parameter, side, Difference)] of what both sets have."""
    found = []
    for name, one in first.items():
        other = second.get(name)
        if not other:
            continue
        for key, cell in one.cells.items():
            metric, load, parameter, side = key
            if key in other.cells and other.cells[key].unit == cell.unit:
                # Times taken beside counts are times.
                least = resolves(one, other) if metric.startswith(("instructions", "system calls")) or one.head["kind"] == "times" \
                    else max([noise["spread"] for noise in one.noise + other.noise] or [1.0])
                found.append((name, metric, load, parameter, side, Difference(cell, other.cells[key], metric, least)))
    return found


def text(found):
    """Lines for people: what differs, then how many figures do not."""
    lines, counted = [], {}
    for name, metric, load, parameter, side, d in found:
        counted[d.verdict] = counted.get(d.verdict, 0) + 1
        if d.verdict not in ("better", "worse"):
            continue
        what = f"{name}: {side}, {load}{'' if parameter is None else f' {parameter:g}'}, {metric}"
        chance = "" if d.p is None else f", p {d.p:.2f}"
        lines.append(f"{d.verdict:<7} {what}: {d.a.median:.6g} -> {d.b.median:.6g} {d.a.unit} "
                     f"({(d.ratio - 1) * 100:+.1f} %, noise {d.noise * 100:.1f} %{chance})")
    lines.append(f"{len(found)} figures in both: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counted.items())))
    least = min([min(len(d.a.values), len(d.b.values)) for *_, d in found] or [0])
    if 0 < least < 4 and (counted.get("better") or counted.get("worse")):
        lines.append(f"With {least} boots a side, chance alone separates some figures; run with --boots 4 or more to be sure.")
    return lines
