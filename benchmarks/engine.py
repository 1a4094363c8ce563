"""The engine beside its peers: same file, same threads, same minutes. ``python -m benchmarks.engine``.

Rounds alternate between the systems, so that a busy minute hits all of them; what is reported are medians of the
rounds' ratios, where a row does not say that it is of one run. All of it has two cores: else there would be no
squeeze. Writes ``benchmarks/results/engine.md`` and ``engine.svg``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasshead.predict import library

from . import ENVIRONMENT
from .peers import SYSTEMS

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
DEFAULT_MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

BARE = ("bare", "bare, unified", "bare, no flash")
"""The same loop in our cache layout, and in the others."""


class Peer:
    """A system in a process of its own, with the environment the benchmark was started with."""

    def __init__(self, name: str, model: Path, *server: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", name, str(model), *map(str, server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        self._answer()

    def ask(self, workload: str, **settings: Any) -> Any:
        """Run a workload and return what it measured."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"workload": workload, **settings}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end what it has started; one that does not end by itself is ended."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(("{", '"', "[")) or line[:1].isdigit():
                return json.loads(line)
        raise RuntimeError("a peer died: run `python -m benchmarks.peers` by hand to see why")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    measured: str
    value: float
    target: str
    reached: bool
    detail: str
    meaning: str


def at_least(target: float) -> tuple[str, Callable[[float], bool]]:
    return f"≥ {target:g}", lambda value: value >= target


def at_most(target: float) -> tuple[str, Callable[[float], bool]]:
    return f"≤ {target:g}", lambda value: value <= target


def row(measured: str, value: float, target: tuple[str, Callable[[float], bool]], detail: str, meaning: str) -> Row:
    return Row(measured, value, target[0], target[1](value), detail, meaning)


def ratios(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def fastest(speeds: dict[str, list[float]]) -> str:
    """The bare loop that is fastest beside us, over all rounds: of each round it would be whoever was lucky."""
    return min(BARE, key=lambda name: ratios(speeds["glasshead"], speeds[name]))


@contextmanager
def busy_neighbours(n: int) -> Iterator[None]:
    """``n`` processes that want a core each."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def speed(peers: dict[str, Peer], names: list[str], n: int, tokens: int, rounds: int) -> dict[str, list[float]]:
    """Tokens a second of ``n`` replies together, by system and round."""
    out: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            out[name].append(peers[name].ask("together", n=n, tokens=tokens, prompt=24)["tok_s"])
    return out


def through_the_chat(peers: dict[str, Peer], tokens: int, rounds: int) -> tuple[list[float], list[float]]:
    """Tokens a second of one reply with all that is around it, and of a bare loop at the same positions."""
    chat, bare = [], []
    for _ in range(rounds):
        answer = peers["glasshead, logged"].ask("together", n=1, tokens=tokens, prompt=24)
        chat.append(answer["tok_s"])
        bare.append(peers["bare"].ask("together", n=1, tokens=tokens, prompt=answer["prompt"])["tok_s"])
    return chat, bare


def measure(
    peers: dict[str, Peer], model: Path, rounds: int, turns: int, say: Callable[[str], None]
) -> tuple[list[Row], dict]:
    rows: list[Row] = []
    curve: dict[str, dict[int, float]] = {"glasshead": {}, "bare": {}, "server": {}}

    say("one reply")
    one = speed(peers, ["glasshead", *BARE, "llama", "server"], 1, 192, rounds)
    chat = through_the_chat(peers, 192, rounds)
    mid = {name: statistics.median(values) for name, values in one.items()}
    best = fastest(one)
    rows.append(
        row(
            "one reply, top-10 captured, against a bare decode loop",
            ratios(one["glasshead"], one["bare"]),
            at_least(0.95),
            f"{mid['glasshead']:.0f} and {mid['bare']:.0f} tok/s",
            "recording every prediction costs nothing one can feel",
        )
    )
    rows.append(
        row(
            "the same through the chat, streamed as text and logged to SQLite",
            ratios(*chat),
            at_least(0.95),
            f"{statistics.median(chat[0]):.0f} and {statistics.median(chat[1]):.0f} tok/s after as long a prompt",
            "and so does keeping it",
        )
    )
    rows.append(
        row(
            "one reply, against llama-cpp-python's Llama with logprobs",
            ratios(one["glasshead"], one["llama"]),
            at_least(4),
            f"{mid['llama']:.0f} tok/s",
            "what a bot built on the usual class would give",
        )
    )
    rows.append(
        row(
            "decode against the fastest layout",
            ratios(one["glasshead"], one[best]),
            at_least(0.95),
            f"{mid[best]:.0f} tok/s",
            "the price of bits that can be proven",
        )
    )
    from .widened import widen  # what it needs, only `make bench` installs

    say("one reply, 262 thousand tokens to choose from")
    with tempfile.TemporaryDirectory() as folder:
        wide = widen(model, Path(folder) / "wide.gguf")
        broad = {f"{name}, wide": Peer(name, wide) for name in ("glasshead", "bare")}
        wide_speeds = speed(broad, list(broad), 1, 192, rounds)
        for peer in broad.values():
            peer.close()
    mine, other = wide_speeds.values()
    rows.append(
        row(
            "one reply, top-10 captured, 262,144 tokens in the vocabulary, against a bare loop",
            ratios(mine, other),
            at_least(0.85),
            f"{statistics.median(mine):.0f} and {statistics.median(other):.0f} tok/s",
            "this model, its embeddings repeated: what a large vocabulary adds",
        )
    )
    for n in (1, 2, 4, 8, 16):
        say(f"{n} together")
        if n != 8:
            many = speed(peers, ["glasshead", "bare", "server"], n, 48, rounds)
        else:  # a few seconds each, and it is these that are judged
            many = eight = speed(peers, ["glasshead", *BARE, "server"], n, 48, 3 * rounds)
        for name in curve:
            curve[name][n] = statistics.median(many[name])
    eight["the fastest layout"] = eight[fastest(eight)]
    for name, target, meaning in (
        ("bare", 0.95, "eight people at once share all the machine has"),
        ("the fastest layout", 0.95, "the price of bits that can be proven"),
        ("server", 1.1, "more for everybody than llama.cpp's own server"),
    ):
        detail = f"{statistics.median(eight['glasshead']):.0f} and {statistics.median(eight[name]):.0f} tok/s"
        value = ratios(eight["glasshead"], eight[name])
        rows.append(row(f"8 replies together, against {name}", value, at_least(target), detail, meaning))

    say("prefill")
    prefills: dict[str, list[float]] = {name: [] for name in ("glasshead", *BARE)}
    for number in range(rounds):
        for name, speeds in prefills.items():
            speeds.append(peers[name].ask("prefill", n=1500, seed=5000 + number))
    best = fastest(prefills)
    rows.append(
        row(
            "prefill of 1,500 tokens, against the fastest layout",
            ratios(prefills["glasshead"], prefills[best]),
            at_least(0.8),
            f"{statistics.median(prefills['glasshead']):.0f} and {statistics.median(prefills[best]):.0f} tok/s",
            "the price of bits that can be proven",
        )
    )

    say("channels")
    asked = {"channels": 8, "turns": turns, "typed": 30, "tokens": 24}
    talks: dict[str, list[dict[str, float]]] = {"glasshead": [], "server": []}
    for number in range(rounds):
        for name, told in talks.items():
            told.append(peers[name].ask("channels", **asked, seed=100_000 * number))
    ours, theirs = (
        {key: statistics.median(each[key] for each in told) for key in told[0]} for told in talks.values()
    )
    rows += [
        row(
            f"8 channels × {turns} turns, full resend: prompt tokens computed ÷ new to the conversation",
            ours["computed"] / ours["new"],
            at_most(1.05),
            f"{ours['computed']:.0f} of {ours['given']:.0f} given ({100 * ours['computed'] / ours['given']:.1f} %)",
            "a growing conversation costs only what is new",
        ),
        row(
            "prompt tokens computed, against the server",
            ours["computed"] / theirs["computed"],
            at_most(1),
            f"{ours['computed']:.0f} and {theirs['computed']:.0f}",
            "",
        ),
    ]
    for name in ("median", "p95"):
        mine, other = ours[f"ttft_{name}"], theirs[f"ttft_{name}"]
        rows.append(
            row(
                f"TTFT of those turns, {name}, against the server",
                ratios(*([each[f"ttft_{name}"] for each in told] for told in talks.values())),
                at_most(0.9),
                f"{mine:.2f} and {other:.2f} s",
                "how long one waits for the first word",
            )
        )
    say("restart")
    restart = peers["glasshead"].ask("restart", n=2000)
    rows.append(
        row(
            "TTFT of a 2,000-token conversation after a restart ÷ cold prefill (one run)",
            restart["warm"] / restart["cold"],
            at_most(0.1),
            f"{restart['warm']:.2f} and {restart['cold']:.2f} s",
            "a restart forgets nothing",
        )
    )
    say("a squeeze")
    names = ["glasshead", "bare", "server"]
    free = speed(peers, names, 1, 48, rounds)
    with busy_neighbours(2):
        squeezed = speed(peers, names, 1, 48, rounds)
    mid = {name: statistics.median(values) for name, values in squeezed.items()}
    rows += [
        row(
            "one reply beside two busy processes ÷ alone",
            ratios(squeezed["glasshead"], free["glasshead"]),
            at_least(0.3),
            f"{mid['glasshead']:.1f} tok/s; bare {mid['bare']:.2f}",
            "a busy neighbour slows the bot, and does not stop it",
        ),
        row(
            "the same squeeze, against the server",
            ratios(squeezed["glasshead"], squeezed["server"]),
            at_least(10),
            f"server {mid['server']:.2f} tok/s",
            "",
        ),
    ]
    say("gaps")
    gaps = peers["glasshead"].ask("gaps", replies=4, newcomers=2, length=3000)
    say("proofs")
    proof = peers["glasshead"].ask("proof", replies=20, tokens=24, longest=200)
    rows += [
        row(
            "longest gap in 4 running replies while newcomers of 3,000 tokens are read, ms (one run)",
            1e3 * gaps["worst"],
            at_most(250),
            f"median {1e3 * gaps['median']:.0f} ms",
            "nobody's reply stands still for another's question",
        ),
        row(
            "rows bitwise in replay, levels A and B, of 20 replies side by side, every fifth broken off (one run)",
            (proof["A"] + proof["B"]) / proof["rows"],
            at_least(1),
            f"A {proof['A']}, B {proof['B']} (every fourth) of {proof['rows']}",
            "the shortcuts change nothing",
        ),
    ]
    say("memory and the event loop")
    block = peers["glasshead"].ask("loop_block", n=8, tokens=48)
    peers["glasshead, fresh"] = Peer("glasshead", model)  # the other has held several engines
    memory = peers["glasshead, fresh"].ask("scoring_memory", n=2000)["bytes"] / 1e6
    rows += [
        row(
            "longest block of the event loop while 8 replies run, beyond an idle loop's, ms (one run)",
            1e3 * max(0.0, block["busy"] - block["idle"]),
            at_most(50),
            f"{1e3 * block['busy']:.1f} and {1e3 * block['idle']:.1f} ms",
            "Discord's heartbeat is never late",
        ),
        row(
            "resident memory above weights and KV, scoring 2,000 tokens included, MB (one run)",
            memory,
            at_most(200),
            "peak of the whole process, Python included",
            "fits beside other things",
        ),
    ]
    return rows, curve


def table(rows: list[Row], model: Path, rounds: int, loads: tuple[float, float]) -> str:
    """Markdown."""
    lines = [
        "# The engine beside its peers",
        "",
        f"{model.name}, {library.cpu_name()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} processors, "
        f"2 threads; medians of {rounds} alternating rounds, where no row says “one run”. "
        "Load average before and after: "
        f"{loads[0]:.1f}, {loads[1]:.1f}"
        + (" — **others used the machine: ratios may be theirs**." if loads[0] > 0.7 else "."),
        "",
        "| measured | value | to reach | | detail | what it means |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        reached = "yes" if r.reached else "**no**"
        lines.append(f"| {r.measured} | {r.value:.2f} | {r.target} | {reached} | {r.detail} | {r.meaning} |")
    return "\n".join(lines) + "\n"


def chart(curve: dict[str, dict[int, float]]) -> str:
    """SVG: tokens a second over conversations at once."""
    top = max(value for line in curve.values() for value in line.values()) * 1.1
    # Okabe and Ito's colours, and a dash of its own for each line, for those who see no colours.
    styles = {"glasshead": ("#0072B2", ""), "bare": ("#555555", "6 4"), "server": ("#D55E00", "2 3")}
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" font-family="sans-serif" font-size="13">',
        '<rect width="640" height="360" fill="white"/>',
        '<text x="50" y="24" font-size="15">Tokens a second, all conversations together</text>',
    ]

    def x(i: int) -> float:
        return 60 + i * 110

    def y(value: float) -> float:
        return 320 - 270 * value / top

    ticks = range(0, int(top) + 1, max(1, int(top / 5) // 10 * 10))
    out += [f'<path d="M50 {y(tick):.1f}H510" stroke="#ddd"/>' for tick in ticks]
    out += [f'<text x="15" y="{y(tick) + 4:.1f}">{tick}</text>' for tick in ticks]
    for name, line in curve.items():
        colour, dash = styles[name]
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(line.values()))
        style = f'fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
        out.append(f'<polyline points="{points}" {style}/>')
        last = list(line.values())[-1]
        out.append(f'<text x="{x(len(line) - 1) + 8:.1f}" y="{y(last) + 4:.1f}" fill="{colour}">{name}</text>')
    out += [f'<text x="{x(i) - 4:.1f}" y="342">{n}</text>' for i, n in enumerate(curve["glasshead"])]
    return "\n".join([*out, "</svg>"]) + "\n"


def two_cores() -> set[int]:
    """Two processors this process may use, of different cores if there are such."""
    cores: dict[str, int] = {}
    usable = sorted(os.sched_getaffinity(0))
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    return set(list(cores.values())[:2] if len(cores) > 1 else usable[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine beside its peers.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument(
        "--llama-server", type=Path, help="measure this program, not the wheel with the same server"
    )
    settings = parser.parse_args()
    os.sched_setaffinity(0, two_cores())
    before = os.getloadavg()[0]
    built = [settings.llama_server] if settings.llama_server else []
    peers = {name: Peer(name, settings.model, *built) for name in SYSTEMS}
    try:
        rows, curve = measure(
            peers, settings.model, settings.rounds, settings.turns, lambda what: print(f"… {what}", flush=True)
        )
    finally:
        for peer in peers.values():
            peer.close()
    text = table(rows, settings.model, settings.rounds, (before, os.getloadavg()[0]))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engine.md").write_text(text)
    (RESULTS / "engine.svg").write_text(chart(curve))
    print(text)


if __name__ == "__main__":
    main()
