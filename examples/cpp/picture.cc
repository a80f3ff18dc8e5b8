#include "picture.h"

#include <cctype>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

constexpr int64_t kLargest = 1 << 14; /* pixels of a side */

struct Header {
  int64_t channels, width, height;
};

[[noreturn]] void refuse(const std::string &path, const std::string &why) {
  throw std::runtime_error(path + ": " + why);
}

/* The next number; comments, from # to the end of a line, may stand before it. */
int64_t number(std::istream &file, const std::string &path) {
  while (file >> std::ws && file.peek() == '#') file.ignore(kLargest, '\n');
  int64_t found = 0;
  if (!std::isdigit(file.peek()) || !(file >> found)) refuse(path, "a number is missing in its header");
  return found;
}

Header read_header(std::istream &file, const std::string &path) {
  char magic[2] = {};
  file.read(magic, 2);
  const bool grey = magic[0] == 'P' && magic[1] == '5', colours = magic[0] == 'P' && magic[1] == '6';
  if (!grey && !colours) refuse(path, "no binary PGM or PPM picture: it does not start with P5 or P6");
  const int64_t width = number(file, path), height = number(file, path), levels = number(file, path);
  if (width < 1 || height < 1 || width > kLargest || height > kLargest)
    refuse(path, std::to_string(width) + "x" + std::to_string(height) + " pixels, expected 1 to " +
                     std::to_string(kLargest) + " a side");
  if (levels != 255) refuse(path, "pixels up to " + std::to_string(levels) + ", expected 255");
  file.get(); /* the one blank before the pixels */
  return {colours ? 3 : 1, width, height};
}

} // namespace

Tensor read_picture(const std::string &path, float mean, float std) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, "cannot be opened");
  const Header header = read_header(file, path);
  const std::string pixels(std::istreambuf_iterator<char>(file), {});
  Tensor image{{1, header.channels, header.height, header.width}, {}};
  if (static_cast<int64_t>(pixels.size()) != image.size())
    refuse(path, std::to_string(pixels.size()) + " bytes of pixels, its header says " + std::to_string(image.size()));
  image.values.reserve(pixels.size());
  for (int64_t channel = 0; channel < header.channels; channel++)
    for (size_t at = channel; at < pixels.size(); at += header.channels)
      image.values.push_back((static_cast<unsigned char>(pixels[at]) / 255.0f - mean) / std);
  return image;
}
