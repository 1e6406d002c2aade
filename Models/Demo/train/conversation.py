"""Prompts as the chat template writes them, as ids; and batches of them for the decoder."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from vocabulary import SPECIAL, TRANSCRIPTION_PROMPT

ID = {text: n for n, text in enumerate(SPECIAL)}
IGNORED = -100

_FORMATTING = TRANSCRIPTION_PROMPT[TRANSCRIPTION_PROMPT.index("Follow") :]
TRANSCRIPTION_PROMPTS = [
    TRANSCRIPTION_PROMPT,
    "Transcribe the following speech segment in English into English text.\n\n" + _FORMATTING,
]
ABOUT = "I can transcribe short English speech and describe pictures of coloured shapes."
GREETINGS = ["Hi", "Hello", "hello", "Hello!", "Who are you?", "What are you?", "What can you do?", "Help", "help me please", "What is this?"]


@dataclass
class Example:
    """`head` text, soft tokens, `tail` text and the answer; soft tokens lie between head and tail."""

    head: str
    soft: torch.Tensor | None  # [n, width] of a tower
    kind: str  # audio, image, text
    tail: str
    answer: str


def transcription(soft: torch.Tensor, text: str, prompt: str) -> Example:
    return Example(f"{prompt}<|audio>", soft, "audio", "<audio|>", text)


def picture(soft: torch.Tensor, prompt: str, answer: str) -> Example:
    return Example("<|image>", soft, "image", f"<image|>{prompt}", answer)


def greeting(rng: random.Random) -> Example:
    return Example("", None, "text", rng.choice(GREETINGS), ABOUT)


class Batches:
    """Examples with the same head -> arguments of `lean.answer_logits`, and labels."""

    def __init__(self, tokenizer: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer))

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def __call__(self, examples: list[Example]) -> tuple[torch.Tensor, ...]:
        """prefix [P], ids [B, T], soft_mask [B, T], at [B, A], labels [B, A]."""
        prefix = self.ids(f"<bos><|turn>user\n{examples[0].head}")
        rows, begins = [], []
        for example in examples:
            placeholders = [] if example.soft is None else [ID[f"<|{example.kind}|>"]] * len(example.soft)
            asked = placeholders + self.ids(f"{example.tail}<turn|>\n<|turn>model\n")
            begins.append(len(asked) - 1)
            rows.append(asked + self.ids(example.answer) + [ID["<turn|>"]])
        longest = max(len(row) for row in rows)
        answers = max(len(row) - begin - 1 for row, begin in zip(rows, begins))
        ids = torch.full((len(rows), longest), ID["<pad>"])
        at = torch.zeros(len(rows), answers, dtype=torch.long)
        labels = torch.full((len(rows), answers), IGNORED)
        for n, (row, begin) in enumerate(zip(rows, begins)):
            ids[n, : len(row)] = torch.tensor(row)
            count = len(row) - begin - 1
            at[n, :count] = torch.arange(begin, begin + count)
            labels[n, :count] = ids[n, begin + 1 : begin + 1 + count]
        soft_mask = (ids == ID["<|image|>"]) | (ids == ID["<|audio|>"])
        return torch.tensor(prefix), ids, soft_mask, at, labels
