// A libFuzzer target: whatever the bytes, loading them as a program ends in a tf::Error or in a program, in memory that
// the file's size bounds; and the program, called on small tensors, ends in a tf::Error or in results. See the option
// `fuzzers`.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <sanitizer/allocator_interface.h>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observer.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/saved/writer.h>

namespace io = twofold::io;
namespace tf = twofold;
using tf::Code;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

const io::Source kSource = {"input", {}};
constexpr uint64_t kMostOps = 300;          // that one call may do
constexpr int64_t kMostElements = 1 << 16;  // of a value in a program that is called
constexpr int64_t kMostBytesOfAByte =
    1200;                                   // of memory, for a byte of the file: a node's columns take 24 bytes or more
constexpr int64_t kBytesAtLeast = 4 << 20;  // of memory, for the smallest file

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what.c_str());
  std::abort();
}

// What is allocated, and the most that was.
std::atomic<int64_t> g_allocated, g_peak;
void on_malloc(const volatile void* p, size_t) {
  const auto size = static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(p)));
  const int64_t now = g_allocated += size;
  if (now > g_peak) g_peak = now;
}
void on_free(const volatile void* p) {
  if (p) g_allocated -= static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(p)));
}

io::Safetensors parsed(std::span<const std::byte> bytes) { return io::parse_safetensors(bytes, kSource); }

std::string written(const io::NamedTensors& tensors, const io::Metadata& metadata) {
  std::string bytes;
  const auto append = [&](const void* from, size_t n) { bytes.append(static_cast<const char*>(from), n); };
  io::write_safetensors(append, tensors, metadata, kSource);
  return bytes;
}

struct TooMuch {};
class Limit : public tf::Observer {
 public:
  void observe(const tf::Observation& op) override {
    for (const tf::Tensor& t : op.outputs)
      if (t.defined() && t.dtype() != tf::DType::list && t.shape().saturated_elements() > kMostElements)
        throw TooMuch();
    if (++ops_ > kMostOps) throw TooMuch();
  }

 private:
  uint64_t ops_ = 0;
};

// Of an argument: 2 for extents that are not known.
tf::Tensor small_tensor(const tf::SavedValue& value) {
  tf::Shape shape;
  if (value.shape.has_rank())
    for (int64_t d : value.shape.raw()) shape.push_back(d < 0 ? 2 : d);
  if (value.dtype == tf::DType::list || shape.saturated_elements() > kMostElements) throw TooMuch();
  auto made = tf::Value::make(value.dtype, shape);
  if (made->bytes()) std::memset(made->data(), value.dtype == tf::bool_ ? 1 : 0, made->bytes());
  return tf::Tensor::adopt(made.detach());
}

bool small(const tf::Body& body, int depth) {
  if (depth == 0) return false;
  for (uint32_t id = 0; id < body.graph->size(); ++id) {
    const tf::Node& node = body.graph->node(id);
    for (const tf::TensorSpec& spec : node.outputs)
      if (spec.shape.has_rank() && spec.shape.saturated_elements() > kMostElements) return false;
    for (const tf::Body* inner : tf::bodies_of(*node.op, node.attrs_view()))
      if (!small(*inner, depth - 1)) return false;
  }
  return true;
}

void call_all(const tf::SavedProgram& program) {
  const tf::EagerMode eager;
  for (const tf::SavedSignature& signature : program.signatures()) try {
      std::map<std::string, tf::Tensor> arguments;
      for (const tf::SavedValue& a : signature.arguments) arguments[a.name] = small_tensor(a);
      Limit limit;
      const tf::Observing observing(limit);
      (void)program.function(signature.name).call_named(arguments);
    } catch (const TooMuch&) {
    } catch (const tf::Error& e) {
      require(e.code() != Code::Internal, e.what());
    }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  (void)__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int64_t before = g_allocated;
  g_peak = before;
  try {
    const io::Safetensors file = parsed(std::as_bytes(std::span(data, size)));
    tf::saved::ProgramRecord record = tf::saved::read_program(file, "input");
    require(g_peak - before <= kBytesAtLeast + kMostBytesOfAByte * static_cast<int64_t>(size),
            "loading takes memory by the file's size, not " + std::to_string(g_peak - before));
    bool run = true;
    for (const auto& f : record.functions) run &= small(f.body, 8);
    const tf::SavedProgram program = tf::saved::program_of(std::move(record), {}, {});
    if (run) call_all(program);
  } catch (const tf::Error& e) {
    require(e.code() == Code::DataLoss || e.code() == Code::Unimplemented || e.code() == Code::InvalidArgument ||
                e.code() == Code::NotFound,  // a device
            e.what());
  }
  return 0;
}

namespace {

// A protocol buffers message as it lies in bytes: fields, of which those of a length may be messages or packed numbers.
struct Field {
  uint64_t tag = 0;
  uint64_t number = 0;  // of a varint
  std::string bytes;    // of the other kinds
};

bool take_varint(std::string_view& from, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(from[0]);
    from.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}
void put_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

bool fields_of(std::string_view message, std::vector<Field>& fields) {
  while (!message.empty()) {
    Field f;
    if (!take_varint(message, f.tag) || f.tag >> 3 == 0 || f.tag >> 3 > 32) return false;
    uint64_t length = 0;
    switch (f.tag & 7) {
      case 0:
        if (!take_varint(message, f.number)) return false;
        break;
      case 1: length = 8; break;
      case 2:
        if (!take_varint(message, length)) return false;
        break;
      default: return false;
    }
    if (length > message.size()) return false;
    f.bytes = message.substr(0, length);
    message.remove_prefix(length);
    fields.push_back(std::move(f));
  }
  return !fields.empty();
}
std::string bytes_of(const std::vector<Field>& fields) {
  std::string bytes;
  for (const Field& f : fields) {
    put_varint(bytes, f.tag);
    if ((f.tag & 7) == 0) put_varint(bytes, f.number);
    if ((f.tag & 7) == 2) put_varint(bytes, f.bytes.size());
    bytes += f.bytes;
  }
  return bytes;
}

using Random = std::minstd_rand;

uint64_t mutated(uint64_t number, Random& random) {
  switch (random() % 6) {
    case 0: return number + 1;
    case 1: return number - 1;
    case 2: return random() % 8;
    case 3: return number ^ uint64_t { 1 } << random() % 64;
    case 4: return random() % 40;
    default: return ~uint64_t{0} >> random() % 64;
  }
}

std::string mutated_bytes(const std::string& bytes, size_t room, Random&) {
  std::string changed = bytes;
  changed.resize(std::max(bytes.size() + room, size_t{1}));
  changed.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(changed.data()), bytes.size(), changed.size()));
  return changed;
}

// Numbers that are packed: one is changed, left out or given again.
std::string mutated_numbers(const std::string& bytes, Random& random) {
  std::vector<uint64_t> numbers;
  std::string_view rest = bytes;
  for (uint64_t n; !rest.empty() && take_varint(rest, n);) numbers.push_back(n);
  if (numbers.empty()) return bytes;
  const size_t i = random() % numbers.size();
  const auto at = numbers.begin() + static_cast<ptrdiff_t>(i);
  switch (random() % 8) {
    case 0: numbers.erase(at); break;
    case 1: numbers.insert(at, *at); break;
    case 2: *at = numbers[random() % numbers.size()]; break;
    default: *at = mutated(*at, random);
  }
  std::string changed;
  for (uint64_t n : numbers) put_varint(changed, n);
  return changed;
}

std::string mutated_message(const std::string& message, size_t room, Random& random, int depth) {
  std::vector<Field> fields;
  if (!fields_of(message, fields)) return mutated_bytes(message, room, random);
  const size_t i = random() % fields.size();
  const auto at = fields.begin() + static_cast<ptrdiff_t>(i);
  switch (random() % 24) {
    case 0: fields.erase(at); break;
    case 1:
      if (at->bytes.size() + 20 < room) fields.insert(at, *at);
      break;
    case 2: std::swap(at->bytes, fields[random() % fields.size()].bytes); break;
    case 3: at->tag = (1 + random() % 24) << 3 | (at->tag & 7); break;
    default:
      if ((at->tag & 7) == 0) {
        at->number = mutated(at->number, random);
      } else if ((at->tag & 7) == 1 || random() % 8 == 0) {
        const size_t length = at->bytes.size();
        at->bytes = mutated_bytes(at->bytes, room, random);
        if ((at->tag & 7) == 1) at->bytes.resize(length);
      } else {
        std::vector<Field> inner;
        if (depth < 6 && fields_of(at->bytes, inner) && random() % 4 != 0)
          at->bytes = mutated_message(at->bytes, room, random, depth + 1);
        else
          at->bytes = mutated_numbers(at->bytes, random);
      }
  }
  return bytes_of(fields);
}

}  // namespace

// Most changes are within the graph, field by field, in a file whose header is right: at random it would seldom be.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, most);
  try {
    const io::Safetensors file = parsed(std::as_bytes(std::span(data, size)));
    io::NamedTensors tensors = file.tensors();
    for (auto& [name, tensor] : tensors) {
      if (name != tf::saved::kGraphTensor || tensor.dtype() != tf::uint8) continue;
      const auto old = tensor.data<uint8_t>();
      std::string graph(old.begin(), old.end());
      for (size_t n = 1 + random() % 3; n > 0; --n)
        graph = mutated_message(graph, most - std::min(most, size), random, 0);
      auto value = tf::Value::make(tf::uint8, tf::Shape{static_cast<int64_t>(graph.size())});
      if (!graph.empty()) std::memcpy(value->data(), graph.data(), graph.size());
      tensor = tf::Tensor::adopt(value.detach());
    }
    const std::string bytes = written(tensors, file.metadata());
    if (bytes.size() <= most) {
      std::copy(bytes.begin(), bytes.end(), data);
      return bytes.size();
    }
  } catch (const tf::Error&) {
  }
  return LLVMFuzzerMutate(data, size, most);
}
