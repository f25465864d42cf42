#!/usr/bin/env python3
"""Runs the benchmark programs of a build in turn, several rounds, and prints the medians beside their targets and PyTorch.

usage: compare.py BUILD [--rounds N] [--min-time S] [--json FILE]

In each round every program runs once, so that a machine whose speed drifts treats all alike. A row's time is the median
over the rounds. `gate` is what counts as done, `goal` where the library is going; `peer` is LibTorch, or for MyConv
PyTorch (eager beside eager, traced beside deferred), in the same rounds, `x` how many times as long it takes. Where they
are not installed these two columns stay empty. FILE gets every round's numbers.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

NS, MS = "ns", "ms"
# What a row is called, its benchmark and what of it is read, its unit, gate, goal, LibTorch's benchmark.
ROWS = [
    ("eager a + b, scalars", "eager_add", "cpu_time", NS, 80, 50, "eager_add"),
    ("session.run(y, {{x, 3.f}})", "session_run", "cpu_time", NS, 700, 400, "callable"),
    ("prepared callable", "callable", "cpu_time", NS, 350, 200, "callable"),
    ("chain of 1000 scalar ops, off, per op", "chain/off", "per_item", NS, 20, 8, "chain"),
    ("chain of 1000 scalar ops, optimised, per op", "chain/on", "per_item", NS, 20, 8, "chain"),
    ("relu(u*w + u) * w, 16M, eager", "relu_eager/real_time", "real_time", MS, 25, 18, "relu_eager/real_time"),
    ("relu(u*w + u) * w, 16M, off", "relu_deferred/off/real_time", "real_time", MS, None, None, "relu_eager/real_time"),
    ("relu(u*w + u) * w, 16M, optimised", "relu_deferred/on/real_time", "real_time", MS, 7, 5.5,
     "relu_eager/real_time"),
]
for mode, label in (("off", "off"), ("on", "optimised")):
    for phase, gate, goal in (("build", 500, 250), ("plan", 3000, 1000), ("run", 20, 12), ("destroy", None, None)):
        ROWS.append((f"1,000,000 nodes, {label}, {phase}, per node", f"million_nodes/{mode}/iterations:1", phase, NS, gate,
                     goal, None))
# The demo's training step: what a row is called, its net, mode and whether it is optimised, gate, goal, PyTorch's mode.
MYCONV_ROWS = [
    ("MyConv article, a step, eager", "article", "eager", False, 80, 65, "eager"),
    ("MyConv article, a step, off", "article", "deferred", False, None, None, "traced"),
    ("MyConv article, a step, optimised", "article", "deferred", True, 65, 45, "traced"),
    ("MyConv full, a step, eager", "full", "eager", False, None, None, "eager"),
    ("MyConv full, a step, off", "full", "deferred", False, None, None, "traced"),
    ("MyConv full, a step, optimised", "full", "deferred", True, 300, 210, "traced"),
]
MYCONV_STEPS = 8


def run(program, min_time):
    output = subprocess.run([program, "--benchmark_format=json", f"--benchmark_min_time={min_time}"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    report = json.loads(output)
    for b in report["benchmarks"]:
        if b.get("error_occurred"):
            sys.exit(f"{program}: {b['name']}: {b['error_message']}")
    return report


def run_myconv(build, net):
    """(the demo's runs, PyTorch's times or None)"""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([os.path.join(build, "demos", "myconv"), "--net", net, "--steps", str(MYCONV_STEPS), "--json", file.name],
                       check=True, stdout=subprocess.DEVNULL)
        ours = json.load(file)["runs"]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_myconv.py")
    threads = str(len(os.sched_getaffinity(0)))  # as many as the library takes; PyTorch alone may take fewer
    peer = subprocess.run([script, "--net", net, "--steps", str(MYCONV_STEPS), "--threads", threads], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    return ours, json.loads(peer.stdout) if peer.returncode == 0 else None


def myconv_medians(rounds, net, mode, optimize, peer_mode):
    """Medians over the rounds of each round's median step: ours and PyTorch's."""
    ours, peers = [], []
    for mine, torch in (r[net] for r in rounds):
        ours += [statistics.median(m["step_ms"][1:]) for m in mine if m["mode"] == mode and m["optimize"] == optimize]
        if torch:
            peers.append(statistics.median(torch[peer_mode]))
    return statistics.median(ours), statistics.median(peers) if peers else None


def median(reports, name, field):
    """Of one benchmark over the rounds; None if a program lacks it."""
    found = [b for r in reports for b in r["benchmarks"] if b["name"] == name]
    if not found:
        return None
    return statistics.median(1e9 / b["items_per_second"] if field == "per_item" else b[field] for b in found)


def text(value, digits=None):
    if value is None:
        return ""
    return f"{value:.{digits}f}" if digits is not None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(ours, peers, myconv):
    rows = []
    for label, name, field, unit, gate, goal, peer_name in ROWS:
        value = median(ours, name, field)
        if value is None:
            sys.exit(f"the benchmark {name} is missing")
        rows.append((label, value, unit, gate, goal, median(peers, peer_name, field) if peer_name else None))
    for label, net, mode, optimize, gate, goal, peer_mode in MYCONV_ROWS:
        value, peer = myconv_medians(myconv, net, mode, optimize, peer_mode)
        rows.append((label, value, MS, gate, goal, peer))
    lines = [("", "measured", "gate", "goal", "peer", "x")]
    for label, value, unit, gate, goal, peer in rows:
        missed = gate is not None and value > gate
        lines.append((label, text(value) + " " + unit, text(gate, 0 if gate and gate == int(gate) else 1) + (" !" if missed else ""),
                      text(goal, 0 if goal and goal == int(goal) else 1), text(peer), text(peer / value, 1) if peer else ""))
    widths = [max(len(l[i]) for l in lines) for i in range(len(lines[0]))]
    for l in lines:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(l, widths))).rstrip())
    print("! marks a gate that was missed. Times of a loaded machine say little; instruction counts do not move with it.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--min-time", type=float, default=0.2, help="seconds a benchmark runs in each round")
    parser.add_argument("--json", help="where every round's numbers go")
    args = parser.parse_args()
    folder = os.path.join(args.build, "tests", "bench")
    torch = os.path.join(folder, "torch_bench")
    ours, peers, myconv = [], [], []
    for i in range(args.rounds):
        print(f"round {i + 1} of {args.rounds}", file=sys.stderr, flush=True)
        ours.append(run(os.path.join(folder, "bench"), args.min_time))
        if os.path.exists(torch):
            peers.append(run(torch, args.min_time))
        myconv.append({net: run_myconv(args.build, net) for net in ("article", "full")})
        if args.json:
            with open(args.json, "w") as f:
                json.dump({"twofold": ours, "libtorch": peers, "myconv": myconv}, f, indent=1)
    table(ours, peers, myconv)


main()
