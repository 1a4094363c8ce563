"""Ends a computation of llama.cpp from another thread, in the middle of a batch too."""

import ctypes
import os

from . import library  # noqa: F401  (sets the environment that llama.cpp loads in)

import llama_cpp.llama_cpp as llama  # isort: skip  (after library)

_C = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)


class Halt:
    """Given to a `Context`: once called, what that computes fails at once, and for good.

    llama.cpp asks a function between any two operations whether to go on. A Python function would make it wait for
    the event loop's thread each time; C's own `strlen` says as much of a string that is empty until somebody calls.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self.asked = llama.ggml_abort_callback(ctypes.cast(_C.strlen, ctypes.c_void_p).value)
        self.of = ctypes.cast(self._flag, ctypes.c_void_p)

    @property
    def called(self) -> bool:
        """Whether somebody has."""
        return bool(self._flag.value)

    def call(self) -> None:
        """Let it end."""
        self._flag.value = b"!"
