"""`glasshead tour`: eight claims about next-token prediction, tested live on the configured model."""

import asyncio
from contextlib import closing
from typing import Annotated

import typer

from ..config import Settings, load_settings
from ..errors import UserError
from ..explain.certificate import Certificate
from ..explain.proof import prove, threads_here
from ..explain.tour import QUESTION, TOUR, Bench, Finding, report_lines, visit
from ..explain.turn import Turn
from ..wiring import load_model, open_chat
from .options import Config
from .terminal import at_terminal, columns


def tour(
    ask: Annotated[str, typer.Option(help="The question the tour is made with.")] = QUESTION,
    step: Annotated[int | None, typer.Option(help=f"Only this step, 1 to {len(TOUR)}.")] = None,
    config: Config = None,
) -> None:
    """Eight short steps that show next-token prediction on your model.

    Exit code 1 if a claim does not hold, 2 if one could not be run.
    """
    if step is not None and not 1 <= step <= len(TOUR):
        raise UserError(f"the tour has the steps 1 to {len(TOUR)}, not {step}")
    if not ask.strip():
        raise UserError("--ask is empty: the tour needs a question")
    found = asyncio.run(_tour(load_settings(config), ask, [step] if step else range(1, len(TOUR) + 1)))
    raise typer.Exit(1 if any(finding.holds is False for finding in found) else 2 * (not all(f.ran for f in found)))


async def _tour(settings: Settings, question: str, numbers: list[int] | range) -> list[Finding]:
    async with open_chat(settings) as chat:
        speaker = chat.speaker

        async def replay(turn: Turn) -> Certificate:
            return await asyncio.to_thread(_prove, settings, turn)

        bench = Bench(speaker.engine, speaker.renderer, speaker.vocabulary, replay, question)
        found = []
        for number in numbers:
            report = await visit(bench, number)
            print("\n".join(report_lines(report, columns())), flush=True)
            found.append(report.finding)
            if at_terminal() and number != numbers[-1]:
                await asyncio.to_thread(input, "\n[Enter] ")
            print()
        return found


def _prove(settings: Settings, turn: Turn) -> Certificate:
    with closing(load_model(settings)) as model:
        return prove(turn, model, threads=threads_here(settings.engine.threads))
