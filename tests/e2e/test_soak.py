"""A busy hour, compressed: many people in many channels, faults included. `make soak` shows the report."""

import asyncio
import contextlib
import json
import os
import random
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from discord_double import Channel, Double, Message, NoResponse, Person, walk

SECONDS = float(os.environ.get("GLASSHEAD_SOAK_SECONDS", "600"))
PEOPLE, CHANNELS = 200, 20
HABITS = {"mention": 8, "reply": 6, "direct": 3, "explain": 2, "menu": 2, "stop": 1}
HELD = 0.05
"""Seconds of processor time that one step of the event loop may take. By the clock it is more on a busy machine."""
PAUSE = PEOPLE / 1.2
"""Mean seconds between two doings of one person: a little more than one a second in all."""


def finished(message: Message) -> bool:
    return any(c.get("label") == "Retry" for c in walk(message.components))


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


@dataclass
class Report:
    asked: list[Message] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)


class Crowd:
    """People who talk, reply, explain, stop and retry, each in their own time."""

    def __init__(self, double: Double, report: Report) -> None:
        self.double = double
        self.report = report
        self.channels = [double.channel(f"soak-{i}") for i in range(CHANNELS)]
        self.people = [double.person(f"person{i}") for i in range(PEOPLE)]
        self.random = random.Random(7)

    async def live(self, person: Person, until: float) -> None:
        while True:
            pause = self.random.expovariate(1 / PAUSE)
            if time.monotonic() + pause > until:
                return
            await asyncio.sleep(pause)
            what = self.random.choices(list(HABITS), list(HABITS.values()))[0]
            self.report.did[what] += 1
            try:
                await getattr(self, what)(person, self.random.choice(self.channels))
            except NoResponse:
                self.report.did["no response"] += 1
            except AssertionError:
                self.report.did["nothing there to do it with"] += 1

    async def mention(self, person: Person, channel: Channel) -> None:
        text = f"Tell me about the number {len(self.report.asked)}."
        self.report.asked.append(await person.mention_bot(channel, text))

    async def reply(self, person: Person, channel: Channel) -> None:
        said = [m for m in self.double.said(channel) if finished(m)]
        assert said
        self.report.asked.append(await person.say(channel, "Why is that?", reply_to=self.random.choice(said[-3:])))

    async def direct(self, person: Person, channel: Channel) -> None:
        self.report.asked.append(await person.say(person.dm, "And how are you?"))

    async def explain(self, person: Person, channel: Channel) -> None:
        done = await person.slash("explain", channel)
        self.report.acks.append(done.acked_after or 0.0)

    async def menu(self, person: Person, channel: Channel) -> None:
        said = [m for m in self.double.said(channel) if finished(m)]
        assert said
        done = await person.menu("Explain this reply", said[-1])
        self.report.acks.append(done.acked_after or 0.0)

    async def stop(self, person: Person, channel: Channel) -> None:
        done = await person.slash("stop", channel)
        self.report.acks.append(done.acked_after or 0.0)


def most_edits(double: Double, seconds: float = 5.0) -> int:
    """The most edits that any channel saw in such a time."""
    times: dict[str, list[float]] = defaultdict(list)
    for request in double.requests:
        match = re.match(r"/channels/(\d+)/messages/\d+$", request.path)
        if request.method == "PATCH" and request.status == 200 and match:
            times[match[1]].append(request.at)
    most = 0
    for each in times.values():
        start = 0
        for end, at in enumerate(each):
            while at - each[start] > seconds:
                start += 1
            most = max(most, end - start + 1)
    return most


@pytest.mark.soak
async def test_a_busy_hour(double: Double, launch: Any, tmp_path: Path) -> None:
    report = Report()
    watched = tmp_path / "loop.jsonl"
    settings = {
        "GLASSHEAD_SAMPLING__MAX_TOKENS": "24",
        "GLASSHEAD_ENGINE__STREAMS": "8",
        "GLASSHEAD_ENGINE__KV_MEMORY_MB": "64",  # full long before half way: what grows then is a leak
        "LOOP_WATCH": str(watched),
    }
    bot = await launch("glasshead", "run", **settings)
    crowd = Crowd(double, report)
    begun = time.time()
    end = time.monotonic() + SECONDS
    living = [asyncio.create_task(crowd.live(person, end)) for person in crowd.people]
    while time.monotonic() < end:
        await asyncio.sleep(min(20.0, SECONDS / 10))
        report.memory.append(resident_mb(bot.pid))
        fault = crowd.random.choice(["none", "drop", "429", "502"])
        if fault == "drop":
            await double.gateway.disconnect()
        elif fault == "429":
            double.too_many("PATCH", "/messages/", 0.5, times=3)
        elif fault == "502":
            double.fail("POST", "/messages$", 502, after=True, times=2)
    await asyncio.gather(*living)

    def answers(message: Message) -> list[Message]:
        return [m for m in message.channel.messages.values() if m.reference is message and not m.ephemeral]

    def unanswered() -> list[Message]:
        def answered(message: Message) -> bool:
            return any(finished(m) or m.content.startswith("-# ") for m in answers(message))

        return [message for message in report.asked if not answered(message)]

    with contextlib.suppress(TimeoutError):
        await double.until(lambda: not unanswered(), timeout=120)
    for message in unanswered():
        print(f"unanswered: {message.text!r} in {message.channel.name!r}: {[m.text for m in answers(message)]}")
    twice = [m for m in report.asked if len(answers(m)) > 1]
    half = len(report.memory) // 2
    print(f"{len(report.asked)} asked, {len(twice)} answered twice, did {dict(report.did)}")
    print(f"acknowledged after at most {max(report.acks, default=0):.2f} s")
    print(f"at most {most_edits(double)} edits in 5 s of a channel, {len(double.rejected)} requests refused")
    print(f"memory {report.memory[half]:.0f} MB half way, {report.memory[-1]:.0f} MB at the end; by the way:")
    print("  " + " ".join(f"{megabytes:.0f}" for megabytes in report.memory))
    assert await bot.terminate(60) == 0
    steps = [json.loads(line) for line in watched.read_text().splitlines()]
    steps = [step for step in steps if step[0] > begun]
    held = sorted(steps, key=lambda step: -step[1])
    most = [1000 * max((step[place] for step in steps), default=0) for place in (1, 2)]
    print(f"event loop held at most {most[0]:.0f} ms of processor time, {most[1]:.0f} ms by the clock:")
    for _, processor, clock, what in held[:5]:
        print(f"  {1000 * processor:.0f} ms, {1000 * clock:.0f} by the clock: {what[:200]}")
    assert not unanswered() and not twice and not report.did["no response"]
    assert most_edits(double) <= 5
    assert report.memory[-1] < report.memory[half] * 1.15 + 20
    assert not held or held[0][1] <= HELD
    assert "Traceback" not in bot.output
