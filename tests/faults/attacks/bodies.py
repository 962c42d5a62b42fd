"""Attacks by what a request carries."""

from __future__ import annotations

import json
import random
import socket
import time
from contextlib import suppress

from tests.faults.attacks.clients import Caller, Target

MIB = 2**20
CSV_BYTES = 256 * MIB


def slow_bodies(target: Target) -> None:
    """1,000 bodies of 1 MiB that come at once, but for their last bytes, which come one by one."""
    head = target.request("POST", "/graph/run", "Content-Type: application/json", f"Content-Length: {MIB}")
    opened: list[socket.socket] = []
    while not target.is_over:
        if len(opened) < 1000:
            with suppress(OSError):
                raw = target.connect()
                opened.append(raw)
                raw.sendall(head + b"{" + b" " * (MIB - 1000))
            continue
        for raw in opened:
            with suppress(OSError):
                raw.send(b" ")
        time.sleep(0.3)


def dripping_bodies(target: Target) -> None:
    """1,000 bodies, a byte a second each."""
    head = target.request("POST", "/graph/run", "Content-Type: application/json", f"Content-Length: {MIB}")
    opened: list[socket.socket] = []
    for _ in range(1000):
        with suppress(OSError):
            raw = target.connect()
            opened.append(raw)
            raw.sendall(head)
    while not target.is_over:
        for raw in opened:
            with suppress(OSError):
                raw.send(b" ")
        time.sleep(1)


def tiny_chunks(target: Target) -> None:
    """Chunked bodies of one byte a chunk."""
    head = target.request("POST", "/graph/run", "Content-Type: application/json", "Transfer-Encoding: chunked")

    def act(_caller: Caller, _chance: random.Random) -> None:
        with target.connect() as raw:
            raw.sendall(head)
            for _ in range(200):
                raw.sendall(b"1;" + b"x" * 50 + b"\r\n \r\n" * 1000)

    target.over_and_over(16, act)


def deep_json(target: Target) -> None:
    """Bodies that nest half a million deep."""
    bodies = [b"[" * (MIB - 10), b'{"a":' * 200_000, b"[" * 500_000 + b"]" * 500_000]
    target.over_and_over(16, lambda caller, chance: caller.call("POST", "/graph/create", chance.choice(bodies)))


def many_values(target: Target) -> None:
    """Starts with states of 300,000 empty arrays, which take 30 times as much memory as their text."""
    graph_id = target.create({"name": "many", "start_node": "a", "nodes": {"a": "count"}})
    body = json.dumps({"graph_id": graph_id, "initial_state": {"n": 0, "a": [[]] * 300_000}}, separators=(",", ":"))
    target.over_and_over(50, lambda caller, _: caller.call("POST", "/graph/run", body.encode()))


def many_keys(target: Target) -> None:
    """Starts with states of 80,000 top-level keys."""
    graph_id = target.create({"name": "many", "start_node": "a", "nodes": {"a": "count"}})
    state = {f"k{number}": 0 for number in range(80_000)}
    body = json.dumps({"graph_id": graph_id, "initial_state": state}, separators=(",", ":")).encode()
    assert len(body) < MIB
    target.over_and_over(50, lambda caller, _: caller.call("POST", "/graph/run", body))


def large_numbers(target: Target) -> None:
    """Integers of 4,300 digits, whose conversion takes quadratic time."""
    graph_id = target.create({"name": "many", "start_node": "a", "nodes": {"a": "count"}})
    number = "9" * 4300
    body = f'{{"graph_id": "{graph_id}", "initial_state": {{"a": [{",".join([number] * 240)}]}}}}'.encode()
    target.over_and_over(16, lambda caller, _: caller.call("POST", "/graph/run", body))


def uploads(target: Target) -> None:
    """Six uploads of 256 MiB at once, of a table with wide rows."""
    header = ",".join(f"column{number}" for number in range(20)) + "\n"
    rows = "".join(",".join(str(row * 31 % (7 + cell * 13)) for cell in range(20)) + "\n" for row in range(10_000))
    piece = rows.encode()
    head = target.request(
        "POST", "/demo/run_data_quality", "Content-Type: text/csv", f"Content-Length: {CSV_BYTES}", "Connection: close"
    )

    def act(_caller: Caller, _chance: random.Random) -> None:
        with target.connect(timeout_s=60) as raw:
            raw.sendall(head + header.encode())
            left = CSV_BYTES - len(header)
            while left and not target.is_over:
                sent = piece[:left]
                raw.sendall(sent)
                left -= len(sent)
            if not left:
                target.answers[int(raw.recv(100).split()[1])] += 1

    target.over_and_over(6, act)


def tables(target: Target) -> None:
    """Many small tables at once, with rows of many columns, most of them empty."""
    wide = ",".join(f"c{number}" for number in range(5000)) + "\n"
    table = (wide + ("," * 4999 + "\n") * 100).encode()
    target.over_and_over(
        8, lambda caller, _: caller.call("POST", "/demo/run_data_quality", table, Content_Type="text/csv")
    )
