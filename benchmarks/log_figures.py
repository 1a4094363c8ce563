"""What the log's benchmarks have in common: a figure beside what it has to reach, a table, a picture."""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """``limit`` is what is to be reached: at most, or at least where ``floor``; None where nothing is asked."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    floor: bool = False
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.floor else self.value <= self.limit

    @property
    def goal(self) -> str:
        return "" if self.limit is None else f"{'≥' if self.floor else '≤'} {self.limit:,g} {self.unit}"

    @property
    def share(self) -> float:
        """Of the goal that is used up: below 1 is reached."""
        assert self.limit is not None
        return (self.limit / self.value if self.floor else self.value / self.limit) if self.value else 0.0


async def timed(work: Callable[[int], Awaitable[object]], repeats: int) -> list[float]:
    """Milliseconds of each call; a first one warms up."""
    await work(0)
    out = []
    for i in range(repeats):
        begun = time.perf_counter()
        await work(i)
        out.append((time.perf_counter() - begun) * 1000)
    return out


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def shown(figure: Figure) -> Figure:
    verdict = {None: "", True: "reached", False: "MISSED"}[figure.reached]
    print(f"{figure.what:<66} {figure.value:>12,.2f} {figure.unit:<9} {figure.goal:<18} {verdict}", flush=True)
    return figure


def table(figures: list[Figure]) -> str:
    lines = ["| | measured | to reach | |", "|---|---:|---:|---|"]
    for f in figures:
        verdict = {None: "", True: "yes", False: "**no**"}[f.reached]
        detail = f" ({f.detail})" if f.detail else ""
        value = (
            f"{f.value:,.0f}"
            if abs(f.value) >= 1000
            else f"{f.value:,.3g}"
            if abs(f.value) < 1
            else f"{f.value:,.1f}"
        )
        lines.append(f"| {f.what}{detail} | {value} {f.unit} | {f.goal} | {verdict} |")
    return "\n".join(lines) + "\n"


ROW, LEFT, WIDTH = 20, 400, 300
LOW, HIGH = 0.001, 4.0
"""Ends of the scale."""


def chart(figures: list[Figure]) -> str:
    """Each figure as a share of its goal, on a logarithmic scale: left of the line is reached."""

    def x(share: float) -> float:
        place = math.log(min(max(share, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
        return LEFT + place * WIDTH

    judged = [f for f in figures if f.limit is not None]
    height = ROW * len(judged) + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 90} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDTH + 90}" height="{height}" fill="#fff"/>',
        f'<text x="{x(1):.0f}" y="14" text-anchor="middle" fill="#444">the goal</text>',
    ]
    for share, name in ((0.001, "1/1000"), (0.01, "1/100"), (0.1, "1/10")):
        out.append(f'<text x="{x(share):.0f}" y="14" text-anchor="middle" fill="#999">{name}</text>')
        out.append(f'<path d="M{x(share):.1f} 20V{height - 18}" stroke="#eee"/>')
    for i, f in enumerate(judged):
        y = 24 + i * ROW
        colour = "#3f5fa8" if f.reached else "#a8352a"
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end" fill="#222">{f.what}</text>')
        out.append(
            f'<rect x="{LEFT}" y="{y + 3}" width="{x(f.share) - LEFT:.1f}" height="{ROW - 6}" fill="{colour}"/>'
        )
        out.append(f'<text x="{x(f.share) + 5:.1f}" y="{y + 13}" fill="#444">{f.value:,.4g} {f.unit}</text>')
    out.append(f'<path d="M{x(1):.1f} 20V{height - 18}" stroke="#222" stroke-dasharray="4 3"/>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
