/* Runs an exported library of TVM with Relax once: one float32 input, one float32 output. Needs TVM's runtime, no Python.
 *
 *   relax_host NET.so INPUT.bin OUTPUT.bin DIMENSION... */
#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace ffi = tvm::ffi;

constexpr DLDevice kCpu{kDLCPU, 0};
constexpr DLDataType kFloat32{kDLFloat, 32, 1};
/* AllocatorType::kPooled; its header, and tvm/runtime/tensor.h, include tvm/support/io.h, which TVM's wheel lacks. */
constexpr int kPooled = 2;

ffi::Function function_of(const ffi::Module &module, const std::string &name) {
  const ffi::Optional<ffi::Function> function = module->GetFunction(name, true);
  if (!function) throw std::runtime_error("the library has no function '" + name + "'");
  return *function;
}

/* TVM's allocator, since compiled code may rely on its alignment. */
ffi::Tensor allocate(const std::vector<int64_t> &shape) {
  const ffi::Function empty = ffi::Function::GetGlobalRequired("runtime.TVMTensorAllocWithScope");
  return empty(ffi::Shape(shape), kFloat32, kCpu, nullptr).cast<ffi::Tensor>();
}

void read(const std::string &path, const ffi::Tensor &tensor) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamsize size = static_cast<std::streamsize>(tensor.numel() * sizeof(float));
  if (!file) throw std::runtime_error("cannot open " + path);
  if (file.tellg() != size)
    throw std::runtime_error(path + " has " + std::to_string(file.tellg()) + " bytes, the shape needs " + std::to_string(size));
  file.seekg(0);
  if (!file.read(static_cast<char *>(tensor.data_ptr()), size)) throw std::runtime_error("cannot read " + path);
}

void write(const std::string &path, const ffi::Tensor &tensor) {
  const DLDataType type = tensor.dtype();
  if (type.code != kDLFloat || type.bits != 32 || type.lanes != 1 || !tensor.IsContiguous())
    throw std::runtime_error("the network's output is not a contiguous float32 tensor");
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char *>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.numel() * sizeof(float)));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void run(const std::vector<std::string> &arguments) {
  std::vector<int64_t> shape;
  for (size_t i = 3; i < arguments.size(); i++) shape.push_back(std::stoll(arguments[i]));
  const ffi::Tensor input = allocate(shape);
  read(arguments[1], input);
  const ffi::Module library = ffi::Module::LoadFromFile(arguments[0]);
  const ffi::Module machine = function_of(library, "vm_load_executable")().cast<ffi::Module>();
  function_of(machine, "vm_initialization")(static_cast<int>(kCpu.device_type), kCpu.device_id, kPooled);
  write(arguments[2], function_of(machine, "main")(input).cast<ffi::Tensor>());
}

}  // namespace

int main(int count, char **values) {
  if (count < 4) {
    std::cerr << "usage: relax_host NET.so INPUT.bin OUTPUT.bin DIMENSION...\n";
    return 2;
  }
  try {
    run({values + 1, values + count});
  } catch (const std::exception &error) {
    std::cerr << "relax_host: " << error.what() << "\n";
    return 1;
  }
}
