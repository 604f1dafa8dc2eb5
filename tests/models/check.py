#!/usr/bin/env python3
"""Loads every model with from_pretrained and measures it again: on data/, and on all of DATA where that is given.

    check.py [DATA]

Exits with 1 where a golden value is off by more than 1e-4 or a figure is worse than it has to be.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedTokenizerFast

import golden
import measure
import sources

HERE = Path(__file__).parent
LIMIT = 3_000_000


def stored(folder):
    """The dtypes in the file, and whether the directory is small enough."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}
    return "/".join(sorted(dtypes)), sum(file.stat().st_size for file in folder.iterdir())


def small(name, model):
    """The figure on data/, and whether it is good enough."""
    if name == "vit-fashion":
        accuracy = measure.vit(model, *sources.clothes(HERE / "data", "t10k"))["accuracy"]
        return f"accuracy {accuracy:.3f}", accuracy > 0.85
    tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE / name)
    if name == "bert-eras":
        lines = (HERE / "data/sotu-test.jsonl").read_text(encoding="utf-8").splitlines()
        examples = [(row["text"], row["label"]) for row in map(json.loads, lines)]
        accuracy = measure.bert(model, tokenizer, examples)["accuracy"]
        return f"accuracy {accuracy:.3f}", accuracy > 0.6
    texts = (HERE / "data/sotu-test.txt").read_text(encoding="utf-8").splitlines()
    perplexity = measure.perplexity(model, tokenizer, texts)
    return f"perplexity {perplexity:.2f}", perplexity < 100


def large(name, model, data):
    """The figures on all that was held out."""
    if name == "vit-fashion":
        return measure.vit(model, *sources.clothes(data, "t10k"))
    split = sources.speeches(data)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE / name)
    if name == "bert-eras":
        return measure.bert(model, tokenizer, sources.labelled(split["held-out"]))
    return {
        f"{part} perplexity": measure.perplexity(model, tokenizer, [text for _, text in split[part]])
        for part in ("held-out", "later")
    }


def main():
    torch.set_num_threads(1)
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    fine = True
    print("| model | class | parameters | stored | directory | on `data/` | golden values off by |")
    print("|---|---|---|---|---|---|---|")
    for name in golden.CLASSES:
        model = golden.load(name)
        dtypes, size = stored(HERE / name)
        figure, good = small(name, model)
        kept = json.loads((HERE / name / "golden.json").read_text(encoding="utf-8"))
        off = golden.furthest(kept, golden.golden(name))
        fine = fine and good and off < 1e-4 and size <= LIMIT
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"| `{name}` | {type(model).__name__} | {parameters:,} | {dtypes} | {size / 1e6:.2f} MB "
            f"| {figure} | {off:.1e} |"
        )
        if data:
            print(f"{name}: {large(name, model, data)}", file=sys.stderr)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
