"""The jobs of either front end (`common/jobs.py`), done in steps of this one."""

from tvm_re2na.frontends.common.jobs import Jobs
from tvm_re2na.frontends.relay import partition as steps
from tvm_re2na.frontends.relay.explain import offloaded_macs_share
from tvm_re2na.frontends.relay.lower import lower

JOBS = Jobs(steps, lower, offloaded_macs_share)
