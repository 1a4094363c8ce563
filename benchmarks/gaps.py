"""Gaps in running replies while long newcomers arrive. ``python -m benchmarks.gaps``.

A number of replies run; one after the other, newcomers with prompts that share nothing are read in between.
Measured where a front end notices: the time between two steps of a running reply, as the event loop gets them.
"""

import argparse
import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from glasshead.predict.sampling import Sampling

ROOT = Path(__file__).parent.parent
DEFAULT_MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
LIMIT_MS = 250


@dataclass
class Gaps:
    """Milliseconds between two steps, of all running replies, and until each newcomer's first."""

    between: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        p50, p95, p99 = np.percentile(self.between, (50, 95, 99))
        return f"| {name} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {max(self.between):.0f} | {len(self.between)} |"


async def run(engine: LocalEngine, gaps: Gaps, seed: int) -> None:
    """One reply after the other, noting each gap, until cancelled."""
    endless = Sampling(temperature=1, top_k=40, max_tokens=10**6, logit_bias=tuple((t, -100.0) for t in (0, 2)))
    while True:
        prompt = [random.Random(seed).randrange(5, 49_000) for _ in range(20)]
        before: float | None = None
        async for _ in engine.generate(prompt, endless, seed):
            now = time.monotonic()
            if before is not None:
                gaps.between.append(1e3 * (now - before))
            before = now


async def measure(model: Path, replies: int, newcomers: int, length: int, threads: int) -> dict[str, Gaps]:
    """Gaps alone, then with newcomers."""
    settings = EngineSettings(
        n_ctx=length + 512, max_running=replies + 1, max_per_user=10**6, threads=threads, cache_bytes=0
    )
    engine = LocalEngine(Model.load(model), settings)
    found = {"alone": Gaps(), f"newcomers of {length:,} tokens": Gaps()}
    gaps = Gaps()
    running = [asyncio.create_task(run(engine, gaps, seed)) for seed in range(replies)]
    await asyncio.sleep(4)  # until the governor has settled
    for name, into in found.items():
        gaps.between = into.between
        if name == "alone":
            await asyncio.sleep(8)
            continue
        for number in range(newcomers):
            prompt = [random.Random(-number).randrange(5, 49_000) for _ in range(length)]
            began = time.monotonic()
            newcomer = engine.generate(prompt, replace(Sampling(), max_tokens=4), number)
            await anext(newcomer)
            into.first.append(time.monotonic() - began)
            await newcomer.aclose()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await engine.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--replies", type=int, default=7)
    parser.add_argument("--newcomers", type=int, default=3)
    parser.add_argument("--length", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    found = asyncio.run(measure(args.model, args.replies, args.newcomers, args.length, args.threads))
    print(f"{args.replies} running replies\n")
    print("| ms between steps | p50 | p95 | p99 | max | steps |\n|---|---|---|---|---|---|")
    for name, gaps in found.items():
        print(gaps.line(name))
    last = list(found.values())[-1]
    print(f"\nfirst token of a newcomer: {np.median(last.first):.1f} s (median of {len(last.first)})")
    over = sum(gap > LIMIT_MS for gap in last.between)
    print(f"gaps over {LIMIT_MS} ms: {over} of {len(last.between)}")


if __name__ == "__main__":
    main()
