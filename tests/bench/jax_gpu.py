#!/usr/bin/env python3
"""JAX's side of gpu.py: answers requests on standard input (see peer.py and torch_gpu.py).

The whole step, forward, gradients, Adam and loss, is one jitted function whose state is donated. Whether it is
deterministic is decided by XLA_FLAGS before the process starts. The peak of its memory is the process's, so far.
"""
import time

import jax
import jax.numpy as jnp
import numpy as np
from peer import serve, time_additions, time_steps

CONVOLUTIONS = ((3, 16), (16, 32), (32, 64))
PRECISION = {"strict": "highest", "tf32": "default"}


def start(full, side, hidden=1024):
    random = np.random.default_rng(0)

    def uniform(fan_in, *shape):
        return jnp.asarray(random.uniform(-1, 1, shape) / np.sqrt(fan_in), jnp.float32)

    convolutions = [{"weight": uniform(9 * c, k, c, 3, 3), "bias": uniform(9 * c, k), "scale": jnp.ones(k),
                     "offset": jnp.zeros(k), "mean": jnp.zeros(k), "variance": jnp.ones(k)} for c, k in CONVOLUTIONS]
    sizes = (64 * side * side, hidden, 10) if full else ()
    linears = [{"weight": uniform(i, i, o), "bias": uniform(i, o)} for i, o in zip(sizes, sizes[1:])]
    running = [{key: c.pop(key) for key in ("mean", "variance")} for c in convolutions]
    return {"convolutions": convolutions, "linears": linears}, running


def forward(parameters, running, x):
    """The features or log-probabilities, and the new running statistics."""
    statistics = []
    for p, r in zip(parameters["convolutions"], running):
        x = jax.lax.conv_general_dilated(x, p["weight"], (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        x = x + p["bias"][:, None, None]
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        n = x.size // x.shape[1]
        statistics.append({"mean": 0.9 * r["mean"] + 0.1 * mean,
                           "variance": 0.9 * r["variance"] + 0.1 * variance * (n / (n - 1))})
        factor = jax.lax.rsqrt(variance + 1e-5) * p["scale"]
        x = jax.nn.relu((x - mean[:, None, None]) * factor[:, None, None] + p["offset"][:, None, None])
    x = x.reshape(x.shape[0], -1)
    if parameters["linears"]:
        first, second = parameters["linears"]
        x = jax.nn.relu(x @ first["weight"] + first["bias"])
        x = jax.nn.log_softmax(x @ second["weight"] + second["bias"])
    return x, statistics


def loss_of(parameters, x, running, y):
    scores, statistics = forward(parameters, running, x)
    return -scores[jnp.arange(y.size), y].mean(), statistics


def train(state, x, y):
    (loss, running), (gradients, x_gradient) = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)(
        state["parameters"], x, state["running"], y)
    count = state["count"] + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["first"], gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["second"], gradients)

    def updated(p, m, v):
        return p - 1e-3 * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)

    parameters = jax.tree.map(updated, state["parameters"], first, second)
    return dict(parameters=parameters, running=running, first=first, second=second, count=count), loss, x_gradient


class Training:
    def __init__(self, net, batch=128, side=28):
        parameters, running = start(net == "full", side)
        random = np.random.default_rng(1)
        self.x_host = random.standard_normal((batch, 3, side, side), np.float32)
        self.y_host = random.integers(0, 10, batch, np.int32)
        self.x, self.y = jax.device_put(self.x_host), jax.device_put(self.y_host)
        self.state = dict(parameters=parameters, running=running, first=jax.tree.map(jnp.zeros_like, parameters),
                          second=jax.tree.map(jnp.zeros_like, parameters), count=jnp.float32(0))
        self.train = jax.jit(train, donate_argnums=0)

    def step(self, upload):
        x, y = (jax.device_put(self.x_host), jax.device_put(self.y_host)) if upload else (self.x, self.y)
        self.state, loss, self.x_gradient = self.train(self.state, x, y)
        return loss


trainings = {}


def answer(request):
    if request["work"] == "version":
        if jax.default_backend() != "gpu":
            raise RuntimeError(f"JAX runs on the {jax.default_backend()}")
        return {"version": f"JAX {jax.__version__}"}
    if request["work"] == "add":
        a, b = jnp.ones(()), jnp.ones(())
        latest = [a]

        def add():
            latest[0] = a + b

        return time_additions(add, lambda: latest[0].block_until_ready(), times=5000)
    jax.config.update("jax_default_matmul_precision", PRECISION[request["math"]])
    key = request["net"], request["math"]
    first_ms = None
    if key not in trainings:
        begin = time.perf_counter()
        trainings[key] = Training(request["net"])
        float(trainings[key].step(False))
        first_ms = 1e3 * (time.perf_counter() - begin)
    training = trainings[key]
    result = time_steps(lambda: training.step(request["upload"]), float,
                        lambda: jax.block_until_ready((training.state, training.x_gradient)), request["steps"],
                        request["warm_up"])
    statistics = jax.local_devices()[0].memory_stats() or {}
    return result | {"first_ms": first_ms, "peak_bytes": statistics.get("peak_bytes_in_use")}


if __name__ == "__main__":
    serve(answer)
