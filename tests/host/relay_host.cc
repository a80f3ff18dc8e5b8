/* A host for libraries of TVM 0.19 with Relay (host.h). It needs TVM's runtime, no Python. */
#include <tvm/runtime/container/map.h>
#include <tvm/runtime/container/shape_tuple.h>
#include <tvm/runtime/container/string.h>
#include <tvm/runtime/logging.h>
#include <tvm/runtime/module.h>
#include <tvm/runtime/ndarray.h>
#include <tvm/runtime/packed_func.h>

#include "host.h"

namespace {

using namespace tvm::runtime;

PackedFunc function_of(Module module, const std::string &name) {
  const PackedFunc function = module.GetFunction(name);
  if (function == nullptr) throw std::runtime_error("the library has no function '" + name + "'");
  return function;
}

// The parameters are inputs of the executor as well; its description names the network's own. The executor would take any
// tensor of as many bytes.
String input_name(Module executor, const std::vector<int64_t> &shape) {
  const Map<String, ObjectRef> inputs = function_of(executor, "get_input_info")();
  const auto shapes = Downcast<Map<String, ShapeTuple>>(inputs["shape"]);
  const auto types = Downcast<Map<String, String>>(inputs["dtype"]);
  if (shapes.size() != 1) throw std::runtime_error("the network has " + std::to_string(shapes.size()) + " inputs, not one");
  const auto [name, expected] = *shapes.begin();
  std::string text;
  for (const int64_t size : expected) text += " " + std::to_string(size);
  if (types[name] != "float32" || std::vector<int64_t>(expected.begin(), expected.end()) != shape)
    throw std::runtime_error("the network's input is" + text + " of " + std::string(types[name]));
  return name;
}

void run_network(const Arguments &arguments) {
  const Module library = Module::LoadFromFile(arguments.library);
  const Module executor = function_of(library, "default")(kCpu);

  const NDArray input = NDArray::Empty(ShapeTuple(arguments.shape), kFloat32, kCpu);
  read(arguments.input, *input.operator->());
  function_of(executor, "set_input")(input_name(executor, arguments.shape), input);
  function_of(executor, "run")();
  const NDArray output = function_of(executor, "get_output")(0);
  write(arguments.output, *output.operator->());
}

void run(const Arguments &arguments) {
  try {
    run_network(arguments);
  } catch (const InternalError &error) {
    throw std::runtime_error(error.message());  // what() goes on with a stack trace
  }
}

}  // namespace

int main(int count, char **values) { return host(count, values, run); }
