#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

int32_t re2na_fail(re2na_error *error, int32_t code, const char *format, ...) {
  if (error) {
    va_list arguments;
    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return code;
}
