"""The command line `rungraph`."""

from service.cli.main import main

__all__ = ["main"]
