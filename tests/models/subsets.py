#!/usr/bin/env python3
"""Writes data/, the small sets beside the models, from the source data: `subsets.py DATA`."""

import argparse
import json
import random
from pathlib import Path

import numpy as np

import sources

OUT = Path(__file__).parent / "data"
JSONL_BYTES = 150_000
TEXT_BYTES_PER_ERA = 46_000
PICTURES_PER_CLASS = 20


def paragraphs(dated, file, seed):
    """Paragraphs drawn from all speeches alike, as many as fit."""
    examples = sources.labelled(dated)
    random.Random(seed).shuffle(examples)
    lines, size = [], 0
    for text, label in examples:
        row = {"text": text, "label": label, "label_name": sources.ERAS[label]}
        line = json.dumps(row, ensure_ascii=False) + "\n"
        size += len(line.encode())
        if size > JSONL_BYTES:
            break
        lines.append(line)
    (OUT / file).write_text("".join(lines), encoding="utf-8")


def texts(dated, file):
    """The shortest speeches of each era, one a line, as many as fit."""
    taken = []
    for number in range(len(sources.ERAS)):
        left = TEXT_BYTES_PER_ERA
        for text in sorted((text for year, text in dated if sources.era(year) == number), key=len):
            left -= len(text.encode())
            if left >= 0:
                taken.append(text)
    (OUT / file).write_text("\n".join(taken) + "\n", encoding="utf-8")


def pictures(data, split):
    """The first pictures of each class, in the order of the source."""
    images, labels = sources.clothes(data, split)
    rows = np.sort(np.concatenate([np.flatnonzero(labels == n)[:PICTURES_PER_CLASS] for n in range(10)]))
    folder = OUT / "fashion-mnist"
    folder.mkdir(parents=True, exist_ok=True)
    sources.write_idx(folder / f"{split}-images-idx3-ubyte", images[rows])
    sources.write_idx(folder / f"{split}-labels-idx1-ubyte", labels[rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    data = parser.parse_args().data
    OUT.mkdir(exist_ok=True)
    split = sources.speeches(data)
    paragraphs(split["train"], "sotu-train.jsonl", seed=1)
    paragraphs(split["held-out"], "sotu-test.jsonl", seed=2)
    texts(split["train"], "sotu-train.txt")
    texts(split["held-out"], "sotu-test.txt")
    pictures(data, "train")
    pictures(data, "t10k")


if __name__ == "__main__":
    main()
