"""The governor against simulated machines: what each thread count costs, alone and in a squeeze."""

import math
import os
import time

import pytest
from glasshead import wiring
from glasshead.config import ModelSection, Settings
from glasshead.explain.proof import threads_here
from glasshead.predict import cgroup
from glasshead.predict.governor import Governor, available_cores, idle_seconds


class Machine:
    """Durations of a decode step by thread count; ``run`` lets the governor work on it."""

    def __init__(self, most: int) -> None:
        self.now = self.idle = 0.0
        self.free = lambda threads: most - threads
        """Cores that are idle while so many threads of ours run."""
        self.governor = Governor(most, clock=lambda: self.now, idle=lambda: self.idle)

    def run(self, costs, seconds: float, key=("decode", 1)) -> float:
        """Steps a second over so many seconds."""
        end, steps = self.now + seconds, 0
        while self.now < end:
            took = costs(self.governor.threads)
            self.now += took
            self.idle += took * self.free(self.governor.threads)
            steps += 1
            self.governor.observe(key, took)
        return steps / seconds


def alone(threads: int) -> float:
    return 0.020 / threads


def squeezed(threads: int) -> float:
    return 0.025 if threads == 1 else 0.3


def test_alone_all_threads_run_and_trials_cost_little():
    machine = Machine(2)
    assert machine.run(alone, 30) > 0.97 * 100
    assert machine.governor.threads == 2


def test_it_says_when_other_threads_than_usual_are_on_trial():
    machine = Machine(2)
    tried = set()
    for _ in range(8):
        tried.add((machine.governor.threads, machine.governor.is_trying))
        machine.run(alone, 0.001)  # a step
    assert tried == {(2, False), (1, True)}


def test_a_squeeze_is_left_soon_and_not_entered_again_for_long():
    machine = Machine(2)
    machine.run(alone, 10)
    machine.run(squeezed, 15)
    assert machine.governor.threads == 1
    assert machine.run(squeezed, 120) > 0.8 * 40


def test_no_trial_of_more_threads_is_felt_while_no_core_is_idle():
    machine = Machine(2)
    machine.run(alone, 10)
    machine.free = lambda threads: 0
    machine.run(squeezed, 40)
    assert machine.run(squeezed, 120) == pytest.approx(1 / squeezed(1), rel=0.001)
    machine.free = lambda threads: 2 - threads
    machine.run(alone, 20)
    assert machine.governor.threads == 2


def test_idle_seconds_grow_with_time_only():
    before, began = idle_seconds(), time.monotonic()
    assert before is None or 0 <= idle_seconds() - before <= 0.1 + os.cpu_count() * (time.monotonic() - began)


def test_threads_come_back_when_the_neighbours_are_gone():
    machine = Machine(2)
    machine.run(squeezed, 20)
    machine.run(alone, 40)
    assert machine.governor.threads == 2
    assert machine.run(alone, 20) > 0.97 * 100


def test_a_moment_of_slowness_is_no_reason_for_fewer_threads():
    machine = Machine(2)
    machine.run(alone, 10)
    for _ in range(3):
        machine.governor.observe(("decode", 1), 0.03)  # three steps, as when something is copied
    for _ in range(20):
        machine.run(alone, 0.001)
    assert machine.governor.threads == 2


def test_threads_come_back_though_every_burst_of_work_begins_with_changing_kinds():
    machine = Machine(2)
    machine.run(alone, 1)
    machine.run(squeezed, 1)
    assert machine.governor.threads == 1
    machine.now += 30
    for replies in range(1, 8):
        machine.run(alone, 0.02, ("decode", replies))
    machine.run(alone, 3, ("decode", 8))
    assert machine.governor.threads == 2


@pytest.mark.parametrize("free", [1, 2, 3, 5, 8])
def test_many_cores_settle_near_what_is_free(free):
    machine = Machine(8)

    def costs(threads: int) -> float:
        return 0.08 / threads if threads <= free else 0.08 / free * 4

    machine.run(costs, 60)
    assert 0.5 * free < machine.governor.threads <= free


def test_work_of_changing_kinds_is_never_compared():
    machine = Machine(2)
    for turn in range(2000):
        rows = 1 + turn % 3
        machine.governor.observe(("decode", rows), rows * alone(machine.governor.threads))
    machine.run(alone, 10)
    assert machine.governor.threads == 2


def test_one_core_is_left_alone():
    machine = Machine(1)
    machine.run(lambda threads: 0.02, 5)
    assert machine.governor.threads == 1


def test_this_machine_has_a_core_to_offer():
    assert available_cores() >= 1


V1 = {"cpu.cfs_quota_us": "100000", "cpu.cfs_period_us": "100000", "memory.limit_in_bytes": "1048576"}
V2 = {"cpu.max": "100000 100000", "memory.max": "1048576"}


@pytest.mark.parametrize("files", [V1, V2])
def test_a_container_is_what_it_was_given_and_not_its_machine(files, monkeypatch, tmp_path):
    monkeypatch.setattr(cgroup, "_folders", lambda controller: [tmp_path / "nowhere", tmp_path])
    assert cgroup.memory() == cgroup.cores() == math.inf
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert available_cores() == threads_here() == 1
    assert wiring.memory_for_models(Settings()) == 3 << 18
    assert wiring.memory_for_models(Settings(model=ModelSection(memory_mb=5))) == 5 << 20
