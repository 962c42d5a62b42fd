"""The ways of calling a tool: on a loop, on a thread, in a process, on a cluster. Each implements the protocol Way."""

from service.engine.ways.in_process import InProcess
from service.engine.ways.on_loop import OnLoop
from service.engine.ways.on_thread import OnThread
from service.engine.ways.way import Attempt, Carrier, Way

__all__ = ["Attempt", "Carrier", "InProcess", "OnLoop", "OnThread", "Way"]
