"""`glasshead log`: find, read, mark, export and erase what was logged."""

from typing import ClassVar

import typer

from .lazy import Lazy, Places


class Commands(Lazy):
    """What stands below `glasshead log`."""

    places: ClassVar[Places] = {
        "list": ("log_read:list_", "Sessions, the most recently used first."),
        "show": ("log_read:show", "A session: who said what, with the turns that can be explained."),
        "search": (
            "log_read:search",
            "Find messages and turns: `glasshead log search 'almost yes model:smollm2 perplexity:>20'`.",
        ),
        "tail": ("log_read:tail", "The newest turns, and each new one as it ends. Ctrl-C ends it."),
        "explain": (
            "explain:explain",
            "Open a logged reply: each token, what else it might have been, and why it fell so.",
        ),
        "compare": (
            "log_marks:compare",
            "Two replies side by side: where they part, and how far their predictions are from each other.",
        ),
        "tag": (
            "log_marks:tag",
            "Tag a turn: `glasshead log tag 12 funny`, and back: `glasshead log tag 12 -- -funny`.",
        ),
        "note": ("log_marks:note", "Write a note on a turn, or on some tokens of its reply."),
        "rate": ("log_marks:rate", "Rate a reply, 1 to 5: each author once, the last time counts."),
        "stats": (
            "log_marks:stats",
            "Turns, tokens, speed, perplexity, ends and ratings: by day, model, server or user.",
        ),
        "export": (
            "log_files:export_",
            "Write out what a search finds: sessions as jsonl, markdown or html, turns as openai, csv or parquet.",
        ),
        "import": (
            "log_files:import_",
            "Take in an export. Sessions that the log has already are left as they are, "
            "those not understood are named.",
        ),
        "erase": (
            "log_files:erase",
            "Erase for good: no byte of it stays in the log's files. "
            "Backups you keep elsewhere are yours to erase.",
        ),
        "backup": ("log_files:backup", "Copy the log as it is now, in use or not, and verify the copy."),
        "restore": (
            "log_files:restore",
            "Put a backup in place of the log. The log that was there is kept, and erasures since are made again.",
        ),
        "check": (
            "log_files:check",
            "Read the whole log and name all that is damaged, with how to mend it. Exit code 1 if there is any.",
        ),
    }


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def log() -> None:
    """Find, read, mark, export and erase what was logged."""
