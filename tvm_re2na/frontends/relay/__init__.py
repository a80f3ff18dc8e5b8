"""TVM 0.19 with Relay. Importing it registers the target tag "re2na" and its code generator."""

import os

# Without it, TVM looks for tuned schedules on the network and prints its failures.
os.environ.setdefault("TOPHUB_LOCATION", "NONE")

import tvm_re2na.frontends.relay.register  # noqa: F401  registers with TVM
