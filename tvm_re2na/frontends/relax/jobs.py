"""The jobs of either front end (`common/jobs.py`), done in steps of this one."""

from tvm_re2na.frontends.common.jobs import Jobs
from tvm_re2na.frontends.relax import partition as steps
from tvm_re2na.frontends.relax.explain import offloaded_macs_share
from tvm_re2na.frontends.relax.lower import lower

JOBS = Jobs(steps, lower, offloaded_macs_share)
