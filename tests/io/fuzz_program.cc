// A libFuzzer target: whatever the bytes, loading them as a saved program ends in a tf::Error or in a program, takes
// memory in proportion, and what was loaded is saved and loaded again; what has no loop is run, too. See the option
// `fuzzers`.
#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/saved/writer.h>
#include <twofold/twofold.h>

#include "wire.h"

namespace tf = twofold;
namespace io = twofold::io;
namespace saved = twofold::saved;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

const io::Source kSource = {"input", {}};

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what.c_str());
  std::abort();
}

// Bytes of the heap that are in use beyond those when it was made.
class HeapUse {
 public:
  HeapUse() {
    static const bool installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed) != 0;
    require(installed, "the heap can be watched");
    g_now = g_most = 0;
    g_watching = true;
  }
  ~HeapUse() { g_watching = false; }
  int64_t most() const { return g_most; }

 private:
  static void allocated(const volatile void*, size_t n) {
    if (!g_watching) return;
    g_now += static_cast<int64_t>(n);
    g_most = std::max<int64_t>(g_most, g_now);
  }
  static void freed(const volatile void* p) {
    if (g_watching && p) g_now -= static_cast<int64_t>(__sanitizer_get_allocated_size(p));
  }
  static inline std::atomic<bool> g_watching = false;
  static inline std::atomic<int64_t> g_now = 0, g_most = 0;
};

saved::ProgramRecord read(std::span<const std::byte> bytes) {
  return saved::read_program(io::parse_safetensors(bytes, kSource), "input");
}

std::string written(const tf::SavedProgram& program) {
  const auto [tensors, notes] = saved::write_program(saved::record_of(program, {}), {});
  std::string bytes;
  const auto append = [&](const void* from, size_t n) { bytes.append(static_cast<const char*>(from), n); };
  io::write_safetensors(append, tensors, notes, kSource);
  return bytes;
}

// Whether runs of a body are short: it has no loop, and does not stand in itself by way of many others.
bool is_short(const tf::Body& body, int64_t& nodes) {
  nodes += body.graph->size();
  if (nodes > 1000) return false;
  for (uint32_t id = 0; id < body.graph->size(); ++id) {
    const tf::Node& n = body.graph->node(id);
    if (n.op == &tf::while_op) return false;
    for (const tf::Body* inner : tf::bodies_of(*n.op, n.attrs_view()))
      if (!is_short(*inner, nodes)) return false;
  }
  return true;
}

// Calls what takes tensors that are small.
void run(const tf::SavedProgram& program) {
  for (const tf::SavedSignature& s : program.signatures()) {
    std::map<std::string, tf::Tensor> arguments;
    int64_t elements = 0;
    for (const tf::SavedValue& a : s.arguments) {
      if (a.dtype == tf::DType::list) return;
      tf::Shape shape;
      for (int i = 0; i < std::max(a.shape.rank(), 0); ++i) shape.push_back(a.shape.extent(i).value_or(2));
      elements += shape.saturated_elements();
      if (elements > 10000) return;
      arguments.emplace(a.name, tf::tensor(1, shape, {.dtype = a.dtype}));
    }
    try {
      program.function(s.name).call_named(arguments);
    } catch (const tf::Error& e) {
      require(e.code() != tf::Code::Internal, e.what());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tf::EagerMode eager;
  saved::ProgramRecord record;
  try {
    const HeapUse heap;
    record = read(std::as_bytes(std::span(data, size)));
    require(heap.most() < static_cast<int64_t>(1'000'000 + 1000 * size), "loading takes memory by the file's size");
  } catch (const tf::Error& e) {
    const tf::Code code = e.code();
    require(code == tf::Code::DataLoss || code == tf::Code::InvalidArgument || code == tf::Code::Unimplemented,
            e.what());
    return 0;
  }
  int64_t nodes = 0;
  const bool runs = std::ranges::all_of(record.functions, [&](const auto& f) { return is_short(f.body, nodes); });
  const tf::SavedProgram program = saved::program_of(std::move(record), {}, {});
  const std::string once = written(program);
  const tf::SavedProgram again = saved::program_of(read(std::as_bytes(std::span(once))), {}, {});
  require(written(again) == once, "the bytes are the same the second time");
  if (runs) run(program);
  return 0;
}

namespace {

using wire::Field;
using Random = std::minstd_rand;

// A number near the old one, or one that is telling.
uint64_t other_number(uint64_t old, Random& random) {
  constexpr uint64_t kTelling[] = {0, 1, 2, 3, 7, 8, 127, 255, 0xffff, 0x7fffffff, 0xffffffff, ~uint64_t{0}};
  switch (random() % 4) {
    case 0: return old + 1;
    case 1: return old - 1;
    case 2: return old ^ uint64_t { 1 } << random() % 64;
    default: return kTelling[random() % std::size(kTelling)];
  }
}

// Changes one thing at some depth, and keeps lengths true.
std::string mutated(const std::string& message, size_t most, Random& random, int depth) {
  std::vector<Field> fields;
  const bool is_message = wire::read_fields(message, fields) && !fields.empty();
  if (!is_message || random() % 8 == 0) {  // bytes, or a column of numbers
    std::string_view rest = message;
    std::vector<uint64_t> column;
    uint64_t value = 0;
    while (!rest.empty() && wire::read_varint(rest, value)) column.push_back(value);
    if (rest.empty() && !column.empty() && random() % 2) {
      const size_t at = random() % column.size();
      if (random() % 4 == 0)
        column.insert(column.begin() + static_cast<std::ptrdiff_t>(at), column[random() % column.size()]);
      else if (random() % 4 == 0)
        column.erase(column.begin() + static_cast<std::ptrdiff_t>(at));
      else
        column[at] = other_number(column[at], random);
      std::string to;
      for (uint64_t v : column) wire::append_varint(to, v);
      return to;
    }
    std::string bytes = message;
    const size_t room = std::max<size_t>(std::min(most, message.size() + 16), 1);
    bytes.resize(std::max(room, message.size()));
    bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), std::min(message.size(), room), room));
    return bytes;
  }
  const size_t at = random() % fields.size();
  Field& f = fields[at];
  const uint32_t what = random() % 16;
  if (what == 0) {
    fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(at));
  } else if (what == 1) {
    const Field copy = fields[random() % fields.size()];
    fields.insert(fields.begin() + static_cast<std::ptrdiff_t>(at), copy);
  } else if (what == 2) {
    std::swap(f, fields[random() % fields.size()]);
  } else if ((f.tag & 7) != 2) {
    f.number = other_number(f.number, random);
  } else if (depth < 8) {
    f.bytes = mutated(f.bytes, most, random, depth + 1);
  }
  return wire::write_fields(fields);
}

}  // namespace

// Most changes are to the program alone, in its fields, and leave the file around it right.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, most);
  try {
    const io::Safetensors file = io::parse_safetensors(std::as_bytes(std::span(data, size)), kSource);
    io::NamedTensors tensors(file.tensors().begin(), file.tensors().end());
    for (auto& [name, tensor] : tensors) {
      if (name != saved::kGraphTensor || tensor.dtype() != tf::uint8) continue;
      const auto bytes = tensor.data<uint8_t>();
      const std::string program = mutated({bytes.begin(), bytes.end()}, most, random, 0);
      tensor = tf::tensor(std::vector<uint8_t>(program.begin(), program.end()));
    }
    std::string out;
    const auto append = [&](const void* from, size_t n) { out.append(static_cast<const char*>(from), n); };
    io::write_safetensors(append, tensors, file.metadata(), kSource);
    if (out.size() > most) return LLVMFuzzerMutate(data, size, most);
    std::copy(out.begin(), out.end(), data);
    return out.size();
  } catch (const tf::Error&) {
    return LLVMFuzzerMutate(data, size, most);
  }
}
