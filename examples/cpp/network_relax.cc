/* Libraries of TVM 0.27 with Relax. Of the headers only those of tvm-ffi are needed. */
#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include "tensors.h"

namespace ffi = tvm::ffi;

struct Network::Parts {
  ffi::Module library, machine;
};

namespace {

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

// TVM's own errors tell where in its source they are from as well.
template <typename Step>
auto in_plain_words(Step step) {
  try {
    return step();
  } catch (const ffi::Error &error) {
    throw std::runtime_error(error.message());
  }
}

} // namespace

Network::Network(const std::string &library)
    : parts_(in_plain_words([&] {
        const ffi::Module loaded = ffi::Module::LoadFromFile(library_path(library));
        const ffi::Module machine = function_of(loaded, "vm_load_executable")().cast<ffi::Module>();
        function_of(machine, "vm_initialization")(static_cast<int>(kCpu.device_type), kCpu.device_id, kPooled);
        return std::make_unique<Parts>(Parts{loaded, machine});
      })) {}

Network::~Network() = default;

Tensor Network::run(const Tensor &input) {
  check(input);
  return in_plain_words([&] {
    const ffi::Tensor given = allocate(input.shape);
    fill(*given.GetDLTensorPtr(), input);
    const ffi::Tensor output = function_of(parts_->machine, "main")(given).cast<ffi::Tensor>();
    return read(*output.GetDLTensorPtr());
  });
}
