"""A progress bar on standard error, for whoever waits for a download."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .entry import Report


@contextmanager
def bar(name: str) -> Iterator[Report]:
    """Yields what to report progress to; nothing is drawn before the first report."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as progress:
        task = progress.add_task(name, total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
    if not console.is_terminal and progress.tasks[0].visible:
        console.print(f"{name}: downloaded", markup=False)
