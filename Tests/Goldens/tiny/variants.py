"""The five variants at toy size: `config.json` in the spelling of the published files, and the files beside it.

Sizes are odd on purpose: no two widths agree unless the family says so, head sizes differ between sliding and full
layers, the window is far smaller than a prompt, and ids are not the published ones.
"""

NAMES = ["E2B", "E4B", "12B", "31B", "26B-A4B"]
SEEDS = {"E2B": 2026_01, "E4B": 2026_02, "31B": 2026_03, "26B-A4B": 2026_04, "12B": 2026_06}
HAS_AUDIO = {"E2B", "E4B", "12B"}
HAS_SMALL_TOWERS = {"E2B", "E4B"}
IS_UNIFIED = {"12B"}  # no towers: patches and frames of samples go straight into a projection
SUPPRESSES = {"E2B", "E4B", "31B", "12B"}  # a list of suppressed tokens is published only for some checkpoints
VOCABULARY = {"E2B": 701, "E4B": 719, "31B": 706, "26B-A4B": 733, "12B": 713}
IMAGE_BUDGET = {"E2B": 70, "E4B": 70, "31B": 70, "26B-A4B": 140, "12B": 70}
PATCH_SIZE = {"E2B": 16, "E4B": 16, "31B": 16, "26B-A4B": 16, "12B": 8}  # a patch of the 12B is the input of a projection
SAMPLES_PER_TOKEN = 320  # of the 12B, published with 640
# Shards of the checkpoint: the large variants are published in several files with an index.
SHARDS = {"E2B": 1, "E4B": 1, "31B": 3, "26B-A4B": 2, "12B": 2}


def layer_types(count, period):
    return ["full_attention" if i % period == period - 1 else "sliding_attention" for i in range(count)]


TEXT = {
    "E2B": dict(
        hidden_size=48, intermediate_size=88, num_hidden_layers=15, layer_types=layer_types(15, 5),
        num_attention_heads=4, num_key_value_heads=1, num_global_key_value_heads=None, head_dim=16, global_head_dim=32,
        num_kv_shared_layers=5, use_double_wide_mlp=True, hidden_size_per_layer_input=12, sliding_window=9),
    "E4B": dict(
        hidden_size=72, intermediate_size=100, num_hidden_layers=12, layer_types=layer_types(12, 6),
        num_attention_heads=4, num_key_value_heads=2, num_global_key_value_heads=None, head_dim=20, global_head_dim=36,
        num_kv_shared_layers=6, hidden_size_per_layer_input=8, sliding_window=7),
    "31B": dict(
        hidden_size=56, intermediate_size=116, num_hidden_layers=12, layer_types=layer_types(12, 6),
        num_attention_heads=8, num_key_value_heads=4, num_global_key_value_heads=2, head_dim=12, global_head_dim=24,
        attention_k_eq_v=True, use_bidirectional_attention="vision", sliding_window=11),
    "26B-A4B": dict(
        hidden_size=40, intermediate_size=68, num_hidden_layers=12, layer_types=layer_types(12, 6),
        num_attention_heads=4, num_key_value_heads=2, num_global_key_value_heads=1, head_dim=16, global_head_dim=28,
        attention_k_eq_v=True, use_bidirectional_attention="vision", sliding_window=10,
        enable_moe_block=True, num_experts=8, top_k_experts=3, moe_intermediate_size=20),
    "12B": dict(
        hidden_size=44, intermediate_size=92, num_hidden_layers=12, layer_types=layer_types(12, 6),
        num_attention_heads=8, num_key_value_heads=2, num_global_key_value_heads=1, head_dim=12, global_head_dim=20,
        attention_k_eq_v=True, use_bidirectional_attention="vision", sliding_window=8),
}

VISION = {
    "E2B": dict(hidden_size=48, intermediate_size=84, num_hidden_layers=3, heads=3, head_dim=16, rope_type="default"),
    "E4B": dict(hidden_size=40, intermediate_size=76, num_hidden_layers=2, heads=2, head_dim=20, rope_type="axial"),
    "31B": dict(hidden_size=72, intermediate_size=92, num_hidden_layers=3, heads=3, head_dim=24, rope_type="axial"),
    "26B-A4B": dict(
        hidden_size=32, intermediate_size=60, num_hidden_layers=2, heads=4, head_dim=8, rope_type="default",
        position_embedding_size=192),  # the larger budget makes longer rows of patches
}

# E4B changes what transformers lets one change. Its encoder is consistent only where the chunk is the past horizon
# (attention_context_left - 1) or one more, and only with 128 channels after the first convolution.
AUDIO = {
    "E2B": dict(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, output_proj_dims=64, subsampling_conv_channels=[128, 8],
        conv_kernel_size=5, attention_chunk_size=12, attention_context_left=13, attention_logit_cap=50.0,
        residual_weight=0.5, gradient_clipping=1e10),
    "E4B": dict(
        hidden_size=40, num_hidden_layers=2, num_attention_heads=2, output_proj_dims=52, subsampling_conv_channels=[128, 4],
        conv_kernel_size=3, attention_chunk_size=8, attention_context_left=8, attention_logit_cap=20.0,
        residual_weight=0.4, gradient_clipping=4.0),
}


def text_config(name, ids):
    text = TEXT[name]
    vocabulary = VOCABULARY[name]
    if name in IS_UNIFIED:
        return unified_text_config(name, ids)
    return {
        "attention_bias": False, "attention_dropout": 0.0, "attention_k_eq_v": False,
        "bos_token_id": ids["<bos>"], "dtype": "bfloat16", "enable_moe_block": False, "eos_token_id": ids["<eos>"],
        "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh", "hidden_size_per_layer_input": 0,
        "initializer_range": 0.02, "max_position_embeddings": 131072, "model_type": "gemma4_text",
        "moe_intermediate_size": None, "num_experts": None, "num_kv_shared_layers": 0, "pad_token_id": ids["<pad>"],
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
        "tie_word_embeddings": True, "top_k_experts": None, "use_bidirectional_attention": None, "use_cache": True,
        "use_double_wide_mlp": False, "vocab_size": vocabulary, "vocab_size_per_layer_input": vocabulary,
    } | text


def unified_text_config(name, ids):
    """As published: the keys of what the 12B has not are absent."""
    return {
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": ids["<bos>"], "dtype": "bfloat16",
        "eos_token_id": ids["<eos>"], "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh",
        "initializer_range": 0.02, "max_position_embeddings": 131072, "model_type": "gemma4_unified_text",
        "num_kv_shared_layers": 0, "pad_token_id": ids["<pad>"], "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
        "tie_word_embeddings": True, "use_cache": True, "use_double_wide_mlp": False, "vocab_size": VOCABULARY[name],
    } | TEXT[name]


def vision_config(name):
    if name in IS_UNIFIED:
        return {
            "dtype": "bfloat16", "initializer_range": 0.02, "mm_embed_dim": 64, "mm_posemb_size": 74,
            "model_patch_size": 3 * PATCH_SIZE[name], "model_type": "gemma4_unified_vision",
            "num_soft_tokens": IMAGE_BUDGET[name], "output_proj_dims": 64, "patch_size": PATCH_SIZE[name],
            "pooling_kernel_size": 3, "rms_norm_eps": 1e-06,
        }
    vision = dict(VISION[name])
    heads, rope_type = vision.pop("heads"), vision.pop("rope_type")
    small = name in HAS_SMALL_TOWERS
    return {
        "attention_bias": False, "attention_dropout": 0.0, "default_output_length": IMAGE_BUDGET[name], "dtype": "bfloat16",
        "global_head_dim": vision["head_dim"], "hidden_activation": "gelu_pytorch_tanh", "initializer_range": 0.02,
        "max_position_embeddings": 131072, "model_type": "gemma4_vision", "num_attention_heads": heads,
        "num_key_value_heads": heads, "patch_size": 16, "pooling_kernel_size": 3, "position_embedding_size": 160,
        "rms_norm_eps": 1e-06, "rope_parameters": {"rope_theta": 100.0, "rope_type": rope_type},
        "standardize": not small, "use_clipped_linears": small,
    } | vision


def audio_config(name):
    if name not in HAS_AUDIO:
        return None
    if name in IS_UNIFIED:
        return {
            "audio_embed_dim": SAMPLES_PER_TOKEN, "audio_samples_per_token": SAMPLES_PER_TOKEN, "dtype": "bfloat16",
            "initializer_range": 0.02, "model_type": "gemma4_unified_audio", "rms_norm_eps": 1e-06,
        }
    return {
        "attention_context_right": 0, "attention_invalid_logits_value": -1000000000.0, "dtype": "bfloat16",
        "hidden_act": "silu", "initializer_range": 0.02, "model_type": "gemma4_audio", "rms_norm_eps": 1e-06,
        "use_clipped_linears": True,
    } | AUDIO[name]


def family(name):
    """How the names of its classes in transformers begin."""
    return "Gemma4Unified" if name in IS_UNIFIED else "Gemma4"


def config(name, ids):
    return {
        "architectures": [f"{family(name)}ForConditionalGeneration"],
        "audio_config": audio_config(name),
        "audio_token_id": ids["<|audio|>"], "boa_token_id": ids["<|audio>"], "boi_token_id": ids["<|image>"],
        "dtype": "bfloat16", "eoa_token_id": ids["<audio|>"], "eoi_token_id": ids["<image|>"],
        "eos_token_id": [ids["<eos>"], ids["<turn|>"]],
        "image_token_id": ids["<|image|>"], "initializer_range": 0.02,
        "model_type": "gemma4_unified" if name in IS_UNIFIED else "gemma4",
        "text_config": text_config(name, ids),
        "tie_word_embeddings": True, "transformers_version": "5.5.0.dev0", "video_token_id": ids["<|video|>"],
        "vision_config": vision_config(name),
        "vision_soft_tokens_per_image": IMAGE_BUDGET[name],
    }


def generation_config(name, ids):
    values = {
        "bos_token_id": ids["<bos>"], "do_sample": True,
        "eos_token_id": [ids["<eos>"], ids["<turn|>"], ids["<|tool_response>"]],
        "pad_token_id": ids["<pad>"],
        "temperature": 1.0, "top_k": 64, "top_p": 0.95, "transformers_version": "5.5.0.dev0",
    }
    if name in SUPPRESSES:
        values["suppress_tokens"] = [ids["<audio|>"], ids["<image|>"]]
    return values


def processor_config(name):
    image = {
        "do_convert_rgb": True, "do_normalize": False, "do_rescale": True, "do_resize": True,
        "image_mean": [0.0, 0.0, 0.0], "image_seq_length": IMAGE_BUDGET[name], "image_std": [1.0, 1.0, 1.0],
        "max_soft_tokens": IMAGE_BUDGET[name], "patch_size": PATCH_SIZE[name], "pooling_kernel_size": 3, "resample": 3,
        "rescale_factor": 1 / 255,
    }
    video = image | {
        "do_normalize": True, "do_sample_frames": True, "max_soft_tokens": 70, "num_frames": 32, "return_metadata": False,
        "video_processor_type": f"{family(name)}VideoProcessor",
    }
    if name in IS_UNIFIED:
        extractor = {
            "audio_samples_per_token": SAMPLES_PER_TOKEN, "feature_extractor_type": "Gemma4UnifiedAudioFeatureExtractor",
            "feature_size": SAMPLES_PER_TOKEN, "padding_side": "right", "padding_value": 0.0,
            "return_attention_mask": True, "sampling_rate": 16000,
        }
    else:
        extractor = {
            "dither": 0.0, "feature_extractor_type": "Gemma4AudioFeatureExtractor", "feature_size": 128,
            "fft_length": 512, "fft_overdrive": False, "frame_length": 320, "hop_length": 160, "input_scale_factor": 1.0,
            "max_frequency": 8000.0, "mel_floor": 0.001, "min_frequency": 0.0, "padding_side": "right",
            "padding_value": 0.0, "per_bin_mean": None, "per_bin_stddev": None, "preemphasis": 0.0,
            "preemphasis_htk_flavor": True, "return_attention_mask": True, "sampling_rate": 16000,
        }
    return {
        "audio_ms_per_token": 40, "audio_seq_length": 750,
        "feature_extractor": extractor,
        "image_processor": image | {"image_processor_type": f"{family(name)}ImageProcessor"},
        "image_seq_length": IMAGE_BUDGET[name],
        "processor_class": f"{family(name)}Processor",
        "video_processor": video,
    }
