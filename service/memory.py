"""How much memory this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def memory_bytes() -> int:
    """Return the bytes of memory that this process may use: the machine's memory, or less if its cgroup has a limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            file = f"/sys/fs/cgroup{path}/memory.max"
            if controllers:
                file = f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"
            if not controllers or "memory" in controllers.split(","):
                with suppress(OSError, ValueError):  # Without a limit the file says `max`.
                    limits.append(int(Path(file).read_text()))
    return min(limits)
