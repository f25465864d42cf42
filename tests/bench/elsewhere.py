#!/usr/bin/env python3
"""A loaded program's times: twofold's beside TorchScript's in LibTorch (C++) and ONNX Runtime's, on one net, one run.

usage: elsewhere.py ELSEWHERE [--torch ELSEWHERE_TORCH] [--onnxruntime PYTHON] [--rounds 7] [--calls 20] [--threads 2] [--hidden 1024]

ELSEWHERE is elsewhere.cc, ELSEWHERE_TORCH elsewhere_torch.cc (docs/benchmarks.md says how it is built), PYTHON one that
has onnxruntime and numpy; a peer that is not given is left out. Each round starts a process for each, in turn; what it
returns must be twofold's result within 1e-5 + 1e-5 |y|. Printed: medians over rounds in milliseconds, of later calls the
median of each process's.
"""
import argparse
import array
import os
import statistics
import subprocess
import sys
import tempfile

RUNTIME = """
import sys, time, numpy as np, onnxruntime as ort
folder, batch, calls, result, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
x = np.fromfile(f"{folder}/x{batch}", np.float32).reshape(batch, 3, 28, 28)
options = ort.SessionOptions()
options.intra_op_num_threads = threads
start = time.perf_counter()
session = ort.InferenceSession(f"{folder}/net.onnx", options, providers=["CPUExecutionProvider"])
times = [time.perf_counter() - start]
bound = session.io_binding()
bound.bind_cpu_input(session.get_inputs()[0].name, x)
bound.bind_output(session.get_outputs()[0].name)
for _ in range(calls + 1):
    start = time.perf_counter()
    session.run_with_iobinding(bound)
    times.append(time.perf_counter() - start)
print(*(1e3 * t for t in times))
bound.copy_outputs_to_cpu()[0].tofile(result)
"""


def floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def check(result, expected, who):
    given, wanted = floats(result), floats(expected)
    assert len(given) == len(wanted), f"{who} gave {len(given)} numbers, not {len(wanted)}"
    far = sum(not abs(a - b) <= 1e-5 * (1 + abs(b)) for a, b in zip(given, wanted))  # NaN is far, too
    assert not far, f"{far} of {len(wanted)} numbers of {who} differ"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("elsewhere")
    parser.add_argument("--torch")
    parser.add_argument("--onnxruntime")
    for name, value in (("rounds", 7), ("calls", 20), ("threads", 2), ("hidden", 1024)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--nets", default="article,full")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    peers = {"twofold": [args.elsewhere, "time"]}
    if args.torch:
        peers["LibTorch"] = [args.torch, "time"]
        peers["LibTorch, optimize_for_inference"] = [args.torch, "optimized"]
    if args.onnxruntime:
        peers["ONNX Runtime"] = [args.onnxruntime, "-c", RUNTIME]
    for who, given in (("LibTorch", args.torch), ("ONNX Runtime", args.onnxruntime)):
        if not given:
            print(f"{who} is left out: no --{who.lower().replace('libtorch', 'torch').replace(' ', '')} was given", file=sys.stderr)
    print("| net, batch | | loading | first call | later calls |\n|---|---|---|---|---|")
    for net in args.nets.split(","):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([args.elsewhere, "make", folder, net, str(args.hidden)], check=True)
            if args.torch:
                subprocess.run([args.torch, "make", folder, net, str(args.hidden)], check=True)
            for batch in (1, 128):
                seen = {who: [] for who in peers}
                for round_ in range(args.rounds):
                    for who, command in peers.items():
                        result = os.path.join(folder, "result")
                        words = [*command, folder, str(batch), str(args.calls), result, str(args.threads)]
                        out = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
                        loading, first, *later = map(float, out.split())
                        seen[who].append((loading, first, statistics.median(later)))
                        if round_ == 0:
                            check(result, os.path.join(folder, f"y{batch}"), who)
                for who, times in seen.items():
                    print(f"| {net}, {batch} | {who} |", " | ".join(f"{statistics.median(t):.3g}" for t in zip(*times)), "|", flush=True)


if __name__ == "__main__":
    sys.exit(main())
