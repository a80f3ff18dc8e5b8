/* Pictures in the simplest formats that every tool converts to: binary PGM (P5, grey) and PPM (P6, colours) of 8 bits.
 */
#pragma once

#include <string>

#include "network.h"

/* (1, channels, height, width), each value (pixel / 255 - mean) / std. Throws std::runtime_error that names the file.
 */
Tensor read_picture(const std::string &path, float mean, float std);
