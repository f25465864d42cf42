#include "oracle.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "same_bits.h"

namespace oracle {

std::set<std::string>& covered() {
  static std::set<std::string> names;
  return names;
}

Covers::Covers(std::string_view names) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(','), names.size());
    std::string_view name = names.substr(0, end);
    while (name.starts_with(' ')) name.remove_prefix(1);
    covered().emplace(name);
    names.remove_prefix(std::min(end + 1, names.size()));
  }
}

Tensor make(DType dtype, const Shape& shape, const Reals& values) {
  return tf::dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool>) {
      std::vector<uint8_t> bytes;
      for (const real v : values) bytes.push_back(v != 0);
      return tf::cast(tf::tensor(bytes, shape), tf::bool_);
    } else {
      std::vector<T> elements;
      for (const real v : values) elements.push_back(static_cast<T>(v));
      return tf::tensor(elements, shape);
    }
  });
}

Reals values_of(const Tensor& t) {
  return tf::dispatch(t.dtype(), [&](auto zero) {
    const auto data = t.data<decltype(zero)>();
    return Reals(data.begin(), data.end());
  });
}

namespace {

template <class T>
bool near(T got, real wanted, const Within& within, real term) {
  if (wanted == kAnything) return true;
  if (std::isnan(wanted)) return std::isnan(got);
  if constexpr (!std::is_floating_point_v<T>) {
    return static_cast<real>(got) == wanted;
  } else {
    using L = std::numeric_limits<T>;
    if (std::isnan(got)) return false;
    const T rounded = static_cast<T>(wanted);
    if (got == rounded) return !within.zero_sign || wanted != 0 || std::signbit(got) == std::signbit(wanted);
    if (std::isinf(wanted)) return false;
    // Beyond the largest a unit is as large as below it.
    const real largest = std::fmax(std::fabs(wanted), std::isfinite(term) ? std::fabs(term) : 0);
    const int exponent = largest == 0 ? L::min_exponent : std::max(std::ilogb(largest) + 1, L::min_exponent);
    const real unit = std::ldexp(real(1), std::min(exponent, L::max_exponent) - L::digits);
    const real have = std::isinf(got) ? std::copysign(std::ldexp(real(1), L::max_exponent), real(got)) : real(got);
    return std::fabs(have - wanted) <=
           real(within.ulps) * unit + within.size * real(L::epsilon()) + within.tiny * real(L::denorm_min());
  }
}

}  // namespace

std::string off(const Tensor& got, DType dtype, const Shape& shape, const Reals& wanted, Within within,
                const Reals& terms) {
  std::ostringstream text;
  if (got.dtype() != dtype || got.shape() != shape) {
    text << "got " << got.dtype() << got.shape() << ", wanted " << dtype << shape;
    return text.str();
  }
  int told = 0;
  tf::dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto have = got.data<T>();
    for (size_t i = 0; i < wanted.size() && told < 8; ++i) {
      if (near<T>(have[i], wanted[i], within, i < terms.size() ? terms[i] : 0)) continue;
      ++told;
      text << std::setprecision(20) << "\n  element " << i << " is " << +have[i] << ", wanted " << wanted[i];
      if constexpr (std::is_floating_point_v<T>)
        if (std::isfinite(wanted[i]) && wanted[i] != 0)
          text << std::setprecision(3) << " (off by " << std::fabs((real(have[i]) - wanted[i]) / wanted[i])
               << " of it)";
    }
  });
  return text.str();
}

Tensors everyway(const Call& call, const Tensors& inputs) {
  const Tensors eager = tf::eagerly([&] { return call(inputs); });
  for (int known = 0; known < 3; ++known) {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const tf::DeferredMode deferred;
    Tensors symbols;
    std::vector<tf::Feed> feeds;
    for (const Tensor& t : inputs) {
      const Shape declared = known == 0 ? t.shape() : known == 1 ? Shape::of_rank(t.rank()) : tf::unknown_shape;
      symbols.push_back(tf::placeholder(t.dtype(), declared));
      feeds.emplace_back(symbols.back(), t);
    }
    Tensors results;
    try {
      results = call(symbols);
    } catch (const tf::Error& e) {
      // An op that needs a rank says so.
      if (known == 2 && e.message().find("rank") != std::string::npos) break;
      throw;
    }
    Tensors wanted;
    for (const Tensor& t : results)
      if (t.defined() && t.is_symbolic()) wanted.push_back(t);
    for (const bool optimize : {false, true}) {
      const tf::Session session(graph, {.optimize = optimize});
      const Tensors fetched = session.run(wanted, feeds);
      auto next = fetched.begin();
      for (size_t i = 0; i < results.size(); ++i) {
        if (!results[i].defined() || !eager[i].defined()) {
          CHECK(results[i].defined() == eager[i].defined());
          continue;
        }
        const Tensor got = results[i].is_symbolic() ? *next++ : results[i];
        INFO("result " << i << ", known " << known << ", optimize " << optimize << ":\n"
                       << got << "\neager:\n"
                       << eager[i]);
        CHECK(testing::same_bits(got, eager[i]));
      }
    }
  }
  return eager;
}

Derived derive(const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
  const auto program = [&](const Tensors& in) -> Tensors {
    tf::GradientTape tape({.persistent = true});
    tape.watch(in[0]);
    const Tensor y = f(in[0]);
    const Tensor first = tape.gradient(y, in[0]);
    if (!first.defined()) return {y, tf::zeros_like(in[0]), tf::zeros_like(in[0])};
    const Tensor second = tape.gradient(first, in[0]);
    return {y, first, second.defined() ? second : tf::zeros_like(in[0])};
  };
  const Tensors all = everyway(program, {x});
  return {all[0], all[1], all[2]};
}

}  // namespace oracle
