// Random programs as functions: their values are those of eager mode; saved after the first run they are loaded in
// another process, where they go on as in this one, to the bit.
//
//   TWOFOLD_FUZZ_SEED, TWOFOLD_FUZZ_PROGRAMS
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.h"
#include "generator.h"
#include "machine.h"
#include "same_bits.h"

extern char** environ;

namespace tf = twofold;
using testing::same_bits;

namespace {

using Values = std::vector<tf::Tensor>;

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

std::string numbered(const char* what, size_t i) { return what + std::to_string(i); }

/// What a program's placeholders are fed in a run, in their order.
Values feeds_of(const fuzz::Program& p, int run) {
  Values feeds;
  for (const fuzz::Instruction& i : p.body)
    if (i.op == "placeholder") feeds.push_back(fuzz::leaf_data(i.dtype, i.shape, fuzz::feed_seed(i.data, run)));
  return feeds;
}

/// A program as a function of its feeds that gives all its values.
struct AsFunction {
  explicit AsFunction(const fuzz::Program& p) : program(p) {
    tf::set_random_seed(static_cast<int64_t>(p.seed));
    fuzz::make_variables(p, state);
    key = tf::new_body_key("step");
  }
  tf::FunctionOptions options() const {
    tf::FunctionOptions options;
    for (const fuzz::Instruction& i : program.body)
      if (i.op == "placeholder") options.shapes.push_back(i.declared);
    return options;
  }
  /// `reads`: on the host, how many elements its values have, which is the same in each run.
  Values body(const Values& arguments, bool reads) {
    std::ranges::fill(state.values, tf::Tensor());
    state.arguments = &arguments;
    state.next_argument = 0;
    fuzz::run_body(program, *key, state);
    int64_t elements = 0;
    for (const tf::Tensor& t : state.values)
      if (reads && t.defined() && t.is_symbolic() && t.dtype() != tf::DType::list) elements += t.num_elements();
    if (elements < 0) std::abort();
    return state.values;
  }
  using Body = std::function<Values(const Values&)>;
  tf::Function<Body> function(const Values& feeds) {
    if (program.seed % 2) return tf::function(Body([this](const Values& a) { return body(a, false); }), options());
    return tf::trace(Body([this](const Values& a) { return body(a, true); }), feeds, options());
  }
  const fuzz::Program& program;
  fuzz::State state;
  std::optional<tf::BodyKey> key;
};

/// Where a function's values part from eager mode's.
std::string difference(const Values& eager, const Values& given) {
  for (size_t v = 0; v < eager.size(); ++v) {
    if (!given[v].defined()) continue;  // an Operation, or None where the graph knows it
    if (!eager[v].defined()) {
      if (same_bits(given[v], tf::zeros_like(given[v]))) continue;
      return numbered("value ", v) + " is None in eager mode";
    }
    if (!same_bits(eager[v], given[v]))
      return numbered("value ", v) + ": " + tf::repr(eager[v]) + " and " + tf::repr(given[v]);
  }
  return {};
}

void add_all(tf::io::NamedTensors& all, const char* what, const Values& values) {
  for (size_t v = 0; v < values.size(); ++v)
    if (values[v].defined()) all.emplace_back(numbered(what, v), values[v]);
}

Values all_of(const tf::io::Safetensors& file, const std::string& what, size_t n) {
  Values values(n);
  for (size_t v = 0; v < n; ++v)
    if (const tf::Tensor* t = file.find(what + std::to_string(v))) values[v] = *t;
  return values;
}

std::string check_loaded(const std::string& path) {
  const tf::EagerMode eager;
  auto f = tf::load(path + ".saved").function("program");
  const tf::io::Safetensors file = tf::io::load_safetensors(path + ".expected");
  const auto& signature = f.signatures()[0];
  for (int run = 1; run < std::stoi(file.metadata().at("runs")); ++run) {
    const std::string in_run = std::to_string(run) + ".";
    std::map<std::string, tf::Tensor> feeds;
    for (size_t i = 0; i < signature.arguments.size(); ++i)
      feeds[signature.arguments[i].name] = file[in_run + "feed" + std::to_string(i)];
    const auto results = f.call_named(feeds);
    const Values expected = all_of(file, in_run + "value", signature.results.size());
    for (size_t v = 0; v < expected.size(); ++v) {
      const tf::Tensor& given = results.at(signature.results[v].name);
      if (!same_bits(expected[v], given))
        return "run " + std::to_string(run + 1) + ", " + numbered("value ", v) + ": " + tf::repr(expected[v]) +
               " and, loaded, " + tf::repr(given);
    }
  }
  const std::string again = path + ".again";
  tf::save(again, tf::load(path + ".saved"));
  const auto size = std::filesystem::file_size(again);
  if (size != std::filesystem::file_size(path + ".saved")) return "saved again it has another size";
  return {};
}

}  // namespace

// In the other process: the programs in the folder TWOFOLD_FUZZ_LOAD.
TEST_CASE("Programs that another process has saved go on here", "[.load]") {
  const char* folder = std::getenv("TWOFOLD_FUZZ_LOAD");
  REQUIRE(folder);
  int loaded = 0;
  for (int index = 0; index < from_environment("TWOFOLD_FUZZ_PROGRAMS", 200); ++index) {
    const std::string path = folder + numbered("/", static_cast<size_t>(index));
    if (!std::filesystem::exists(path + ".saved")) continue;
    ++loaded;
    std::string problem;
    try {
      problem = check_loaded(path);
    } catch (const std::exception& e) {
      problem = e.what();
    }
    INFO("program " << index);
    CHECK(problem == "");
  }
  std::cout << "fuzz: " << loaded << " programs loaded" << std::endl;
  CHECK(loaded > 0);
}

TEST_CASE("Random programs are functions, are saved, and go on in another process") {
  const auto seed = static_cast<uint64_t>(from_environment("TWOFOLD_FUZZ_SEED", 20261130));
  const int programs = from_environment("TWOFOLD_FUZZ_PROGRAMS", 200);
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("twofold_fuzz_saved_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  int saved = 0, failures = 0;
  for (int index = 0; index < programs && failures < 5; ++index) {
    const fuzz::Program p = fuzz::generate(seed, index);
    const std::string path = (folder / std::to_string(index)).string();
    std::string problem;
    try {
      const std::vector<fuzz::Results> eager = fuzz::run_eagerly(p, 1);
      const tf::EagerMode mode;
      const fuzz::Captured printed;
      AsFunction program(p);
      auto f = program.function(feeds_of(p, 0));
      tf::io::NamedTensors expected;
      for (int run = 0; run < p.runs && problem.empty(); ++run) {
        const Values feeds = feeds_of(p, run), values = f(feeds);
        problem = difference(eager[static_cast<size_t>(run)].values, values);
        for (size_t v = 0; v < program.state.variables.size() && problem.empty(); ++v)
          if (!same_bits(eager[static_cast<size_t>(run)].variables[v], program.state.variables[v].read()))
            problem = numbered("variable ", v);
        if (!problem.empty()) problem = "run " + std::to_string(run + 1) + ": " + problem;
        if (run == 0) {
          tf::save(path + ".saved", {{"program", f}});
        } else {
          add_all(expected, (std::to_string(run) + ".feed").c_str(), feeds);
          add_all(expected, (std::to_string(run) + ".value").c_str(), values);
        }
      }
      tf::io::save_safetensors(path + ".expected", expected, {{"runs", std::to_string(p.runs)}});
      ++saved;
    } catch (const fuzz::Unusable&) {
      continue;
    } catch (const tf::Error& e) {
      problem = e.what();
    }
    if (problem.empty()) continue;
    ++failures;
    std::cout << "fuzz: program " << index << " of seed " << seed << ": " << problem << "\n\n"
              << fuzz::to_cpp(p) << std::endl;
    FAIL_CHECK("program " << index << ": " << problem);
  }
  std::cout << "fuzz: " << saved << " programs saved" << std::endl;
  CHECK(saved * 10 > programs * 9);

  setenv("TWOFOLD_FUZZ_LOAD", folder.c_str(), 1);
  const char* const arguments[] = {"fuzz_saved", "[.load]", nullptr};
  pid_t child;
  REQUIRE(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(arguments), environ) == 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  std::filesystem::remove_all(folder);
}
