#include <twofold/kernels/einsum/equation.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include <twofold/lib/core/error.h>

namespace twofold::einsum_detail {
namespace {

/// One operand's or the result's part of an equation: letters, and where "..." stands among them.
struct Term {
  std::string letters;
  std::optional<size_t> ellipsis;  ///< before the letter of this number
};

Term term_of(std::string_view text, std::string_view part) {
  Term t;
  for (size_t i = 0; i < part.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(part[i]))) {
      t.letters += part[i];
    } else if (part.substr(i, 3) == "..." && !t.ellipsis) {
      t.ellipsis = t.letters.size();
      i += 2;
    } else {
      refuse(text, fmt::format("'{}' is no letter", part.substr(i, 1)));
    }
  }
  return t;
}

/// With `axes` axes in the place of "...".
Labels labels_of(const Term& t, int axes) {
  Labels all;
  for (size_t i = 0; i <= t.letters.size(); ++i) {
    if (t.ellipsis == i)
      for (int k = axes; k-- > 0;) all.push_back(kEllipsis + k);
    if (i < t.letters.size()) all.push_back(t.letters[i]);
  }
  return all;
}

}  // namespace

void refuse(std::string_view text, const std::string& why) {
  fail(Code::InvalidArgument, fmt::format("einsum(\"{}\"): {}", text, why));
}

std::string name_of_label(Label label) { return label >= kEllipsis ? "..." : std::string(1, static_cast<char>(label)); }

Equation parse(std::string_view text, const std::vector<int>& ranks) {
  std::string s;
  for (char c : text)
    if (!std::isspace(static_cast<unsigned char>(c))) s += c;
  const size_t arrow = s.find("->");
  std::vector<Term> terms;
  std::string_view left = std::string_view(s).substr(0, arrow);
  for (size_t comma; (comma = left.find(',')) != std::string_view::npos; left.remove_prefix(comma + 1))
    terms.push_back(term_of(text, left.substr(0, comma)));
  terms.push_back(term_of(text, left));
  if (terms.size() != ranks.size())
    refuse(text, fmt::format("it names {} operands, but {} came", terms.size(), ranks.size()));

  Equation e;
  int most = 0;  // axes of "..."
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto letters = static_cast<int>(terms[i].letters.size());
    if (ranks[i] < 0 && terms[i].ellipsis)
      refuse(text, fmt::format("it needs the rank of operand {}, for \"...\", which is unknown", i));
    if (ranks[i] >= 0 && (terms[i].ellipsis ? ranks[i] < letters : ranks[i] != letters))
      refuse(text, fmt::format("operand {} has rank {}, but {} axes are named", i, ranks[i], letters));
    const int axes = terms[i].ellipsis ? ranks[i] - letters : 0;
    most = std::max(most, axes);
    e.operands.push_back(labels_of(terms[i], axes));
  }
  Term result{.letters = {}, .ellipsis = 0};
  if (arrow != std::string::npos) {
    result = term_of(text, std::string_view(s).substr(arrow + 2));
    if (most > 0 && !result.ellipsis) refuse(text, "the result must have \"...\" as the operands do");
  } else {
    std::string all;
    for (const Term& t : terms) all += t.letters;
    std::ranges::sort(all);
    for (char c : all)
      if (std::ranges::count(all, c) == 1) result.letters += c;
  }
  e.result = labels_of(result, most);
  for (Label label : e.result) {
    if (std::ranges::count(e.result, label) > 1)
      refuse(text, fmt::format("the result names '{}' twice", name_of_label(label)));
    const bool known = label >= kEllipsis || std::ranges::any_of(e.operands, [&](const Labels& l) {
                         return std::ranges::find(l, label) != l.end();
                       });
    if (!known) refuse(text, fmt::format("the result names '{}', which no operand has", name_of_label(label)));
  }
  return e;
}

}  // namespace twofold::einsum_detail
