"""Write the files of this folder anew: `python -m tests.store.statements`. The diff shows what changed in the SQL."""

from __future__ import annotations

from tests.store.statements.texts import FOLDER, files

for old in FOLDER.rglob("*.sql"):
    old.unlink()
for name, text in files().items():
    (FOLDER / name).parent.mkdir(exist_ok=True)
    (FOLDER / name).write_text(text)
