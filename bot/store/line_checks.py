"""What a line of an export has to hold: what is taken in must be readable again, by everything that shows a log."""

from collections.abc import Callable, Iterable
from typing import Any, get_args

from ..explain.turn import Status
from ..predict.engine import Finish
from ..predict.message import Role
from .json import Json
from .storable import is_id

LAST_US = 253_402_300_799 * 1_000_000
"""The end of the year 9999: no later moment has a date."""
KINDS = ("terminal", "channel", "thread", "direct", "import")

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _amount(value: Any) -> bool:
    return _whole(value) and value >= 0


def _time(value: Any) -> bool:
    return _whole(value) and 0 <= value <= LAST_US


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _snowflake(value: Any) -> bool:
    return _text(value) and is_id(value)


def _timings(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_amount, value.values()))


def _one_of(words: Iterable[str]) -> Check:
    known = tuple(words)
    return lambda value: value in known


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


_SESSION: dict[str, Check] = {
    "public_id": _text, "kind": _one_of(KINDS), "title": _text, "guild": _or_null(_snowflake),
    "channel": _or_null(_snowflake), "person": _or_null(_snowflake), "created_us": _time,
    "ended_us": _or_null(_time),
}  # fmt: skip
_MESSAGE: dict[str, Check] = {
    "message": _whole, "parent": _or_null(_whole), "role": _one_of(get_args(Role)), "author": _or_null(_text),
    "person": _or_null(_snowflake), "text": _text, "reasoning": _text, "turn": _or_null(_whole),
    "discord_message": _or_null(_snowflake), "erased": _flag, "created_us": _time,
}  # fmt: skip
_TURN: dict[str, Check] = {
    "turn": _whole, "parent_turn": _or_null(_whole), "first_step": _amount, "prompt_message": _or_null(_whole),
    "reply_message": _or_null(_whole), "requester": _or_null(_snowflake), "seed": _whole, "k": _amount,
    "status": _one_of(get_args(Status)), "finish": _or_null(_one_of(get_args(Finish))), "error": _or_null(_text),
    "dropped_turns": _amount, "dropped_tokens": _amount, "budget": _or_null(_whole), "n_cached": _amount,
    "timings": _or_null(_timings), "verifiable": _flag, "app_version": _text, "created_us": _time,
}  # fmt: skip
_NOTE: dict[str, Check] = {
    "text": _text, "author": _text, "first": _or_null(_amount), "last": _or_null(_amount), "created_us": _time,
}  # fmt: skip
_GIVEN: dict[str, Check] = {"created_us": _or_null(_time)}


def check_session(line: Json) -> None:
    """Raises ValueError naming the field, KeyError where it is not there; as do the others."""
    _check("session", line, _SESSION)


def check_message(line: Json) -> None:
    _check(f"message {line['message']}", line, _MESSAGE)


def check_turn(line: Json) -> None:
    what = f"turn {line['turn']}"
    _check(what, line, _TURN)
    given = line["marks"]
    for note in given["notes"]:
        _check(f"{what}: note", note, _NOTE)
    for mark in (*given.get("ratings", ()), *given["thumbs"]):
        _check(f"{what}: mark", {"created_us": None} | mark, _GIVEN)
    for at_us in given.get("tagged_us", ()):
        _check(f"{what}: tag", {"created_us": at_us}, _GIVEN)


def _check(what: str, line: Json, checks: dict[str, Check]) -> None:
    for name, right in checks.items():
        if not right(line[name]):
            raise ValueError(f"{what}: {name} is {line[name]!r:.60}")
