#!/usr/bin/env python3
"""Writes gradients.json: what PyTorch's backward finds for every operation of the runtime, in float64.

    gradients.py

Inputs are numbers that src/runtime/op/tests.rs makes too, so that only gradients are written. The scalar of which they are is the sum
of all results, each times another such number.
"""

import json
from pathlib import Path

import torch
from torch.nn import functional as F

HERE = Path(__file__).parent
SEQUENCES = [(0, 3), (3, 7)]


def numbers(shape, seed):
    state, found = (seed * 2654435761 + 12345) % 2**32, []
    count = torch.Size(shape).numel()
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        found.append((state >> 8) / 2**23 - 1.0)
    return torch.tensor(found, dtype=torch.float64).view(shape)


def gradients(operation, *operands):
    """Of all operands, each given as its shape and seed."""
    operands = [numbers(shape, seed).requires_grad_() for shape, seed in operands]
    made = operation(*operands)
    (made * numbers(made.shape, 99)).sum().backward()
    return [operand.grad.flatten().tolist() for operand in operands]


def rms_norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight


def attention(causal, window, bias=None):
    """Four query heads of width 4 over two key heads, rows of two sequences one after the other."""

    def of(query, key, value):
        parts = []
        for start, end in SEQUENCES:
            q = query[start:end].unflatten(-1, (4, 4)).transpose(0, 1)
            k, v = (x[start:end].unflatten(-1, (2, 4)).transpose(0, 1).repeat_interleave(2, dim=0) for x in (key, value))
            scores = q @ k.transpose(1, 2) * 0.5
            if bias is not None:
                scores = scores + numbers((7,), bias)[start:end]
            at = torch.arange(end - start)
            back = at[:, None] - at[None]
            seen = torch.ones_like(back, dtype=torch.bool)
            if causal:
                seen &= back >= 0
            if window:
                seen &= back < window
            shares = scores.masked_fill(~seen, -torch.inf).softmax(-1)
            parts.append((shares @ v).transpose(0, 1).flatten(1))
        return torch.cat(parts)

    return of


def rope(x):
    """Two heads of width 4, halves turned against each other, at positions 0, 1 and 5."""
    angles = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)[:, None] * 100.0 ** -torch.tensor([0.0, 0.5], dtype=torch.float64)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    left, right = x.unflatten(-1, (2, 2, 2)).unbind(2)
    return torch.stack([left * cos - right * sin, right * cos + left * sin], dim=2).flatten(1)


def flow(query, key, value):
    """Two heads of width 4 (Flowformer, 2202.06258, as thuml/Flowformer sums it)."""
    parts, eps = [], 1e-6
    for start, end in SEQUENCES:
        q, k, v = (x[start:end].unflatten(-1, (2, 4)).transpose(0, 1) for x in (query, key, value))
        q, k = q.sigmoid(), k.sigmoid()
        exchange = lambda rows, all: torch.einsum("hnd,hd->hn", rows + eps, all.sum(1) + eps)[..., None]
        sink_in, source_out = 1 / exchange(q, k), 1 / exchange(k, q)
        sink, source = exchange(q, k * source_out), exchange(k, q * sink_in).clamp(-1, 1)
        competition = source.softmax(1) * (end - start)
        parts.append(((q * sink_in) @ (k.transpose(1, 2) @ (v * competition)) * sink.sigmoid()).transpose(0, 1).flatten(1))
    return torch.cat(parts)


def cross_entropy(smoothing):
    classes = torch.tensor([2, -100, 0])
    return lambda logits: F.cross_entropy(logits, classes, label_smoothing=smoothing, reduction="none")


def divergence(temperature):
    teacher = (numbers((3, 4), 24) / temperature).log_softmax(-1)
    return lambda logits: (teacher.exp() * (teacher - (logits / temperature).log_softmax(-1))).sum(-1)


ACTIVATIONS = {"Gelu": F.gelu, "GeluTanh": lambda x: F.gelu(x, approximate="tanh"), "Silu": F.silu, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Relu": F.relu}
HEADS = [((7, 16), 8), ((7, 8), 9), ((7, 8), 10)]
found = {name: gradients(of, ((3, 5), 1)) for name, of in ACTIVATIONS.items()}
found |= {
    "layer_norm": gradients(lambda x, w, b: F.layer_norm(x, (19,), w, b, 1e-5), ((4, 19), 2), ((19,), 3), ((19,), 4)),
    "rms_norm": gradients(rms_norm, ((4, 19), 2), ((19,), 3)),
    "linear": gradients(F.linear, ((3, 4), 5), ((2, 4), 6), ((2,), 7)),
    "layer_scale": gradients(lambda x, scale: x * scale, ((3, 5), 1), ((5,), 2)),
    "attention": gradients(attention(False, None), *HEADS),
    "attention, causal": gradients(attention(True, None), *HEADS),
    "attention, causal in a window": gradients(attention(True, 2), *HEADS),
    "attention by size": gradients(attention(False, None, bias=18), *HEADS),
    "rope": gradients(rope, ((3, 8), 14)),
    "flow": gradients(flow, ((7, 8), 8), ((7, 8), 9), ((7, 8), 10)),
    "cross_entropy": gradients(cross_entropy(0.0), ((3, 4), 17)),
    "cross_entropy, smoothed": gradients(cross_entropy(0.1), ((3, 4), 17)),
    "divergence": gradients(divergence(3.0), ((3, 4), 23)),
}
rounded = {name: [[float(f"{value:.9g}") for value in gradient] for gradient in case] for name, case in found.items()}
(HERE / "gradients.json").write_text(json.dumps(rounded, separators=(",", ":")) + "\n", encoding="utf-8")
print({name: [len(gradient) for gradient in case] for name, case in rounded.items()})
