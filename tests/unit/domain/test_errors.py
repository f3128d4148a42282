from __future__ import annotations

import pickle
import re

import pytest

from v2t.domain import errors
from v2t.domain.errors import ERRORS, NOT_RETRYABLE, V2TError, from_wire

ALL = sorted(ERRORS.values(), key=lambda kind: kind.__name__)
TREE_LINE = re.compile(r"^([│ ├└─]*)(\w+) +(\d )?", re.MULTILINE)


def drawn_tree() -> dict[str, tuple[str, str]]:
    """Name → (parent, exit code or nothing), as drawn at the top of the module."""
    tree: dict[str, tuple[str, str]] = {}
    parents = {-1: ""}
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    for indent, name, code in TREE_LINE.findall(drawing):
        depth = len(indent) // 4
        parents[depth] = name
        tree[name] = (parents[depth - 1], (code or "").strip())
    return tree


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == {
        kind.__name__: (kind.__base__.__name__ if kind is not V2TError and kind.__base__ else "") for kind in ALL
    }


def test_the_drawing_shows_the_exit_codes() -> None:
    shown = {name: int(code) for name, (_, code) in drawn_tree().items() if code}
    assert shown == {name: ERRORS[name].exit_code for name in shown}
    assert len(shown) == 1 + len(V2TError.__subclasses__())


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_message_an_exit_code_and_a_wire_name(kind: type[V2TError]) -> None:
    error = kind()
    assert kind.__doc__
    assert error.message == kind.__doc__
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert 1 <= kind.exit_code <= 5
    assert error.code == kind.__name__


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_the_wire_and_a_process_boundary(kind: type[V2TError]) -> None:
    error = kind("what failed; what to do")
    for copy in (from_wire(error.code, error.message), pickle.loads(pickle.dumps(error))):  # noqa: S301 our own bytes
        assert type(copy) is kind
        assert copy.message == "what failed; what to do"


def test_an_unknown_wire_name_becomes_the_plain_error() -> None:
    error = from_wire("FromTheFuture", "something new")
    assert type(error) is V2TError
    assert error.message == "something new"


def test_a_subclass_keeps_the_exit_code_of_its_family() -> None:
    for family in V2TError.__subclasses__():
        for kind in family.__subclasses__():
            assert kind.exit_code == family.exit_code


def test_final_errors_are_exactly_those_not_retryable() -> None:
    assert {name for name, kind in ERRORS.items() if kind.retryable} == set(ERRORS) - set(NOT_RETRYABLE)
    assert "EngineCrashed" not in NOT_RETRYABLE
    assert {"UnknownLanguage", "StorageFull", "NotAudio"} <= set(NOT_RETRYABLE)
