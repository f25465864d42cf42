#!/usr/bin/env python3
"""The log of the tests on a GPU, tests/gpu.log: tests/gpu.sh writes it there, and a machine without a GPU checks it.

usage: gpu_log.py hash             the SHA-256 of the sources that the log vouches for
       gpu_log.py write FOLDER     the log, from what each part of tests/gpu.sh has left in FOLDER/PART.out and from the
                                   header in FOLDER/header; exits with 1 unless all has passed
       gpu_log.py check            fails if tests/gpu.log is missing, tells of a failure, or is of other sources
"""
import glob
import hashlib
import os
import re
import sys

PARTS = ("ops", "gpu", "models", "memcheck", "racecheck")
# What runs on GPUs or is there for them alone; to these come the files of kernels/ that they include.
SOURCES = ("kernels/**/*.cu", "kernels/**/*_gpu.*", "kernels/cuda/*", "kernels/generate.py", "kernels/meson.build",
           "kernels/pointwise/ops.def", "lib/runtime/caching_allocator.h", "lib/runtime/device.h", "lib/runtime/gpu_memory.*", "lib/runtime/gpu_runtime.h",
           "lib/runtime/kernel.h", "lib/op/late_errors.*", "lib/op/numerics.h", "session/run/access_order.*",
           "session/run/capture_order.*", "session/run/captured.*", "session/run/gpu_*", "session/plan/gpu_*",
           "session/program/place.cc")
LOG = "tests/gpu.log"
INCLUDE = re.compile(r"^\s*#\s*include <twofold/(kernels/[^>]+)>", re.M)
PROGRAM = re.compile(r"^== (\S+): (\d+) passed, (\d+) failed \(([\d.]+) s\)$", re.M)
SKIPPED = re.compile(r"^skipped: .*$", re.M)
DONE = "== done"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def sources():
    found, left = set(), [p for pattern in SOURCES for p in glob.glob(pattern, recursive=True) if os.path.isfile(p)]
    while left:
        path = left.pop()
        if path in found or not os.path.isfile(path):  # what is generated follows from the rest
            continue
        found.add(path)
        if path.endswith((".cu", ".cc", ".h", ".def")):
            left += INCLUDE.findall(read(path))
    return sorted(found)


def sources_hash():
    total = hashlib.sha256()
    for path in sources():
        with open(path, "rb") as f:
            total.update(f"{path} {hashlib.sha256(f.read()).hexdigest()}\n".encode())
    return total.hexdigest()


def write(folder):
    wanted = "sources " + sources_hash()
    lines = ["twofold's tests on a GPU, written by tests/gpu.sh", wanted, *read(os.path.join(folder, "header")).splitlines()]
    passed = failed = skipped = 0
    for part in PARTS:
        path = os.path.join(folder, part + ".out")
        text = read(path) if os.path.exists(path) else ""
        programs = PROGRAM.findall(text)
        if not text.startswith(wanted + "\n"):
            lines.append(f"{part}: has not run on these sources")
            failed += 1
            continue
        if not programs or not text.endswith(DONE + "\n"):
            lines.append(f"{part}: did not come to its end")
            failed += 1
        for program, good, bad, seconds in programs:
            lines.append(f"{part}: {program}: {good} passed, {bad} failed, {seconds} s")
            passed, failed = passed + int(good), failed + int(bad)
        skips = SKIPPED.findall(text)
        lines += [f"{part}: {line}" for line in skips]
        skipped += len(skips)
    lines.append(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    print("\n".join(lines))
    return 1 if failed or not passed else 0


def check():
    if not os.path.exists(LOG):
        return f"there is no {LOG}: run tests/gpu.sh on a machine with a GPU, and commit it"
    lines = read(LOG).splitlines()
    if not lines or not re.fullmatch(r"[1-9]\d* passed, 0 failed(, \d+ skipped)?", lines[-1]):
        return f"{LOG} ends with: {lines[-1] if lines else 'nothing'}"
    if "sources " + sources_hash() not in lines:
        return f"{LOG} is of other sources: run tests/gpu.sh again, and commit the log ({', '.join(SOURCES)})"
    return None


command, *arguments = sys.argv[1:]
folder = os.path.abspath(arguments[0]) if arguments else ""
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
if command == "hash":
    print(sources_hash())
elif command == "write":
    sys.exit(write(folder))
elif command == "check":
    if problem := check():
        sys.exit(problem)
    print(f"{LOG} is of these sources: {read(LOG).splitlines()[-1]}")
