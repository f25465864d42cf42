// From a program that fails to the smallest one found that still does.
#include <algorithm>
#include <set>

#include "generator.h"

namespace fuzz {
namespace {

/// `p` without instruction `at` and all that needs it.
Program without(const Program& p, size_t at) {
  Program q = p;
  q.body.clear();
  std::set<int> gone;
  for (size_t k = 0; k < p.body.size(); ++k) {
    Instruction i = p.body[k];
    const auto is_gone = [&](int v) { return gone.contains(v); };
    std::erase_if(i.after, is_gone);
    const bool lists = i.op == "group" || i.op == "with_effects";
    if (lists && !(i.op == "with_effects" && is_gone(i.inputs[0]))) std::erase_if(i.inputs, is_gone);
    if (k == at || std::ranges::any_of(i.inputs, is_gone)) {
      for (int n = 0; n < i.outputs; ++n) gone.insert(i.output + n);
      continue;
    }
    q.body.push_back(std::move(i));
  }
  return q;
}

/// `p` with every extent `from` replaced by `to`.
Program with_extent(Program p, int64_t from, int64_t to) {
  const auto replace = [&](tf::Shape& s) {
    for (int k = 0; k < s.rank(); ++k)
      if (s.extent(k) == from) s.set(k, to);
  };
  for (VariableDecl& v : p.variables) replace(v.shape);
  for (Instruction& i : p.body) replace(i.shape), replace(i.declared);
  return p;
}

/// Tries each simplification of one kind in turn, keeping those after which the program still fails.
class Shrinker {
 public:
  Shrinker(Program p, const std::function<bool(const Program&)>& fails) : best_(std::move(p)), fails_(fails) {}

  Program run() {
    do {
      improved_ = false;
      for (size_t k = best_.body.size(); k-- > 0;)
        if (k < best_.body.size() && best_.body[k].op != "watch") attempt(without(best_, k));
      take_values();
      for (size_t k = 0; k < best_.body.size(); ++k) simplify(k);
      shrink_extents();
      if (best_.runs > 1) attempt_with([](Program& p) { p.runs = 1; });
      drop_variables();
    } while (improved_ && attempts_ < kMostAttempts);
    return std::move(best_);
  }

 private:
  static constexpr int kMostAttempts = 4000;

  bool attempt(Program q) {
    if (++attempts_ > kMostAttempts) return false;
    try {
      if (!fails_(q)) return false;
    } catch (const Unusable&) {
      return false;
    }
    best_ = std::move(q);
    return improved_ = true;
  }
  template <class F>
  bool attempt_with(F&& change) {
    Program q = best_;
    change(q);
    return attempt(std::move(q));
  }

  void simplify(size_t k) {
    const Instruction i = best_.body[k];
    if (i.scope) attempt_with([&](Program& p) { p.body[k].scope = 0; });
    if (!i.after.empty()) attempt_with([&](Program& p) { p.body[k].after.clear(); });
    if (i.op == "placeholder" && !(i.declared == i.shape))
      attempt_with([&](Program& p) { p.body[k].declared = p.body[k].shape; });
    if (i.op == "placeholder") attempt_with([&](Program& p) { p.body[k].op = "constant"; });
    // What is watched, and what gradients are taken of, stays as the generator chose it: it keeps to what both modes
    // answer alike.
    if (i.op == "watch" || i.op == "gradient") return;
    // An operand made later or elsewhere may do as well as an early one.
    for (size_t n = 0; n < i.inputs.size(); ++n)
      for (size_t before = 0; before < k && best_.body[before].output < i.inputs[n]; ++before)
        if (best_.body[before].outputs &&
            attempt_with([&](Program& p) { p.body[k].inputs[n] = p.body[before].output; }))
          break;
  }

  /// True if one value can stand for another.
  bool alike(int a, int b) const {
    const auto at = [&](int v) {
      return static_cast<size_t>(v) < values_.size() ? values_[static_cast<size_t>(v)] : tf::Tensor();
    };
    const tf::Tensor x = at(a), y = at(b);
    return x.defined() && y.defined() && x.dtype() == y.dtype() && x.shape() == y.shape();
  }

  /// What the program's values are, if it can be executed.
  void take_values() {
    values_.clear();
    try {
      values_ = run_eagerly(best_, 1)[0].values;
    } catch (const tf::Error&) {
    } catch (const Unusable&) {
    }
  }

  void shrink_extents() {
    std::set<int64_t> extents;
    const auto collect = [&](const tf::Shape& s) { extents.insert(s.begin(), s.end()); };
    for (const VariableDecl& v : best_.variables) collect(v.shape);
    for (const Instruction& i : best_.body) collect(i.shape);
    for (int64_t e : extents)
      for (int64_t to : {int64_t{1}, int64_t{2}, int64_t{3}, e / 2})
        if (to < e && e > 1 && attempt(with_extent(best_, e, to))) break;
  }

  void drop_variables() {
    for (int v = static_cast<int>(best_.variables.size()); v-- > 0;) {
      const auto uses = [&](const Instruction& i) { return std::ranges::count(i.variables, v) > 0; };
      if (std::ranges::any_of(best_.body, uses)) continue;
      attempt_with([&](Program& p) {
        p.variables.erase(p.variables.begin() + v);
        for (Instruction& i : p.body)
          for (int& n : i.variables) n -= n > v;
      });
    }
  }

  Program best_;
  std::vector<tf::Tensor> values_;
  const std::function<bool(const Program&)>& fails_;
  bool improved_ = false;
  int attempts_ = 0;
};

}  // namespace

Program shrink(Program p, const std::function<bool(const Program&)>& fails) {
  return Shrinker(std::move(p), fails).run();
}

Program shrink_difference(const Program& p, const Difference& difference) {
  // An error must stay that error: leaving things out makes others.
  const auto kind = [](const Difference& d) -> std::string {
    if (d.what.starts_with("throws")) return d.what.substr(0, 40);
    return d.what.find("None") == std::string::npos ? "bits" : "None";
  };
  return shrink(p, [&](const Program& q) {
    const auto d = find_difference(q, &difference.config);
    return d && kind(*d) == kind(difference);
  });
}

}  // namespace fuzz
