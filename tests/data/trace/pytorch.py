# The program of trace_beside_pytorch.cc with PyTorch's tracer: python3 pytorch.py > pytorch.txt
import warnings

import torch


def program(x):
    if x.sum() > 0:
        return x * 2
    return -x


def scaled(x):
    return x / x.shape[0]


def repeated(x, n):
    for _ in range(int(n)):
        x = x + 1
    return x


print("PyTorch", torch.__version__.split("+")[0])
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    program = torch.jit.trace(program, torch.tensor([1.0, 2.0]), check_trace=False)
    scaled = torch.jit.trace(scaled, torch.tensor([2.0, 4.0]), check_trace=False)
    repeated = torch.jit.trace(repeated, (torch.tensor([0.0]), torch.tensor(2)), check_trace=False)
print("program", program(torch.tensor([3.0, 4.0])).tolist(), program(torch.tensor([-3.0, -4.0])).tolist())
print("scaled", scaled(torch.tensor([2.0, 4.0])).tolist(), scaled(torch.tensor([3.0, 6.0, 9.0])).tolist())
print("repeated", repeated(torch.tensor([0.0]), torch.tensor(2)).tolist(),
      repeated(torch.tensor([0.0]), torch.tensor(5)).tolist())
print("warnings", sum(issubclass(w.category, torch.jit.TracerWarning) for w in warned))
