#!/usr/bin/env python3
"""The tables of what gpu.py has measured, in Markdown.

usage: gpu_tables.py FILE...      FILE: what gpu.py -o wrote; the rounds of several files of one machine go together
"""
import json
import statistics
import sys

WHO = {"twofold eager": "eager", "twofold off": "off", "twofold optimised": "optimised", "torch eager": "PyTorch",
       "torch compile": "compiled", "torch captured": "captured", "torch compiled, captured": "compiled, captured",
       "jax jit": "JAX"}
SWITCHES = {"strict": "float32", "tf32": "TF32", "strict-any": "float32, nondeterministic", "tf32-any": "TF32, nondeterministic"}
# Milliseconds of a step whose loss is not read, on an H200: what counts as done, and where the library is going.
TARGETS = {("article", "strict"): (0.65, 0.45), ("article", "tf32"): (0.52, 0.35), ("full", "tf32"): (1.1, 0.9)}
ADD_TARGETS = (1.25, 1.1)  # in launches
# Ops that multiply matrices, by how their names begin: no step can take less than they do.
PRODUCTS = ("Conv2D", "MatMul")


def row(*cells):
    print("| " + " | ".join(cells) + " |")


def head(*cells):
    row(*cells)
    row(*["---"] * len(cells))


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}f}"


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def print_add(results):
    ns = {who: median(statistics.median(r["ns"]) for r in results if r["who"] == who and r.get("ns"))
          for who in ("twofold", "launch", "torch", "jax")}
    if ns["twofold"] is None:
        return
    gate, goal = ADD_TARGETS
    head("a + b, scalars, eager", "ns", "bare launches", "gate", "goal")
    for who, name in (("launch", "a bare kernel launch"), ("twofold", "twofold"), ("torch", "PyTorch"), ("jax", "JAX")):
        if ns[who] is not None:
            row(name, number(ns[who], 0), number(ns[who] / ns["launch"], 2), *((f"{gate}", f"{goal}") if who == "twofold" else ("", "")))
    print()


def key_of(result):
    return result["net"], result["switches"], result["upload"]


def columns(results):
    return [who for who in WHO if any(r["who"] == who and "error" not in r for r in results)]


def of(results, key, who):
    return [r for r in results if key_of(r) == key and r["who"] == who and "error" not in r]


def name_of(key):
    net, switches, upload = key
    return f"{net}, {SWITCHES[switches]}" + (", X and y moved" if upload else "")


def print_steps(results):
    keys = list(dict.fromkeys(key_of(r) for r in results))
    shown = columns(results)
    print("Milliseconds of a training step; what the kernels of `off` take by the GPU's clock, and the matrix products and\n"
          "convolutions among them:\n")
    head("MyConv", "loss", *(WHO[w] for w in shown), "gate", "goal", "kernels", "products")
    for key in keys:
        gate, goal = TARGETS.get(key[:2], (None, None)) if not key[2] else (None, None)
        off = [r["op_ms"] for r in of(results, key, "twofold off")]
        kernels = number(median(sum(ops.values()) for ops in off))
        products = number(median(sum(ms for op, ms in ops.items() if op.startswith(PRODUCTS)) for ops in off))
        row(name_of(key), "read", *(number(median(statistics.median(r["step_ms"]) for r in of(results, key, w))) for w in shown),
            "", "", kernels, products)
        row("", "not read", *(number(median(r["unread_ms"] for r in of(results, key, w))) for w in shown),
            number(gate, 2), number(goal, 2), kernels, products)
    print("\nThe first step, in milliseconds, with all that is built and compiled for it, and the peak of the GPU's memory, in MiB:\n")
    head("MyConv", "", *(WHO[w] for w in shown))
    for key in (k for k in keys if not k[2]):
        firsts = [next((r["first_ms"] for r in of(results, key, w) if r.get("first_ms")), None) for w in shown]
        peaks = [max((r["peak_bytes"] for r in of(results, key, w) if r.get("peak_bytes")), default=None) for w in shown]
        row(name_of(key), "first", *(number(f, 0) for f in firsts))
        row("", "peak", *(number(p and p / 2**20, 0) for p in peaks))
    print()


def print_notes(results):
    notes = {(name_of(key_of(r)), r["who"], note) for r in results for note in r.get("notes", [])}
    errors = {(name_of(key_of(r)), r["who"], r["error"]) for r in results if "error" in r}
    for where, who, text in sorted(notes | errors):
        print(f"{where}: {who}: {text}")


def print_tables(*documents):
    first = documents[0]
    print(f"\n{', '.join(first['machine'])}; commit {first['commit']}; {'; '.join(first['peers']) or 'no peers'}\n")
    results = [r for d in documents for results in d["rounds"] for r in results]
    print_add([r for r in results if r["work"] == "add"])
    if steps := [r for r in results if r["work"] == "step"]:
        print_steps(steps)
        print_notes(steps)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    documents = []
    for path in sys.argv[1:]:
        with open(path) as f:
            documents.append(json.load(f))
    print_tables(*documents)


if __name__ == "__main__":
    main()
