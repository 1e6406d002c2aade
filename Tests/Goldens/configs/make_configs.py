"""Saves each Models/*/config.json the way transformers does, as Tests/Goldens/configs/*.json.

transformers 5.23.0 replaces global_head_dim and num_global_key_value_heads by per_layer_config; both spellings must
give the same layers. A configuration built anew also lacks the extra keys that a loaded one keeps, so they are dropped.

Run from anywhere: python3 Tests/Goldens/configs/make_configs.py
"""

import json
import pathlib
import tempfile

from transformers import Gemma4Config

here = pathlib.Path(__file__).parent
extra = {"vision_config": ["default_output_length", "global_head_dim"], "": ["eoa_token_id"]}

for published in sorted((here / "../../../Models").glob("*/config.json")):
    values = json.loads(published.read_text())
    if values.get("model_type") != "gemma4":
        continue
    for part, keys in extra.items():
        for key in keys:
            (values[part] if part else values).pop(key, None)
    with tempfile.TemporaryDirectory() as directory:
        Gemma4Config(**values).save_pretrained(directory)
        saved = pathlib.Path(directory, "config.json").read_text()
    (here / f"{published.parent.name}.json").write_text(saved)
