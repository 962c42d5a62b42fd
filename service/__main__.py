"""`python -m service` is `rungraph`; `python -m service isolated TOOLS…` is a process in which a server calls tools."""

import sys


def isolated(sources: list[str]) -> None:
    """Not among the command line's own, which import a server: such a process starts in half the time without."""
    from service import example
    from service.engine.isolated import serve
    from service.tools import registry

    serve(lambda: registry.load(sources, built_in=example.TOOLS))


# Not where a tool's multiprocessing imports this module once more.
if __name__ == "__main__":
    if sys.argv[1:2] == ["isolated"]:
        isolated(sys.argv[2:])
    else:
        from service.cli import main

        main()
