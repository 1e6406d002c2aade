"""What transformers answers: greedy tokens, log-probabilities, and the values on the way."""
import json
from contextlib import contextmanager
from functools import partial

import torch
import transformers
from transformers.models.gemma4_unified import modeling_gemma4_unified as unified

from . import attachments, conversations, variants

ANSWER_TOKENS = 20
SHORTEST_STOPPED_ANSWER = 5
MEDIA = ["<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>"]
SMALLEST_MARGIN = 0.06  # two correct f32 implementations differ by up to 1e-3 (measured)


class Reference:
    """One checkpoint, opened by transformers in f32 with eager attention."""

    def __init__(self, name, folder):
        self.folder = folder
        self.is_unified = name in variants.IS_UNIFIED
        family = variants.family(name)
        self.processor = getattr(transformers, f"{family}Processor").from_pretrained(folder)
        self.model, loading = getattr(transformers, f"{family}ForConditionalGeneration").from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"], loading
        self.model.eval()
        generation = json.loads((folder / "generation_config.json").read_text())
        self.stop, self.suppress = set(generation["eos_token_id"]), generation.get("suppress_tokens", [])
        self.media = set(self.processor.tokenizer.convert_tokens_to_ids(MEDIA))

    # MARK: prompts

    def render(self, messages, thinking):
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)

    def inputs(self, messages, prompt, root):
        """The processor's tensors for a rendered prompt; media paths are relative to `root`."""
        parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
        images = [attachments.read_picture(root / part["image"]) for part in parts if part["type"] == "image"]
        audio = [attachments.read_samples(root / part["audio"]) for part in parts if part["type"] == "audio"]
        return self.processor(text=[prompt], images=[images] if images else None, audio=audio or None, return_tensors="pt")

    # MARK: answers

    @torch.no_grad()
    def answer(self, inputs):
        """Greedy generation by transformers, with stop and suppressed tokens from `generation_config.json`."""
        count = inputs["input_ids"].shape[1]
        output = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=ANSWER_TOKENS, output_logits=True, output_scores=True,
            return_dict_in_generate=True, stopping_criteria=[Unfit()])
        tokens = output.sequences[0, count:].tolist()
        logits = torch.cat(output.logits).float()  # [steps, vocabulary], before suppression
        suppressed = logits.clone()
        suppressed[:, self.suppress] = -torch.inf
        assert suppressed.argmax(-1).tolist() == tokens
        best = suppressed.topk(2).values
        return {
            "tokens": tokens,
            "logprobs": pick(logits, tokens),
            "margins": (best[:, 0] - best[:, 1]).tolist(),
            "finish_reason": "stop" if tokens[-1] in self.stop else "length",
            "text": self.processor.tokenizer.decode(tokens, skip_special_tokens=True),
            "suppression_matters": bool((logits.argmax(-1) != suppressed.argmax(-1)).any()),
        }

    @torch.no_grad()
    def check_masks(self, inputs, answer):
        """That `masks_with_window` makes the masks which transformers itself makes for a static cache."""
        output = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=ANSWER_TOKENS, output_logits=True, return_dict_in_generate=True,
            cache_implementation="static", disable_compile=True)
        logprobs = pick(torch.cat(output.logits).float(), answer["tokens"])
        assert max(abs(a - b) for a, b in zip(logprobs, answer["logprobs"])) < 1e-3

    def fits(self, answer, case):
        """Whether the answer can tell a right implementation from a wrong one, and not from a rounding difference."""
        stopped = answer["finish_reason"] == "stop"
        return (
            min(answer["margins"]) >= SMALLEST_MARGIN
            and (stopped or len(answer["tokens"]) == ANSWER_TOKENS)
            and self.media.isdisjoint(answer["tokens"])  # nobody samples them, whatever `suppress_tokens` lists
            and len(set(answer["tokens"])) > len(answer["tokens"]) // 2
            and (stopped and len(answer["tokens"]) >= SHORTEST_STOPPED_ANSWER if case.wants == "stop" else not stopped)
            and (case.wants != "suppressed" or answer["suppression_matters"])
        )

    def run(self, case, root):
        """The first wording of a case whose answer fits: its messages, inputs and expected values.

        The wording that lies in `root` is tried before all others: where nothing changed, nothing is searched.
        """
        wordings = [conversations.filled(case.messages, n) for n in range(1, 400)]
        file = root / f"{case.name}.json"
        present = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        for messages in sorted(wordings, key=lambda wording: wording != present):
            prompt = self.render(messages, case.thinking)
            inputs = self.inputs(messages, prompt, root)
            answer = self.answer(inputs)
            if self.fits(answer, case):
                return messages, inputs, {
                    "name": case.name, "thinking": case.thinking, "prompt": prompt,
                    "prompt_tokens": inputs["input_ids"][0].tolist(),
                    "prompt_logprobs": self.prompt_logprobs(inputs),
                } | answer
        raise SystemExit(f"{self.folder}: no wording of {case.name} fits")

    @torch.no_grad()
    def prompt_logprobs(self, inputs):
        logits = self.model(**inputs).logits[0].float()
        return [None] + pick(logits[:-1], inputs["input_ids"][0, 1:].tolist())

    # MARK: values on the way

    @torch.no_grad()
    def trace(self, inputs):
        """Tensors by name: everything the README lists for a traced case, padding removed."""
        model, text = self.model.model, self.model.model.language_model
        modules = {f"layer.{i}": layer for i, layer in enumerate(text.layers)}
        if self.is_unified:
            return self.unified_trace(inputs, modules)
        inner = []
        project = text.project_per_layer_inputs

        def keep_per_layer_inputs(*arguments):
            inner.append(project(*arguments))
            return inner[-1]

        text.project_per_layer_inputs = keep_per_layer_inputs
        has_images, has_audio = "pixel_values" in inputs, "input_features" in inputs
        if has_images:
            tower = model.vision_tower
            modules |= {"vision.embedded": tower.patch_embedder, "vision.pooled": tower.pooler, "vision.tower": tower}
            modules |= {f"vision.layer.{i}": layer for i, layer in enumerate(tower.encoder.layers)}
            modules["vision.soft"] = model.embed_vision
        if has_audio:
            tower = model.audio_tower
            modules |= {"audio.subsampled": tower.subsample_conv_projection, "audio.projected": tower.output_proj}
            modules["audio.convolved"] = tower.subsample_conv_projection.layer1
            modules |= {f"audio.layer.{i}": layer for i, layer in enumerate(tower.layers)}
            modules["audio.soft"] = model.embed_audio
        with recorded(modules, text.layers[0]) as values:
            values["logits"] = self.model(**inputs).logits
        del text.project_per_layer_inputs
        if inner:
            values["perLayerInputs"] = inner[0]
        result = {key: value.float().reshape(value.shape[1:] if value.shape[0] == 1 else value.shape) for key, value in values.items()}
        if has_images:
            count = int((inputs["image_position_ids"][0, :, 0] >= 0).sum())
            for key in result:
                if key.startswith("vision.") and key not in ("vision.tower", "vision.soft"):
                    result[key] = result[key][: count // 9 if key == "vision.pooled" else count]
        if has_audio:
            frames = int(inputs["input_features_mask"][0].sum())
            result["audio.mel"] = inputs["input_features"][0]
            result["audio.convolved"] = result["audio.convolved"].permute(1, 2, 0)  # [frames, frequencies, channels]
            for key in result:
                if key.startswith("audio."):
                    result[key] = result[key][: frames if key == "audio.mel" else (frames + 3) // 4]
        return {key: value.contiguous().clone() for key, value in result.items()}

    def unified_trace(self, inputs, modules):
        """The same of the model without towers."""
        model = self.model.model
        has_images, has_audio = "pixel_values" in inputs, "input_features" in inputs
        if has_images:
            vision = model.embed_vision
            modules |= {"vision.projected": vision.patch_ln2, "vision.positioned": vision.pos_norm}
            modules["vision.soft"] = vision.multimodal_embedder
        if has_audio:
            modules["audio.soft"] = model.embed_audio
        with recorded(modules, model.language_model.layers[0]) as values:
            values["logits"] = self.model(**inputs).logits
        result = {key: value.float()[0] for key, value in values.items()}
        if has_images:
            count = int((inputs["image_position_ids"][0, :, 0] >= 0).sum())
            result |= {key: value[:count] for key, value in result.items() if key.startswith("vision.")}
        if has_audio:
            assert bool(inputs["input_features_mask"].all())
            result["audio.frames"] = inputs["input_features"][0]
        return {key: value.contiguous().clone() for key, value in result.items()}

    @torch.no_grad()
    def soft_tokens(self, root):
        """Soft tokens of every attachment on its own, `[count, hiddenSize]`."""
        result = {}
        for name in attachments.PICTURES:
            picture = attachments.read_picture(root / f"{name}.png")
            inputs = self.processor.image_processor([picture], return_tensors="pt")
            features = self.model.model.get_image_features(inputs["pixel_values"], inputs["image_position_ids"])
            result[f"{name}.soft"] = features.pooler_output[0]
        if self.model.config.audio_config is not None:
            for name in attachments.RECORDINGS:
                samples = attachments.read_samples(root / f"{name}.wav")
                inputs = self.processor.feature_extractor([samples], return_tensors="pt")
                features = self.model.model.get_audio_features(inputs["input_features"], inputs["input_features_mask"])
                result[f"{name}.soft"] = features.pooler_output[features.attention_mask]
        return {key: value.contiguous().clone() for key, value in result.items()}


def masks_with_window(create_masks, block_sequence_ids=None, **arguments):
    """The masks of the 12B, as `gemma4` makes them and as `generate` does with a static cache: what a picture's tokens see
    of each other they see on sliding layers alone, and within the window. transformers 5.24 makes them another way where
    `Gemma4UnifiedModel.forward` is called without."""
    if block_sequence_ids is None or not (block_sequence_ids >= 0).any():
        return create_masks(**arguments)
    return unified.create_masks_for_vision_model(block_sequence_ids=block_sequence_ids, **arguments)


unified.create_masks_for_generate = partial(masks_with_window, unified.create_masks_for_generate)


class Unfit(transformers.StoppingCriteria):
    """Gives an answer up once two tokens were too close to call or one repeats: its wording will not be used."""

    def __call__(self, input_ids, scores, **kwargs):
        best = scores[-1].topk(2).values
        last = input_ids[:, -8:]
        return (best[:, 0] - best[:, 1] < SMALLEST_MARGIN) | ((last == last[:, :1]).all(-1) & (len(scores) >= 8))


def pick(logits, tokens):
    return torch.log_softmax(logits.double(), -1)[range(len(tokens)), tokens].tolist()


@contextmanager
def recorded(modules, first_layer):
    """Collects the modules' outputs, and the input of the first decoder layer as `embedded`."""
    values, hooks = {}, []

    def keep(name):
        def hook(_module, _arguments, output):
            value = getattr(output, "last_hidden_state", output)
            values[name] = (value[0] if isinstance(value, tuple) else value).clone()

        return hook

    def keep_input(_module, arguments):
        values["embedded"] = arguments[0].clone()

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    hooks.append(first_layer.register_forward_pre_hook(keep_input))
    try:
        yield values
    finally:
        for hook in hooks:
            hook.remove()
