"""What is decided for heads, neurons and layers: Fisher, Taylor, Minitron's activations, block influence, OPTIN.

For calibrated.py. A gate multiplies an element of an axis where the axis is taken in: a head (or a key/value head with
all its query heads) before the output projection, a neuron before `mlp.down`.
"""

import torch
from torch.nn.functional import cosine_similarity, normalize

from subject import numbers


def shown(values, first=32):
    """All of a few values; of many the first, and the sum of all and of their squares."""
    if len(values) <= first:
        return numbers(values)
    values = values.detach()
    return {"first": numbers(values[:first]), "sum": numbers(values.sum()), "squares": numbers(values.square().sum())}


def gradients(subject, batch):
    """dLoss/dgate of each axis, [batches, elements]; the loss is the mean over a batch."""
    gates = {axis: torch.ones(count, dtype=torch.float64) for axis, (_, count, _) in subject.axes().items()}
    for gate in gates.values():
        gate.requires_grad_()
    with subject.gated(gates):
        losses = [subject.loss(slice(n, n + batch)) for n in range(0, subject.data["samples"], batch)]
        rows = [torch.autograd.grad(loss, list(gates.values())) for loss in losses]
    return {axis: torch.stack(column) for axis, column in zip(gates, zip(*rows))}


def by_gradients(subject):
    """`fisher, batch N`: the sum over batches of the squared gradient. `gradient`: of the mean over all samples; taylor
    is its magnitude, nvit its square."""
    found = {}
    for batch in (1, 8):
        squares = {axis: rows.square().sum(0) for axis, rows in gradients(subject, batch).items()}
        found[f"fisher, batch {batch}"] = {axis: shown(values) for axis, values in squares.items()}
    whole = gradients(subject, subject.data["samples"])
    return found | {"gradient": {axis: shown(rows[0]) for axis, rows in whole.items()}}


def magnitudes(subject, values):
    """Of each feature: the mean magnitude over a sample's real tokens, then the L2 norm over samples."""
    means = [row[mask].abs().mean(0) for row, mask in zip(values, subject.mask)]
    return torch.stack(means).norm(dim=0)


def activation(subject):
    """Minitron. A head's score is the L2 norm over its features, that of `hidden` the sum over all norms' outputs."""
    found = {}
    for axis, (path, count, _) in subject.axes().items():
        scores = magnitudes(subject, subject.observe([path])[path])
        found[axis] = shown(scores.view(count, -1).norm(dim=1))
    norms = [path for path in subject.modules if path.rsplit(".", 1)[-1].startswith("norm")]
    scores = {path: magnitudes(subject, out) for path, out in subject.observe(norms, "output").items()}
    found["hidden of each norm"] = {path: shown(score, 8) for path, score in scores.items()}
    return found | {"hidden": numbers(torch.stack(list(scores.values())).sum(0))}


@torch.no_grad()
def block_influence(subject):
    """1 - the mean over all real tokens of the cosine between a layer's input and output, before any final norm."""
    streams = []
    hooks = [layer.register_forward_hook(lambda _, i, out: streams.append((i[0], out))) for layer in subject.layers]
    subject.logits()
    for hook in hooks:
        hook.remove()
    cosines = [cosine_similarity(subject.real(i), subject.real(out), dim=-1) for i, out in streams]
    return numbers([1 - cosine.mean() for cosine in cosines])


def manifold(features):
    features = normalize(features, dim=-1)
    return features @ features.T


def spaced(count, most):
    """The numbers of `most` rows among `count`, evenly spaced; all where there are no more."""
    taken = min(count, most)
    return [row * count // taken for row in range(taken)]


@torch.no_grad()
def optin(subject, neurons=24, rows=768, temperature=4, weight=0.1):
    """Manifold distances and KL of the model without a unit: all heads, and the first neurons of each layer. Where there
    are more tokens than `rows`, those compared are evenly spaced among them."""
    downs = [f"layers[{n}].mlp.down" for n in range(len(subject.layers))]

    def run():
        logits = []
        hook = subject.model.register_forward_hook(lambda _, i, out: logits.append(out.logits))
        outputs = subject.observe(downs, "output")
        hook.remove()
        states = [subject.real(outputs[path]) for path in downs]
        return [manifold(state[spaced(len(state), rows)]) for state in states], logits[0] / temperature

    grams, dense = run()
    found = {}
    for axis, (_, count, _) in subject.axes().items():
        layer = int(axis[axis.index("[") + 1 : axis.index("]")])
        distances, divergences = [], []
        for unit in range(min(count, neurons)):
            gates = torch.ones(count, dtype=torch.float64)
            gates[unit] = 0
            with subject.gated({axis: gates}):
                without, logits = run()
            later = list(zip(grams, without))[layer + 1 :] or [(grams[-1], without[-1])]
            distances.append(sum((one - other).square().sum() for one, other in later))
            logs, others = dense.log_softmax(-1), logits.log_softmax(-1)
            kl = temperature**2 * (logs.exp() * (logs - others)).sum(-1).mean()
            divergences.append(kl.clamp(min=0))
        found[axis] = {"md": torch.stack(distances), "kl": torch.stack(divergences)}
    heads = [scores for axis, scores in found.items() if axis.endswith("heads")]
    mean = {key: torch.cat([scores[key] for scores in heads]).mean() for key in ("md", "kl")}
    for scores in heads:
        scores["importance"] = scores["md"] / mean["md"] + weight * scores["kl"] / mean["kl"]
    return {axis: {key: numbers(values) for key, values in scores.items()} for axis, scores in found.items()}


def check():
    """The worked cases of the papers' methods."""
    teacher = torch.tensor([[1.0, 0], [0, 1]])
    student = torch.tensor([[1.0, 0], [1, 1]])
    assert torch.allclose((manifold(teacher) - manifold(student)).square().sum(), torch.tensor(1.0))
    case = torch.tensor([[[1.0, -2], [3, 0]], [[0, 1], [0, 1]]])
    subject = type("Two", (), {"mask": torch.ones(2, 2, dtype=torch.bool)})
    assert torch.allclose(magnitudes(subject, case), torch.tensor([2, 2**0.5]))
