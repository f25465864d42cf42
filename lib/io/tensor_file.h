// What a file of named tensors holds, whatever its format.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <ranges>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold::io {

/// Values under names, in an order that is kept.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// A tensor's name, and the user's line.
struct TensorName {
  template <std::convertible_to<std::string_view> S>
  TensorName(const S& name, std::source_location line = std::source_location::current()) : value(name), where(line) {}
  std::string_view value;      ///< the name
  std::source_location where;  ///< the user's line
};

/// Tensors by name, `file["layer.weight"]`, and in the file's order, `for (const auto& [name, tensor] : file)`.
class TensorFile {
 public:
  TensorFile() = default;
  /// `source` is what errors call it, a path. Precondition: names differ.
  TensorFile(std::string source, NamedTensors tensors);

  /// Throws NotFound, which lists what comes near the name and what there is.
  const Tensor& operator[](TensorName name) const;
  /// Null if there is none of that name.
  const Tensor* find(std::string_view name) const;
  /// Whether there is one of that name.
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// @{
  /// How many tensors there are.
  size_t size() const { return tensors_.size(); }
  bool empty() const { return tensors_.empty(); }
  /// @}
  /// @{
  /// Names and tensors, in the file's order.
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }
  /// @}

  /// All of them, in the file's order.
  const NamedTensors& tensors() const { return tensors_; }
  /// By name, as load_state takes them.
  operator std::map<std::string, Tensor>() const { return {begin(), end()}; }

 private:
  std::string source_;
  NamedTensors tensors_;
  std::map<std::string, size_t, std::less<>> places_;
};

namespace internal {

/// A map, as a session's run of a map returns it, or another range of names with tensors or eager variables.
template <class R>
concept TensorRange = !std::same_as<R, NamedTensors> && std::ranges::input_range<const R> &&
                      requires(std::ranges::range_reference_t<const R> entry) {
  { entry.first } -> std::convertible_to<std::string>;
  { entry.second } -> std::convertible_to<Tensor>;
};

template <TensorRange R>
NamedTensors list_of(const R& tensors) {
  NamedTensors list;
  for (const auto& [name, tensor] : tensors) list.emplace_back(name, tensor);
  return list;
}

}  // namespace internal

}  // namespace twofold::io
