// What the article shows, as printed there. demos/article/facts_test.py holds it against tests/data/article/facts.md.
#pragma once

#include <array>
#include <cstdint>

namespace article {

/// A training run of its net: 20 steps of Adam.
struct Run {
  const char* name;                    ///< ours; what it calls traced is deferred and optimised here
  const char* own_name;                ///< the article's
  double user_s, system_s, wall_s;     ///< of the whole run
  std::array<const char*, 20> losses;  ///< with the digits that it prints
};

inline constexpr Run kRuns[] = {
    {"CPU", "Python on CPU", 8.28, 0.266, 9.31, {"-0.5149412", "-0.7885114", "-1.09506",   "-1.4270493", "-1.7669119",
                                                 "-2.0963206", "-2.4091487", "-2.703685",  "-2.9786377", "-3.2331269",
                                                 "-3.468272",  "-3.6846206", "-3.882977",  "-4.063745",  "-4.22716",
                                                 "-4.37317",   "-4.503025",  "-4.6171966", "-4.718364",  "-4.8084326"}},
    {"CPU traced", "Torch on CPU", 7.95, 0.161, 8.03, {"-0.32451892", "-0.5912205", "-0.89638066", "-1.2159026",
                                                       "-1.5312963",  "-1.8265008", "-2.1042957",  "-2.3606114",
                                                       "-2.5947688",  "-2.8110933", "-3.0142124",  "-3.2080374",
                                                       "-3.3949592",  "-3.5764592", "-3.7519906",  "-3.9212832",
                                                       "-4.0830455",  "-4.235887",  "-4.3776855",  "-4.50814"}},
    {"GPU", "Python on GPU", 0.597, 0.0167, 0.752, {"-4.3880954", "-4.534538",  "-4.658385",  "-4.766274",
                                                    "-4.862524",  "-4.9499626", "-5.0297465", "-5.103152",
                                                    "-5.171183",  "-5.234377",  "-5.2934456", "-5.349206",
                                                    "-5.401966",  "-5.4523873", "-5.501034",  "-5.5479217",
                                                    "-5.593396",  "-5.6380644", "-5.68185",   "-5.72521"}},
    {"GPU traced", "torch on GPU", 1.11, 0.0345, 1.39, {"-0.38337812", "-0.69447917", "-1.0345545", "-1.3835523",
                                                        "-1.7232059",  "-2.0454595",  "-2.3477736", "-2.6333952",
                                                        "-2.9032087",  "-3.1584203",  "-3.4010634", "-3.6302164",
                                                        "-3.8446865",  "-4.0430136",  "-4.22342",   "-4.3851805",
                                                        "-4.529235",   "-4.656223",   "-4.76757",   "-4.866083"}},
};

/// The 128 random classes that it prints at its end. (Neither its images nor its weights are given.)
inline constexpr int kClasses[] = {4, 6, 6, 1, 8, 9, 0, 0, 9, 7, 1, 8, 0, 4, 6, 4, 4, 1, 3, 2, 3, 4, 3, 1, 9, 7,
                                   9, 5, 4, 3, 9, 6, 0, 8, 5, 2, 9, 2, 2, 5, 7, 8, 6, 7, 8, 1, 7, 6, 7, 8, 1, 1,
                                   1, 7, 4, 9, 4, 6, 2, 1, 0, 8, 3, 2, 8, 5, 4, 0, 0, 9, 1, 4, 5, 1, 1, 5, 6, 1,
                                   8, 5, 0, 0, 5, 8, 4, 9, 7, 0, 5, 4, 7, 0, 6, 9, 5, 6, 2, 8, 9, 5, 6, 1, 7, 6,
                                   4, 0, 3, 4, 4, 5, 0, 3, 1, 8, 9, 4, 9, 6, 8, 0, 3, 0, 0, 6, 0, 8, 6, 1};

inline constexpr int64_t kOwnedParameters = 51'415'306;  ///< of the net as printed, its linear layers among them
inline constexpr int64_t kUsedParameters = 23'808;       ///< of the layers that its `forward` calls

}  // namespace article
