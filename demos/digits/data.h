// The data set: drawn here, or read from files in MNIST's form.
#pragma once

#include <string>

#include "glyphs.h"

struct Data {
  Digits train, test;
  std::string source;       ///< for print
  std::string fingerprint;  ///< of every byte, by which a checkpoint knows its data
};

Data make_data(int64_t train, int64_t test, uint64_t seed);

/// From train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte: the first
/// `train` and `test` of them, 0 being all. Throws if a file is missing, damaged or no such data.
Data load_data(const std::string& folder, int64_t train, int64_t test);
/// Writes those four files, into a folder that is made if need be.
void save_data(const std::string& folder, const Data& data);
