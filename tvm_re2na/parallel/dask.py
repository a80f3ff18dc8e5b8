"""What Dask needs beyond an executor: a connection from an address, and a way to send something large once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, cast

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.parallel.parcel import Handle, Parcel

SECONDS = 30  # to answer


class ClusterError(Re2naError, RuntimeError):
    """A cluster cannot be used; the message names its address."""


@contextmanager
def connect(address: str) -> Iterator[Executor]:
    """The executor of a Dask scheduler, e.g. at tcp://host:8786. Raises MissingPackageError, ClusterError."""
    from tvm_re2na.frontends import MissingPackageError

    try:
        from distributed import Client
    except ImportError as error:
        raise MissingPackageError("Dask is not installed: pip install 'tvm_re2na[dask]'") from error
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError; the rest is what is no address
        raise ClusterError(f"--dask {address}: no Dask scheduler answers there ({error})") from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise ClusterError(f"--dask {address}: the scheduler has no workers")
        yield client.get_executor()


def ship(executor: Executor, parcel: Parcel) -> Handle:
    """To workers of Dask once, as the result of a task: computed anew where a worker that holds it is lost. To others as it is."""
    client = getattr(executor, "_client", None)
    if client is None or "distributed" not in sys.modules or not type(executor).__module__.startswith("distributed."):
        return parcel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is large
        future: Any = client.submit(Parcel, parcel.digest, parcel.content)
    return cast(Handle, future)  # Dask puts the result in its place
