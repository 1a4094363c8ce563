"""Tiny models of many architectures: what their headers say, and the tensors llama.cpp asks for.

Each function gives (hyperparameters without the architecture's prefix, tensor shapes), dimensions as GGUF names
them: the one that lies together in memory first.
"""

from collections.abc import Callable
from typing import Any

WIDTH, LAYERS, HEAD, WIDE = 64, 2, 32, 96
"""Embedding length, blocks, size of a head, feed-forward length."""
CONTEXT = 1024

Shapes = dict[str, tuple[int, ...]]
Parts = tuple[dict[str, Any], Shapes]

_BASE: dict[str, Any] = {
    "context_length": CONTEXT,
    "embedding_length": WIDTH,
    "block_count": LAYERS,
    "feed_forward_length": WIDE,
    "attention.head_count": WIDTH // HEAD,
    "attention.head_count_kv": 1,
    "attention.layer_norm_rms_epsilon": 1e-5,
}


def _block(i: int, shapes: Shapes) -> Shapes:
    return {f"blk.{i}.{name}": shape for name, shape in shapes.items()}


def _blocks(shapes: Shapes) -> Shapes:
    return {name: shape for i in range(LAYERS) for name, shape in _block(i, shapes).items()}


def _attention(queries: int = WIDTH, width: int = WIDTH) -> Shapes:
    return {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, queries),
        "attn_k.weight": (width, HEAD),
        "attn_v.weight": (width, HEAD),
        "attn_output.weight": (queries, width),
    }


_FEED: Shapes = {
    "ffn_norm.weight": (WIDTH,),
    "ffn_gate.weight": (WIDTH, WIDE),
    "ffn_up.weight": (WIDTH, WIDE),
    "ffn_down.weight": (WIDE, WIDTH),
}
_QK_NORM: Shapes = {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
_POST_NORM: Shapes = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
EXPERTS, USED = 4, 2
_EXPERTS: Shapes = {
    "ffn_norm.weight": (WIDTH,),
    "ffn_gate_inp.weight": (WIDTH, EXPERTS),
    "ffn_gate_exps.weight": (WIDTH, WIDE, EXPERTS),
    "ffn_up_exps.weight": (WIDTH, WIDE, EXPERTS),
    "ffn_down_exps.weight": (WIDE, WIDTH, EXPERTS),
}
_MOE = {"expert_count": EXPERTS, "expert_used_count": USED, "expert_feed_forward_length": WIDE}


def llama() -> Parts:
    """The plain transformer."""
    return _BASE, _blocks(_attention() | _FEED)


def gemma2() -> Parts:
    """Every other layer sees a sliding window only."""
    window = {"attention.sliding_window": 32, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    return _BASE | window | {"attention.key_length": HEAD}, _blocks(_attention() | _POST_NORM | _FEED)


def gemma3() -> Parts:
    """A sliding window in most layers: here in the first."""
    window = {"attention.sliding_window": 32, "attention.sliding_window_pattern": [True, False]}
    return _BASE | window, _blocks(_attention() | _QK_NORM | _POST_NORM | _FEED)


def qwen2moe() -> Parts:
    """Routed experts and one that all tokens share."""
    shared: Shapes = {
        "ffn_gate_inp_shexp.weight": (WIDTH,),
        "ffn_gate_shexp.weight": (WIDTH, WIDE),
        "ffn_up_shexp.weight": (WIDTH, WIDE),
        "ffn_down_shexp.weight": (WIDE, WIDTH),
    }
    heads = {"attention.head_count_kv": WIDTH // HEAD, "expert_shared_feed_forward_length": WIDE}
    attention = _attention() | {"attn_k.weight": (WIDTH, WIDTH), "attn_v.weight": (WIDTH, WIDTH)}
    output: Shapes = {"output.weight": (WIDTH, 0)}
    return _BASE | _MOE | heads, output | _blocks(attention | _EXPERTS | shared)


def gpt_oss() -> Parts:
    """Experts, a sliding window, attention sinks, and biases."""
    biases: Shapes = {
        "attn_output.bias": (WIDTH,),
        "attn_sinks.weight": (WIDTH // HEAD,),
        "post_attention_norm.weight": (WIDTH,),
        "ffn_gate_inp.bias": (EXPERTS,),
        "ffn_gate_exps.bias": (WIDE, EXPERTS),
        "ffn_up_exps.bias": (WIDE, EXPERTS),
        "ffn_down_exps.bias": (WIDTH, EXPERTS),
    }
    experts = {name: shape for name, shape in _EXPERTS.items() if name != "ffn_norm.weight"}
    shapes = {"output.weight": (WIDTH, 0)} | _blocks(_attention() | experts | biases)
    return _BASE | _MOE | {"attention.sliding_window": 32}, shapes


def deepseek2() -> Parts:
    """Attention over a compressed latent, one dense layer, then experts."""
    latent, rope, nope = 32, 16, 16
    hyper = {
        "attention.head_count_kv": 1,
        "attention.q_lora_rank": latent,
        "attention.kv_lora_rank": latent,
        "attention.key_length": latent + rope,
        "attention.value_length": latent,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": HEAD,
        "rope.dimension_count": rope,
        "leading_dense_block_count": 1,
        "expert_shared_count": 1,
        "vocab_size": 0,
    }
    heads = WIDTH // HEAD
    attention: Shapes = {
        "attn_norm.weight": (WIDTH,),
        "attn_q_a_norm.weight": (latent,),
        "attn_kv_a_norm.weight": (latent,),
        "attn_q_a.weight": (WIDTH, latent),
        "attn_q_b.weight": (latent, heads * (nope + rope)),
        "attn_kv_a_mqa.weight": (WIDTH, latent + rope),
        "attn_k_b.weight": (nope, latent, heads),
        "attn_v_b.weight": (latent, HEAD, heads),
        "attn_output.weight": (heads * HEAD, WIDTH),
    }
    shared: Shapes = {
        "ffn_gate_shexp.weight": (WIDTH, WIDE),
        "ffn_up_shexp.weight": (WIDTH, WIDE),
        "ffn_down_shexp.weight": (WIDE, WIDTH),
    }
    return _BASE | _MOE | hyper, _block(0, attention | _FEED) | _block(1, attention | _EXPERTS | shared)


_STATE, _KERNEL, _RANK, _INNER = 16, 4, 8, 2 * WIDTH
_SSM = {"ssm.conv_kernel": _KERNEL, "ssm.inner_size": _INNER, "ssm.state_size": _STATE}


def _mamba_layer() -> Shapes:
    return {
        "attn_norm.weight": (WIDTH,),
        "ssm_in.weight": (WIDTH, 2 * _INNER),
        "ssm_conv1d.weight": (_KERNEL, _INNER),
        "ssm_conv1d.bias": (_INNER,),
        "ssm_x.weight": (_INNER, _RANK + 2 * _STATE),
        "ssm_dt.weight": (_RANK, _INNER),
        "ssm_dt.bias": (_INNER,),
        "ssm_a": (_STATE, _INNER),
        "ssm_d": (_INNER,),
        "ssm_out.weight": (_INNER, WIDTH),
    }


def _mamba2_layer(heads: int = 2) -> Shapes:
    mixed = _INNER + 2 * _STATE
    return {
        "attn_norm.weight": (WIDTH,),
        "ssm_in.weight": (WIDTH, _INNER + mixed + heads),
        "ssm_conv1d.weight": (_KERNEL, mixed),
        "ssm_conv1d.bias": (mixed,),
        "ssm_dt.bias": (heads,),
        "ssm_a": (1, heads),
        "ssm_d": (1, heads),
        "ssm_norm.weight": (_INNER, 1),
        "ssm_out.weight": (_INNER, WIDTH),
    }


_NO_HEADS = {"feed_forward_length": 0, "attention.head_count": 0, "attention.head_count_kv": 0}
_MAMBA2 = _SSM | {"ssm.time_step_rank": 2, "ssm.group_count": 1}
_SECOND_ATTENDS = {"attention.head_count_kv": [0, 1]}


def mamba() -> Parts:
    """Recurrent: a state instead of a cache."""
    return _BASE | _SSM | _NO_HEADS | {"ssm.time_step_rank": _RANK}, _blocks(_mamba_layer())


def mamba2() -> Parts:
    """Recurrent, with heads."""
    return _BASE | _MAMBA2 | _NO_HEADS, _blocks(_mamba2_layer())


def rwkv7() -> Parts:
    """Recurrent, of another family. A head is 64 wide as in every published one: AVX-512 misreads narrower ones."""
    low = 16
    hyper = {
        "wkv.head_size": 64,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.decay_lora_rank": low,
        "attention.iclr_lora_rank": low,
        "attention.value_residual_mix_lora_rank": low,
        "attention.gate_lora_rank": low,
    }
    layer: Shapes = {
        f"{name}.{part}": (WIDTH,) for name in ("attn_norm", "attn_norm_2") for part in ("weight", "bias")
    }
    for name in "wav":
        layer |= {
            f"time_mix_{name}0.weight": (WIDTH,),
            f"time_mix_{name}1.weight": (WIDTH, low),
            f"time_mix_{name}2.weight": (low, WIDTH),
        }
    layer |= {
        "time_mix_g1.weight": (WIDTH, low),
        "time_mix_g2.weight": (low, WIDTH),
        "time_mix_lerp_fused.weight": (WIDTH, 1, 1, 6),
        "time_mix_k_k.weight": (WIDTH,),
        "time_mix_k_a.weight": (WIDTH,),
        "time_mix_r_k.weight": (WIDTH,),
        "time_mix_key.weight": (WIDTH, WIDTH),
        "time_mix_value.weight": (WIDTH, WIDTH),
        "time_mix_receptance.weight": (WIDTH, WIDTH),
        "time_mix_ln.weight": (WIDTH,),
        "time_mix_ln.bias": (WIDTH,),
        "time_mix_output.weight": (WIDTH, WIDTH),
        "channel_mix_lerp_k.weight": (WIDTH, 1, 1),
        "channel_mix_key.weight": (WIDTH, WIDE),
        "channel_mix_value.weight": (WIDE, WIDTH),
    }
    ends: Shapes = {
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
        "output_norm.bias": (WIDTH,),
        "output.weight": (WIDTH, 0),
    }
    no_heads = {name: 0 for name in ("attention.head_count", "attention.head_count_kv")}
    return _BASE | hyper | no_heads, ends | _blocks(layer)


def jamba() -> Parts:
    """Hybrid: a Mamba layer, then one with attention."""
    norms: Shapes = {
        "ssm_dt_norm.weight": (_RANK,),
        "ssm_b_norm.weight": (_STATE,),
        "ssm_c_norm.weight": (_STATE,),
    }
    shapes = _block(0, _mamba_layer() | norms | _FEED) | _block(1, _attention() | _FEED)
    return _BASE | _SSM | _SECOND_ATTENDS | {"ssm.time_step_rank": _RANK}, shapes


def granitehybrid() -> Parts:
    """Hybrid: a Mamba 2 layer, then one with attention."""
    return _BASE | _MAMBA2 | _SECOND_ATTENDS, _block(0, _mamba2_layer() | _FEED) | _block(1, _attention() | _FEED)


def falcon_h1() -> Parts:
    """Hybrid: both in every layer, side by side."""
    feed = {name if name != "ffn_norm.weight" else "ffn_norm": shape for name, shape in _FEED.items()}
    return _BASE | _MAMBA2, _blocks(_mamba2_layer() | _attention() | feed)


def lfm2() -> Parts:
    """Hybrid: a short convolution, then attention."""
    convolution: Shapes = {
        "attn_norm.weight": (WIDTH,),
        "shortconv.conv.weight": (3, WIDTH),
        "shortconv.in_proj.weight": (WIDTH, 3 * WIDTH),
        "shortconv.out_proj.weight": (WIDTH, WIDTH),
    }
    shapes = _block(0, convolution | _FEED) | _block(1, _attention() | _QK_NORM | _FEED)
    return _BASE | _SECOND_ATTENDS | {"shortconv.l_cache": 3}, shapes


def qwen35() -> Parts:
    """Hybrid: a gated delta net, then gated attention."""
    heads, state = 2, 32
    inner, mixed = heads * state, 3 * heads * state
    hyper = {
        "ssm.conv_kernel": _KERNEL,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads,
        "ssm.group_count": heads,
        "full_attention_interval": 2,
        "rope.dimension_sections": [8, 4, 4, 0],
    }
    delta: Shapes = {
        "attn_norm.weight": (WIDTH,),
        "attn_qkv.weight": (WIDTH, mixed),
        "attn_gate.weight": (WIDTH, inner),
        "ssm_conv1d.weight": (_KERNEL, mixed),
        "ssm_dt.bias": (heads,),
        "ssm_a": (heads,),
        "ssm_beta.weight": (WIDTH, heads),
        "ssm_alpha.weight": (WIDTH, heads),
        "ssm_norm.weight": (state,),
        "ssm_out.weight": (inner, WIDTH),
    }
    after: Shapes = {"post_attention_norm.weight": (WIDTH,)}
    feed = {name: shape for name, shape in _FEED.items() if name != "ffn_norm.weight"}
    gated = _attention() | {"attn_q.weight": (WIDTH, 2 * WIDTH)}
    return _BASE | hyper, _block(0, delta | after | feed) | _block(1, gated | _QK_NORM | after | feed)


ARCHITECTURES: dict[str, Callable[[], Parts]] = {
    "llama": llama,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "qwen2moe": qwen2moe,
    "gpt-oss": gpt_oss,
    "deepseek2": deepseek2,
    "mamba": mamba,
    "mamba2": mamba2,
    "rwkv7": rwkv7,
    "jamba": jamba,
    "granitehybrid": granitehybrid,
    "falcon-h1": falcon_h1,
    "lfm2": lfm2,
    "qwen35": qwen35,
}
REFUSED = {"dream": llama}
"""These are no decoders: a diffusion model."""
LAST_NORM = {"lfm2": "token_embd_norm.weight"}
"""What the norm before the output is called, where that is not ``output_norm.weight``."""
RECURRENT = ("mamba", "mamba2", "rwkv7")
HYBRID = ("jamba", "granitehybrid", "falcon-h1", "lfm2", "qwen35")
