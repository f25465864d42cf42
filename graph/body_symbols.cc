#include <twofold/graph/body_symbols.h>

#include <algorithm>

#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

class BodySymbols::Owner final : public GraphSymbols {
 public:
  Owner(GraphData& g, const BodySymbols& symbols) : GraphSymbols(&g), symbols_(&symbols), keeps_(&g) {}
  void close() { closed_ = true; }
  Tensor symbol_read(uint32_t node, uint16_t output, const HostRead& read) const override {
    const bool answers = !closed_ && symbols_->reads_ && symbols_->is_of_this_thread();
    return answers ? symbols_->reads_->read({node, output}, read) : Tensor();
  }

 private:
  const BodySymbols* const symbols_;  // until it is closed
  const Ref<GraphData> keeps_;
};

BodySymbols::BodySymbols(GraphData& g)
    : graph_(&g), begin_(g.size()), outer_(t_state.symbols), outer_traces_values_(t_state.traces_values) {
  t_state.symbols = this;
  t_state.traces_values = false;
}
BodySymbols::~BodySymbols() { close(); }

void BodySymbols::close() {
  if (closed_) return;
  closed_ = true;
  t_state.symbols = outer_;
  t_state.traces_values = outer_traces_values_;
  for (const auto& owner : owners_)
    if (owner) owner->close();
}

bool BodySymbols::is_of_this_thread() const {
  const BodySymbols* s = t_state.symbols;
  while (s && s != this) s = s->outer_;
  return s == this;
}

void BodySymbols::answer_by(TracedReads& reads) {
  reads_ = &reads;
  t_state.traces_values = true;
}

bool BodySymbols::answers(const GraphData& g) {
  for (const BodySymbols* s = t_state.symbols; s; s = s->outer_)
    if (s->graph_.get() == &g) return s->reads_ != nullptr;
  return false;
}

void BodySymbols::add(const GraphData& g, uint32_t id) {
  if (&g == graph_.get())
    nodes_.push_back(id);
  else if (outer_)
    outer_->add(g, id);
}

SymbolOwner* BodySymbols::owner(GraphData* g, uint32_t node) {
  if (g != graph_.get() || node < begin_) return g;
  const size_t i = node - begin_;
  if (owners_.size() <= i) owners_.resize(i + 1);
  if (!owners_[i]) owners_[i] = make_ref<Owner>(*g, *this);
  return owners_[i].get();
}

Tensor BodySymbols::constant(const Tensor& value, std::source_location where) {
  const Tensor kept = retained(value);
  const auto [at, is_new] = constants_.try_emplace(kept.value());
  auto& [used, constant] = at->second;
  if (is_new) {
    used = {kept, where, 1};
    const int32_t before = kept.value()->count();
    constant = renamed(kept);
    used.own += kept.value()->count() - before;
  }
  return constant;
}

std::vector<uint32_t> BodySymbols::held(std::span<const uint32_t> known) const {
  std::vector<uint32_t> nodes;
  for (size_t i = 0; i < owners_.size(); ++i) {
    const auto node = begin_ + static_cast<uint32_t>(i);
    if (owners_[i] && owners_[i]->count() > 1 + std::ranges::count(known, node)) nodes.push_back(node);
  }
  return nodes;
}

std::vector<BodySymbols::Used> BodySymbols::shared_values() const {
  std::vector<Used> shared;
  for (const auto& [value, entry] : constants_) {
    if (!entry.first.is_gone()) shared.push_back(entry.first);
  }
  return shared;
}

}  // namespace twofold
