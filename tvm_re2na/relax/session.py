"""A network built, saved and run in one call each."""

from tvm_re2na.frontends.relax.session import (
    build_for_cpu,
    build_for_re2na,
    compile_for_re2na,
    explain,
    import_onnx,
    import_tflite,
    load_library,
    lower_for_each,
    open_library,
    save_library,
)

__all__ = [
    "build_for_cpu",
    "build_for_re2na",
    "compile_for_re2na",
    "explain",
    "import_onnx",
    "import_tflite",
    "load_library",
    "lower_for_each",
    "open_library",
    "save_library",
]
