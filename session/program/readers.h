// Who reads which value of a program: kept while passes run, so that each asks for what it needs alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace twofold {

/// One reading of a value: by input `input` of node `node`, or by fetch `input`.
struct Reader {
  static constexpr uint32_t kFetch = ~uint32_t{0};
  uint32_t node = kFetch;
  uint32_t input = 0;
  bool is_fetch() const { return node == kFetch; }
  friend bool operator==(Reader, Reader) = default;
};

/// For each value a list of its readings. A node's readings end all at once, by a mark on the node; whoever comes past
/// them next takes them out of their lists. So each costs a few steps, however often a value is read.
class ReaderLists {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  bool built() const { return built_; }
  void clear() { *this = ReaderLists(); }
  /// For so many values, nodes and readings by now; there may be more later.
  void start(size_t values, size_t nodes, size_t readings) {
    first_.assign(values, kNone);
    starts_.assign(nodes, kNone);
    links_.resize(readings);
    built_ = true;
  }

  /// A node, or with Reader::kFetch the fetches, reads these values, and no longer what it read before.
  void set(uint32_t node, std::span<const uint32_t> values) {
    uint32_t place = end_;
    (node == Reader::kFetch ? fetches_ : starts_[node]) = place;
    end_ += static_cast<uint32_t>(values.size());
    if (end_ > links_.size()) [[unlikely]]
      links_.resize(end_ + end_ / 2);
    Link* const links = links_.data();
    for (const uint32_t value : values) {
      make_room(value);
      uint32_t& first = first_[value];
      links[place] = {node, first};
      first = place++;
    }
  }
  /// A node reads nothing any more.
  void end(uint32_t node) { starts_[node] = kNone; }
  /// All readings of `value` are of `by`; `written` is told each of them.
  template <class F>
  void move(uint32_t value, uint32_t by, F&& written) {
    make_room(by);
    for (uint32_t place = first(value); place != kNone;) {
      const uint32_t following = next(place);
      written(at(place));
      links_[place].next = first_[by];
      first_[by] = place;
      place = following;
    }
    if (value < first_.size()) first_[value] = kNone;
  }

  /// The first reading of a value, by its place; kNone: nobody reads it.
  uint32_t first(uint32_t value) { return value < first_.size() ? skip_ended(first_[value]) : kNone; }
  uint32_t next(uint32_t place) { return skip_ended(links_[place].next); }
  Reader at(uint32_t place) const {
    const uint32_t node = links_[place].node;
    return {node, place - (node == Reader::kFetch ? fetches_ : starts_[node])};
  }

 private:
  struct Link {
    uint32_t node, next;
  };
  void make_room(uint32_t value) {
    if (value >= first_.size()) [[unlikely]]
      first_.resize(value + 1, kNone);
  }
  // A node's readings before its mark have ended.
  bool has_ended(uint32_t place) const {
    const uint32_t node = links_[place].node;
    return node != Reader::kFetch && place < starts_[node];
  }
  uint32_t skip_ended(uint32_t& place) const {
    while (place != kNone && has_ended(place)) place = links_[place].next;
    return place;
  }

  bool built_ = false;
  std::vector<uint32_t> first_;   // by value: the place of its first reading
  std::vector<uint32_t> starts_;  // by node: the place of input 0; kNone: it reads nothing any more
  uint32_t fetches_ = 0;          // the place of fetch 0
  std::vector<Link> links_;       // by place; behind end_ is room
  uint32_t end_ = 0;
};

/// The readings of one value, in no order.
class Readers {
 public:
  class Iterator {
   public:
    using value_type = Reader;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(ReaderLists* lists, uint32_t place) : lists_(lists), place_(place) {}
    Reader operator*() const { return lists_->at(place_); }
    Iterator& operator++() {
      place_ = lists_->next(place_);
      return *this;
    }
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& o) const { return place_ == o.place_; }

   private:
    ReaderLists* lists_ = nullptr;
    uint32_t place_ = ReaderLists::kNone;
  };

  Readers(ReaderLists& lists, uint32_t value) : lists_(&lists), first_(lists.first(value)) {}
  Iterator begin() const { return {lists_, first_}; }
  Iterator end() const { return {lists_, ReaderLists::kNone}; }
  bool empty() const { return first_ == ReaderLists::kNone; }
  /// Whether there is exactly one.
  bool is_one() const { return !empty() && lists_->next(first_) == ReaderLists::kNone; }

 private:
  ReaderLists* lists_;
  uint32_t first_;
};

}  // namespace twofold
