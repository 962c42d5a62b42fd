"""The pages of the documentation, and the folder in which a server executes them."""

from __future__ import annotations

from pathlib import Path

from tests.support.checkout import CHECKOUT
from tests.support.docs.blocks import blocks_of

PAGES = [
    "README.md",
    "docs/guide.md",
    "docs/tools.md",
    "docs/terminal.md",
    "docs/client.md",
    "docs/embedding.md",
    "docs/mcp.md",
    "docs/testing.md",
    "docs/http.md",
    "docs/limits.md",
    "docs/cluster.md",
    "docs/schedules.md",
    "docs/webhooks.md",
    "docs/operations.md",
    "docs/deploy/README.md",
    "docs/sql.md",
    "docs/architecture.md",
]
EXAMPLES = ["first_steps", "order_approval", "etl_with_retries", "agent_loop"]


def prepare(folder: Path) -> list[str]:
    """Write the files that the documentation shows into `folder`; the names of those that hold tools."""
    (folder / "examples").symlink_to(CHECKOUT / "examples")
    tools = [f"examples/{name}/tools.py" for name in EXAMPLES]
    for page in PAGES:
        for block in blocks_of(page):
            if name := block.marks.get("file"):
                (folder / name).write_text(block.text)
                if "@tool" in block.text and name.endswith(".py"):
                    tools.append(name)
    return tools
