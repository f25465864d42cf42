// Every op in every dtype that it takes goes into a file and comes back to give the same bits.
#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/saved/writer.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "check.h"

namespace tf = twofold;
namespace saved = twofold::saved;
using namespace op_test;

namespace {

// What another process would load.
template <class F>
tf::SavedProgram by_way_of_bytes(const F& f) {
  const tf::io::Source source{"bytes", {}};
  const auto [tensors, notes] = saved::write_program(saved::record_of({{"f", f}}, {}), {});
  std::string bytes;
  tf::io::write_safetensors([&](const void* from, size_t n) { bytes.append(static_cast<const char*>(from), n); },
                            tensors, notes, source);
  const tf::io::Safetensors file = tf::io::parse_safetensors(std::as_bytes(std::span(bytes)), source);
  return saved::program_of(saved::read_program(file, "bytes"), {}, {});
}

}  // namespace

TEST_CASE("Every op in every dtype is saved, loaded, and gives the same bits") {
  const tf::EagerMode eager;
  std::set<std::pair<std::string, tf::DType>> done;
  for (const Record& r : records()) {
    if (r.op == "Fused") continue;  // which plans have, and no function
    for (const tf::DType dtype : r.dtypes) {
      INFO(r.op << " (" << r.label << "), " << tf::name_of(dtype));
      Random random(7);
      const Tensors inputs = to_tensors(sample(r, r.shapes.back(), dtype, false, random));
      auto f = tf::function([&](const Tensors& in) { return r.call(in); });
      const Tensors expected = f(inputs);
      auto loaded = by_way_of_bytes(f).function("f");
      const tf::SavedSignature signature = loaded.signatures().at(0);
      std::map<std::string, Tensor> arguments;
      for (size_t i = 0; i < inputs.size(); ++i) arguments.emplace(signature.arguments.at(i).name, inputs[i]);
      const auto results = loaded.call_named(arguments);
      Tensors given;
      for (const tf::SavedValue& value : signature.results) given.push_back(results.at(value.name));
      CHECK(bit_difference(given, expected) == "");
      done.emplace(r.op, dtype);
    }
  }
  CHECK(done.size() > 300);
}
