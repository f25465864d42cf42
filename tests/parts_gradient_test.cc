// Gradients of tensors from which many parts are taken: slices and rows are summed at once.
#include <twofold/twofold.h>

#include "both_modes.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;
using List = std::vector<double>;

namespace {

std::vector<Tensor> gradient_by(const Tensor& x, const std::function<Tensor(Tensor)>& f) {
  tf::GradientTape tape;
  tape.watch(x);
  const Tensor y = f(x);
  return {tape.gradient(y, x)};
}

// How often each op ran for one gradient of f by x, eagerly and in a run that is not optimised.
std::vector<std::map<std::string, tf::Ledger::OpTime>> ops_of_gradient(const Tensor& x,
                                                                       const std::function<Tensor(Tensor)>& f) {
  tf::Ledger eager, deferred;
  tf::eagerly([&] {
    const auto recording = eager.record();
    gradient_by(x, f);
  });
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor symbol = tf::placeholder(x.dtype(), x.shape());
  const Tensor dx = gradient_by(symbol, f)[0];
  const tf::Session session(graph, {.optimize = false});
  const auto recording = deferred.record();
  session.run(dx, {{symbol, x}});
  return {eager.ops(), deferred.ops()};
}

}  // namespace

TEST_CASE("Slices of one tensor add up in its gradient, overlapping, strided, reversed or whole") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({1.f, 2.f, 3.f, 4.f});
    const Tensor m = tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
    std::vector<Tensor> dxs;
    const auto by = [&](const Tensor& t, const std::function<Tensor(Tensor)>& f) {
      dxs.push_back(gradient_by(t, f)[0]);
    };
    by(x, [](Tensor t) { return tf::sum(tf::slice(t, 0, 3)) + 10.f * tf::sum(tf::slice(t, 1, 3)); });
    by(x, [](Tensor t) { return tf::sum(tf::strided_slice(t, {tf::omitted}, {tf::omitted}, {-2})) + t[0] * 7.f; });
    by(x, [](Tensor t) { return tf::sum(t * t) + 100.f * t[-1]; });
    by(m, [](Tensor t) {
      const auto rows = tf::unstack(t), columns = tf::unstack(t, 1);
      return tf::sum(rows[2]) + 10.f * tf::sum(columns[0]) + 100.f * tf::sum(tf::split(t, {2, 1})[0]);
    });
    by(x, [](Tensor t) { return tf::sum(tf::slice(t, 4, 0)); });
    return dxs;
  });
  CHECK(doubles(all[0]) == List{1, 11, 11, 10});
  CHECK(doubles(all[1]) == List{7, 1, 0, 1});
  CHECK(doubles(all[2]) == List{2, 4, 6, 108});
  CHECK(doubles(all[3]) == List{110, 100, 110, 100, 11, 1});
  CHECK(doubles(all[4]) == List{0, 0, 0, 0});
}

TEST_CASE("Rows that are gathered again and again add up in the gradient") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1.f, 2.f}, {3.f, 4.f}});
    const Tensor dx = gradient_by(x, [](Tensor t) {
      const Tensor one = tf::gather(t, tf::constant({1, 1, 0})),
                   two = tf::gather(t, tf::constant(int64_t{1} << 32) * 0 + 1);
      return tf::sum(one) + 10.f * tf::sum(two) + 100.f * tf::sum(tf::gather(t, tf::constant({{0, 0}}))) +
             t[0][1] * 1000.f;
    })[0];
    return std::vector{dx};
  });
  CHECK(doubles(all[0]) == List{201, 1201, 12, 12});
}

TEST_CASE("What is read in every iteration of a loop adds up in the gradient") {
  const auto all = in_both_modes([] {
    const tf::Variable table(tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}}));
    const Tensor x = tf::constant({1.f, 2.f, 3.f});
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const auto [i, s] = tf::while_loop(
        [](Tensor i, Tensor) { return i < 3; },
        [&](Tensor i, Tensor s) {
          const Tensor xi = tf::gather(x, i);
          return std::tuple{i + 1, s + xi * xi * xi + tf::sum(tf::gather(table, tf::cast(tf::equal(i, 1), tf::int32)))};
        },
        std::tuple{tf::constant(0), tf::constant(0.f)});
    const Tensor dx = tape.gradient(s, x);
    return std::vector{dx, tape.gradient(s, table), tape.gradient(tf::sum(dx), x)};
  });
  CHECK(doubles(all[0]) == List{3, 12, 27});
  CHECK(doubles(all[1]) == List{2, 2, 1, 1, 0, 0});
  CHECK(doubles(all[2]) == List{6, 12, 18});
}

TEST_CASE("Parts that a branch leaves out have no share in the gradient") {
  for (const bool taken : {true, false}) {
    const auto all = in_both_modes([&] {
      const Tensor x = tf::constant({1.f, 2.f, 3.f}), p = tf::constant(taken);
      const auto maybe = [&](const Tensor& t) {
        return tf::cond(
            p, [&] { return t * 10.f; }, [&] { return tf::stop_gradient(t); });
      };
      std::vector<Tensor> dxs;
      const auto by = [&](const std::function<Tensor(Tensor)>& f) { dxs.push_back(gradient_by(x, f)[0]); };
      by([&](Tensor t) { return tf::sum(maybe(t[0])) + t[1]; });
      by([&](Tensor t) {
        return tf::sum(maybe(tf::gather(t, tf::constant({2, 2})))) + tf::sum(tf::gather(t, tf::constant({2})));
      });
      by([&](Tensor t) { return tf::sum(maybe(t[0])) + tf::sum(t * t); });
      return dxs;
    });
    const double ten = taken ? 10 : 0;
    CHECK(doubles(all[0]) == List{ten, 1, 0});
    CHECK(doubles(all[1]) == List{0, 0, 2 * ten + 1});
    CHECK(doubles(all[2]) == List{2 + ten, 4, 6});
  }
}

TEST_CASE("The gradient by a tensor in many parts is one op") {
  const Tensor x = tf::tensor(std::vector<float>(64, 2.f), {64, 1});
  const auto product = [](const std::vector<Tensor>& parts) {
    Tensor y = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) y = y + parts[i] * parts[i - 1];
    return tf::sum(y);
  };
  for (const auto& ops : ops_of_gradient(x, [&](Tensor t) { return product(tf::unstack(t)); })) {
    CHECK(ops.at("SumSlices").calls == 1);
    CHECK_FALSE(ops.contains("PadLike"));
  }
  const auto gathered = [&](Tensor t) {
    std::vector<Tensor> rows;
    for (int i = 0; i < 64; ++i) rows.push_back(tf::gather(t, tf::tensor(i)));
    return product(rows);
  };
  for (const auto& ops : ops_of_gradient(x, gathered)) CHECK(ops.at("ScatterAdd").calls == 1);
  const auto looped = [&](Tensor t) {
    const auto [i, y] = tf::while_loop([](Tensor i, Tensor) { return i < 64; },
                                       [&](Tensor i, Tensor y) {
                                         return std::tuple{i + 1, y * tf::gather(t, i)};
                                       },
                                       std::tuple{tf::constant(0), tf::constant({0.5f})});
    return tf::sum(y);
  };
  const auto loop_ops = ops_of_gradient(x, looped);
  CHECK(loop_ops[0].at("ScatterAdd").calls == 1);
}

TEST_CASE("Parts whose extents only a run knows add up the same") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1, -1});
  const Tensor y = tf::sum(x[0]) + 10.f * tf::sum(tf::strided_slice(x, {-1}, {tf::omitted}, {-1})) +
                   100.f * tf::sum(tf::gather(x, tf::constant({1}))) +
                   1000.f * tf::sum(tf::gather(x, tf::constant({{1}, {0}})));
  const Tensor dx = tf::gradients(y, {x})[0];
  const tf::Session session;
  CHECK(doubles(session.run(dx, {{x, {{1.f}, {2.f}, {3.f}}}})) == List{1011, 1110, 10});
  CHECK(doubles(session.run(dx, {{x, {{1.f, 1.f}, {2.f, 2.f}}}})) == List{1011, 1011, 1110, 1110});
}

TEST_CASE("Rows that come through a slice into control flow are summed alike in both modes, at every order") {
  const auto branch = [](const Tensor& y) {
    return tf::cond(tf::sum(y) < 100.f, [&] { return tf::sin(y); }, [&] { return y; });
  };
  for (int i = 0; i < 40; ++i)
    in_both_modes([&] {
      const Tensor e = tf::constant({0.79f + 0.013f * static_cast<float>(i), 0.7f}), rows = tf::constant({0, 0, 0});
      const Tensor again = tf::constant({0, 0, 1});
      std::vector<Tensor> all;
      const auto twice = [&](const std::function<Tensor(Tensor)>& f) {
        tf::GradientTape outer({.persistent = true});
        outer.watch(e);
        const Tensor first = gradient_by(e, f)[0];
        all.push_back(first);
        all.push_back(outer.gradient(tf::sum(tf::sin(first)), e)[0]);
      };
      twice([&](Tensor t) {
        return tf::sum(tf::square(branch(tf::slice(tf::gather(t, rows), 0, 3)) + tf::cos(tf::gather(t, again))));
      });
      twice([&](Tensor t) { return tf::sum(tf::sin(branch(tf::sin(tf::gather(t, rows)) + tf::cos(tf::gather(t, again))))); });
      return all;
    });
}
