/* Says what a picture shows, with a network that tvm_re2na exported for Re2Na; no Python.
 *
 *   classify NET.so PICTURE.pgm|ppm [MEAN STD]
 *
 * Pixels are what the network was trained with, (pixel / 255 - MEAN) / STD; MNIST's are 0.1307 and 0.3081. */
#include <algorithm>
#include <cmath>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "network.h"
#include "picture.h"

namespace {

float number(const std::string &text, const std::string &what) {
  size_t read = 0;
  float value = NAN;
  try {
    value = std::stof(text, &read);
  } catch (const std::exception &) {
    read = 0;
  }
  if (read == 0 || read != text.size() || !std::isfinite(value))
    throw std::runtime_error(what + " = '" + text + "' is no number");
  return value;
}

void print_best(const std::vector<float> &scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t shown = std::min<size_t>(3, order.size());
  std::partial_sort(order.begin(), order.begin() + shown, order.end(),
                    [&](size_t left, size_t right) { return scores[left] > scores[right]; });
  for (size_t place = 0; place < shown; place++)
    std::cout << "class " << order[place] << "  score " << scores[order[place]] << "\n";
}

void classify(int count, char **words) {
  const float mean = count == 5 ? number(words[3], "MEAN") : 0.0f, std = count == 5 ? number(words[4], "STD") : 1.0f;
  if (std == 0.0f) throw std::runtime_error("STD = 0: pixels are divided by it");
  const Tensor picture = read_picture(words[2], mean, std);
  Network network(words[1]);
  print_best(network.run(picture).values);
}

} // namespace

int main(int count, char **words) {
  if (count != 3 && count != 5) {
    std::cerr << "usage: " << words[0] << " NET.so PICTURE.pgm|ppm [MEAN STD]\n";
    return 2;
  }
  try {
    classify(count, words);
  } catch (const std::exception &error) {
    std::cerr << "classify: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
