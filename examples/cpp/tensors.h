/* What both networks share: float tensors in and out of TVM's. */
#pragma once

#include <dlpack/dlpack.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "network.h"

constexpr DLDevice kCpu{kDLCPU, 0};
constexpr DLDataType kFloat32{kDLFloat, 32, 1};

/* Throws std::runtime_error for what is no file, or has another name: TVM would ask for a loader of such files. */
inline std::string library_path(const std::string &library) {
  const std::filesystem::path path = std::filesystem::absolute(library); /* else the system's libraries are searched */
  if (!std::filesystem::is_regular_file(path)) throw std::runtime_error(library + ": no such file");
  if (path.extension() != ".so") throw std::runtime_error(library + ": no library: its name does not end in .so");
  return path.string();
}

inline float *data_of(const DLTensor &tensor) {
  return reinterpret_cast<float *>(static_cast<char *>(tensor.data) + tensor.byte_offset);
}

inline void fill(const DLTensor &tensor, const Tensor &from) {
  std::copy(from.values.begin(), from.values.end(), data_of(tensor));
}

inline Tensor read(const DLTensor &tensor) {
  const DLDataType type = tensor.dtype;
  if (type.code != kFloat32.code || type.bits != kFloat32.bits || type.lanes != kFloat32.lanes)
    throw std::runtime_error("the network's output is not float32");
  Tensor found{std::vector<int64_t>(tensor.shape, tensor.shape + tensor.ndim), {}};
  found.values.assign(data_of(tensor), data_of(tensor) + found.size());
  return found;
}

inline void check(const Tensor &input) {
  if (input.size() != static_cast<int64_t>(input.values.size()))
    throw std::runtime_error("the input has " + std::to_string(input.values.size()) + " numbers, its shape " +
                             std::to_string(input.size()));
}
