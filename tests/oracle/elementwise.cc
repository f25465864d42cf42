#include "elementwise.h"

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>

namespace oracle {
namespace {

const tf::PointwiseRecord& record(const std::string& function) {
  for (const auto& r : tf::pointwise_records())
    if (function == r.function) return r;
  throw std::logic_error("no op " + function);
}

Reals each(const Reals& xs, F1 f) {
  Reals y;
  for (const real x : xs) y.push_back(f(x));
  return y;
}
Reals each(const Reals& a, const Reals& b, F2 f) {
  Reals y;
  for (size_t i = 0; i < a.size(); ++i) y.push_back(f(a[i], b[i]));
  return y;
}

}  // namespace

void check(const Unary& u) {
  for_floating([&](auto zero, DType dtype) {
    const Reals xs = everywhere<decltype(zero)>();
    const auto [y, first, second] =
        derive([&](const Tensor& x) { return record(u.function).unary(x); }, make(dtype, xs));
    const Reals at = values_of(make(dtype, xs));
    const auto tell = [&](const char* what, const Tensor& got, F1 f, Within within, F1 term) {
      const std::string wrong = off_list(got, dtype, each(at, f), within, term ? each(at, term) : Reals());
      std::string where;
      for (size_t i = 0; i < at.size(); ++i)
        if (wrong.find("element " + std::to_string(i) + " is") != std::string::npos)
          where += "\n  element " + std::to_string(i) + " is of x = " + std::to_string((double)at[i]);
      INFO(u.function << " " << what << " " << dtype << wrong << where);
      CHECK(wrong.empty());
    };
    tell("value", y, u.f, u.value, nullptr);
    // Which of the two zeros a derivative is depends on the order of its factors.
    const auto either_zero = [](Within w) { return w.zero_sign = false, w; };
    tell("first derivative", first, u.first, either_zero(u.slope), u.slope_term);
    tell("second derivative", second, u.second, either_zero(u.bend), u.bend_term);
  });
}

void check(const Binary& o) {
  for_floating([&](auto zero, DType dtype) {
    const auto [as, bs] = pairs(extremes<decltype(zero)>());
    const Tensors in{make(dtype, as), make(dtype, bs)};
    const Reals a = values_of(in[0]), b = values_of(in[1]);
    const auto program = [&](const Tensors& x) {
      tf::GradientTape tape({.persistent = true});
      tape.watch(x[0]), tape.watch(x[1]);
      const Tensor y = record(o.function).binary(x[0], x[1]);
      Tensors all{y};
      const auto zeros_for_none = [&](const Tensor& t) { return t.defined() ? t : tf::zeros_like(x[0]); };
      const Tensors first = tape.gradient(y, {x[0], x[1]});
      for (const Tensor& t : first) all.push_back(zeros_for_none(t));
      for (const Tensor& t : first)
        for (const Tensor& second : t.defined() ? tape.gradient(t, {x[0], x[1]}) : Tensors(2))
          all.push_back(zeros_for_none(second));
      return all;
    };
    const Tensors all = everyway(program, in);
    const auto tell = [&](const char* what, const Tensor& got, F2 f, Within within, F2 term, bool second = false) {
      Reals wanted = each(a, b, f);
      for (size_t i = 0; i < b.size(); ++i)
        if (second && o.by_reciprocal && std::fabs(1 / b[i]) > std::numeric_limits<decltype(zero)>::max())
          wanted[i] = kAnything;
      const std::string wrong = off_list(got, dtype, wanted, within, term ? each(a, b, term) : Reals());
      std::string where;
      for (size_t i = 0; i < a.size(); ++i)
        if (wrong.find("element " + std::to_string(i) + " is") != std::string::npos)
          where += "\n  element " + std::to_string(i) + " is of " +
                   std::to_string(static_cast<double>(a[i])).substr(0, 30) + ", " +
                   std::to_string(static_cast<double>(b[i])).substr(0, 30);
      INFO(o.function << " " << what << " " << dtype << wrong << where);
      CHECK(wrong.empty());
    };
    tell("value", all[0], o.f, o.value, o.terms[0]);
    tell("by a", all[1], o.by_a, o.slope, o.terms[1]);
    tell("by b", all[2], o.by_b, o.slope, o.terms[2]);
    tell("by aa", all[3], o.by_aa, o.bend, o.terms[3], true);
    tell("by ab", all[4], o.by_ab, o.bend, o.terms[4], true);
    tell("by ba", all[5], o.by_ab, o.bend, o.terms[4], true);
    tell("by bb", all[6], o.by_bb, o.bend, o.terms[5], true);
  });
}

}  // namespace oracle
