"""Hints at what somebody meant."""

from __future__ import annotations

import difflib

import pytest

from service.core.graph import Comparison, Edge, GraphNode, Retry, ToolNode
from service.core.validation.spelling import COMPARED_MAX, closest, closest_field

RUN = ("graph_id", "initial_state", "tags")
RUNS = ("status", "graph_id", "tag", "limit", "cursor")
EDGE, TOOL, CHILDREN = (tuple(each.model_fields) for each in (Edge, ToolNode, GraphNode))


@pytest.mark.parametrize(
    ("field", "known", "meant"),
    [
        *((field, RUN, "initial_state") for field in ("state", "initialState", "inital_state", "input", "Inputs")),
        *((field, RUN, "graph_id") for field in ("graph", "graphId", "graph-id", "workflow_id")),
        *((field, RUN, "tags") for field in ("labels", "tag", "Tags")),
        *(("state", RUNS, "status"), ("offset", RUNS, "cursor"), ("page_size", RUNS, "limit"), ("tags", RUNS, "tag")),
        *(("target", EDGE, "to"), ("if", EDGE, "condition"), ("from", EDGE, None)),
        *(("timeout", TOOL, "timeout_s"), ("params", TOOL, "metadata"), ("max", tuple(Retry.model_fields), None)),
        *(("forEach", CHILDREN, "for_each"), ("concurrency", CHILDREN, "max_parallel")),
        *(("operator", tuple(Comparison.model_fields), "op"), ("since", ("after_seq", "limit"), "after_seq")),
        *((field, RUN, None) for field in ("xyzzy", "", "_", "☃", "x" * 10_000)),
        ("state", (), None),
    ],
)
def test_a_field_is_found_by_how_it_is_written_what_others_call_it_or_a_part(
    field: str, known: tuple[str, ...], meant: str | None
) -> None:
    assert closest_field(field, known) == ("" if meant is None else f"; did you mean {meant!r}?")


def test_a_name_is_found_by_its_letters_alone() -> None:
    assert closest("aproval", ["approval", "payment"]) == "; did you mean 'approval'?"
    assert closest("state", ["initial_state"]) == ""


def test_of_very_many_names_those_of_the_nearest_length_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    compare = difflib.get_close_matches

    def counted(name: str, known: list[str], n: int) -> list[str]:
        compared.append(len(known))
        return compare(name, known, n)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    many = ["ab" * number for number in range(1, 5000)]
    assert closest("aproval", [*many, "approval"]) == "; did you mean 'approval'?"
    assert compared == [COMPARED_MAX]
