"""Exact recall: a small model of Gemma 4's layout that is trained to say which value followed a key far before.

    python recall.py train --out MODEL [--minutes 15]      two layers with the heads of E2B, 256 and 512 elements
    python recall.py measure --program gemma4 --model MODEL [--types f16,q8_0,rotated]

A text is pairs of tokens, a key and a value; each key stands once. Then some of the keys come again, and the value that stood
behind each is asked for. The first layer, with its sliding window, tells a value which key precedes it; the second, with full
attention, looks the key up among all: what a cache forgets of a key or a value shows as a wrong answer. `measure` counts
for each type of cache and length the answers to which the program gives a probability over one half, and the
Kullback-Leibler divergence from float32's probability of the right answer against all others.
"""

import argparse
import json
import math
import random
import shutil
import subprocess
import time
from pathlib import Path

WIDTH, HEADS, SLIDING, FULL, WINDOW, INNER = 256, 2, 256, 512, 512, 256
FIRST_VALUE, VALUES = 32, 256
FIRST_KEY, KEYS = FIRST_VALUE + VALUES, 16_384
VOCABULARY = FIRST_KEY + KEYS
BEGIN, EPS, CAP = 2, 1e-6, 30.0
DEMO = Path(__file__).resolve().parents[2] / "Models" / "Demo"


def text(choose: random.Random, length: int, queries: int) -> tuple[list[int], list[int]]:
    """Ids, and the places of the values that are asked for."""
    count = (length - 1) // 2 - queries
    keys = choose.sample(range(FIRST_KEY, FIRST_KEY + KEYS), count)
    values = {key: choose.randrange(FIRST_VALUE, FIRST_VALUE + VALUES) for key in keys}
    ids = [BEGIN]
    for key in keys + choose.sample(keys, queries):
        ids += [key, values[key]]
    return ids, list(range(len(ids) - 2 * queries + 1, len(ids), 2))


def configuration() -> dict:
    demo = json.loads((DEMO / "config.json").read_text())
    for part in ("vision_config", "audio_config"):
        demo[part] = None
    demo["text_config"] |= {
        "vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY, "hidden_size": WIDTH, "hidden_size_per_layer_input": 0,
        "intermediate_size": INNER, "use_double_wide_mlp": False, "num_hidden_layers": 2, "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"], "num_attention_heads": HEADS, "num_key_value_heads": 1,
        "head_dim": SLIDING, "global_head_dim": FULL, "sliding_window": WINDOW, "max_position_embeddings": 32_768, "dtype": "float32",
    }
    return demo | {"dtype": "float32"}


def train(out: Path, minutes: float) -> None:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(1)
    torch.set_num_threads(1)

    class Norm(nn.Module):
        def __init__(self, size: int, start: float = 1.0) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((size,), start))

        def forward(self, x):
            return F.rms_norm(x, x.shape[-1:], self.weight, EPS)

    def rotated(x, positions, theta, share):
        size = x.shape[-1]
        turning = int(share * size / 2)
        frequency = theta ** (-2 * torch.arange(size // 2) / size)
        frequency[turning:] = 0
        angle = positions[:, None, :, None] * frequency
        a, b = x.chunk(2, -1)
        return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)

    class Attention(nn.Module):
        def __init__(self, size: int, window: int | None, theta: float, share: float) -> None:
            super().__init__()
            self.size, self.window, self.theta, self.share = size, window, theta, share
            self.q_proj, self.k_proj = nn.Linear(WIDTH, HEADS * size, bias=False), nn.Linear(WIDTH, size, bias=False)
            self.v_proj, self.o_proj = nn.Linear(WIDTH, size, bias=False), nn.Linear(HEADS * size, WIDTH, bias=False)
            self.q_norm, self.k_norm = Norm(size, size**-0.25), Norm(size, size**-0.25)

        def forward(self, x, positions):
            heads = lambda y: y.unflatten(-1, (-1, self.size)).transpose(1, 2)
            queries = rotated(self.q_norm(heads(self.q_proj(x))), positions, self.theta, self.share)
            keys = rotated(self.k_norm(heads(self.k_proj(x))), positions, self.theta, self.share)
            values = F.rms_norm(heads(self.v_proj(x)), (self.size,), None, EPS)
            place = torch.arange(x.shape[1])
            distance = place[:, None] - place
            seen = (distance >= 0) & (distance < (self.window or len(place)))
            context = F.scaled_dot_product_attention(queries, keys, values, seen, scale=1.0, enable_gqa=True)
            return self.o_proj(context.transpose(1, 2).flatten(2))

    class MLP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj = nn.Linear(WIDTH, INNER, bias=False), nn.Linear(WIDTH, INNER, bias=False)
            self.down_proj = nn.Linear(INNER, WIDTH, bias=False)

        def forward(self, x):
            return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))

    class Layer(nn.Module):
        def __init__(self, *attention) -> None:
            super().__init__()
            self.self_attn, self.mlp = Attention(*attention), MLP()
            self.input_layernorm, self.post_attention_layernorm = Norm(WIDTH), Norm(WIDTH)
            self.pre_feedforward_layernorm, self.post_feedforward_layernorm = Norm(WIDTH), Norm(WIDTH)
            self.register_buffer("layer_scalar", torch.ones(1))

        def forward(self, x, positions):
            x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), positions))
            return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # Random and fixed: what is learnt holds for every key.  All have a part in common, which stands for a bias.
            common = F.normalize(torch.randn(WIDTH), dim=0)
            table = F.normalize(torch.randn(VOCABULARY, WIDTH), dim=1) + 0.5 * common
            self.register_buffer("table", F.normalize(table, dim=1))
            self.layers = nn.ModuleList([Layer(SLIDING, WINDOW, 1e4, 1.0), Layer(FULL, None, 1e6, 0.25)])
            self.norm = Norm(WIDTH)
            self.start(common)

        @torch.no_grad()
        def start(self, common) -> None:
            """Minutes instead of hours: the first layer begins with a look at the position before, whose token it adds in
            another basis; the second with queries for that basis; and it copies what it attends to."""
            first, second = (layer.self_attn for layer in self.layers)
            frequency = 1e4 ** (-2 * torch.arange(SLIDING // 2) / SLIDING)
            fast = (frequency > 0.1).float()
            before = torch.cat((fast * (frequency.cos() + frequency.sin()), fast * (frequency.cos() - frequency.sin())))
            first.k_proj.weight.mul_(0.1).add_(torch.cat((fast, fast))[:, None] * common)
            first.q_proj.weight.mul_(0.1).add_(before.repeat(HEADS)[:, None] * common)
            first.q_norm.weight.mul_(2)
            basis = nn.init.orthogonal_(torch.empty(WIDTH, WIDTH))
            for part in (first.v_proj, second.v_proj, second.k_proj):
                nn.init.orthogonal_(part.weight)
            first.o_proj.weight.copy_((basis @ first.v_proj.weight.t()).repeat(1, HEADS))
            second.o_proj.weight.copy_(second.v_proj.weight.t().repeat(1, HEADS))
            second.q_proj.weight.copy_((second.k_proj.weight @ basis).repeat(HEADS, 1))

        def forward(self, ids, stretched, at, candidates):
            x = F.embedding(ids, self.table) * math.sqrt(WIDTH)
            x = self.layers[0](x, torch.arange(ids.shape[1])[None])
            x = self.norm(self.layers[1](x, stretched)[torch.arange(len(ids))[:, None], at])
            return torch.tanh(x @ self.table[candidates].t() / CAP) * CAP

    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    choose, start, step, recent = random.Random(1), time.process_time(), 0, []
    while (passed := (time.process_time() - start) / 60 / minutes) < 1:
        longest = passed > 0.6 and step % 4 == 0
        batch, length, queries = (1, 3072, 384) if longest else (8, 96 if passed < 0.15 else 512, 16 if passed < 0.15 else 96)
        texts = [text(choose, length, queries) for _ in range(batch)]
        ids, at = torch.tensor([ids for ids, _ in texts]), torch.tensor([places for _, places in texts])
        # Farther apart than they stand here, up to the lengths that are measured; the first layer counts as it is.
        stretch = torch.rand(batch, 1) * (20_000 / ids.shape[1] - 1) + 1
        stretched = (torch.arange(ids.shape[1])[None] * stretch).floor()
        others = torch.randint(FIRST_KEY, VOCABULARY, (1024,))
        candidates = torch.cat((torch.arange(FIRST_VALUE, FIRST_KEY), others))
        logits = model(ids, stretched, at - 1, candidates)
        labels = ids.gather(1, at) - FIRST_VALUE
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50, max(0.02, (1 - passed) / 0.3))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append((logits.argmax(-1) == labels).float().mean().item())
        step += 1
        if step % 25 == 0:
            print(f"step {step}, {100 * passed:.0f} % of the time: loss {loss.item():.4f}, right {sum(recent[-25:]) / 25:.3f}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    names = {"table": "embed_tokens.weight"}
    state = {f"model.language_model.{names.get(name, name)}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(configuration(), indent=2))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        shutil.copy(DEMO / name, out / name)


def measure(program: str, model: str, types: list[str], lengths: list[int], texts: int, queries: int) -> None:
    for length in lengths:
        choose = random.Random(length)
        asked = [text(choose, length, queries) for _ in range(texts)]
        exact: list[float] = []
        for kind in types:
            found: list[float] = []
            for ids, places in asked:
                call = [program, "score", "--model", model, "--kv-cache", kind, "--tokens", ",".join(map(str, ids)), "--format", "json"]
                scores = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)["logprobs"]
                found += [scores[place] for place in places]
            exact = exact or found
            right = sum(score > math.log(0.5) for score in found)
            print(f"{length} tokens, {kind}: {right} of {len(found)} recalled, {divergence(exact, found):.2e} nats from {types[0]}, "
                  f"{-sum(found) / len(found):.5f} nats a value", flush=True)


def divergence(exact: list[float], found: list[float]) -> float:
    """The mean over answers of the divergence between two distributions over "this value" and "another"."""
    total = 0.0
    for p, q in zip(exact, found):
        rest, other = max(-math.expm1(p), 1e-12), max(-math.expm1(q), 1e-12)
        total += math.exp(p) * (p - q) + rest * (math.log(rest) - math.log(other))
    return total / len(exact)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--minutes", type=float, default=15, help="of one core")
    measuring = commands.add_parser("measure")
    measuring.add_argument("--program", required=True)
    measuring.add_argument("--model", required=True)
    measuring.add_argument("--types", default="f32,f16,q8_0,rotated")
    measuring.add_argument("--lengths", default="1024,4096,16384")
    measuring.add_argument("--texts", type=int, default=4)
    measuring.add_argument("--queries", type=int, default=128)
    options = parser.parse_args()
    if options.command == "train":
        train(options.out, options.minutes)
    else:
        lengths = [int(length) for length in options.lengths.split(",")]
        measure(options.program, options.model, options.types.split(","), lengths, options.texts, options.queries)


if __name__ == "__main__":
    main()
