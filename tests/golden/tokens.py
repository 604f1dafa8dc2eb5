#!/usr/bin/env python3
"""Writes tokens.json: what tests/models/vit-fashion and bert-eras answer with fewer tokens, sample by sample in float64.

    tokens.py

A plain forward pass over the stored weights, one sample and one token at a time, as the papers' cards tell each method: ToMe
(arXiv:2210.09461), PiToMe (2405.16148) and the two variants of its code, EViT (2202.07800), DiffRate (2305.17997), Zero-TPrune
(2305.17328), and attention mass (PoWER-BERT, 2001.08950).
Without a reduction it is held against transformers' own answer first.
"""

import json
from math import ceil, exp, floor, log
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, ViTForImageClassification

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
PICTURES, TEXTS = 4, 4


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def ranked(scores):
    """Places by score, the best first, the first of equal ones first."""
    return sorted(range(len(scores)), key=lambda at: (-scores[at], at))


class Tokens:
    """The tokens of one sample between attention and feed-forward."""

    def __init__(self, x, size, shares, keys):
        self.x, self.size = list(x), list(size)
        self.by_head = shares
        self.shares = shares.mean(0)  # over heads, [queries, keys]
        self.keys = unit(keys.mean(0))

    def merge(self, pairs, order):
        """Puts the first of each pair into the second, by size, and leaves `order`."""
        sums = {at: self.x[at] * self.size[at] for at in order}
        sizes = {at: self.size[at] for at in order}
        for gone, into in pairs:
            sums[into] = sums[into] + self.x[gone] * self.size[gone]
            sizes[into] += self.size[gone]
        return [sums[at] / sizes[at] for at in order], [sizes[at] for at in order]


def pairs(tokens, gone):
    count = len(tokens.x)
    gone = min(gone, (count - 1) // 2)
    if gone <= 0:
        return tokens.x, tokens.size
    found = []
    for a in range(2, count, 2):  # the class token, number 0, never goes
        cosines = [(tokens.keys[a] @ tokens.keys[b], b) for b in range(1, count, 2)]
        best = max(cosines, key=lambda it: it[0])
        found.append((best[0], a, best[1]))
    found.sort(key=lambda it: -it[0])
    chosen = [(a, b) for _, a, b in found[:gone]]
    left = [a for a in range(0, count, 2) if a not in dict(chosen)]
    return tokens.merge(chosen, left + list(range(1, count, 2)))


def energy(tokens, share, margin):
    count = len(tokens.x) - 1
    gone = floor(count - count * share)
    lifted = lambda v: v if v > 0 else exp(v) - 1
    patches = tokens.keys[1:]
    scores = [sum(lifted(patches[i] @ patches[j] - margin) for j in range(count)) / count for i in range(count)]
    order = [at + 1 for at in ranked(scores)]
    goes, takes, stay = order[0 : 2 * gone : 2], order[1 : 2 * gone : 2], order[2 * gone :]
    chosen = [(a, max(takes, key=lambda b: tokens.keys[a] @ tokens.keys[b])) for a in goes]
    return tokens.merge(chosen, [0] + stay + takes)


def energy_of_all(tokens, share, margin):
    """As `use_bsm_pitome`: sorted by energy, even places beside odd ones, the closest pairs merge."""
    count = len(tokens.x) - 1
    gone = floor(count - count * share)
    patches = tokens.keys[1:]
    above = patches @ patches.T - margin
    order = [at + 1 for at in ranked(np.where(above > 0, above, np.exp(above) - 1).mean(-1))]
    goes, takes = order[0::2], order[1::2]
    edges = [max((tokens.keys[a] @ tokens.keys[b], -n) for n, b in enumerate(takes)) for a in goes]
    closest = ranked([cosine for cosine, _ in edges])
    chosen = [(goes[at], takes[-edges[at][1]]) for at in closest[:gone]]
    return tokens.merge(chosen, [0] + [goes[at] for at in closest[gone:]] + takes)


def energy_of_words(tokens, share, margin):
    """As for BERT: a Gaussian kernel, the first into the next ones, sizes of this layer alone."""
    count = len(tokens.x) - 1
    gone = floor(count - count * share + 1e-9)
    words, sigma = tokens.keys[1:], 1 - margin
    kernel = np.exp(-0.5 * ((1 - words @ words.T) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    order = [at + 1 for at in ranked(kernel.mean(-1))]
    goes, takes, stay = order[:gone], order[gone : 2 * gone], order[2 * gone :]
    chosen = [(a, max(takes, key=lambda b: tokens.keys[a] @ tokens.keys[b])) for a in goes]
    tokens.size = [1.0] * len(tokens.x)
    x, size = tokens.merge(chosen, [0] + stay + takes)
    return x, [1.0] * len(size)


def votes(heads, rounds, first, least, most):
    """Ranks over heads of tokens that attend to each other as `heads` say, [heads, tokens, tokens]."""
    count, found = heads.shape[1], []
    for shares in heads:
        rank = np.ones(count)
        if first:
            rank[0] = np.sqrt(count)
        rank /= rank.sum()
        for _ in range(rounds):
            rank = shares.T @ rank
        found.append(rank)
    kept = [rank for rank in found if least <= np.var(rank * count) <= most] or found
    return np.sqrt(np.mean([rank**2 for rank in kept], axis=0))


def by_votes(tokens, share, rounds, similar, first=False, least=0.01, most=0.7):
    count = len(tokens.x)
    there = list(range(count))
    similar = min(similar, (count - 1) // 2)
    if similar:
        order = [at + 1 for at in ranked(votes(tokens.by_head, 1, first, least, most)[1:])]
        half = (count - 1) // 2
        better, worse = order[: count - 1 - half], sorted(order[count - 1 - half :])
        alike = {a: max(tokens.keys[a] @ tokens.keys[b] for b in better) for a in worse}
        for gone in sorted(worse, key=lambda a: (-alike[a], a))[:similar]:
            there.remove(gone)
    heads = tokens.by_head[:, there][:, :, there]
    heads = heads / heads.sum(-1, keepdims=True)
    ranks = votes(heads, rounds, first, least, most)
    left = ceil(round(share * (len(there) - 1), 9))
    stay = [0] + sorted(there[at + 1] for at in ranked(ranks[1:])[:left])
    return [tokens.x[at] for at in stay], [1.0] * len(stay)


def by_class(tokens, share, fuse):
    count = len(tokens.x) - 1
    left = ceil(round(share * count, 9))
    if left == count:
        return tokens.x, tokens.size
    scores = tokens.shares[0][1:]
    order = [at + 1 for at in ranked(scores)]
    x = [tokens.x[0]] + [tokens.x[at] for at in order[:left]]
    if fuse:
        x.append(sum(scores[at - 1] * tokens.x[at] for at in order[left:]))
    return x, [1.0] * len(x)


def mass(tokens, share):
    count = len(tokens.x) - 1
    left = max(ceil(round(share * count, 9)), min(count, 1))
    scores = tokens.shares.sum(0)[1:]
    stay = [0] + sorted(at + 1 for at in ranked(scores)[:left])
    return [tokens.x[at] for at in stay], [1.0] * len(stay)


def by_rank(tokens, kept, merged):
    order = [0] + [at + 1 for at in ranked(tokens.shares[0][1:])]
    order = order[:kept]
    merged = min(merged, len(order))
    stay, sources = order[:merged], order[merged:]
    groups, sizes = {at: [tokens.x[at]] for at in stay}, {at: tokens.size[at] for at in stay}
    for source in sources:
        cosine = {at: unit(tokens.x[source]) @ unit(tokens.x[at]) for at in stay[1:]}
        into = max(cosine, key=cosine.get)
        groups[into].append(tokens.x[source])
        sizes[into] += tokens.size[source] * cosine[into]
    return [np.mean(groups[at], axis=0) for at in stay], [sizes[at] for at in stay]


VIT = {
    "pairs, by size": (lambda layer, tokens: pairs(tokens, 2), True),
    "pairs, layers 1 and 2": (lambda layer, tokens: pairs(tokens, 3) if layer in (1, 2) else None, False),
    "energy": (lambda layer, tokens: energy(tokens, 0.8, 0.75 * (1 - layer / 4)), False),
    "class attention": (lambda layer, tokens: by_class(tokens, 0.6, False), False),
    "class attention, fused": (lambda layer, tokens: by_class(tokens, 0.7, True) if layer in (1, 2) else None, False),
    "mass": (lambda layer, tokens: mass(tokens, 0.75), False),
    "energy, all pairs first": (
        lambda layer, tokens: (energy_of_all if layer < 2 else energy)(tokens, 0.8, 0.75 * (1 - layer / 4)),
        False,
    ),
    "votes": (lambda layer, tokens: by_votes(tokens, 0.9, (30, 5, 5, 1)[layer], 2), False),
    "votes, class token": (lambda layer, tokens: by_votes(tokens, 0.8, 4, 0, True, 0.05, 0.3), False),
    "rank": (lambda layer, tokens: by_rank(tokens, (17, 14, 10, 6)[layer], (16, 12, 8, 4)[layer]), True),
}
BERT = {
    "pairs, by size": (lambda layer, tokens: pairs(tokens, 5), True),
    "mass": (lambda layer, tokens: mass(tokens, 0.7), False),
    "energy of words": (lambda layer, tokens: energy_of_words(tokens, 0.8, 0.75 * (1 - layer / 4)), False),
    "votes": (lambda layer, tokens: by_votes(tokens, 0.9, 5, 3), False),
}


class Weights:
    def __init__(self, directory, prefix):
        self.of = {name: tensor.astype(np.float64) for name, tensor in load_file(directory / "model.safetensors").items()}
        self.prefix = prefix

    def linear(self, name, x):
        return x @ self.of[name + ".weight"].T + self.of[name + ".bias"]

    def norm(self, name, x, eps=1e-12):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * self.of[name + ".weight"] + self.of[name + ".bias"]


def gelu(x):
    return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()


def attend(weights, names, x, size, heads, by_size):
    query, key, value = (weights.linear(name, x).reshape(len(x), heads, -1).transpose(1, 0, 2) for name in names)
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(key.shape[-1])
    if by_size:
        scores = scores + np.array([log(it) for it in size])
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return (shares @ value).transpose(1, 0, 2).reshape(len(x), -1), shares, key


def reduced(rule, layer, x, size, shares, key):
    found = rule(layer, Tokens(x, size, shares, key))
    return (x, size) if found is None else (np.stack(found[0]), found[1])


def vit(weights, pixels, rule, by_size, heads=4, layers=4):
    kernel = weights.of["vit.embeddings.patch_embeddings.projection.weight"]
    side = kernel.shape[-1]
    patches = [
        pixels[:, top : top + side, left : left + side].reshape(-1)
        for top in range(0, pixels.shape[1], side)
        for left in range(0, pixels.shape[2], side)
    ]
    x = np.stack(patches) @ kernel.reshape(len(kernel), -1).T + weights.of["vit.embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([weights.of["vit.embeddings.cls_token"][0], x]) + weights.of["vit.embeddings.position_embeddings"][0]
    size = [1.0] * len(x)
    for layer in range(layers):
        at = f"vit.encoder.layer.{layer}."
        names = [f"{at}attention.attention.{name}" for name in ("query", "key", "value")]
        context, shares, key = attend(weights, names, weights.norm(at + "layernorm_before", x), size, heads, by_size)
        x = x + weights.linear(at + "attention.output.dense", context)
        x, size = reduced(rule, layer, x, size, shares, key)
        inner = gelu(weights.linear(at + "intermediate.dense", weights.norm(at + "layernorm_after", x)))
        x = x + weights.linear(at + "output.dense", inner)
    return weights.linear("classifier", weights.norm("vit.layernorm", x)[0])


def bert(weights, ids, rule, by_size, heads=4, layers=4):
    of = weights.of
    x = of["bert.embeddings.word_embeddings.weight"][ids] + of["bert.embeddings.position_embeddings.weight"][: len(ids)]
    x = weights.norm("bert.embeddings.LayerNorm", x + of["bert.embeddings.token_type_embeddings.weight"][0])
    size = [1.0] * len(x)
    for layer in range(layers):
        at = f"bert.encoder.layer.{layer}."
        names = [f"{at}attention.self.{name}" for name in ("query", "key", "value")]
        context, shares, key = attend(weights, names, x, size, heads, by_size)
        x = weights.norm(at + "attention.output.LayerNorm", x + weights.linear(at + "attention.output.dense", context))
        x, size = reduced(rule, layer, x, size, shares, key)
        inner = gelu(weights.linear(at + "intermediate.dense", x))
        x = weights.norm(at + "output.LayerNorm", x + weights.linear(at + "output.dense", inner))
    pooled = np.tanh(weights.linear("bert.pooler.dense", x[0]))
    return weights.linear("classifier", pooled)


def numbers(values):
    return [float(f"{value:.9g}") for value in values]


def main():
    raw = (MODELS / "data/fashion-mnist/t10k-images-idx3-ubyte").read_bytes()[16 : 16 + PICTURES * 784]
    pictures = np.frombuffer(raw, np.uint8).reshape(PICTURES, 1, 28, 28).astype(np.float32) / np.float32(255)
    pictures = ((pictures - np.float32(0.286)) / np.float32(0.353)).astype(np.float64)
    given = json.loads((MODELS / "bert-eras/golden.json").read_text())["inputs"]
    texts = [[i for i, real in zip(*row) if real] for row in zip(given["input_ids"], given["attention_mask"])][:TEXTS]

    plain = lambda layer, tokens: None
    weights = Weights(MODELS / "vit-fashion", "vit")
    theirs = ViTForImageClassification.from_pretrained(MODELS / "vit-fashion", dtype=torch.float64)(torch.from_numpy(pictures))
    off = max(abs(vit(weights, picture, plain, False) - theirs.logits[n].detach().numpy()).max() for n, picture in enumerate(pictures))
    assert off < 1e-9, off
    found = {"vit-fashion": {}, "bert-eras": {}}
    for name, (rule, by_size) in VIT.items():
        found["vit-fashion"][name] = [numbers(vit(weights, picture, rule, by_size)) for picture in pictures]

    weights = Weights(MODELS / "bert-eras", "bert")
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert-eras", dtype=torch.float64)
    for ids in texts:
        off = abs(bert(weights, ids, plain, False) - model(torch.tensor([ids])).logits[0].detach().numpy()).max()
        assert off < 1e-9, off
    for name, (rule, by_size) in BERT.items():
        found["bert-eras"][name] = [numbers(bert(weights, ids, rule, by_size)) for ids in texts]
    (HERE / "tokens.json").write_text(json.dumps(found, indent=1) + "\n")


main()
