"""Tiny random Gemma 4 checkpoints in the published layout, and what transformers answers on them."""
