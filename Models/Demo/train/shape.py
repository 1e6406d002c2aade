"""The shape of the demo model: `config.json` of the E-series at toy size."""

from collections import defaultdict

from transformers import Gemma4AudioConfig, Gemma4Config, Gemma4VisionConfig

VOCABULARY_SIZE = 1152
MAX_SOFT_TOKENS = 70  # the smallest image budget that the processor accepts
LAYERS = ["sliding_attention"] * 3 + ["full_attention"]


def configuration(ids: dict[str, int]) -> dict:
    """`config.json` in the spelling of the published files; `ids` are the special tokens by their text."""
    return {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "model_type": "gemma4",
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "eos_token_id": [ids["<eos>"], ids["<turn|>"]],
        "boi_token_id": ids["<|image>"],
        "boa_token_id": ids["<|audio>"],
        "image_token_id": ids["<|image|>"],
        "audio_token_id": ids["<|audio|>"],
        "eoi_token_id": ids["<image|>"],
        "eoa_token_id": ids["<audio|>"],
        "eoa_token_index": ids["<audio|>"],
        "video_token_id": ids["<|video|>"],
        "text_config": {
            "model_type": "gemma4_text",
            "dtype": "bfloat16",
            "vocab_size": VOCABULARY_SIZE,
            "vocab_size_per_layer_input": VOCABULARY_SIZE,
            "hidden_size": 128,
            "hidden_size_per_layer_input": 32,
            "intermediate_size": 256,
            "use_double_wide_mlp": True,
            "num_hidden_layers": 2 * len(LAYERS),
            "num_kv_shared_layers": len(LAYERS),
            "layer_types": 2 * LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "num_global_key_value_heads": None,
            "head_dim": 32,
            "global_head_dim": 64,
            "sliding_window": 128,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25},
            },
            "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-06,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "attention_k_eq_v": False,
            "use_bidirectional_attention": None,
            "enable_moe_block": False,
            "num_experts": None,
            "top_k_experts": None,
            "moe_intermediate_size": None,
            "tie_word_embeddings": True,
            "use_cache": True,
            "initializer_range": 0.02,
            "pad_token_id": ids["<pad>"],
            "eos_token_id": ids["<eos>"],
            "bos_token_id": ids["<bos>"],
        },
        "vision_config": {
            "model_type": "gemma4_vision",
            "dtype": "bfloat16",
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "head_dim": 32,
            "global_head_dim": 32,
            "patch_size": 16,
            "pooling_kernel_size": 3,
            "position_embedding_size": 1024,
            "default_output_length": MAX_SOFT_TOKENS,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-06,
            "max_position_embeddings": 4096,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_clipped_linears": True,
            "standardize": False,
            "initializer_range": 0.02,
        },
        "audio_config": {
            "model_type": "gemma4_audio",
            "dtype": "bfloat16",
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "output_proj_dims": 192,
            "subsampling_conv_channels": [128, 32],
            "conv_kernel_size": 5,
            "attention_chunk_size": 12,
            "attention_context_left": 13,
            "attention_context_right": 0,
            "attention_logit_cap": 50.0,
            "attention_invalid_logits_value": -1000000000.0,
            "residual_weight": 0.5,
            "gradient_clipping": 10000000000.0,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-06,
            "use_clipped_linears": True,
            "initializer_range": 0.02,
        },
    }


def build(ids: dict[str, int]) -> Gemma4Config:
    """The same as transformers reads it, in float32 for training."""
    values = configuration(ids)
    for part in (values, values["text_config"], values["vision_config"], values["audio_config"]):
        part["dtype"] = "float32"
    return Gemma4Config.from_dict(values)


def audio_configuration() -> Gemma4AudioConfig:
    """The audio tower alone, in float32, as stage 1 trains it."""
    return build(defaultdict(int)).audio_config


def vision_configuration() -> Gemma4VisionConfig:
    """The vision tower alone, in float32, as stage 2 trains it."""
    return build(defaultdict(int)).vision_config
