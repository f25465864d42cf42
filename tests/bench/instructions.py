#!/usr/bin/env python3
"""Counts machine instructions of the dispatch paths with callgrind and compares them with those kept beside this file.

usage: instructions.py PROGRAM [--compiler NAME] [--update] [--without-ledger PROGRAM]

An item's cost is the difference between two runs of different length, over the difference in items, so that start-up
cancels. More than 5% above the kept number fails; --update keeps what is measured now, under the compiler's name. A
compiler of which nothing is kept is only reported. The kernels are those of x86-64-v3, since valgrind knows no AVX-512.

--without-ledger names the same program with a library in which no ledger can be recorded: a ledger that is merely off
must cost less than 1% more instructions than that.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Work: the two lengths, and items in each repetition.
WORKS = {
    "eager_add": (2000, 12000, 1),
    "session_run": (500, 2500, 1),
    "callable": (500, 2500, 1),
    "planned_nodes": (20, 120, 1000),
}
MOST_RISE = 0.05
MOST_LEDGER = 0.01
KEPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")


def count(program, work, times):
    """Instructions of one whole run."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        environment = os.environ | {"TWOFOLD_ISA": "v3", "TWOFOLD_THREADS": "1"}
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, work, str(times)],
                              env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{program} {work} {times} failed under valgrind:\n{done.stdout}{done.stderr}")
        with open(out) as f:
            return int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M).group(1))


def cost(program, work):
    short, long, items = WORKS[work]
    return (count(program, work, long) - count(program, work, short)) / ((long - short) * items)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--compiler", default="unnamed")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--without-ledger", metavar="PROGRAM")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: instructions: no valgrind")
        return
    with open(KEPT) as f:
        kept = json.load(f)
    measured = {work: cost(args.program, work) for work in WORKS}
    failed = False
    for work, now in measured.items():
        line = f"{work}: {now:.1f} instructions"
        before = kept.get(args.compiler, {}).get(work)
        if before is None:
            line += f", none kept for {args.compiler}"
        else:
            line += f", kept {before:.1f}, {(now / before - 1) * 100:+.1f}%"
            if now > before * (1 + MOST_RISE) and not args.update:
                line += ": FAILED, more than 5% above"
                failed = True
        if args.without_ledger:
            bare = cost(args.without_ledger, work)
            line += f"; {bare:.1f} without a ledger, {(now / bare - 1) * 100:+.2f}%"
            if now > bare * (1 + MOST_LEDGER):
                line += ": FAILED, a ledger that is off costs more than 1%"
                failed = True
        print(line, flush=True)
    if args.update:
        kept[args.compiler] = {work: round(now, 1) for work, now in measured.items()}
        with open(KEPT, "w") as f:
            json.dump(kept, f, indent=2)
            f.write("\n")
    sys.exit(1 if failed else 0)


main()
