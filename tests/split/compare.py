#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
#
# compare.py REPORT.json EXPECTED: what `outboard factor --json` found of a driver, against what is known of it (expected/). Says each difference.
import json
import sys

WORDS = {'pure': 'pure data', 'registers': 'registers', 'locked': 'locked', 'ring': 'rings, DMA, interrupts'}


def read_expected(path):
    numbers, names = {}, {}
    for line in open(path):
        word, *rest = line.split() or ['#']
        if word == '#':
            continue
        if rest[0].isdigit():
            numbers[word] = [int(n) for n in rest]
        else:
            names.setdefault(word, set()).update(rest)
    return numbers, names


def main():
    report = json.load(open(sys.argv[1]))
    numbers, names = read_expected(sys.argv[2])
    totals, functions = report['totals'], report['functions']
    edges = {(f['id'], c['to']) for f in functions for c in f['calls'] if c['kind'] == 'direct'}
    sites = totals['sites']
    found = {
        'total': [totals['functions'], totals['lines']],
        'both': [totals['both']['functions'], totals['both']['lines']],
        'roots': [totals['sets'][s]['roots'] for s in ('stay', 'must', 'might')],
        'edges': [len(edges)],
        'sites': [sum(sites[s] for s in sites if s != 'most-targets'), sites['resolved']],
        'down': [totals['must']['down-calls'], totals['must']['down-targets']],
        'up': [totals['must']['up-calls']],
    }
    sets = {'both': {f['name'] for f in functions if f['both']}}
    for s in ('stay', 'must', 'might'):
        found[s] = [totals['sets'][s]['functions'], totals['sets'][s]['lines']]
        sets[s] = {f['name'] for f in functions if f['set'] == s}
    for word, text in WORDS.items():
        sets[word] = {e['root'].split('.')[1] for e in report['entries'] if e['needs'] == text}
    wrong = 0
    for word, value in numbers.items():
        if found[word] != value:
            print(f'{word}: {found[word]}, not {value}')
            wrong += 1
    for word, value in names.items():
        for name in sorted(value ^ sets[word]):
            print(f'{word}: {name} is {"missing" if name in value else "there, too"}')
            wrong += 1
    # What nobody may get wrong: each function has one place, and a reason for it.
    for f in functions:
        if f['verdict'] != 'never called' and not f['ways']:
            print(f'{f["name"]}: {f["verdict"]} without a way')
            wrong += 1
        if f['verdict'] == 'cannot move' and not f['reasons']:
            print(f'{f["name"]}: cannot move without a reason')
            wrong += 1
    return wrong > 0


sys.exit(main())
