"""A llama_context with one KV stream per sequence: the only file that decodes, reads rows and moves KV.

The cache is not unified: in this layout a reply's numbers depend on who else is served only as far as its schedule
says. Everything is checked before llama.cpp sees it, because its assertions end the process. One thread owns a
Context.
"""

import contextlib
import ctypes
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import library, window
from .engine import EngineError
from .halt import Halt
from .logits import Logits
from .model import Model

import llama_cpp.llama_cpp as llama  # isort: skip  (after library)

MAX_STREAMS = 256
"""More give no context at all."""


class Place(NamedTuple):
    """One row of a batch: a token at a position of a stream; ``flagged`` rows have logits afterwards."""

    token: int
    position: int
    stream: int
    flagged: bool


class DecodeFailed(EngineError):
    """llama_decode refused or failed. The streams are as they were before, but where a model cannot forget a part
    and some of it had been computed: then the stream is empty."""


class Context:
    """``streams`` sequences of up to ``n_ctx`` positions each, all on one loaded model."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        streams: int,
        threads: int,
        n_batch: int,
        flash: bool = True,
        halt: Halt | None = None,
    ) -> None:
        """``flash``: with flash attention, as replies are made; without, as the oldest records were."""
        if not 1 <= streams <= MAX_STREAMS:
            raise EngineError("bad_settings", f"{streams} streams asked for: 1 to {MAX_STREAMS} are possible")
        cells = 256 * math.ceil(n_ctx / 256)
        params = llama.llama_context_default_params()
        params.n_ctx = cells * streams
        params.n_seq_max = streams
        params.n_batch = params.n_ubatch = n_batch
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.kv_unified = False
        # Else a build with a GPU gives it the larger batches even where no layer was put there, and only those.
        params.op_offload = model.identity.gpu_layers != 0
        params.swa_full = True  # a sliding window's cache would forget what a trimmed prefix needs
        params.no_perf = True
        self._halt = halt  # llama.cpp looks at it as long as there is a context
        if halt is not None:
            params.abort_callback, params.abort_callback_data = halt.asked, halt.of
        self._context = llama.llama_init_from_model(model.pointer, params)
        if not self._context:
            raise EngineError("no_memory", f"there is no memory for {streams} replies of {n_ctx} tokens")
        if model.adapter is not None:
            adapters = (llama.llama_adapter_lora_p_ctypes * 1)(model.adapter)
            scales = (ctypes.c_float * 1)(model.identity.adapter_scale)
            if llama.llama_set_adapters_lora(self._context, adapters, 1, scales) != 0:
                llama.llama_free(self._context)
                raise EngineError("bad_adapter", "llama.cpp does not take the adapter")
        self.n_ctx = n_ctx
        self.cells = int(llama.llama_n_ctx_seq(self._context))
        self.streams = streams
        self.n_batch = n_batch
        self.threads = threads
        self.n_vocab = int(llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model.pointer)))
        self._row_type: Any = ctypes.c_float * self.n_vocab
        self._views: dict[int, Logits] = {}
        """Of rows, by address: llama.cpp writes them to the same few places step after step."""
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(n_batch, 0, 1)
        self._token = np.ctypeslib.as_array(self._batch.token, (n_batch,))
        self._position = np.ctypeslib.as_array(self._batch.pos, (n_batch,))
        self._flag = np.ctypeslib.as_array(self._batch.logits, (n_batch,))
        np.ctypeslib.as_array(self._batch.n_seq_id, (n_batch,))[:] = 1
        self._length = [0] * streams
        self._window = int(llama.llama_model_n_swa(model.pointer))
        self._can_cut = not model.is_recurrent
        self.has_gpu = bool(llama.llama_supports_gpu_offload())

    def length(self, stream: int) -> int:
        """Positions held by the stream."""
        return self._length[stream]

    def decode(self, rows: Sequence[Place]) -> None:
        """Compute the rows in one call. Each stream's rows continue it. Raises DecodeFailed."""
        if not 0 < len(rows) <= self.n_batch:
            raise DecodeFailed("bad_batch", f"a batch of {len(rows)} rows: 1 to {self.n_batch} are possible")
        after = list(self._length)
        seq_id = self._batch.seq_id
        for i, (token, position, stream, flagged) in enumerate(rows):
            if not 0 <= token < self.n_vocab:
                raise DecodeFailed("bad_token", f"token {token} does not exist: the vocabulary has {self.n_vocab}")
            if position != after[stream]:
                raise DecodeFailed("bad_batch", f"position {position} does not follow {after[stream]} in its reply")
            if position >= self.cells:
                raise DecodeFailed("out_of_kv", f"the context of {self.cells} tokens is full")
            after[stream] = position + 1
            self._token[i], self._position[i], self._flag[i] = token, position, flagged
            seq_id[i][0] = stream
        self._batch.n_tokens = len(rows)
        code = self._decode()
        if code != 0:
            for stream in {row.stream for row in rows}:
                self.trim(stream, self._length[stream])
            raise DecodeFailed(
                "out_of_kv" if code == 1 else "decode_failed", f"llama_decode failed with code {code}"
            )
        self._length = after

    def _decode(self) -> int:
        """llama.cpp's answer: 0 is success."""
        if self._halt is None:
            return int(llama.llama_decode(self._context, self._batch))
        with library.told_by_us() as errors:
            code = int(llama.llama_decode(self._context, self._batch))
        if not self._halt.called:  # else it failed because it was told to end
            for line in errors:
                library.log.error("%s", line)
        return code

    def row(self, i: int) -> Logits:
        """The logits of the batch's i-th row: a view that the next decode overwrites."""
        address = _logits_ith(self._context, i)
        if not address:
            raise DecodeFailed("no_logits", f"row {i} of the batch has no logits")
        view = self._views.get(address)
        if view is None:
            view = np.ndarray(self.n_vocab, np.float32, buffer=self._row_type.from_address(address))
            self._views[address] = view
        return view

    def trim(self, stream: int, length: int) -> bool:
        """Forget the positions from ``length`` on. False if the model cannot forget a part: then all is gone."""
        kept = length
        if length > 0 and not llama.llama_memory_seq_rm(self._memory, stream, length, -1):
            kept = 0
        if kept == 0:
            llama.llama_memory_seq_rm(self._memory, stream, -1, -1)
        self._length[stream] = kept
        return kept == length

    def state_size(self, stream: int) -> int:
        """Bytes of the stream's state."""
        return int(llama.llama_state_seq_get_size_ext(self._context, stream, llama.LLAMA_STATE_SEQ_FLAGS_NONE))

    def snapshot(self, stream: int, room: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """The stream's whole state, as bytes in host memory: in ``room``, where it fits in there."""
        data = self._state(stream, llama.LLAMA_STATE_SEQ_FLAGS_NONE, room)
        if not 0 < self._window < self._length[stream]:
            return data
        try:
            return self._with_all_windows(stream, data)
        except window.Unknown:
            raise EngineError("no_snapshot", "the state of this model's sliding window cannot be kept") from None

    def _with_all_windows(self, stream: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        start, last = window.windowed(data)
        if not self._can_cut:
            raise window.Unknown
        length, windows = self._length[stream], [last]
        while windows[0].first > 0:
            self.trim(stream, windows[0].first)
            windows.insert(0, window.window(self._state(stream, llama.LLAMA_STATE_SEQ_FLAGS_SWA_ONLY)))
        whole = window.join(data, start, windows)
        if not self.restore(stream, whole, length):
            raise window.Unknown
        return whole

    def _state(self, stream: int, flags: int, room: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        size = llama.llama_state_seq_get_size_ext(self._context, stream, flags)
        data = np.empty(size, np.uint8) if room is None or room.size < size else room[:size]
        written = llama.llama_state_seq_get_data_ext(self._context, _bytes_at(data), size, stream, flags)
        if written != size:
            raise EngineError("no_snapshot", f"the state of a reply has {size} bytes, {written} were read")
        return data

    def restore(self, stream: int, data: NDArray[np.uint8], length: int) -> bool:
        """Put a snapshot of ``length`` positions into the stream. False, and an empty stream, if it does not fit.

        Only bytes that are known to be a snapshot of this very model may come here.
        """
        self.trim(stream, 0)
        if not 0 < length <= self.cells:
            return False
        read = llama.llama_state_seq_set_data(self._context, _bytes_at(data), data.size, stream)
        whole = read == data.size and llama.llama_memory_seq_pos_max(self._memory, stream) == length - 1
        if not whole:
            self.trim(stream, 0)
            return False
        self._length[stream] = length
        return True

    def scrub(self) -> None:
        """Overwrite what was trimmed: masked cells count for nothing, but nothing times NaN is NaN."""
        kept = []
        for stream, length in enumerate(self._length):
            with contextlib.suppress(EngineError):  # what cannot be kept is missed at its next step
                kept.append((stream, self.snapshot(stream), length))
        llama.llama_memory_clear(self._memory, True)
        self._length = [0] * self.streams
        for stream, data, length in kept:
            self.restore(stream, data, length)

    def set_threads(self, threads: int) -> None:
        """Use so many threads from the next decode on; this changes the bits of a ``split`` only."""
        self.threads = threads
        llama.llama_set_n_threads(self._context, threads, threads)

    def close(self) -> None:
        """Free the context; it must not be used afterwards."""
        if self._context:
            llama.llama_batch_free(self._batch)
            llama.llama_free(self._context)
            self._context = None


_logits_ith = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)(
    ("llama_get_logits_ith", llama._lib)
)
"""The same function with a bare address for an answer: half the time."""


def _bytes_at(data: NDArray[np.uint8]) -> Any:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
