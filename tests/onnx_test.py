#!/usr/bin/env python3
"""The models that tf::save_onnx writes are right: ONNX's checker and strict shape inference take them, and ONNX Runtime's results are
within 1e-5 of twofold's (of the largest number of a result, where that is above 1).

usage: onnx_test.py ONNX_TEST BUILD_ROOT DOCUMENT
  ONNX_TEST is the program whose case [onnx_models] writes the models; DOCUMENT holds the table of rules

There is a model for each record of an op (tests/ops/record.h) in each of its dtypes, with and without known extents, and for nets and
control flow. Each rule of the table must be run so in each dtype that it claims. A dtype for which ONNX Runtime has no kernel is
computed by ONNX's reference implementation; ONLY_REFERENCE says where.

Packages come from PyPI, into a virtual environment in the build folder, once.
"""
import collections
import os
import subprocess
import sys
import tempfile
import time

PACKAGES = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.32.0", "protobuf==7.36.2"]

program, build, document = (os.path.abspath(p) for p in sys.argv[1:])
environment = os.path.join(build, "onnx_environment")
own = os.path.join(environment, "bin", "python")
if os.path.abspath(sys.executable) != own:
    ready = os.path.join(environment, "ready")
    if not os.path.exists(ready):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if subprocess.call([sys.executable, "-m", "venv", environment], **quiet) or subprocess.call(
                [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], **quiet):
            print("skipped: onnx: no ONNX")
            sys.exit()
        open(ready, "w").close()
    os.execv(own, [own, *sys.argv])

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnx.reference  # noqa: E402
import onnxruntime  # noqa: E402

BOUND = 1e-5
# (op, dtype) for which ONNX Runtime has no kernel.
ONLY_REFERENCE = {(op, "float64") for op in ("AvgPool2D", "Conv2D", "Conv2DBackpropInput", "Erf", "Gelu")}
# Models that cannot be, though the op has a rule: parts of reasons.
REFUSED = {"Conv2DBackpropInput": ("gradient", "the kernel's extents"), "ScatterAdd": ("first axis only",), "Squeeze": ("rank",)}
# Occur in graphs around functions, which one model has.
AROUND = {"Placeholder", "Variable", "NoOp"}

problems = []
start = time.time()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3


def rows(name):
    with open(os.path.join(folder, name)) as file:
        return [line.rstrip("\n").split("\t") for line in file]


def check_model(model):
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    # An extent is a number or has a name.
    if any(not d.WhichOneof("value") for v in [*model.graph.input, *model.graph.output] for d in v.type.tensor_type.shape.dim):
        raise ValueError("an input or output has an extent without a number or a name")
    if [(o.domain, o.version) for o in model.opset_import] != [("", 17)] or model.ir_version != 8:
        raise ValueError(f"opsets {model.opset_import}, IR version {model.ir_version}")


def difference(name, got, wanted):
    got = np.asarray(got)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return f"{name} is {got.dtype}{got.shape}, not {wanted.dtype}{wanted.shape}"
    if wanted.dtype.kind != "f":
        return "" if np.array_equal(got, wanted) else f"{name} is {got}, not {wanted}"
    finite = np.abs(wanted[np.isfinite(wanted)])
    bound = BOUND * max(1.0, finite.max(initial=0))
    if np.allclose(got, wanted, rtol=0, atol=bound, equal_nan=True):
        return ""
    return f"{name} is off by {np.nanmax(np.abs(got - wanted))}: {got.ravel()[:6]}, not {wanted.ravel()[:6]}"


def results(model, path, calls, op, dtype):
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        only_reference.add((op, dtype))
        session = onnx.reference.ReferenceEvaluator(model)
    return [session.run(None, call) for call in calls]


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:  # files are synced
    subprocess.run([program, "[onnx_models]"], env=os.environ | {"TWOFOLD_TEST_ONNX": folder}, check=True, stdout=subprocess.DEVNULL)
    written = time.time()
    arrays = collections.defaultdict(lambda: collections.defaultdict(lambda: {"in": {}, "out": {}}))
    with np.load(os.path.join(folder, "arrays.npz")) as file:
        for key in file.files:
            number, call, what, name = key.split("/")
            arrays[number][int(call)][what][name] = file[key]
    covered, only_reference, models = set(), set(), rows("models.txt")
    for number, ops, dtype, label in models:
        path = os.path.join(folder, number + ".onnx")
        calls = [arrays[number][k] for k in sorted(arrays[number])]
        try:
            model = onnx.load(path)
            check_model(model)
            inputs, outputs = [v.name for v in model.graph.input], [v.name for v in model.graph.output]
            if inputs != list(calls[0]["in"]) or outputs != list(calls[0]["out"]):
                raise ValueError(f"its inputs are {inputs}, its outputs {outputs}")
            all_results = results(model, path, [c["in"] for c in calls], ops, dtype)
        except Exception as e:  # whatever a model that is wrong does to them
            problems.append(f"{label}: {type(e).__name__}: {str(e)[:600]}")
            continue
        wrong = [d for call, got in zip(calls, all_results)
                 for name, value in zip(outputs, got) if (d := difference(name, value, call["out"][name]))]
        problems += [f"{label}: {w}" for w in wrong[:2]]
        if not wrong:
            covered |= {(op, dtype) for op in ops.split(",")}
    rules, refused = rows("rules.txt"), rows("refused.txt")

kinds = {op: kind for op, _, _, kind, _ in rules}
for op, onnx_ops, dtypes, kind, why in rules:
    for dtype in dtypes.split():
        if (op, dtype) not in covered and op not in AROUND:
            problems.append(f"no model runs {op} in {dtype}, which its rule claims")
for op, dtype, label, why in refused:
    if kinds[op] == "rule" and not any(part in why for part in REFUSED.get(op, ())):
        problems.append(f"{label}: {why}")
for op, dtype in sorted(only_reference ^ ONLY_REFERENCE):
    problems.append(f"({op!r}, {dtype!r}) is run by {'the reference' if (op, dtype) in only_reference else 'ONNX Runtime'}")

short = {"float32 float64 int32 int64 uint8 bool ": "all", "float32 float64 int32 int64 uint8 ": "numbers", "float32 float64 ": "floating"}
table = [f"| `{op}` | {onnx_ops} | {short.get(dtypes, dtypes.strip().replace(' ', ', '))} |" for op, onnx_ops, dtypes, kind, _ in rules if kind != "none"]
table += [""] + [f"| `{op}` | {why} |" for op, _, _, kind, why in rules if kind == "none"]
with open(document) as file:
    there = set(file.read().split("\n"))
if missing := [row for row in table if row not in there]:
    problems.append(f"{os.path.basename(document)} lacks rows of the table:\n" + "\n".join(missing))
print("\n".join(problems))
print(f"{len(models)} models, {len(covered)} pairs of op and dtype; ONNX {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}; "
      f"{written - start:.1f} s to write, {time.time() - written:.1f} s to check")
sys.exit(1 if problems else 0)
