"""Keep tools that are called in the server's own process from hurting the server or other runs.

log_capture     turns what a tool logs, on any thread and with any `logging` configuration, into lines of its run
interpreter     restores settings of the interpreter that a tool has changed
own_context     gives each async tool its own context variables
forks           keeps child processes that a tool forks from acting as a second server
own_process     tells whether this process is a forked child
descriptors     finds the open file descriptors of the process and of its listening sockets
signals         ignores signals that would end the server
process_limits  restores limits and the user of the process that a tool has changed
lifeline        ends processes that belong to a server together with the server
block_detector  reports an async tool that blocks the loop of the async tools
watchdog        ends a server that can no longer work
hooks           installs the parts that are hooks of the interpreter
"""

from service.engine.guard.hooks import install

__all__ = ["install"]
