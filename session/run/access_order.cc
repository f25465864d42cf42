#include <twofold/session/run/access_order.h>

#include <algorithm>
#include <functional>
#include <iterator>

namespace twofold {

void AccessOrder::cut(uintptr_t at) {
  auto it = pieces_.upper_bound(at);
  if (it == pieces_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  const Piece rest = it->second;
  it->second.end = at;
  pieces_.emplace_hint(std::next(it), at, rest);
}

void AccessOrder::read(uintptr_t begin, uintptr_t end) {
  const auto launch = static_cast<uint32_t>(before_.size());
  cut(begin), cut(end);
  for (auto it = pieces_.lower_bound(begin); begin < end; ++it) {
    const uintptr_t next = it == pieces_.end() ? end : std::min(end, it->first);
    if (begin < next) it = pieces_.emplace_hint(it, begin, Piece{.end = next});
    Piece& piece = it->second;
    if (piece.writer != kNone) found_.push_back(piece.writer);
    piece.readers.push_back(launch);
    begin = piece.end;
  }
}

void AccessOrder::write(uintptr_t begin, uintptr_t end) {
  const auto launch = static_cast<uint32_t>(before_.size());
  cut(begin), cut(end);
  const auto first = pieces_.lower_bound(begin), last = pieces_.lower_bound(end);
  for (auto it = first; it != last; ++it) {
    const Piece& piece = it->second;
    if (piece.writer != kNone && piece.readers.empty()) found_.push_back(piece.writer);  // readers come after it
    found_.insert(found_.end(), piece.readers.begin(), piece.readers.end());
  }
  pieces_.emplace_hint(pieces_.erase(first, last), begin, Piece{.end = end, .writer = launch});
}

std::vector<uint32_t> AccessOrder::add(std::span<const Access> accesses) {
  const auto launch = static_cast<uint32_t>(before_.size());
  found_.clear();
  for (const bool writes : {false, true}) {
    for (const Access& a : accesses) {
      const auto begin = reinterpret_cast<uintptr_t>(a.at);
      if (a.writes != writes || a.bytes == 0) continue;
      writes ? write(begin, begin + a.bytes) : read(begin, begin + a.bytes);
    }
  }
  std::ranges::sort(found_, std::greater());
  std::vector<uint32_t> result;
  std::bitset<kNear> reached;
  for (const uint32_t other : found_) {
    const size_t distance = launch - other;
    const bool near = distance < kNear;
    if (distance == 0 || (near ? reached[distance] : !result.empty() && result.back() == other)) continue;
    result.push_back(other);
    if (near) reached |= before_[other] << distance, reached.set(distance);
  }
  before_.push_back(reached);
  return result;
}

}  // namespace twofold
