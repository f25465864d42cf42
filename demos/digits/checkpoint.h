// A training run's state in a file.
#pragma once

#include <twofold/twofold.h>

#include <map>
#include <string>
#include <vector>

/// How far a run has got.
struct Milestone {
  twofold::io::Position position;  ///< of the next batch
  std::vector<float> losses;       ///< of each step
  std::vector<int64_t> correct;    ///< test images told right after each epoch
};

struct Checkpoint {
  twofold::io::Metadata identity;  ///< of the program: net, data, settings
  Milestone reached;
  std::map<std::string, twofold::Tensor> net, optimizer, random;
};

/// Replaces the file at once and whole. The same run gives the same bytes in every mode.
void save(const std::string& path, const Checkpoint& checkpoint);
/// Throws where there is no such file, where it is damaged or holds something else, and, telling each difference, where
/// its identity is not `expected`.
Checkpoint load(const std::string& path, const twofold::io::Metadata& expected);
