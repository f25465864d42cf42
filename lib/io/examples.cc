#include <twofold/lib/io/examples.h>

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include <twofold/lib/io/file.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

// A file's bytes in memory, for as long as something refers to them.
class Mapping final : public RefCounted {
 public:
  Mapping(const InputFile& file, const std::string& path, std::source_location where) : bytes_(file.size()) {
    if (bytes_ == 0) return;  // nothing to map, which the system would refuse
    data_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
    if (data_ == MAP_FAILED) fail_errno("map", path, errno, where);
  }
  ~Mapping() override {
    if (bytes_) ::munmap(data_, bytes_);
  }
  const std::byte* data() const { return static_cast<const std::byte*>(data_); }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

}  // namespace

Examples::Examples(const Tensor& given, Where where) {
  const auto refuse = [&](Code code, const std::string& problem, const char* hint = "") {
    fail_at(where, "", code, problem, hint);
  };
  if (!given.defined()) refuse(Code::InvalidArgument, "Examples were asked of an undefined Tensor (None)");
  if (given.is_symbolic())
    refuse(Code::FailedPrecondition,
           fmt::format("Examples were asked of the symbol {}, which has no value", to_string(given)), "session.run(t)");
  if (!given.value()->device().is_cpu())
    refuse(Code::InvalidArgument, fmt::format("Examples lie on the host; the tensor is on {}", given.device()),
           "t.to(\"/cpu:0\")");
  if (given.rank() == 0) refuse(Code::InvalidArgument, "Examples are the slices of the first axis; a scalar has none");
  const Ref<Value> value(retained(given).value());
  dtype_ = value->dtype();
  size_ = value->shape()[0];
  shape_ = Shape(value->shape().dims().subspan(1));
  bytes_ = static_cast<size_t>(shape_.num_elements()) * size_of(dtype_);
  data_ = static_cast<const std::byte*>(value->data());
  owner_ = value;
}

Examples::Examples(DType dtype, const Shape& shape, int64_t size, const std::byte* data, Ref<RefCounted> owner)
    : dtype_(dtype),
      shape_(shape),
      size_(size),
      bytes_(static_cast<size_t>(shape.num_elements()) * size_of(dtype)),
      data_(data),
      owner_(std::move(owner)) {}

void Examples::check_range(int64_t number, Where where) const {
  if (number < 0 || number >= size_)
    fail_at(where, "", Code::OutOfRange, fmt::format("Example {} was asked for; there are {}", number, size_));
}

Shape Examples::batch_shape(int64_t count) const {
  Shape batch = {count};
  for (const int64_t extent : shape_) batch.push_back(extent);
  return batch;
}

Tensor Examples::slice(int64_t first, int64_t count, Where where) const {
  if (first < 0 || count < 0 || first > size_ || count > size_ - first)
    fail_at(where, "", Code::OutOfRange,
            fmt::format("{} examples from number {} on were asked for; there are {}", count, first, size_));
  const Shape shape = batch_shape(count);
  const std::byte* from = data_ + static_cast<size_t>(first) * bytes_;
  if (reinterpret_cast<uintptr_t>(from) % size_of(dtype_) == 0)
    return Tensor::adopt(Value::alias(dtype_, shape, from, owner_).detach());
  auto copy = Value::make(dtype_, shape);
  if (copy->bytes()) std::memcpy(copy->data(), from, copy->bytes());
  return Tensor::adopt(copy.detach());
}

Tensor Examples::gather(std::span<const int64_t> numbers, Where where) const {
  for (const int64_t number : numbers) check_range(number, where);
  auto batch = Value::make(dtype_, batch_shape(static_cast<int64_t>(numbers.size())));
  auto* to = static_cast<std::byte*>(batch->data());
  if (batch->bytes()) {
    for (const int64_t number : numbers) {
      std::memcpy(to, data_ + static_cast<size_t>(number) * bytes_, bytes_);
      to += bytes_;
    }
  }
  return Tensor::adopt(batch.detach());
}

Examples map_file(const std::string& path, MapOptions options, std::source_location where) {
  const auto refuse = [&](const std::string& problem, const char* hint = "", Code code = Code::InvalidArgument) {
    fail_at(where, "", code, fmt::format("{}: {}", in_quotes(path), problem), hint);
  };
  if (options.dtype == bool_)
    refuse("a bool is 0 or 1, and a file's bytes could be anything", "{.dtype = tf::uint8}, and tf::cast");
  if (!options.shape.is_known() || options.shape.rank() >= kMaxRank)
    refuse(fmt::format("an example's shape must be known, of at most {} axes; it is {}", kMaxRank - 1,
                       options.shape.str()));
  if (options.offset < 0 || options.count < -1)
    refuse(fmt::format("offset must be at least 0, and count at least 0 or -1; they are {} and {}", options.offset,
                       options.count));
  const int64_t elements = options.shape.saturated_elements();
  if (elements == 0) refuse(fmt::format("an example of shape {} has no elements", options.shape.str()));
  int64_t bytes;
  if (__builtin_mul_overflow(elements, static_cast<int64_t>(size_of(options.dtype)), &bytes)) bytes = INT64_MAX;

  const InputFile file(path, where);
  const auto size = static_cast<int64_t>(file.size());
  const std::string example = fmt::format("examples of shape {} and dtype {}, {} bytes each", options.shape.str(),
                                          name_of(options.dtype), bytes);
  const int64_t data = size - options.offset;
  if (data < 0)
    refuse(fmt::format("the file has {} bytes, less than the offset of {}", size, options.offset), "", Code::DataLoss);
  if (options.count < 0 && data % bytes != 0)
    refuse(fmt::format("the file has {} bytes after the offset of {}, which is no whole number of {}", data,
                       options.offset, example),
           "", Code::DataLoss);
  if (options.count > data / bytes)
    refuse(fmt::format("the file has {} bytes after the offset of {}, too few for {} {}", data, options.offset,
                       options.count, example),
           "", Code::DataLoss);
  auto mapping = make_ref<Mapping>(file, path, where);
  const std::byte* first = mapping->data() + (mapping->data() ? options.offset : 0);
  return {options.dtype, options.shape, options.count < 0 ? data / bytes : options.count, first, std::move(mapping)};
}

}  // namespace twofold::io
