#!/usr/bin/env python3
"""Runs the test programs of one or more builds and counts their test cases.

usage: run_tests.py [--list] [--cases SPEC] [--under COMMAND] [--jobs N] BUILD[=NAME,NAME...|@SUITE]...
  without names or a suite, all of that build's but the suite `debian`, which is another machine, as it were, and is to be asked
  for; --list prints the built programs' paths instead of running them; --cases is given
  to each, Catch2's words for some of its cases; --under is a command that runs each; --jobs says how many at once, 1 if not
  given

A Catch2 program counts by the cases it ran; one that ends as this one does by what it says there; any other test counts as one
case, by its exit status. A program that dies
before Catch2's summary is a failure more. A case that cannot run here prints "skipped: CASE: no GPU" (or "no valgrind", "no NumPy", "no ONNX") and
returns, or "no second GPU", or "debian: no bare Debian: not root"; any other reason is a failure. The last line is "N passed, N failed", with ", N skipped" if any were.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def tests_of(argument):
    """(build, test) for what one argument asks for."""
    build, kind, wanted = re.fullmatch(r"([^=@]+)([=@]?)(.*)", argument).groups()
    tests = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
    if kind == "@":
        chosen = [t for t in tests if any(s.endswith(":" + wanted) for s in t["suite"])]
    else:
        names = [n for n in wanted.split(",") if n]
        if unknown := set(names) - {t["name"] for t in tests}:
            sys.exit(f"{build} has no test {', '.join(sorted(unknown))}; it has {', '.join(t['name'] for t in tests)}")
        chosen = [t for t in tests if t["name"] in names or not names and not any(s.endswith(":debian") for s in t["suite"])]
    if not chosen:
        sys.exit(f"{argument}: no such tests")
    return [(build, t) for t in chosen]


parser = argparse.ArgumentParser()
parser.add_argument("--list", action="store_true")
parser.add_argument("--cases")
parser.add_argument("--under", default="")
parser.add_argument("--jobs", type=int, default=1)
parser.add_argument("builds", nargs="+")
options = parser.parse_args()
chosen = [pair for argument in options.builds for pair in tests_of(argument)]
if options.list:
    programs = [os.path.relpath(t["cmd"][0], build) for build, t in chosen]
    print(" ".join(program for program in programs if not program.startswith("..")))
    sys.exit()

ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
SOME_FAILED = re.compile(r"^test cases: *(\d+) \|(.*)$", re.M)
SKIPPED = re.compile(r"^skipped: (.*)$", re.M)
ENDED = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n?\Z", re.M)
REASONS = ("no GPU", "no second GPU", "no valgrind", "no NumPy", "no ONNX")
passed, failed, skipped, culprits = 0, 0, 0, []


def count(output, status):
    """Cases passed and failed, by its last line, by Catch2's summary or else by the exit status."""
    if m := ENDED.search(output):
        good, bad = int(m.group(1)), int(m.group(2))
    elif m := ALL_PASSED.search(output):
        good, bad = int(m.group(1)), 0
    elif m := SOME_FAILED.search(output):
        lost = re.search(r"(\d+) failed", m.group(2))
        bad = int(lost.group(1)) if lost else 0
        good = int(m.group(1)) - bad
    elif "test cases" in output or "No tests ran" in output:
        return 0, 1
    else:
        return (0, 1) if status else (1, 0)
    return good, bad + (1 if status and not bad else 0)


def run(pair):
    """A test's output, its exit status, and the seconds it took."""
    build, test = pair
    start = time.time()
    command = shlex.split(options.under) + test["cmd"] + ([options.cases] if options.cases else [])
    process = subprocess.Popen(command, cwd=test["workdir"] or build, env=os.environ | test["env"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    seconds = test.get("timeout") or 600
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0] + f"\nkilled: it took more than {seconds} s\n"
    return output, process.returncode, time.time() - start


results = ThreadPoolExecutor(options.jobs).map(run, chosen)
for (build, test), (output, status, seconds) in zip(chosen, results):
    name = f"{build}/{test['name']}"
    print(f"== {name}\n{output}", end="" if output.endswith("\n") else "\n")
    good, bad = count(output, status)
    if m := ENDED.search(output):  # it has judged its own
        skips, unexpected = ["as it says"] * int(m.group(3) or 0), []
    else:
        skips = SKIPPED.findall(output)
        unexpected = [line for line in skips if not line.endswith(REASONS) and not line.startswith("debian: no bare Debian")]
        good, bad = good - len(skips), bad + len(unexpected)
    for line in unexpected:
        print(f"not a reason to skip: {line}")
    if status < 0:
        print(f"{name} died by signal {-status}")
    if bad:
        culprits.append(name)
    passed, failed, skipped = passed + good, failed + bad, skipped + len(skips) - len(unexpected)
    print(f"== {name}: {good} passed, {bad} failed ({seconds:.1f} s)", flush=True)

if culprits:
    print("failed in: " + ", ".join(culprits))
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed or not passed else 0)
