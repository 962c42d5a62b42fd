"""What is mended, on what evidence, and what is left alone as a flag: the kind counts, and not the instance."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby

import pytest

from service.example.judging.dates import read_time
from service.example.judging.numbers import read_number
from service.example.judging.texts import distance, is_slip, name_key
from tests.support.example import Start, Walk


def one_column(cells: Sequence[str], name: str = "v") -> str:
    """A CSV file with a column of these cells, and one that numbers the rows."""
    return f"nr,{name}\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells, start=1))


def mended(from_csv: Start, cells: Sequence[str]) -> list[str]:
    return from_csv(one_column(cells)).to_the_end().column("v")


def mended_columns(from_csv: Start, columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """Mend many columns, those of one length as columns of one table, since most of a walk's time is not for cells."""
    found: dict[int, list[str]] = {}
    numbers = sorted(range(len(columns)), key=lambda number: len(columns[number]))
    for length, alike in groupby(numbers, key=lambda number: len(columns[number])):
        places = list(alike)
        table = [("nr", *(f"v{number}" for number in places))]
        table += [(str(row), *(columns[number][row] for number in places)) for row in range(length)]
        out = io.StringIO()
        csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(table)
        walk = from_csv(out.getvalue()).to_the_end()
        found |= {number: walk.column(f"v{number}") for number in places}
    return [found[number] for number in range(len(columns))]


PLACEHOLDERS = ("NA", "N/A", "n/a", "null", "-", "--", "?", "#N/A", "NaN", ".", "unknown", "missing")


def test_a_placeholder_among_numbers_dates_or_other_words_becomes_missing(from_csv: Start) -> None:
    for others in (["1", "2", "3"], ["2024-01-01", "2024-01-02"]):
        found = mended_columns(from_csv, [[*others, word] for word in PLACEHOLDERS])
        assert found == [[*others, ""]] * len(PLACEHOLDERS)


COULD_BE_VALUES = [
    ["DE", "FR", "US", "NA"],
    ["K", "FE", "MG", "NA"],
    ["Smith", "Jones", "Baker", "Null"],
    ["SMITH", "JONES", "BAKER", "NULL"],
    ["void", "zero", "some", "null"],
    ["Rural", "Urban", "None"],
    ["1", "2", "3", "none"],
    ["1", "2", "3", "empty"],
    ["Male", "Female", "Unknown"],
    ["+", "±", "-"],
    ["A", "B", "C", "-"],
    ["!", ";", "?"],
    ["Inf", "Nan", "Zed", "inf"],
]


def test_a_word_that_could_be_a_value_of_its_column_stays(from_csv: Start) -> None:
    assert mended_columns(from_csv, COULD_BE_VALUES) == COULD_BE_VALUES


def test_a_placeholder_that_looks_like_no_other_text_becomes_missing(from_csv: Start) -> None:
    words = ("NA", "N/A", "-", "?", "\\N")
    found = mended_columns(from_csv, [["Fixed wing", "Rotorcraft", word] for word in words])
    assert found == [["Fixed wing", "Rotorcraft", ""]] * len(words)


def test_infinities_are_placeholders_where_few_and_ends_of_intervals_where_many(from_csv: Start) -> None:
    numbers = [str(n % 17) for n in range(100)]
    assert mended(from_csv, [*numbers, "inf", "NaN"])[-2:] == ["", ""]
    assert mended(from_csv, [*numbers, *["inf"] * 20])[-20:] == ["inf"] * 20


WRITTEN_OTHERWISE: list[tuple[list[str], list[str]]] = [
    (["1,234", "1,234,567", "12"], ["1234", "1234567", "12"]),
    (["1,234.50", "99.10", "7.25"], ["1234.50", "99.10", "7.25"]),
    (["1.234,50", "99,10", "7,25"], ["1234.50", "99.10", "7.25"]),
    (["3,5", "2,75", "1,25"], ["3.5", "2.75", "1.25"]),
    (["$1,200.50", "$3.25", "$17.00"], ["1200.50", "3.25", "17"]),
    (["12.0 oz", "16.0 oz.", "8.4 ounce"], ["12", "16", "8.4"]),
    (["5 kg", "7kg", "6.5 kg"], ["5", "7", "6.5"]),
    (["10%", "25%", "7.5%"], ["10", "25", "7.5"]),
    (["(5.00)", "7.25", "9.50"], ["-5.00", "7.25", "9.50"]),
    (["1 234 567", "1 000", "12"], ["1234567", "1000", "12"]),
    (["1'234", "12", "7'000"], ["1234", "12", "7000"]),
    (["2024-03-05", "2024-03-06", "2024/03/07"], ["2024-03-05", "2024-03-06", "2024-03-07"]),
    (["31/12/2023", "25/12/2023", "03/04/2023"], ["2023-12-31", "2023-12-25", "2023-04-03"]),
    (["12/31/2023", "12/25/2023", "03/04/2023"], ["2023-12-31", "2023-12-25", "2023-03-04"]),
    (["31/12/2023", "12/31/2023", "03/04/2023"], ["2023-12-31", "2023-12-31", "03/04/2023"]),
    (["5 Mar 2024", "March 6, 2024", "2024-03-07"], ["2024-03-05", "2024-03-06", "2024-03-07"]),
    (
        ["1/25/2024 9:00", "1/5/2024, 1:15 PM", "12/31/2024 10:30"],
        ["2024-01-25 09:00", "2024-01-05 13:15", "2024-12-31 10:30"],
    ),
    (["₹12,34,567.50", "₹99,999.25", "₹5.75"], ["1234567.50", "99999.25", "5.75"]),
    (["−5", "3", "7"], ["-5", "3", "7"]),
    (["1’234", "12", "5’678"], ["1234", "12", "5678"]),
]


def test_the_same_value_written_otherwise_is_written_as_the_others_are(from_csv: Start) -> None:
    found = mended_columns(from_csv, [cells for cells, _ in WRITTEN_OTHERWISE])
    assert found == [expected for _, expected in WRITTEN_OTHERWISE]


def test_what_does_not_fit_a_column_of_dates_is_a_flag(from_csv: Start) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 31)]
    table = [*zip(days, [f"{day} 10:00:00" for day in days], [f"{day}T10:00Z" for day in days], strict=True)]
    table[3] = ("45310", "2024-01-04", "2024-01-04T10:00")
    walk = from_csv("a,b,c\n" + "".join(f"{','.join(row)}\n" for row in table)).to_the_end()
    assert walk.changes() == []
    assert [flag[:3] for flag in walk.flags("format")] == [
        ("4", name, cell) for name, cell in zip("abc", table[3], strict=True)
    ]


def test_percents_among_fractions_are_taken_for_what_fits_the_others(from_csv: Start) -> None:
    fractions = [f"0.{n:02}" for n in range(10, 60)]
    assert mended(from_csv, [*fractions, "45%"])[-1] == "0.45"
    assert mended(from_csv, [*fractions, "0.33%"])[-1] == "0.33"
    assert mended(from_csv, [*fractions, "900%"])[-1] == "900%"


def test_yes_and_no_are_written_as_most_are(from_csv: Start) -> None:
    assert mended(from_csv, ["yes", "no"] * 10 + ["Y", "n", "TRUE"])[-3:] == ["yes", "no", "yes"]
    assert mended(from_csv, ["0", "1"] * 10)[:2] == ["0", "1"]


AMBIGUOUS = [
    ["1.10", "1.1", "1.2"],
    ["007", "008", "1,000"],
    ["1E10", "2E5", "12E3"],
    ["2e-04", "1.5e-05", "3e+10"],
    ["12345678901234567.89", "0.1", "0.2"],
    ["1,234", "5,678", "9,012"],
    ["1,2", "3,4,5", "6"],
    ["12 101 101", "17 251 250", "9 40 4"],
    ["5 kg", "70 g", "6 kg"],
    ["5 mg", "7 Mg", "6 mg"],
    ["03/04/2023", "05/06/2023", "01/02/2023"],
    ["1/1/71", "4/2/15", "12/31/13"],
    ["2024-02-30", "2024-02-28", "2024-02-27"],
    ["7:10 a.m.", "8:15 p.m.", "12:30", "6:00 p.m."],
    ["10 Downing St", "221b Baker St", "5 Elm St"],
    ["3 Doors Down", "12 Monkeys", "7 Samurai"],
    ["+1 555 123", "+44 20 79", "+49 30 12"],
    ["A1", "B2", "A 1"],
    ["192.168.0.1", "10.0.0.1", "1.2.3.4"],
    ["12.5 oz. Silo Can", "12 oz. can", "8 oz. cup"],
    ["0001", "0100", "0011"],
    ["130 123 456", "140 987 654", "189 111 222"],
    ["9th", "10th", "11th"],
    ["1.5M", "2.5M", "3.5M"],
    ["5k", "7k", "12k"],
]


def test_what_could_mean_two_things_stays_as_it_is(from_csv: Start) -> None:
    assert mended_columns(from_csv, AMBIGUOUS) == AMBIGUOUS


def places(repeats: int = 12) -> list[tuple[str, str, str]]:
    """ZIP, city and region of some places, each so many times."""
    some = [("10001", "New York", "East"), ("60601", "Chicago", "Middle"), ("94103", "San Francisco", "West")]
    more = [("80202", "Denver", "West"), ("33101", "Miami", "East"), ("33102", "Miami", "East")]
    return [place for place in [*some, *more] for _ in range(repeats)]


def walk_places(from_csv: Start, rows: list[tuple[str, str, str]]) -> Walk:
    lines = "".join(f"{n},{','.join(row)}\n" for n, row in enumerate(rows))
    return from_csv(f"nr,zip,city,region\n{lines}").to_the_end()


def test_a_slip_in_what_another_column_decides_is_mended(from_csv: Start) -> None:
    rows = places()
    rows[3] = ("10001", "New Yrok", "East")
    rows[15] = ("60601", "Chixago", "Middle")
    walk = walk_places(from_csv, rows)
    assert [change[:4] for change in walk.changes()] == [
        (4, "city", "New Yrok", "New York"),
        (16, "city", "Chixago", "Chicago"),
    ]


def test_a_city_swapped_for_another_is_mended_by_its_zip(from_csv: Start) -> None:
    rows = places(40)
    rows[45] = ("60601", "Denver", "Middle")
    assert [change[:4] for change in walk_places(from_csv, rows).changes()] == [(46, "city", "Denver", "Chicago")]


def test_what_differs_for_a_reason_is_left_alone(from_csv: Start) -> None:
    teams = "".join(f"{n},p{n // 10},{'ab'[n % 10 // 6]}{n // 10 % 4}\n" for n in range(200))
    assert from_csv(f"nr,player,team\n{teams}").to_the_end().changes() == []


ALIKE = [
    ["mg"] * 40 + ["Mg"] * 15,
    ["mg"] * 40 + ["Mg"],
    ["Slovakia"] * 30 + ["Slovenia"],
    ["Gambia"] * 30 + ["Zambia"],
    ["South Dakota"] * 60 + ["North Dakota", "North Carolina"],
    ["Anderson"] * 40 + ["Andersen", "Baker", "Cole", "Dunn"],
    ["A+"] * 30 + ["A-"],
    ["737-7H4"] * 30 + ["7377H4"],
    ["Type 1"] * 30 + ["Type 2"],
]


def test_names_that_are_alike_and_differ_are_left_alone(from_csv: Start) -> None:
    assert mended_columns(from_csv, ALIKE) == ALIKE


def test_a_name_in_another_case_is_written_as_the_others_are(from_csv: Start) -> None:
    cells = ["Manchester", "Birmingham", "Plymouth"] * 20 + ["MANCHESTER", "plymouth", "Birmingham "]
    assert mended(from_csv, cells)[-3:] == ["Manchester", "Plymouth", "Birmingham"]


def test_true_extremes_are_flags_and_cut_only_where_that_is_allowed(from_csv: Start) -> None:
    cells = [str(20 + n * 7 % 40) for n in range(90)] + ["999"]
    walk = from_csv(one_column(cells)).to_the_end()
    assert walk.column("v") == cells
    [flag] = walk.flags("outlier")
    assert flag[:3] == ("91", "v", "999")
    assert flag[-1].endswith("which lie between 20 and 59"), "values of the column, not its fence"
    walk = from_csv(one_column(cells), allow=["outliers"]).to_the_end()
    assert walk.changes() == [(91, "v", "999", "", "outlier")]
    assert walk.counts(2) == {}, "the fence is not measured again on what it has cut"


def test_missing_cells_are_flags_and_filled_only_where_that_is_allowed(from_csv: Start) -> None:
    cells = [str(n % 9) for n in range(60)] + ["", ""]
    walk = from_csv(one_column(cells)).to_the_end()
    assert (walk.changes(), len(walk.flags("missing"))) == ([], 2)
    walk = from_csv(one_column(cells), allow=["fill"]).to_the_end()
    assert walk.changes() == [(61, "v", "", "4", "fill"), (62, "v", "", "4", "fill")]
    names = one_column(["paris"] * 30 + ["rome"] * 10 + [""])
    assert from_csv(names, allow=["fill"]).to_the_end().column("v")[-1] == "paris"


def test_texts_among_numbers_are_flags_and_go_only_where_that_is_allowed(from_csv: Start) -> None:
    cells = [str(n) for n in range(60)] + ["twelve"]
    walk = from_csv(one_column(cells)).to_the_end()
    assert (walk.changes(), [flag[2] for flag in walk.flags("format")]) == ([], ["twelve"])
    walk = from_csv(one_column(cells), allow=["text_in_numbers"]).to_the_end()
    assert walk.changes() == [(61, "v", "twelve", "", "text_in_numbers")]


def test_a_value_in_the_cell_beside_its_own_is_put_back(from_csv: Start) -> None:
    cities = [("Portland", "OR"), ("Denver", "CO"), ("Austin", "TX")] * 12
    rows = [f"{city},{state}" for city, state in cities] + ["Portland OR,", "Denver CO,", "Austin TX,", "Boise CO,"]
    walk = from_csv("city,state\n" + "\n".join(rows) + "\n").to_the_end()
    assert walk.cleaned()[-4:] == [["Portland", "OR"], ["Denver", "CO"], ["Austin", "TX"], ["Boise", "CO"]]


def test_a_date_that_does_not_exist_is_flagged_even_where_its_neighbours_tell_it(from_csv: Start) -> None:
    days = [f"2024-03-{day:02}" for day in range(1, 31)]
    walk = from_csv(one_column([*days[:8], "2024-02-30", *days[9:]])).to_the_end()
    assert walk.column("v")[8] == "2024-02-30"
    assert [flag[:3] for flag in walk.flags("format")] == [("9", "v", "2024-02-30")]


def rows_of_four() -> list[list[str]]:
    return [[f"k{n}", f"{n * 37}", ["red", "green"][n % 2], f"2024-01-{n % 28 + 1:02}"] for n in range(60)]


@pytest.mark.parametrize(
    ("row", "is_aside"),
    [
        (["88", "red", "2024-01-05", ""], True),
        (["", "k9", "88", "red"], True),
        (["k9", "88", "red", ""], False),
        (["k9", "88", "2024-01-05", ""], False),
    ],
)
def test_a_row_that_stands_one_column_aside_is_flagged(from_csv: Start, row: list[str], is_aside: bool) -> None:
    rows = [*rows_of_four(), row]
    walk = from_csv("key,amount,colour,day\n" + "".join(f"{','.join(row)}\n" for row in rows)).to_the_end()
    assert walk.cleaned() == rows
    flagged = [flag[2] for flag in walk.flags("shifted")]
    assert flagged == ([value for value in row if value] if is_aside else [])


def test_a_word_typed_with_the_caps_lock_on_is_flagged(from_csv: Start) -> None:
    names = [f"{letter}{end}" for letter in "ABCDEFGH" for end in ("nna", "ertram", "lara")]
    for cells, flagged in (
        ([*names, "mATILDA"], ["mATILDA"]),
        ([*names[:5], "mATILDA"], []),
        ([*names, "mRNA", "MATILDA"], []),
    ):
        walk = from_csv(one_column(cells)).to_the_end()
        assert walk.column("v") == cells
        assert [flag[2] for flag in walk.flags("spelling")] == flagged


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("AIRBUS", "Airbus Industrie", True),
        ("Canadair Ltd.", "CANADAIR", True),
        ("São  Paulo ", "sao paulo", True),
        ("Turbo jet", "turbo-jet", True),
        ("Turbo-jet", "Turbo-fan", False),
        ("McDonnell Douglas", "Douglas", False),
        ("737-7H4", "7377H4", False),
        ("A+", "A-", False),
        ("London Paris", "Paris London", False),
    ],
)
def test_names(one: str, other: str, same: bool) -> None:
    assert (name_key(one) == name_key(other)) is same


def test_slips_and_distances() -> None:
    assert (distance("abcd", "abdc", 2), distance("abcd", "xy", 1), distance("abc", "abc", 0)) == (1, 2, 0)
    assert is_slip("Chixago", "Chicago")
    assert not is_slip("35233", "35234")
    assert not is_slip("T", "C")
    assert not is_slip("America/Indiana/Vincennes", "America/Indiana/Indianapolis")


def test_reading_a_number_or_a_time() -> None:
    assert read_number("USD 1,200") == ("", "1,200", "USD", "")
    assert read_number("12.0 oz. Silo Can") == ("", "12.0", "oz", "Silo Can")
    assert [read_number(text) for text in ("2e-04", "A320", "1.2.3a4", "--5", "")] == [None] * 5
    assert [read_time(text) for text in ("25:00", "13:05 pm", "9:16aDec 1")] == [None] * 3
