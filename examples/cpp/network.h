/* A network that tvm_re2na exported, loaded into a C++ program: one float32 input, one float32 output. It needs TVM's
 * runtime and no Python. network_relay.cc is for libraries of TVM 0.19, network_relax.cc for those of TVM 0.27. */
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values; /* row by row */

  int64_t size() const { return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>()); }
};

class Network {
 public:
  /* Throws std::runtime_error, whose message is one line or a few, where the file is no such library. */
  explicit Network(const std::string &library);
  ~Network();
  Network(const Network &) = delete;
  Network &operator=(const Network &) = delete;

  /* Throws std::runtime_error where the input is not the network's, or the simulator refuses the program. */
  Tensor run(const Tensor &input);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};
