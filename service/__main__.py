# PYTHON_ARGCOMPLETE_OK
"""`python -m service` is the command `rungraph`. With the argument `isolated` it is a process that calls tools for a
server, and with `cluster` it is a cluster on this machine.
"""

import sys


def isolated() -> None:
    """Call the tools that a server asks for. It is no command of `rungraph`: nobody types it."""
    from service.process import collector_paused

    with collector_paused():
        from service import example
        from service.engine.isolation.main import serve
        from service.tools import registry

    serve(lambda taken: registry.load_snapshot(taken, built_in=example.TOOLS))


def cluster() -> None:
    """Run the cluster of this machine for a server. Nobody types it either."""
    from service.engine.cluster.local_main import serve

    serve()


# Not where a tool's multiprocessing imports this module once more.
if __name__ == "__main__":
    if sys.argv[1:2] == ["isolated"]:
        isolated()
    elif sys.argv[1:2] == ["cluster"]:
        cluster()
    else:
        from service.cli import main

        main()
