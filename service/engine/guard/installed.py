"""All that is installed once for a process in which tools are called, whoever calls them."""

from service.engine.guard import forks, interpreter, logs


def install() -> None:
    """Again is as good as once; it stays until the process ends, and does nothing outside of attempts."""
    logs.install()
    interpreter.install()
    forks.install()
