#!/usr/bin/env python3
"""The command `twofold`: each subcommand, its errors and exit codes, its completion scripts and its manual page.

usage: command_test.py TWOFOLD MODELS SOURCE_ROOT      MODELS: the program command_models

Debian's python3 takes the place of one that has no NumPy.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    debian = "/usr/bin/python3"
    if sys.executable != debian and os.path.exists(debian) and not subprocess.call(
            [debian, "-c", "import numpy"], stderr=subprocess.DEVNULL):
        os.execv(debian, [debian, *sys.argv])
    print("skipped: command: no NumPy")
    sys.exit()

twofold, models, root = (os.path.abspath(path) for path in sys.argv[1:])
problems, checks = [], 0


def expect(holds, problem):
    global checks
    checks += 1
    if not holds:
        problems.append(problem)


def call(*words, code=0, says=(), out=()):
    """Runs it; holds its exit code and what it says on standard error and output to what is expected."""
    done = subprocess.run([twofold, *words], capture_output=True, text=True, timeout=120)
    line = "twofold " + " ".join(words)
    expect(done.returncode == code, f"{line}: exit code {done.returncode}, not {code}: {done.stderr}{done.stdout}")
    for text in [says] if isinstance(says, str) else says:
        expect(text in done.stderr, f"{line}: standard error lacks '{text}': {done.stderr}")
    for text in [out] if isinstance(out, str) else out:
        expect(text in done.stdout, f"{line}: standard output lacks '{text}': {done.stdout}")
    if code:
        expect(done.stderr.startswith("twofold") and not done.stdout, f"{line}: {done.stderr}{done.stdout}")
        expect(not re.search(r"tools/|terminate|\.cc:\d+ *\(|Try:", done.stderr), f"{line} shows its inside: {done.stderr}")
    return done.stdout


def read_safetensors(path):
    dtypes = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1", "BOOL": "?"}
    with open(path, "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[8 + size:][slice(*t["data_offsets"])], dtypes[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items()}


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_run():
    call("run", "net.safetensors", "--feed", "x=x.npy", "-o", "y.npy")
    y = np.load("y.npy")
    expect(y.shape == (6, 2) and y.dtype == np.float32, f"y is {y.dtype} {y.shape}")
    expect(np.isfinite(y).all() and y.any(), f"y is {y}")
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1, -2.5]", "-f", "n=2", "-o", "out.npz")
    with np.load("out.npz") as out:  # w is 3: y = x 3^2, of sum -13.5, so z = y - 3
        expect(sorted(out.files) == ["constant", "positive", "z"], f"out.npz has {out.files}")
        expect(same(out["z"], np.array([6, -25.5], "f4")), f"z is {out['z']}")
        expect(same(out["positive"], np.array([True, False])), f"positive is {out['positive']}")
        expect(same(out["constant"], np.array([1, 2, 3], "i4")), f"constant is {out['constant']}")
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1, -2.5]", "-f", "n=2", "--fetch", "positive,z", "-o",
         "out.safetensors", "--no-optimize")
    out = read_safetensors("out.safetensors")
    expect(sorted(out) == ["positive", "z"] and same(out["z"], np.array([6, -25.5], "f4")), f"out.safetensors has {out}")
    text = call("run", "parts.safetensors", "-s", "twice:1", "--feed", "x=[[1, 2], [3, 4]]")
    expect(text == "y = float32 (2, 2)\n[[2. 4.]\n [6. 8.]]\n", f"twice prints {text}")
    for number, extents in (("0.5", ()), ("nan", ()), ("-inf", ())):
        call("run", "parts.safetensors", "-s", "twice:0", "-f", f"x={number}", "-o", "y.npy")
        expect(np.array_equal(np.load("y.npy"), np.float32(number) * 2, equal_nan=True), f"twice of {number}: {np.load('y.npy')}")
    # From NumPy and back, whole and as entries of archives.
    given = np.array([[1.5, -0.0], [np.inf, 1e38]], "f4")
    np.save("g.npy", given)
    np.savez("g.npz", x=given, other=given[:1])
    np.savez_compressed("one.npz", some=given)
    for feed in ("g.npy", "g.npz", "g.npz:x", "one.npz", "one.npz:some"):
        call("run", "parts.safetensors", "-s", "twice:1", "-f", f"x={feed}", "-o", "y.npz")
        with np.load("y.npz") as out:
            expect(same(out["y"], given + given), f"twice of {feed} is {out['y']}")
    np.save("f.npy", np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)))
    call("run", "parts.safetensors", "-s", "twice:1", "-f", "x=f.npy", "-o", "y.npy")
    expect(same(np.load("y.npy"), 2 * np.arange(6, dtype="f4").reshape(2, 3)), "an array in Fortran's order")
    call("run", "parts.safetensors", "-s", "twice:1", "-f", "x=out.safetensors:z", code=1, says=["(?, ?)", "(2,)"])


def test_training():
    """Training goes on in the command as in the process that saved, to the bit: variables, moments, random state, results."""
    feeds = ["-f", "x0=data.npz:x", "-f", "x1=data.npz:t"]
    call("run", "net.safetensors", "-s", "fit", *feeds, "--repeat", "5", "--save", "on.safetensors", "-o", "loss.npy")
    after = read_safetensors("after.safetensors")
    expect(same(np.load("loss.npy"), after["loss"]), f"the fifth loss is {np.load('loss.npy')}, not {after['loss']}")
    expected, found = read_safetensors("after_net.safetensors"), read_safetensors("on.safetensors")
    names = [name for name in expected if not name.startswith("twofold.")]
    expect(len(names) >= 12, f"only {names} were compared")
    for name in names:
        expect(name in found and same(found[name], expected[name]), f"after five steps {name} is {found.get(name)}, not {expected[name]}")
    call("run", "on.safetensors", "-s", "predict", "-f", "x=x.npy", "-o", "y.npy")
    expect(same(np.load("y.npy"), after["y"]), "the trained net predicts something else")
    # One at a time from file to file, optimised or not, comes to the same.
    path = "net.safetensors"
    for i in range(5):
        call("run", path, "-s", "fit", *feeds, *(["--no-optimize"] if i % 2 else []), "--save", f"step{i}.safetensors")
        path = f"step{i}.safetensors"
    with open(path, "rb") as a, open("on.safetensors", "rb") as b:
        expect(a.read() == b.read(), "five processes of one step end elsewhere than one of five")
    text = call("run", "parts.safetensors", "-s", "counted", "-f", "by=5", "--repeat", "3", "--save", "counted.safetensors")
    expect(text == "count = int64 ()\n17\n", f"2 and three times 5 is {text}")  # saved when it was 2
    call("run", "counted.safetensors", "-s", "counted", "-f", "by=-17", out="\n0\n")


def test_inspect():
    call("inspect", "net.safetensors", out=["predict(x: float32 (?, 4)) -> (y: float32 (?, 2))", "fit(", "format 1",
                                            "twofold ", "deterministic", "trainable", "state", "bytes"])
    about = json.loads(call("inspect", "net.safetensors", "--json"))
    expect(about["signatures"][0] == {"name": "predict", "arguments": [{"name": "x", "dtype": "float32", "shape": [None, 4]}],
                                      "results": [{"name": "y", "dtype": "float32", "shape": [None, 2]}]}, f"{about['signatures']}")
    tensors = read_safetensors("net.safetensors")
    variables = {v["name"]: v for v in about["variables"]}
    expect(set(variables) == {name for name in tensors if not name.startswith("twofold.")}, f"variables are {set(variables)}")
    for name, v in variables.items():
        expect(v["bytes"] == tensors[name].nbytes and v["shape"] == list(tensors[name].shape), f"{name} is {v}")
    expect(sorted(v["shape"] for v in variables.values() if v["trainable"]) == [[2], [2, 8], [8], [8, 4]], f"{variables}")
    expect(about["bytes"] == os.path.getsize("net.safetensors") and about["format"] == 1, f"{about}")
    text = call("inspect", "parts.safetensors", "--graph", "text", "--signature", "branches")
    for part in ("branches(x: float32 (?), n: int32 ()) {", " = While(", "    test {", "    body {", " = If(", "    then {", "    else {",
                 "returns z = ", "models.cc:"):
        expect(part in text.replace("(?,)", "(?)"), f"the text of branches lacks '{part}':\n{text}")
    expect(text.count("{\n") == text.count("}\n"), text)
    dot = call("inspect", "parts.safetensors", "--graph", "dot", "-s", "branches")
    check_dot(dot, clusters=4)


def check_dot(dot, clusters):
    expect(dot.startswith('digraph "branches" {') and dot.count("subgraph cluster_") == clusters, dot)
    expect(dot.count("{") == dot.count("}"), "DOT's braces")
    made = set(re.findall(r"^ *(\w+) \[label", dot, re.M))
    edges = re.findall(r"^ *(\w+) -> (\w+)", dot, re.M)
    expect(len(made) > 10 and len(edges) > 10, dot)
    expect({end for edge in edges for end in edge} <= made, f"edges lead to {({e for edge in edges for e in edge}) - made}")
    if shutil.which("dot"):
        drawn = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True)
        expect(drawn.returncode == 0 and "<svg" in drawn.stdout, drawn.stderr)


def test_convert():
    call("convert", "net.safetensors", "-s", "predict", "-o", "frozen.safetensors")
    about = json.loads(call("inspect", "frozen.safetensors", "--json"))
    expect(about["variables"] == [] and [s["name"] for s in about["signatures"]] == ["predict"], f"frozen it is {about}")
    expect(about["signatures"][0]["arguments"][0]["shape"] == [None, 4], f"{about}")
    # Not the moments, nor the step that trains.
    expect(os.path.getsize("frozen.safetensors") < 0.6 * os.path.getsize("net.safetensors"), "frozen it is as large")
    for model in ("net", "frozen"):
        call("run", f"{model}.safetensors", "-s", "predict", "-f", "x=x.npy", "-o", f"{model}.npy")
    expect(same(np.load("net.npy"), np.load("frozen.npy")), "frozen it predicts something else")
    call("convert", "parts.safetensors", "-s", "branches,twice", "-o", "frozen.safetensors")
    call("run", "frozen.safetensors", "-s", "branches", "-f", "x=[1, -2.5]", "-f", "n=2", out="[  6.  -25.5]")
    call("convert", "parts.safetensors", "-s", "counted", "-o", "no.safetensors", code=1, says=["'count'", "AssignAdd", "models.cc:"])
    expect(not os.path.exists("no.safetensors"), "what failed wrote a file")
    call("convert", "parts.safetensors", "-s", "branches", "-o", "graph.dot")
    with open("graph.dot") as file:
        check_dot(file.read(), clusters=4)
    call("convert", "parts.safetensors", "-s", "branches", "-o", "branches.onnx")
    with open("branches.onnx", "rb") as file:
        model = file.read()
    expect(all(word in model for word in (b"Loop", b"If", b"positive", b"twofold")), f"the ONNX model is {model[:300]}")
    call("convert", "parts.safetensors", "-s", "counted", "-o", "no.onnx", code=1, says=["Unimplemented", "AssignAdd"])
    call("convert", "net.safetensors", "-o", "net.txt", code=2, says=".onnx, .dot or .safetensors")
    call("convert", "net.safetensors", code=2, says="--output is required")


def test_bench():
    words = ["bench", "net.safetensors", "--batch", "3", "--calls", "5"]
    call(*words, out=["optimisation off", "deferred, optimised", "first call, ms", "its quartiles", "fed x (3, 4)", "no eager column"])
    text = call(*words, "--ledger", "-s", "fit", "--feed", "x0=[[1, 2, 3, 4]]", "--feed", "x1=[[1, 2]]", out=["kernel", "MatMul", "wall"])
    first, later = (re.findall(r"[\d.]+", re.search(rf"^{row} +(.*)$", text, re.M)[1]) for row in ("first call, ms", "a call after that, us"))
    expect(len(first) == len(later) == 2 and all(float(t) > 0 for t in first + later), text)
    call("bench", "net.safetensors", code=2, says=["'x'", "(?, 4)", "--batch N"])


def test_errors():
    call(code=2, says="subcommand")
    call("walk", code=2)
    call("run", code=2, says="MODEL is required")
    call("run", "net.safetensors", "--speed", code=2, says="--speed")
    call("run", "net.safetensors", "-s", "predikt", code=2, says=["no signature 'predikt'", "predict(x: float32 (?, 4))", "fit("])
    call("run", "parts.safetensors", code=2, says=["--signature", "branches(", "twice("])
    call("run", "parts.safetensors", "-s", "twice", code=2, says=["2 signatures", "twice:0"])
    call("run", "parts.safetensors", "-s", "twice:2", code=2, says="twice:2")
    call("run", "net.safetensors", code=2, says=["lacks", "--feed x=", "(?, 4)"])
    call("run", "net.safetensors", "-f", "z=1", code=2, says=["no argument 'z'", "takes x"])
    call("run", "net.safetensors", "-f", "x", code=2, says="NAME=VALUE")
    call("run", "net.safetensors", "-f", "x=[[1, 2, 3, 4]]", "-f", "x=x.npy", code=2, says="twice")
    call("run", "net.safetensors", "-f", "x=x.npy", "--fetch", "z", code=2, says=["no result 'z'", "gives y"])
    call("run", "net.safetensors", "-f", "x=[1, [2]]", code=2, says="rectangular")
    call("run", "net.safetensors", "-f", "x=[[1], 2]", code=2, says="rectangular")
    call("run", "net.safetensors", "-f", "x=hello", code=2, says=["'hello'", ".npy"])
    call("run", "net.safetensors", "-f", "x=data.npz:u", code=2, says=["no 'u'", "x, t"])
    call("run", "net.safetensors", "-f", "x=[[1, 2, 3]]", code=1, says=["'x'", "(?, 4)", "(1, 3)"])
    np.save("double.npy", np.zeros((2, 4)))
    call("run", "net.safetensors", "-f", "x=double.npy", code=1, says=["takes float32", "given float64", "astype('float32')"])
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1]", "-f", "n=1.5", code=2, says=["'1.5'", "int32"])
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1]", "-f", "n=3000000000", code=2, says="int32")
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1e39]", "-f", "n=1", code=2, says="float32")
    call("run", "none.safetensors", code=1, says=["NotFound", "none.safetensors"])
    call("run", "net.safetensors", "-f", "x=none.npy", code=1, says="none.npy")
    call("run", "after.safetensors", code=1, says="not a saved program")
    call("run", "net.safetensors", "-f", "x=x.npy", "-o", "y.txt", code=2, says="y.txt")
    call("run", "parts.safetensors", "-s", "branches", "-f", "x=[1]", "-f", "n=1", "-o", "z.npy", code=2, says=["one array", "3 results"])
    call("run", "net.safetensors", "-f", "x=x.npy", "-o", "no/folder.npy", code=1, says="no/folder.npy")
    call("run", "net.safetensors", "-f", "x=x.npy", "--repeat", "0", code=2, says="--repeat")
    call("run", "net.safetensors", "-f", "x=x.npy", "--device", "tpu", code=2, says="tpu")
    call("run", "net.safetensors", "-f", "x=x.npy", "--device", "/gpu:99", code=1, says="/gpu:99")
    call("run", "parts.safetensors", "-s", "check", "-f", "x=-1", code=1, says=["the logarithm of x", "models.cc:"])
    call("inspect", "net.safetensors", "-s", "predict", code=2, says="--graph")
    call("inspect", "net.safetensors", "--graph", "svg", code=2, says="svg")
    with open("net.safetensors", "rb") as file:
        data = bytearray(file.read())
    for name, bad in (("short", data[:-5]), ("empty", b""), ("flipped", data[:-300] + bytes([data[-300] ^ 255]) + data[-299:])):
        with open(f"{name}.safetensors", "wb") as file:
            file.write(bad)
        if name != "flipped":
            call("inspect", f"{name}.safetensors", code=1, says=["DataLoss", name])
        else:  # an element of a variable may be any
            done = subprocess.run([twofold, "inspect", "flipped.safetensors"], capture_output=True, text=True)
            expect(done.returncode in (0, 1), f"a flipped byte: {done}")


def test_help():
    for words in ([], ["run"], ["inspect"], ["bench"], ["convert"], ["devices"], ["version"]):
        call(*words, "--help", out=["Usage:", "Example"])
    call("--version", out="twofold ")
    call("version", out=["twofold 0.", "built by", "CPU kernels for", "GPUs:"])
    call("devices", out=["/cpu:0", "GPUs:"])
    completion = os.path.join(root, "tools/completion")
    if shutil.which("zsh"):
        done = subprocess.run(["zsh", "-n", os.path.join(completion, "_twofold")], capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stderr, done.stderr)
    for path in ("tools/completion/twofold.bash", "tools/completion/_twofold", "tools/twofold.1"):
        with open(os.path.join(root, path)) as file:
            text = file.read().replace("\\-", "-")
        for command in ("run", "inspect", "bench", "convert", "devices", "version"):
            expect(re.search(rf"\b{command}\b", text), f"{path} lacks {command}")
            options = set(re.findall(r"--[a-z][a-z-]+", call(command, "--help"))) - {"--help"}
            for option in options:
                expect(option in text, f"{path} lacks {option} of {command}")
    bash = os.path.join(completion, "twofold.bash")
    expect(subprocess.run(["bash", "-n", bash]).returncode == 0, "bash cannot parse twofold.bash")
    completed = lambda *words: subprocess.run(
        ["bash", "-c", 'compopt() { :; }; . "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _twofold; echo "${COMPREPLY[@]}"', bash, *words],
        capture_output=True, text=True, env=os.environ | {"PATH": os.path.dirname(twofold) + ":" + os.environ["PATH"]}).stdout.split()
    expect(completed("twofold", "in") == ["inspect"], f"in: {completed('twofold', 'in')}")
    expect("--repeat" in completed("twofold", "run", "--"), "run --")
    for option, names in (("--signature", ["fit", "predict"]), ("--feed", ["x=", "x0=", "x1="]), ("--fetch", ["y"])):
        found = completed("twofold", "run", "net.safetensors", option, "")
        expect(found == names, f"{option} is completed by {found}")
    if shutil.which("man"):
        done = subprocess.run(["man", "-l", "--warnings", os.path.join(root, "tools/twofold.1")], capture_output=True, text=True,
                              env=os.environ | {"MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        expect(done.returncode == 0 and not done.stderr and "EXIT STATUS" in done.stdout, f"man: {done.stderr}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    subprocess.run([models, folder], check=True)
    tests = [test for name, test in list(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
    os.chdir(root)
if problems:
    print("\n".join(problems), f"test cases: {checks} | {checks - len(problems)} passed | {len(problems)} failed", sep="\n")
else:
    print(f"All tests passed ({checks} checks in {len(tests)} test cases)")
sys.exit(1 if problems else 0)
