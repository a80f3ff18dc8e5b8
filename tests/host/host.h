/* What both hosts share: arguments, files, messages. A host runs a network of one float32 input and one float32 output, once:
 *
 *   HOST NET.so INPUT.bin OUTPUT.bin DIMENSION... */
#pragma once

#include <dlpack/dlpack.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

constexpr DLDevice kCpu{kDLCPU, 0};
constexpr DLDataType kFloat32{kDLFloat, 32, 1};

struct Arguments {
  std::string library, input, output;
  std::vector<int64_t> shape;
};

inline int64_t dimension(const std::string &text) {
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits) throw std::runtime_error("'" + text + "' is no dimension");
  return std::stoll(text);
}

inline std::streamsize size_of(const DLTensor &tensor) {
  std::streamsize size = sizeof(float);
  for (int i = 0; i < tensor.ndim; i++) size *= tensor.shape[i];
  return size;
}

inline char *data_of(const DLTensor &tensor) { return static_cast<char *>(tensor.data) + tensor.byte_offset; }

inline void read(const std::string &path, const DLTensor &tensor) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot open " + path);
  const std::streamsize found = file.tellg(), needed = size_of(tensor);
  if (found != needed)
    throw std::runtime_error(path + " has " + std::to_string(found) + " bytes, the shape needs " + std::to_string(needed));
  file.seekg(0);
  if (!file.read(data_of(tensor), needed)) throw std::runtime_error("cannot read " + path);
}

inline void write(const std::string &path, const DLTensor &tensor) {
  const DLDataType type = tensor.dtype;
  if (type.code != kFloat32.code || type.bits != kFloat32.bits || type.lanes != kFloat32.lanes)
    throw std::runtime_error("the network's output is not float32");
  std::ofstream file(path, std::ios::binary);
  file.write(data_of(tensor), size_of(tensor));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

inline int host(int count, char **values, void (*run)(const Arguments &)) {
  if (count < 4) {
    std::cerr << "usage: " << values[0] << " NET.so INPUT.bin OUTPUT.bin DIMENSION...\n";
    return 2;
  }
  try {
    // The loader looks for a name without a folder among the system's libraries.
    Arguments arguments{std::filesystem::absolute(values[1]).string(), values[2], values[3], {}};
    for (int i = 4; i < count; i++) arguments.shape.push_back(dimension(values[i]));
    run(arguments);
  } catch (const std::exception &error) {
    std::cerr << values[0] << ": " << error.what() << "\n";
    return 1;
  }
  return 0;
}
