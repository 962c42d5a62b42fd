"""The names of the migrations' files, from which a start reads which revision is the newest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import _migrations, migrate, revisions

SAYS_ALEMBIC = """
import sys
from pathlib import Path
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
migrate(Sqlite(Path(sys.argv[1])))
print("alembic" in sys.modules)
"""


def test_the_names_of_the_files_are_the_chain_of_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    script = ScriptDirectory.from_config(config)
    assert [script.get_current_head()] == revisions()[-1:]
    assert [revision.revision for revision in script.walk_revisions()] == revisions()[::-1]


def test_a_start_on_the_newest_schema_imports_no_alembic(tmp_path: Path) -> None:
    file = tmp_path / "rungraph.db"
    migrate(Sqlite(file))
    done = subprocess.run([sys.executable, "-c", SAYS_ALEMBIC, file], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
