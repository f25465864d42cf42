"""What must not compile does not, and the compiler says what to write instead.

    compile_fail.py INCLUDE_DIR COMPILER [ARGUMENT...]

Each case is the body of a function. A misuse must fail in less than 15 lines, of which the first error names the mend; what
C++ refuses in words of its own must fail as shortly; what is meant must compile. By the compiler of the build, and by
Clang 19, or by g++ if that is the build's.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

MOST_LINES = 14
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-unused-variable",
         "-Wno-unused-but-set-variable"]
PROLOGUE = """namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
namespace io = twofold::io;
using tf::Tensor;
struct Net : nn::Module {
  nn::Linear& hidden = add("hidden", nn::Linear(4, 8));
  Tensor forward(const Tensor& x) const override { return hidden(x); }
};
%s
void body(Tensor a, Tensor b, Tensor p, tf::Variable v, tf::Variable w, tf::Graph g, tf::Session& session, Net& net,
          train::SGD& opt, io::DataLoader<2>& loader, std::vector<float> values, std::string text) {
  (void)a, (void)b, (void)p, (void)v, (void)w, (void)g, (void)session, (void)net, (void)opt, (void)loader, (void)values,
      (void)text;
  %s
}
"""

# Of those who write kernels, who include the library's headers directly.
KERNELS = "#include <twofold/lib/runtime/kernel.h>"

MEANT = {
    "a kernel by its op's name": (KERNELS, "tf::KernelEntry k{tf::op_name::Softmax, nullptr};", ""),
    "handles are copied": "Tensor c = a; c = b; tf::Variable u = v; u = w;",
    "variables read as tensors": "Tensor c = v; c = v + w; v.assign(a); v.assign_add(1.f); v.assign_sub({1.f, 2.f});",
    "comparison that is meant": "auto c = tf::equal(a, v); auto d = a < 3; if (a.same_as(b) || (g == g)) return; (void)c, (void)d;",
    "guards that end early": "std::optional<tf::NameScope> s(std::in_place, \"s\"); s.reset(); std::optional<tf::EagerMode> e; e.emplace();",
    "a tape on the heap": "auto t = std::make_unique<tf::GradientTape>();",
    "guards with names": "tf::EagerMode e; auto s = tf::name_scope(\"s\"); auto d = tf::device(\"/cpu:0\"); auto k = g.as_default(); "
                         "tf::GradientTape t; auto c = tf::control_dependencies({a, v, \"x\"});",
    "explicit truth and number": "if (a) return; float f = a.item<float>(); (void)f;",
    "options of variables": "tf::Variable x{1}; tf::Variable y(1.f, {.name = \"y\", .trainable = false, .dtype = tf::float64});",
    "variables that are made later": "struct Line { tf::Variable u; Line() { u = tf::Variable(1.f); } }; std::map<std::string, tf::Variable> m; m[\"w\"] = w; "
                                     "std::vector<tf::Variable> three(3); tf::Variable none;",
    "gradients by any range": "std::vector ts{a, b}; std::array as{a, b}; std::vector vs{v, w}; std::span<const Tensor> s(ts); "
                              "std::vector<Tensor> d = tf::gradients(a, v); d = tf::gradients(a, b); d = tf::gradients({a, v}, {b, w}); "
                              "d = tf::gradients(ts, as); d = tf::gradients(s, vs, ts); d = tf::gradients(as, net.parameters()); "
                              "d = tf::gradients(a, tf::trainable_variables()); d = tf::gradients(v, std::list{a});",
    "a tape's gradients by any range": "tf::GradientTape t; std::vector vs{v, w}; std::vector<Tensor> d = t.gradient(a, net.parameters()); "
                                       "d = t.gradient({a, b}, {v}); d = t.gradient(vs, vs); d = t.gradient(v, std::array{a, b}); "
                                       "Tensor one = t.gradient(a, v); one = t.gradient(vs, b);",
    "feeds by maps and pairs": "std::map<std::string, Tensor> m; std::unordered_map<std::string, std::vector<float>> u; "
                               "std::vector<std::pair<std::string, Tensor>> p1; std::vector<std::pair<Tensor, float>> p2; "
                               "std::vector<std::pair<tf::Variable, Tensor>> p3; std::map<Tensor, Tensor> h; "
                               "std::unordered_map<Tensor, float> k; std::map<tf::Variable, Tensor> hv; "
                               "session.run(a, m); session.run(a, u); session.run(a, p1); session.run({a, b}, p2); "
                               "session.run(std::vector{a}, p3); session.run(a, h); session.run(a, k); session.run(a, hv); session.run(\"op\", m);",
    "feeds that are kept": "std::vector<tf::Feed> f; f.push_back({a, values}); f.emplace_back(b, 3.f); tf::Feeds s = {{a, 3.f}, {v, {1.f, 2.f}}}; "
                           "session.run(a, f); session.run({a, b}, s); session.run(a, {{a, 1.f}, {\"x:0\", {{1.f}}}}); session.run(a, {});",
    "lists in braces are given to steps and callables": "auto s = tf::step([](Tensor x, Tensor y) { return x + y; }); s({1.f, 2.f}, a); s({{1.f}}, {{2.f}}); "
                                                        "auto c = session.make_callable(a, {b}); c({1.f, 2.f}); c(3.f);",
    "callables give what was fetched": "auto [x, y] = session.make_callable({a, v}, {b})(1.f); tf::Callable c = session.make_callable(a); Tensor one = c(); "
                                       "std::map<std::string, Tensor> m; m = session.make_callable(m)(); std::vector<Tensor> s{a}; s = session.make_callable(s, {b})(s[0]); "
                                       "tf::Callable<std::array<Tensor, 2>> two = session.make_callable({a, b}); auto [p1, p2] = session.make_callable(std::pair(a, std::tuple(a, v)))();",
    "named tensors, operations and nests": "Tensor x = tf::named(\"x\", [&] { return a + b; }); tf::Operation o = tf::named(\"o\", [&] { return tf::group({a}); }); "
                                           "auto [s, i] = tf::named(std::string(\"top\"), [&] { return std::pair(a * 2.f, std::vector{b, b}); });",
    "steps return nests": "auto s = tf::step([&](Tensor x) { return std::tuple(x, std::vector{v}, std::map<std::string, Tensor>()); }); "
                          "auto [x, vs, m] = s(a); auto none = tf::step([](Tensor) {}); none(a); auto f = tf::step(tf::stop_gradient);",
    "control flow": "Tensor y = tf::cond(p, [&] { return a; }, [&] { return 2.f; }); tf::cond(p, [] {}, [] {}); "
                    "auto [i, x] = tf::while_loop([](Tensor i, Tensor) { return i < 3; }, [](Tensor i, Tensor x) { return std::tuple{i + 1, x}; }, std::tuple{0, a}); "
                    "Tensor z = tf::while_loop([](Tensor) { return true; }, [](Tensor t) { return t; }, a);",
    "loops over slices and cases": "Tensor y = tf::map_fn([](Tensor x) { return x; }, a); y = tf::scan([](Tensor s, Tensor x) { return s + x; }, a, 0.f); "
                                   "y = tf::fold([](Tensor s, auto x) { return std::get<0>(x) * s; }, std::tuple{a, v}, b, {.reverse = true}); "
                                   "y = tf::scan([](auto s, auto x) { return s * x; }, values); auto [c, d] = tf::map_fn([](auto x, auto y) { return std::pair{x, y}; }, std::pair{a, b}); "
                                   "y = tf::case_of({{p, [&] { return a; }}, {a < 1.f, [] { return 2.f; }}}, [&] { return v; }); "
                                   "tf::switch_case(a, [] {}, [&] { v.assign(a); });",
    "arrays of tensors": "tf::TensorArray t(tf::float32, 3), u(tf::float32, a, {.dynamic_size = true, .element_shape = {2}}); t = t.write(0, 1.f).unstack({1.f, 2.f}); "
                         "Tensor y = t.read(0) + t.stack(); u = session.run(u); std::vector<tf::TensorArray> all(2, t);",
    "operators": "a += b; a -= 1.f; a *= v; a /= 2; Tensor c = a % 3; c = p & (a < b); c = p | p; c = p ^ true; c = ~p;",
    "a schedule": "opt.set_schedule([](const Tensor& step) { return tf::exp(step * -0.01); }); opt.set_schedule({});",
    "a loader's map": "loader.map([](io::Batch<2> batch) { return batch; }).map([](io::Batch<2> batch, io::Position) { return batch; });",
}

ASSIGN = "a Variable is state: write v.assign(value), which returns the new value"
ASSIGN_ADD = "a Variable is state: write v.assign_add(value), which returns the new value"
EQUAL = "write tf::equal(a, b) for elements, a.same_as(b) for handles"
NOT_EQUAL = "write tf::not_equal(a, b) for elements, !a.same_as(b) for handles"
UNCHANGED = "a Tensor's elements do not change"
BRANCHES = "write cond(p, [&] { return a; }, [&] { return b; })"
STEP = "then step(X, Y)"

# name: body, or what stands before it and body; the mend.
MISUSES = {
    "gradients by a net": ("tf::gradients(a, net);", "write net.parameters()"),
    "gradients by named parameters": ("tf::gradients(a, net.named_parameters());", "net.parameters()"),
    "gradients by a number": ("tf::gradients(a, 3);", "write {x, w}, net.parameters()"),
    "gradients by a name": ("tf::gradients(a, \"w:0\");", "write {x, w}, net.parameters()"),
    "a tape's gradient by a net": ("tf::GradientTape t; t.gradient(a, net);", "write net.parameters()"),
    "a tape's gradient by names": ("tf::GradientTape t; t.gradient(a, std::vector<std::string>{\"w\"});", "write {x, w}, net.parameters()"),
    "feeds in one brace": ("session.run(a, {b, 3.f});", "write session.run(y, {{x, 3.f}}), with two braces"),
    "feeds in no brace": ("session.run(a, b);", "session.run(y, {{x, 3.f}})"),
    "feeds that are values": ("session.run(a, values);", "session.run(y, {{x, 3.f}})"),
    "a map of feeds by numbers": ("session.run(a, std::map<int, Tensor>());", "session.run(y, {{x, 3.f}})"),
    "a map of feeds with texts": ("session.run(a, std::map<std::string, std::string>());", "numbers, lists or vectors of numbers, or a concrete Tensor"),
    "a text is fed": ("session.run(a, {{b, text}});", "numbers, lists or vectors of numbers, or a concrete Tensor"),
    "a Variable is fed as a value": ("session.run(a, {{b, v}});", "for a Variable's write session.run(v)"),
    "a number is fetched": ("session.run(3);", "session.run({y, z})"),
    "numbers are fetched": ("session.run(std::vector<int>{1});", "session.run({y, z})"),
    "a lambda is fetched": ("session.run([] {});", "session.run({y, z})"),
    "a callable of a number": ("session.make_callable(3.f, {a});", "session.make_callable(y, {x}), then call(3.f)"),
    "a callable is given a text": ("session.make_callable(a, {b})(text);", "numbers, lists or vectors of numbers, or a concrete Tensor"),
    "cond of tensors": ("tf::cond(p, a, b);", BRANCHES),
    "cond of numbers": ("Tensor c = tf::cond(p, 1.f, 2.f);", BRANCHES),
    "cond of functions with parameters": ("tf::cond(p, [](Tensor x) { return x; }, [&] { return b; });", BRANCHES),
    "cond of unlike branches": ("tf::cond(p, [&] { return a; }, [&] { return std::tuple(a, b); });", "both a tensor, or both a tuple of as many"),
    "cond with one result": ("tf::cond(p, [&] { return a; }, [] {});", "add a return to the other one"),
    "cond of texts": ("tf::cond(p, [&] { return text; }, [&] { return text; });", "return tf::constant(...) or std::tuple{a, b}"),
    "while_loop over a list": ("tf::while_loop([](Tensor i) { return i < 3; }, [](Tensor i) { return i + 1; }, {a});", "std::tuple{i, x}"),
    "while_loop over a list of two": ("auto r = tf::while_loop([](Tensor i, Tensor) { return i < 3; }, [](Tensor i, Tensor x) { return std::tuple(i + 1, x); }, {a, b});",
                                      "std::tuple{i, x}"),
    "while_loop from a map to another": ("using M = std::map<int, Tensor>; tf::while_loop([](const M& m) { return m.at(0) < 3; }, [](const M& m) { return std::unordered_map<int, Tensor>{{0, m.at(0) + 1}}; }, M{{0, a}});",
                                         "the body of while_loop returns the type of its state"),
    "fetching a multimap": ("session.run(std::multimap<int, Tensor>{{0, a}});", "a run fetches tensors"),
    "scan from a list": ("tf::scan([](Tensor s, Tensor x) { return s + x; }, a, {0.f, 1.f});", "tf::constant({0.f, 1.f}), or a vector"),
    "fold from a list": ("tf::fold([](Tensor s, Tensor x) { return s + x; }, a, {0.f, 1.f});", "tf::constant({0.f, 1.f}), or a vector"),
    "scan with one parameter": ("tf::scan([](Tensor x) { return x; }, a, b);", "[&](Tensor sum, Tensor x) { return sum + x; }"),
    "scan over a text": ("tf::scan([](Tensor s, Tensor x) { return s + x; }, text, b);", "in any nesting of tuples, pairs, arrays, vectors and maps"),
    "fold to a text": ("tf::fold([&](Tensor, Tensor) { return text; }, a, b);", "returns the next of what it carries on, of the same type"),
    "map_fn over a text": ("tf::map_fn([](Tensor x) { return x; }, text);", "map_fn goes over tensors"),
    "map_fn with too few parameters": ("tf::map_fn([](Tensor x) { return x; }, std::tuple{a, b});", "takes a slice, [&](Tensor x) { ... }"),
    "map_fn to nothing": ("tf::map_fn([](Tensor) {}, a);", "returns tensors: return x or std::tuple{a, b}"),
    "cases of unlike functions": ("tf::case_of({{p, [&] { return std::tuple{a, b}; }}}, [&] { return a; });", "the functions of case_of must return alike"),
    "switch_case of unlike functions": ("tf::switch_case(a, [&] { return a; }, [&] { return std::tuple{a, b}; });", "the functions of switch_case must return alike"),
    "an array written to and left": ("tf::TensorArray t(tf::float32, 3); t.write(0, a);", "write a = a.write(i, x)"),
    "while_loop over a text": ("tf::while_loop([](Tensor i) { return i < 3; }, [](Tensor i) { return i + 1; }, text);", "one, std::tuple{i, x}, or an array, vector or map of them"),
    "while_loop with too few parameters": ("tf::while_loop([](Tensor i) { return i < 3; }, [](Tensor i) { return i + 1; }, std::tuple{a, b});",
                                           "[&](Tensor i, Tensor x) { ... }"),
    "while_loop while a text": ("tf::while_loop([&](Tensor) { return text; }, [](Tensor i) { return i + 1; }, a);", "[&](Tensor i) { return i < 10; }"),
    "while_loop to a text": ("tf::while_loop([](Tensor i) { return i < 3; }, [&](Tensor) { return text; }, a);", "return x or std::tuple{i + 1, x}"),
    "a step returning a number": ("auto s = tf::step([](Tensor) { return 3.0; }); s(a);", "for a number write return tf::constant(3.f)"),
    "a step returning a vector of numbers": ("auto s = tf::step([&](Tensor) { return values; }); auto r = s(a);", "for a number write return tf::constant(3.f)"),
    "a step of too few arguments": ("auto s = tf::step([](Tensor x, Tensor y) { return x + y; }); auto r = s(a);", STEP),
    "a step of numbers": ("auto s = tf::step([](float x) { return x; }); s(1.f);", STEP),
    "a step that changes its argument": ("auto s = tf::step([](Tensor& x) { x = x + 1; }); s(a);", STEP),
    "a step is given a text": ("auto s = tf::step([](Tensor x) { return x; }); s(text);", "numbers, lists or vectors of numbers, or a concrete Tensor"),
    "a step of a tensor": ("auto s = tf::step(a);", "tf::step([&](Tensor x) { return ...; })"),
    "a step of a session and a tensor": ("auto s = tf::step(session, a);", "tf::step(session, [&](Tensor x) { return ...; })"),
    "named of a tensor": ("tf::named(\"s\", a + b);", "tf::named(\"scores\", [&] { return tf::matmul(x, w); })"),
    "named of a Variable": ("tf::named(\"s\", [&] { return v; });", "tf::Variable v(0.f, {.name = \"v\"})"),
    "named of nothing": ("tf::named(\"s\", [&] { a + b; });", "add a return to it"),
    "callables of numbers": ("session.make_callable(std::vector<int>{1}, {a});", "session.make_callable(y, {x}), then call(3.f)"),
    "deterministic(false)": ("tf::deterministic(false);", "write tf::set_deterministic(on)"),
    "math_mode(mode)": ("tf::math_mode(tf::MathMode::tf32);", "write tf::set_math_mode(mode)"),
    "soft_placement(true)": ("tf::soft_placement(true);", "write tf::set_soft_placement(on)"),
    "call_all": ("session.make_callable(a, {b}).call_all({1.f});", "write call(x, y)"),
    "eagerly a value": ("auto x = tf::eagerly(a + b);", "tf::eagerly([&] { return a + b; })"),
    "deferred a value": ("auto x = tf::deferred(a + b);", "tf::deferred([&] { return a + b; })"),
    "eagerly with a parameter": ("tf::eagerly([](Tensor x) { return x; });", "tf::eagerly([&] { return a + b; })"),
    "a tensor as learning rate": ("train::SGD o({v}, {.lr = a});", "opt.set_schedule([](const Tensor& step) { ... })"),
    "a Variable as learning rate": ("train::Adam o({v}, {.lr = v});", "opt.set_schedule([](const Tensor& step) { ... })"),
    "minimize by a list": ("opt.minimize(a, {w});", "train::SGD opt({w}, {.lr = 0.1}), then opt.minimize(loss)"),
    "minimize by parameters": ("opt.minimize(a, net.parameters());", "train::SGD opt({w}, {.lr = 0.1}), then opt.minimize(loss)"),
    "a schedule of ints": ("opt.set_schedule([](int step) { return 0.1 * step; });", "opt.set_schedule([](const Tensor& step) {"),
    "a Sequential with a function": ("nn::Sequential s(nn::Linear(2, 2), [](Tensor x) { return x; });", "nn::ReLU() for tf::relu"),
    "a Sequential with tf::relu": ("nn::Sequential s(nn::Linear(2, 2), tf::relu);", "nn::ReLU() for tf::relu"),
    "a Variable as a child": ("struct Other : Net { tf::Variable& u = add(\"u\", tf::Variable(1.f)); };", "", "write add_parameter or add_buffer"),
    "a net of two tensors": ("net(a, b);", "a Module is a function of one tensor"),
    "a loader's map of tensors": ("loader.map([](Tensor x, Tensor y) { return x + y; });", "loader.map([](io::Batch<2> b) { b[0] = b[0] / 255.f; return b; })"),
    "an element is assigned": ("a[0] = b;", UNCHANGED),
    "an element is assigned a number": ("a[0] = 3.f;", UNCHANGED),
    "an element is added to": ("a[0] += 1.f;", UNCHANGED),
    "variable = number": ("v = 3.f;", ASSIGN),
    "variable = tensor": ("v = a;", ASSIGN),
    "variable = sum": ("v = v + 1;", ASSIGN),
    "variable = list": ("v = {1.f, 2.f};", ASSIGN),
    "variable += number": ("v += 1;", ASSIGN_ADD),
    "variable += tensor": ("v += a;", ASSIGN_ADD),
    "variable -= number": ("v -= 1;", "a Variable is state: write v.assign_sub(value), which returns the new value"),
    "variable *= number": ("v *= 2;", "a Variable is state: write v.assign(v * value), which returns the new value"),
    "variable /= number": ("v /= 2;", "a Variable is state: write v.assign(v / value), which returns the new value"),
    "tensor == tensor": ("if (a == b) return;", EQUAL),
    "tensor == number": ("if (a == 3) return;", EQUAL),
    "number == tensor": ("if (3 == a) return;", EQUAL),
    "variable == variable": ("if (v == w) return;", EQUAL),
    "variable == tensor": ("if (v == a) return;", EQUAL),
    "tensor != tensor": ("if (a != b) return;", NOT_EQUAL),
    "tensor != number": ("if (a != 3) return;", NOT_EQUAL),
    "variable != number": ("if (v != 3) return;", NOT_EQUAL),
    "item of a text": ("auto x = a.item<const char*>();", "float, double, int32_t, int64_t, uint8_t or bool"),
    "data of another type": ("auto x = a.data<short>();", "float, double, int32_t, int64_t, uint8_t or bool"),
    "ignoring EagerMode": ("tf::EagerMode();", "tf::EagerMode eager;"),
    "ignoring DeferredMode": ("tf::DeferredMode();", "tf::DeferredMode deferred;"),
    "ignoring a tape": ("tf::GradientTape();", "tf::GradientTape tape;"),
    "ignoring name_scope": ("tf::name_scope(\"s\");", "auto scope = tf::name_scope("),
    "ignoring device": ("tf::device(\"/cpu:0\");", "auto on = tf::device("),
    "ignoring control_dependencies": ("tf::control_dependencies({a});", "auto after = tf::control_dependencies({...});"),
    "ignoring as_default": ("g.as_default();", "auto scope = graph.as_default();"),
    "ignoring a step": ("tf::step([](Tensor x) { return x; });", "auto step = tf::step(...), then step(x)"),
}

# What C++ says by itself.
REFUSED = {
    "a kernel of no op": (KERNELS, "tf::KernelEntry k{tf::op_name::Sofmax, nullptr};", "Sofmax"),
    "a kernel by a bare name": (KERNELS, "tf::KernelEntry k{\"Softmax\", nullptr};", "OpName"),
    "a kernel by a made-up name": (KERNELS, "tf::KernelEntry k{tf::OpName(\"Foo\"), nullptr};", "private"),
    "a kernel by a key": (KERNELS, "tf::KernelEntry k{tf::OpKey::without_kernels(\"Foo\"), nullptr};", "OpName"),
    "a kernel by no name": (KERNELS, "tf::KernelEntry k{{}, nullptr};", "OpName"),
    "variable from a number, implicitly": ("tf::Variable u = 1;", "Variable"),
    "float f = tensor": ("float f = a + b;", "Tensor"),
    "int i = tensor": ("int i = a;", "Tensor"),
    "bool b = tensor": ("bool truth = a;", "Tensor"),
    "copying EagerMode": ("tf::EagerMode e; tf::EagerMode f = e;", "deleted"),
    "moving a tape": ("tf::GradientTape t; tf::GradientTape u = std::move(t);", "deleted"),
    "copying a name scope": ("tf::NameScope s(\"s\"); auto t = s;", "deleted"),
    "copying a device": ("tf::DeviceScope s(\"/cpu:0\"); auto t = s;", "deleted"),
    "copying control dependencies": ("tf::ControlDependencies s({a}); auto t = s;", "deleted"),
    "moving a graph's guard": ("auto s = g.as_default(); auto t = std::move(s);", "deleted"),
    "a tensor's value object": ("auto* held = a.value();", "TensorParts"),
    "a tensor out of a value object": ("auto t = tf::Tensor::adopt(nullptr);", "TensorParts"),
    "a tensor's node": ("auto n = a.node();", "TensorParts"),
    "an operation's node": ("auto n = tf::Operation().node();", "TensorParts"),
    "copying a session": ("tf::Session s(g); tf::Session t = s;", "deleted"),
    "observing on the heap": ("struct O : tf::Observer { void observe(const tf::Observation&) override {} } o; auto* held = new tf::Observing(o);", "deleted"),
    "eager mode on the heap": ("auto* held = new tf::EagerMode;", "deleted"),
    "deferred mode on the heap": ("auto* held = new tf::DeferredMode;", "deleted"),
    "guards on the heap": ("auto* held = new tf::EagerMode[2];", "deleted"),
    "a name scope on the heap": ("auto* held = new tf::NameScope(\"s\");", "deleted"),
    "a device on the heap": ("auto* held = new tf::DeviceScope(\"/cpu:0\");", "deleted"),
    "control dependencies on the heap": ("auto* held = new tf::ControlDependencies({a});", "deleted"),
    "a graph's guard on the heap": ("auto* held = new tf::Graph::Scope(g);", "deleted"),
    "a ledger's recording on the heap": ("tf::Ledger l; auto* held = new tf::Ledger::Recording(l);", "deleted"),
    "a name scope held by a pointer": ("auto held = std::make_unique<tf::NameScope>(\"s\");", "deleted"),
}

# What the library's own sources have of these headers' namespace, and programs not: none of these lines compiles.
HIDDEN = """
  tf::OpDef* p = nullptr;
  tf::InferContext* p = nullptr;
  tf::KernelContext* p = nullptr;
  tf::KernelEntry* p = nullptr;
  tf::PluginTable* p = nullptr;
  tf::Prepared* p = nullptr;
  tf::TensorSpec* p = nullptr;
  tf::GpuRuntime* p = nullptr;
  tf::ThreadState* p = nullptr;
  tf::CurrentOp* p = nullptr;
  tf::SourceScope* p = nullptr;
  tf::OnDevice* p = nullptr;
  tf::WithoutTape* p = nullptr;
  tf::VariableState* p = nullptr;
  tf::VariableAttrs* p = nullptr;
  tf::ObservedThread* p = nullptr;
  tf::PhaseTimer* p = nullptr;
  tf::DeviceTimer* p = nullptr;
  tf::ProfilerRange* p = nullptr;
  tf::Setting* p = nullptr;
  tf::Switch* p = nullptr;
  tf::SwitchReads* p = nullptr;
  tf::CurrentGraph* p = nullptr;
  tf::RecordList* p = nullptr;
  (void)&tf::t_state;
  (void)&tf::apply_all;
  (void)&tf::check_input;
  (void)&tf::register_op;
  (void)&tf::find_op;
  (void)&tf::parallel_for;
  (void)&tf::check_gpu;
  (void)&tf::home_of;
  (void)&tf::numerics_word;
  (void)&tf::if_arrived;
  (void)&tf::sgd_update;
  (void)&train::read_all;
  (void)&train::assign_all;
  (void)&train::update_all;
  (void)v.state();
  (void)g.data();
  (void)tf::Feed(a, 1.f).entry();
  tf::Ledger().add_run();
  tf::Observing::Hidden hidden;
""".strip().splitlines()


class Compiler:
    """A compiler with the header precompiled, which costs each case little then."""

    def __init__(self, command, include, folder):
        self.command = [*command, *FLAGS]
        self.name = os.path.basename(command[-1])
        self.include = include
        self.header = os.path.join(folder, self.name + ".h")
        with open(self.header, "w") as f:
            f.write("#include <list>\n#include <map>\n#include <memory>\n#include <optional>\n#include <unordered_map>\n#include <twofold/twofold.h>\n")
        self.precompile = [*self.command, "-I" + include, "-x", "c++-header", self.header, "-o",
                           self.header + (".pch" if "clang" in self.name else ".gch")]

    def compile(self, before, body, more=()):
        """The exit status, and the lines of the diagnostics but the one that speaks of the precompiled header."""
        done = subprocess.run([*self.command, *more, "-I" + self.include, "-include", self.header, "-fsyntax-only", "-x", "c++", "-"],
                              input=PROLOGUE % (before, body), capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"})
        return done.returncode, [line for line in done.stderr.splitlines() if self.header not in line]


def tried(compiler, kind, name, case):
    """What is wrong with one case, or None."""
    parts = case if isinstance(case, tuple) else (case,)
    before, body = parts[0] if len(parts) == 3 else "", parts[1] if len(parts) == 3 else parts[0]
    status, lines = compiler.compile(before, body)
    said = "\n".join(lines)
    if kind == "meant":
        return f"{compiler.name}: '{name}' does not compile:\n{said}" if status else None
    if status == 0:
        return f"{compiler.name}: '{name}' compiles: {before} {body}"
    if len(lines) > MOST_LINES:
        return f"{compiler.name}: '{name}' fails in {len(lines)} lines:\n{said}"
    error = next((line for line in lines if "error:" in line), "")
    where = error if kind == "misuse" else said
    return None if parts[-1] in where else f"{compiler.name}: '{name}' fails without saying '{parts[-1]}':\n{said}"


def shown(compiler):
    """What of HIDDEN does compile."""
    before, between, _ = PROLOGUE.split("%s")
    number = (before + between).count("\n") + 1
    _, lines = compiler.compile("", "\n".join("{ %s }" % line.strip() for line in HIDDEN),
                                ["-ferror-limit=0"] if "clang" in compiler.name else [])
    # An error in a header names the line that led to it.
    wrong = {int(n) - number for line in lines if "warning:" not in line for n in re.findall(r"<stdin>:(\d+):\d+:", line)}
    return [f"{compiler.name}: programs see what is the library's own: {line.strip()}" for i, line in enumerate(HIDDEN) if i not in wrong]


def main():
    include, own = sys.argv[1], sys.argv[2:]
    other = "g++" if "clang" in own[-1] else "clang++-19"
    if not shutil.which(other):
        sys.exit(f"{other} is not installed: tests/install.sh installs it")
    cases = [(kind, name, case) for kind, listed in (("meant", MEANT), ("misuse", MISUSES), ("refused", REFUSED))
             for name, case in listed.items()]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        compilers = [Compiler(own, include, folder), Compiler([other], include, folder)]
        list(pool.map(lambda c: subprocess.run(c.precompile, check=True), compilers))
        failures = [line for compiler in compilers for line in shown(compiler)]
        failures += list(filter(None, pool.map(lambda job: tried(job[0], *job[1]), [(c, case) for case in cases for c in compilers])))
    for failure in failures:
        print(failure)
    print(f"{2 * (len(cases) + len(HIDDEN)) - len(failures)} passed, {len(failures)} failed ({len(MISUSES)} misuses, two compilers)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
