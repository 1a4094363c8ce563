"""A log as lines of JSON and back: everything in it, nothing that depends on this database.

Line types, in this order: `log` (once), `vocabulary` (before the first session that needs it), and for each
session `session`, its `message`s and its `turn`s. docs/log.md lists the fields. Ids are those of the log it came
from; an import gives new ones and keeps how they refer to each other.
"""

import base64
import math
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from ..predict.engine import ModelIdentity, Timings
from ..predict.prompt import Prompt, Span
from ..predict.schedule import Run, Schedule
from ..predict.step import Candidate, Stage, Step
from . import marks as marking
from . import models, sessions, turns
from .blocks import PackedPrompt, pack_ids
from .codec import encode
from .faults import StoreError
from .json import Json, message_json, session_json
from .line_checks import check_message, check_session, check_turn
from .records import MessageRow, SessionRow
from .spans import pack_spans
from .statistics import count_turn
from .tables import annotation, message, person, session, turn
from .traces import save_trace

FORMAT = 1
NOT_UNDERSTOOD = "a session in this file is not understood"
"""How every error begins that is of one session and of no other."""


def header(exported_us: int, app_version: str) -> Json:
    return {"type": "log", "format": FORMAT, "exported_us": exported_us, "app_version": app_version}


def vocabulary_line(model: ModelIdentity, blob: bytes) -> Json:
    """``blob``: the token bytes as the log keeps them, zlib over counts, lengths and bytes."""
    return {"type": "vocabulary", "model": asdict(model), "pieces": base64.b64encode(blob).decode()}


def session_lines(
    public_id: str, row: SessionRow, messages: list[MessageRow], copied: Mapping[int, list[int]]
) -> Iterator[Json]:
    """``copied``: the token ids of replies that no turn of the session made, by message."""
    yield {"type": "session", "public_id": public_id, **session_json(row)}
    for said in messages:
        ids = {"ids": copied[said.id]} if said.id in copied else {}
        yield {"type": "message", "session": row.id, **message_json(said), **ids}


def step_from(value: Json) -> Step:
    return Step(
        id=value["id"],
        logprob=_logprob(value["logprob"]),
        rank=value["rank"],
        entropy=value["entropy"],
        log_normaliser=value["log_normaliser"],
        top=tuple(Candidate(id_, _logprob(lp), gone) for id_, lp, gone in value["top"]),
        u=value["u"],
        interval=(value["interval"][0], value["interval"][1]),
        p_final=value["p_final"],
        stages=tuple(Stage(name, survivors, z) for name, survivors, z in value["stages"]),
        row_hash=int(value["row_hash"], 16),
    )


def _logprob(value: float | None) -> float:
    return -math.inf if value is None else value


@dataclass(frozen=True, slots=True)
class Prepared:
    """A session's lines with prompts and traces ready for storage, by turn."""

    head: Json
    messages: list[Json]
    turns: list[Json]
    key: bytes
    prompts: dict[int, PackedPrompt]
    traces: dict[int, bytes]


@contextmanager
def understood() -> Iterator[None]:
    """Lines that a person has changed, or that another program wrote, are refused in words, whatever is wrong."""
    try:
        yield
    except StoreError:
        raise
    except UserError as error:
        raise UserError(f"{NOT_UNDERSTOOD}: {error}") from None
    except ValueError as error:
        raise UserError(f"{NOT_UNDERSTOOD}: {error!s:.200}") from None
    except KeyError as error:
        raise UserError(f"{NOT_UNDERSTOOD}: {error!s:.200} is missing") from None
    except (LookupError, TypeError, AttributeError, ArithmeticError, struct.error) as error:
        raise UserError(f"{NOT_UNDERSTOOD}: {error!r:.200}") from None
    except sa.exc.OperationalError:
        raise
    except sa.exc.StatementError as error:
        raise UserError(f"{NOT_UNDERSTOOD}: {error.orig}") from None


def prepare(lines: list[Json]) -> Prepared:
    """The part of an import that takes time: no database. Raises UserError for lines that begin no session."""
    if not lines or lines[0]["type"] != "session":
        raise UserError("a session's lines begin with the session itself")
    key = secrets.token_bytes(32)
    said = [line for line in lines[1:] if line["type"] == "message"]
    made = [line for line in lines[1:] if line["type"] == "turn"]
    check_session(lines[0])
    for line in said:
        check_message(line)
    traces: dict[int, bytes] = {}
    for line in made:
        check_turn(line)
        steps = tuple(map(step_from, line["steps"] or ()))
        if steps:
            schedule: Schedule = tuple(Run(*run) for run in line["schedule"])
            draws = {"seed": line["seed"], "first_step": line["first_step"]}
            traces[line["turn"]] = encode(steps, schedule, len(steps[0].top), **draws)
    return Prepared(
        head=lines[0],
        messages=said,
        turns=made,
        key=key,
        prompts={line["turn"]: PackedPrompt(line["prompt_ids"], key) for line in made},
        traces=traces,
    )


def import_session(connection: sa.Connection, prepared: Prepared) -> int | None:
    """A session with all its messages and turns; None if it is in the log already."""
    head = prepared.head
    known = sa.select(session.c.id).where(session.c.public_id == head["public_id"])
    if connection.execute(known).scalar() is not None:
        return None
    new = sessions.start_session(
        connection,
        title=head["title"],
        kind=head["kind"],
        guild_id=_number(head["guild"]),
        channel_id=_number(head["channel"]),
        discord_id=_number(head["person"]),
    )
    stamps = {
        "public_id": head["public_id"],
        "key": prepared.key,
        "created_us": head["created_us"],
        "ended_us": head["ended_us"],
    }
    connection.execute(session.update().where(session.c.id == new).values(stamps))
    said: dict[int, int] = {}
    for line in prepared.messages:
        said[line["message"]] = _import_message(connection, new, line, said)
    _name_the_nameless(connection, prepared.messages)
    made: dict[int, int] = {}
    for line in prepared.turns:
        made[line["turn"]] = _import_turn(connection, new, line, prepared, said, made)
    for line in prepared.messages:
        if line["turn"] in made:
            where = message.c.id == said[line["message"]]
            connection.execute(message.update().where(where).values(turn_id=made[line["turn"]]))
    newest = max(made.values(), default=0)
    connection.execute(session.update().where(session.c.id == new).values(n_turns=len(made), last_turn_id=newest))
    return new


def _import_message(connection: sa.Connection, session_id: int, line: Json, said: dict[int, int]) -> int:
    values = {
        "session_id": session_id,
        "parent_id": said.get(line["parent"]),
        "role": line["role"],
        "author": line["author"],
        "person_id": sessions.person_id(connection, _number(line["person"])),
        "text": line["text"],
        "reasoning": line["reasoning"],
        "ids": pack_ids(line["ids"]) if "ids" in line else None,
        "discord_message_id": _number(line["discord_message"]),
        "unspaced": sessions.unspaced(line["text"]),
        "erased": line["erased"],
        "created_us": line["created_us"],
    }
    return _inserted(connection, message.insert().values(values))


def _name_the_nameless(connection: sa.Connection, messages: list[Json]) -> None:
    """An export is of long ago: whoever has a name in this log keeps it."""
    names = {_number(line["person"]): line["author"] for line in messages if line["person"] and line["author"]}
    for discord_id, name in names.items():
        nameless = (person.c.discord_id == discord_id) & person.c.name.is_(None)
        connection.execute(person.update().where(nameless).values(name=name))


def _import_turn(  # noqa: PLR0917
    connection: sa.Connection,
    session_id: int,
    line: Json,
    prepared: Prepared,
    said: dict[int, int],
    made: dict[int, int],
) -> int:
    spans = tuple(Span(a, b, kind, role, said.get(origin)) for a, b, kind, role, origin in line["spans"])
    prompt = Prompt(tuple(line["prompt_ids"]), spans, line["dropped_turns"], line["dropped_tokens"], line["budget"])
    asked = line["prompt_message"]  # None: lost from a damaged log
    if asked is not None and asked not in said:
        raise ValueError(f"turn {line['turn']} answers message {asked}, which is not in its session")
    opening = turns.Opening(
        session=session_id,
        prompt_message=None if asked is None else said[asked],
        prompt=prompt,
        packed=prepared.prompts[line["turn"]],
        spans=pack_spans(spans),
        model=ModelIdentity(**line["model"]),
        sampling=models.sampling_from(line["sampling"]),
        seed=line["seed"],
        first_step=line["first_step"],
        requester=_number(line["requester"]),
        parent_turn=made.get(line["parent_turn"]),
        k=line["k"],
    )
    id_ = turns.open_turn(connection, opening)
    kept = prompt.ids[len(prompt.ids) - opening.first_step :] if opening.first_step else ()
    reply = said.get(line["reply_message"])
    if reply is not None:
        packed = pack_ids((*kept, *line["reply_ids"])) if line["reply_ids"] else None
        connection.execute(message.update().where(message.c.id == reply).values(ids=packed))
    if line["turn"] in prepared.traces:
        save_trace(connection, id_, prepared.traces[line["turn"]], len(line["reply_ids"]), line["k"])
    timings = None if line["timings"] is None else Timings(**line["timings"])
    surprisal = math.inf if line["surprisal"] is None else line["surprisal"]
    values: dict[str, Any] = {
        "reply_message_id": reply,
        "status": "interrupted" if line["status"] == "pending" else line["status"],
        "finish": line["finish"],
        "error": line["error"],
        "n_out": len(line["reply_ids"]),
        "n_cached": line["n_cached"],
        "queue_us": timings and timings.queue_us,
        "ttft_us": timings and timings.ttft_us,
        "gen_us": timings and timings.gen_us,
        "perplexity": turns.perplexity(surprisal, len(line["reply_ids"])),
        "verifiable": line["verifiable"] and line["steps"] is not None,
        "app_version": line["app_version"],
        "created_us": line["created_us"],
    }
    connection.execute(turn.update().where(turn.c.id == id_).values(values))
    count_turn(connection, id_, surprisal)
    turns.link_discord(connection, id_, [int(part) for part in line["discord_messages"]])
    _import_marks(connection, id_, line["marks"])
    return id_


def _import_marks(connection: sa.Connection, turn_id: int, values: Json) -> None:
    # Exports of older versions have one rating a turn, and do not say whose, or when.
    alone = {"stars": values["stars"], "author": "", "created_us": values.get("rated_us")}
    for given in values.get("ratings", () if alone["stars"] is None else (alone,)):
        marking.rate(connection, turn_id, given["stars"], author=given["author"], at_us=given["created_us"])
    tags = values["tags"]
    for name, author, tagged_us in zip_longest(tags, values.get("tagged_by", ()), values.get("tagged_us", ())):
        marking.add_tag(connection, turn_id, name, author=author or "", at_us=tagged_us)
    for note in values["notes"]:
        fields = {name: note[name] for name in ("first", "last", "author", "created_us")}
        connection.execute(annotation.insert().values(turn_id=turn_id, note=note["text"], **fields))
    for thumb in values["thumbs"]:
        if thumb["person"] is not None:
            marking.thumb(
                connection, turn_id, int(thumb["person"]), thumb["value"], thumb["note"], thumb.get("created_us")
            )


def _number(value: str | None) -> int | None:
    return None if value is None else int(value)


def _inserted(connection: sa.Connection, statement: sa.Insert) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def check_header(line: Json) -> None:
    if line.get("type") != "log":
        raise UserError("this is not a log: its first line should say so; export one with `glasshead log export`")
    if line.get("format") != FORMAT:
        raise UserError(f"this log is of format {line.get('format')}: this program reads {FORMAT}")
