#!/usr/bin/env python3
"""Runs the test programs of a build and counts their test cases.

usage: run_tests.py BUILD [NAME...]

A Catch2 program counts by the cases it ran; any other test counts as one case, by its exit status. A program that dies
before Catch2's summary is a failure more. A case that cannot run here prints "skipped: CASE: no GPU" and returns; any
other reason is a failure. The last line is "N passed, N failed", with ", N skipped" if any were.
"""
import json
import os
import re
import subprocess
import sys
import time

build, *wanted = sys.argv[1:]
tests = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
unknown = set(wanted) - {t["name"] for t in tests}
if unknown:
    sys.exit(f"no such test: {', '.join(sorted(unknown))}; there are {', '.join(t['name'] for t in tests)}")

ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
SOME_FAILED = re.compile(r"^test cases: *(\d+) \|(.*)$", re.M)
SKIPPED = re.compile(r"^skipped: (.*)$", re.M)
passed, failed, skipped, culprits = 0, 0, 0, []


def count(output, status):
    """Cases passed and failed, by Catch2's summary or else by the exit status."""
    if m := ALL_PASSED.search(output):
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


for test in tests:
    if wanted and test["name"] not in wanted:
        continue
    print(f"== {test['name']}", flush=True)
    start = time.time()
    process = subprocess.Popen(test["cmd"], cwd=test["workdir"], env=os.environ | test["env"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = []
    for line in process.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    status, output = process.wait(), "".join(lines)
    good, bad = count(output, status)
    skips = SKIPPED.findall(output)
    unexpected = [line for line in skips if "no GPU" not in line]
    good, bad = good - len(skips), bad + len(unexpected)
    for line in unexpected:
        print(f"not a reason to skip: {line}")
    if status < 0:
        print(f"{test['name']} died by signal {-status}")
    if bad:
        culprits.append(test["name"])
    passed, failed, skipped = passed + good, failed + bad, skipped + len(skips) - len(unexpected)
    print(f"== {test['name']}: {good} passed, {bad} failed ({time.time() - start:.1f} s)", flush=True)

if culprits:
    print("failed in: " + ", ".join(culprits))
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed or not passed else 0)
