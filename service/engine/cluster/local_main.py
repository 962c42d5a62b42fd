"""The main function of the process that runs the cluster of this machine; see local.py."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from service.core.errors import StartRefused
from service.engine.guard.lifeline import tie
from service.engine.isolation.messages import LIFELINE, PYTHONPATH_GIVEN, Connection


def serve() -> NoReturn:
    """Run a scheduler and a worker for each processor until the server is gone."""
    reading = int(os.environ.pop(LIFELINE, "-1"))
    if reading < 0:
        raise StartRefused("this command is only for a server to start")
    tie(reading, group=os.getpgrp() == os.getpid())
    os.environ.pop(PYTHONPATH_GIVEN, None)  # The workers keep our PYTHONPATH, and find the modules that we find.
    end = socket.socket(fileno=os.dup(0))
    connection = Connection(end, sys.maxsize)
    try:
        import dask
        from dask.system import CPU_COUNT  # A container may have fewer processors than its machine.
        from distributed import LocalCluster

        # Dask must not repeat the call of a lost worker: the server repeats it, as another attempt.
        dask.config.set({"distributed.scheduler.allowed-failures": 0})
        with LocalCluster(
            n_workers=CPU_COUNT, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster:
            connection.send(["ready", cluster.scheduler_address])
            end.recv(1)
    except (OSError, ImportError, RuntimeError) as error:
        connection.send(["refused", f"{type(error).__name__}: {error}"])
    finally:
        os._exit(0)
