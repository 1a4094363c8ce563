"""Real turns for the tests: a small model, llama.cpp's own calls, one decode a step."""

import ctypes
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
from glasshead.explain.turn import Trace, Turn
from glasshead.predict import library
from glasshead.predict.draw import draw
from glasshead.predict.engine import Finish, ModelIdentity, Timings
from glasshead.predict.logits import Logits, capture, rank
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.predict.step import Step
from glasshead.store.codec import decode, encode

PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)


def logged(turn: Turn) -> Turn:
    """The turn as the log keeps it: log-probabilities of candidates rounded, the chosen token's not."""
    steps, _, _ = decode(encode(turn.trace.steps, turn.schedule, turn.trace.k))
    return replace(turn, trace=replace(turn.trace, steps=steps))


class Recorder:
    """A model with one sequence: it writes turns, or reads given text as if it had written it."""

    def __init__(self, path: Path, n_ctx: int = 8192) -> None:
        library.start()
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch = n_ctx, 512
        settings.n_threads = settings.n_threads_batch = 1  # two wait for each other on a busy machine
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.name = path.name
        self._written: dict[object, tuple[Turn, list[Logits]]] = {}
        self._read: dict[object, Turn] = {}

    def close(self) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def tokenise(self, text: str | bytes, *, special: bool = False) -> list[int]:
        data = text if isinstance(text, bytes) else text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, len(data) + 8, False, special)
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, 256, 0, True)
        return buffer.raw[:count]

    def prompt(self, question: str) -> Prompt:
        """ChatML, as the default model's template writes it."""
        parts = (
            ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n", True),
            (question, False),
            ("<|im_end|>\n<|im_start|>assistant\n", True),
        )
        ids: list[int] = []
        spans: list[Span] = []
        for text, marker in parts:
            new = self.tokenise(text, special=marker)
            kind, role, message = ("marker", None, None) if marker else ("typed", "user", 7)
            spans.append(Span(len(ids), len(ids) + len(new), kind, role, message))
            ids += new
        return Prompt(tuple(ids), tuple(spans))

    def rows(self, given: Sequence[int], forced: Sequence[int]) -> Iterator[Logits]:
        """The logits that predict each of ``forced`` after ``given`` and the forced ones before it."""
        self._forget()
        tokens = [*given, *forced]
        for start in range(0, len(tokens) - 1, 64):
            chunk = tokens[start : min(start + 64, len(tokens) - 1)]
            wanted = [start + i >= len(given) - 1 for i in range(len(chunk))]
            self._decode(chunk, start, wanted)
            yield from (self._row(i) for i, flag in enumerate(wanted) if flag)

    def write(self, question: str, sampling: Sampling, seed: int, k: int = 10, turn: int = 12) -> Turn:
        """A reply, sampled."""
        return self.write_with_rows(question, sampling, seed, k, turn)[0]

    def write_with_rows(
        self, question: str, sampling: Sampling, seed: int, k: int = 10, turn: int = 12
    ) -> tuple[Turn, list[Logits]]:
        """A reply, and the row of logits each of its tokens was drawn from. The same is written once."""
        asked = question, sampling, seed, k, turn
        if asked not in self._written:
            self._written[asked] = self._write(*asked)
        return self._written[asked]

    def _write(self, question: str, sampling: Sampling, seed: int, k: int, turn: int) -> tuple[Turn, list[Logits]]:
        prompt = self.prompt(question)
        history = list(prompt.ids)
        self._forget()
        for start in range(0, len(history), 64):
            chunk = history[start : start + 64]
            self._decode(chunk, start, [start + i == len(history) - 1 for i in range(len(chunk))])
        steps: list[Step] = []
        rows: list[Logits] = []
        finish: Finish = "length"
        for t in range(sampling.max_tokens):
            row = self._row(-1)
            step = sample(row, sampling, history, draw(seed, t), k)
            steps.append(step)
            rows.append(row)
            if llama_cpp.llama_vocab_is_eog(self.vocab, step.id):
                finish = "stop"
                break
            history.append(step.id)
            self._decode([step.id], len(history) - 1, [True])
        return self.turn(prompt, steps, sampling, seed, k, finish, turn), rows

    def read(self, question: str, reply: str | bytes, k: int = 10, turn: int = 13) -> Turn:
        """A reply that was given instead of drawn: at temperature 1, with draws that fall where they have to."""
        asked = question, reply, k, turn
        if asked not in self._read:
            prompt = self.prompt(question)
            ids = self.tokenise(reply)
            steps = [_forced(row, token, k) for row, token in zip(self.rows(prompt.ids, ids), ids, strict=True)]
            self._read[asked] = self.turn(prompt, steps, PLAIN, 0, k, "length", turn)
        return self._read[asked]

    def turn(
        self,
        prompt: Prompt,
        steps: Sequence[Step],
        sampling: Sampling,
        seed: int,
        k: int,
        finish: Finish,
        number: int,
    ) -> Turn:
        pieces = tuple(self.piece(step.id) for step in steps)
        listed = {candidate.id for step in steps for candidate in step.top}
        shown = pieces[:-1] if finish == "stop" else pieces
        return Turn(
            id=number,
            session=3,
            model=ModelIdentity(self.name, self.sha256, "Q4_1", self.n_vocab, 2048, "0" * 64, "test"),
            prompt=prompt,
            prompt_pieces=tuple(self.piece(token) for token in prompt.ids),
            sampling=sampling,
            seed=seed,
            first_step=0,
            trace=Trace(tuple(steps), pieces, k, {token: self.piece(token) for token in listed}),
            schedule=(Run("tile", len(prompt.ids)), Run("one", max(0, len(steps) - 1))),
            status="ok",
            finish=finish,
            error=None,
            reply=b"".join(shown).decode(errors="replace"),
            reasoning="",
            n_cached=0,
            timings=Timings(120, 250_000, 10_000 * max(0, len(steps) - 1)),
            created_us=1_764_000_000_000_000,
            app_version="0.1.0",
        )

    def _forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def _decode(self, tokens: Sequence[int], start: int, wanted: Sequence[bool]) -> None:
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        for i, (token, flag) in enumerate(zip(tokens, wanted, strict=True)):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, start + i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, flag
        batch.n_tokens = len(tokens)
        assert llama_cpp.llama_decode(self.context, batch) == 0
        llama_cpp.llama_batch_free(batch)

    def _row(self, index: int) -> Logits:
        pointer = llama_cpp.llama_get_logits_ith(self.context, index)
        return np.ctypeslib.as_array(pointer, (self.n_vocab,)).copy()


def _forced(row: Logits, token: int, k: int) -> Step:
    read = capture(row, k)
    p = np.exp(row.astype(np.float64) - read.log_normaliser)
    before = float(p[row > row[token]].sum()) + float(p[:token][row[:token] == row[token]].sum())
    interval = (before, min(1.0, before + float(p[token])))
    return Step(
        id=token,
        logprob=float(row[token]) - read.log_normaliser,
        rank=rank(row, token),
        entropy=read.entropy,
        log_normaliser=read.log_normaliser,
        top=read.candidates(k),
        u=sum(interval) / 2,
        interval=interval,
        p_final=float(p[token]),
        stages=(),
        row_hash=read.hash,
    )
