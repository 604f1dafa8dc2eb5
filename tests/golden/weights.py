#!/usr/bin/env python3
"""Writes weights.json: matrices, a step, and what PyTorch or numpy make of it; and scores of heads and neurons.

    weights.py          # writes the file beside this one

Masks of shares are torch.nn.utils.prune's, or torch.topk over what competes; N:M masks come from a search over all
patterns, as ASP makes them; LAMP scores from a cumulative sum over the sorted squares, as its authors write them;
products of factors from torch.linalg.svd in float64. Scores are torch norms over the slices that go with an element.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

torch.manual_seed(20240917)


def matrix(out, ins, scale=1.0):
    """Different magnitudes, three decimals, so that the file stays small and nothing ties."""
    count = out * ins
    values = torch.randperm(4 * count)[:count].float() + 1
    signs = torch.randint(0, 2, (count,)).float() * 2 - 1
    return ((values * signs / (4 * count) * scale * 1000).round() / 1000).reshape(out, ins)


def distinct(*matrices):
    flat = torch.cat([m.abs().flatten() for m in matrices])
    assert len(flat.unique()) == len(flat), "ties"


def listed(matrices):
    return {
        name: {"shape": list(m.shape), "values": [float(str(np.float32(v))) for v in m.flatten()]}
        for name, m in matrices.items()
    }


def case(name, matrices, steps, result, tolerance=0.0):
    return {
        "name": name,
        "weights": listed(matrices),
        "steps": steps,
        "result": listed(result),
        "tolerance": tolerance,
    }


def linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def n_of_m(weight, n, m):
    """The best of all patterns for each group, by the sum of magnitudes that stay."""
    patterns = np.array([p for p in itertools.product([0, 1], repeat=m) if sum(p) == n])
    groups = weight.numpy().reshape(-1, m)
    best = np.argmax(np.abs(groups) @ patterns.T, axis=1)
    return torch.from_numpy((groups * patterns[best]).reshape(weight.shape))


def lamp(weight):
    """Score: the square over the sum of the squares that are no smaller."""
    squares = weight.double().flatten() ** 2
    order = squares.argsort()
    tail = squares[order].flip(0).cumsum(0).flip(0)
    scores = torch.zeros_like(squares)
    scores[order] = squares[order] / tail
    return scores


def drop_lowest(matrices, scores, count):
    """Zeroes the lowest of all scores together."""
    threshold = torch.cat(list(scores.values())).sort().values[count]
    return {
        name: (m.flatten() * (scores[name] >= threshold)).reshape(m.shape) for name, m in matrices.items()
    }


def low_rank(weight, rank):
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def units():
    """Scores in a decoder of hidden 4, 3 neurons, and 4 query heads of width 2 over 2 key/value heads."""
    shapes = {
        "self_attn.q_proj": (8, 4),
        "self_attn.k_proj": (4, 4),
        "self_attn.v_proj": (4, 4),
        "self_attn.o_proj": (4, 8),
        "mlp.gate_proj": (3, 4),
        "mlp.up_proj": (3, 4),
        "mlp.down_proj": (4, 3),
    }
    weights = {name: matrix(*shape) for name, shape in shapes.items()}
    q, k, v, o, gate, up, down = (m.double() for m in weights.values())
    heads = [q.view(2, 2, 2, 4), k.view(2, 2, 4), v.view(2, 2, 4), o.view(4, 2, 2, 2).movedim(1, 0)]
    neurons = [gate, up, down.T]
    scores = {}
    for norm, power in [("l1", 1), ("l2", 2)]:
        total = lambda parts: sum(torch.linalg.vector_norm(p.flatten(1), power, dim=1) ** power for p in parts)
        scores[f"layers[0].attention.kv_heads {norm}"] = total(heads).tolist()
        scores[f"layers[0].mlp.neurons {norm}"] = total(neurons).tolist()
    tensors = {f"model.layers.0.{name}.weight": m for name, m in weights.items()}
    return {"tensors": listed(tensors), "scores": scores}


def main():
    a, b = matrix(8, 16), matrix(12, 8, scale=3.0)
    distinct(a)
    distinct(b)
    cases = []
    for n, m in [(2, 4), (1, 4), (4, 8), (3, 8)]:
        result = {"a": n_of_m(a, n, m), "b": n_of_m(b, n, m)}
        cases.append(case(f"{n}:{m}", {"a": a, "b": b}, f"sparsify weights by magnitude to {n}:{m}", result))

    result = {}
    for name, weight in {"a": a, "b": b}.items():
        layer = linear(weight)
        prune.l1_unstructured(layer, "weight", amount=0.25)
        result[name] = layer.weight.detach()
    cases.append(case("l1_unstructured", {"a": a, "b": b}, "sparsify weights to 25% zeros", result))

    layers = {"a": linear(a), "b": linear(b)}
    prune.global_unstructured([(l, "weight") for l in layers.values()], prune.L1Unstructured, amount=0.5)
    result = {name: layer.weight.detach() for name, layer in layers.items()}
    steps = "sparsify weights to 50% zeros with { scope: global }"
    cases.append(case("global_unstructured", {"a": a, "b": b}, steps, result))

    kept = torch.zeros_like(a).scatter(1, a.abs().topk(8, dim=1).indices, 1.0)
    steps = "sparsify weights to 50% zeros with { scope: row }"
    cases.append(case("rows", {"a": a}, steps, {"a": a * kept}))

    scores = {"a": lamp(a), "b": lamp(b)}
    result = drop_lowest({"a": a, "b": b}, scores, (a.numel() + b.numel()) // 2)
    steps = "sparsify weights by lamp to 50% zeros with { scope: global }"
    cases.append(case("lamp", {"a": a, "b": b}, steps, result))

    blocks = a.unfold(0, 4, 4).unfold(1, 4, 4)
    energy = (blocks**2).sum((2, 3))
    mask = (energy >= energy.flatten().sort().values[4]).float()
    result = a * mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
    cases.append(case("blocks", {"a": a}, "sparsify weights to 50% zeros with { block: 4 }", {"a": result}))

    result = {"a": low_rank(a, 3), "b": low_rank(b, 3)}
    cases.append(case("svd", {"a": a, "b": b}, "factorize weights by svd to rank(3)", result, 2e-6))

    half = {"a": a.to(torch.bfloat16).float(), "b": b.to(torch.bfloat16).float()}
    cases.append(case("bf16", {"a": a, "b": b}, "cast weights to bf16", half))
    half = {"a": a.half().float(), "b": b.half().float()}
    cases.append(case("f16", {"a": a, "b": b}, "cast weights to f16", half))

    text = ",\n".join(json.dumps(c) for c in cases)
    golden = f'{{"steps": [\n{text}\n],\n"units": {json.dumps(units())}}}\n'
    Path(__file__).with_suffix(".json").write_text(golden)


if __name__ == "__main__":
    main()
