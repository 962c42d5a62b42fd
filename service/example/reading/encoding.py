"""Find the encoding of a file from the caller's option, from the file's byte order mark, or from the other bytes.

Without an option and a mark, the lines beyond ASCII decide. If at most half of them are invalid UTF-8, the file is
read as UTF-8, and the invalid lines are refused. If all are invalid, and every byte beyond ASCII makes sense in Western
text, the file is read as Windows-1252. Any other file is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.example.reading.options import Options, Uncertain
from service.example.tables.files import draft_in

BLOCK_BYTES = 1 << 20
WESTERN = "cp1252"
_MANY_IN_A_ROW = re.compile(r"[^\W\d_a-zA-Z]{3}")
_CAPITAL_WITHIN = re.compile(r"[a-z][À-ÞŠŽŸ]")
_ODD_WESTERN = re.compile(r"[\x81\x8d\x8f\x90\x9dƒˆ˜‰¤¦¨¬¯¸¹þÞðÐ]")
_DECLARED = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Must precede UTF-16, whose mark is the first half of this one.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """A file in UTF-8, of which single lines may still be invalid."""

    path: Path
    encoding: str
    is_said: bool
    """Whether the encoding is certain: it is UTF-8, or the caller or a byte order mark states it."""


@contextmanager
def as_utf8(path: Path, options: Options, folder: Path) -> Iterator[Text]:
    """Yield the file as UTF-8 whose lines end with `\\n`. If the file differs, yield a temporary copy in `folder`.

    Raise ValueError if the file is empty, and Uncertain if its encoding is unknown or wrong, or if NUL is found.
    """
    with path.open("rb") as file:
        head = file.read(BLOCK_BYTES)
    if not head.strip():
        raise ValueError("the file is empty")
    declared = next((name for mark, name in _DECLARED if head.startswith(mark)), None)
    encoding = options.encoding or declared or _concluded(path)
    is_said = encoding == "utf-8" or encoding in (options.encoding, declared)
    old_lines = b"\r" in head and b"\n" not in head
    if encoding == "utf-8" and not old_lines:
        if b"\0" in head:
            raise has_nul(_line_of(head, head.index(b"\0")))
        yield Text(path, encoding, is_said)
        return
    draft = draft_in(folder, "utf8")
    try:
        _transcode(path, draft, encoding)
        yield Text(draft, encoding, is_said)
    finally:
        draft.unlink(missing_ok=True)


def _concluded(path: Path) -> str:
    """Return `utf-8` or `cp1252`. Raise Uncertain if the file could have another encoding."""
    proper, bad, first, western = 0, 0, 0, True
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.isascii():
                continue
            try:
                line.decode()
                proper += 1
            except UnicodeDecodeError:
                bad += 1
                first = first or number
                western = western and _reads_as_western(line)
    if bad <= proper:
        return "utf-8"
    if proper == 0 and western:
        return WESTERN
    raise Uncertain(first, "its bytes are no UTF-8, and could be one of several encodings", _remedy())


def _reads_as_western(line: bytes) -> bool:
    """Return whether the bytes beyond ASCII are letters and marks in the places where Western text has them."""
    text = line.decode(WESTERN, errors="replace")
    odd = "\ufffd" in text or _ODD_WESTERN.search(text) or _MANY_IN_A_ROW.search(text) or _CAPITAL_WITHIN.search(text)
    return not odd


def _transcode(path: Path, draft: Path, encoding: str) -> None:
    """Write the file as UTF-8, and replace old Macintosh line ends by Unix ones."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    with path.open("rb") as file, draft.open("wb") as out:
        has_new_lines = False
        while True:
            block = file.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].decode(encoding, errors="replace").count("\n")
                raise Uncertain(line, f"its bytes are no {encoding}", _remedy()) from error
            if "\0" in text:
                raise has_nul(lines + text.count("\n", 0, text.index("\0")))
            has_new_lines = has_new_lines or "\n" in text
            out.write((text if has_new_lines else text.replace("\r", "\n")).encode("utf-8", errors="replace"))
            lines += text.count("\n")
            if not block:
                return


def has_nul(line: int) -> Uncertain:
    """Return the error for a line with a NUL character."""
    return Uncertain(line, "it holds NUL, which no text has", _remedy())


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _remedy() -> str:
    return "the option `encoding` says how the file is written"
