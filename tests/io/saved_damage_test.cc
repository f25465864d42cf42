// Files that are no saved programs any more, or never were: each is an error with its place.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <twofold/lib/saved/writer.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../lib/program.pb.h"  // of the build folder
#include "saved_models.h"
#include "scratch.h"
#include "source_root.h"

namespace tf = twofold;
using tf::Code;
using tf::saved::Program;

namespace {

const std::string kCorpus = std::string(TWOFOLD_SOURCE_ROOT) + "/tests/data/program_corpus/";

// What loading says; empty: nothing.
std::string said(const std::string& path, Code& code) {
  try {
    (void)tf::load(path);
  } catch (const tf::Error& e) {
    code = e.code();
    return e.what();
  }
  return {};
}

// The program with its graph changed, in a file that is right outside.
void write_changed(const std::string& to, const std::string& from, const std::function<void(Program&)>& change) {
  const auto file = tf::io::load_safetensors(from);
  tf::io::NamedTensors tensors = file.tensors();
  for (auto& [name, tensor] : tensors)
    if (name == tf::saved::kGraphTensor) {
      const auto old = tensor.data<uint8_t>();
      Program program;
      REQUIRE(program.ParseFromArray(old.data(), static_cast<int>(old.size())));
      change(program);
      const std::string bytes = program.SerializeAsString();
      tensor = tf::tensor(std::vector<uint8_t>(bytes.begin(), bytes.end()), {.dtype = tf::uint8});
    }
  tf::io::save_safetensors(to, tensors, file.metadata());
}

void check_changed(const std::string& model, const std::function<void(Program&)>& change, Code code,
                   const std::string& words) {
  const Scratch scratch;
  const std::string path = scratch / "changed";
  write_changed(path, kCorpus + model + ".safetensors", change);
  Code came{};
  const std::string what = said(path, came);
  INFO(model << ": " << what);
  CHECK(what.find(words) != std::string::npos);
  CHECK(what.find("changed'") != std::string::npos);
  CHECK(name_of(came) == name_of(code));
}

// The first graph with a node of that op, and the node's number.
std::pair<tf::saved::Graph*, int> find(Program& p, const std::string& op) {
  for (auto& g : *p.mutable_graphs())
    for (int i = 0; i < g.op_size(); ++i)
      if (p.ops(static_cast<int>(g.op(i))).name() == op) return {&g, i};
  FAIL("no " << op);
  return {};
}

// Graphs of one Call each, of the graph before.
void nest(Program& p, int depth) {
  const auto name = static_cast<uint32_t>(p.texts_size());
  p.add_texts("body");
  const auto op = static_cast<uint32_t>(p.ops_size());
  tf::saved::Op* call = p.add_ops();
  call->set_name("Call"), call->set_version(1);
  const auto spec = static_cast<uint32_t>(p.specs_size());
  p.add_specs()->set_dtype(static_cast<uint32_t>(tf::uint8));
  p.mutable_specs(static_cast<int>(spec))->mutable_shape()->add_extents(0);
  p.add_graphs()->set_label("innermost");
  for (int i = 0; i < depth; ++i) {
    p.add_bodies()->set_graph(static_cast<uint32_t>(p.graphs_size() - 1));
    tf::saved::Attributes* a = p.add_attributes();
    a->add_names(name);
    a->add_values()->set_body(static_cast<uint32_t>(p.bodies_size() - 1));
    tf::saved::Graph* g = p.add_graphs();
    g->add_op(op), g->add_attributes(static_cast<uint32_t>(p.attributes_size()));
    g->add_num_inputs(0), g->add_num_outputs(1), g->add_num_controls(0), g->add_output_spec(spec);
    g->add_scope(0), g->add_base(name), g->add_ordinal(0), g->add_device(-1), g->add_generation(0);
    g->add_only_names(false), g->add_file(0), g->add_line(0), g->add_column(0);
  }
}

}  // namespace

// What tests/io/fuzz_program.cc begins with: programs of saved_models.h, and files on which the library once failed.
TEST_CASE("Files of the corpus are programs, or are refused", "[saved]") {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus)) {
    Code code{};
    const std::string name = entry.path().stem(), what = said(entry.path(), code);
    INFO(name << ": " << what);
    if (name.starts_with("found_")) {
      ++found;
      CHECK((code == Code::DataLoss || (code == Code::NotFound && name == "found_absent_gpu") || what.empty()));
    } else {
      CHECK(what.empty());
      CHECK(std::ranges::count(saved_models::kNames, name) == 1);
    }
  }
  CHECK(found >= 4);
}

// The corpus is written anew by: TWOFOLD_WRITE_SAVED=tests/data/program_corpus io_test "[.write_saved]"
TEST_CASE("The corpus of saved programs is written", "[.][write_saved]") {
  const char* folder = std::getenv("TWOFOLD_WRITE_SAVED");
  REQUIRE(folder);
  saved_models::write_all(folder);
}

TEST_CASE("A saved program that is cut anywhere is refused", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "cut";
  const std::string whole = contents(kCorpus + "draws.safetensors");
  for (size_t n = 0; n < whole.size(); ++n) {
    INFO(n);
    put(path, whole.substr(0, n));
    CHECK_ERROR(tf::load(path), DataLoss, "cut': ");
  }
}

// Cut within the graph, in a file that is whole outside.
TEST_CASE("A graph that is cut anywhere is refused", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "cut";
  const auto file = tf::io::load_safetensors(kCorpus + "draws.safetensors");
  const auto graph = file[std::string(tf::saved::kGraphTensor)].data<uint8_t>();
  const std::vector<uint8_t> bytes(graph.begin(), graph.end());
  for (size_t n = 0; n < bytes.size(); ++n) {
    INFO(n);
    const std::vector<uint8_t> part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    tf::io::save_safetensors(path, {{std::string(tf::saved::kGraphTensor), tf::tensor(part, {.dtype = tf::uint8})}},
                             file.metadata());
    CHECK_ERROR(tf::load(path), DataLoss, "cut': ");
  }
}

TEST_CASE("A saved program with any bit flipped is refused, or is a program", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "flipped";
  std::string bytes = contents(kCorpus + "draws.safetensors");
  size_t refused = 0;
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const char mask = static_cast<char>(1 << bit % 8);
    bytes[bit / 8] ^= mask;
    put(path, bytes);
    bytes[bit / 8] ^= mask;
    Code code{};
    const std::string what = said(path, code);
    if (what.empty()) continue;
    ++refused;
    INFO("bit " << bit << ": " << what);
    CHECK((code == Code::DataLoss || code == Code::InvalidArgument || code == Code::Unimplemented ||
           code == Code::NotFound));
    CHECK(what.find("flipped'") != std::string::npos);
  }
  CHECK(refused > 4 * bytes.size());  // names, numbers of lines, constants and keys may be others
}

TEST_CASE("Graphs that refer to what there is not are refused with the place", "[saved]") {
  const auto loss = Code::DataLoss;
  check_changed(
      "control", [](Program& p) { find(p, "While").first->set_input_distance(0, 0); }, loss,
      "it depends on a node that does not come before it");
  check_changed(
      "control", [](Program& p) { find(p, "While").first->set_input_distance(0, 1u << 31); }, loss,
      "it depends on a node that does not come before it");
  check_changed(
      "control", [](Program& p) { find(p, "While").first->set_num_inputs(0, UINT32_MAX); }, loss, "ends within a node");
  check_changed(
      "control", [](Program& p) { find(p, "If").first->mutable_op()->RemoveLast(); }, loss, "columns of");
  check_changed(
      "control", [](Program& p) { p.mutable_functions(0)->set_body(1000); }, loss,
      "function 'fit': it refers to body 1000 of");
  // A graph whose node holds a body of that graph itself.
  check_changed(
      "control",
      [](Program& p) {
        const auto [g, i] = find(p, "If");
        const auto& a = p.attributes(static_cast<int>(g->attributes(i)) - 1);
        int number = 0;
        while (&p.graphs(number) != g) ++number;
        p.mutable_bodies(static_cast<int>(a.values(0).body()))->set_graph(static_cast<uint32_t>(number));
      },
      loss, "a body's graph does not come before the graph that holds it");
  check_changed(
      "control",
      [](Program& p) {
        const auto [g, i] = find(p, "If");
        p.mutable_bodies(static_cast<int>(p.attributes(static_cast<int>(g->attributes(i)) - 1).values(0).body()))
            ->add_capture_inputs(99);
      },
      loss, "more captures than inputs for them");
  check_changed(
      "control",
      [](Program& p) {
        for (auto& b : *p.mutable_bodies()) b.clear_parameters();
      },
      loss, "a body's parameters are not those of its graph");
  check_changed(
      "control",
      [](Program& p) {
        for (auto& s : *p.mutable_specs())
          if (s.dtype() == static_cast<uint32_t>(tf::float32)) s.set_dtype(static_cast<uint32_t>(tf::int64));
      },
      loss, "");
  check_changed(
      "nests", [](Program& p) { nest(p, 100'000); }, loss, "bodies lie in each other more than 200 deep");
}

TEST_CASE("Counts that a file claims are not believed", "[saved]") {
  for (const char* model : {"control", "draws", "nests", "training", "types"}) {
    const Scratch scratch;
    const std::string path = scratch / "changed";
    write_changed(path, kCorpus + model + ".safetensors", [](Program& p) {
      for (auto& s : *p.mutable_specs())
        if (s.shape().extents_size()) s.mutable_shape()->set_extents(0, int64_t{1} << 60);
      for (auto& c : *p.mutable_constants()) {
        c.mutable_spec()->mutable_shape()->add_extents(int64_t{1} << 40);
        c.mutable_spec()->mutable_shape()->add_extents(int64_t{1} << 40);
      }
    });
    Code code{};
    INFO(model << ": " << said(path, code));
    CHECK(!said(path, code).empty());
    CHECK(code == Code::DataLoss);
  }
  check_changed(
      "types", [](Program& p) { p.mutable_constants(0)->set_elements(""); }, Code::DataLoss, "has 0 bytes");
  check_changed(
      "nests",
      [](Program& p) {
        for (auto& c : *p.mutable_constants())
          if (c.has_tensor()) c.set_tensor("elsewhere");
      },
      Code::DataLoss, "the constant 'elsewhere' has no tensor in the file");
}

TEST_CASE("What is newer than the library says so", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "newer";
  auto file = tf::io::load_safetensors(kCorpus + "draws.safetensors");
  tf::io::save_safetensors(path, file.tensors(), {{"twofold", "2"}});
  CHECK_ERROR(tf::load(path), Unimplemented, "newer': its format is version 2, and this library reads up to 1");
  tf::io::save_safetensors(path, file.tensors(), {{"twofold", "one"}});
  CHECK_ERROR(tf::load(path), Unimplemented, "its format is version one");
  check_changed(
      "draws", [](Program& p) { p.mutable_ops(0)->set_version(1000); }, Code::Unimplemented,
      "is version 1000 of it, and this library has");
  check_changed(
      "draws", [](Program& p) { p.mutable_ops(0)->set_name("Teleport"); }, Code::Unimplemented,
      "this library has no op 'Teleport'");
  // Within a body.
  check_changed(
      "control",
      [](Program& p) {
        for (auto& o : *p.mutable_ops())
          if (o.name() == "If") o.set_version(7);
      },
      Code::Unimplemented, "'If' is version 7 of it");
}

TEST_CASE("Other safetensors files are no saved programs", "[saved]") {
  const std::string others = std::string(TWOFOLD_SOURCE_ROOT) + "/tests/data/safetensors_corpus/";
  for (const char* name : {"by_reference", "all_dtypes", "metadata", "empty"})
    CHECK_ERROR(tf::load(others + name + ".safetensors"), InvalidArgument,
                "it is a safetensors file, but not a saved program");
  const Scratch scratch;
  const std::string path = scratch / "foreign";
  tf::io::save_safetensors(path, {{"twofold.graph", tf::tensor(1.f)}}, {{"twofold", "1"}});
  CHECK_ERROR(tf::load(path), DataLoss, "foreign': its graph is no vector of bytes");
  put(path, std::string(1000, 'x'));
  CHECK_ERROR(tf::load(path), DataLoss, "foreign'");
}
