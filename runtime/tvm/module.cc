/* A program as a module of today's TVM (tvm-ffi): one function, which runs it on the simulator, and which is kept with
 * an exported library. Needs TVM's runtime and libre2na.so, no Python. */
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/reflection/registry.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "re2na.h"

namespace {

namespace ffi = tvm::ffi;

constexpr const char *kKind = "re2na";

/* A tensor as the program has it: dimensions that TVM's must match. */
struct Port {
  std::string name;
  std::vector<int64_t> shape;
};

Port port_of(const re2na_tensor &tensor) {
  return {tensor.name, std::vector<int64_t>(tensor.shape, tensor.shape + tensor.rank)};
}

std::string text_of(const int64_t *shape, size_t rank) {
  std::string text;
  for (size_t i = 0; i < rank; i++) text += (i ? "x" : "") + std::to_string(shape[i]);
  return text;
}

/* Inputs first, then outputs. Throws where the bytes are no program for this library. */
std::vector<Port> ports_of(const ffi::Bytes &bytes) {
  re2na_error error;
  re2na_program *program = nullptr;
  std::vector<Port> ports;
  re2na_tensor tensor;
  const re2na_limits any = {UINT64_MAX, UINT64_MAX}; // a call holds it to those of the environment
  if (re2na_program_load_limited(bytes.data(), bytes.size(), RE2NA_KERNEL_AUTO, &any, &program, &error) != RE2NA_OK)
    TVM_FFI_THROW(ValueError) << "Re2Na: " << error.message;
  for (uint32_t i = 0; re2na_program_input(program, i, &tensor) == RE2NA_OK; i++) ports.push_back(port_of(tensor));
  for (uint32_t i = 0; re2na_program_output(program, i, &tensor) == RE2NA_OK; i++) ports.push_back(port_of(tensor));
  re2na_program_free(program);
  return ports;
}

void *data_of(const ffi::AnyView &argument, const Port &port) {
  const DLTensor *tensor = argument.cast<DLTensor *>();
  const bool is_int8 = tensor->dtype.code == kDLInt && tensor->dtype.bits == 8 && tensor->dtype.lanes == 1;
  const bool same = tensor->ndim == static_cast<int32_t>(port.shape.size()) &&
                    std::equal(port.shape.begin(), port.shape.end(), tensor->shape);
  if (!is_int8 || !same || tensor->device.device_type != kDLCPU || !ffi::IsContiguous(*tensor))
    TVM_FFI_THROW(ValueError) << "Re2Na: tensor '" << port.name << "' is " << text_of(tensor->shape, tensor->ndim)
                              << ", expected " << text_of(port.shape.data(), port.shape.size())
                              << " of int8, contiguous, in the CPU's memory";
  return static_cast<char *>(tensor->data) + tensor->byte_offset;
}

/* What a module's function runs; it may outlive the module. */
struct Runner {
  ffi::Bytes program;
  std::vector<Port> ports;

  explicit Runner(ffi::Bytes bytes) : program(std::move(bytes)), ports(ports_of(program)) {}
  Runner(const Runner &) = delete;
  ~Runner() { re2na_bridge_forget(reinterpret_cast<const uint8_t *>(program.data()), program.size()); }

  void Run(ffi::PackedArgs arguments) const {
    if (arguments.size() != static_cast<int32_t>(ports.size()))
      TVM_FFI_THROW(ValueError) << "Re2Na: " << arguments.size() << " tensors, the program has " << ports.size();
    std::vector<uint64_t> pointers;
    for (size_t i = 0; i < ports.size(); i++)
      pointers.push_back(reinterpret_cast<uintptr_t>(data_of(arguments[i], ports[i])));
    const int32_t code =
        re2na_execute(reinterpret_cast<const uint8_t *>(program.data()), program.size(), pointers.data());
    if (code != RE2NA_OK) TVM_FFI_THROW(RuntimeError) << re2na_bridge_failure();
  }
};

class Module : public ffi::ModuleObj {
 public:
  Module(ffi::String symbol, ffi::Bytes program)
      : symbol_(std::move(symbol)), runner_(std::make_shared<Runner>(std::move(program))) {}

  const char *kind() const final { return kKind; }
  int GetPropertyMask() const final { return ffi::Module::kBinarySerializable | ffi::Module::kRunnable; }

  ffi::Optional<ffi::Function> GetFunction(const ffi::String &name) final {
    if (name != symbol_) return std::nullopt;
    return ffi::Function::FromPacked(
        [runner = runner_](ffi::PackedArgs arguments, ffi::Any *) { runner->Run(arguments); });
  }

  ffi::Bytes SaveToBytes() const final {
    return ffi::Bytes(std::string(symbol_) + '\0' + std::string(runner_->program));
  }

 private:
  const ffi::String symbol_;
  const std::shared_ptr<const Runner> runner_;
};

ffi::Module make(const ffi::String &symbol, const ffi::Bytes &program) {
  return ffi::Module(ffi::make_object<Module>(symbol, program));
}

ffi::Module load(const ffi::Bytes &bytes) {
  const void *end = std::memchr(bytes.data(), 0, bytes.size());
  if (!end) TVM_FFI_THROW(ValueError) << "Re2Na: a module of " << bytes.size() << " bytes has no symbol";
  const size_t length = static_cast<const char *>(end) - bytes.data();
  return make(ffi::String(bytes.data(), length), ffi::Bytes(bytes.data() + length + 1, bytes.size() - length - 1));
}

/* A library that was exported with this file in it finds the names taken where another one has been loaded. */
TVM_FFI_STATIC_INIT_BLOCK() {
  if (ffi::Function::GetGlobal("re2na.module")) return;
  tvm::ffi::reflection::GlobalDef().def("re2na.module", make).def("ffi.Module.load_from_bytes.re2na", load);
}

} // namespace
