"""Run a graph in memory, for tests: the same core as a server, without its HTTP, database and clock.

simulate    the function itself
family      the runs of a simulation, their clock and what a commit does to them
member      one run of a family
attempts    calls of tools, with injected failures
substitutes tools that replace others: functions and canned results
graphs      graphs by id and name, as if they had been posted
trace       what a simulation returns
"""

from service.simulation.simulate import simulate
from service.simulation.trace import Trace

__all__ = ["Trace", "simulate"]
