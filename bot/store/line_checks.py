"""What a line of an export has to hold: what is taken in must be readable again, by everything that shows a log."""

import math
from collections.abc import Callable, Iterable
from typing import Any, get_args

from ..explain.turn import Status
from ..predict.engine import Finish
from ..predict.message import Role
from ..predict.sampling import StageName
from .json import Json
from .storable import is_id

LAST_US = 253_402_300_799 * 1_000_000
"""The end of the year 9999: no later moment has a date."""
ROUNDED = 1e-3
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


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _log(value: Any) -> bool:
    """Of a probability, as near to 1 as rounding brings it."""
    return _number(value) and value <= ROUNDED


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1 + ROUNDED


def _token(value: Any) -> bool:
    return type(value) is int and 0 <= value < 0xFFFFFFFF


def _hash(value: Any) -> bool:
    return _text(value) and 0 <= int(value, 16) < 2**64


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _row(*checks: Check) -> Check:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(check(part) for check, part in zip(checks, value, strict=True))
    )


def _timings(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_amount, value.values()))


def _one_of(words: Iterable[str]) -> Check:
    known = tuple(words)
    return lambda value: value in known


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


_stage = _one_of(get_args(StageName))
_SAMPLING: dict[str, Check] = {
    "temperature": lambda value: _number(value) and value >= 0, "top_k": _amount, "top_p": _number,
    "min_p": _number, "repetition_penalty": _number, "presence_penalty": _number, "frequency_penalty": _number,
    "penalty_window": _whole, "logit_bias": _list_of(_row(_token, _or_null(_number))), "stages": _list_of(_stage),
    "max_tokens": _amount, "stop": _list_of(_text),
}  # fmt: skip
_MODEL: dict[str, Check] = {
    "name": _text, "sha256": _text, "quantization": _text, "n_vocab": _amount, "n_ctx_train": _amount,
    "template_sha256": _text, "llamacpp_build": _text, "adapter_sha256": _or_null(_text), "adapter_scale": _number,
    "cpu": _text, "gpu_layers": _whole,
}  # fmt: skip
_STEP: dict[str, Check] = {
    "id": _token, "logprob": _log, "rank": lambda value: _amount(value) and value > 0, "entropy": _number,
    "log_normaliser": _number, "top": _list_of(_row(_token, _or_null(_log), _or_null(_stage))), "u": _share,
    "interval": _row(_share, _share), "p_final": _share, "stages": _list_of(_row(_stage, _amount, _number)),
    "row_hash": _hash,
}  # fmt: skip
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
    "timings": _or_null(_timings), "surprisal": _or_null(_number),
    "prompt_ids": _list_of(lambda id_: id_ == -1 or _token(id_)), "reply_ids": _list_of(_token),
    "discord_messages": _list_of(_snowflake), "verifiable": _flag, "app_version": _text, "created_us": _time,
}  # fmt: skip
_NOTE: dict[str, Check] = {
    "text": _text, "author": _text, "first": _or_null(_amount), "last": _or_null(_amount), "created_us": _time,
}  # fmt: skip
_GIVEN: dict[str, Check] = {"created_us": _or_null(_time)}
_RATING: dict[str, Check] = {"stars": _whole}
_TAGS: dict[str, Check] = {"tags": _list_of(_text)}


def check_session(line: Json) -> None:
    """Raises ValueError naming the field, KeyError where it is not there; as do the others."""
    _check("session", line, _SESSION)


def check_message(line: Json) -> None:
    _check(f"message {line['message']}", line, _MESSAGE)


def check_turn(line: Json) -> None:
    what = f"turn {line['turn']}"
    _check(what, line, _TURN)
    _check_known(f"{what}: model", line["model"], _MODEL)
    _check_known(f"{what}: sampling", line["sampling"], _SAMPLING)
    ends, size = line["spans"][-1][1] if line["spans"] else 0, len(line["prompt_ids"])
    if line["spans"] and ends != size:
        raise ValueError(f"{what}: its spans end at {ends!r:.20}, its prompt at {size}")
    for place, step in enumerate(line["steps"] or ()):
        _check(f"{what}: step {place}", step, _STEP)
    if line["steps"] and [step["id"] for step in line["steps"]] != line["reply_ids"]:
        raise ValueError(f"{what}: its steps are not those of its reply_ids")
    given = line["marks"]
    _check(what, given, _TAGS)
    for note in given["notes"]:
        _check(f"{what}: note", note, _NOTE)
        first, last = note["first"], note["last"]
        if (first is None) != (last is None) or (first or 0) > (last or 0):
            raise ValueError(f"{what}: a note on {first} to {last}")
    for rating in given.get("ratings", ()):
        _check(f"{what}: rating", rating, _RATING)
    for mark in (*given.get("ratings", ()), *given["thumbs"]):
        _check(f"{what}: mark", {"created_us": None} | mark, _GIVEN)
    for at_us in given.get("tagged_us", ()):
        _check(f"{what}: tag", {"created_us": at_us}, _GIVEN)


def _check(what: str, line: Json, checks: dict[str, Check]) -> None:
    for name, right in checks.items():
        if not right(line[name]):
            raise ValueError(f"{what}: {name} is {line[name]!r:.60}")


def _check_known(what: str, line: Json, checks: dict[str, Check]) -> None:
    """The same for what older exports may lack."""
    _check(what, line, {name: right for name, right in checks.items() if name in line})
