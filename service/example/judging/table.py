"""Judge a table: apply the judge of each kind of error to the columns that are ready for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from service.example.judging.dates import (
    judge_dates,
    judge_impossible_dates,
    judge_mixed_moments,
    judge_times,
    judge_words,
)
from service.example.judging.dependencies import candidates, find_dependencies, judge_dependencies
from service.example.judging.findings import Flag, Judgement, Kind, Repair
from service.example.judging.numbers import judge_numbers, read_number
from service.example.judging.outliers import fence, few
from service.example.judging.placeholders import CHARS_MAX, LEXICON, judge_placeholders
from service.example.judging.rows import judge_rows
from service.example.judging.shifted import judge_shifted
from service.example.judging.spellings import judge_inverted, judge_spellings
from service.example.tables.columns import DATE, INTEGER, MOMENT, PLAIN, SCIENTIFIC, TEXT, ZONED, Facts, make_values
from service.example.tables.database import Connection, has_outer_space, literal, literals

OTHERS_MAX = 300
TEXTS_MAX = 1_000_000
LOOSE_MIN = 0.9
FILL_DISTINCT_MAX = 50
FILL_SHARE_MAX = 0.5
FILL_FROM = 8

Texts = dict[int, list[tuple[str, int]]]


class Judge:
    """The judge of one table. It repairs only what it has evidence for or what the caller allows."""

    def __init__(
        self,
        db: Connection,
        columns: Sequence[Facts],
        row_count: int,
        allow: Collection[str],
        keep: Collection[int],
        earlier: Sequence[str],
    ) -> None:
        """Make the temporary tables `spelled` and `missing`, which the judges of single kinds use.

        `keep` has the numbers of the columns that must not be changed. `earlier` has a FROM clause for the changes of
        each earlier iteration.
        """
        self.db, self.columns, self.row_count, self.allow, self.keep = db, columns, row_count, allow, keep
        self._earlier = earlier
        make_values(db)
        counts = ", ".join(f"({facts.column}, {row_count - facts.present})" for facts in columns)
        db.execute(f"CREATE OR REPLACE TEMP TABLE missing AS SELECT * FROM (VALUES {counts}) AS v(col, n) WHERE n > 0")

    def judge(self) -> Judgement:
        """Return all findings. A column with repairs of one kind is not judged for later kinds until they are made."""
        found = judge_rows(self.db, self.columns, self.row_count)
        for kind in (
            self._surfaces,
            self._formats,
            self._shifted,
            self._spellings,
            self._dependencies,
            self._allowed,
        ):
            found.add(kind(self._settled(found)))
        if "duplicates" in self.allow and not found.repairs:
            found.add(self._duplicates())
        kept = [repair for repair in found.repairs if repair.column in self.keep]
        found.repairs = [repair for repair in found.repairs if repair.column not in self.keep]
        found.flags += [unmade(repair, "`keep` says to leave its column alone") for repair in kept]
        return found

    def _settled(self, found: Judgement) -> list[Facts]:
        """Return the columns that have values and are not about to be repaired."""
        busy = {repair.column for repair in found.repairs if repair.column not in self.keep}
        return [facts for facts in self.columns if facts.present and facts.column not in busy]

    def _texts(self, condition: str, columns: Iterable[Facts], limit: int = TEXTS_MAX) -> Texts:
        """Return each column's distinct texts that satisfy an SQL condition, the most frequent first, with counts."""
        chosen = [facts.column for facts in columns]
        texts: Texts = defaultdict(list)
        if chosen:
            query = f"""SELECT col, value, n FROM spelled WHERE col IN ({literals(chosen)}) AND ({condition})
                ORDER BY col, n DESC, value LIMIT {limit}"""
            for col, value, n in self.db.execute(query).fetchall():
                texts[col].append((value, n))
        return texts

    def _surfaces(self, settled: Sequence[Facts]) -> Judgement:
        """Judge surrounding space and placeholders."""
        found = Judgement()
        for col, value, bare in self.db.execute(
            f"""SELECT col, value, bare FROM spelled WHERE {has_outer_space("value")}
            AND col IN ({literals(facts.column for facts in settled) or "NULL"}) ORDER BY col, value"""
        ).fetchall():
            found.repairs.append(
                Repair(col, None, value, bare or None, Kind.SPACE, "spaces around a text have no meaning")
            )
        is_word = f"length(bare) <= {CHARS_MAX} AND lower(bare) IN ({literals(LEXICON)})"
        hits = self._texts(f"value = bare AND {is_word}", settled)
        columns = [facts for facts in settled if facts.column in hits]
        for facts in columns:
            others = self._texts(f"NOT ({is_word})", [facts], OTHERS_MAX).get(facts.column, [])
            found.add(judge_placeholders(facts, hits[facts.column], others))
        return found

    def _formats(self, settled: Sequence[Facts]) -> Judgement:
        """Judge numbers, dates, times and yes-no words."""
        found = Judgement()

        def full(pattern: str) -> str:
            return f"NOT regexp_full_match(value, {literal(pattern)})"

        iso = " AND ".join(map(full, (DATE, MOMENT, ZONED)))
        wrong = f"(({iso}) OR (regexp_full_match(value, '{DATE}') AND TRY_CAST(value AS DATE) IS NULL))"
        asked: list[tuple[Callable[[Facts], bool], str, Callable[[Facts, Sequence[tuple[str, int]]], Judgement]]] = [
            (_holds_mixed_moments, full(ZONED), judge_mixed_moments),
            (_holds_dates, wrong, _judge_all_dates),
            (_holds_times, "TRUE", judge_times),
            (_holds_words, "TRUE", judge_words),
            (_holds_numbers, f"{full(PLAIN)} AND {full(SCIENTIFIC)}", judge_numbers),
        ]
        rest = list(settled)
        for is_such, condition, judge in asked:
            such = [facts for facts in rest if is_such(facts)]
            rest = [facts for facts in rest if facts not in such] if such else rest
            texts = self._texts(condition, such)
            for facts in such:
                if facts.column in texts:
                    found.add(judge(facts, texts[facts.column]))
        return found

    def _shifted(self, settled: Sequence[Facts]) -> Judgement:
        return judge_shifted(self.db, settled, self.row_count)

    def _spellings(self, settled: Sequence[Facts]) -> Judgement:
        found = judge_spellings(self.db, settled, settled)
        known = {(repair.column, repair.before) for repair in found.repairs}
        inverted = judge_inverted(self.db, settled).flags
        found.flags += [flag for flag in inverted if (flag.column, flag.value) not in known]
        return found

    def _dependencies(self, settled: Sequence[Facts]) -> Judgement:
        ready = candidates(settled, self.row_count)
        dependencies = find_dependencies(self.db, ready, self.row_count)
        mended: set[tuple[int, int]] = set()
        for changes in self._earlier:
            rows = self.db.execute(f"SELECT row, col FROM {changes} WHERE kind = '{Kind.DEPENDENCY}'").fetchall()
            mended |= {(row, col) for row, col in rows}
        return judge_dependencies(self.db, dependencies, ready, mended, len(self.columns))

    def _allowed(self, settled: Sequence[Facts]) -> Judgement:
        """Return the repairs that have no evidence but are allowed by the caller. Their kinds tell them from others."""
        found = Judgement()
        numeric = [facts for facts in settled if facts.is_numeric]
        if "text_in_numbers" in self.allow:
            strays = self._texts(
                f"NOT regexp_full_match(value, {literal(PLAIN)}) AND TRY_CAST(value AS DOUBLE) IS NULL", numeric
            )
            for col, texts in strays.items():
                found.repairs += [
                    Repair(col, None, text, None, Kind.TEXT_IN_NUMBERS, "not a number, in a column of numbers; allowed")
                    for text, _ in texts
                ]
        if "outliers" in self.allow:
            found.repairs += [
                Repair(flag.column or 0, None, flag.value, None, Kind.OUTLIER, f"{flag.reason}; allowed")
                for flag in self.outliers(numeric)
            ]
        if "fill" in self.allow:
            busy = {repair.column for repair in found.repairs}
            found.add(self._fills([facts for facts in settled if facts.column not in busy]))
        return found

    def outliers(self, columns: Iterable[Facts]) -> list[Flag]:
        """Return flags for the numbers beyond the fence of their column, if these numbers are few."""
        fences = {facts.column: (facts, limits) for facts in columns if (limits := fence(facts))}
        if not fences:
            return []
        values = ", ".join(f"({col}, {low!r}, {high!r})" for col, (_, (low, high)) in fences.items())
        numbers = f"""(SELECT *, x BETWEEN low AND high AS is_inside
            FROM (SELECT *, TRY_CAST(bare AS DOUBLE) AS x FROM spelled)
            JOIN (VALUES {values}) AS f(col, low, high) USING (col) WHERE x IS NOT NULL)"""
        beyond: Texts = defaultdict(list)
        for col, value, n in self.db.execute(
            f"SELECT col, value, n FROM {numbers} WHERE NOT is_inside ORDER BY col, x, value"
        ).fetchall():
            beyond[col].append((value, n))
        inside = self.db.execute(
            f"SELECT col, arg_min(bare, x), arg_max(bare, x) FROM {numbers} WHERE is_inside GROUP BY col"
        ).fetchall()
        flags = []
        for col, least, most in sorted(inside):
            if sum(n for _, n in beyond[col]) <= few(fences[col][0]):
                reason = f"far outside the column's other values, which lie between {least} and {most}"
                flags += [Flag(col, None, value, Kind.OUTLIER, reason) for value, _ in beyond[col]]
        return flags

    def _fills(self, settled: Sequence[Facts]) -> Judgement:
        """Return repairs that fill missing cells with the median of a numeric column, or with the most frequent value.

        The most frequent value is taken for columns of texts or booleans that have few distinct values.
        """
        found = Judgement()
        gaps = [
            facts
            for facts in settled
            if 0 < self.row_count - facts.present <= FILL_SHARE_MAX * self.row_count and facts.present >= FILL_FROM
        ]
        measures = [
            facts for facts in gaps if facts.type in ("BIGINT", "DOUBLE") and facts.distinct < 0.95 * facts.present
        ]
        names = [facts for facts in gaps if facts.type in (TEXT, "BOOLEAN") and facts.distinct <= FILL_DISTINCT_MAX]
        for chosen, order, what in (
            (measures, "TRY_CAST(value AS DOUBLE)", "median"),
            (names, "n", "most frequent value"),
        ):
            if not chosen:
                continue
            is_median = what == "median"
            pick = "sum(n) OVER (PARTITION BY col ORDER BY x, value) >= total / 2" if is_median else "TRUE"
            direction = "" if is_median else "DESC"
            rows = self.db.execute(
                f"""SELECT col, arg_min(value, place) FROM (
                    SELECT col, value, {pick} AS is_it,
                        row_number() OVER (PARTITION BY col ORDER BY x {direction}, value) AS place
                    FROM (SELECT *, {order} AS x, sum(n) OVER (PARTITION BY col) AS total FROM spelled)
                    WHERE col IN ({literals(facts.column for facts in chosen)}))
                WHERE is_it GROUP BY col ORDER BY col"""
            ).fetchall()
            found.repairs += [
                Repair(col, None, None, value, Kind.FILL, f"filled with the column's {what}; allowed")
                for col, value in rows
            ]
        return found

    def repeated_rows(self) -> list[tuple[int, int]]:
        """Return the rows that equal an earlier row in every cell, each with the first row that it equals."""
        if any(facts.distinct == self.row_count for facts in self.columns):
            return []
        return self.db.execute(
            """SELECT i.row, f.first FROM input AS i JOIN (
                SELECT hash(cells) AS h, min(row) AS first FROM input GROUP BY h HAVING count(*) > 1) AS f
            ON hash(i.cells) = f.h JOIN input AS o ON o.row = f.first
            WHERE i.row > f.first AND i.cells IS NOT DISTINCT FROM o.cells ORDER BY i.row"""
        ).fetchall()

    def _duplicates(self) -> Judgement:
        return Judgement(
            [
                Repair(0, row, None, None, Kind.DUPLICATE, f"it repeats row {first}; allowed")
                for row, first in self.repeated_rows()
            ]
        )


def unmade(repair: Repair, why: str) -> Flag:
    """Return a flag in place of a repair that is not made; `why` is the reason."""
    would = "a missing cell" if repair.after is None else repr(repair.after)
    return Flag(
        repair.column or None, repair.row, repair.before, repair.kind, f"would become {would}: {repair.evidence}; {why}"
    )


def _judge_all_dates(facts: Facts, texts: Sequence[tuple[str, int]]) -> Judgement:
    found = judge_dates(facts, texts)
    if not found.repairs and not found.flags:
        found = judge_impossible_dates(facts, texts)
    return found


def _holds_dates(facts: Facts) -> bool:
    dates = max(facts.loose_date, facts.date + facts.moment + facts.zoned)
    return dates >= LOOSE_MIN * facts.present and facts.date + facts.moment + facts.zoned < facts.present + 1


def _holds_mixed_moments(facts: Facts) -> bool:
    kinds = (facts.date, facts.moment, facts.zoned)
    return sum(kinds) == facts.present and max(kinds) < facts.present


def _holds_times(facts: Facts) -> bool:
    return facts.loose_time >= 0.8 * facts.present


def _holds_words(facts: Facts) -> bool:
    return facts.word >= 0.8 * facts.present and facts.distinct <= 12


def _holds_numbers(facts: Facts) -> bool:
    return facts.plain + facts.scientific < facts.present and facts.loose >= LOOSE_MIN * facts.present


__all__ = ["INTEGER", "Judge", "read_number", "unmade"]
