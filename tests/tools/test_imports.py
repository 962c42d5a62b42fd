"""A file of tools is the module that an import of it would be, and its code is kept."""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import service
from service.core.errors import StartRefused
from service.tools import files, imports, registry
from tests.support.loading import nothing_loaded


@pytest.fixture(autouse=True)
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with nothing_loaded():
        yield


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def tools_of(name: str, text: str = "") -> str:
    return f"from service import tool\n{text}\n@tool\ndef {name}(): return where()\ndef where(): return __name__\n"


def names(*sources: str) -> dict[str, str]:
    """The module's name as each tool sees it."""
    return {name: each.function() for name, each in registry.load(sources, []).items()}


def test_a_file_is_the_module_of_its_name_and_finds_the_one_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "flows" / "helping.py", "X = 1\n")
    write(tmp_path / "flows" / "mine.py", tools_of("one", "from helping import X"))
    assert names("flows/mine.py", "flows/../flows/mine.py", str(tmp_path / "flows" / "mine.py")) == {"one": "mine"}
    assert sys.path[-1] == str(tmp_path / "flows")
    function = sys.modules["mine"].where
    assert pickle.loads(pickle.dumps(function)) is function
    assert importlib.import_module("mine") is sys.modules["mine"]


def test_one_file_of_tools_imports_another(tmp_path: Path) -> None:
    write(tmp_path / "first.py", tools_of("one"))
    write(tmp_path / "second.py", tools_of("two", "from first import one"))
    assert names("second.py", "first.py", "first") == {"one": "first", "two": "second"}


def test_what_lies_beside_a_file_stands_in_for_nothing_of_others(tmp_path: Path) -> None:
    for name in ("logging", "httpx", "duckdb", "service/__init__", "string"):
        write(tmp_path / "flows" / f"{name}.py", "raise ImportError('not this one')\n")
    write(tmp_path / "flows" / "mine.py", tools_of("one", "import logging, httpx, service.core, string"))
    assert names("flows/mine.py") == {"one": "mine"}
    assert [sys.modules[each.__name__] for each in (logging, httpx, service)] == [logging, httpx, service]


def test_a_file_in_a_package_is_a_module_of_it(tmp_path: Path) -> None:
    for folder in ("acme", "acme/flows"):
        write(tmp_path / "src" / folder / "__init__.py", "")
    write(tmp_path / "src" / "acme" / "flows" / "helping.py", "X = 1\n")
    text = "from .helping import X\nfrom ..flows import helping\nimport helping as beside"
    write(tmp_path / "src" / "acme" / "flows" / "mine.py", tools_of("one", text))
    write(tmp_path / "src" / "acme" / "__init__.py", tools_of("two"))
    assert names("src/acme/flows/mine.py", "src/acme/__init__.py", "acme.flows.mine") == {
        "one": "acme.flows.mine",
        "two": "acme",
    }


@pytest.mark.parametrize(
    "name", ["json", "service", "test", "tests", "__main__", "tools.v2", "my tools.v2", ".", "a%2Eb"]
)
def test_a_file_whose_name_is_anothers_can_be_imported_all_the_same(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "flows" / f"{name}.py", tools_of("one"))
    module = files.name_of(Path(file)) if name != "a%2Eb" else name
    assert names(file) == {"one": module}
    function = sys.modules[module].where
    found = pickle.dumps(function)
    assert pickle.loads(found) is function
    del sys.modules[module]  # As in a process that multiprocessing has started.
    assert pickle.loads(found).__code__.co_filename == file
    assert (sys.modules["json"], sys.modules["service"]) == (json, service)


@pytest.mark.parametrize("name", ["my-tools", "01_tools", "with space", "ünïcode"])
def test_a_name_need_not_be_an_identifier(tmp_path: Path, name: str) -> None:
    assert names(write(tmp_path / f"{name}.py", tools_of("one"))) == {"one": name}
    assert importlib.import_module(name) is sys.modules[name]


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name / "mine.py", tools_of(name)) for name in ("first", "second"))
    assert names(first, second, first) == {"first": "mine", "second": files.name_of(Path(second))}


def test_a_file_that_would_get_anothers_neighbour_is_refused(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write(tmp_path / folder / "helping.py", f"X = '{folder}'\n")
        write(tmp_path / folder / "mine.py", tools_of(folder, "from helping import X"))
    with pytest.raises(StartRefused) as refused:
        registry.load(["first/mine.py", "second/mine.py"], [])
    assert f"'helping' is imported from {tmp_path}/first/helping.py, not from {tmp_path}/second/helping.py" in str(
        refused.value
    )


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path / "real" / "helping.py", "X = 1\n")
    write(tmp_path / "real" / "mine.py", tools_of("one", "import helping"))
    (tmp_path / "linked.py").symlink_to("real/mine.py")
    (tmp_path / "folder").symlink_to("real")
    assert names("linked.py", "folder/mine.py", "real/mine.py") == {"one": "mine"}


def test_a_guarded_main_is_not_executed(tmp_path: Path) -> None:
    write(tmp_path / "mine.py", tools_of("one", "if __name__ == '__main__':\n    raise SystemExit(1)"))
    assert names("mine.py") == {"one": "mine"}


def test_a_snapshot_is_what_was_loaded_and_not_what_the_files_have_become(tmp_path: Path) -> None:
    write(tmp_path / "beside.py", "X = 1\n")
    write(tmp_path / "later.py", "X = 1\n")
    text = "import beside, json\ndef both():\n    import later\n    return beside.X + later.X"
    tools = registry.load([write(tmp_path / "mine.py", tools_of("one", text)), "beside"], [])
    before = registry.snapshot(tools)
    assert set(before["code"]) == {"mine", "beside"}  # What is installed is not among them.
    sys.modules["mine"].both()
    taken = json.loads(json.dumps(registry.snapshot(tools)))
    assert (set(taken["code"]), taken["modules"]) == ({"mine", "beside", "later"}, ["mine", "beside"])
    for name in ("beside", "later"):
        write(tmp_path / f"{name}.py", "half(")
    (tmp_path / "mine.py").unlink()
    with nothing_loaded():
        for name in taken["code"]:
            del sys.modules[name]
        loaded = registry.load_snapshot(taken, [])
        assert set(loaded) == {"one"}
        assert sys.modules["mine"].both() == 2
        assert sys.modules["mine"].__file__ == str(tmp_path / "mine.py")


def test_a_module_that_is_loaded_anew_on_purpose_is_read_anew(tmp_path: Path) -> None:
    write(tmp_path / "mine.py", tools_of("one", "X = 1"))
    registry.load(["mine.py"], [])
    write(tmp_path / "mine.py", "X = 22\n")
    assert importlib.reload(sys.modules["mine"]).X == 22


def test_a_snapshot_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(StartRefused, match="the tools cannot be loaded: ModuleNotFoundError: No module named 'gone'"):
        registry.load_snapshot({**imports.snapshot([]), "modules": ["gone"]}, [])
