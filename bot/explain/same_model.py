"""Whether the model at hand is the one that made a turn: only with that one is anything of it computed again."""

from ..predict.engine import ModelIdentity
from .turn import Turn


def difference(turn: Turn, model: ModelIdentity) -> str | None:
    """What is not the same, said of the turn ("was made by …"); None if file and adapter are."""
    made_by = turn.model
    if model.sha256 != made_by.sha256:
        return f"was made by {_file(made_by)}, not by {_file(model)}: what is recomputed needs the same file"
    if _adapter(model) != _adapter(made_by):
        return f"was made with {_adapter(made_by)}, not with {_adapter(model)}: load the model the same way"
    return None


def _file(model: ModelIdentity) -> str:
    return f"{model.name} ({model.quantization}, sha256 {model.sha256[:16]}…)"


def _adapter(model: ModelIdentity) -> str:
    if not model.adapter_sha256:
        return "no adapter"
    return f"the adapter {model.adapter_sha256[:16]}… at scale {model.adapter_scale}"
