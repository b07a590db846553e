#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""run_document.py DOCUMENT BUILD: do what a document tells its reader to do, and compare. Prints TAP.

Fenced blocks, by the words behind the fence:
  c FILE        code; appended to FILE, which the first block, or one that says "new", begins
  sh [fails]    commands, run in one shell from the first block to the last; must succeed (or fail)
  text          what the commands just before it print, output and errors; "…" stands for anything,
                runs of blanks are equal
The reader's home is a temporary folder, the tree has only what the build made.
"""
import os
import re
import subprocess
import sys
import tempfile


def blocks(document):
    """Yield (line number, words behind the fence, text) for each fenced block."""
    words = None
    for number, line in enumerate(open(document, encoding="utf-8"), 1):
        if not line.startswith("```"):
            if words is not None:
                text.append(line)
        elif words is None:
            words, text, start = line[3:].split(), [], number
        else:
            yield start, words, "".join(text)
            words = None


class Shell:
    """One bash for the whole document, so that cd and export last."""

    MARK = "--end-of-block--"

    def __init__(self, folder, home):
        env = dict(os.environ, HOME=home, LC_ALL="C.UTF-8")
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=env, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, commands):
        """Run the lines, the first that fails being the last; return its status and the output."""
        script = " && ".join("{ %s\n}" % line for line in commands.splitlines() if line.strip())
        # Standard input is our way to the shell: commands must not read it.
        self.process.stdin.write("{ %s; } </dev/null\n_status=$?; echo; echo %s $_status\n" %
                                 (script, self.MARK))
        self.process.stdin.flush()
        output = []
        for line in self.process.stdout:
            if line.startswith(self.MARK):
                text = "".join(output)
                return int(line.split()[1]), text[:-1] if text.endswith("\n") else text
            output.append(line)
        return 255, "".join(output) + "(the shell ended)\n"


def same(expected, got):
    """Compare line by line; blanks and the ellipsis are generous."""
    def tidy(text):
        return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]
    want, have = tidy(expected), tidy(got)
    return len(want) == len(have) and all(
        re.fullmatch(".*".join(map(re.escape, w.split("…"))), h) for w, h in zip(want, have))


def main():
    document, build = sys.argv[1:]
    count, failed = 0, 0

    def report(good, name, text=""):
        nonlocal count, failed
        count += 1
        failed += not good
        if not good:
            for line in text.splitlines():
                print("# " + line)
        print("%s %d - %s" % ("ok" if good else "not ok", count, name), flush=True)

    with tempfile.TemporaryDirectory() as work:
        tree, home = work + "/tree", work + "/home"
        os.makedirs(tree + "/build")
        os.makedirs(home)
        os.symlink(build + "/cli/outboard", tree + "/build/outboard")
        os.symlink(build + "/meson-uninstalled", tree + "/build/meson-uninstalled")
        # A page that is no tutorial takes the program for installed.
        if "export PATH" not in open(document, encoding="utf-8").read():
            os.environ["PATH"] = tree + "/build:" + os.environ["PATH"]
        shell = Shell(tree, home)
        written, folder, output = set(), tree, ""
        for number, words, text in blocks(document):
            kind = words[0] if words else ""
            where = "line %d" % number
            if kind == "c":
                path = os.path.join(folder, words[1])
                mode = "w" if "new" in words[2:] or path not in written else "a"
                written.add(path)
                with open(path, mode, encoding="utf-8") as f:
                    f.write(text + "\n")
            elif kind == "sh":
                status, output = shell.run(text)
                good = (status != 0) == ("fails" in words)
                first = text.strip().splitlines()[-1]
                report(good, "%s: %s" % (where, first), "status %d\n%s" % (status, output))
                _, folder = shell.run("pwd")
                folder = folder.strip()
            elif kind == "text":
                report(same(text, output), where + ": and prints what is shown",
                       "expected:\n%sgot:\n%s" % (text, output))
            else:
                report(False, where + ": a block of unknown kind '%s'" % kind)
        shell.process.stdin.close()
        shell.process.wait()
    if not count:
        report(False, "the document has nothing to run")
    print("1..%d" % count)
    return 1 if failed else 0


sys.exit(main())
