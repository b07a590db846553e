#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
#
# oracle.py DIR REPORT.json: the functions of the driver that was built in DIR, and the direct calls between them, are those that gcc saw (its first
# table of symbols of -fdump-ipa-cgraph, and -aux-info), else each difference is said. Nothing of this comes from libclang.
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

# What linux/moduleparam.h and linux/module.h make to have types checked.
ARTEFACT = re.compile(r'__check_|__inittest$|__exittest$')


def command_of(cmd_file):
    """The compiler's command line as kbuild kept it."""
    for line in open(cmd_file):
        m = re.match(r'(?:saved)?cmd_\S+ := (.*)', line)
        if m:
            return m.group(1).split(' ; ')[0].split('; ./tools')[0]
    return None


def functions_of(directory, headers):
    """Definitions, by -aux-info: /* FILE:LINE:NF */ static int name (..."""
    names = set()
    for cmd_file in glob.glob(directory + '/**/.*.o.cmd', recursive=True):
        command = command_of(cmd_file)
        if not command or '.mod.o' in cmd_file or ' -c ' not in command:
            continue
        with tempfile.NamedTemporaryFile(suffix='.aux') as aux:
            words = [w for w in shlex.split(command) if not w.startswith('-Wp,-MMD') and not w.startswith('-fdump-')]
            at = words.index('-o')
            words[at + 1] = '/dev/null'
            subprocess.run(words + ['-S', '-aux-info', aux.name], check=True, cwd=headers)
            for line in open(aux.name, errors='replace'):
                # Behind the prototype stand the parameters of one in the old style; the name is before the first bracket that no "(*" is.
                m = re.match(r'/\* (.*):\d+:[NO]F \*/ (.*)', line)
                if not m or not os.path.realpath(os.path.join(headers, m.group(1))).startswith(directory + '/'):
                    continue
                name = re.search(r'([A-Za-z_]\w*) \(', m.group(2))
                if name and not ARTEFACT.match(name.group(1)):
                    names.add(name.group(1))
    return names


def edges_of(directory):
    edges = set()
    for dump in glob.glob(directory + '/**/*.cgraph', recursive=True):
        seen, node, on = set(), None, False
        for line in open(dump, errors='replace'):
            if line.startswith('Initial Symbol table:'):
                if on:
                    break
                on = True
            elif on and line.startswith('Reclaimed Symbol table:'):
                break
            if not on:
                continue
            m = re.match(r'(\S+)/(\d+) \(', line)
            if m:
                node = m.group(1)
                if (node, m.group(2)) in seen:
                    break
                seen.add((node, m.group(2)))
            elif node and line.startswith('  Calls: '):
                for to in re.findall(r'(\S+)/\d+', line[9:]):
                    edges.add((node, to))
    return edges


def main():
    directory, report = os.path.realpath(sys.argv[1]), json.load(open(sys.argv[2]))
    ours = {f['name'] for f in report['functions']}
    theirs = functions_of(directory, report['headers'])
    edges = edges_of(directory)
    names = {f['id']: f['name'] for f in report['functions']}
    our_edges = {(f['name'], names[c['to']]) for f in report['functions'] for c in f['calls'] if c['kind'] == 'direct'}
    their_edges = {(a, b) for a, b in edges if a in theirs and b in theirs}
    wrong = 0
    for what, a, b in (('function', ours, theirs), ('call', our_edges, their_edges)):
        for x in sorted(b - a):
            print(f'{what} {x}: gcc has it')
            wrong += 1
        for x in sorted(a - b):
            print(f'{what} {x}: gcc has it not')
            wrong += 1
    print(f'{len(theirs)} functions, {len(their_edges)} calls')
    # No dump, no comparison.
    return wrong > 0 or not theirs or not their_edges


sys.exit(main())
