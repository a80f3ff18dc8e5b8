/* Runs a network of examples/cpp once, on numbers in a file:
 *
 *   host NET.so INPUT.bin OUTPUT.bin DIMENSION... */
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "network.h"

namespace {

int64_t dimension(const std::string &text) {
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits) throw std::runtime_error("'" + text + "' is no dimension");
  return std::stoll(text);
}

void read(const std::string &path, Tensor &tensor) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot open " + path);
  const std::streamsize found = file.tellg(), needed = tensor.size() * sizeof(float);
  if (found != needed)
    throw std::runtime_error(path + " has " + std::to_string(found) + " bytes, the shape needs " +
                             std::to_string(needed));
  tensor.values.resize(tensor.size());
  file.seekg(0);
  if (!file.read(reinterpret_cast<char *>(tensor.values.data()), needed))
    throw std::runtime_error("cannot read " + path);
}

void write(const std::string &path, const Tensor &tensor) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char *>(tensor.values.data()), tensor.values.size() * sizeof(float));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

} // namespace

int main(int count, char **values) {
  if (count < 4) {
    std::cerr << "usage: " << values[0] << " NET.so INPUT.bin OUTPUT.bin DIMENSION...\n";
    return 2;
  }
  try {
    Tensor input;
    for (int i = 4; i < count; i++) input.shape.push_back(dimension(values[i]));
    read(values[2], input);
    write(values[3], Network(values[1]).run(input));
  } catch (const std::exception &error) {
    std::cerr << values[0] << ": " << error.what() << "\n";
    return 1;
  }
  return 0;
}
