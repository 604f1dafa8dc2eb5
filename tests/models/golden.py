#!/usr/bin/env python3
"""Writes NAME/golden.json: what transformers computes for fixed inputs, to hold other implementations against.

    golden.py [NAME ...]        # all models if none

The weights are taken as stored and widened to float32; attention is the plain one ("eager"), dropout is off.
Numbers have seven significant digits. "hidden" is the last hidden state (after the last norm, where a model
has one), "layers" the first eight values of the stream at one position, before the first layer and after each
(the last one after the last norm in llama-sotu and mixtral-sotu, before it in vit-fashion).
"""

import json
import math
import sys
from pathlib import Path

import torch
from transformers import (
    BertForSequenceClassification,
    LlamaForCausalLM,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    ViTForImageClassification,
)

import measure
import sources

HERE = Path(__file__).parent
CLASSES = {
    "bert-eras": BertForSequenceClassification,
    "llama-sotu": LlamaForCausalLM,
    "mixtral-sotu": MixtralForCausalLM,
    "vit-fashion": ViTForImageClassification,
}


def load(name):
    return CLASSES[name].from_pretrained(HERE / name, dtype=torch.float32, attn_implementation="eager").float().eval()


def numbers(tensor):
    if isinstance(tensor, list):
        return [numbers(part) for part in tensor]
    if isinstance(tensor, torch.Tensor):
        return numbers(tensor.tolist())
    return float(f"{tensor:.7g}")


def layers(states, row, position):
    return numbers([state[row, position, :8] for state in states])


def bert(name):
    model, tokenizer = load(name), PreTrainedTokenizerFast.from_pretrained(HERE / name)
    lines = (HERE / "data/sotu-test.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:3]] + ["Fellow citizens: the state of the Union is strong."]
    inputs = tokenizer(texts, truncation=True, max_length=128, padding=True, return_tensors="pt")
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    output = model(**inputs, output_hidden_states=True)
    last = inputs["attention_mask"].sum(1) - 1  # [SEP]
    return {
        "inputs": {"texts": texts} | {key: value.tolist() for key, value in inputs.items()},
        "logits": numbers(output.logits),
        "hidden": {
            "first position": numbers(output.hidden_states[-1][:, 0]),
            "last unpadded position": numbers([output.hidden_states[-1][row, at] for row, at in enumerate(last)]),
        },
        "layers": {"row": 3, "position": 0, "values": layers(output.hidden_states, 3, 0)},
    }


def vit(name):
    model = load(name)
    pictures, labels = sources.clothes(HERE / "data", "t10k")
    rows = [0, 1, 2, 3]
    pixels = measure.pixels(pictures[rows])
    output = model(pixel_values=pixels, output_hidden_states=True)
    hidden = model.vit(pixel_values=pixels).last_hidden_state
    return {
        "inputs": {
            "file": "data/fashion-mnist/t10k-images-idx3-ubyte",
            "pictures": rows,
            "labels": labels[rows].tolist(),
            "pixel_values of the first": numbers(pixels[0]),
        },
        "logits": numbers(output.logits),
        "hidden": {"first position": numbers(hidden[:, 0]), "last position": numbers(hidden[:, -1])},
        "layers": {"row": 0, "position": 0, "values": layers(output.hidden_states, 0, 0)},
    }


def language_model(name):
    model, tokenizer = load(name), PreTrainedTokenizerFast.from_pretrained(HERE / name)
    speeches = (HERE / "data/sotu-test.txt").read_text(encoding="utf-8").splitlines()
    long, short = tokenizer(speeches[0])["input_ids"][:64], tokenizer(speeches[-1])["input_ids"][100:140]
    padding = [tokenizer.pad_token_id] * (len(long) - len(short))
    ids = torch.tensor([long, short + padding])
    mask = torch.tensor([[1] * len(long), [1] * len(short) + [0] * len(padding)])
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    routed = {}
    if name == "mixtral-sotu":
        with_router = model(input_ids=ids, attention_mask=mask, output_router_logits=True)
        routed["router"] = [  # of each layer: what its gate gives for the first row's first four positions
            numbers(layer.view(*ids.shape, -1)[0, :4]) for layer in with_router.router_logits
        ]
    logs = output.logits.log_softmax(-1)
    positions = []
    for row, at in [(0, 0), (0, 1), (0, 31), (0, 63), (1, 0), (1, 39)]:
        best = output.logits[row, at].topk(8)
        positions.append(
            {
                "row": row,
                "position": at,
                "first 32": numbers(output.logits[row, at, :32]),
                "top ids": best.indices.tolist(),
                "top logits": numbers(best.values),
                "log of the sum of exponentials": numbers(output.logits[row, at].logsumexp(-1)),
                "hidden": numbers(output.hidden_states[-1][row, at]),
            }
        )
    predicted = [
        -logs[row, torch.arange(count - 1), ids[row, 1:count]] for row, count in enumerate((len(long), len(short)))
    ]
    return {
        "inputs": {
            "texts": [tokenizer.decode(long), tokenizer.decode(short)],
            "input_ids": ids.tolist(),
            "attention_mask": mask.tolist(),
        },
        "logits": positions,
        "losses": {  # of each unpadded token but the first, in nats; the mean is over both rows
            "tokens": numbers([row.tolist() for row in predicted]),
            "mean": numbers(torch.cat(predicted).mean()),
        },
        "layers": {"row": 0, "position": 31, "values": layers(output.hidden_states, 0, 31)},
    } | routed


MAKERS = {"bert-eras": bert, "llama-sotu": language_model, "mixtral-sotu": language_model, "vit-fashion": vit}


@torch.no_grad()
def golden(name):
    import transformers

    made = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    return {"model": name, "computed": f"float32, eager attention; {made}"} | MAKERS[name](name)


def furthest(one, other):
    """The greatest difference between numbers at the same place of two golden values; infinite where they differ in form."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((furthest(one[key], other[key]) for key in one if key != "computed"), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((furthest(a, b) for a, b in zip(one, other)), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else math.inf


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or MAKERS:
        path = HERE / name / "golden.json"
        path.write_text(json.dumps(golden(name), ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.relative_to(HERE)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
