"""What people install: the wheel has its migrations and its data set inside, and its command works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.system.commands import rungraph
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
    """A folder with nothing but the built wheel's content: the wheel is pure, so that to unpack it installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    name = call(sys.executable, "-c", build, folder, cwd=CHECKOUT).split()[-1]
    with ZipFile(folder / name) as wheel:
        assert f"{name.rsplit('-', 3)[0]}.dist-info/entry_points.txt" in wheel.namelist()
        assert wheel.testzip() is None
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_runs_the_demo(site: Path, tmp_path: Path) -> None:
    said = call(sys.executable, "-m", "service", "demo", cwd=tmp_path, PYTHONPATH=str(site))
    assert "threshold_met" in said
    text = "import rungraph, service; print(rungraph.__file__, service.__file__, sep='\\n');"
    text += "[getattr(rungraph, name) for name in rungraph.__all__]"
    where = call(sys.executable, "-c", text, cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert all(Path(file).is_relative_to(site) for file in where)
    assert (site / "rungraph" / "py.typed").exists()
    (output,) = (tmp_path / "rungraph-data" / "runs").iterdir()
    assert (output / "cleaned.csv").stat().st_size > 100_000


def ended(folder: Path, *arguments: str | Path) -> str:
    """What a command of the checkout has printed that has succeeded."""
    done = rungraph(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_reports_without_changing_and_reads_as_it_is_told(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("made by hand\nid;value\n" + "".join(f"{n};{n % 9 if n != 5 else 'NA'}\n" for n in range(40)))
    demo = ("demo", table, "--skip", "1", "--delimiter", ";")
    said = ended(tmp_path, *demo, "--report")
    assert "changed: nothing" in said
    assert "row 6, value 'NA': would become a missing cell" in said
    said = ended(tmp_path, *demo, "--allow", "fill", "--keep", "id")
    assert "row 6, value: 'NA' → missing" in said
    assert "row 6, value: missing → '3'" in said


def test_the_demo_takes_a_file_and_asks_the_server_that_owns_the_database(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,value\n" + "".join(f"{number},{number if number != 5 else 'NA'}\n" for number in range(40)))
    with serving(tmp_path) as server:
        said = ended(tmp_path, "demo", table)
        runs = server.call("GET", "/runs").json()["items"]
    assert [run["status"] for run in runs] == ["completed"]
    assert runs[0]["run_id"] in said
    assert (tmp_path / "rungraph-data" / "runs" / runs[0]["run_id"] / "cleaned.csv").exists()
