// State, feeds, control flow, tapes and files: that what goes in comes out, to the bit, whatever it is; and what a
// tensor says of itself.
#include <iostream>
#include <sstream>

#include <twofold/lib/op/vjp.h>

#include "../io/scratch.h"
#include "oracle.h"

using namespace oracle;

namespace {

constexpr DType kAll[] = {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_};

/// A vector of what lies at the ends of a dtype.
Tensor ends(DType t) {
  return tf::dispatch(t, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) {
      return make(t, extremes<T>());
    } else if constexpr (std::is_same_v<T, bool>) {
      return make(t, {0, 1, 1});
    } else {
      return tf::tensor(integers<T>());
    }
  });
}
std::string kept(const Tensor& got, const Tensor& wanted) {
  return off(got, wanted.dtype(), wanted.shape(), values_of(wanted));
}

}  // namespace

ORACLE(Variable, Variable::read, Variable::assign, Variable::assign_add, Variable::assign_sub, Variable::initial_value,
       Variable::item, Variable::dtype, Variable::shape, assign, assign_add, assign_sub, placeholder,
       global_variables_initializer, Session, Session::run, Session::make_callable, Callable, Feed, step, Step,
       Step::evaluate, variables_initializer, is_variable_initialized, report_uninitialized_variables) {
  for (const DType t : kAll) {
    const Tensor x = ends(t), none = make(t, {0, 2}, {});
    tf::eagerly([&] {
      const tf::Variable v(x), empty(none);
      CHECK((v.dtype() == t && v.shape() == x.shape() && empty.shape() == Shape{0, 2}));
      CHECK(kept(v.read(), x) == "");
      CHECK(kept(v.assign(tf::reverse(x, 0)), tf::reverse(x, 0)) == "");
      CHECK(kept(tf::assign(v, x), x) == "");
      CHECK(kept(empty.assign(none), none) == "");
      CHECK_ERROR(v.assign(none), InvalidArgument, "");
      if (t != tf::bool_) {
        CHECK(kept(v.assign_add(x), tf::add(x, x)) == "");
        CHECK(kept(v.assign_sub(x), tf::subtract(tf::add(x, x), x)) == "");
        v.assign(x);
        CHECK(kept(tf::assign_add(v, x), tf::add(x, x)) == "");
        CHECK(kept(tf::assign_sub(v, x), tf::subtract(tf::add(x, x), x)) == "");
      }
    });
    const tf::Graph graph;
    const auto scope = graph.as_default();
    tf::deferred([&] {
      const tf::Variable v(x);
      const Tensor p = tf::placeholder(t), q = tf::identity(p), next = v.assign(p);
      const tf::Variable w(x, {.name = "w"});
      const tf::Session session;
      CHECK_ERROR(session.run(v), FailedPrecondition, "uninitialized");
      session.run(tf::variables_initializer({v}));
      CHECK((tf::is_variable_initialized(session, v) && !tf::is_variable_initialized(session, w)));
      CHECK(tf::report_uninitialized_variables(session) == std::vector<std::string>{"w"});
      CHECK(kept(session.run(v), x) == "");
      session.run(tf::global_variables_initializer());
      CHECK(tf::report_uninitialized_variables(session, {v, w}).empty());
      CHECK(kept(session.run(v), x) == "");
      CHECK(kept(session.run(v.initial_value()), x) == "");
      CHECK(kept(session.run(q, {{p, x}}), x) == "");
      CHECK(kept(session.run(q, {{p, none}}), none) == "");
      const tf::Feeds feeds{{p, x}};
      CHECK(kept(session.run(q, feeds), x) == "");
      CHECK(kept(session.run(next, {{p, tf::reverse(x, 0)}}), tf::reverse(x, 0)) == "");
      CHECK(kept(session.run(v), tf::reverse(x, 0)) == "");
      CHECK_ERROR(session.run(next, {{p, none}}), InvalidArgument, "");
      CHECK(kept(session.run(v), tf::reverse(x, 0)) == "");  // a failed run changes nothing
      const auto call = session.make_callable(q, {p});
      CHECK(kept(call(x), x) == "");
      CHECK(kept(session.make_callable({q}, {p})(x)[0], x) == "");
      CHECK_ERROR(session.run(q), InvalidArgument, "must feed");
      auto step = tf::step([&](const Tensor& in) { return tf::identity(in); });
      CHECK(kept(step(x), x) == "");
      CHECK(kept(step.evaluate(tf::constant(x)), x) == "");
    });
  }
  // Literals that are fed become the key's dtype where that loses nothing.
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::DeferredMode deferred;
  const tf::Session session;
  const auto fed = [&](DType t, auto v) {
    const Tensor p = tf::placeholder(t);
    return session.run(tf::identity(p), {{p, v}});
  };
  CHECK(off(fed(tf::float32, 16777216), tf::float32, Shape{}, {16777216}) == "");
  CHECK_ERROR(fed(tf::float32, 16777217), InvalidArgument, "16777217");
  CHECK_ERROR(fed(tf::float64, (int64_t{1} << 53) + 1), InvalidArgument, "9007199254740993");
  CHECK_ERROR(fed(tf::float64, INT64_MAX), InvalidArgument, "");
  CHECK(off(fed(tf::float64, INT64_MIN), tf::float64, Shape{}, {-0x1p63L}) == "");
  CHECK(off(fed(tf::float64, 0.1), tf::float64, Shape{}, {0.1}) == "");
  CHECK(off(fed(tf::float32, 0.1), tf::float32, Shape{}, {real(0.1f)}) == "");
  CHECK(off(fed(tf::int32, 3.0), tf::int32, Shape{}, {3}) == "");
  CHECK_ERROR(fed(tf::int32, 3.5), InvalidArgument, "");
  CHECK_ERROR(fed(tf::int32, 0x1p31), InvalidArgument, "");
  CHECK_ERROR(fed(tf::int32, NAN), InvalidArgument, "");
  CHECK_ERROR(fed(tf::uint8, 256), InvalidArgument, "256");
  CHECK_ERROR(fed(tf::uint8, -1), InvalidArgument, "-1");
  CHECK_ERROR(fed(tf::int64, 0x1p63), InvalidArgument, "");
  CHECK(off(fed(tf::int64, -0x1p63), tf::int64, Shape{}, {-0x1p63L}) == "");
  const Tensor shaped = tf::placeholder(tf::float32, {-1, 2});
  CHECK_ERROR(session.run(shaped, {{shaped, tf::tensor({1.f, 2.f, 3.f})}}), InvalidArgument,
              "Cannot feed value of shape (3,)");
  CHECK_ERROR(tf::placeholder(tf::float32, {-2}), InvalidArgument, "");
}

ORACLE(Number, Number::as, Number::fits, Number::is_whole, Number::value, Number::literal, Literal::rounded_in) {
  for_integers([](auto zero, DType t) {
    using L = std::numeric_limits<decltype(zero)>;
    for (const auto v : integers<decltype(zero)>()) {
      CHECK((tf::Number(v).fits(t) && tf::Number(v).is_whole() && tf::Number(v).as<decltype(zero)>() == v));
      CHECK(off(tf::Number(v).literal(t).to_tensor(t), t, Shape{}, {real(v)}) == "");
    }
    for (const double wrong :
         {0.5, double(NAN), double(INFINITY), std::ldexp(1.0, L::digits), -1.5 * std::ldexp(1.0, L::digits)})
      CHECK_FALSE(tf::Number(wrong).fits(t));
    CHECK(tf::Number(double(L::min())).fits(t));
  });
  CHECK((tf::Number(INT64_MAX) > tf::Number(0x1p62) && tf::Number(INT64_MAX) < tf::Number(0x1p63) &&
         tf::Number(INT64_MIN) == tf::Number(-0x1p63)));
  CHECK_FALSE((tf::Number(NAN) < tf::Number(1) || tf::Number(NAN) >= tf::Number(1)));
  CHECK((tf::Number(0.1).value() == 0.1 && tf::Number(true).value() == 1 && tf::Number(UINT64_MAX).value() == 0x1p64));
  CHECK((!tf::Number(0.5).is_whole() && !tf::Number(INFINITY).is_whole() && tf::Number(1e300).is_whole()));
  CHECK((tf::Literal(16777217).rounded_in(tf::float32) == 16777217 && !tf::Literal(16777217).rounded_in(tf::float64) &&
         !tf::Literal(16777216).rounded_in(tf::float32)));
  CHECK((tf::Literal(INT64_MAX).rounded_in(tf::float64) == INT64_MAX && !tf::Literal(INT64_MAX).rounded_in(tf::int64) &&
         !tf::Literal(INT64_MIN).rounded_in(tf::float64)));
}

ORACLE(Tensor::item, Tensor::data, Tensor::num_elements, Tensor::dim, Tensor::rank, Tensor::shape, Tensor::dtype,
       Tensor::to, Tensor::defined, Tensor::is_concrete, Tensor::is_symbolic, Tensor::same_as) {
  for (const DType t : kAll) {
    const Tensor x = ends(t);
    CHECK((x.dtype() == t && x.rank() == 1 && x.num_elements() == x.dim(0) && x.shape() == Shape{x.num_elements()}));
    CHECK(kept(x.to("/cpu:0"), x) == "");
    const Reals v = values_of(x);
    for (int64_t i = 0; i < x.num_elements(); ++i) {
      const real wanted = v[static_cast<size_t>(i)];
      // As a double where that loses nothing, else an error.
      if (std::isnan(wanted)) {
        CHECK(std::isnan(x[i].item<double>()));
      } else if (static_cast<real>(static_cast<double>(wanted)) == wanted) {
        CHECK(x[i].item<double>() == static_cast<double>(wanted));
      } else {
        CHECK_ERROR(x[i].item<double>(), InvalidArgument, "");
      }
    }
  }
  CHECK(tf::tensor(INT64_MAX).item<int64_t>() == INT64_MAX);
  CHECK(tf::tensor(7.f).item<int>() == 7);
  CHECK_ERROR(tf::tensor(INT64_MAX).item<int32_t>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor(7.5f).item<int>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor(NAN).item<int>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor(0x1p63).item<int64_t>(), InvalidArgument, "");
  CHECK_ERROR(make(tf::float64, Shape{}, {1e300L}).item<float>(), InvalidArgument, "");
  CHECK_ERROR(make(tf::float64, Shape{}, {real(0.1)}).item<float>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor(16777217).item<float>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor(-1).item<uint8_t>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor({1, 2}).item<int>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor({1, 2}).data<float>(), InvalidArgument, "");
  CHECK_ERROR(tf::tensor({1, 2}).dim(1), OutOfRange, "");
  CHECK_ERROR(tf::tensor({1, 2}).dim(INT64_MIN), OutOfRange, "");
  CHECK_FALSE(Tensor().defined());
  CHECK_ERROR(Tensor().dtype(), InvalidArgument, "");
  const Tensor a = tf::tensor({1, 2}), b = a;
  CHECK((a.same_as(b) && !a.same_as(tf::tensor({1, 2})) && a.is_concrete() && !a.is_symbolic()));
  CHECK(make(tf::float32, {0, 3}, {}).data<float>().empty());
}

ORACLE(cond, while_loop, print, with_effects, group, assert_that) {
  for (const DType t : kAll) {
    const Tensor x = ends(t), y = tf::reverse(x, 0);
    for (const bool taken : {true, false}) {
      const Tensor p = tf::tensor(taken);
      CHECK(kept(everyway1(
                     [](const Tensors& in) {
                       return tf::cond(
                           in[0], [&] { return in[1]; }, [&] { return in[2]; });
                     },
                     {p, x, y}),
                 taken ? x : y) == "");
    }
    // As often as the state says, none included.
    for (const int times : {0, 1, 3})
      CHECK(kept(everyway1(
                     [](const Tensors& in) {
                       return std::get<1>(tf::while_loop([](const Tensor& n, const Tensor&) { return n > 0; },
                                                         [](const Tensor& n, const Tensor& s) {
                                                           return std::tuple{n - 1, tf::reverse(s, 0)};
                                                         },
                                                         std::tuple{in[0], in[1]}));
                     },
                     {tf::tensor(times), x}),
                 times % 2 ? y : x) == "");
    CHECK(kept(everyway1([](const Tensors& in) { return tf::with_effects(in[0], {}); }, {x}), x) == "");
  }
  for_floating([](auto, DType t) {
    // x^3 by a loop: 3 x^2, then 6 x; by the branch that x is not in: 0.
    const Tensor x = make(t, Shape{}, {-2});
    const auto [y, first, second] = derive(
        [](const Tensor& v) {
          return std::get<1>(tf::while_loop([](const Tensor& n, const Tensor&) { return n < 3; },
                                            [&](const Tensor& n, const Tensor& s) {
                                              return std::tuple{n + 1, s * v};
                                            },
                                            std::tuple{tf::constant(0), tf::ones_like(v)}));
        },
        x);
    CHECK(off(y, t, Shape{}, {-8}) == "");
    CHECK(off(first, t, Shape{}, {12}) == "");
    CHECK(off(second, t, Shape{}, {-12}) == "");
    const auto [z, slope, bend] = derive(
        [](const Tensor& v) {
          return tf::cond(
              v > 0, [&] { return tf::log(v); }, [&] { return v * v; });
        },
        x);
    CHECK(off(z, t, Shape{}, {4}) == "");
    CHECK(off(slope, t, Shape{}, {-4}) == "");
    CHECK(off(bend, t, Shape{}, {2}) == "");
  });
  tf::eagerly([] {
    CHECK_ERROR(tf::assert_that(tf::tensor(false), "no"), InvalidArgument, "no");
    CHECK_ERROR(tf::assert_that(tf::tensor({true}), "no"), InvalidArgument, "");
    CHECK_ERROR(tf::assert_that(tf::tensor(1), "no"), InvalidArgument, "");
    tf::assert_that(tf::tensor(true), "yes");
    tf::group({tf::tensor(1)});
    CHECK_ERROR(tf::cond(
                    tf::tensor(1), [] { return tf::tensor(1); }, [] { return tf::tensor(2); }),
                InvalidArgument, "");
    CHECK_ERROR(tf::cond(
                    tf::tensor({true}), [] { return tf::tensor(1); }, [] { return tf::tensor(2); }),
                InvalidArgument, "");
    std::ostringstream text;
    auto* outer = std::cout.rdbuf(text.rdbuf());
    tf::print(tf::tensor({1.f, INFINITY, -INFINITY, NAN, -0.f}), "x = ");
    std::cout.rdbuf(outer);
    CHECK(text.str() == "x = [  1.  inf -inf  nan  -0.]\n");
  });
}

ORACLE(gradients, GradientTape, GradientTape::gradient, GradientTape::watch, vjp) {
  for_floating([](auto, DType t) {
    const Tensor a = make(t, {1, 2}), b = make(t, {3, kInf});
    const auto program = [](const Tensors& in) {
      tf::GradientTape tape({.persistent = true});
      tape.watch(in[0]), tape.watch(in[1]);
      const Tensor y = in[0] * in[1], z = tf::square(in[0]);
      Tensors all = tf::gradients({y, z}, {in[0], in[1]});
      for (const Tensor& g : tf::gradients({y}, {in[0], in[1]}, {in[1]})) all.push_back(g);
      all.push_back(tape.gradient(z, in[0]));
      all.push_back(tape.gradient(z, in[1]));  // None
      const Tensor inputs[] = {in[0], in[1]}, dys[] = {in[0]};
      for (const Tensor& g : tf::vjp([](std::span<const Tensor> x) { return Tensors{x[0] * x[1]}; }, inputs, dys))
        all.push_back(g);
      return all;
    };
    const Tensors got = everyway(program, {a, b});
    CHECK(off_list(got[0], t, {5, kInf}) == "");
    CHECK(off_list(got[1], t, {1, 2}) == "");
    CHECK(off_list(got[2], t, {9, kInf}) == "");
    CHECK(off_list(got[3], t, {3, kInf}) == "");
    CHECK(off_list(got[4], t, {2, 4}) == "");
    CHECK_FALSE(got[5].defined());
    CHECK(off_list(got[6], t, {3, kInf}) == "");
    CHECK(off_list(got[7], t, {1, 4}) == "");
    tf::eagerly([&] {
      CHECK_ERROR(tf::gradients(a * 2, {a}), FailedPrecondition, "tape");
      tf::GradientTape tape;
      tape.watch(a);
      CHECK_ERROR(tape.watch(tf::tensor({1})), InvalidArgument, "");
      const Tensor y = a * 2;
      CHECK(off_list(tape.gradient(y, a), t, {2, 2}) == "");
      CHECK_ERROR(tape.gradient(y, a), FailedPrecondition, "");
    });
  });
}

ORACLE(io::save_idx, io::load_idx, io::save_safetensors, io::load_safetensors, io::save_npy, io::load_npy, io::save_npz,
       io::load_npz, io::TensorFile, io::TensorFile::find, io::TensorFile::contains, io::TensorFile::size, io::Examples,
       io::Examples::gather, io::Examples::slice, io::Examples::size, io::Examples::shape, io::Examples::dtype,
       io::map_file, io::DataLoader, io::DataLoader::next, io::DataLoader::epoch, read_state, load_state) {
  const Scratch scratch;
  tf::io::NamedTensors all;
  for (const DType t : kAll) {
    const Tensor x = ends(t), none = make(t, {2, 0}, {});
    all.emplace_back(std::string(name_of(t)), x);
    all.emplace_back("none of " + std::string(name_of(t)), none);
    if (t != tf::int64 && t != tf::bool_)
      for (const Tensor& v : {x, none}) {
        tf::io::save_idx(scratch / "x", v);
        CHECK(kept(tf::io::load_idx(scratch / "x"), v) == "");
      }
    for (const Tensor& v : {x, none}) {
      tf::io::save_npy(scratch / "x.npy", v);
      CHECK(kept(tf::io::load_npy(scratch / "x.npy"), v) == "");
    }
    const tf::io::Examples examples(x);
    CHECK((examples.size() == x.num_elements() && examples.dtype() == t && examples.shape() == Shape{}));
    const std::vector<int64_t> order = {2, 0, 2};
    CHECK(kept(examples.gather(order), tf::eagerly([&] { return tf::gather(x, tf::tensor(order)); })) == "");
    CHECK(kept(examples.slice(1, 2), tf::slice(x, {1}, {2})) == "");
    CHECK(kept(examples.slice(0, 0), make(t, {0}, {})) == "");
    for (const int64_t wrong : {examples.size(), int64_t{-1}, INT64_MAX, INT64_MIN}) {
      CHECK_ERROR(examples.gather(std::vector<int64_t>{wrong}), OutOfRange, "");
      CHECK_ERROR(examples.slice(wrong, 1), OutOfRange, "");
      CHECK_ERROR(examples.slice(1, wrong < 0 ? wrong : INT64_MAX), OutOfRange, "");
    }
    tf::io::DataLoader loader({examples}, {.batch_size = 2});
    Reals seen;
    for (const auto& batch : loader.epoch())
      for (const real v : values_of(batch[0])) seen.push_back(v);
    CHECK(off_list(x, t, seen) == "");
    CHECK(kept(loader.next()[0], tf::slice(x, {0}, {2})) == "");
  }
  tf::io::save_safetensors(scratch / "all", all);
  const auto loaded = tf::io::load_safetensors(scratch / "all");
  tf::io::save_npz(scratch / "stored", all);
  tf::io::save_npz(scratch / "deflated", all, {.compress = true});
  for (const tf::io::TensorFile& file :
       {tf::io::TensorFile(loaded), tf::io::load_npz(scratch / "stored"), tf::io::load_npz(scratch / "deflated")}) {
    CHECK(file.size() == all.size());
    for (const auto& [name, value] : all) {
      REQUIRE(file.contains(name));
      CHECK(kept(*file.find(name), value) == "");
    }
  }
  CHECK_ERROR(loaded["other"], NotFound, "other");
  CHECK_ERROR(tf::io::load_idx(scratch / "nothing"), NotFound, "");
  CHECK_ERROR(tf::io::map_file(scratch / "x", {.shape = {int64_t{1} << 62, 4}}), DataLoss, "");
  CHECK_ERROR(tf::io::map_file(scratch / "x", {.offset = -1}), InvalidArgument, "");
  CHECK_ERROR(tf::io::map_file(scratch / "x", {.count = INT64_MAX}), DataLoss, "");
  put(scratch / "floats", std::string("\0\0\x80\x7f\1\0\0\0", 8));
  CHECK(off_list(tf::io::map_file(scratch / "floats").slice(0, 2), tf::float32, {kInf, 0x1p-149L}) == "");

  tf::eagerly([&] {
    const tf::Session session;
    for (const DType t : kAll) {
      const tf::Variable v(ends(t));
      const auto state = tf::read_state(session, {{"v", v}});
      v.assign(tf::reverse(ends(t), 0));
      tf::load_state(session, {{"v", v}}, state);
      CHECK(kept(v, ends(t)) == "");
      CHECK_ERROR(tf::load_state(session, {{"v", v}}, {{"v", make(t, {0}, {})}}), InvalidArgument, "v");
    }
  });
}
