// 3x3 convolutions with fewer products: for kernels/conv2d/*_cpu.cc only.
#pragma once

#include <twofold/kernels/conv2d/problem.h>
#include <twofold/lib/op/kernel.h>

namespace twofold::winograd {

/// Whether the float32 problem is one for these kernels: kernels of 3x3 that move by 1, NCHW, with so many channels
/// that products are what takes the time. A function of the shapes alone.
bool fits(const Conv2dProblem& p);

// Of conv2d with or without bias, and of its gradients by input (`inputs`: how many the op was given) and weight.
Prepared output(const Conv2dProblem& p, bool bias);
Prepared input_gradient(const Conv2dProblem& p, size_t inputs);
Prepared weight_gradient(const Conv2dProblem& p);

}  // namespace twofold::winograd
