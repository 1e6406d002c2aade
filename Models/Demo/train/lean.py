"""Lean training passes of transformers' Gemma 4 modules: the same parameters and the same mathematics, less memory traffic.

On a CPU the first convolution of the audio tower (128 channels at half the frame rate) costs more than the whole
conformer. Here it is one matrix product over gathered 3x3 patches, channels stay last, all is bfloat16 where that is
fast, and the first layer is never trained: 128 random filters of nine inputs lose nothing. The `check_` functions
compare with transformers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel, Gemma4VisionModel

# Without AVX-512 products of bfloat16 are emulated: 50 times slower than float32, measured on Zen 3.
FAST = torch.bfloat16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else torch.float32


def mixed() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=FAST == torch.bfloat16)


def _norm(module: torch.nn.Module, hidden: Tensor) -> Tensor:
    """`Gemma4RMSNorm`; torch has one kernel for it where input and weight are of one type."""
    weight = getattr(module, "weight", None)
    return F.rms_norm(hidden, hidden.shape[-1:], None if weight is None else weight.to(hidden.dtype), module.eps)


def _heads(states: Tensor, size: int) -> Tensor:
    return states.unflatten(-1, (-1, size)).transpose(1, 2)


def start_front(front: torch.nn.Module) -> None:
    """Random filters for both convolutions, the first with less weight on the mean of its nine inputs."""
    weight = torch.randn_like(front.layer0.conv.weight)
    with torch.no_grad():
        front.layer0.conv.weight.copy_(weight - 0.8 * weight.mean((2, 3), keepdim=True))
        front.layer1.conv.weight.normal_(std=(9 * front.layer1.conv.in_channels) ** -0.5)


def subsample(front: torch.nn.Module, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The convolutions of `Gemma4AudioSubSampleConvProjection`: [B, T, 128] and mask -> [B, T/4, 32 channels' features] and mask."""
    first, second = front.layer0, front.layer1
    channels = first.conv.out_channels
    with torch.no_grad():
        padded = F.pad(frames * mask[..., None], (1, 1, 1, 1)).to(FAST)
        patches = padded.unfold(1, 3, 2).unfold(2, 3, 2)  # [B, T/2, 64, 3, 3]
        shape, mask = patches.shape[:3], mask[:, ::2]
        # A zero patch stays zero through product, norm and ReLU: masking the nine inputs masks the 128 outputs.
        hidden = (patches.reshape(*shape, 9) * mask[:, :, None, None]).view(-1, 9) @ first.conv.weight.view(channels, 9).t().to(FAST)
        hidden = F.layer_norm(hidden, (channels,), first.norm.weight.to(FAST), None, first.norm.eps).relu_()
    hidden = F.conv2d(hidden.view(*shape, channels).permute(0, 3, 1, 2), second.conv.weight.to(FAST), stride=2, padding=1).permute(0, 2, 3, 1)
    hidden = F.layer_norm(hidden, (hidden.shape[-1],), second.norm.weight.to(FAST), None, second.norm.eps).relu()
    return hidden.flatten(2), mask[:, ::2]


def _feed_forward(part, hidden: Tensor) -> Tensor:
    inner = F.silu(part.ffw_layer_1.linear(_norm(part.pre_layer_norm, hidden)))
    return hidden + part.post_layer_scale * _norm(part.post_layer_norm, part.ffw_layer_2.linear(inner))


def _relative_attention(part, hidden: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
    """The banded form of `Gemma4AudioAttention`: query t sees keys t-11...t. `allowed` is [B, 1, T, T]."""
    size = part.head_dim
    queries = _heads(part.q_proj.linear(hidden), size) * (part.q_scale * F.softplus(part.per_dim_scale)).to(FAST)
    keys = _heads(part.k_proj.linear(hidden), size) * part.k_scale
    values = _heads(part.v_proj.linear(hidden), size)
    time = hidden.shape[1]
    relative = part.relative_k_proj(positions)[0].unflatten(-1, (-1, size))  # [distances 12...0, heads, size]
    by_distance = torch.einsum("bhtd,rhd->bhtr", queries, relative.to(queries.dtype))
    distance = (torch.arange(time)[:, None] - torch.arange(time)[None]).clamp(0, len(relative) - 1)
    scores = queries @ keys.transpose(2, 3)
    scores = scores + by_distance.gather(-1, (len(relative) - 1 - distance).expand(*scores.shape))
    cap = part.attention_logits_soft_cap
    scores = (torch.tanh(scores.float() / cap) * cap).masked_fill(~allowed, part.config.attention_invalid_logits_value)
    context = scores.softmax(-1).to(values.dtype) @ values
    return part.post.linear(context.transpose(1, 2).flatten(2))


def _light_convolution(part, hidden: Tensor) -> Tensor:
    inner = F.glu(part.linear_start.linear(_norm(part.pre_layer_norm, hidden)), -1)
    kernel = part.depthwise_conv1d.weight[:, 0].to(inner.dtype)  # [channels, 5]
    taps = kernel.shape[1]
    padded = F.pad(inner, (0, 0, taps - 1, 0))
    inner = sum(padded[:, n : n + hidden.shape[1]] * kernel[:, n] for n in range(taps))
    return hidden + part.linear_end.linear(F.silu(_norm(part.conv_norm, inner)))


def audio_tower(tower: Gemma4AudioModel, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`Gemma4AudioModel` without clips: [B, T/4, output_proj_dims] and its mask."""
    features, mask = subsample(tower.subsample_conv_projection, frames, mask)
    return conformer(tower, features, mask)[1], mask


def conformer(tower: Gemma4AudioModel, features: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
    """The tower behind its convolutions: every layer's output, and the tower's [B, T/4, output_proj_dims]."""
    hidden = F.linear(features, tower.subsample_conv_projection.input_proj_linear.weight.to(FAST))
    positions, outputs = tower.rel_pos_enc(hidden), []
    time = torch.arange(mask.shape[1])
    distance = time[:, None] - time[None]
    allowed = ((distance >= 0) & (distance < tower.config.attention_context_left - 1)) & mask[:, None, None]
    with mixed():
        for layer in tower.layers:
            hidden = _feed_forward(layer.feed_forward1, hidden)
            attended = _relative_attention(layer.self_attn, _norm(layer.norm_pre_attn, hidden), positions, allowed)
            hidden = hidden + _norm(layer.norm_post_attn, attended)
            hidden = _feed_forward(layer.feed_forward2, _light_convolution(layer.lconv1d, hidden))
            hidden = _norm(layer.norm_out, hidden)
            outputs.append(hidden)
        return outputs, tower.output_proj(hidden).float()


def check_audio(tower: Gemma4AudioModel) -> float:
    """Largest difference from transformers' own forward pass, relative to its largest value; bfloat16 allows a few per cent."""
    frames = torch.randn(3, 96, 128, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(96)[None] < torch.tensor([[96], [77], [40]])
    with torch.no_grad():
        ours, valid = audio_tower(tower, frames, mask)
        output = tower(frames, mask)
    assert torch.equal(valid, output.attention_mask)
    theirs = output.last_hidden_state
    return ((ours - theirs).abs()[valid].max() / theirs[valid].abs().max()).item()


def _rotate_both(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The first half of a head turns with x, the second with y; angles are [1, 1, N, D]."""
    a, b, c, d = states.chunk(4, -1)
    return states * cos + torch.cat((-b, a, -d, c), -1) * sin


def vision_tower(tower: Gemma4VisionModel, pixels: Tensor, positions: Tensor) -> Tensor:
    """`Gemma4VisionModel` without clips, for pictures of one size: patches [B, N, 768], positions [N, 2] -> [B, N/9, hidden]."""
    embedder, size = tower.patch_embedder, tower.config.head_dim
    columns, rows = (positions.max(0).values + 1).tolist()
    with torch.no_grad():
        cos, sin = (part[0, None, None].to(FAST) for part in tower.encoder.rotary_emb(pixels, positions[None]))
    with mixed():
        table = embedder.position_embedding_table
        hidden = embedder.input_proj(2 * (pixels - 0.5)) + (table[0, positions[:, 0]] + table[1, positions[:, 1]]).to(FAST)
        for layer in tower.encoder.layers:
            attention = layer.self_attn
            normed = _norm(layer.input_layernorm, hidden)
            queries = _rotate_both(_norm(attention.q_norm, _heads(attention.q_proj.linear(normed), size)), cos, sin)
            keys = _rotate_both(_norm(attention.k_norm, _heads(attention.k_proj.linear(normed), size)), cos, sin)
            values = _norm(attention.v_norm, _heads(attention.v_proj.linear(normed), size))
            context = F.scaled_dot_product_attention(queries, keys, values, scale=1.0).transpose(1, 2).flatten(2)
            hidden = hidden + _norm(layer.post_attention_layernorm, attention.o_proj.linear(context))
            normed = _norm(layer.pre_feedforward_layernorm, hidden)
            inner = F.gelu(layer.mlp.gate_proj.linear(normed), approximate="tanh") * layer.mlp.up_proj.linear(normed)
            hidden = hidden + _norm(layer.post_feedforward_layernorm, layer.mlp.down_proj.linear(inner))
        kernel = tower.config.pooling_kernel_size
        blocks = hidden.float().unflatten(1, (rows // kernel, kernel, columns // kernel, kernel))
        return blocks.mean((2, 4)).flatten(1, 2) * tower.config.hidden_size**0.5


def check_vision(tower: Gemma4VisionModel) -> float:
    """Largest difference from transformers' own forward pass, relative to its largest value."""
    pixels = torch.rand(2, 12 * 9, 768, generator=torch.Generator().manual_seed(0))
    positions = torch.cartesian_prod(torch.arange(9), torch.arange(12)).flip(-1)
    with torch.no_grad():
        ours = vision_tower(tower, pixels, positions)
        theirs = tower(pixels, positions.expand(2, -1, -1)).last_hidden_state.view_as(ours)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


# The decoder. Its last layers own no keys and values, so they are needed only where an answer is predicted; and the
# prompt's beginning is the same for a whole batch, so it is computed once.


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[B, heads, T, D] by angles [B or 1, T, D]."""
    first, second = states.chunk(2, -1)
    return states * cos[:, None] + torch.cat((-second, first), -1) * sin[:, None]


def _decoder_layer(layer, hidden: Tensor, per_layer: Tensor, angles, mask: Tensor, key_values, past):
    """One decoder layer: `key_values` of another layer, or None to make its own behind those of `past`. Returns both."""
    attention, (cos, sin) = layer.self_attn, angles
    size = attention.head_dim
    normed = _norm(layer.input_layernorm, hidden)
    queries = _rotate(_norm(attention.q_norm, _heads(attention.q_proj(normed), size)), cos, sin)
    if key_values is None:
        keys = _rotate(_norm(attention.k_norm, _heads(attention.k_proj(normed), size)), cos, sin)
        values = _norm(attention.v_norm, _heads(attention.v_proj(normed), size))
        if past is not None:
            batch = keys.shape[0]
            keys = torch.cat((past[0].expand(batch, -1, -1, -1), keys), 2)
            values = torch.cat((past[1].expand(batch, -1, -1, -1), values), 2)
        key_values = keys, values
    keys, values = key_values
    context = F.scaled_dot_product_attention(queries.to(FAST), keys.to(FAST), values.to(FAST), mask, scale=1.0, enable_gqa=True)
    hidden = hidden + _norm(layer.post_attention_layernorm, attention.o_proj(context.transpose(1, 2).flatten(2)))
    hidden = hidden + _norm(layer.post_feedforward_layernorm, layer.mlp(_norm(layer.pre_feedforward_layernorm, hidden)))
    gated = layer.act_fn(layer.per_layer_input_gate(hidden)) * per_layer
    hidden = hidden + _norm(layer.post_per_layer_input_norm, layer.per_layer_projection(gated))
    return hidden * layer.layer_scalar, key_values


def _masks(config, positions: Tensor, length: int) -> dict[str, Tensor]:
    """Which of the first `length` tokens each query at `positions` [B or 1, T] may see: [B or 1, 1, T, length]."""
    distance = positions[:, None, :, None] - torch.arange(length)
    return {"full_attention": distance >= 0, "sliding_attention": (distance >= 0) & (distance < config.sliding_window)}


def _own_layers(text, ids: Tensor, embedded: Tensor, start: int, past: list | None):
    """The layers that own keys and values, on tokens from position `start` on; and what the others need of them."""
    config = text.config
    per_layer = text.project_per_layer_inputs(embedded, text.get_per_layer_inputs(ids, None))
    positions = start + torch.arange(ids.shape[1])[None]
    angles = {kind: text.rotary_emb(embedded, positions, kind) for kind in text.unique_layer_types}
    masks = _masks(config, positions, start + ids.shape[1])
    hidden, made = embedded, []
    for n in range(config.num_hidden_layers - config.num_kv_shared_layers):
        kind = config.layer_types[n]
        hidden, key_values = _decoder_layer(text.layers[n], hidden, per_layer[:, :, n], angles[kind], masks[kind], None, past and past[n])
        made.append(key_values)
    return hidden, per_layer, made


def answer_logits(model, prefix: Tensor, ids: Tensor, soft: Tensor, soft_mask: Tensor, at: Tensor) -> Tensor:
    """Logits of the decoder where answers are predicted.

    prefix [P]: ids that all sequences begin with; ids [B, T]: the rest, padded on the right; soft [N, hidden]: soft tokens in
    order, for the True places of soft_mask [B, T]; at [B, A]: places in `ids` whose next token is wanted.
    Returns [B, A, vocabulary] after the soft cap.
    """
    text = model.model.language_model
    config = text.config
    with mixed():
        _, _, past = _own_layers(text, prefix[None], text.embed_tokens(prefix[None]), 0, None)
        ids = ids.masked_fill(soft_mask, config.pad_token_id)
        embedded = text.embed_tokens(ids).masked_scatter(soft_mask[..., None], soft)
        hidden, per_layer, made = _own_layers(text, ids, embedded, len(prefix), past)
        rows = torch.arange(len(ids))[:, None]
        hidden, per_layer, positions = hidden[rows, at], per_layer[rows, at], len(prefix) + at
        angles = {kind: text.rotary_emb(hidden, positions, kind) for kind in text.unique_layer_types}
        masks = _masks(config, positions, len(prefix) + ids.shape[1])
        source = {config.layer_types[n]: key_values for n, key_values in enumerate(made)}
        for n in range(len(made), config.num_hidden_layers):
            kind = config.layer_types[n]
            hidden, _ = _decoder_layer(text.layers[n], hidden, per_layer[:, :, n], angles[kind], masks[kind], source[kind], None)
        logits = F.linear(_norm(text.norm, hidden), text.embed_tokens.weight).float()
    cap = config.final_logit_softcapping
    return torch.tanh(logits / cap) * cap


def check_decoder(model) -> float:
    """Largest difference from transformers' logits on a text of random ids, relative to its largest value."""
    ids = torch.randint(30, 900, (2, 150), generator=torch.Generator().manual_seed(0))
    ids[1, :20] = ids[0, :20]
    at = torch.tensor([[100, 129], [3, 90]])
    with torch.no_grad():
        ours = answer_logits(model, ids[0, :20], ids[:, 20:], torch.zeros(0, model.config.text_config.hidden_size), torch.zeros(2, 130, dtype=torch.bool), at)
        theirs = model(input_ids=ids).logits[torch.arange(2)[:, None], 20 + at]
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
