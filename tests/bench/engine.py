#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""engine.py SOURCE OUTBOARD: the engine of `outboard bench` by itself: heads, samples, medians, the verdict on two sets of results,
the page. Prints TAP."""
import copy
import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

SOURCE, OUTBOARD = sys.argv[1:]
sys.path.insert(0, os.path.join(SOURCE, "bench", "engine"))
sys.dont_write_bytecode = True
import compare  # noqa: E402
import experiment  # noqa: E402
import page  # noqa: E402
import plot  # noqa: E402
import results  # noqa: E402

HEAD = {"name": "n", "title": "A title", "from": "a paper", "about": "About <it>.", "base": "kernel", "parameter": "bytes",
        "where": "rig", "kind": "counts", "sides": {"kernel": "the kernel's", "ours": "ours"}, "plots": [["instructions", "log-x"]],
        "goals": [["ours", "*", "8", "instructions", "<= 1.1"]], "devices": ["nvme"], "kernel": "6.12", "iommu": "vtd",
        "options": []}
MACHINE = {"machine": {"processor": "p", "processors": 1, "memory_mib": 1, "kernel": "k", "hypervisor": "none", "kvm": False,
                       "governor": "g", "iommu_groups": 0, "mitigations": [], "qemu": "q", "compiler": "c", "outboard": "o",
                       "changed": False, "build": "b", "valgrind": None}, "begun": "now", "mode": "full"}


def result(kernel, ours, noise=0.02):
    """Of one experiment, with these values in its boots."""
    samples = []
    for side, values in (("kernel", kernel), ("ours", ours)):
        for boot, value in enumerate(values, 1):
            samples += [{"boot": boot, "side": side, "load": "read", "parameter": p, "metric": "instructions", "value": value * p,
                         "unit": "per request"} for p in (1, 8)]
    return {"experiment": HEAD, "mode": "full", "boots": len(kernel), "seconds": 1,
            "noise": [{"loop_us": 1, "spread": noise, "load": 0.1, "stolen": 0.0}], "skipped": {}, "failed": None, "samples": samples}


def verdicts(first, second, metric="instructions"):
    one, other = copy.deepcopy(result([100] * 4, first)), copy.deepcopy(result([100] * 4, second))
    for document in (one, other):
        for sample in document["samples"]:
            sample["metric"] = metric
    found = compare.differences({"n": results.Result(one)}, {"n": results.Result(other)})
    return {d.verdict for *_, side, d in found if side == "ours"}


def heads():
    everything = experiment.all_experiments()
    assert everything
    for e in everything:
        assert os.access(e.path, os.X_OK), f"{e.path} cannot be run"
        assert e.sides, f"{e.path}: no sides"
        for goal in e.goals:
            assert goal[0] == "*" or goal[0] in e.sides, f"{e.path}: {goal[0]} is no side"


def bad_heads_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        for text in ("# bench-title: x\n# bench-from: y\n", "# bench-tittle: x\n",
                     "# bench-title: x\n# bench-from: y\n# bench-about: z\n# bench-base: nobody\n"):
            path = os.path.join(folder, "x.sh")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            try:
                experiment.Experiment(path)
            except experiment.Bad:
                continue
            raise AssertionError(text)


def samples_are_checked():
    good = {"side": "a", "load": "b", "parameter": None, "metric": "c", "value": 1.5, "unit": "d"}
    assert results.check_sample(good) is None
    for key, value in (("side", 1), ("parameter", "x"), ("value", float("nan")), ("value", -1), ("value", True), ("value", "1")):
        assert results.check_sample({**good, key: value}), (key, value)
    assert results.check_sample({"side": "a"}) and results.check_sample([])


def ratios_are_formed_in_each_boot():
    # Both sides are twice as slow in the second boot: the ratio does not see it, the spread does.
    r = results.Result(result([100, 200, 100], [110, 220, 120]))
    assert r.ratio("instructions", "read", 8, "ours")[0] == 1.1
    assert r.cells[("instructions", "read", 8, "ours")].spread == (220 - 110) / 120
    assert r.goal("instructions", "read", 8, "ours") == ("<=", 1.1) and r.goal("instructions", "read", 1, "ours") is None


def probability_is_exact():
    # Tabulated: complete separation of 4 and 4 is 2 in 70, of 3 and 3 is 2 in 20.
    assert abs(compare.probability([1, 2, 3, 4], [5, 6, 7, 8]) - 2 / 70) < 1e-12
    assert abs(compare.probability([1, 2, 3], [4, 5, 6]) - 0.1) < 1e-12
    assert compare.probability([1, 1], [1, 1]) == 1


def verdict_knows_the_noise():
    steady = [100, 100.1, 100.2, 100.3]
    assert verdicts(steady, steady) == {"same"}
    assert verdicts(steady, [v * 1.005 for v in steady]) == {"same"}, "below what the method resolves"
    assert verdicts(steady, [v * 1.05 for v in steady]) == {"worse"}
    assert verdicts(steady, [v * 0.95 for v in steady]) == {"better"}
    assert verdicts(steady, [v * 0.95 for v in steady], "throughput") == {"worse"}
    noisy = [90, 100, 110, 120]
    assert verdicts(noisy, [v * 1.1 for v in noisy]) == {"same"}, "below its own spread"
    assert verdicts([100], [150]) == {"cannot be said: a single value"}


def page_is_whole():
    r = results.Result(result([100, 101, 102], [150, 151, 152]))
    text = page.make(MACHINE, {"n": r})
    for wanted in ("A title", "About &lt;it&gt;.", "<svg", "goal ≤ 1.1: missed", "1.50×", "spread 2.0 %"):
        assert wanted in text, wanted
    assert "<script" not in text and "src=" not in text and "http" not in text
    for part in text.split("<svg")[1:]:
        xml.dom.minidom.parseString("<svg" + part.split("</svg>")[0] + "</svg>")


def plots_take_anything():
    for log in (False, True):
        for row in ([(1, 5, 5, 5)], [(1, 0, 0, 0), (2, 0, 0, 0)], [(1, 1, 0.5, 2), (1000, 1e9, 1e8, 1e10)]):
            for out in (plot.lines({"a": row}, ["a"], "x", "y", log, log), plot.bars([("a", *r[1:]) for r in row], ["a"], "y", log)):
                xml.dom.minidom.parseString(out)
                assert "nan" not in out and "inf" not in out


def program_works():
    def said(*words):
        return subprocess.run([OUTBOARD, "bench", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    with tempfile.TemporaryDirectory() as folder:
        for name, factor in (("a", 1), ("b", 1.2)):
            os.mkdir(os.path.join(folder, name))
            results.write_json(os.path.join(folder, name, "machine.json"), MACHINE)
            results.write_json(os.path.join(folder, name, "n.json"), result([100] * 4, [100 * factor] * 4))
        one, other = os.path.join(folder, "a"), os.path.join(folder, "b")
        assert said("report", one).returncode == 0 and os.path.getsize(os.path.join(one, "index.html")) > 2000
        assert said("compare", one, one).returncode == 0
        done = said("compare", one, other)
        assert done.returncode == 1 and "worse" in done.stdout, done.stdout
        rows = json.loads(said("compare", one, other, "--json").stdout)["figures"]
        assert len(rows) == 4
        assert said("report", os.path.join(folder, "none")).returncode == 2
        assert said("run", "dma", "--build", folder).returncode == 2, "a build folder without programs"
    listed = said("list")
    assert listed.returncode == 0 and "disk-sizes" in listed.stdout
    for words in (["run"], ["run", "no-such"], ["run", "--all", "dma"], ["list", "dma"], ["compare", "a"], ["report", "--quick"], [],
                  ["measure"], ["run", "--boots", "0", "dma"]):
        done = said(*words)
        assert done.returncode == 2, (words, done.returncode, done.stdout)


def main():
    tests = [heads, bad_heads_are_refused, samples_are_checked, ratios_are_formed_in_each_boot, probability_is_exact,
             verdict_knows_the_noise, page_is_whole, plots_take_anything, program_works]
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            test()
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            line = error.__traceback__
            while line.tb_next:
                line = line.tb_next
            print(f"# line {line.tb_lineno}: {type(error).__name__}: {error}\nnot ok {number} - {name}")
        else:
            print(f"ok {number} - {name}")
    sys.exit(1 if failed else 0)


main()
