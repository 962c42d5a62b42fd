"""The files of a deployment say what the code can do. No image is built here."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # pandera needs it

from service.settings import Settings
from tests.support.checkout import CHECKOUT

SETTINGS = {f"RUNGRAPH_{field.name.upper()}" for field in fields(Settings)}


def test_compose_has_a_database_and_two_servers_that_share_their_files() -> None:
    document = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    services = document["services"]
    assert set(services) == {"database", "one", "two"}
    for server in (services["one"], services["two"]):
        assert server["read_only"] is True
        assert "files:/data" in server["volumes"]
        assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
        assert set(server["environment"]) <= SETTINGS
    named = {volume.partition(":")[0] for each in services.values() for volume in each["volumes"]}
    assert {name for name in named if name[0] != "."} == set(document["volumes"])


def test_the_image_is_of_an_ordinary_user_and_has_a_health_check() -> None:
    text = (CHECKOUT / "Dockerfile").read_text()
    assert re.findall("^USER (.*)$", text, re.MULTILINE) == ["rungraph"]
    assert "/readyz" in text
    assert set(re.findall(r"\bRUNGRAPH_[A-Z_]+", text)) <= SETTINGS
    sources = re.findall("^COPY (?!--from)(.*) .*$", text, re.MULTILINE)
    for name in " ".join(sources).split():
        assert (CHECKOUT / name).exists(), name
        assert f"!{name}" in (CHECKOUT / ".dockerignore").read_text().splitlines()


def test_the_unit_gives_a_server_time_to_stop() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation of configparser says
    unit.read(CHECKOUT / "docs/deploy/rungraph.service")
    service = unit["Service"]
    assert int(service["TimeoutStopSec"]) > 15
    assert service["DynamicUser"] == "yes"
    assert service["ExecStart"].endswith("rungraph serve")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = (CHECKOUT / "docs/deploy/rungraph.service").read_text()
    # The program need not be installed here.
    (tmp_path / "rungraph.service").write_text(
        re.sub("^ExecStart=\\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "rungraph.service"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "rungraph.service" in line]) == (0, [])
