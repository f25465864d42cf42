// twofold: one program, two executions. The one header that programs include.
#pragma once

#include <twofold/lib/core/compiler.h>

#include <ostream>

// These tell of most misuse. They come first, since a compiler prints with each error the headers that led to it.
#include <twofold/lib/op/operand.h>
#include <twofold/session/feed.h>
#include <twofold/session/function_runner.h>

#include <twofold/graph/cases.h>
#include <twofold/graph/control_flow.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/loops.h>
#include <twofold/lib/autodiff/gradient_tape.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/io/data_loader.h>
#include <twofold/lib/io/examples.h>
#include <twofold/lib/io/idx.h>
#include <twofold/lib/io/npy.h>
#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/nn/layers.h>
#include <twofold/lib/nn/losses.h>
#include <twofold/lib/nn/normalization.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/numerics.h>
#include <twofold/lib/op/observer.h>
#include <twofold/lib/op/random_seed.h>
#include <twofold/lib/op/synchronize.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/build_info.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/memory_stats.h>
#include <twofold/lib/runtime/thread_pool.h>
#include <twofold/lib/saved/freeze.h>
#include <twofold/lib/saved/onnx.h>
#include <twofold/lib/saved/saved_program.h>
#include <twofold/lib/train/adam.h>
#include <twofold/lib/train/clip.h>
#include <twofold/lib/train/rmsprop.h>
#include <twofold/lib/train/saver.h>
#include <twofold/lib/train/schedules.h>
#include <twofold/lib/train/sgd.h>
#include <twofold/ops.h>
#include <twofold/session/compat_v1.h>
#include <twofold/session/function.h>
#include <twofold/session/session.h>
#include <twofold/session/state.h>
#include <twofold/session/step.h>
#include <twofold/session/trace.h>

/// What programs use: `namespace tf = twofold;`.
namespace twofold {}
/// Layers, losses and modules that are made of them.
namespace twofold::nn {}
/// Optimisers, schedules, clipping and checkpoints.
namespace twofold::train {}
/// Data sets, loaders and files of tensors.
namespace twofold::io {}
/// TensorFlow 1's names.
namespace twofold::compat::v1 {}
