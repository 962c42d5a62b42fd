"""Install the hooks of the interpreter that guard a process in which tools are called."""

from service.engine.guard import forks, interpreter, log_capture


def install() -> None:
    """Install all hooks. They stay until the process ends. It is idempotent."""
    log_capture.install()
    interpreter.install()
    forks.install()
