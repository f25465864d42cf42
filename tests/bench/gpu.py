#!/usr/bin/env python3
"""Measures twofold on a GPU beside PyTorch and JAX where they are installed, and prints tables for docs/benchmarks.md.

usage: gpu.py BUILD [OPTION...]

In each round every contestant does each piece of work once, ours first. A figure is the median over the rounds of each
round's median (of steps whose loss is read) or mean (of steps whose loss is not). Warm-up is in neither. PyTorch and JAX
are started once, with the same switches, and stay warm over the rounds.
"""
import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

from gpu_tables import print_tables

HERE = os.path.dirname(os.path.abspath(__file__))
# Name: math, deterministic.
SWITCHES = {"strict": ("strict", True), "tf32": ("tf32", True), "strict-any": ("strict", False), "tf32-any": ("tf32", False)}
TORCH_MODES = ("eager", "compile", "captured", "compiled, captured")
RECORDED_KEYS = ("mode", "optimize", "losses", "first_ms", "median_ms", "wall_s", "peak_bytes")


def note(text):
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", file=sys.stderr, flush=True)


class Peer:
    """A process of a peer that answers requests; `error` says why it can answer no more."""

    def __init__(self, script, python, environment):
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([python, os.path.join(HERE, script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.stderr, env=os.environ | environment)
        self.error = None
        answer = self.ask({"work": "version"})
        self.version = answer.get("version")
        if "error" in answer:
            self.stop(answer["error"])

    def ask(self, request, seconds=300):
        if self.error:
            return {"error": self.error}
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                self.stop(f"no answer to {request} within {seconds} s")
            elif line := self.process.stdout.readline():
                return json.loads(line)
            else:
                self.stop()
        except BrokenPipeError:
            self.stop()
        return {"error": self.error}

    def stop(self, why=""):
        self.process.kill()
        self.process.wait()
        self.stderr.seek(0)
        lines = self.stderr.read().strip().splitlines()
        self.error = why or (lines[-1] if lines else "it has ended")


class Contest:
    def __init__(self, arguments):
        self.arguments = arguments
        self.peers = {}
        self.rounds = []

    def peer(self, name, deterministic):
        key = name, deterministic
        if key not in self.peers:
            environment = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if deterministic else {}
            if name == "jax":
                environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
                if deterministic:
                    environment["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
            self.peers[key] = Peer(f"{name}_gpu.py", self.arguments.python, environment)
            note(f"{self.peers[key].version or name + ': ' + str(self.peers[key].error)}")
        return self.peers[key]

    def is_late(self):
        return time.monotonic() - STARTED > self.arguments.seconds

    def run(self):
        for i in range(self.arguments.rounds):
            results = []
            self.rounds.append(results)
            for work in works(self.arguments):
                if self.is_late():
                    note("out of time: what is there is shown")
                    return
                begin = time.monotonic()
                results += self.add() if work["work"] == "add" else self.steps(work, first=i == 0)
                self.save()
                note(f"round {i + 1} of {self.arguments.rounds}: {label(work)} took {time.monotonic() - begin:.1f} s")

    def add(self):
        program = os.path.join(self.arguments.build, "tests", "bench", "gpu_add")
        ours = json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout)
        if ours is None:
            sys.exit("There is no GPU here, or it cannot be used.")
        results = [{"work": "add", "who": "twofold", "ns": ours["add_ns"]}, {"work": "add", "who": "launch", "ns": ours["launch_ns"]}]
        for name in self.arguments.peers:
            answer = self.peer(name, True).ask({"work": "add"})
            results.append({"work": "add", "who": name, "ns": answer.get("add_ns")})
        return results

    def steps(self, work, first):
        math, deterministic = SWITCHES[work["switches"]]
        try:
            results = [dict(work, **result) for result in self.our_steps(work, math, deterministic)]
        except RuntimeError as e:
            note(str(e))
            results = [dict(work, who="twofold", error=str(e))]
        request = {"work": "step", "net": work["net"], "math": math, "deterministic": deterministic, "upload": work["upload"],
                   "steps": self.arguments.steps, "warm_up": self.arguments.warm_up}
        for name in self.arguments.peers:
            peer = self.peer(name, deterministic)
            for mode in TORCH_MODES if name == "torch" else ("jit",):
                if peer.error or (self.is_late() and not first):
                    break
                results.append(dict(work, who=f"{name} {mode}", **peer.ask(request | {"mode": mode})))
        return results

    def our_steps(self, work, math, deterministic):
        runs = myconv(self.arguments.build, "--net", work["net"], "--math", math, "--read-loss", "both", "--steps",
                      str(1 + self.arguments.warm_up + self.arguments.steps), "--warm-up", str(self.arguments.warm_up),
                      *([] if work["upload"] else ["--resident"]), *([] if deterministic else ["--nondeterministic"]))["runs"]
        for run in runs:
            how = "eager" if run["mode"] == "eager" else "optimised" if run["optimize"] else "off"
            ops = {name: op["seconds"] * 1e3 / run["ledger_steps"] for name, op in run["ledger"].get("ops", {}).items()}
            yield {"who": f"twofold {how}", "step_ms": run["step_ms"], "unread_ms": run["unread_ms"],
                   "first_ms": run["first_ms"], "peak_bytes": run["peak_bytes"], "loss": run["losses"][-1], "op_ms": ops,
                   "notes": run["ledger"].get("notes", [])}

    def save(self):
        if self.arguments.output:
            with open(self.arguments.output, "w") as f:
                json.dump(self.document(), f, indent=1)

    def document(self):
        versions = sorted({p.version or f"no {name}: {p.error}" for (name, _), p in self.peers.items()})
        return {"machine": machine(), "commit": self.arguments.commit, "peers": versions,
                "options": {k: getattr(self.arguments, k) for k in ("only", "switches", "rounds", "steps", "warm_up")},
                "rounds": self.rounds}


def myconv(build, *options):
    """What the demo writes of a run on the GPU."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        done = subprocess.run([os.path.join(build, "demos", "myconv"), "--device", "gpu", *options, "--json", file.name],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"myconv {' '.join(options)} failed: {done.stdout[-500:]}{done.stderr[-1000:]}")
        return json.load(file)


def works(arguments):
    for part in arguments.only:
        if part == "add":
            yield {"work": "add"}
            continue
        for switches in arguments.switches:
            for upload in (False, True) if arguments.upload else (False,):
                yield {"work": "step", "net": part, "switches": switches, "upload": upload}


def label(work):
    return "add" if work["work"] == "add" else f"{work['net']}, {work['switches']}{', upload' if work['upload'] else ''}"


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return ""


def machine():
    return output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()[:1] or ["an unknown GPU"]


def record(arguments):
    """Writes what `myconv --device both` shows where there is no GPU: its runs with default options, of both nets."""
    entries = []
    for net in ("article", "full"):
        document = myconv(arguments.build, "--net", net)
        document["runs"] = [{key: run[key] for key in RECORDED_KEYS} for run in document["runs"]]
        entries.append({"machine": machine()[0], "commit": arguments.commit, **document})
    with open(arguments.record, "w") as f:
        json.dump({"recorded": entries}, f, indent=1)
        f.write("\n")
    note(f"{arguments.record} holds new figures")


def main():
    def words(allowed):
        def parse(text):
            chosen = [w for w in text.split(",") if w]
            if unknown := set(chosen) - set(allowed):
                raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(allowed)}")
            return chosen
        return parse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--only", type=words(("add", "article", "full")), default="add,article,full")
    parser.add_argument("--switches", type=words(SWITCHES), default="strict,tf32",
                        help="of " + ", ".join(SWITCHES) + "; -any: nondeterministic algorithms too")
    parser.add_argument("--peers", type=words(("torch", "jax")), default="torch,jax")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="timed in each round")
    parser.add_argument("--warm-up", type=int, default=20, help="steps before them, in each round")
    parser.add_argument("--no-upload", dest="upload", action="store_false", help="leave out X and y moved at each step")
    parser.add_argument("--seconds", type=float, default=450, help="begin nothing new after that")
    parser.add_argument("--python", default=sys.executable, help="that has the peers")
    parser.add_argument("--commit", default=output_of("git", "rev-parse", "--short", "HEAD") or "unknown")
    parser.add_argument("-o", "--output", help="where every round's numbers go, as JSON")
    parser.add_argument("--record", metavar="FILE", help="measure only what demos/myconv/recorded_gpu.json holds, and write it")
    arguments = parser.parse_args()
    if arguments.record:
        return record(arguments)
    contest = Contest(arguments)
    try:
        contest.run()
    finally:
        for peer in contest.peers.values():
            peer.stop()
    document = contest.document()
    print_tables(document)
    sys.exit(any(r.get("who") == "twofold" and "error" in r for results in document["rounds"] for r in results))


if __name__ == "__main__":
    STARTED = time.monotonic()
    main()
