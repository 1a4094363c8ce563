"""The one place that starts llama.cpp: its log and its version."""

import ctypes
import hashlib
import logging
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import llama_cpp
import xxhash
from llama_cpp._ggml import libggml

log = logging.getLogger("glasshead.llama.cpp")
log.addHandler(logging.NullHandler())  # a front end that sets up no logging is told by our errors

# enum ggml_log_level: 0 none, 1 debug, 2 info, 3 warn, 4 error, 5 continues the line before. llama.cpp's "info" is
# a flood at every load, so it counts as debug here, and its warnings (most are about metadata) as info.
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.ERROR}
_DEBUG, _ERROR = 1, 4

_LIBRARIES = {".so", ".dylib", ".dll"}

_started = threading.Lock()
_is_started = False
_here = threading.local()
"""Of each thread that calls llama.cpp, as ``errors``: where they go instead of the log."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    line = text.decode(errors="replace").strip()
    if not line:
        return
    if level == _ERROR and (errors := getattr(_here, "errors", None)) is not None:
        errors.append(line)
        level = _DEBUG
    log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def start() -> None:
    """Send llama.cpp's log to logging and start its backends. Safe to call again, and from any thread."""
    global _is_started  # noqa: PLW0603
    with _started:
        if _is_started:
            return
        llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        _is_started = True


@contextmanager
def told_by_us() -> Iterator[list[str]]:
    """What llama.cpp logs as errors in this block goes to who entered it, and to nobody else. The first line says
    what is wrong; what follows it only says that something failed."""
    _here.errors = []
    try:
        yield _here.errors
    finally:
        del _here.errors


@cache
def build() -> str:
    """What computes the numbers, for the record: ``llama-cpp-python 0.3.36, llama.cpp …, ggml …, compiled as …``.

    The last is a checksum of the libraries' files and of what they found here: the same version rounds otherwise
    where it was compiled otherwise, and does not say so.
    """
    for function in (libggml.ggml_version, libggml.ggml_commit):
        function.restype = ctypes.c_char_p
    version = f"llama-cpp-python {llama_cpp.__version__}, llama.cpp {llama_cpp.llama_version().decode()}"
    ggml = f"{libggml.ggml_version().decode()} ({libggml.ggml_commit().decode()})"
    code = xxhash.xxh3_64(llama_cpp.llama_print_system_info())
    files = (Path(llama_cpp.__file__).parent / "lib").iterdir()
    for path in sorted(path for path in files if path.suffix in _LIBRARIES):
        with path.open("rb") as file:  # with a GPU's kernels it may have gigabytes
            code.update(hashlib.file_digest(file, xxhash.xxh3_64).digest())
    return f"{version}, ggml {ggml}, compiled as {code.hexdigest()}"


def cpu_name() -> str:
    """The processor, as the system calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
