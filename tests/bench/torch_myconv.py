#!/usr/bin/python3
"""Times the training step of the demo `myconv` in PyTorch (Debian: python3-torch), eager and with the net traced.

usage: torch_myconv.py [--net article|full] [--steps N] [--batch N] [--threads N]

The step is forward, nll_loss, backward with the gradient of X, Adam, and reading the loss, as the demo's is. Prints a JSON
object: milliseconds of the steps after the first two, for each mode.
"""
import argparse
import json
import time

import torch
from torch import nn


class MyConv(nn.Module):
    def __init__(self, full, side=28, hidden=1024):
        super().__init__()
        layers = []
        for channels_in, channels_out in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()]
        self.convnet = nn.Sequential(*layers)
        self.linearnet = nn.Sequential(nn.Linear(64 * side * side, hidden), nn.ReLU(), nn.Linear(hidden, 10),
                                       nn.LogSoftmax(dim=1)) if full else None

    def forward(self, x):
        h = torch.flatten(self.convnet(x), 1)
        return self.linearnet(h) if self.linearnet is not None else h


def step_times(traced, args):
    torch.manual_seed(0)
    x = torch.randn(args.batch, 3, 28, 28, requires_grad=True)
    y = torch.randint(0, 10, (args.batch,))
    net = MyConv(args.net == "full")
    optimizer = torch.optim.Adam(net.parameters())
    forward = torch.jit.trace(net, x.detach()) if traced else net
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        loss = nn.functional.nll_loss(forward(x), y)
        optimizer.zero_grad()
        x.grad = None
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(1e3 * (time.perf_counter() - begin))
    return times[2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=("article", "full"), default="article")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(json.dumps({"torch": torch.__version__, "eager": step_times(False, args), "traced": step_times(True, args)}))


if __name__ == "__main__":
    main()
