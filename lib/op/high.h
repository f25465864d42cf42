// What is declared low and defined high: the whole list of calls from lib/ up into graph/ and eager/. Whatever is not
// here does not call upwards.
#pragma once

#include <functional>
#include <string>

#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/autodiff/graph_watch.h>
#include <twofold/lib/autodiff/vjp.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

struct RowsGradient;

// graph/: a node for `op`, in the graph its symbols belong to or else in the current one.
void graph_apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs);
// eager/: the op done now.
// `over[i]`, if there is such and it is defined, is where output i goes.
void eager_apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs,
                 std::span<const Tensor> over = {});

/// A pointwise op without attributes on two values of one dtype, of one shape or one of them a scalar, few enough for
/// one thread: straight to the tile function that its kernel would call. A unary op gives its operand twice. False,
/// with nothing done, if the operands are not like that or somebody records.
bool eager_small(const OpDef& op, const Tensor& x, const Tensor& y, Tensor& out);

// graph/: what a symbol knows of itself.
const TensorSpec& symbol_spec(const Tensor& symbol);
std::string symbol_name(const Tensor& symbol);
std::string symbol_device(const Tensor& symbol);
uint64_t symbol_id(const Tensor& symbol);
std::source_location symbol_where(const Tensor& symbol);
/// The elements of an integer symbol as far as they follow from the graph alone (constants, extents that it knows, and
/// what is computed from them); nothing where their number does not.
std::optional<PartialValues> symbol_known_values(const Tensor& symbol);
/// The bool scalar by which if_arrived guards the symbol; undefined if it is no result of that op.
Tensor symbol_arrived(const Tensor& symbol);
// graph/: a concrete value as a constant node of the current graph.
Tensor graph_constant(const Tensor& value, const std::string& name, std::source_location where);
// graph/: calls `f` in a variable's `graph`, unless the current one is that or a body within it. Null: in the current
// one.
void graph_call(const Ref<RefCounted>& graph, const std::function<void()>& f);
// graph/: of the current graph.
RandomOrdinals& graph_random_ordinals();
bool graph_has_nodes();
Variable graph_variable(const Tensor& initial, const VariableOptions& options, std::source_location where);
Tensor graph_read(const Variable& v, std::source_location where);
Operation graph_initializer(const VariableState& v);
Tensor graph_initial_value(const VariableState& v);

// eager/: `value` as what reading `v` gives here: a tensor of its own, recorded by the live tapes that watch `v`.
Tensor eager_read(const Ref<VariableState>& v, const Tensor& value);

// Gradients, over the current graph's nodes or the innermost tape's records.
/// Behind all nodes that the current graph has now.
GraphPosition graph_position();
/// Through what `watch` sees; null: through the whole graph. `rows`: see `gradients_but_rows`.
std::vector<Tensor> graph_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, const GraphWatch* watch = nullptr,
                                    std::span<RowsGradient> rows = {});
/// Whether the symbol `t` is watched, or depends on what is watched or on control flow.
bool graph_depends(const Tensor& t, const GraphWatch& watch);
std::vector<Tensor> eager_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, std::span<RowsGradient> rows = {});
std::vector<Tensor> graph_vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys);
std::vector<Tensor> eager_vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys);

}  // namespace twofold
