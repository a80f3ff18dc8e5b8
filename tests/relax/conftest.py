"""Skips the folder where TVM with Relax is not installed."""

from tvm_re2na import frontends

collect_ignore_glob = [] if frontends.installed() == "relax" else ["*.py"]
