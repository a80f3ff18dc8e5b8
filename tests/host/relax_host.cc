/* A host for libraries of TVM with Relax (host.h). It needs TVM's runtime, no Python, and of the headers only those of tvm-ffi. */
#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include "host.h"

namespace {

namespace ffi = tvm::ffi;

// AllocatorType::kPooled. Its header and tvm/runtime/tensor.h include tvm/support/io.h, which TVM's wheel lacks.
constexpr int kPooled = 2;

ffi::Function function_of(const ffi::Module &module, const std::string &name) {
  const ffi::Optional<ffi::Function> function = module->GetFunction(name, true);
  if (!function) throw std::runtime_error("the library has no function '" + name + "'");
  return *function;
}

// From TVM's allocator: compiled code may rely on its alignment.
ffi::Tensor allocate(const std::vector<int64_t> &shape) {
  const ffi::Function empty = ffi::Function::GetGlobalRequired("runtime.TVMTensorAllocWithScope");
  return empty(ffi::Shape(shape), kFloat32, kCpu, nullptr).cast<ffi::Tensor>();
}

void run(const Arguments &arguments) {
  const ffi::Module library = ffi::Module::LoadFromFile(arguments.library);
  const ffi::Module machine = function_of(library, "vm_load_executable")().cast<ffi::Module>();
  function_of(machine, "vm_initialization")(static_cast<int>(kCpu.device_type), kCpu.device_id, kPooled);

  const ffi::Tensor input = allocate(arguments.shape);
  read(arguments.input, *input.GetDLTensorPtr());
  const ffi::Tensor output = function_of(machine, "main")(input).cast<ffi::Tensor>();
  write(arguments.output, *output.GetDLTensorPtr());
}

}  // namespace

int main(int count, char **values) { return host(count, values, run); }
