"""exp(logit − shift) over a row and its sum, by ggml's own vector kernel: twice as fast as numpy's.

ggml exports the kernel without promising it, so numpy stands in where a build does not have it.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]

_FLOOR = -87.0  # exp of it is the smallest normal f32: below, numpy's exp would be slow (denormal) and add nothing


def exponentials(row: Row, shift: float, out: Row) -> float:
    """Write exp(row − shift) to ``out``, contiguous f32 of the same size, and return the sum.

    ``shift`` is the row's maximum. What is too small for a normal f32 is 0.
    """
    kernel = _kernel()
    if kernel is None:
        return by_numpy(row, shift, out)
    row = np.ascontiguousarray(row, np.float32)
    total: float = kernel(row.size, _address(out), _address(row), shift)
    return total


def by_numpy(row: Row, shift: float, out: Row) -> float:
    """The same without ggml."""
    with np.errstate(over="ignore"):  # -3e38 - 3e38 is -inf, and floored
        np.subtract(row, np.float32(shift), out=out)
    np.maximum(out, np.float32(_FLOOR), out=out)
    np.exp(out, out=out)
    out[out <= np.exp(np.float32(_FLOOR))] = 0
    return float(out.sum())


def _address(row: Row) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(row.data))  # quicker
    except TypeError:  # it is read-only
        return int(row.ctypes.data)


@cache
def _kernel() -> Any:
    """``double ggml_vec_soft_max_f32(int n, float * y, const float * x, float max)``, None if there is none."""
    from llama_cpp._ggml import libggml  # noqa: PLC0415  not before a row is there to be read

    try:
        kernel = libggml.ggml_vec_soft_max_f32
    except AttributeError:
        return None
    kernel.restype = ctypes.c_double
    kernel.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float]
    return kernel
