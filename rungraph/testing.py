"""For tests of programs that use Rungraph: a server on a temporary database. It needs pytest."""

from service.testing import LocalServer, rungraph_server, server

__all__ = ["LocalServer", "rungraph_server", "server"]
