"""A certificate, stated: as lines to read, and as the JSON that docs/json.md describes."""

import dataclasses
import math
from typing import Any

from ..predict.engine import short_name
from .certificate import Certificate, Distance, LevelResult, cross_entropy_difference, meaning

FORMAT = 1

_ALIKE = 3.0
"""Maxima over a few dozen rows that differ by less than this factor are called about as much."""

_NO_PROMISE = "equal bits are not promised: where they do not come out, what counts is how far off they are."

_TITLES = {
    "A": "fresh context, the logged schedule",
    "B": "memory cleared before every token",
    "C": "one pass, teacher forcing",
}


def certificate_lines(certificate: Certificate) -> list[str]:
    """The certificate in plain words, one paragraph a line."""
    lines = []
    for result in certificate.levels:
        lines += _level_lines(result)
    floor = certificate.noise_floor
    if floor is not None:
        lines.append(f"Noise floor, the other kernel on the same input here: {_distance(floor)}.")
    env = certificate.environment
    lines.append(
        f"Replayed with {short_name(env.model)} ({env.quantization}, sha256 {env.model_sha256[:16]}…), "
        f"{env.build}, {env.threads} thread{'s' if env.threads != 1 else ''}, {machine(env.cpu, env.gpu_layers)}."
    )
    if env.build != env.recorded_build:
        lines.append(
            f"The reply was made with another build, {env.recorded_build}: its kernels may round differently."
        )
    made_on = machine(env.recorded_cpu, env.recorded_gpu_layers)
    if env.recorded_cpu and made_on != machine(env.cpu, env.gpu_layers):
        lines.append(f"The reply was made on another machine, {made_on}: it may round differently.")
    if env.gpu_layers or env.recorded_gpu_layers:
        lines.append(f"On a GPU {_NO_PROMISE}")
    if env.tells_routes:
        lines.append(f"With experts in this quantization {_NO_PROMISE}")
    lines.append(conclusion(certificate))
    return lines


def conclusion(certificate: Certificate) -> str:
    """What the whole certificate comes to, in one sentence."""
    judging = [result.level for result in certificate.levels if result.level != "C"]
    if certificate.proven:
        if not judging:
            return "Near: level C alone measures, it cannot prove."
        return "Proven: this reply is a function of the recorded input, settings and seed, and of nothing else."
    if any(result.bitwise == result.checked and result.verdict == "differs" for result in certificate.levels):
        return "Not proven: the rows came out bit for bit, but the record says something else than they do."
    said = "Not proven: this machine did not reproduce the recorded predictions bit for bit"
    floor = certificate.noise_floor
    if floor is None:
        return f"{said}."
    off = max(result.distance.max_dp for result in certificate.levels if result.level != "C")
    size = "about as much as" if off <= _ALIKE * floor.max_dp else "more than"
    return f"{said}: they are off by {size} another kernel makes them (|Δp| {off:.2g} to {floor.max_dp:.2g})."


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """Ready for `json.dumps(…, allow_nan=False)`."""
    return {
        "format": FORMAT,
        "turn": certificate.turn,
        "verdict": "proven" if certificate.proven else "not",
        "reason": None,
        "meaning": conclusion(certificate),
        "levels": [
            _finite(dataclasses.asdict(result)) | {"meaning": meaning(result)} for result in certificate.levels
        ],
        "noise_floor": certificate.noise_floor and _finite(dataclasses.asdict(certificate.noise_floor)),
        "environment": dataclasses.asdict(certificate.environment),
    }


def cannot_json(turn: int, reason: str) -> dict[str, Any]:
    """The same for a turn that cannot be judged."""
    return {
        "format": FORMAT,
        "turn": turn,
        "verdict": "cannot",
        "reason": reason,
        "meaning": "Nothing was replayed.",
        "levels": [],
        "noise_floor": None,
        "environment": None,
    }


def machine(cpu: str, gpu_layers: int) -> str:
    """What computed: the processor, and how much of the model a GPU took over."""
    if not gpu_layers:
        return cpu
    return f"{cpu} with {'all' if gpu_layers < 0 else gpu_layers} layers on a GPU"


def _level_lines(result: LevelResult) -> list[str]:
    of_all = f" of {result.steps}" if result.checked < result.steps else ""
    head = (
        f"{result.level}  {result.verdict}: {_TITLES[result.level]}. {result.bitwise} of {result.checked}{of_all} "
        f"rows bitwise, {result.redrawn} tokens drawn again by the same u ({result.seconds:.1f} s)."
    )
    lines = [head, f"   {meaning(result)}"]
    if result.bitwise < result.checked:
        lines.append(f"   Where not bitwise: {_distance(result.distance)}.")
    if result.faithful < result.bitwise:
        lines.append(
            f"   {result.bitwise - result.faithful} steps record something else than row and seed say, "
            f"the first is step {result.first_difference}."
        )
    if result.level == "C":
        lines.append(
            f"   Σ −log p: {result.cross_entropy:.3f} nats by this pass, {result.recorded_cross_entropy:.3f} "
            f"recorded while writing ({cross_entropy_difference(result):+.4f} a token)."
        )
    return lines


def _distance(distance: Distance) -> str:
    return (
        f"max |Δp| {distance.max_dp:.2g}, max |Δ log p| of a chosen token {distance.max_dlogprob:.2g} nats, "
        f"KL {distance.mean_kl:.2g} nats in the mean and {distance.max_kl:.2g} at most"
    )


def _finite(fields: Any) -> Any:
    """JSON has no infinities: null."""
    if isinstance(fields, dict):
        return {key: _finite(value) for key, value in fields.items()}
    return None if isinstance(fields, float) and not math.isfinite(fields) else fields
