#include <twofold/session/program/pattern.h>

namespace twofold {
namespace {

class Matcher {
 public:
  Matcher(Program& p, const ProgramNode& root) : p_(p), root_(root) {}

  bool matches(const Pattern& want, ProgramNode& n, Match& m) const {
    if (n.op != want.op || !runs(n) || (want.same_device && n.device != root_.device)) return false;
    if (n.inputs.size() < want.inputs.size() || (want.when && !want.when(n))) return false;
    m.add(n);
    for (size_t i = 0; i < want.inputs.size(); ++i)
      if (want.inputs[i].op && !gives(want.inputs[i], n.inputs[i], m)) return false;
    return true;
  }

 private:
  bool runs(const ProgramNode& n) const { return !n.dead && !n.dynamic && !p_.is_known(n); }

  // Whether `v` is what `want` wants.
  bool gives(const Pattern& want, ValueId v, Match& m) const {
    for (;;) {
      ProgramNode* const n = p_.producer(v);
      if (!n || (want.only_reader && !p_.readers(v).is_one())) return false;
      if (n->op == want.op || !want.through_aliases || !may_lie_between(want, *n))
        return v == n->first_output + want.output && matches(want, *n, m);
      v = n->inputs[0];
    }
  }

  bool may_lie_between(const Pattern& want, const ProgramNode& n) const {
    return runs(n) && p_.hands_on(n) && !(want.only_reader && n.has_effect()) &&
           !(want.same_device && n.device != root_.device);
  }

  Program& p_;
  const ProgramNode& root_;
};

}  // namespace

int64_t rewrite(Program& p, std::span<const Rule> rules) {
  int64_t changes = 0;
  for (ProgramNode& n : p.nodes) {
    for (const Rule& rule : rules) {
      if (n.op != rule.pattern.op) continue;
      Match m;
      if (!Matcher(p, n).matches(rule.pattern, n, m) || (rule.fits && !rule.fits(p, m))) continue;
      rule.rewrite(p, m);
      ++changes;
      break;
    }
  }
  return changes;
}

}  // namespace twofold
