"""The log as files: export, import, backup, restore, check; and erasing for good."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO, cast, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..config import load_settings
from ..errors import UserError
from ..explain.visible import neutral
from ..store import Store
from ..store import backup as backups
from ..store.export import Format, export, sessions_found
from ..store.lock import current_owner
from ..store.migrate import HEAD, version
from ..store.missing import Missing
from ..store.new_file import new_text
from ..store.owner import Write, writer
from ..store.search_syntax import Query as Wanted
from ..store.search_syntax import parse
from ..store.transfer import NOT_UNDERSTOOD, check_header
from .log_open import AsJson, Query, caches, reading, writing
from .options import Config
from .printing import print_json


@contextmanager
def _progress(what: str, total: int | None = None) -> Iterator[Any]:
    """A bar on standard error, silent where that is no terminal; call it with how much is done."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, of=total: bar.update(task, completed=done, total=of)


def export_(
    query: Query = None,
    format_: Annotated[
        str, typer.Option("--format", help="jsonl, openai, markdown, html, csv or parquet.")
    ] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new file, else standard output; for html a folder.")
    ] = None,
    traces: Annotated[bool, typer.Option(help="With every token's prediction (jsonl, openai, html).")] = True,
    config: Config = None,
) -> None:
    """Write out what a search finds: sessions as jsonl, markdown or html, turns as openai, csv or parquet."""
    known = (*get_args(Format), "html", "parquet")
    if format_ not in known:
        raise UserError(f"--format is one of {', '.join(known)}, not {format_}")
    wanted = parse(" ".join(query or []))

    missing = Missing()

    async def work(store: Store) -> None:
        with _progress("turns") as done:
            if format_ == "html":
                if output is None:
                    raise UserError("html needs a folder, for a file a session: --output FOLDER")
                _new_folder(output)
                await _write_pages(store, wanted, output, traces, done, missing)
                return
            if format_ == "parquet":
                from ..store.parquet import write_parquet  # noqa: PLC0415 - pyarrow is an extra

                if output is None:
                    raise UserError("parquet needs a file: --output FILE")
                await write_parquet(store, wanted, output, progress=done, missing=missing)
                return
            pieces = export(store, cast(Format, format_), wanted, traces=traces, progress=done, missing=missing)
            if output is None:
                await _write(sys.stdout, pieces)
                return
            with new_text(output) as file:
                await _write(file, pieces)

    reading(config, work)
    if missing:
        print(
            f"glasshead: {load_settings(config).store.path}: the log is damaged, and the export is without what"
            f" cannot be read ({missing.words()}): run `glasshead log check`",
            file=sys.stderr,
        )
        raise typer.Exit(1)


async def _write_pages(  # noqa: PLR0917
    store: Store, query: Wanted, folder: Path, traces: bool, done: Callable[[int], None], missing: Missing
) -> None:
    from ..review.kept import kept_session  # noqa: PLC0415 - with it comes the web page

    written = 0
    async for number in sessions_found(store, query):
        with new_text(folder / f"session-{number}.html") as file:
            await _write(file, kept_session(store, number, traces=traces, missing=missing))
        written += 1
        done(written)


async def _write(file: TextIO, pieces: AsyncGenerator[str]) -> None:
    shown = neutral if file is sys.stdout and file.isatty() else str  # a file has what was said, to the letter
    async with aclosing(pieces):  # on a full disk, say
        async for piece in pieces:
            file.write(shown(piece))


def _new_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made: {error.strerror}") from None


def import_(
    source: Annotated[Path, typer.Argument(help="A jsonl export.")],
    config: Config = None,
) -> None:
    """Take in an export. Sessions that the log has already are left as they are, those not understood are named."""
    if not source.is_file():
        raise UserError(f"there is no file {source}")

    async def work(write: Write) -> tuple[int, int, int]:
        new = known = refused = 0
        with _progress("sessions") as done, source.open(encoding="utf-8-sig") as file:
            for number, kind, lines in _groups(file, source):
                try:
                    if kind == "vocabulary":
                        await write("import_vocabulary", line=lines[0])
                    elif await write("import_session", lines=lines) is None:
                        known += 1
                    else:
                        new += 1
                except UserError as error:
                    if not str(error).startswith(NOT_UNDERSTOOD):
                        raise
                    refused += 1
                    print(neutral(f"{source}, line {number}: {error}"), file=sys.stderr)
                done(new + known)
        return new, known, refused

    new, known, refused = writing(config, work, long=True)
    counts = f"{new} sessions imported" + (f", {known} known already" if known else "")
    print(counts + (f", {refused} not understood" if refused else ""))
    if refused:
        raise typer.Exit(1)


def _groups(file: TextIO, source: Path) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Vocabularies one by one, and each session with its messages and turns; with the number of its first line."""
    session: list[dict[str, Any]] = []
    begins = number = 0
    for number, text in enumerate(_lines(file, source), 1):
        if number > 1 and text.isspace():
            continue
        try:
            line = json.loads(text)
            kind = line["type"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{source}, line {number}: this is no line of an export") from None
        if number == 1:
            check_header(line)
            continue
        if kind == "vocabulary":  # also amid a session: exports were written so
            yield number, "vocabulary", [line]
            continue
        if kind == "session":
            if session:
                yield begins, "session", session
            session = []
        if not session:
            begins = number
        session.append(line)
    if not number:
        raise UserError(f"{source} is empty: export a log with `glasshead log export`")
    if session:
        yield begins, "session", session


def _lines(file: TextIO, source: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise UserError(f"{source} is no text: an export is lines of JSON (unpack it, if it is packed)") from None


def erase(
    person: Annotated[str, typer.Option(help="Everything of this Discord user (an id).")] = "",
    message: Annotated[str, typer.Option(help="One Discord message (an id) and its answers.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Erase for good: no byte of it stays in the log's files. Backups you keep elsewhere are yours to erase."""
    if bool(person) == bool(message):
        raise UserError("say what to erase: --person ID or --message ID")
    id_ = person or message
    if not id_.isdecimal() or len(id_) > 19:
        raise UserError(f"{id_:.40} is not a Discord id: those are numbers")
    if not yes:
        if not (sys.stdin and sys.stdin.isatty()):
            raise UserError("erasing cannot be undone: say --yes")
        typer.confirm(
            f"Erase {'everything of user' if person else 'message'} {id_}? This cannot be undone", abort=True
        )

    async def work(write: Write) -> dict[str, Any]:
        if person:
            return cast(dict[str, Any], await write("erase_person", person=person))
        return cast(dict[str, Any], await write("erase_message", discord_message=message))

    receipt = writing(config, work, long=True)
    if as_json:
        print_json({"format": 1, **receipt})
        return
    print(
        f"erased: {receipt['messages']} messages, {receipt['replies']} replies, {receipt['passages']} quotations, "
        f"{receipt['notes']} notes, {receipt['thumbs']} thumbs in {receipt['sessions']} sessions; "
        f"{receipt['prompts']} other turns held the words and can no longer be verified"
    )


def backup(
    target: Annotated[Path, typer.Argument(help="A new file, or a folder.")],
    config: Config = None,
) -> None:
    """Copy the log as it is now, in use or not, and verify the copy."""
    path = load_settings(config).store.path.absolute()
    made = backups.backup(path, target)
    size = made.stat().st_size
    print(f"{made}: {size / 1e6:.1f} MB, verified")
    if version(path) != HEAD:
        return  # to note it would upgrade the log
    with contextlib.suppress(UserError):  # a log that cannot be written can be backed up all the same
        writing(config, lambda write: write("note_backup", target=str(made.absolute()), size=size))


def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    config: Config = None,
) -> None:
    """Put a backup in place of the log. The log that was there is kept, and erasures since are made again."""
    settings = load_settings(config)
    path = settings.store.path.absolute()
    kept = backups.restore(path, source)

    async def reapply() -> None:
        async with writer(path, caches(settings)):
            pass

    asyncio.run(reapply())
    print(f"{path} restored from {source}" + (f"; what was there is now {kept}" if kept else ""))


def check(
    mend: Annotated[
        bool, typer.Option("--mend", help="Build indexes anew, save what can be read; the bot must not run.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Read the whole log and name all that is damaged, with how to mend it. Exit code 1 if there is any."""
    path = load_settings(config).store.path.absolute()
    mended = backups.Mended()
    if mend:
        mended = backups.mend(path)
        if mended.kept is not None and not as_json:
            print(f"what can be read is in a new file; the damaged one is now {mended.kept}")
            print("\n".join(mended.lost) or "nothing is lost")
    with _progress("turns") as done:
        findings = backups.check(path, done)
    unasked = ""
    if not findings:
        findings, unasked = _search_index_findings(path, config)
    if as_json:
        listed = [{"what": finding.what, "remedy": finding.remedy} for finding in findings]
        receipt = {"kept": mended.kept and str(mended.kept), "lost": list(mended.lost)}
        print_json({"format": 1, "ok": not findings, "findings": listed, **receipt})
    elif not findings:
        print(f"{path}: whole{unasked}")
    for finding in findings if not as_json else []:
        print(f"{finding.what}\n    {finding.remedy}")
    if findings:
        raise typer.Exit(1)


def _search_index_findings(path: Path, config: Path | None) -> tuple[list[backups.Finding], str]:
    """And what is to be said where nobody looked: looking takes a log that we may write."""
    try:
        if current_owner(path) is not None:
            return [], "; its search indexes are checked when no bot runs"
        if version(path) != HEAD:  # to look would upgrade it
            return [], "; it is of an older version, and its search indexes were not checked"
        found = writing(config, lambda write: write("check_search_index"))
    except UserError as error:
        return [], f"; its search indexes were not checked: {error}"
    return [backups.Finding(what, remedy) for what, remedy in found], ""
