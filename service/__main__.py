# PYTHON_ARGCOMPLETE_OK
"""`python -m service` runs the command `rungraph`. With the argument `isolated`, it calls tools for a server; with
`cluster`, it runs a Dask cluster on this machine.
"""

import sys


def isolated() -> None:
    """Call tools for the server that has started this process. Users do not type this command."""
    from service.process import collector_paused

    with collector_paused():
        from service import example
        from service.engine.isolation.main import serve
        from service.tools import registry

    serve(lambda taken: registry.load_snapshot(taken, built_in=example.TOOLS))


def cluster() -> None:
    """Run a Dask cluster for the server that has started this process. Users do not type this command."""
    from service.engine.cluster.local_main import serve

    serve()


# The condition is false if multiprocessing, used by a tool, imports this module again.
if __name__ == "__main__":
    if sys.argv[1:2] == ["isolated"]:
        isolated()
    elif sys.argv[1:2] == ["cluster"]:
        cluster()
    else:
        from service.cli import main

        main()
