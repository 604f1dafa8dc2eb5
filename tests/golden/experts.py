#!/usr/bin/env python3
"""Writes experts.json: what is seen of the experts of mixtral-sotu, which of them are alike or dispensable, and what merging makes.

    experts.py

Model and data are those of subject.py, in float64. Clusters and assignments are SciPy's. Where experts are merged or dropped,
the loss is that of the changed model on the same data, which runs here with a router, a map and a list of experts.

| key | what |
|---|---|
| `counts`, `reap` | of each layer, for each expert |
| `routing`, `output_clusters` | for each expert the number of its group, of four, numbered by first members |
| `order` | in `layers[0]`, for each neuron of the most chosen expert the neuron of the next one in its place |
| `reconstruction` | of each layer the four experts that stay, and the norm of what is lost |
| `merged` | by routing into four: the loss, and the first row of `layers[0].experts[0].up`; aligned and not |
| `dropped` | the loss with the four of `reap`, of `frequency`, of `reconstruction` |
| `compressed` | the loss where each matrix of an expert is its eight largest singular parts and the tenth of the rows of the rest that weigh most, and the numbers of these rows for `layers[0].experts[0].up` |
| `nulls` | the loss with four null experts of rows that are written out, three choices a token |
| `skipped` | the loss where the second expert is left out below the layer's median ratio of the gates, and the medians |
"""

import itertools
import json
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment

from subject import Subject, numbers

PATH = Path(__file__).with_name("experts.json")
GROUPS = 4
TOP = 2


def gates(logits, among):
    """Of the best two of some experts, renormalized; zero elsewhere."""
    kept = torch.full_like(logits, -torch.inf)
    kept[:, among] = logits[:, among]
    best = kept.topk(TOP).indices
    shares = torch.zeros_like(logits).scatter(1, best, kept.gather(1, best).softmax(-1))
    return shares, best


class Layer:
    """What one mixture is given, and what its experts make of it."""

    def __init__(self, layer, x):
        self.x, self.experts = x, layer.mlp.experts
        self.logits = x @ layer.mlp.gate.weight.T
        self.all = list(range(len(self.experts)))
        self.gates, self.chosen = gates(self.logits, self.all)
        self.counts = torch.bincount(self.chosen.flatten(), minlength=len(self.all))
        self.outputs = torch.stack([expert(x) for expert in self.experts])

    def reap(self):
        norms = self.outputs.norm(dim=-1).T * self.gates
        return norms.sum(0) / self.counts.clamp(min=1)

    def by_routing(self):
        cosine = torch.nn.functional.normalize(self.logits.T, dim=1)
        cosine = cosine @ cosine.T
        leaders = self.counts.argsort(descending=True, stable=True)[:GROUPS].tolist()
        return [leaders.index(e) if e in leaders else int(cosine[e, leaders].argmax()) for e in self.all]

    def by_outputs(self):
        means = self.outputs.mean(1).numpy()
        return fcluster(linkage(means, method="average", metric="euclidean"), GROUPS, criterion="maxclust").tolist()

    def best_set(self):
        whole = torch.einsum("te,eth->th", self.gates, self.outputs)
        lost = {}
        for kept in itertools.combinations(self.all, GROUPS):
            less = torch.einsum("te,eth->th", gates(self.logits, list(kept))[0], self.outputs)
            lost[kept] = (less - whole).norm().item()
        kept = min(lost, key=lost.get)
        return {"kept": list(kept), "lost": numbers(lost[kept])}

    def ratios(self):
        best = self.gates.gather(1, self.chosen)
        return best[:, 1] / best[:, 0]


def in_order(groups):
    names = list(dict.fromkeys(groups))
    return [names.index(group) for group in groups]


def order(one, other):
    """For each neuron of `one` the neuron of `other` in its place."""
    costs = 0
    for name in ("gate", "up", "down"):
        a, b = (getattr(expert, name).weight.numpy() for expert in (one, other))
        if name == "down":
            a, b = a.T, b.T
        costs = costs + ((a[:, None] - b[None]) ** 2).sum(-1)
    return linear_sum_assignment(costs)[1]


def weights(expert, places):
    parts = {name: getattr(expert, name).weight for name in ("gate", "up", "down")}
    return {name: part[:, places] if name == "down" else part[places] for name, part in parts.items()}


def merged(layer, groups, align):
    found = []
    for group in range(max(groups) + 1):
        members = [e for e in layer.all if groups[e] == group]
        leader = max(members, key=lambda e: (layer.counts[e], -e))
        total = layer.counts[members].sum()
        sums = {"gate": 0, "up": 0, "down": 0}
        for e in members:
            same = np.arange(layer.experts[e].up.weight.shape[0])
            places = order(layer.experts[leader], layer.experts[e]) if align and e != leader else same
            share = layer.counts[e] / total if total else 1 / len(members)
            for name, part in weights(layer.experts[e], places).items():
                sums[name] = sums[name] + share * part
        found.append(sums)
    return found


def expert_of(parts):
    return lambda x: (torch.nn.functional.silu(x @ parts["gate"].T) * (x @ parts["up"].T)) @ parts["down"].T


class Changed(torch.nn.Module):
    """A mixture with fewer experts: rows of the router that are left, and the expert that each leads to."""

    def __init__(self, router, rows, leads, experts, skip=None):
        super().__init__()
        self.router, self.rows, self.leads, self.experts, self.skip = router, rows, leads, experts, skip

    def forward(self, hidden):
        x = hidden.flatten(0, 1)
        best = (x @ self.router.T)[:, self.rows].topk(TOP)
        shares = best.values.softmax(-1)
        if self.skip is not None:
            alone = shares[:, 1] < self.skip * shares[:, 0]
            shares[alone] = torch.tensor([1.0, 0.0], dtype=shares.dtype)
        y = torch.zeros_like(x)
        for slot in range(TOP):
            for number, expert in enumerate(self.experts):
                at = torch.tensor([self.leads[row] == number for row in best.indices[:, slot].tolist()])
                y[at] += shares[at, slot, None] * expert(x[at])
        return y.view_as(hidden)


RANK, REST = 8, 0.1


def compressed(matrix):
    """The largest singular parts of a matrix, some rows of what is left, and which."""
    left, sizes, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    kept = left[:, :RANK] * sizes[:RANK] @ right[:RANK]
    rest = matrix.numpy() - kept
    count = int(REST * len(rest) + 0.5)
    rows = sorted(np.argsort(-np.abs(rest).mean(1), kind="stable")[:count].tolist())
    kept[rows] += rest[rows]
    return torch.tensor(kept), rows


class WithNulls(torch.nn.Module):
    """A mixture whose router has rows that lead to nothing: gates are those of the others, renormalized."""

    def __init__(self, layer, nulls, top):
        super().__init__()
        self.rows, self.experts, self.top = torch.cat([layer.mlp.gate.weight, nulls]), layer.mlp.experts, top

    def forward(self, hidden):
        x = hidden.flatten(0, 1)
        shares, best = (x @ self.rows.T).softmax(-1).topk(self.top)
        shares = shares * (best < len(self.experts))
        shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-300)
        y = torch.zeros_like(x)
        for slot in range(self.top):
            for number, expert in enumerate(self.experts):
                at = best[:, slot] == number
                y[at] += shares[at, slot, None] * expert(x[at])
        return y.view_as(hidden)


def nulls(layer, width):
    """Rows that are easily written down, of the size of the router's own."""
    at = torch.arange(4 * width, dtype=torch.float64).view(4, width)
    return 0.3 * torch.sin(0.7 * at + layer)


def loss(subject, made):
    other = subject.copy()
    for layer, mixture in zip(other.layers, made):
        layer.mlp = mixture
    return numbers(other.loss())


def dropped(layers, routers, kept):
    kept = [sorted(int(e) for e in of) for of in kept]
    parts = zip(routers, kept, layers)
    return [Changed(router, rows, list(range(GROUPS)), [layer.experts[e] for e in rows]) for router, rows, layer in parts]


def best(scores):
    return scores.argsort(descending=True, stable=True)[:GROUPS]


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    subject = Subject("mixtral-sotu")
    inputs = subject.observe([f"layers[{n}].router" for n in range(len(subject.layers))])
    layers = [Layer(layer, x.flatten(0, -2)) for layer, x in zip(subject.layers, inputs.values())]
    routers = [layer.mlp.gate.weight for layer in subject.layers]
    routing = [in_order(layer.by_routing()) for layer in layers]
    sets = [layer.best_set() for layer in layers]
    whole = list(range(len(layers[0].all)))
    found = {
        "computed": f"float64; torch {torch.__version__.split('+')[0]}, scipy {scipy.__version__}",
        "data": subject.data,
        "loss": numbers(subject.loss()),
        "counts": [layer.counts.tolist() for layer in layers],
        "reap": [numbers(layer.reap()) for layer in layers],
        "routing": routing,
        "output_clusters": [in_order(layer.by_outputs()) for layer in layers],
        "reconstruction": sets,
    }
    first, second = layers[0].counts.argsort(descending=True, stable=True)[:2].tolist()
    found["order"] = {"of": [first, second], "neurons": order(*(layers[0].experts[e] for e in (first, second))).tolist()}
    found["merged"] = {}
    for name, align in [("aligned", True), ("not aligned", False)]:
        parts = [merged(layer, groups, align) for layer, groups in zip(layers, routing)]
        made = [
            Changed(router, whole, groups, [expert_of(of) for of in experts])
            for router, groups, experts in zip(routers, routing, parts)
        ]
        found["merged"][name] = {"loss": loss(subject, made), "first row": numbers(parts[0][0]["up"][0])}
    found["dropped"] = {
        "reap": loss(subject, dropped(layers, routers, [best(layer.reap()) for layer in layers])),
        "frequency": loss(subject, dropped(layers, routers, [best(layer.counts) for layer in layers])),
        "reconstruction": loss(subject, dropped(layers, routers, [of["kept"] for of in sets])),
    }
    first, made = {}, []
    for number, (router, layer) in enumerate(zip(routers, layers)):
        parts = [{name: compressed(getattr(expert, name).weight) for name in ("gate", "up", "down")} for expert in layer.experts]
        first[number] = parts[0]["up"][1]
        experts = [expert_of({name: matrix for name, (matrix, _) in of.items()}) for of in parts]
        made.append(Changed(router, whole, whole, experts))
    found["compressed"] = {"loss": loss(subject, made), "rows": first[0]}
    width = routers[0].shape[1]
    found["nulls"] = {"loss": loss(subject, [WithNulls(layer, nulls(n, width), 3) for n, layer in enumerate(subject.layers)])}
    medians = [np.median(layer.ratios().numpy()) for layer in layers]
    made = [
        Changed(router, whole, whole, list(layer.experts), skip)
        for router, layer, skip in zip(routers, layers, medians)
    ]
    found["skipped"] = {"loss": loss(subject, made), "medians": numbers([float(median) for median in medians])}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    PATH.write_text("{\n" + lines + "\n}\n")
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
