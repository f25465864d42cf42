#include "cases.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include <twofold/eager/tape.h>
#include <twofold/lib/autodiff/gradient_tape.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/op/opdef.h>

namespace op_test {

namespace tf = twofold;

std::string describe(const Record& r, const std::vector<Shape>& shapes, DType dtype) {
  std::string text = r.op + " (" + r.label + ") " + std::string(name_of(dtype));
  for (const Shape& s : shapes) text += " " + s.str();
  return text;
}

int64_t elements(const std::vector<Shape>& shapes) {
  int64_t n = 0;
  for (const Shape& s : shapes) n += s.num_elements();
  return n;
}

bool brief() {
  static const bool wanted = std::getenv("TWOFOLD_OPS_BRIEF") != nullptr;
  return wanted;
}

namespace {

// The largest that is moderate, else the smallest; one without elements only where there is no other.
const std::vector<Shape>& moderate(const std::vector<std::vector<Shape>>& all) {
  constexpr int64_t kMost = 4096;
  const auto rank = [](const std::vector<Shape>& shapes) {
    const int64_t n = elements(shapes);
    return n == 0 ? std::numeric_limits<int64_t>::min() : n <= kMost ? n : -n;
  };
  return *std::ranges::max_element(all, {}, rank);
}

}  // namespace

void for_each_case(const CaseFunction& f) {
  const auto one = [&](const Record& r, const std::vector<Shape>& shapes, DType dtype) {
    Random random(std::hash<std::string>()(describe(r, shapes, dtype)));
    f(r, shapes, dtype, random);
  };
  size_t number = 0;
  for (const Record& r : records()) {
    ++number;
    if (brief()) {
      one(r, moderate(r.shapes), r.dtypes[number % r.dtypes.size()]);
      continue;
    }
    for (const auto& shapes : r.shapes)
      for (DType dtype : r.dtypes) one(r, shapes, dtype);
  }
}

void for_each_special_case(const std::function<void(const Record& r, DType dtype, const Arrays& inputs)>& f) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> special = {0.0,   -0.0,   1,    -1,    0.5, inf, -inf, std::nan(""),
                                       1e-30, -1e-30, 1e30, -1e30, 90,  -90, 110,  -110};
  const auto n = static_cast<int64_t>(special.size());
  for (const Record& r : records()) {
    if (r.shapes[0].size() > 2 || !tf::find_op(r.op)->flags.pointwise || r.op == "Cast") continue;
    for (DType dtype : r.dtypes) {
      if (!tf::is_floating(dtype)) continue;
      std::vector<double> values = special;
      for (double& v : values) v = stored(v, dtype);
      Arrays inputs{{dtype, {n, 1}, values}};
      if (r.shapes[0].size() == 2) inputs.push_back({dtype, {n}, values});
      f(r, dtype, inputs);
    }
  }
}

Tensors GradientProgram::operator()(std::span<const Tensor> in) const {
  const auto body = [&]() -> Tensors {
    std::vector<tf::Differentiable> xs;
    for (int i : record.gradient_of) xs.emplace_back(in[static_cast<size_t>(i)]);
    const Tensors ys = record.call(in);
    Tensors results = tf::gradients(ys, xs, {ws.begin(), ws.begin() + static_cast<std::ptrdiff_t>(ys.size())});
    Tensors firsts, projections;
    for (size_t i = 0; i < results.size(); ++i)
      if (results[i].defined()) firsts.push_back(results[i]), projections.push_back(vs[i]);
    for (Tensor& second : tf::gradients(firsts, xs, projections)) results.push_back(second);
    return results;
  };
  if (in[0].is_symbolic()) return body();
  tf::GradientTape tape({.persistent = true});
  for (int i : record.gradient_of) tape.watch(in[static_cast<size_t>(i)]);
  return body();
}

Call GradientProgram::defined_ones() const {
  return [this](std::span<const Tensor> in) {
    Tensors results = (*this)(in);
    std::erase_if(results, [](const Tensor& t) { return !t.defined(); });
    return results;
  };
}

namespace {
Array random_like(DType dtype, const Shape& shape, Random& random) {
  Array a{dtype, shape, {}};
  for (int64_t i = 0; i < shape.num_elements(); ++i) a.values.push_back(stored(0.25 + random.uniform(), dtype));
  return a;
}
}  // namespace

GradientProgram program_for(const Record& r, const Arrays& inputs, Random& random) {
  GradientProgram program{r, {}, {}};
  for (const Tensor& y : run_eagerly(r.call, to_tensors(inputs)))
    program.ws.push_back(to_tensor(random_like(y.dtype(), y.shape(), random)));
  for (int i : r.gradient_of) {
    const Array& x = inputs[static_cast<size_t>(i)];
    program.vs.push_back(to_tensor(random_like(x.dtype, x.shape, random)));
  }
  return program;
}

}  // namespace op_test
