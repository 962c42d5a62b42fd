"""What keeps a tool from hurting its server or another run, where it is called within the server's own process.

logs         what a tool logs, on any thread, becomes lines of its run, however it has configured `logging`
interpreter  settings of the whole process that a tool changed by the way are put back
within       an async tool's context, which is its attempt's alone
forks        children that a tool forks are no second copies of the server
descriptors  which of them are the server's
lifeline     what belongs to a server ends with it
watchdog     a server that cannot do its work any more ends
"""

from service.engine.guard.installed import install

__all__ = ["install"]
