# SPDX-License-Identifier: BSD-2-Clause
"""engine list|run|report|compare: what `outboard bench` starts; outboard-bench(1) documents it."""
import argparse
import json
import os
import sys

import compare
import experiment
import page
import results
import runner


def list_experiments(args):
    everything = experiment.all_experiments()
    if args.json:
        json.dump({"experiments": [e.described() for e in everything]}, sys.stdout, indent=1)
        print()
        return 0
    width = max(len(e.name) for e in everything)
    for e in everything:
        print(f"{e.name:<{width}}  {e.title} ({e.source})")
    return 0


def run_experiments(args):
    if args.all == bool(args.names):
        raise experiment.Bad("name experiments, or --all; outboard bench list shows them")
    chosen = experiment.all_experiments() if args.all else experiment.chosen(args.names)
    folder = args.results or runner.default_folder()
    mode = "smoke" if args.smoke else "quick" if args.quick else "full"
    code = runner.run(chosen, os.path.abspath(args.build), mode, args.boots, folder)
    print(folder)
    return code


def make_page(args):
    folder = args.folder or runner.latest_folder()
    about, found = results.load(folder)
    if not found:
        raise experiment.Bad(f"there are no results in {folder}")
    out = args.output or os.path.join(folder, "index.html")
    # The order of the experiments' names, but those that are gone come, too.
    with open(out, "w", encoding="utf-8") as f:
        f.write(page.make(about, found))
    print(out)
    return 0


def compare_results(args):
    first, second = results.load(args.first)[1], results.load(args.second)[1]
    found = compare.differences(first, second)
    if not found:
        raise experiment.Bad(f"{args.first} and {args.second} have no figure in common")
    if args.json:
        rows = [{"experiment": name, "metric": metric, "load": load, "parameter": parameter, "side": side, "first": d.a.median,
                 "second": d.b.median, "unit": d.a.unit, "ratio": d.ratio, "noise": d.noise, "p": d.p, "verdict": d.verdict}
                for name, metric, load, parameter, side, d in found]
        json.dump({"figures": rows}, sys.stdout, indent=1)
        print()
    else:
        print("\n".join(compare.text(found)))
    return 1 if any(d.verdict == "worse" for *_, d in found) else 0


def main():
    parser = argparse.ArgumentParser(prog="outboard bench")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=list_experiments)
    running = commands.add_parser("run")
    running.add_argument("names", nargs="*")
    running.add_argument("--all", action="store_true")
    running.add_argument("--quick", action="store_true")
    running.add_argument("--smoke", action="store_true")
    running.add_argument("--boots", type=int, choices=range(1, 100), metavar="N")
    running.add_argument("--results")
    running.add_argument("--build", required=True)
    running.set_defaults(run=run_experiments)
    report = commands.add_parser("report")
    report.add_argument("folder", nargs="?")
    report.add_argument("--output")
    report.set_defaults(run=make_page)
    comparing = commands.add_parser("compare")
    comparing.add_argument("first")
    comparing.add_argument("second")
    comparing.add_argument("--json", action="store_true")
    comparing.set_defaults(run=compare_results)
    args = parser.parse_args()
    try:
        return args.run(args)
    except experiment.Bad as bad:
        print(f"outboard bench: {bad}", file=sys.stderr)
        return 2


sys.exit(main())
