"""Saves each Models/*/config.json the way transformers does, as Tests/Goldens/configs/*.json.

transformers replaces global_head_dim and num_global_key_value_heads by per_layer_config; both spellings must
give the same layers. A configuration built anew also lacks the extra keys that a loaded one keeps, so they are dropped.

Run from anywhere: python3 Tests/Goldens/configs/make_configs.py
"""

import json
import pathlib
import tempfile

from transformers import AutoConfig

here = pathlib.Path(__file__).parent
extra = {
    "gemma4": {"vision_config": ["default_output_length", "global_head_dim"], "": ["eoa_token_id"]},
    "gemma4_unified": {
        "audio_config": ["audio_samples_per_token", "hidden_size", "output_proj_dims"],
        "vision_config": ["model_patch_size", "num_soft_tokens"],
        "": ["eoa_token_id"],
    },
}

for published in sorted((here / "../../../Models").glob("*/config.json")):
    values = json.loads(published.read_text())
    if values.get("model_type") not in extra or published.parent.name == "Demo":
        continue
    for part, keys in extra[values["model_type"]].items():
        for key in keys:
            (values[part] if part else values).pop(key, None)
    with tempfile.TemporaryDirectory() as directory:
        AutoConfig.for_model(**values).save_pretrained(directory)
        saved = pathlib.Path(directory, "config.json").read_text()
    (here / f"{published.parent.name}.json").write_text(saved)
