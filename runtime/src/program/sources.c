/* The SOURCES section: a JSON list of objects, one for each source operator. Its reader is Python (codegen/program.py);
 * all that a machine wants to know is how many there are. */
#include "program/program.h"

uint64_t re2na_count_sources(const uint8_t *text, uint64_t size) {
  uint64_t count = 0;
  int64_t depth = 0;
  bool quoted = false;
  for (uint64_t i = 0; i < size; i++) {
    const uint8_t c = text[i];
    if (quoted) {
      if (c == '\\') i++;
      else if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      count += c == '{' && depth == 1;
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
    }
  }
  return count;
}
