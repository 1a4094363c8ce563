"""The systems measured, each in a process of its own that idles between requests.

``python -m benchmarks.peers SYSTEM MODEL [LLAMA-SERVER]`` reads one JSON request a line and answers with one JSON
line. A request names a workload: ``together`` (n replies at once), ``channels`` (conversations with full resend),
and for some ``prefill`` and ``restart``.
"""

import asyncio
import atexit
import json
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

VOCABULARY = 40_000
CANDIDATES = 10


def words(seed: int, n: int) -> list[int]:
    """``n`` ordinary token ids; the same in every process."""
    rng = random.Random(seed)
    return [rng.randrange(100, VOCABULARY) for _ in range(n)]


class Bare:
    """A decode loop over the low-level bindings: no capture, no sampling but the argmax, nothing else to serve."""

    def __init__(self, model: Path, *, flash: bool = True, unified: bool = False) -> None:
        import ctypes

        import llama_cpp.llama_cpp as llama
        import numpy as np

        self.llama, self.np = llama, np
        self.quiet = llama.llama_log_callback(lambda *_: None)
        llama.llama_log_set(self.quiet, ctypes.c_void_p(0))
        llama.llama_backend_init()
        self.model = llama.llama_model_load_from_file(str(model).encode(), llama.llama_model_default_params())
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.n_batch, params.n_ubatch = 16 * 2048, 16, 512, 512
        params.n_threads = params.n_threads_batch = 2
        params.flash_attn_type = 1 if flash else 0
        params.kv_unified = unified
        self.context = llama.llama_init_from_model(self.model, params)
        self.batch = llama.llama_batch_init(512, 0, 1)
        self.n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))

    def decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, stream, flagged) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, flagged
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, stream
        if self.llama.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")

    def prefill(self, n: int, seed: int) -> float:
        """Prompt tokens a second."""
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)
        ids, began = words(seed, n), time.perf_counter()
        for start in range(0, n, 512):
            self.decode([(t, start + i, 0, start + i == n - 1) for i, t in enumerate(ids[start : start + 512])])
        self.llama.llama_get_logits_ith(self.context, -1)
        return n / (time.perf_counter() - began)

    async def together(self, n: int, tokens: int, prompt: int) -> dict[str, Any]:
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)
        for stream in range(n):
            self.decode([(t, i, stream, i == prompt - 1) for i, t in enumerate(words(stream, prompt))])
        chosen, began = [5] * n, time.perf_counter()
        for step in range(tokens):
            self.decode([(chosen[stream], prompt + step, stream, True) for stream in range(n)])
            for stream in range(n):
                pointer = self.llama.llama_get_logits_ith(self.context, stream)
                chosen[stream] = int(self.np.ctypeslib.as_array(pointer, (self.n_vocab,)).argmax())
        return {"tok_s": n * tokens / (time.perf_counter() - began)}


class Streaming:
    """What can stream replies: times every token as it arrives."""

    async def reply(self, prompt: list[int], tokens: int, seed: int) -> tuple[list[int], list[float], int]:
        """The reply's ids, when each arrived, and how many prompt tokens were computed."""
        raise NotImplementedError

    async def together(self, n: int, tokens: int, prompt: int) -> dict[str, Any]:
        replies = await asyncio.gather(*(self.reply(words(i, prompt), tokens, i) for i in range(n)))
        # From when all decode to when the first ends: prefill and stragglers are another measurement's.
        begin = max(times[0] for _, times, _ in replies)
        end = min(times[-1] for _, times, _ in replies)
        counted = sum(sum(begin < t <= end for t in times) for _, times, _ in replies)
        return {"tok_s": counted / (end - begin)}

    async def channels(self, channels: int, turns: int, typed: int, tokens: int, seed: int = 0) -> dict[str, Any]:
        """Conversations side by side, everything sent again each turn; ids and what they cost."""
        system = words(seed + 999, 60)
        computed = new = given = 0
        ttfts: list[float] = []

        async def channel(number: int) -> None:
            nonlocal computed, new, given
            known, prompt = 0, list(system)
            for turn in range(turns):
                prompt += words(seed + 1000 * number + turn, typed)
                began = time.perf_counter()
                ids, times, cost = await self.reply(prompt, tokens, turn)
                ttfts.append(times[0] - began)
                computed, new, given = computed + cost, new + len(prompt) - known, given + len(prompt)
                prompt += ids
                known = len(prompt)

        began = time.perf_counter()
        await asyncio.gather(*(channel(number) for number in range(channels)))
        ttfts.sort()
        return {
            "computed": computed,
            "new": new,
            "given": given,
            "ttft_median": ttfts[len(ttfts) // 2],
            "ttft_p95": ttfts[int(0.95 * (len(ttfts) - 1))],
            "seconds": time.perf_counter() - began,
        }


class Glasshead(Streaming):
    def __init__(self, model: Path) -> None:
        self.model = model
        self.engine = self.open()

    def open(self, **settings: Any) -> Any:
        from glasshead.predict.local import EngineSettings, LocalEngine
        from glasshead.predict.model import Model

        defaults = {"n_ctx": 2560, "max_running": 16, "max_per_user": 100, "k": CANDIDATES, "threads": 2}
        return LocalEngine(Model.load(self.model), EngineSettings(**(defaults | settings)))

    async def reply(
        self, prompt: list[int], tokens: int, seed: int, engine: Any = None
    ) -> tuple[list[int], list[float], int]:
        from glasshead.predict.sampling import Sampling

        ids, times = [], []
        generation = (engine or self.engine).generate(prompt, Sampling(max_tokens=tokens), seed)
        async for step in generation:
            ids.append(step.id)
            times.append(time.perf_counter())
        return ids, times, len(prompt) - generation.n_cached

    async def prefill(self, n: int, seed: int) -> float:
        """Prompt tokens a second, from asking to the first token of the reply."""
        prompt, began = words(seed, n), time.perf_counter()
        _, times, _ = await self.reply(prompt, 1, seed)
        return n / (times[0] - began)

    async def restart(self, n: int) -> dict[str, Any]:
        """Seconds to the first token of a conversation, cold and after a restart."""
        with tempfile.TemporaryDirectory() as folder:
            took = []
            for prompt in (words(7, n), [*words(7, n), *words(8, 8)]):
                engine = self.open(max_running=1, spill_folder=Path(folder))
                began = time.perf_counter()
                _, times, _ = await self.reply(prompt, 2, 1, engine)
                took.append(times[0] - began)
                await engine.aclose()
        return {"cold": took[0], "warm": took[1]}

    async def proof(self, replies: int, tokens: int, longest: int) -> dict[str, Any]:
        """Rows of replies made side by side, some of them broken off, and how many of each level are bitwise."""
        from glasshead.predict import replay
        from glasshead.predict.logits import hash_row
        from glasshead.predict.model import Model
        from glasshead.predict.sampling import Sampling

        async def one(number: int) -> tuple[list[int], Any, list[int]] | None:
            prompt = words(300 + number, 20 + (longest - 20) * (number % 4) // 3)
            generation = self.engine.generate(prompt, Sampling(max_tokens=tokens), number)
            hashes, ids = [], list(prompt)
            async for step in generation:
                hashes.append(step.row_hash)
                ids.append(step.id)
                if number % 5 == 4 and len(hashes) == tokens // 2:
                    await generation.aclose()
                    return None
            return ids, generation.schedule, hashes

        made = [reply for reply in await asyncio.gather(*map(one, range(replies))) if reply]
        counted = {"A": 0, "B": 0, "rows": 0}
        with Model.load(self.model) as model:
            for ids, schedule, hashes in made:
                n, steps = len(ids) - len(hashes), range(0, len(hashes), 4)
                counted["rows"] += len(hashes) + len(steps)
                for step, row in replay.follow(model, ids, n, schedule, threads=2):
                    counted["A"] += hash_row(row) == hashes[step]
                for step, row in replay.again(model, ids, n, schedule, steps, hashes=hashes, threads=2):
                    counted["B"] += hash_row(row) == hashes[step]
        return counted

    async def gaps(self, replies: int, newcomers: int, length: int) -> dict[str, Any]:
        """Seconds between two steps of running replies while long newcomers arrive."""
        from .gaps import measure

        found = await measure(self.model, replies, newcomers, length, 2)
        between = sorted(list(found.values())[-1].between)
        return {"worst": between[-1] / 1e3, "median": between[len(between) // 2] / 1e3}

    async def scoring_memory(self, n: int) -> dict[str, Any]:
        """Resident bytes above weights and KV with an engine that has just scored ``n`` tokens."""
        from glasshead.predict.pool import ModelChoice, footprint

        await self.engine.score(words(3, n))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"bytes": peak - footprint(ModelChoice(self.model, self.engine._settings))}

    async def loop_block(self, n: int, tokens: int) -> dict[str, Any]:
        """The longest time beyond its due that a timer on the event loop came, while ``n`` replies run and idle."""
        late = {}
        for name, replies in (("idle", 0), ("busy", n)):
            running = asyncio.gather(*(self.reply(words(50 + i, 30), tokens, i) for i in range(replies)))
            worst, end = 0.0, time.perf_counter() + 3
            while not running.done() or (not replies and time.perf_counter() < end):
                began = time.perf_counter()
                await asyncio.sleep(0.005)
                worst = max(worst, time.perf_counter() - began - 0.005)
            await running
            late[name] = worst
        return late


class HighLevel(Streaming):
    """llama-cpp-python's ``Llama`` with ``logprobs``; one reply at a time is all it can do."""

    def __init__(self, model: Path) -> None:
        import llama_cpp

        self.llama = llama_cpp.Llama(
            str(model), n_ctx=1024, n_threads=2, n_threads_batch=2, logits_all=True, verbose=False
        )

    async def together(self, n: int, tokens: int, prompt: int) -> dict[str, Any]:
        stream = self.llama.create_completion(
            words(0, prompt), max_tokens=tokens, logprobs=CANDIDATES, stream=True, seed=1, temperature=0.8
        )
        times = [time.perf_counter() for _ in stream]
        return {"tok_s": (len(times) - 1) / (times[-1] - times[0])}


class Server(Streaming):
    """llama.cpp's server from the xllamacpp wheel, over HTTP, top-k on, prompt cache on."""

    def __init__(self, model: Path) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_parallel, params.n_ctx = 16, 16 * 2560
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        params.verbosity = -1
        params.port, params.hostnames = 0, ["127.0.0.1"]
        params.kv_unified = False
        self.server = xllamacpp.Server(params)
        self.address = self.server.listening_address

    async def reply(self, prompt: list[int], tokens: int, seed: int) -> tuple[list[int], list[float], int]:
        import aiohttp

        body = {
            "prompt": prompt,
            "n_predict": tokens,
            "n_probs": CANDIDATES,
            "return_tokens": True,
            "cache_prompt": True,
            "stream": True,
            "seed": seed,
        }
        ids: list[int] = []
        times: list[float] = []
        computed = 0
        timeout = aiohttp.ClientTimeout(total=3600)
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 22) as session,
            session.post(f"{self.address}/completion", json=body) as response,
        ):
            async for line in response.content:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if event.get("tokens") and not event.get("stop"):
                        ids += event["tokens"]
                        times += [time.perf_counter()] * len(event["tokens"])
                    computed = event.get("timings", {}).get("prompt_n", computed)
        return ids, times, computed


class BuiltServer(Server):
    """The same server as a program of its own, built by whoever measures."""

    def __init__(self, model: Path, program: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {"--model": model, "--port": port, "--ctx-size": 16 * 2560, "--parallel": 16}
        options |= {"--threads": 2, "--threads-batch": 2}
        self.process = subprocess.Popen(
            [program, *(str(word) for option in options.items() for word in option)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.process.kill)
        self.address = f"http://127.0.0.1:{port}"
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"{program} ended with code {self.process.returncode}: run it by hand to see why")
            try:
                urllib.request.urlopen(f"{self.address}/health").close()
                break
            except OSError:  # it loads its model still
                time.sleep(0.1)


class Logged:
    """The whole bot but its front end: replies are rendered, streamed as text, and in a log when they end."""

    def __init__(self, model: Path) -> None:
        self.model = model

    async def together(self, n: int, tokens: int, prompt: int) -> dict[str, Any]:
        """Tokens a second from the first text of any reply until the last is in the log, and how many the rendered
        prompts have: the bare loop has to begin there, too."""
        from glasshead.chat.events import Done, Started, Text
        from glasshead.chat.request import ReplyRequest
        from glasshead.config import EngineSection, ModelSection, Settings, StoreSection
        from glasshead.predict.sampling import Sampling
        from glasshead.wiring import open_chat

        async def reply(number: int) -> tuple[float, float, int, int]:
            session = await chat.store.start_session()
            text = "Tell me a long story with a dragon. " * (prompt // 8)
            message = await chat.store.append_message(session, "user", f"{text}({number})")
            first = 0.0
            async for event in chat.reply(ReplyRequest(session, message, sampling=sampling, seed=number)):
                if isinstance(event, Started):
                    given = event.n_prompt
                if isinstance(event, Text) and not first:
                    first = time.perf_counter()
                if isinstance(event, Done):
                    ended, made = time.perf_counter(), event.n_tokens
            return first, ended, made, given

        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(
                model=ModelSection(name=str(self.model), context=2560),
                engine=EngineSection(kv_folder=Path(folder) / "kv", threads=2),
                store=StoreSection(path=Path(folder) / "log.db"),
            )
            async with open_chat(settings) as chat:
                sampling = Sampling(max_tokens=tokens)  # no ban on its end: it would be a cost of its own
                await reply(n)  # the first of a program pays for what is loaded lazily
                replies = await asyncio.gather(*(reply(number) for number in range(n)))
        took = max(end for _, end, *_ in replies) - min(first for first, *_ in replies)
        return {"tok_s": sum(made - 1 for _, _, made, _ in replies) / took, "prompt": replies[0][-1]}


SYSTEMS = {
    "glasshead": Glasshead,
    "glasshead, logged": Logged,
    "bare": Bare,
    "bare, unified": lambda model: Bare(model, unified=True),
    "bare, no flash": lambda model: Bare(model, flash=False),
    "llama": HighLevel,
    "server": Server,
}


async def serve(name: str, model: Path, server: Path | None = None) -> None:
    system = BuiltServer(model, server) if server and name == "server" else SYSTEMS[name](model)
    loop = asyncio.get_running_loop()
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        answer = getattr(system, request.pop("workload"))(**request)
        print(json.dumps(await answer if asyncio.iscoroutine(answer) else answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], *map(Path, sys.argv[2:])))
