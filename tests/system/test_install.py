"""What people install: the wheel has its migrations and its data set inside, and its command works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.system.process import serving


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("RUNGRAPH_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=known | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the built wheel's content."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    call(*pip, "wheel", "--no-deps", "-w", folder, CHECKOUT, cwd=folder)
    (wheel,) = folder.glob("rungraph-*.whl")
    call(*pip, "install", "--no-deps", "--target", folder / "site", wheel, cwd=folder)
    return folder / "site"


def test_the_wheel_runs_the_demo(site: Path, tmp_path: Path) -> None:
    said = call(sys.executable, "-m", "service", "demo", cwd=tmp_path, PYTHONPATH=str(site))
    assert "threshold_met" in said
    where = call(sys.executable, "-c", "import service; print(service.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site)
    text = "import rungraph; print(rungraph.__file__, *(getattr(rungraph, name) for name in rungraph.__all__))"
    names = call(sys.executable, "-c", text, cwd=tmp_path, PYTHONPATH=str(site))
    assert names.startswith(str(site))
    assert (site / "rungraph" / "py.typed").exists()
    (output,) = (tmp_path / "rungraph-data" / "runs").iterdir()
    assert (output / "cleaned.csv").stat().st_size > 100_000


def test_the_demo_reports_without_changing_and_reads_as_it_is_told(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("made by hand\nid;value\n" + "".join(f"{n};{n % 9 if n != 5 else 'NA'}\n" for n in range(40)))
    demo = (sys.executable, "-m", "service", "demo", table, "--skip", "1", "--delimiter", ";")
    said = call(*demo, "--report", cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert "changed: nothing" in said
    assert "row 6, value 'NA': would become a missing cell" in said
    said = call(*demo, "--allow", "fill", "--keep", "id", cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert "row 6, value: 'NA' → missing" in said
    assert "row 6, value: missing → '3'" in said


def test_the_demo_takes_a_file_and_asks_the_server_that_owns_the_database(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,value\n" + "".join(f"{number},{number if number != 5 else 'NA'}\n" for number in range(40)))
    with serving(tmp_path) as server:
        said = call(sys.executable, "-m", "service", "demo", table, cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
        runs = server.call("GET", "/runs").json()["items"]
    assert [run["status"] for run in runs] == ["completed"]
    assert runs[0]["run_id"] in said
    assert (tmp_path / "rungraph-data" / "runs" / runs[0]["run_id"] / "cleaned.csv").exists()
