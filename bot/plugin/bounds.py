"""What those who run a server allow to be set in its channels: a range for each setting, or nothing at all."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

from ..errors import UserError
from ..predict.sampling import COLDEST, Sampling

Setting = Literal["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
SAMPLED: tuple[str, ...] = tuple(name for name in SETTINGS if name != "seed")
"""Those that are part of the sampling."""
WHOLE = ("top_k", "max_tokens")
POSSIBLE = {
    "temperature": (0.0, 10.0),
    "top_p": (0.0, 1.0),
    "top_k": (0.0, 1e6),
    "min_p": (0.0, 1.0),
    "max_tokens": (1.0, 1e5),
}
"""What each may be at all."""

Range = tuple[float | None, float | None]
Bounds = Mapping[str, Range | None]
"""By setting: the least and the most of it; None: it stays as configured. A setting that is missing is free."""


def check(name: str, bound: Range) -> None:
    """Raise UserError if nothing can be within ``bound``."""
    if name == "seed":
        raise UserError("seeds have no more and less: allow or forbid setting them")
    given = [each for each in bound if each is not None]
    least, most = POSSIBLE[name]
    if given != sorted(given):
        raise UserError(f"the least ({given[0]:g}) is more than the most ({given[1]:g})")
    for each in given:
        if not least <= each <= most or (name in WHOLE and each != int(each)):
            whole = "a whole number " if name in WHOLE else ""
            raise UserError(f"{each:g} bounds nothing: {name} is {whole}from {least:g} to {most:.7g}")
        if too_cold(name, each):
            raise UserError(f"{too_cold(name, each)} {each:g} bounds nothing")


def too_cold(name: str, value: float) -> str:
    """What a temperature may be, if it is one that none is."""
    cold = name == "temperature" and 0 < value < COLDEST
    return f"temperature is 0 (always the likeliest token) or at least {COLDEST:g}:" if cold else ""


def refusal(bounds: Bounds, name: str, value: float) -> str:
    """Why ``value`` may not be set; empty if it may."""
    if cold := too_cold(name, value):
        return f"{cold} {value:g} is neither."
    if name not in bounds:
        return ""
    bound = bounds[name]
    if bound is None:
        return f"This server keeps {name} as it is configured."
    if name == "seed" or _within(name, value, bound) == value:
        return ""
    return f"This server allows {name} {_said(name, bound)}, not {value:g}."


def bounded(bounds: Bounds, asked: Mapping[str, float | None], usual: Sampling) -> Sampling:
    """``usual`` with what is asked for, as far as it is allowed; what is configured keeps to the bounds, too."""
    values: dict[str, float] = {}
    for name in SAMPLED:
        bound = bounds.get(name, (None, None))
        value = asked.get(name)
        if bound is None or value is None:
            value = getattr(usual, name)
        values[name] = value if bound is None else _within(name, value, bound)
    return replace(usual, **values)  # type: ignore[arg-type]


def described(bounds: Bounds, name: str) -> str:
    """For a list of settings; empty where nothing bounds it."""
    if name not in bounds:
        return ""
    bound = bounds[name]
    return "as configured only" if bound is None else _said(name, bound)


def _said(name: str, bound: Range) -> str:
    least, most = bound
    if least is not None and least == most:
        return f"{least:g} only"
    if least is not None and most is not None:
        return f"from {least:g} to {most:g}"
    if most is not None:
        return f"at most {most:g}" + (" (0, for all, is more)" if name == "top_k" else "")
    return f"at least {least:g}"


def _within(name: str, value: float, bound: Range) -> float:
    least, most = bound
    size = math.inf if name == "top_k" and value == 0 else value  # 0 keeps all tokens
    if most is not None and size > most:
        value = most
    elif least is not None and size < least:
        value = least
    return int(value) if name in WHOLE else value
