"""What a model takes in memory before it is loaded, reckoned from its header: weights, keys and values, states.

Which layers have a cache, and how wide it is, the weights say themselves: metadata give one number for all layers,
and hybrid models have attention in a few of them only.
"""

from collections import defaultdict
from collections.abc import Mapping

from .gguf import Header, TensorInfo

_F16, _F32 = 2, 4

_Layer = Mapping[str, TensorInfo]


def weights_size(header: Header) -> int:
    """Bytes of all tensors."""
    return sum(tensor.size for tensor in header.tensors)


def stream_size(header: Header, positions: int) -> int:
    """Bytes of one stream: f16 keys and values of so many positions, and f32 states of recurrent layers."""
    layers: defaultdict[str, dict[str, TensorInfo]] = defaultdict(dict)
    for tensor in header.tensors:
        where, _, name = tensor.name.removeprefix("blk.").partition(".")
        if where.isdecimal():
            layers[where][name.removesuffix(".weight")] = tensor
    width = sum(_cache_width(layer, header) for layer in layers.values())
    state = sum(_state_width(layer, header) for layer in layers.values())
    return positions * width * _F16 + state * _F32


def _cache_width(layer: _Layer, header: Header) -> int:
    """Elements that one position adds to the keys and values of a layer, 0 where nothing attends."""
    if "attn_k" in layer:
        keys = _rows(layer["attn_k"])
        return keys + (_rows(layer["attn_v"]) if "attn_v" in layer else keys)
    if "attn_qkv" in layer and "attn_output" in layer:
        return _rows(layer["attn_qkv"]) - layer["attn_output"].shape[0]  # all but the queries
    if "attn_kv_a_mqa" in layer and "attn_kv_b" not in layer:
        return _rows(layer["attn_kv_a_mqa"])  # the latent, of which the values are a part
    if "attn_kv_b" in layer:
        heads = _number(header, "attention.head_count")
        return heads * (_number(header, "attention.key_length") + _number(header, "attention.value_length"))
    return 0


def _state_width(layer: _Layer, header: Header) -> int:
    """Elements of a layer's recurrent state."""
    width = _number(header, "embedding_length")
    if any(name.startswith("ssm_") for name in layer):
        inner, state = _number(header, "ssm.inner_size"), _number(header, "ssm.state_size")
        mixed = inner + 2 * _number(header, "ssm.group_count") * state
        return state * inner + (_number(header, "ssm.conv_kernel") - 1) * mixed
    if any(name.startswith("time_mix_") for name in layer):
        return width * (_number(header, "wkv.head_size") + 2)
    if any(name.startswith("shortconv") for name in layer):
        return (_number(header, "shortconv.l_cache") - 1) * width
    return 0


def _rows(tensor: TensorInfo) -> int:
    return tensor.shape[1]


def _number(header: Header, key: str) -> int:
    return header.number(f"{header.architecture}.{key}") or 0
