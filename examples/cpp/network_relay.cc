/* Libraries of TVM 0.19 with Relay. */
#include <tvm/runtime/container/map.h>
#include <tvm/runtime/container/shape_tuple.h>
#include <tvm/runtime/container/string.h>
#include <tvm/runtime/logging.h>
#include <tvm/runtime/module.h>
#include <tvm/runtime/ndarray.h>
#include <tvm/runtime/packed_func.h>

#include "tensors.h"

using namespace tvm::runtime;

struct Network::Parts {
  Module library, executor;
};

namespace {

PackedFunc function_of(Module module, const std::string &name) {
  const PackedFunc function = module.GetFunction(name);
  if (function == nullptr) throw std::runtime_error("the library has no function '" + name + "'");
  return function;
}

// The parameters are inputs of the executor as well; its description names the network's own. The executor would take
// any tensor of as many bytes.
String input_name(Module executor, const std::vector<int64_t> &shape) {
  const Map<String, ObjectRef> inputs = function_of(executor, "get_input_info")();
  const auto shapes = Downcast<Map<String, ShapeTuple>>(inputs["shape"]);
  const auto types = Downcast<Map<String, String>>(inputs["dtype"]);
  if (shapes.size() != 1)
    throw std::runtime_error("the network has " + std::to_string(shapes.size()) + " inputs, not one");
  const auto [name, expected] = *shapes.begin();
  std::string text;
  for (const int64_t size : expected) text += " " + std::to_string(size);
  if (types[name] != "float32" || std::vector<int64_t>(expected.begin(), expected.end()) != shape)
    throw std::runtime_error("the network's input is" + text + " of " + std::string(types[name]));
  return name;
}

// TVM's own errors go on with a stack trace.
template <typename Step>
auto in_plain_words(Step step) {
  try {
    return step();
  } catch (const InternalError &error) {
    throw std::runtime_error(error.message());
  }
}

} // namespace

Network::Network(const std::string &library)
    : parts_(in_plain_words([&] {
        const Module loaded = Module::LoadFromFile(library_path(library));
        const Module executor = function_of(loaded, "default")(kCpu);
        return std::make_unique<Parts>(Parts{loaded, executor});
      })) {}

Network::~Network() = default;

Tensor Network::run(const Tensor &input) {
  check(input);
  return in_plain_words([&] {
    const Module executor = parts_->executor;
    const NDArray given = NDArray::Empty(ShapeTuple(input.shape), kFloat32, kCpu);
    fill(*given.operator->(), input);
    function_of(executor, "set_input")(input_name(executor, input.shape), given);
    function_of(executor, "run")();
    const NDArray output = function_of(executor, "get_output")(0);
    return read(*output.operator->());
  });
}
