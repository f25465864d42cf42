// Records of the optimisers' updates.
#include <cmath>

#include <twofold/kernels/optimizer/optimizer.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

/// Of one element in update number t, 0 if none are counted: the new parameter; `s` is the state, which it changes.
using Step = std::function<double(double p, double g, std::vector<double>& s, double lr, double t)>;

void add(std::vector<Record>& all, const char* op, const char* label, size_t state, bool counted, const Step& step,
         Call call) {
  Record r{.op = op, .label = label, .call = std::move(call)};
  r.reference = [=](std::span<const Array> in) {
    Arrays out(state + 1, {in[0].dtype, in[0].shape, {}});
    const double lr = in.back().values[0], t = counted ? in[2 + state].values[0] + 1 : 0;
    for (size_t i = 0; i < in[0].values.size(); ++i) {
      std::vector<double> s;
      for (size_t k = 0; k < state; ++k) s.push_back(in[2 + k].values[i]);
      const double p = step(in[0].values[i], in[1].values[i], s, lr, t);
      out[0].values.push_back(stored(p, in[0].dtype));
      for (size_t k = 0; k < state; ++k) out[1 + k].values.push_back(stored(s[k], in[0].dtype));
    }
    if (counted) out.push_back({int64, {}, {t}});
    return out;
  };
  for (const Shape& shape : {Shape{}, Shape{3}, Shape{0, 2}, Shape{5, 7}, Shape{3, 6000}}) {
    std::vector<Shape> shapes(2 + state, shape);
    shapes.resize(shapes.size() + counted + 1);
    r.shapes.push_back(shapes);
  }
  r.dtypes = {float32, float64};
  r.fixed.resize(2 + state);
  if (counted) r.fixed.emplace_back(int64);
  r.fixed.emplace_back(float64);
  // Sums of squares are not negative, and more than averages squared.
  r.samples = {{}, {}};
  if (state > 0) r.samples.push_back({2, 3});
  if (state > 1) r.samples.resize(2 + state, {0.1, 1.2});
  if (counted) r.samples.push_back({0, 20});
  r.samples.push_back({0.01, 0.1});
  r.tolerance32 = 3e-6;
  all.push_back(r);
}

std::span<const Tensor> state_of(std::span<const Tensor> in, size_t n) { return in.subspan(2, n); }

void add_adam(std::vector<Record>& all, const char* label, const AdamUpdateAttrs& a) {
  add(
      all, "AdamUpdate", label, 2, true,
      [a](double p, double g, std::vector<double>& s, double lr, double t) {
        if (a.decoupled)
          p *= 1 - lr * a.weight_decay;
        else
          g += a.weight_decay * p;
        s[0] = a.beta1 * s[0] + (1 - a.beta1) * g;
        s[1] = a.beta2 * s[1] + (1 - a.beta2) * g * g;
        const double mean = s[0] / (1 - std::pow(a.beta1, t)), square = s[1] / (1 - std::pow(a.beta2, t));
        return p - lr * mean / (std::sqrt(square) + a.eps);
      },
      [a](auto in) { return adam_update(in[0], in[1], state_of(in, 3), in[5], a); });
  all.back().samples[2] = {-3, 3};
  all.back().samples[3] = {0.1, 3};
  all.back().tolerance64 = 1e-13;  // 1 - beta2^t magnifies how pow rounds, which differs between devices
}

void add_sgd(std::vector<Record>& all, const char* label, const SGDUpdateAttrs& a) {
  const size_t state = a.momentum != 0;
  add(
      all, "SGDUpdate", label, state, false,
      [a](double p, double g, std::vector<double>& s, double lr, double) {
        g += a.weight_decay * p;
        if (a.momentum == 0) return p - lr * g;
        s[0] = a.momentum * s[0] + g;
        return p - lr * (a.nesterov ? g + a.momentum * s[0] : s[0]);
      },
      [a, state](auto in) { return sgd_update(in[0], in[1], state_of(in, state), in[2 + state], a); });
}

void add_rmsprop(std::vector<Record>& all, const char* label, const RMSPropUpdateAttrs& a) {
  const size_t state = 1 + a.centered + (a.momentum != 0);
  add(
      all, "RMSPropUpdate", label, state, false,
      [a](double p, double g, std::vector<double>& s, double lr, double) {
        g += a.weight_decay * p;
        s[0] = a.alpha * s[0] + (1 - a.alpha) * g * g;
        double variance = s[0];
        if (a.centered) {
          s[1] = a.alpha * s[1] + (1 - a.alpha) * g;
          variance -= s[1] * s[1];
        }
        double step = g / (std::sqrt(variance) + a.eps);
        if (a.momentum != 0) step = s.back() = a.momentum * s.back() + step;
        return p - lr * step;
      },
      [a, state](auto in) { return rmsprop_update(in[0], in[1], state_of(in, state), in[2 + state], a); });
}

void add_adagrad(std::vector<Record>& all, const char* label, const AdagradUpdateAttrs& a) {
  const bool counted = a.lr_decay != 0;
  add(
      all, "AdagradUpdate", label, 1, counted,
      [a](double p, double g, std::vector<double>& s, double lr, double t) {
        g += a.weight_decay * p;
        s[0] += g * g;
        return p - lr / (1 + (t - 1) * a.lr_decay) * g / (std::sqrt(s[0]) + a.eps);
      },
      [a, counted](auto in) { return adagrad_update(in[0], in[1], state_of(in, 1 + counted), in[3 + counted], a); });
}

/// Every row of p that is named, once, by the sum of its rows.
void add_sgd_rows(std::vector<Record>& all, DType indices, double most, std::vector<std::vector<Shape>> shapes) {
  Record r{.op = "SGDRowsUpdate", .label = std::string(name_of(indices))};
  r.call = [](auto in) { return Tensors{sgd_rows_update(in[0], in[1], in[2], in[3])}; };
  r.reference = [](std::span<const Array> in) -> Arrays {
    Array p = in[0];
    p.magnitude.resize(p.values.size());
    const size_t rows = static_cast<size_t>(p.shape[0]), columns = rows ? p.values.size() / rows : 0;
    for (size_t i = 0; i < p.values.size(); ++i) p.magnitude[i] = std::abs(p.values[i]);
    for (size_t i = 0; i < in[2].values.size(); ++i)
      for (size_t k = 0; k < columns; ++k) {
        const size_t to = static_cast<size_t>(in[2].values[i]) * columns + k;
        const double step = in[3].values[0] * in[1].values[i * columns + k];
        p.values[to] -= step, p.magnitude[to] += std::abs(step);
      }
    for (double& v : p.values) v = stored(v, p.dtype);
    return {p};
  };
  r.shapes = std::move(shapes);
  r.dtypes = {float32, float64};
  r.fixed = {{}, {}, indices, float64};
  r.samples = {{-3, 3}, {-3, 3}, {0, most}, {0.01, 0.1}};
  r.tolerance32 = 1e-6;
  all.push_back(r);
}

}  // namespace

void add_optimizer_records(std::vector<Record>& all) {
  add_adam(all, "Adam", {});
  add_adam(all, "decay", {.beta1 = 0.5, .beta2 = 0.7, .eps = 1e-2, .weight_decay = 0.3});
  add_adam(all, "AdamW", {.weight_decay = 0.3, .decoupled = true});
  add_sgd(all, "plain", {});
  add_sgd(all, "decay", {.weight_decay = 0.2});
  add_sgd(all, "momentum", {.momentum = 0.9});
  add_sgd(all, "Nesterov, decay", {.momentum = 0.9, .weight_decay = 0.2, .nesterov = true});
  add_sgd_rows(all, int32, 4,
               {{{5, 3}, {3, 3}, {3}, {}},
                {{5}, {}, {}, {}},
                {{5, 0}, {2, 0}, {2}, {}},
                {{7, 2}, {0, 2}, {0}, {}},
                {{5, 2, 3}, {2, 2, 2, 3}, {2, 2}, {}},
                {{6, 301}, {400, 301}, {400}, {}}});
  add_sgd_rows(all, int64, 20000, {{{20001, 3}, {300, 3}, {300}, {}}, {{20001, 5}, {9000, 5}, {9000}, {}}});
  add_rmsprop(all, "plain", {});
  add_rmsprop(all, "decay, momentum", {.alpha = 0.9, .eps = 1e-2, .weight_decay = 0.1, .momentum = 0.5});
  add_rmsprop(all, "centered, momentum", {.alpha = 0.9, .eps = 1e-2, .momentum = 0.5, .centered = true});
  add_adagrad(all, "plain", {.eps = 1e-3});
  add_adagrad(all, "decay", {.weight_decay = 0.2, .eps = 1e-3});
  add_adagrad(all, "lr_decay", {.lr_decay = 0.1});
}

}  // namespace op_test
