#include <twofold/session/program/readers.h>

#include <twofold/session/program/program.h>

namespace twofold {

void Program::find_readers() {
  lists_.start(values.size(), nodes.size(), fetches.size() + 2 * nodes.size());
  lists_.set(Reader::kFetch, fetches);
  for (uint32_t i = 0; i < nodes.size(); ++i)
    if (!nodes[i].dead) lists_.set(i, nodes[i].inputs);
}

void Program::replace(ValueId v, ValueId by) {
  if (v == by) return;
  if (!lists_.built()) find_readers();
  lists_.move(v, by, [&](Reader r) { (r.is_fetch() ? fetches[r.input] : nodes[r.node].inputs[r.input]) = by; });
}

void Program::remove(ProgramNode& n, ProgramNode* instead) {
  if (lists_.built()) lists_.end(index_of(n));
  n.dead = true;
  if (instead) instead->root |= n.root, n.root = false;
}

void Program::set_inputs(ProgramNode& n, SmallVector<ValueId, 2> inputs) {
  n.inputs = std::move(inputs);
  if (lists_.built()) lists_.set(index_of(n), n.inputs);
}

void Program::put(uint32_t index, ProgramNode n) {
  ProgramNode& place = nodes[index];
  for (uint32_t k = 0; k < place.num_outputs; ++k) values[place.first_output + k].producer = -1;
  place = std::move(n);
  for (uint32_t k = 0; k < place.num_outputs; ++k)
    values[place.first_output + k].producer = static_cast<int32_t>(index);
  if (lists_.built()) lists_.set(index, place.inputs);
}

void Program::renumber() {
  for (ProgramValue& v : values) v.producer = -1;
  for (size_t i = 0; i < nodes.size(); ++i)
    for (uint32_t k = 0; k < nodes[i].num_outputs; ++k)
      values[nodes[i].first_output + k].producer = static_cast<int32_t>(i);
  lists_.clear();
}

ValueId Program::behind(ValueId v) const {
  while (const ProgramNode* n = producer(v)) {
    if (!hands_on(*n)) break;
    v = n->inputs[0];
  }
  return v;
}

}  // namespace twofold
