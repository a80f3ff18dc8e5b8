/* Runs an exported library of TVM 0.19 with Relay once: one float32 input, one float32 output. Needs TVM's runtime, no Python.
 *
 *   relay_host NET.so INPUT.bin OUTPUT.bin DIMENSION... */
#include <tvm/runtime/container/map.h>
#include <tvm/runtime/container/shape_tuple.h>
#include <tvm/runtime/container/string.h>
#include <tvm/runtime/module.h>
#include <tvm/runtime/ndarray.h>
#include <tvm/runtime/packed_func.h>

#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using tvm::runtime::Module;
using tvm::runtime::NDArray;
using tvm::runtime::PackedFunc;

constexpr DLDevice kCpu{kDLCPU, 0};
constexpr DLDataType kFloat32{kDLFloat, 32, 1};

PackedFunc function_of(Module module, const std::string &name) {
  const PackedFunc function = module.GetFunction(name);
  if (function == nullptr) throw std::runtime_error("the library has no function '" + name + "'");
  return function;
}

std::streamsize bytes_of(const NDArray &tensor) { return static_cast<std::streamsize>(tvm::runtime::GetDataSize(*tensor.operator->())); }

void read(const std::string &path, const NDArray &tensor) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamsize size = bytes_of(tensor);
  if (!file) throw std::runtime_error("cannot open " + path);
  if (file.tellg() != size)
    throw std::runtime_error(path + " has " + std::to_string(file.tellg()) + " bytes, the shape needs " + std::to_string(size));
  file.seekg(0);
  if (!file.read(static_cast<char *>(tensor->data), size)) throw std::runtime_error("cannot read " + path);
}

void write(const std::string &path, const NDArray &tensor) {
  const DLDataType type = tensor->dtype;
  if (type.code != kDLFloat || type.bits != 32 || type.lanes != 1 || !tensor.IsContiguous())
    throw std::runtime_error("the network's output is not a contiguous float32 tensor");
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char *>(tensor->data), bytes_of(tensor));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

/* The executor's parameters are inputs to it too; the network's own are those that it describes. */
tvm::runtime::String input_of(Module executor, const std::vector<int64_t> &shape) {
  using tvm::runtime::Downcast, tvm::runtime::Map, tvm::runtime::ObjectRef, tvm::runtime::ShapeTuple, tvm::runtime::String;
  const Map<String, ObjectRef> info = function_of(executor, "get_input_info")();
  const auto shapes = Downcast<Map<String, ShapeTuple>>(info["shape"]);
  const auto types = Downcast<Map<String, String>>(info["dtype"]);
  if (shapes.size() != 1) throw std::runtime_error("the network has " + std::to_string(shapes.size()) + " inputs, not one");
  const auto [name, expected] = *shapes.begin();
  if (types[name] != "float32") throw std::runtime_error("the network's input is " + std::string(types[name]) + ", not float32");
  if (std::vector<int64_t>(expected.begin(), expected.end()) != shape) {
    std::string text;
    for (const int64_t size : expected) text += " " + std::to_string(size);
    throw std::runtime_error("the network's input has the dimensions" + text);
  }
  return name;
}

void run(const std::vector<std::string> &arguments) {
  std::vector<int64_t> shape;
  for (size_t i = 3; i < arguments.size(); i++) shape.push_back(std::stoll(arguments[i]));
  const NDArray input = NDArray::Empty(tvm::runtime::ShapeTuple(shape), kFloat32, kCpu);
  read(arguments[1], input);
  const Module library = Module::LoadFromFile(arguments[0]);
  const Module executor = function_of(library, "default")(kCpu);
  function_of(executor, "set_input")(input_of(executor, shape), input);
  function_of(executor, "run")();
  write(arguments[2], function_of(executor, "get_output")(0));
}

}  // namespace

int main(int count, char **values) {
  if (count < 4) {
    std::cerr << "usage: relay_host NET.so INPUT.bin OUTPUT.bin DIMENSION...\n";
    return 2;
  }
  try {
    run({values + 1, values + count});
  } catch (const std::exception &error) {
    std::cerr << "relay_host: " << error.what() << "\n";
    return 1;
  }
}
