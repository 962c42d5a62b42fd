"""One server for all of the documentation, with the tools of the examples and of the documentation's own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import CHECKOUT, blocks_of
from tests.support.system.process import Server, serving

PAGES = ["README.md", "docs/guide.md", "docs/http.md", "docs/operations.md", "docs/sql.md", "docs/architecture.md"]
EXAMPLES = ["first_steps", "order_approval", "etl_with_retries", "agent_loop"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("docs")
    with serving(folder, tools=prepare(folder)) as found:
        yield found


def prepare(folder: Path) -> list[str]:
    """Write the files that the documentation shows into `folder`; the names of those that hold tools."""
    (folder / "examples").symlink_to(CHECKOUT / "examples")
    tools = [f"examples/{name}/tools.py" for name in EXAMPLES]
    for page in PAGES:
        for block in blocks_of(page) if (CHECKOUT / page).exists() else ():
            if name := block.marks.get("file"):
                (folder / name).write_text(block.text)
                if "@tool" in block.text and name.endswith(".py"):
                    tools.append(name)
    return tools
