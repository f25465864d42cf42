#!/usr/bin/env python3
"""Checks what the sources promise about each other.

usage: sources_test.py SOURCE_ROOT OBJECTS     OBJECTS: the folder of the library's object files

- Which folder may include which (the floors), with every exception named.
- Headers that programs reach include neither Eigen, nlohmann-json nor CUDA.
- What lib/ calls in graph/ and eager/ is what lib/op/high.h lists.
- Every attribute struct names all of its members in TWOFOLD_FIELDS.
"""
import os
import re
import subprocess
import sys

root, objects = sys.argv[1:]
os.chdir(root)
problems = []

CORE, OP, AUTODIFF, REPORT = "lib/core", "lib/op", "lib/autodiff", "lib/report"
LOW = {CORE, OP, AUTODIFF, REPORT}
TOOLKITS = {"lib/nn", "lib/train", "lib/io"}
FLOORS = {
    CORE: set(),
    OP: {CORE},
    AUTODIFF: {CORE, OP},
    REPORT: {CORE, OP},
    "kernels": {CORE, OP, AUTODIFF},
    "graph": LOW | {"kernels"},
    "eager": LOW | {"kernels"},
    "session": LOW | {"kernels", "graph", "eager"},
} | {toolkit: LOW | TOOLKITS | {"kernels", "graph", "session"} for toolkit in TOOLKITS}
# What a plugin and the library say to each other lies in lib/op but is a contract of its own; a Tensor's operators and
# a Variable's assignments are ops like any other.
EXCEPTIONS = {
    ("lib/core/plugin.h", "lib/op/kernel.h"),
    ("lib/core/thread_pool.h", "lib/op/kernel.h"),
    ("lib/core/plugin.cc", "lib/op/opdef.h"),
    ("lib/op/high.h", "lib/autodiff/gradients.h"),
    ("lib/op/operand.cc", "kernels/pointwise/pointwise.h"),
    ("lib/op/variable.cc", "kernels/pointwise/pointwise.h"),
    ("lib/op/tensor.cc", "kernels/layout/layout.h"),
    ("lib/op/launch.cc", "lib/report/ledger.h"),
    ("lib/op/launch.cc", "lib/report/recording.h"),
    ("lib/op/value.cc", "lib/report/ledger.h"),
    ("lib/op/value.cc", "lib/report/recording.h"),
    ("lib/autodiff/engine.cc", "kernels/layout/layout.h"),
    ("lib/autodiff/engine.cc", "kernels/reduce/reduce.h"),
    ("lib/autodiff/gradient_sum.cc", "kernels/gather/gather.h"),
    ("lib/autodiff/gradient_sum.cc", "kernels/layout/layout.h"),
    ("lib/autodiff/gradient_sum.cc", "kernels/pointwise/pointwise.h"),
    ("lib/autodiff/gradient_sum.cc", "kernels/sum_slices/sum_slices.h"),
}


def sources():
    for top in ("lib", "graph", "eager", "session", "kernels"):
        for folder, _, files in os.walk(top):
            for name in files:
                if name.endswith((".h", ".cc", ".cu", ".def")):
                    yield os.path.join(folder, name)


def floor(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "lib" else parts[0]


def read(path):
    with open(path) as f:
        return f.read()


def includes(path):
    return re.findall(r'^\s*#include [<"]([^>"]+)[>"]', read(path), re.M)


def check_floors():
    used = set()
    for path in sources():
        for target in includes(path):
            if not target.startswith("twofold/") or path == "lib/twofold.h":
                continue
            target = target.removeprefix("twofold/")
            here, there = floor(path), floor(target)
            if here == there or there in FLOORS.get(here, set()):
                continue
            used.add((path, target))
            if (path, target) not in EXCEPTIONS:
                problems.append(f"{path} may not include {target}: {here} lies below {there}, or beside it")
    for path, target in EXCEPTIONS - used:
        problems.append(f"{path} no longer includes {target}: take it off the exceptions")


def check_public_headers():
    seen, stack = set(), ["lib/twofold.h"] + [p for p in sources() if re.fullmatch(r"kernels/(\w+)/\1\.h", p)]
    while stack:
        path = stack.pop()
        if path in seen or not os.path.exists(path):
            continue
        seen.add(path)
        for target in includes(path):
            if target.startswith("twofold/"):
                stack.append(target.removeprefix("twofold/"))
            elif re.match(r"(unsupported/)?Eigen|nlohmann/|cuda|cudnn|cublas|nccl|nvrtc|cub/|thrust/", target):
                problems.append(f"{path}, which programs include, includes {target}")
    if len(seen) < 20:
        problems.append(f"only {len(seen)} public headers were found")


def check_calls_upward():
    allowed = set(re.findall(r"\b(\w+)\(", read("lib/op/high.h"))) | {
        "assign_op", "assign_add_op", "assign_sub_op", "transfer_op",  # lib/op/variable_ops.h: state is a graph's machinery
        "register_graph_ops", "register_all_ops"}       # the registry asks each floor for its ops
    defined, wanted = {}, {}
    for name in sorted(os.listdir(objects)):
        if not name.endswith(".o"):
            continue
        for line in subprocess.check_output(["nm", "-C", os.path.join(objects, name)], text=True).splitlines():
            kind, symbol = line[17:18], line[19:]
            if kind in "TDBR":
                defined.setdefault(symbol, name)
            elif kind == "U":
                wanted.setdefault(symbol, set()).add(name)
    low = re.compile(r"lib_(core|op|autodiff|report)_")
    high = re.compile(r"(graph|eager|session)_")
    calls = 0
    for symbol, users in wanted.items():
        if not high.match(defined.get(symbol, "")):
            continue
        for user in filter(low.match, users):
            calls += 1
            name = re.sub(r"\[abi:\w+\]", "", symbol.removeprefix("twofold::")).split("(")[0]
            if name not in allowed:
                problems.append(f"{user} calls {symbol.split('(')[0]}, which {defined[symbol]} defines and high.h does not list")
    if calls == 0:
        problems.append(f"no call upwards was found in {objects}: this check sees nothing")


def check_fields():
    count = 0
    for path in sources():
        text = re.sub(r"//[^\n]*", "", read(path))
        for name, members, fields in re.findall(r"struct (\w+) \{([^{}]*(?:\{[^{}]*\}[^{}]*)*?)TWOFOLD_FIELDS\(([^)]*)\)", text):
            count += 1
            declared = set()
            for statement in members.split(";"):
                statement = re.sub(r"\{[^{}]*\}|=.*", "", statement, flags=re.S).strip()
                if statement:
                    declared |= {re.findall(r"\w+", part)[-1] for part in re.sub(r"<[^<>]*>", "", statement).split(",")}
            listed = {f.strip() for f in fields.split(",")}
            if declared != listed:
                problems.append(f"{path}: {name} declares {sorted(declared)} but TWOFOLD_FIELDS lists {sorted(listed)}")
    if count < 10:
        problems.append(f"only {count} attribute structs were found")


check_floors()
check_public_headers()
check_calls_upward()
check_fields()
print("\n".join(problems) or "the sources keep their promises")
sys.exit(1 if problems else 0)
