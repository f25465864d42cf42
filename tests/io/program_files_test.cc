// Saved programs that are damaged, foreign or newer: what `load` says of them, whatever is wrong.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/saved/writer.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../training.h"
#include "scratch.h"
#include "source_root.h"
#include "wire.h"

namespace tf = twofold;
namespace saved = twofold::saved;
using tf::Code;
using tf::Tensor;

namespace {

const tf::io::Source kSource = {"input", {}};

std::vector<std::string> corpus() {
  std::vector<std::string> paths;
  for (const auto& f : std::filesystem::directory_iterator(TWOFOLD_SOURCE_ROOT "/tests/data/program_corpus"))
    paths.push_back(f.path());
  std::ranges::sort(paths);
  return paths;
}

std::string corpus_file(const std::string& name) {
  return contents(TWOFOLD_SOURCE_ROOT "/tests/data/program_corpus/" + name + ".safetensors");
}

void load_bytes(const std::string& bytes) {
  saved::read_program(tf::io::parse_safetensors(std::as_bytes(std::span(bytes)), kSource), "input");
}

// Empty where it loads; else what is wrong, if the code is one of those that a file may cause.
std::string problem_with(const std::string& bytes) {
  try {
    load_bytes(bytes);
  } catch (const tf::Error& e) {
    if (e.code() == Code::DataLoss || e.code() == Code::InvalidArgument || e.code() == Code::Unimplemented)
      return e.what();
    throw;
  }
  return {};
}

using Message = std::vector<wire::Field>;

// The file with its program as `edit` leaves it.
std::string edited(const std::string& bytes, const std::function<void(Message&)>& edit) {
  const auto file = tf::io::parse_safetensors(std::as_bytes(std::span(bytes)), kSource);
  tf::io::NamedTensors tensors(file.tensors().begin(), file.tensors().end());
  for (auto& [name, tensor] : tensors) {
    if (name != saved::kGraphTensor) continue;
    const auto data = tensor.data<uint8_t>();
    Message program;
    REQUIRE(wire::read_fields({reinterpret_cast<const char*>(data.data()), data.size()}, program));
    edit(program);
    const std::string changed = wire::write_fields(program);
    tensor = tf::tensor(std::vector<uint8_t>(changed.begin(), changed.end()));
  }
  std::string out;
  tf::io::write_safetensors([&](const void* from, size_t n) { out.append(static_cast<const char*>(from), n); }, tensors,
                            file.metadata(), kSource);
  return out;
}

// Field `number` of a message, the `nth` of that number.
wire::Field& field(Message& message, uint64_t number, size_t nth = 0) {
  for (wire::Field& f : message)
    if (f.tag >> 3 == number && nth-- == 0) return f;
  FAIL("there is no field " << number);
  std::abort();
}
// The same; of the default value, which is left out, if it is not there.
wire::Field& number_field(Message& message, uint64_t number) {
  for (wire::Field& f : message)
    if (f.tag >> 3 == number) return f;
  return message.emplace_back(wire::Field{.tag = number << 3, .number = 0, .bytes = {}});
}
void edit_inside(wire::Field& f, const std::function<void(Message&)>& edit) {
  Message inner;
  REQUIRE(wire::read_fields(f.bytes, inner));
  edit(inner);
  f.bytes = wire::write_fields(inner);
}
void edit_column(wire::Field& f, const std::function<void(std::vector<uint64_t>&)>& edit) {
  auto column = wire::read_column(f.bytes);
  edit(column);
  f.bytes = wire::write_column(column);
}

// Numbers of fields, lib/saved/program.proto.
enum ProgramField { kVersion = 1, kOps = 4, kSpecs = 5, kConstants = 7, kGraphs = 9, kBodies = 10, kFunctions = 11 };
enum GraphField { kNumInputs = 4, kInputDistance = 16, kControlDistance = 19 };

}  // namespace

TEST_CASE("A saved program that is cut off anywhere is told to be", "[program_files]") {
  tf::EagerMode eager;
  for (const char* name : {"affine", "slopes", "training"}) {
    const std::string whole = corpus_file(name);
    REQUIRE(problem_with(whole).empty());
    const size_t step = whole.size() > 3000 ? 7 : 1;
    for (size_t n = 0; n < whole.size(); n += step) {
      INFO(name << " cut to " << n << " of " << whole.size());
      CHECK(problem_with(whole.substr(0, n)).find("input") != std::string::npos);
    }
  }
}

TEST_CASE("A saved program with any bit flipped is loaded or told to be wrong", "[program_files]") {
  tf::EagerMode eager;
  size_t told = 0, all = 0;
  for (const char* name : {"affine", "branch", "guarded"}) {
    const std::string whole = corpus_file(name);
    for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      INFO(name << ", bit " << bit);
      std::string problem;
      CHECK_NOTHROW(problem = problem_with(flipped));
      told += !problem.empty();
      ++all;
    }
  }
  CHECK(told > all / 4);  // the rest is names, lines and numbers that may be others
}

TEST_CASE("What is wrong with a saved program is named with its place", "[program_files]") {
  tf::EagerMode eager;
  const std::string affine = corpus_file("affine"), branch = corpus_file("branch");
  const auto in_graph = [](const std::string& file, const std::function<void(Message&)>& edit) {
    return edited(file, [&](Message& program) { edit_inside(field(program, kGraphs), edit); });
  };
  CHECK_ERROR(load_bytes(edited(affine, [](Message& p) { number_field(p, kVersion).number = 2; })), DataLoss,
              "another version than it says");
  CHECK_ERROR(
      load_bytes(in_graph(
          affine, [](Message& g) { edit_column(field(g, kInputDistance), [](auto& column) { column[0] = 0; }); })),
      DataLoss, "of graph 0: it depends on a node that does not come before it");
  CHECK_ERROR(load_bytes(in_graph(affine,
                                  [](Message& g) {
                                    edit_column(field(g, kInputDistance), [](auto& column) { column[0] = 1'000'000; });
                                  })),
              DataLoss, "does not come before it");
  CHECK_ERROR(
      load_bytes(in_graph(
          affine, [](Message& g) { edit_column(field(g, kNumInputs), [](auto& column) { column[0] = 0xffffffff; }); })),
      DataLoss, "ends within a node");
  CHECK_ERROR(load_bytes(edited(branch,
                                [](Message& p) {
                                  for (auto& f : p) {
                                    if (f.tag >> 3 == kBodies)
                                      edit_inside(f, [](Message& body) { number_field(body, 1).number = 2; });
                                  }
                                })),
              DataLoss, "does not come before the graph that holds it");
  CHECK_ERROR(load_bytes(edited(affine,
                                [](Message& p) {
                                  edit_inside(field(p, kOps, 1), [](Message& op) { number_field(op, 2).number = 99; });
                                })),
              Unimplemented, "is version 99 of it");
  CHECK_ERROR(load_bytes(edited(affine,
                                [](Message& p) {
                                  edit_inside(field(p, kOps, 1), [](Message& op) { field(op, 1).bytes = "Teleport"; });
                                })),
              Unimplemented, "this library has no op 'Teleport'");
  CHECK_ERROR(load_bytes(edited(affine,
                                [](Message& p) {
                                  edit_inside(field(p, kConstants), [](Message& c) { field(c, 2).bytes += "more"; });
                                })),
              DataLoss, "a constant of shape");
  CHECK_ERROR(
      load_bytes(edited(
          affine,
          [](Message& p) { edit_inside(field(p, kFunctions), [](Message& f) { number_field(f, 4).number = 1000; }); })),
      DataLoss, "function 'f': it refers to body 1000");
  CHECK_ERROR(load_bytes(edited(affine, [](Message& p) { field(p, kSpecs).bytes = "\x08\x63"; })), DataLoss,
              "there is no dtype 99");
}

TEST_CASE("Files of others are told from saved programs", "[program_files]") {
  tf::EagerMode eager;
  const Scratch scratch;
  const std::string path = scratch / "file.safetensors";
  const auto load = [&](const std::string& bytes) {
    put(path, bytes);
    return tf::load(path);
  };
  CHECK_ERROR(load(""), DataLoss, path);
  CHECK_ERROR(load(std::string("PK\3\4") + std::string(1000, 'x')), DataLoss, path);
  CHECK_ERROR(load(std::string(4096, '\0')), DataLoss, path);
  tf::io::save_safetensors(path, {{"w", tf::tensor(1.f)}});
  CHECK_ERROR(tf::load(path), InvalidArgument, "not a saved program");
  tf::io::save_safetensors(path, {{"twofold.graph", tf::tensor({1.f})}}, {{"twofold", "1"}});
  CHECK_ERROR(tf::load(path), DataLoss, "its graph is no vector of bytes");
  tf::io::save_safetensors(path, {{"twofold.graph", tf::tensor(std::vector<uint8_t>{1, 2})}}, {{"twofold", "2"}});
  CHECK_ERROR(tf::load(path), Unimplemented, "format is version 2");
  tf::io::save_safetensors(path, {{"twofold.graph", tf::tensor(std::vector<uint8_t>{1, 2})}}, {{"twofold", "1"}});
  CHECK_ERROR(tf::load(path), DataLoss, "cannot be parsed");
}

TEST_CASE("Every kept saved program loads, and saves the same bytes", "[program_files]") {
  tf::EagerMode eager;
  const Scratch scratch;
  REQUIRE(corpus().size() >= 13);
  for (const std::string& path : corpus()) {
    INFO(path);
    const std::string again = scratch / "again.safetensors";
    tf::save(again, tf::load(path), {.source_lines = path.find("lines") != std::string::npos});
    CHECK(contents(again) == contents(path));
  }
}

// What tests/io/program_corpus.cc has built, with values by hand.
TEST_CASE("Programs that version 0.2.0 has saved run on", "[program_files]") {
  tf::EagerMode eager;
  const auto load = [](const std::string& name) {
    return tf::load(TWOFOLD_SOURCE_ROOT "/tests/data/saved/0.2.0/" + name + ".safetensors");
  };
  const auto same = [](const Tensor& t, std::vector<double> expected) {
    const auto values = tf::cast(t, tf::float64);
    REQUIRE(t.num_elements() == static_cast<int64_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::abs(values.data<double>()[i] - expected[i]) <= 1e-5 * std::max(1.0, std::abs(expected[i])));
  };
  same(load("affine").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("lines").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("branch").function("f")({1.f, 2.f}), {1, 4});
  same(load("branch").function("f")({-1.f, -2.f}), {std::exp(-1.0), std::exp(-2.0)});
  same(load("loop").function("f")(2.f), {16});
  same(load("slopes").function("f")({1.f, 2.f}), {2 + 4 * 27, 4 + 4 * 27});  // of x^2, and of (x + y)^4
  same(load("list").function("f")({1.f, 2.f}), {2, 6});
  same(load("guarded").function("f")({2.f}), {2});
  same(load("guarded").function("f")({-3.f}), {3});
  same(load("several").function("f")(2.f), {4});
  same(load("several").function("f")(int64_t{3}), {6});
  same(load("several").function("f")(tf::tensor({1.0, 2.0})), {2, 4});
  const auto constants = load("constants").function("f").all(tf::tensor({1.f, 0.f, 1.f}));
  same(constants.at(0), {0, 0, 2});
  same(constants.at(1), {0, 1, 2});
  same(constants.at(2), {3, 4, 1, 2, 3, 4});
  const auto shapes = load("shapes").function("f").all(tf::tensor({{1.f, 2.f, 3.f}, {6.f, 5.f, 4.f}}));
  same(shapes.at(0), {1, 6, 1, 6, 2, 5, 2, 5, 3, 4, 3, 4});
  same(shapes.at(1), {6, 15});
  same(shapes.at(2), {1, 6});
  same(shapes.at(3), {1, 1, 1});
  CHECK(load("conv").function("f")(tf::ones({1, 1, 6, 6})).shape() == tf::Shape{1, 2, 2, 2});

  // w = ((1, 2), (3, 4)) and b = 0 after one step of Adam, which is -0.01 by the sign of each gradient.
  const auto training = load("training");
  same(training.function("predict")(tf::ones({1, 2})), {3.97, 5.97});
  same(training.function("fit")(tf::ones({1, 2}), tf::ones({1, 2})), {(2.97 * 2.97 + 4.97 * 4.97) / 2});
  const auto after = training.function("predict")(tf::ones({1, 2}));
  same(after, {3.94, 5.94});  // gradients of one sign: nearly as much again

  // The third of its draws, as version 0.2.0 would have gone on.
  same(load("draws").function("f")(1.f), {0, 0});
}

// What is killed, or has no room: run by the cases below, and by those alone.
TEST_CASE("Saving programs until it is killed", "[.][program_child]") {
  const char* path = std::getenv("TWOFOLD_TEST_PROGRAM");
  REQUIRE(path);
  tf::EagerMode eager;
  const tf::Variable v(tf::zeros({200'000}), {.name = "v"});
  auto f = tf::function([&](Tensor x) { return v * x; });
  f(1.f);
  for (int n = 1;; ++n) {
    v.assign(tf::full({200'000}, static_cast<float>(n)));
    tf::save(path, {{"f", f}});
    if (write(STDOUT_FILENO, "s", 1) != 1) std::_Exit(1);
  }
}

TEST_CASE("Whenever a save is killed, the file is whole", "[program_files]") {
  const Scratch scratch;
  const std::string path = scratch / "program.safetensors";
  std::mt19937 random(3);
  tf::EagerMode eager;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[1], STDOUT_FILENO);
      setenv("TWOFOLD_TEST_PROGRAM", path.c_str(), 1);
      execl("/proc/self/exe", "program_child", "[program_child]", static_cast<char*>(nullptr));
      _exit(1);
    }
    close(ends[1]);
    char said = 0;
    const bool began = read(ends[0], &said, 1) == 1;
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 20'000)(random)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(ends[0]);
    REQUIRE(began);
    REQUIRE(WIFSIGNALED(status));
    const auto values = training::floats(tf::load(path).function("f")(1.f));
    REQUIRE(values.size() == 200'000);
    CHECK(values[0] >= 1.f);
    CHECK(std::ranges::count(values, values[0]) == 200'000);
  }
  for (const auto& left : std::filesystem::directory_iterator(scratch.folder())) {
    const std::string name = left.path().filename();
    CHECK((name == "program.safetensors" || name.starts_with(".twofold-")));
  }
}

TEST_CASE("Where there is no room for a program, the old file stays", "[program_files]") {
  const Scratch scratch;
  const std::string path = scratch / "program.safetensors";
  tf::EagerMode eager;
  auto f = tf::function([](Tensor x) { return x + 1.f; });
  f(1.f);
  tf::save(path, {{"f", f}});
  const std::string before = contents(path);
  const tf::Variable large(tf::zeros({100'000}), {.name = "large"});
  auto g = tf::function([&](Tensor x) { return large * x; });
  g(1.f);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  const rlimit limit{100'000, old_limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::string problem;
  try {
    tf::save(path, {{"g", g}});
  } catch (const tf::Error& e) {
    problem = e.what();
  }
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  std::signal(SIGXFSZ, old_handler);
  CHECK(problem.find(path) != std::string::npos);
  CHECK(contents(path) == before);
  CHECK(scratch.count() == 1);
}
