#!/usr/bin/env python3
"""Writes calibrated.json: what calibrated methods decide about the small models, by the paths of tamis' tree.

    calibrated.py [NAME ...]        # all models if none; the others' values stay

The methods stand in by_inputs.py, by_gates.py and repaired.py, models and data in subject.py. Computed in float64 from
the stored weights, and no weight is rounded on the way: where blocks follow each other, the later ones see the weights
of the earlier ones as computed. Numbers have seven significant digits. Of vectors that are long the first elements
stand here, the sum of all, and the sum of their squares.

| key | what |
|---|---|
| `data` | what was read: how many tokens each sample has, the first ids, the sum of all ids (pixels: of pixel values) |
| `loss` | of the dense model on it |
| `input_norms` | of each linear of a layer: sums of squares of its inputs; an expert that no token reached has none |
| `wanda` | of all linears of layers, routers too, what stays: a hexadecimal digit for four inputs, highest bit first |
| `sparsegpt` | with damping 0.01 and blocks of 128 columns; `squared error` is that of the outputs, over all tokens |
| `low_rank` | to rank 16, each alone, by the dense model's inputs; the first row of the product of the factors |
| `svd_llm` | all linears of layers to rank 16, block by block; `updated`: outer factors fitted to the compressed inputs |
| `fisher`, `gradient` | of gates on heads and neurons; taylor is the gradient's magnitude, nvit its square |
| `activation` | Minitron: mean over a sample's tokens, L2 norm over samples; of each norm, and `hidden` their sum |
| `block_influence` | of each layer |
| `optin` | manifold distance and KL; `importance` = md / mean md + 0.1 kl / mean kl, means over all heads |
| `repaired` | one mask, then rearranged, tuned, projections fitted anew; `kl` from the dense model, same data |
"""

import json
import sys
from pathlib import Path

import torch
import transformers

import by_gates
import by_inputs
import repaired
from subject import DATA, Subject, numbers

PATH = Path(__file__).with_name("calibrated.json")
TO = ("2:4", "50%")


def described(subject):
    values = next(iter(subject.inputs.values()))
    data = subject.data | {"lengths": subject.mask.sum(1).tolist()}
    if subject.name == "vit-fashion":
        return data | {"sum": numbers(values.sum()), "labels": subject.labels.tolist()}
    labels = {} if subject.labels is None else {"labels": subject.labels.tolist()}
    return data | labels | {"first ids": values[0, :16].tolist(), "sum": (values * subject.mask).sum().item()}


def by_data(subject, name):
    """The methods that are worked on this model."""
    yield "data", described(subject)
    yield "loss", numbers(subject.loss())
    yield "input_norms", by_inputs.input_norms(subject)
    yield "block_influence", by_gates.block_influence(subject)
    if name != "vit-fashion":
        yield "wanda", {to: by_inputs.wanda(subject, to) for to in TO}
    if name in ("bert-eras", "llama-sotu"):
        yield "sparsegpt", {to: by_inputs.sparsegpt(subject, to) for to in TO}
    if name == "llama-sotu":
        paths = ("layers[0].attention.query", "layers[0].mlp.down")
        yield "low_rank", {path: by_inputs.low_rank(subject, path, rank=16) for path in paths}
        ways = {"whitened": False, "updated": True}
        yield "svd_llm", {way: by_inputs.svd_llm(subject, 16, update) for way, update in ways.items()}
    if name != "mixtral-sotu":
        with torch.enable_grad():
            yield from by_gates.by_gradients(subject).items()
        yield "activation", by_gates.activation(subject)
    if name in ("bert-eras", "vit-fashion"):
        yield "optin", by_gates.optin(subject)
    if name == "bert-eras":
        yield "repaired", repaired.repaired(subject)


def listed(value):
    """A method a line."""
    if isinstance(value, str):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in value.items()) + "\n}"


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for part in (by_inputs, by_gates, repaired):
        part.check()
    made = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    found = json.loads(PATH.read_text()) if PATH.exists() else {}
    found["computed"] = f"float64, eager attention; {made}"
    for name in sys.argv[1:] or DATA:
        found[name] = {}
        for key, value in by_data(Subject(name), name):
            found[name][key] = value
            print(f"{name} {key}: {len(json.dumps(value))} bytes", flush=True)
    text = ",\n".join(f"{json.dumps(name)}: {listed(found[name])}" for name in ["computed", *DATA])
    PATH.write_text("{\n" + text + "\n}\n")
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
