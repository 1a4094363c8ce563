"""The stable JSON of an explanation: docs/json.md describes every field, and changes only by addition."""

import math
from typing import Any

from ..predict.prompt import Span
from ..predict.step import Step
from .branches import Comparison, ReplyToken
from .ending import stated, stop_string
from .explanation import Explanation
from .family import Family
from .loss import Scored
from .tree import Branch, tree
from .turn import Turn
from .visible import text

FORMAT = 1

Json = dict[str, Any]


def explanation_json(explanation: Explanation) -> Json:
    """Everything recorded of a turn, ready for `json.dumps(…, allow_nan=False)`.

    Nats, except where a key says bits.
    """
    turn = explanation.turn
    return {
        "format": FORMAT,
        "turn": turn.id,
        "session": turn.session,
        "parent_turn": turn.parent_turn,
        "status": turn.status,
        "finish": stated(turn.finish),
        "stop_string": stop_string(turn),
        "end_of_turn": next((token.index for token in explanation.tokens if token.is_end), None),
        "error": turn.error,
        "verifiable": turn.verifiable,
        "trace_fault": turn.trace.fault,
        "created_us": turn.created_us,
        "app_version": turn.app_version,
        "model": model_json(turn),
        "sampling": sampling_json(turn),
        "seed": turn.seed,
        "first_step": turn.first_step,
        "prompt_ids": list(turn.prompt.ids),
        "prompt_bytes": [piece.hex() for piece in turn.prompt_pieces],
        "spans": [span_json(span) for span in turn.prompt.spans],
        "dropped_turns": turn.prompt.dropped_turns,
        "dropped_tokens": turn.prompt.dropped_tokens,
        "n_cached": turn.n_cached,
        "reply": turn.reply,
        "reasoning": turn.reasoning,
        "k": turn.trace.k,
        "steps": [_step_json(explanation, index) for index in range(len(explanation.tokens))],
        "groups": [[group.first, group.last] for group in explanation.groups],
        "whole": whole_json(explanation),
        "schedule": [
            {"rows": run.rows, "count": run.count} | ({"threads": run.threads} if run.threads else {})
            for run in turn.schedule
        ],
        "timings": None
        if turn.timings is None
        else {
            "queue_us": turn.timings.queue_us,
            "ttft_us": turn.timings.ttft_us,
            "gen_us": turn.timings.gen_us,
        },
    }


def model_json(turn: Turn) -> Json:
    model = turn.model
    return {
        "name": model.name,
        "sha256": model.sha256,
        "quantization": model.quantization,
        "n_vocab": model.n_vocab,
        "n_ctx_train": model.n_ctx_train,
        "template_sha256": model.template_sha256,
        "llamacpp_build": model.llamacpp_build,
        "adapter_sha256": model.adapter_sha256,
        "adapter_scale": model.adapter_scale,
        "cpu": model.cpu,
        "gpu_layers": model.gpu_layers,
    }


def sampling_json(turn: Turn) -> Json:
    sampling = turn.sampling
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "penalty_window": sampling.penalty_window,
        "logit_bias": [[token, number(bias)] for token, bias in sampling.logit_bias],
        "stages": list(sampling.stages),
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
    }


def span_json(span: Span) -> Json:
    return {
        "start": span.start,
        "end": span.end,
        "kind": span.kind,
        "role": span.role,
        "message": span.message,
    }


def _step_json(explanation: Explanation, index: int) -> Json:
    turn = explanation.turn
    step: Step = turn.trace.steps[index]
    names = turn.trace.candidate_pieces
    piece = turn.trace.pieces[index]
    shown = explanation.step(index)
    final = {c.id: None if shown.hides(c) else c.p_final for c in shown.candidates}
    return {
        "index": index,
        "id": step.id,
        "bytes": piece.hex(),
        "text": text(piece),
        "logprob": number(step.logprob),
        "rank": step.rank,
        "entropy": step.entropy,
        "log_normaliser": step.log_normaliser,
        "u": step.u,
        "interval": list(step.interval),
        "p_final": step.p_final,
        "greedy": shown.greedy,
        "stages": [
            {"name": stage.name, "survivors": stage.survivors, "log_normaliser": number(stage.log_normaliser)}
            for stage in step.stages
        ],
        "row_hash": f"{step.row_hash:016x}",
        "top": [
            {
                "id": candidate.id,
                "bytes": names[candidate.id].hex() if candidate.id in names else None,
                "text": text(names[candidate.id]) if candidate.id in names else None,
                "logprob": number(step.logprob if candidate.id == step.id else candidate.logprob),
                "p_final": final[candidate.id],
                "removed_by": candidate.removed_by,
            }
            for candidate in step.top
        ],
        "remainder": shown.remainder,
        "final_remainder": None if shown.is_blurred else shown.final_remainder,
    }


def whole_json(explanation: Explanation) -> Json:
    whole = explanation.whole
    return {
        "tokens": whole.tokens,
        "perplexity": whole.perplexity,
        "total_surprisal_bits": whole.total_surprisal_bits,
        "mean_entropy_bits": whole.mean_entropy_bits,
        "first_choice_share": whole.first_choice_share,
        "least_certain": list(whole.least_certain),
        "overruled": list(whole.overruled),
        "ms_per_token": whole.ms_per_token,
    }


def comparison_json(comparison: Comparison) -> Json:
    return {
        "format": FORMAT,
        "same_prompt": comparison.same_prompt,
        "parts_at": comparison.parts_at,
        "meets_at": list(comparison.meets_at) if comparison.meets_at else None,
        "stretches": [
            {"same": stretch.same, "left": list(stretch.left), "right": list(stretch.right)}
            for stretch in comparison.stretches
        ],
        "left": [_reply_token_json(token) for token in comparison.left],
        "right": [_reply_token_json(token) for token in comparison.right],
    }


def _reply_token_json(token: ReplyToken) -> Json:
    return {
        "id": token.id,
        "bytes": token.bytes.hex(),
        "text": text(token.bytes),
        "logprob": None if token.logprob is None else number(token.logprob),
    }


def tree_json(family: Family) -> Json:
    """The replies to one message, each branch below its parent."""
    trees = [_branch_json(branch) for branch in tree(family)]
    return {"format": FORMAT, "trees": trees, "left_out": list(family.left_out)}


def _branch_json(branch: Branch) -> Json:
    turn, fork = branch.turn, branch.fork
    return {
        "turn": turn.id,
        "status": turn.status,
        "seed": turn.seed,
        "tokens": turn.first_step + len(turn.trace.steps),
        "reply": turn.reply,
        "fork": fork
        and {
            "step": fork.step,
            "took": _taken_json(fork.took.id, fork.took.bytes, fork.took_p),
            "instead": _taken_json(fork.instead_id, fork.instead, fork.instead_p),
            "same_draws": fork.same_draws,
            "meets_at": list(fork.meets_at) if fork.meets_at else None,
        },
        "branches": [_branch_json(below) for below in branch.branches],
    }


def _taken_json(token: int, piece: bytes, p: float | None) -> Json:
    return {"id": token, "bytes": piece.hex(), "text": text(piece), "p": p}


def scored_json(scored: Scored) -> Json:
    """What one pass over prompt and reply tells. Nats."""
    loss = scored.loss
    median, largest = loss.noise
    return {
        "format": FORMAT,
        "prompt": [
            {
                "position": token.position,
                "id": token.id,
                "bytes": token.bytes.hex(),
                "logprob": None if token.logprob is None else number(token.logprob),
                "rank": token.rank,
            }
            for token in scored.prompt
        ],
        "reply": [
            {
                "id": token.id,
                "bytes": token.bytes.hex(),
                "recorded": number(token.recorded),
                "scored": number(token.scored),
            }
            for token in loss.tokens
        ],
        "recorded": number(loss.recorded),
        "scored": number(loss.scored),
        "difference": number(loss.difference),
        "median_difference": median,
        "largest_difference": largest,
    }


def number(value: float) -> float | None:
    """JSON has no infinities: log 0 becomes null."""
    return value if math.isfinite(value) else None
