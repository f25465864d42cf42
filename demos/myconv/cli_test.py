#!/usr/bin/env python3
"""Checks what `myconv` writes and refuses.

usage: cli_test.py MYCONV REFERENCE      REFERENCE: a folder with start, grads and end.safetensors of the full net
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

myconv, reference = sys.argv[1:]


def run(*arguments):
    return subprocess.run([myconv, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def header(path):
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        return {name: (t["dtype"], t["shape"]) for name, t in json.loads(f.read(length)).items() if name != "__metadata__"}


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


RUN_KEYS = {"mode", "optimize", "device", "net", "threads", "losses", "step_ms", "first_ms", "peak_bytes", "user_s", "sys_s",
            "wall_s", "ledger", "ledger_steps"}

with tempfile.TemporaryDirectory() as folder:
    grads, end, out = (os.path.join(folder, name) for name in ("grads.safetensors", "end.safetensors", "out.json"))
    saves = ["--save-grads", grads, "--save-end", end, "--json", out]
    start = ["--start", os.path.join(reference, "start.safetensors"), "--steps", "3"]
    columns = {("eager", "both"): [("eager", False)], ("deferred", "off"): [("deferred", False)],
               ("deferred", "on"): [("deferred", True)],
               ("both", "both"): [("eager", False), ("deferred", False), ("deferred", True)]}
    losses = set()
    for (mode, optimize), expected in columns.items():
        result = run("--mode", mode, "--optimize", optimize, "--threads", "2", "--net", "full", *start, *saves)
        check(result.returncode == 0, result.stderr)
        check("(convnet): Sequential(" in result.stdout and "LogSoftmax(dim=1)" in result.stdout, "the model is printed")
        with open(out) as f:
            runs = json.load(f)["runs"]
        check([(r["mode"], r["optimize"]) for r in runs] == expected, f"columns of {mode}, {optimize}")
        for r in runs:
            check(set(r) == RUN_KEYS, f"keys {sorted(r)}")
            check(len(r["losses"]) == 3 and len(r["step_ms"]) == 2 and r["threads"] == 2, "lengths and threads")
            check(r["peak_bytes"] > 0 and r["wall_s"] > 0 and r["device"] == "cpu" and r["net"] == "full", "figures")
            losses.add(tuple(r["losses"]))
        for ours, theirs in ((grads, "grads.safetensors"), (end, "end.safetensors")):
            check(header(ours) == header(os.path.join(reference, theirs)), f"names, dtypes and shapes of {theirs}")
    check(len(losses) == 1, f"one list of losses in all columns, not {losses}")

    small = ["--batch", "4", "--side", "8"]
    result = run(*small, "--steps", "1", "--optimizer", "sgd", "--seed", "3", "--mode", "eager")
    check(result.returncode == 0 and "1 step of sgd on a batch of 4" in result.stdout, result.stderr)
    for arguments, message in ((["--start", os.path.join(folder, "none")], "none"), (["--device", "gpu"], "GPU"),
                               (["--mode", "lazy"], "lazy"), (["--steps", "0"], "--steps"),
                               (start, "linearnet")):
        result = run(*small, *arguments)
        check(result.returncode != 0 and message in result.stderr + result.stdout, f"{arguments}: {result.stderr}")
