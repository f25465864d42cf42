// Every op on a GPU, from its record: the values of its reference, gradients as on the CPU, the same bits however it is
// run, and nothing written outside of its outputs. The last is seen with TWOFOLD_GPU_GUARD_BANDS in the environment.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <twofold/graph/graph.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/synchronize.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/gpu_memory.h>

#include "cases.h"
#include "gpu.h"

using namespace op_test;
namespace tf = twofold;

namespace {

constexpr tf::Device kGpu{1};

Tensors on_gpu(const Tensors& host) {
  Tensors moved;
  for (const Tensor& t : host) moved.push_back(tf::moved_to(t, kGpu));
  return moved;
}

/// Counts what went wrong, by op, and says so at the end.
class Failures {
 public:
  ~Failures() {
    for (const auto& [op, n] : by_op_) std::printf("wrong on the GPU: %s in %d cases\n", op.c_str(), n);
  }
  void add(const std::string& op) { ++by_op_[op]; }

 private:
  std::map<std::string, int> by_op_;
};

/// Runs `body`, which says what is wrong, waits for the GPU, and checks that nothing is: neither results, nor late
/// errors, nor guard bands.
template <class F>
void check_on_gpu(Failures& failures, const std::string& op, const std::string& description, F body) {
  const int64_t damaged = tf::damaged_gpu_guard_bands();
  std::string wrong;
  try {
    wrong = body();
    tf::synchronize();
  } catch (const tf::Error& e) {
    wrong += e.what();
  }
  if (tf::damaged_gpu_guard_bands() != damaged) wrong += "wrote beyond a value on the GPU";
  INFO(description);
  CHECK(wrong == "");
  if (!wrong.empty()) failures.add(op);
  if (wrong.find("can no longer use the GPU") != std::string::npos) FAIL("the GPU is lost");
}

std::string line(const std::string& how, const std::string& what) {
  return what.empty() ? what : how + ": " + what + "\n";
}

/// "" if `call` gives `expected`'s bits in every way that it can be run on a GPU.
std::string gpu_parity(const Call& call, const Arrays& inputs, const Tensors& expected, bool needs_rank) {
  const Tensors host = to_tensors(inputs), there = on_gpu(host);
  std::string wrong;
  const auto attempt = [&](const std::string& how, auto run, int times = 1) {
    Tensors wanted;
    for (int i = 0; i < times; ++i) wanted.insert(wanted.end(), expected.begin(), expected.end());
    try {
      wrong += line(how, bit_difference(run(), wanted));
    } catch (const tf::Error& e) {
      wrong += line(how, e.what());
    }
  };
  attempt("again", [&] { return run_eagerly(call, there); });
  attempt("under a guard", [&] {
    const auto guard = tf::device("/gpu:0");
    return run_eagerly(call, host);
  });
  attempt("unaligned", [&] {
    Tensors unaligned;
    for (const Array& a : inputs) unaligned.push_back(to_unaligned_tensor(a, kGpu));
    return run_eagerly(call, unaligned);
  });
  // From its second run on an optimised plan is replayed as a captured graph.
  constexpr int kRuns = 3;
  for (const bool optimize : {false, true}) {
    const tf::SessionOptions options{.optimize = optimize, .device = "/gpu:0"};
    const std::string mode = optimize ? "deferred, optimised" : "deferred";
    attempt(
        mode, [&] { return run_deferred(call, host, Known::shapes, options, kRuns); }, kRuns);
    if (needs_rank || brief()) continue;
    attempt(
        mode + ", shapes unknown, fed from the GPU",
        [&] { return run_deferred(call, there, Known::nothing, options, kRuns); }, kRuns);
  }
  wrong += line("inputs", bit_difference(there, host));
  return wrong;
}

/// What gradients may differ by between devices: they are made of several ops, and what an element sums is not known,
/// so that the largest element stands for it.
std::string gradient_difference(const Tensors& gpu, const Tensors& cpu, Record r) {
  constexpr double kOps = 8;
  r.exact = false;
  r.tolerance32 *= kOps, r.tolerance64 *= kOps;
  if (gpu.size() != cpu.size()) return "gradients are defined on one device only";
  for (size_t i = 0; i < cpu.size(); ++i) {
    Array wanted{cpu[i].dtype(), cpu[i].shape(), {}};
    tf::dispatch(cpu[i].dtype(), [&](auto zero) {
      const auto data = cpu[i].data<decltype(zero)>();
      wanted.values.assign(data.begin(), data.end());
    });
    double largest = 0;
    for (double v : wanted.values)
      if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    wanted.magnitude.assign(wanted.values.size(), largest);
    if (const std::string d = difference(gpu[i], wanted, r); !d.empty())
      return "gradient " + std::to_string(i) + ": " + d;
  }
  return "";
}

}  // namespace

TEST_CASE("gpu: every op gives its reference's values, and the same bits however it is run") {
  if (testing::lacks_gpu()) return;
  Failures failures;
  for_each_case([&](const Record& r, const auto& shapes, DType dtype, Random& random) {
    const Arrays inputs = sample(r, shapes, dtype, false, random);
    check_on_gpu(failures, r.op, describe(r, shapes, dtype), [&] {
      const Arrays wanted = r.reference(inputs);
      const Tensors got = run_eagerly(r.call, on_gpu(to_tensors(inputs)));
      if (got.size() != wanted.size()) return "it gives " + std::to_string(got.size()) + " results";
      std::string wrong;
      for (size_t i = 0; i < got.size(); ++i) wrong += line("values", difference(got[i], wanted[i], r));
      if (!tf::find_op(r.op)->flags.host_only && got[0].device() != "/gpu:0") wrong += "it ran on " + got[0].device();
      return wrong + gpu_parity(r.call, inputs, got, false);
    });
  });
}

TEST_CASE("gpu: pointwise ops treat zeros, infinities, NaN and the ends of the range as their references") {
  if (testing::lacks_gpu()) return;
  Failures failures;
  for_each_special_case([&](const Record& r, DType dtype, const Arrays& inputs) {
    check_on_gpu(failures, r.op, r.op + " " + std::string(name_of(dtype)), [&] {
      const Arrays wanted = r.reference(inputs);
      const Tensors got = run_eagerly(r.call, on_gpu(to_tensors(inputs)));
      std::string wrong;
      for (size_t i = 0; i < got.size(); ++i) wrong += difference(got[i], wanted[i], r);
      return wrong;
    });
  });
}

TEST_CASE("gpu: gradients are the CPU's, and have the same bits however they are run") {
  if (testing::lacks_gpu()) return;
  Failures failures;
  for_each_case([&](const Record& r, const auto& shapes, DType dtype, Random& random) {
    if (r.gradient_of.empty() || !tf::is_floating(dtype)) return;
    const Arrays inputs = sample(r, shapes, dtype, true, random);
    const GradientProgram on_cpu = program_for(r, inputs, random);
    const GradientProgram program{r, on_gpu(on_cpu.ws), on_gpu(on_cpu.vs)};
    check_on_gpu(failures, r.op, describe(r, shapes, dtype), [&] {
      const Call gradients = program.defined_ones();
      const Tensors host = to_tensors(inputs), got = run_eagerly(gradients, on_gpu(host));
      return line("values", gradient_difference(got, run_eagerly(on_cpu.defined_ones(), host), r)) +
             gpu_parity(gradients, inputs, got, r.gradient_needs_rank);
    });
  });
}
