"""One version for the wheel, the OpenAPI document and the changelog; and the files that CONTRIBUTING.md names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from service.api import ApiSettings, create_api
from service.version import VERSION
from tests.support.api.harness import no_lifespan

ROOT = Path(__file__).parents[2]


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text().endswith(f'VERSION = "{VERSION}"\n')
    assert create_api(ApiSettings(), no_lifespan).openapi()["info"]["version"] == VERSION
    assert re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == VERSION


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"`((?:service|tests|docs|migrations)/[^`]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 30
    assert [name for name in named if "NNNN" not in name and not (ROOT / name).exists()] == []


def test_the_makefile_has_the_readmes_commands() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for mark, target in {"test": "install", "check": "check"}.items():
        command = re.search(rf"<!-- {mark} -->\n```sh\n(.+)\n```", readme)
        assert command is not None
        recipe = re.search(rf"^{target}:.*\n\t(.+)$", makefile, re.MULTILINE)
        assert recipe is not None
        assert command[1] in (recipe[1], f"{recipe[1]} && pytest")
