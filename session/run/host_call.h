// What a plan does on the host, on tensors instead of pointers.
#pragma once

#include <memory>
#include <span>

#include <twofold/session/program/options.h>
#include <twofold/session/run/session_context.h>

namespace twofold {

class Ledger;

/// A HostOp made ready to be run, by several threads at once.
class HostCall {
 public:
  virtual ~HostCall() = default;
  virtual void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) = 0;
};
using HostCalls = std::span<const std::unique_ptr<HostCall>>;  // by Plan::host_ops

/// Control flow, printing, an assertion, a variable of unknown shape, or a launch with shapes known only at run time.
/// `op` must outlive it. It computes by `settings`, and bodies of control flow are planned by `options`.
std::unique_ptr<HostCall> make_host_call(const HostOp& op, GraphData& graph, const SessionOptions& options,
                                         const RunSettings& settings, SessionContext& context);

}  // namespace twofold
