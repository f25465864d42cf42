#!/usr/bin/env python3
"""PyTorch's side of gpu.py: answers requests on standard input (see peer.py).

{"work": "version"}
{"work": "add"}                                  scalars, eager
{"work": "step", "net": "article", "math": "strict", "deterministic": true, "mode": "eager", "upload": false,
 "steps": 60, "warm_up": 20}                     the training step of torch_myconv.py

Modes: `eager` is the article's program; `compile` has forward and backward compiled; `captured` replays the whole step,
Adam and loss included, from a CUDA graph captured by hand; `compiled, captured` does that with the compiled one. All
but the first have Adam fused. cuDNN's benchmark mode is on in all. A process is deterministic or not, since
CUBLAS_WORKSPACE_CONFIG is read once.
"""
import time

import torch
from peer import serve, time_additions, time_steps
from torch import nn
from torch_myconv import MyConv

WARM_UP_BEFORE_CAPTURE = 4


def set_switches(math, deterministic):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = math == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help in debugging that would cost a pass over memory


class Training:
    """A net, its optimiser, and one way of running a step."""

    def __init__(self, net, mode, batch=128, side=28):
        torch.manual_seed(0)
        self.held = torch.cuda.memory_allocated()
        self.peak = None
        model = MyConv(net == "full", side).to("cuda")
        self.x_host = torch.randn(batch, 3, side, side)
        self.y_host = torch.randint(0, 10, (batch,))
        self.x, self.y = self.x_host.cuda().requires_grad_(), self.y_host.cuda()
        self.captured = "captured" in mode
        options = {} if mode == "eager" else {"fused": True, "capturable": self.captured}
        self.optimizer = torch.optim.Adam(model.parameters(), **options)
        self.loss_of = lambda x, y: nn.functional.nll_loss(model(x), y)
        if mode.startswith("compile"):
            self.loss_of = torch.compile(self.loss_of)
        self.graph = self.capture() if self.captured else None

    def compute(self):
        loss = self.loss_of(self.x, self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def clear_gradients(self):
        self.optimizer.zero_grad()
        self.x.grad = None

    def capture(self):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_BEFORE_CAPTURE):
                self.clear_gradients()
                self.compute()
        torch.cuda.current_stream().wait_stream(stream)
        self.clear_gradients()
        torch.cuda.reset_peak_memory_stats()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self.compute()
        return graph

    def step(self, upload):
        if self.graph:
            if upload:
                with torch.no_grad():
                    self.x.copy_(self.x_host)
                    self.y.copy_(self.y_host)
            self.graph.replay()
            return self.loss
        if upload:
            self.x, self.y = self.x_host.to("cuda").requires_grad_(), self.y_host.to("cuda")
        self.clear_gradients()
        return self.compute()

    def measure(self, upload, steps, warm_up):
        def step():
            return self.step(upload)

        for _ in range(warm_up):
            step()
        if not self.captured:
            torch.cuda.reset_peak_memory_stats()
        result = time_steps(step, torch.Tensor.item, torch.cuda.synchronize, steps, 0)
        if self.peak is None:  # of the first measurement: later ones would count what others hold by then
            self.peak = torch.cuda.max_memory_allocated() - self.held
        return result | {"peak_bytes": self.peak}


trainings = {}


def answer(request):
    if request["work"] == "version":
        torch.zeros(1, device="cuda")
        return {"version": f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"}
    if request["work"] == "add":
        with torch.no_grad():
            a, b = torch.ones((), device="cuda"), torch.ones((), device="cuda")
            return time_additions(lambda: a + b, torch.cuda.synchronize)
    set_switches(request["math"], request["deterministic"])
    key = request["net"], request["math"], request["mode"]
    first_ms = None
    if key not in trainings:
        begin = time.perf_counter()
        trainings[key] = Training(request["net"], request["mode"])
        trainings[key].step(False).item()
        first_ms = 1e3 * (time.perf_counter() - begin)
    return trainings[key].measure(request["upload"], request["steps"], request["warm_up"]) | {"first_ms": first_ms}


if __name__ == "__main__":
    for name in ("recompile_limit", "cache_size_limit"):  # each net and each switch compiles the same function again
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 64)
    serve(answer)
