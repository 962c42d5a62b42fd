# PYTHON_ARGCOMPLETE_OK
"""`python -m service` is `rungraph`; `python -m service isolated` is a process in which a server calls tools."""

import sys


def isolated() -> None:
    """Call the tools that a server asks for. It is no command of `rungraph`: nobody types it."""
    from service.process import collector_paused

    with collector_paused():
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
