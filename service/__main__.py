"""`python -m service` is `rungraph`; `python -m service isolated` is a process in which a server calls tools."""

import sys


def isolated() -> None:
    """Not among the command line's own, which import a server: such a process starts in half the time without."""
    from service import example
    from service.engine.isolation.main import serve
    from service.tools import registry

    serve(lambda taken: registry.load_snapshot(taken, built_in=example.TOOLS))


# Not where a tool's multiprocessing imports this module once more.
if __name__ == "__main__":
    if sys.argv[1:2] == ["isolated"]:
        isolated()
    else:
        from service.cli import main

        main()
