// Control flow: branches and loops that compute, write variables and draw random numbers.
#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;
using T = tf::Tensor;
using I = Instruction;

/// A bool scalar. Where gradients are taken it is a symbol: a plain value decides while the graph is built, and what is
/// left there has no control flow, whose gradients eager tapes sum apart.
int predicate(Generator& g) {
  const auto fits = [&](int v) { return g.dtype(v) == tf::bool_ && g.shape(v).rank() == 0 && g.symbolic(v); };
  if (!g.recipe().gradients) return g.value_of(tf::bool_, {});
  const int found = g.rng().one_in(5) ? -1 : g.pick(fits);
  return found >= 0 ? found : g.vague_leaf(tf::bool_, {});
}

/// A scalar to branch on, then two operands of one shape, floating if asked for.
bool propose_operands(Generator& g, Instruction& i, bool floating) {
  const int x = g.pick([&](int v) {
    return g.dtype(v) != tf::bool_ && (!floating || tf::is_floating(g.dtype(v))) && g.shape(v).num_elements() < 1000;
  });
  if (x < 0) return false;
  i.dtype = g.dtype(x);
  i.shape = g.shape(x);
  i.integer = g.rng().below(4);
  i.inputs = {predicate(g), x, g.value_of(g.dtype(x), g.shape(x))};
  return true;
}

/// The same, with a variable that takes them.
bool propose_writes(Generator& g, Instruction& i) {
  if (!g.recipe().writes) return false;
  const int v =
      g.pick_variable([&](int n) { return g.program().variables[static_cast<size_t>(n)].dtype != tf::bool_; });
  if (v < 0) return false;
  const VariableDecl& variable = g.program().variables[static_cast<size_t>(v)];
  i.variables = {v};
  i.integer = g.rng().below(4);
  i.inputs = {predicate(g), g.value_of(variable.dtype, variable.shape), g.value_of(variable.dtype, variable.shape)};
  return true;
}

/// `next(state)` as often as the instruction says.
template <class F>
Values loop(const Instruction& i, const T& start, F&& next) {
  const auto [count, state] = tf::while_loop([&](const T& n, const T&) { return n < i.integer; },
                                             [&](const T& n, const T& s) {
                                               return std::tuple{n + 1, T(next(s))};
                                             },
                                             std::tuple{tf::constant(0), start});
  return {count, state};
}

/// What calls a function with a symbol, whose call is part of the program; with values alone it would be a run.
template <bool (*propose)(Generator&, Instruction&)>
bool with_symbol(Generator& g, Instruction& i) {
  if (!propose(g, i)) return false;
  return g.symbolic(i.inputs[1]) || g.symbolic(i.inputs[2]);
}
bool propose_numbers(Generator& g, Instruction& i) { return propose_operands(g, i, false); }
bool propose_floats(Generator& g, Instruction& i) { return propose_operands(g, i, true) && g.symbolic(i.inputs[1]); }

constexpr const char* kLoop =
    "tf::while_loop([&](tf::Tensor n, tf::Tensor) { return n < $n; }, [&](tf::Tensor n, tf::Tensor s) { ";
constexpr const char* kFrom = "; }, std::tuple{tf::constant(0), $1})";

bool two(Instruction& i, bool fits) {
  i.outputs = 2;
  return fits;
}

}  // namespace

void add_control_entries(std::vector<OpEntry>& all) {
  all.push_back({"cond", 6, "tf::cond($0, [&] { return $1 * $2; }, [&] { return $2 - $1; })",
                 [](Generator& g, I& i) { return propose_operands(g, i, false); },
                 [](State& s, const I& i) {
                   const T &x = s.value(i.inputs[1]), &y = s.value(i.inputs[2]);
                   return Values{tf::cond(
                       s.value(i.inputs[0]), [&] { return x * y; }, [&] { return y - x; })};
                 }});
  all.push_back({"cond_random", 3,
                 "tf::cond($0, [&] { return $1 + tf::random_uniform($shape, {.dtype = $dtype}); }, "
                 "[&] { return $2 * tf::random_normal($shape, {.dtype = $dtype}); })",
                 [](Generator& g, I& i) { return propose_operands(g, i, true); },
                 [](State& s, const I& i) {
                   const T &x = s.value(i.inputs[1]), &y = s.value(i.inputs[2]);
                   return Values{tf::cond(
                       s.value(i.inputs[0]), [&] { return x + tf::random_uniform(i.shape, {.dtype = i.dtype}); },
                       [&] { return y * tf::random_normal(i.shape, {.dtype = i.dtype}); })};
                 }});
  all.push_back({"cond_write", 6,
                 "tf::cond($0, [&] { return $v.assign_add($1) * $2; }, [&] { return $v.read() - $1; })", propose_writes,
                 [](State& s, const I& i) {
                   const T &x = s.value(i.inputs[1]), &y = s.value(i.inputs[2]);
                   const tf::Variable& v = s.variable(i);
                   return Values{tf::cond(
                       s.value(i.inputs[0]), [&] { return v.assign_add(x) * y; }, [&] { return v.read() - x; })};
                 }});
  all.push_back({"while", 6, std::string(kLoop) + "return std::tuple{n + 1, s * $2 + $1}" + kFrom,
                 [](Generator& g, I& i) { return two(i, propose_operands(g, i, false)); },
                 [](State& s, const I& i) {
                   const T &x = s.value(i.inputs[1]), &y = s.value(i.inputs[2]);
                   return loop(i, x, [&](const T& state) { return state * y + x; });
                 }});
  all.push_back(
      {"while_random", 3,
       std::string(kLoop) + "return std::tuple{n + 1, s + tf::random_normal($shape, {.dtype = $dtype})}" + kFrom,
       [](Generator& g, I& i) { return two(i, propose_operands(g, i, true)); },
       [](State& s, const I& i) {
         return loop(i, s.value(i.inputs[1]),
                     [&](const T& state) { return state + tf::random_normal(i.shape, {.dtype = i.dtype}); });
       }});
  all.push_back({"while_write", 6,
                 std::string(kLoop) + "$v.assign_sub(s); return std::tuple{n + 1, $v.read() + $2}" + kFrom,
                 [](Generator& g, I& i) { return two(i, propose_writes(g, i)); },
                 [](State& s, const I& i) {
                   const T& y = s.value(i.inputs[2]);
                   const tf::Variable& v = s.variable(i);
                   return loop(i, s.value(i.inputs[1]), [&](const T& state) {
                     v.assign_sub(state);
                     return v.read() + y;
                   });
                 }});
  all.push_back({"function", 5,
                 "tf::function([](tf::Tensor x, tf::Tensor y) { return x * y - tf::cond(tf::all(tf::equal(x, x)), "
                 "[&] { return x; }, [&] { return y; }); })($1, $2)",
                 with_symbol<propose_numbers>, [](State& s, const I& i) {
                   auto f = tf::function([](T x, T y) {
                     return x * y - tf::cond(
                                        tf::all(tf::equal(x, x)), [&] { return x; }, [&] { return y; });
                   });
                   return Values{f(s.value(i.inputs[1]), s.value(i.inputs[2]))};
                 }});
  all.push_back({"function_random", 3,
                 "tf::function([&](tf::Tensor x) { return x * tf::random_normal($shape, {.dtype = $dtype}); })($1)",
                 propose_floats, [](State& s, const I& i) {
                   auto f = tf::function([&](T x) { return x * tf::random_normal(i.shape, {.dtype = i.dtype}); });
                   return Values{f(s.value(i.inputs[1]))};
                 }});
  all.push_back({"function_write", 5,
                 "tf::function([&](tf::Tensor x, tf::Tensor y) { return $v.assign_add(x) * y + $v; })($1, $2)",
                 with_symbol<propose_writes>, [](State& s, const I& i) {
                   const tf::Variable& v = s.variable(i);
                   auto f = tf::function([&](T x, T y) { return v.assign_add(x) * y + v; });
                   return Values{f(s.value(i.inputs[1]), s.value(i.inputs[2]))};
                 }});
}

}  // namespace fuzz
