"""An independent check of `glasshead explain TURN --json`: nothing of Glasshead is imported here.

    python tests/oracle.py MODEL.gguf TURN.json …

For each turn the model is given `prompt_ids` and the reply along `schedule`, with llama.cpp's own calls. Every
number of every step is then computed again from the row of logits by its definition in docs/json.md and
docs/sampling.md: slowly, in f64, over the whole vocabulary. One JSON line a turn: how many steps agree, the largest
differences, and what does not agree.
"""

import ctypes
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import xxhash

TOLERANCE = 1e-3
MASS_TOLERANCE = 3e-4
"""At the border of top_p, where the order of summing decides."""
COMPANY = {"one": 0, "split": 0, "few": 1, "block": 3, "wide": 7, "tail": 8}
"""Rows of other sequences beside the last one that give it this kernel class."""
CHUNKS = {"some": (8, 60), "tile": (64, 256)}
"""The smallest and the largest prefill chunk of a class, in rows."""


def rows(model: Any, turn: dict[str, Any]) -> Iterator[np.ndarray]:
    """The row that predicts each step, each position computed once, in its logged class."""
    ids = turn["prompt_ids"] + [step["id"] for step in turn["steps"]]
    classes = [(run["rows"], run.get("threads", 1)) for run in turn["schedule"] for _ in range(run["count"])]
    streams = 1 + max(COMPANY.get(name, 0) for name, _ in classes)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = streams * ((len(ids) + 64) // 256 + 1) * 256
    params.n_seq_max = streams
    params.n_threads = params.n_threads_batch = 1
    params.flash_attn_type = 1
    params.kv_unified = False
    context = llama_cpp.llama_init_from_model(model, params)
    memory = llama_cpp.llama_get_memory(context)
    batch = llama_cpp.llama_batch_init(256, 0, 1)
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    own = streams - 1
    first = len(turn["prompt_ids"]) - 1

    def decode(places: list[tuple[int, int, int]], flagged: range) -> None:
        for i, (token, position, stream) in enumerate(places):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = stream, position in flagged or stream != own
        batch.n_tokens = len(places)
        assert llama_cpp.llama_decode(context, batch) == 0

    def row(i: int) -> np.ndarray:
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (n_vocab,)).copy()

    at = 0
    for (name, threads), run in groupby(classes[: len(ids) - 1]):
        end = at + len(list(run))
        llama_cpp.llama_set_n_threads(context, threads, threads)
        if name in CHUNKS:
            least, most = CHUNKS[name]
            start = at
            while start < end:
                stop = end if end - start <= most else start + most - least  # no rest too small to be a chunk
                filled = start + max(least, -(-(stop - start) // 4) * 4)  # whole blocks of four
                decode([(ids[i] if i < stop else ids[0], i, own) for i in range(start, filled)], range(first, stop))
                for i in range(max(start, first), stop):
                    yield row(i - start)
                assert filled == stop or llama_cpp.llama_memory_seq_rm(memory, own, stop, -1)
                start = stop
        else:
            beside = range(own - COMPANY[name], own)
            for position in range(at, end):
                decode(
                    [*((ids[0], 0, stream) for stream in beside), (ids[position], position, own)], range(first, end)
                )
                if position >= first:
                    yield row(len(beside))
                for stream in beside:
                    llama_cpp.llama_memory_seq_rm(memory, stream, -1, -1)
        at = end
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)


def u(seed: int, t: int) -> float:
    """Philox4x64-10, key (seed, 0), counter (t, 0, 0, 0): the upper 32 bits of the first word."""
    return int(np.random.Philox(key=seed, counter=(t - 1) % 2**256).random_raw() >> np.uint64(32)) / 2**32


class Judge:
    """Collects what of one turn does not agree."""

    def __init__(self, turn: dict[str, Any]) -> None:
        self.turn = turn
        self.worst: dict[str, float] = {}
        self.wrong: list[str] = []
        self.bitwise = 0

    def near(self, where: str, what: str, stated: float | None, computed: float) -> None:
        """Both None-or--inf, or within the tolerance."""
        if stated is None or not np.isfinite(computed):
            if not (stated is None and computed == -np.inf):
                self.wrong.append(f"{where}: {what} is {stated}, computed {computed}")
            return
        self.worst[what] = max(self.worst.get(what, 0.0), abs(stated - computed))
        if abs(stated - computed) > TOLERANCE:
            self.wrong.append(f"{where}: {what} is {stated}, computed {computed}")

    def true(self, where: str, what: str, holds: bool) -> None:
        if not holds:
            self.wrong.append(f"{where}: {what}")

    def step(self, index: int, row: np.ndarray) -> None:
        turn, step, where = self.turn, self.turn["steps"][index], f"step {index}"
        self.bitwise += step["row_hash"] == f"{xxhash.xxh3_64_intdigest(row.astype('<f4').tobytes()):016x}"
        logits = row.astype(np.float64)
        logprobs = logits - log_sum_exp(logits)
        chosen = step["id"]
        self.near(where, "log_normaliser", step["log_normaliser"], log_sum_exp(logits))
        self.near(where, "logprob", step["logprob"], logprobs[chosen])
        self.near(where, "entropy", step["entropy"], -float(np.sum(np.exp(logprobs) * logprobs)))
        best = int((logprobs > logprobs[chosen] + TOLERANCE).sum()) + 1
        least = int((logprobs >= logprobs[chosen] - TOLERANCE).sum())
        self.true(where, f"rank {step['rank']} is not from {best} to {least}", best <= step["rank"] <= least)
        self.top(where, step, logprobs)
        history = turn["prompt_ids"] + [earlier["id"] for earlier in turn["steps"][:index]]
        working, removed = self.stages(where, step, logits, history)
        self.removals(where, step, removed)
        self.choice(where, step, working, u(turn["seed"], turn["first_step"] + index))

    def top(self, where: str, step: dict[str, Any], logprobs: np.ndarray) -> None:
        listed = [candidate["id"] for candidate in step["top"]]
        self.true(where, f"{len(listed)} candidates", len(set(listed)) == len(listed) == self.turn["k"])
        for candidate in step["top"]:
            self.near(where, "logprob of a candidate", candidate["logprob"], logprobs[candidate["id"]])
        others = np.delete(logprobs, listed)
        self.true(where, "a likelier token is not listed", others.max() <= logprobs[listed].min() + TOLERANCE)
        self.true(where, "the candidates are not in order", np.diff(logprobs[listed]).max(initial=0) <= TOLERANCE)

    def stages(
        self, where: str, step: dict[str, Any], logits: np.ndarray, history: list[int]
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Run every stage over the whole vocabulary; -inf is what is removed."""
        sampling = self.turn["sampling"]
        working = logits.copy()
        removed: dict[int, str] = {}
        stated = {stage["name"]: stage for stage in step["stages"]}
        acted = []
        for name in sampling["stages"]:
            if not ACTS[name](sampling, history):
                continue
            acted.append(name)
            limit = stated[name]["survivors"] if name == "top_p" and name in stated else None
            before, working = working, RUN[name](working.copy(), sampling, history)
            if limit is not None and limit != np.isfinite(working).sum():
                working = self.other_nucleus(where, before, working, limit)
            for token in np.flatnonzero(np.isfinite(before) & ~np.isfinite(working)):
                removed[int(token)] = name
            if name in stated:
                self.near(where, f"normaliser after {name}", stated[name]["log_normaliser"], log_sum_exp(working))
                survivors = int(np.isfinite(working).sum())
                self.true(
                    where,
                    f"{stated[name]['survivors']} survive {name}, computed {survivors}",
                    stated[name]["survivors"] == survivors,
                )
        self.true(where, f"stages {list(stated)}, computed {acted}", list(stated) == acted)
        return working, removed

    def other_nucleus(self, where: str, before: np.ndarray, after: np.ndarray, limit: int) -> np.ndarray:
        """The record kept another number at top_p: right only if the mass there is at the threshold."""
        ordered = order(before)
        mass = np.cumsum(softmax(before)[ordered])
        at = mass[min(limit, int(np.isfinite(after).sum())) - 1]
        self.true(where, f"top_p kept {limit}", abs(at - self.turn["sampling"]["top_p"]) <= MASS_TOLERANCE)
        kept = np.zeros(before.size, bool)
        kept[ordered[:limit]] = True
        return keep(before, kept)

    def removals(self, where: str, step: dict[str, Any], removed: dict[int, str]) -> None:
        for candidate in step["top"]:
            self.true(
                where,
                f"candidate {candidate['id']} removed by {candidate['removed_by']}",
                candidate["removed_by"] == removed.get(candidate["id"]),
            )

    def choice(self, where: str, step: dict[str, Any], working: np.ndarray, drawn: float) -> None:
        """The survivors side by side on [0, 1) by probability, then id: where does the draw fall?"""
        final = softmax(working)
        self.true(where, f"u is {step['u']}, drawn {drawn}", step["u"] == drawn)
        self.near(where, "p_final", step["p_final"], final[step["id"]])
        for candidate in step["top"]:
            self.near(where, "p_final of a candidate", candidate["p_final"], final[candidate["id"]])
        ordered = order(working)
        ends = np.cumsum(final[ordered])
        place = int(np.flatnonzero(ordered == step["id"])[0])
        low, high = step["interval"]
        self.near(where, "interval", low, ends[place] - final[step["id"]])
        self.near(where, "interval", high, ends[place])
        self.true(where, f"{drawn} is not in [{low}, {high})", low <= drawn < high)
        redrawn = int(ordered[np.searchsorted(ends, drawn, side="right")])
        at_border = min(abs(drawn - ends[place]), abs(drawn - ends[place] + final[step["id"]])) <= TOLERANCE
        self.true(where, f"chose {step['id']}, the draw says {redrawn}", redrawn == step["id"] or at_border)


def log_sum_exp(values: np.ndarray) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))


def softmax(working: np.ndarray) -> np.ndarray:
    return np.exp(working - log_sum_exp(working))


def order(working: np.ndarray) -> np.ndarray:
    """By logit, then id."""
    return np.lexsort((np.arange(working.size), -working))


def keep(working: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, working, -np.inf)


def window(sampling: dict[str, Any], history: list[int]) -> Counter[int]:
    size = sampling["penalty_window"]
    return Counter(history if size == -1 else history[max(0, len(history) - size) :])


def bias(working: np.ndarray, sampling: dict[str, Any], _: list[int]) -> np.ndarray:
    for token, amount in sampling["logit_bias"]:
        working[token] += -np.inf if amount is None else amount
    return working


def penalise(working: np.ndarray, sampling: dict[str, Any], history: list[int]) -> np.ndarray:
    for token, count in window(sampling, history).items():
        value = working[token]
        factor = sampling["repetition_penalty"]
        value = value * factor if value <= 0 else value / factor
        working[token] = value - count * sampling["frequency_penalty"] - sampling["presence_penalty"]
    return working


def top_k(working: np.ndarray, sampling: dict[str, Any], _: list[int]) -> np.ndarray:
    mask = np.zeros(working.size, bool)
    mask[order(working)[: sampling["top_k"]]] = True
    return keep(working, mask)


def top_p(working: np.ndarray, sampling: dict[str, Any], _: list[int]) -> np.ndarray:
    ordered = order(working)
    mass = np.cumsum(softmax(working)[ordered])
    mask = np.zeros(working.size, bool)
    mask[ordered[: int((mass < sampling["top_p"]).sum()) + 1]] = True
    return keep(working, mask)


def min_p(working: np.ndarray, sampling: dict[str, Any], _: list[int]) -> np.ndarray:
    return keep(working, working >= working.max() + np.log(sampling["min_p"]))


def temperature(working: np.ndarray, sampling: dict[str, Any], _: list[int]) -> np.ndarray:
    if sampling["temperature"] == 0:
        return keep(working, np.arange(working.size) == order(working)[0])
    return working / sampling["temperature"]


RUN = {
    "logit_bias": bias,
    "penalties": penalise,
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
    "temperature": temperature,
}
ACTS: dict[str, Any] = {
    "logit_bias": lambda s, _: bool(s["logit_bias"]),
    "penalties": lambda s, history: (
        bool(window(s, history))
        and (s["repetition_penalty"], s["presence_penalty"], s["frequency_penalty"]) != (1, 0, 0)
    ),
    "top_k": lambda s, _: s["top_k"] != 0,
    "top_p": lambda s, _: s["top_p"] != 1,
    "min_p": lambda s, _: s["min_p"] != 0,
    "temperature": lambda s, _: s["temperature"] != 1,
}


@llama_cpp.llama_log_callback
def silent(level: int, text: bytes, data: object) -> None:
    """llama.cpp is talkative when it loads a model."""


def main() -> None:
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), llama_cpp.llama_model_default_params())
    for path in sys.argv[2:]:
        turn = json.loads(Path(path).read_text(encoding="utf-8"))
        judge = Judge(turn)
        made = 0
        for index, row in enumerate(rows(model, turn)):
            judge.step(index, row)
            made += 1
        judge.true("turn", f"{len(turn['steps'])} steps, {made} rows", made == len(turn["steps"]) > 0)
        report = {"turn": turn["turn"], "steps": made, "bitwise": judge.bitwise}
        print(json.dumps(report | {"worst": judge.worst, "wrong": judge.wrong}))


if __name__ == "__main__":
    main()
