"""The figures of the models: accuracy, and perplexity over whole speeches. Used by train.py and check.py."""

import math

import torch
from transformers.utils import logging

import sources

logging.set_verbosity_error()
logging.disable_progress_bar()

LENGTH = 128


def pixels(pictures):
    """What the preprocessor config says: 0..1, then mean and standard deviation."""
    values = torch.tensor(pictures, dtype=torch.float32).unsqueeze(1) / 255
    return (values - sources.PIXEL_MEAN) / sources.PIXEL_STD


@torch.no_grad()
def vit(model, pictures, labels):
    guesses = [model(pixel_values=part).logits.argmax(-1) for part in pixels(pictures).split(500)]
    right = torch.cat(guesses) == torch.tensor(labels.astype("int64"))
    return {"accuracy": round(right.float().mean().item(), 4), "pictures": len(labels)}


@torch.no_grad()
def bert(model, tokenizer, examples):
    right = 0
    counts = torch.bincount(torch.tensor([label for _, label in examples]))
    for start in range(0, len(examples), 64):
        texts, labels = zip(*examples[start : start + 64])
        inputs = tokenizer(list(texts), truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
        right += (model(**inputs).logits.argmax(-1) == torch.tensor(labels)).sum().item()
    return {
        "accuracy": round(right / len(examples), 4),
        "always the commonest": round(counts.max().item() / len(examples), 4),
        "paragraphs": len(examples),
    }


def stream(tokenizer, texts):
    """All texts as one row of ids, the end token after each."""
    ids = []
    for text in tokenizer(list(texts), verbose=False)["input_ids"]:
        ids += [*text, tokenizer.eos_token_id]
    return torch.tensor(ids)


@torch.no_grad()
def perplexity(model, tokenizer, texts):
    """Windows of LENGTH side by side, each starting afresh; the first token of a window is not predicted."""
    ids = stream(tokenizer, texts)
    windows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)
    total = 0.0
    for part in windows.split(32):
        logits = model(input_ids=part).logits[:, :-1].flatten(0, 1)
        total += torch.nn.functional.cross_entropy(logits, part[:, 1:].flatten(), reduction="sum").item()
    return round(math.exp(total / (len(windows) * (LENGTH - 1))), 2)


def unigram(train, tokenizer, texts):
    """The perplexity of knowing only how common each token is, counted in the training text plus one."""
    counts = torch.bincount(train, minlength=len(tokenizer)).double() + 1
    return round(math.exp(-(counts / counts.sum()).log()[stream(tokenizer, texts)].mean().item()), 2)
