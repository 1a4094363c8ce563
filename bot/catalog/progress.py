"""A progress bar on standard error, for whoever waits for a download."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .entry import Report


@contextmanager
def bar(name: str) -> Iterator[Report]:
    """Yields what to report progress to. Where stderr is no terminal, one line says that something was fetched."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    progress = Progress(TextColumn("{task.description}", markup=False), *columns, console=console)
    task = progress.add_task(name, total=None)

    def report(done: int, total: int | None) -> None:
        if done == 0 and not console.is_terminal:
            console.print(f"fetching {name} …", markup=False)
        if console.is_terminal:
            progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        if console.is_terminal and progress.tasks[0].completed:
            progress.stop()
