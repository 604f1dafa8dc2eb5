#!/usr/bin/env python3
"""Writes training.json: losses of a few steps of PyTorch's optimizers on the models of tests/models, and weights after them.

    training.py

Every step sees all samples, so that their order does not matter; everything is in float64. What is learned from a teacher is
computed as the papers say it: predictions (Hinton et al., 1503.02531), layers' outputs (FitNets, 1412.6550), attention and
relations (MiniLM, 2002.10957 and 2012.15828). Zeros that are to stay are put back by masking gradients. What is to be pruned shrinks
under a penalty on its weights (MaskSparsity, 2110.06776), which is not part of the losses that are written.
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, linear, log_softmax, mse_loss, one_hot

from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from subject import Subject

HERE = Path(__file__).parent


def halves(weight):
    """The mask of 2:4 by magnitude; of equal weights the first stay."""
    groups = weight.abs().view(-1, 4)
    order = groups.argsort(dim=1, stable=True, descending=True)
    mask = torch.zeros_like(groups)
    mask.scatter_(1, order[:, :2], 1.0)
    return mask.view_as(weight)


def sparse(subject):
    """Makes the layers' linears 2:4; the masks by parameter."""
    masks = {}
    for linears in subject.linears:
        for module in linears.values():
            mask = halves(module.weight.data)
            module.weight.data *= mask
            masks[module.weight] = mask
    return masks


def divergence(teacher, student):
    """KL of rows of logits, [rows]."""
    teacher, student = log_softmax(teacher, -1), log_softmax(student, -1)
    return (teacher.exp() * (teacher - student)).sum(-1)


class Seen:
    """What layers give, and their queries, keys and values, while it lasts."""

    def __init__(self, subject):
        self.layers, self.parts, self.hooks = {}, {}, []
        for n, layer in enumerate(subject.layers):
            self.hooks.append(layer.register_forward_hook(self.keep(self.layers, n)))
            for part in ("query", "key", "value"):
                module = subject.modules[f"layers[{n}].attention.{part}"]
                self.hooks.append(module.register_forward_hook(self.keep(self.parts, (n, part))))
        self.logits = subject.logits()
        for hook in self.hooks:
            hook.remove()

    def keep(self, where, key):
        def hook(_, inputs, output):
            where[key] = output[0] if isinstance(output, tuple) else output

        return hook


def related(subject, ours, theirs, left, right, heads):
    """The mean over rows of the divergence of who looks at whom."""
    rows = []
    last = len(subject.layers) - 1
    for sample, mask in enumerate(subject.mask):
        def scores(seen):
            a, b = (seen.parts[last, part][sample][mask] for part in (left, right))
            a, b = (it.view(len(it), heads, -1).transpose(0, 1) for it in (a, b))
            return a @ b.transpose(1, 2) / a.shape[-1] ** 0.5

        rows.append(divergence(scores(theirs), scores(ours)).mean(0))
    return torch.cat(rows).mean()


def train(subject, optimizer, steps, loss_of, masks=(), clip=0.0, rates=None, penalty=None):
    losses = []
    for step in range(steps):
        loss = loss_of()
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss if penalty is None else loss + penalty()).backward()
        for weight, mask in dict(masks).items():
            if weight.grad is not None:
                weight.grad *= mask
        if clip:
            torch.nn.utils.clip_grad_norm_(subject.model.parameters(), clip)
        if rates:
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
        optimizer.step()
    return losses


def shown(values):
    values = values.detach().double().flatten()
    return {"first": values[:8].tolist(), "sum": values.sum().item(), "squares": (values**2).sum().item()}


def student(name):
    subject = Subject(name)
    subject.model.requires_grad_(True)
    return subject


def smoothed():
    subject = student("bert-eras")
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.001, momentum=0.9, weight_decay=0.0)
    loss = lambda: cross_entropy(subject.logits(), subject.labels, label_smoothing=0.1)
    return {"losses": train(subject, sgd, 4, loss)}


def language():
    subject = student("llama-sotu")
    matrices = [module.weight for linears in subject.linears for module in linears.values()]
    known = {id(it) for it in matrices}
    others = [it for it in subject.model.parameters() if id(it) not in known]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-6)
    # A step of warm-up, then down to 0 in four.
    rates = [1e-3 * factor for factor in (1.0, 1.0, 0.75, 0.5, 0.25)]
    return {"losses": train(subject, adam, 5, subject.loss, clip=0.5, rates=rates)}


def experts():
    subject = student("mixtral-sotu")
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    return {"losses": train(subject, sgd, 4, subject.loss)}


def from_teacher():
    subject, teacher = student("vit-fashion"), Subject("vit-fashion")
    masks = sparse(subject)
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.005, momentum=0.9)
    with torch.no_grad():
        theirs = Seen(teacher)

    def loss():
        ours = Seen(subject)
        hidden = [mse_loss(ours.layers[n], theirs.layers[n]) for n in range(len(subject.layers))]
        soft = 4.0 * divergence(theirs.logits / 2, ours.logits / 2).mean()
        return soft + 0.5 * cross_entropy(ours.logits, subject.labels) + 0.3 * torch.stack(hidden).mean()

    losses = train(subject, sgd, 4, loss, masks)
    weights = {
        "layers[0].attention.query": subject.modules["layers[0].attention.query"].weight,
        "layers[2].mlp.down": subject.modules["layers[2].mlp.down"].weight,
    }
    return {"losses": losses, "weights": {path: shown(weight) for path, weight in weights.items()}}


def relations():
    subject, teacher = student("bert-eras"), Subject("bert-eras")
    masks = sparse(subject)
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.005, momentum=0.0)
    with torch.no_grad():
        theirs = Seen(teacher)

    def loss():
        ours = Seen(subject)
        attention = related(subject, ours, theirs, "query", "key", 16)
        same = [related(subject, ours, theirs, part, part, 16) for part in ("query", "key", "value")]
        return attention + 2.0 * torch.stack(same).mean()

    return {"losses": train(subject, sgd, 4, loss, masks)}


class WithNulls(torch.nn.Module):
    """A layer's router and experts, with rows that lead to nothing (AdaMoE, 2406.13233), and how uneven their load is."""

    def __init__(self, mlp, nulls, top_k):
        super().__init__()
        self.router, self.experts, self.top_k = mlp.gate.weight, mlp.experts, top_k
        self.nulls = torch.nn.Parameter(torch.zeros(nulls, self.router.shape[1], dtype=self.router.dtype))

    def forward(self, hidden):
        rows = hidden.flatten(0, 1)
        shares = torch.cat([linear(rows, self.router), linear(rows, self.nulls)], -1).softmax(-1)
        chosen = shares.argsort(dim=-1, descending=True, stable=True)[:, : self.top_k]
        true, count = len(self.router), shares.shape[1]
        gates = shares.gather(1, chosen)
        if len(self.nulls):
            gates = gates * (chosen < true)
        sums = gates.sum(-1, keepdim=True)
        gates = gates / torch.where(sums == 0, torch.ones_like(sums), sums)
        loads = one_hot(chosen, count).sum(1).double().mean(0)
        if len(self.nulls):
            loads[true:] = loads[true:].mean()
        self.load = count * (loads * shares.mean(0)).sum()
        return self.experts(rows, chosen, gates).view_as(hidden)


def balanced(nulls, top_k):
    subject = student("mixtral-sotu")
    mixtures = []
    for layer in subject.layers:
        layer.mlp = WithNulls(layer.mlp, nulls, top_k)
        mixtures.append(layer.mlp)
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.1, momentum=0.9)

    def loss():
        own = subject.loss()
        return own + 0.5 * torch.stack([mixture.load for mixture in mixtures]).mean()

    return {"losses": train(subject, sgd, 4, loss)}


def flow_of_head(query, key, value, eps=1e-6):
    """Flow attention of one head of one text, [tokens, width] each: equations 4 to 8 of Flowformer (2202.06258)."""
    query, key = query.sigmoid(), key.sigmoid()
    sink_in = 1 / ((query + eps) @ (key.sum(0) + eps))
    source_out = 1 / ((key + eps) @ (query.sum(0) + eps))
    conserved_sink = (query + eps) @ ((key * source_out[:, None]).sum(0) + eps)
    conserved_source = ((key + eps) @ ((query * sink_in[:, None]).sum(0) + eps)).clamp(-1, 1)
    allocation = (conserved_sink * len(query) / len(key)).sigmoid()
    competition = conserved_source.softmax(0) * len(key)
    return allocation[:, None] * ((query * sink_in[:, None]) @ (key.T @ (value * competition[:, None])))


def flowing(subject):
    """Makes the attention of all layers flow attention, in which padding takes no part."""

    def attend(module, query, key, value, attention_mask, **_):
        out = torch.zeros_like(value)
        for sample, real in enumerate(subject.mask):
            for head in range(query.shape[1]):
                parts = (it[sample, head, real] for it in (query, key, value))
                out[sample, head, real] = flow_of_head(*parts)
        return out.transpose(1, 2).contiguous(), None

    ALL_ATTENTION_FUNCTIONS["flow"] = attend
    ALL_MASK_ATTENTION_FUNCTIONS["flow"] = lambda *_, **__: None
    subject.model.config._attn_implementation = "flow"


def flow_of_texts():
    subject = student("bert-eras")
    flowing(subject)
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.01, momentum=0.9)
    loss = lambda: cross_entropy(subject.logits(), subject.labels)
    return {"losses": train(subject, sgd, 4, loss)}


def flow_of_pictures():
    subject, teacher = student("vit-fashion"), Subject("vit-fashion")
    with torch.no_grad():
        theirs = Seen(teacher)
    flowing(subject)
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.01, momentum=0.9)

    def loss():
        ours = Seen(subject)
        hidden = [mse_loss(ours.layers[n], theirs.layers[n]) for n in range(len(subject.layers))]
        return divergence(theirs.logits, ours.logits).mean() + torch.stack(hidden).mean()

    return {"losses": train(subject, sgd, 4, loss)}


# Of every layer of vit-fashion: a head, and some neurons.
HEADS, NEURONS = [1], [0, 5, 17]


def units(subject):
    """The weights of each element that will go: rows of what makes it, columns of what takes it in."""
    heads = subject.config.num_attention_heads
    found = []
    for n in range(len(subject.layers)):
        part = lambda name: subject.modules[f"layers[{n}].{name}"]
        width = part("attention.output").weight.shape[1] // heads
        for head in HEADS:
            rows = slice(head * width, (head + 1) * width)
            made = [part(f"attention.{name}") for name in ("query", "key", "value")]
            pieces = [it.weight[rows] for it in made] + [it.bias[rows] for it in made]
            found.append(pieces + [part("attention.output").weight[:, rows]])
        for j in NEURONS:
            up, down = part("mlp.up"), part("mlp.down")
            found.append([up.weight[j], up.bias[j], down.weight[:, j]])
    return [torch.cat([piece.flatten() for piece in pieces]) for pieces in found]


PENALTIES = {
    "l1": lambda unit: unit.abs().sum(),
    "group": lambda unit: len(unit) ** 0.5 * unit.norm(),
}


def shrunk(kind):
    subject = student("vit-fashion")
    sgd = torch.optim.SGD(subject.model.parameters(), lr=0.005, momentum=0.9)
    loss = lambda: cross_entropy(subject.logits(), subject.labels)
    penalty = lambda: 0.02 * sum(PENALTIES[kind](unit) for unit in units(subject))
    losses = train(subject, sgd, 4, loss, penalty=penalty)
    up = subject.modules["layers[1].mlp.up"].weight
    stay = [row for row in range(len(up)) if row not in NEURONS]
    return {
        "losses": losses,
        "weights": {"layers[1].mlp.up": shown(up[stay])},
    }


found = {
    "smoothed": smoothed(),
    "language": language(),
    "experts": experts(),
    "from teacher": from_teacher(),
    "relations": relations(),
    "balanced": balanced(0, 2),
    "balanced with nulls": balanced(8, 3),
    "flow of texts": flow_of_texts(),
    "flow of pictures": flow_of_pictures(),
    "shrunk by l1": shrunk("l1"),
    "shrunk by group": shrunk("group"),
}
(HERE / "training.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
for name, case in found.items():
    print(name, case["losses"])
