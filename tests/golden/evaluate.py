#!/usr/bin/env python3
"""Measures a saved directory with transformers, to hold tamis' own measures against. Prints one JSON object.

    evaluate.py DIR --data FILE [--field text] [--label label] --tokens N --samples N [--against INPUT]
                [--probe-train FILE [--probe-samples N]] [--threads N] [--trust]

Float32 and plain attention ("eager"), whatever is stored. What DIR is, its config says:

| model | a sample | measures |
|---|---|---|
| causal language model | a window of `tokens`; the text is tokenized whole, no special tokens | `loss`, `perplexity` |
| classifier | a line of JSON lines, cut to `tokens` with special ones; a picture of an idx file | `loss`, `accuracy` |
| encoder without a head | the same | `probe` |

JSON lines are one text for a language model, joined by line breaks. The labels of an idx file are the file beside it
that is called "labels" for "images"; pictures go through the directory's own preprocessor (which needs Pillow).

`loss` is the mean cross entropy in nats, over samples or over all predicted tokens (all but the first of a window), and
`perplexity` its exponential. Against INPUT: `cosine` is the mean over samples of that between both models' logits of a
classifier, mean-pooled last hidden states of an encoder, or the mean over positions of that between last hidden states
of a language model; `agreement` the share of equal argmax; `kl` the mean of KL(INPUT || DIR) in nats. The last two are
over samples or predicted tokens.

`probe` is the accuracy on FILE of ridge regression, fitted in closed form on `--probe-train`: features are last hidden
states, mean-pooled over real tokens and of unit length, and a constant 1; targets are one-hot; lambda is 1, for all
coefficients, the constant's too.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cosine_similarity, cross_entropy, normalize, one_hot

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

BATCH = 16
HEADS = {
    "language model": transformers.AutoModelForCausalLM,
    "text classifier": transformers.AutoModelForSequenceClassification,
    "picture classifier": transformers.AutoModelForImageClassification,
    "encoder": transformers.AutoModel,
}


def kind_of(directory):
    architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
    endings = {"CausalLM": "language model", "LMHeadModel": "language model"}
    endings |= {"SequenceClassification": "text classifier", "ImageClassification": "picture classifier"}
    return next((kind for ending, kind in endings.items() if architecture.endswith(ending)), "encoder")


def load(directory, trust):
    options = {"dtype": torch.float32, "attn_implementation": "eager", "trust_remote_code": trust}
    return HEADS[kind_of(directory)].from_pretrained(directory, **options).eval()


def idx(path):
    raw = path.read_bytes()
    shape = np.frombuffer(raw, ">u4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def pictures(directory, path, samples):
    from PIL import Image

    processor = transformers.AutoImageProcessor.from_pretrained(directory)
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    labels = torch.tensor(idx(beside)[:samples].astype("int64"))
    images = [Image.fromarray(picture) for picture in idx(path)[:samples]]
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        yield dict(processor(images[rows], return_tensors="pt")), labels[rows]


def lines(tokenizer, path, args, samples):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:samples]]
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        texts = [row[args.field] for row in part]
        inputs = tokenizer(texts, truncation=True, max_length=args.tokens, padding=True, return_tensors="pt")
        yield dict(inputs), torch.tensor([row[args.label] for row in part]) if args.label else None


def windows(tokenizer, path, args, samples):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        text = "\n".join(json.loads(line)[args.field] for line in text.splitlines())
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    count = min(samples, len(ids) // args.tokens)
    for window in torch.tensor(ids[: count * args.tokens]).view(count, 1, args.tokens):
        yield {"input_ids": window, "attention_mask": torch.ones_like(window)}, None


def batches(args, path, samples):
    """(inputs, labels): the samples in order. Padding is masked."""
    if (args.dir / "preprocessor_config.json").exists() and path.suffix != ".jsonl":
        return pictures(args.dir, path, samples)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.dir)
    read = windows if kind_of(args.dir) == "language model" else lines
    return read(tokenizer, path, args, samples)


def pooled(model, inputs):
    output = model(**inputs)
    hidden = output.last_hidden_state.double()
    mask = output.get("attention_mask", inputs.get("attention_mask", torch.ones(hidden.shape[:2])))
    mask = mask.unsqueeze(-1).double()
    return (hidden * mask).sum(1) / mask.sum(1)


def outputs(model, kind, inputs):
    """What is compared: logits of all predictions [predictions, classes], and vectors for the cosine."""
    if kind == "encoder":
        return None, pooled(model, inputs)
    output = model(**inputs, output_hidden_states=kind == "language model")
    if kind != "language model":
        return output.logits.double(), output.logits.double()
    return output.logits[0, :-1].double(), output.hidden_states[-1][0].double()


def measured(args, kind):
    model, other = load(args.dir, args.trust), args.against and load(args.against, args.trust)
    sums, samples = {}, 0

    def add(name, values):
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + values.double().sum().item(), count + len(values))

    for inputs, labels in batches(args, args.data, args.samples):
        samples += len(next(iter(inputs.values())))
        logits, vectors = outputs(model, kind, inputs)
        targets = inputs["input_ids"][0, 1:] if kind == "language model" else labels
        if logits is not None and targets is not None:
            add("loss", cross_entropy(logits, targets, reduction="none"))
            add("accuracy", logits.argmax(-1) == targets)
        if other:
            expected, others = outputs(other, kind, inputs)
            add("cosine", cosine_similarity(vectors, others, dim=-1))
            if logits is not None:
                add("agreement", logits.argmax(-1) == expected.argmax(-1))
                logs, to = logits.log_softmax(-1), expected.log_softmax(-1)
                add("kl", (to.exp() * (to - logs)).sum(-1))
    found = {"samples": samples} | {name: total / count for name, (total, count) in sums.items()}
    if kind == "language model":
        del found["accuracy"]
        found["perplexity"] = math.exp(found["loss"])
    return found


def probe(args):
    model = load(args.dir, args.trust)

    def features(path, samples):
        rows = [(pooled(model, inputs), labels) for inputs, labels in batches(args, path, samples)]
        values = normalize(torch.cat([row for row, _ in rows]), dim=-1)
        constant = torch.ones(len(values), 1, dtype=values.dtype)
        return torch.cat([values, constant], dim=1), torch.cat([labels for _, labels in rows])

    known, classes = features(args.probe_train, args.probe_samples or args.samples)
    gram = known.T @ known + torch.eye(known.shape[1], dtype=known.dtype)
    weights = torch.linalg.solve(gram, known.T @ one_hot(classes).double())
    unknown, labels = features(args.data, args.samples)
    return ((unknown @ weights).argmax(-1) == labels).double().mean().item()


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path, metavar="DIR")
    parser.add_argument("--data", type=Path, metavar="FILE", required=True)
    parser.add_argument("--field", default="text")
    parser.add_argument("--label")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--against", type=Path, metavar="INPUT")
    parser.add_argument("--probe-train", type=Path, metavar="FILE")
    parser.add_argument("--probe-samples", type=int, help="as many as --samples if not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trust", action="store_true", help="run the modeling file of the directory")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    kind = kind_of(args.dir)
    found = {"kind": kind, "tokens": args.tokens} | measured(args, kind)
    if args.probe_train:
        found["probe"] = probe(args)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
