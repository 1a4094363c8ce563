"""Rows for people and for pipes: a table on a terminal, tab-separated lines elsewhere. Nothing logged acts here."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..explain.visible import neutral

if TYPE_CHECKING:
    from rich.text import Text

SHORT = 16
"""Columns of a cell that is never cut: a moment, a name."""
HEADING = 8
"""Columns of a heading that are never cut."""
MANY = 8
"""Columns that stand close together."""
SPARKS = "▁▂▃▄▅▆▇█"


def line(text: str, width: int | None = None) -> str:
    """Logged text as one harmless line."""
    flat = neutral(" ".join(text.split()))
    return flat if width is None or len(flat) <= width else flat[: width - 1] + "…"


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """``right`` names the columns of numbers. Cells that are Text keep their style on a terminal."""
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join(line(_plain(cell)) for cell in row))
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe has no use for it
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    lines = [[cell if isinstance(cell, Text) else Text(line(_plain(cell))) for cell in row] for row in rows]
    if not lines:
        print("nothing found")
        return
    least = [
        # What is short stays whole: where there is little room, headings wrap and long texts are cut.
        min(
            max([min(max(map(len, name.split()), default=0), HEADING), *(row[place].cell_len for row in lines)]),
            SHORT,
        )
        for place, name in enumerate(columns)
    ]
    gap = 1 if len(columns) > MANY else 2
    # Where there is no room beside the rest for what is said last, it goes below.
    below = columns[-1] not in set(right) and sum(least) + gap * len(least) > console.width
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    shown = len(columns) - below
    for place, name in enumerate(columns[:shown]):
        table.add_column(
            Text(name, no_wrap=False),
            justify="right" if name in set(right) else "left",
            overflow="ellipsis",
            no_wrap=True,
            min_width=least[place],
        )
    for row in lines:
        table.add_row(*row[:shown])
    if not below:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    drawn = captured.get().splitlines()
    heading = len(drawn) - len(lines)
    print("\n".join(drawn[:heading]))
    for above, row in zip(drawn[heading:], lines, strict=True):
        print(above)
        console.print(Padding(row[-1], (0, 0, 0, 2)), no_wrap=True, overflow="ellipsis")


def _plain(cell: object) -> str:
    return "" if cell is None else str(cell)


def highlighted(pieces: Sequence[str], width: int) -> "Text":
    """A snippet whose every second piece matched."""
    from rich.text import Text  # noqa: PLC0415 - only a search has use for it

    out = Text()
    for i, piece in enumerate(pieces):
        flat = neutral(piece.replace("\n", " ").replace("\t", " "))
        out.append(flat, style="bold reverse" if i % 2 else "")
    out.truncate(width, overflow="ellipsis")
    return out


def sparkline(values: Sequence[float]) -> str:
    """Values as little bars, from nothing to the greatest."""
    top = max(values, default=0)
    return "".join(SPARKS[min(int(v / top * len(SPARKS)), len(SPARKS) - 1)] if top else SPARKS[0] for v in values)
