#!/usr/bin/env python3
"""Checks what `myconv` writes and refuses.

usage: cli_test.py MYCONV REFERENCE [gpu]

REFERENCE is a folder with start, grads and end.safetensors of the full net. With `gpu` only what needs one is checked.
"""
import functools
import json
import os
import struct
import subprocess
import sys
import tempfile

myconv, reference, *parts = sys.argv[1:]


def run(*arguments):
    return subprocess.run([myconv, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def header(path):
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        return {name: (t["dtype"], t["shape"]) for name, t in json.loads(f.read(length)).items() if name != "__metadata__"}


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


RUN_KEYS = {"mode", "optimize", "device", "net", "threads", "losses", "step_ms", "median_ms", "unread_ms", "first_ms",
            "peak_bytes", "user_s", "sys_s", "wall_s", "ledger", "ledger_steps"}


def json_of(*arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        result = run(*arguments, "--json", file.name)
        check(result.returncode == 0, result.stdout + result.stderr)
        return json.load(file)

@functools.cache
def gpu_is_here():
    return "There is no device" not in run("--device", "gpu", "--batch", "4", "--side", "8", "--steps", "1").stderr


def check_gpu():
    start = ["--net", "full", "--start", os.path.join(reference, "start.safetensors"), "--steps", "4"]
    both = json_of("--device", "both", *start)["runs"]
    gpu = [r for r in both if r["device"] == "gpu"]
    check(len(gpu) == 3 and len(both) == 6, "columns of both devices")
    check(all(r["peak_bytes"] > 0 for r in gpu), "a peak of the GPU's memory")
    gpu += json_of("--device", "gpu", "--resident", "--read-loss", "last", *start)["runs"]
    check(len({tuple(r["losses"]) for r in gpu}) == 1, "one list of losses in all columns of the GPU")
    for a, b in zip(gpu[0]["losses"], both[0]["losses"]):
        check(abs(a - b) < 1e-2 * abs(b), f"losses of the GPU, {gpu[0]['losses']}, and of the CPU, {both[0]['losses']}")


if parts == ["gpu"]:
    if gpu_is_here():
        check_gpu()
    else:
        print("skipped: myconv on a GPU: no GPU")
    sys.exit()

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
    # When losses are read changes no loss.
    losses = set()
    for reading, timed, unread in (("each", 3, False), ("last", 0, True), ("both", 3, True)):
        for r in json_of(*small, "--steps", "6", "--warm-up", "2", "--read-loss", reading)["runs"]:
            check(len(r["step_ms"]) == timed and (r["unread_ms"] > 0) == unread and r["median_ms"] > 0, f"times of {reading}")
            losses.add(tuple(r["losses"]))
    check(len(losses) == 1 and len(losses.pop()) == 6, "losses that are read late")

    # The article's four runs, a GPU's taken from a file where there is none.
    recorded = os.path.join(folder, "recorded.json")
    document = json_of(*small, "--steps", "2")
    for r in document["runs"]:
        r["losses"] = [123.25, 456.5]
    with open(recorded, "w") as f:
        json.dump({"recorded": [{"machine": "an abacus", "commit": "abc", **document}]}, f)
    both = ["--device", "both", *small, "--recorded", recorded, "--steps"]
    for arguments, is_recorded in ((["2"], True), (["3"], False), (["2", "--math", "tf32"], False)):
        result = run(*both, *arguments)
        check(result.returncode == 0 and "CPU traced" in result.stdout, result.stdout + result.stderr)
        check(("GPU traced" in result.stdout) == (gpu_is_here() or is_recorded), f"columns of {arguments}")
        check(("123.25" in result.stdout and "an abacus" in result.stdout) == (is_recorded and not gpu_is_here()), "recorded figures")

    refused = [(["--start", os.path.join(folder, "none")], "none"), (["--mode", "lazy"], "lazy"), (["--steps", "0"], "--steps"),
               (start, "linearnet")]
    if not gpu_is_here():
        refused.append((["--device", "gpu"], "There is no device"))
    for arguments, message in refused:
        result = run(*small, *arguments)
        check(result.returncode != 0 and message in result.stderr + result.stdout, f"{arguments}: {result.stderr}")
