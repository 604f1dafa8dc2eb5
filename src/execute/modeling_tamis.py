"""Runs a model that tamis wrote: interprets the graph in `tamis.graph.json`, beside which this file lies.

    AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)

The architecture's own classes cannot say what was done to the model; its graph can. Every operation of a graph is a method
here, named after it. Values are [batch, tokens, features].
"""

import json
from dataclasses import dataclass
from math import pi, prod

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput, cached_file

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class TamisConfig(PretrainedConfig):
    """The fields of the architecture's config, under a name of its own: they describe the model before."""

    model_type = "tamis"

    def __init__(self, **fields):
        fields.pop("model_type", None)
        super().__init__(**fields)


@dataclass
class TamisOutput(ModelOutput):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple | None = None
    pooler_output: torch.Tensor | None = None


class TamisModel(PreTrainedModel, GenerationMixin):
    config_class = TamisConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        with open(cached_file(config._name_or_path, "tamis.graph.json"), encoding="utf-8") as file:
            self.graph = json.load(file)["graph"]
        self.names = {}
        for number, param in enumerate(self.graph["params"]):
            if param is not None:
                self.names[number] = name = resolve(param["name"])
                self.store(name, torch.empty([self.extent(dim) for dim in param["dims"]]), param["buffer"])
        self.order = schedule(self.graph["ops"])
        self.post_init()

    def store(self, name, tensor, is_buffer):
        """Registers a tensor under its name in the files: a module for every part of it."""
        *path, last = name.split(".")
        module = self
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        if is_buffer:
            module.register_buffer(last, tensor)
        else:
            module.register_parameter(last, nn.Parameter(tensor))

    def _init_weights(self, module):
        """Everything is in the files."""

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids=None, attention_mask=None, pixel_values=None, labels=None, **_):
        run = Run(self, input_ids, attention_mask, pixel_values)
        values, found = {}, {}
        for number, operands in self.order:
            op = self.graph["ops"]["nodes"][number]
            kind, of = named(op["op"])
            values[number] = getattr(run, kind)(of, *(values[operand] for operand in operands), dims=op["value"])
            if kind == "output":
                found[of] = values[number]
        logits = found.get("logits")
        loss = None
        if labels is not None and logits is not None:
            shifted = logits.ndim == 3 and run.is_causal
            scores, wanted = (logits[:, :-1], labels[:, 1:]) if shifted else (logits, labels)
            loss = F.cross_entropy(scores.flatten(0, -2).float(), wanted.flatten())
        hidden = found.get("hidden")
        states = None if hidden is None else (hidden,)  # the last ones only
        return TamisOutput(loss, logits, hidden, states, found.get("pooled"))

    def tensor(self, number):
        return self.get_parameter(self.names[number])

    def extent(self, dim):
        return prod(self.graph["axes"][axis]["extent"]["max"] for axis in dim)

    def matrix(self, view, transposed=False):
        """A part of a tensor as [out, in], or as a vector."""
        dims, fixed = self.graph["params"][view["param"]]["dims"], dict(view["fixed"])
        tensor = self.tensor(view["param"])
        if fixed:
            tensor = tensor.reshape([self.extent([axis]) for dim in dims for axis in dim])
            tensor = tensor[tuple(fixed.get(axis, slice(None)) for dim in dims for axis in dim)]
            dims = [[axis for axis in dim if axis not in fixed] for dim in dims if not dim or set(dim) - set(fixed)]
        while len(dims) > 2 and not dims[0]:
            dims = dims[1:]
        if len(dims) < 2:
            return tensor.reshape(-1)
        tensor = tensor.reshape(self.extent(dims[0]), -1)
        return tensor.T if transposed else tensor

    def weight(self, site):
        """The weight of a place in the model: its factors, outermost last, and its bias."""
        of = self.graph["sites"][site]
        kind, weight = named(of["weight"])
        views = [weight] if kind == "dense" else [weight["right"], weight["left"]]
        bias = of["bias"] and self.matrix(of["bias"])
        return [self.matrix(view, of["transposed"]) for view in views], bias


    def rest(self, site):
        """Rows that are added to a product of factors, and the outputs that they belong to."""
        of = named(self.graph["sites"][site]["weight"])[1].get("rest")
        return of and (self.matrix(of["view"]), torch.tensor(of["rows"], device=self.device))


class Run:
    """One forward pass: the operations of a graph."""

    def __init__(self, model, input_ids, attention_mask, pixel_values):
        self.model, self.ids, self.pictures = model, input_ids, pixel_values
        ops = [named(op["op"]) for op in model.graph["ops"]["nodes"]]
        self.is_causal = any(kind == "attention" and of["causal"] for kind, of in ops)
        if input_ids is not None:
            self.mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            self.places = (self.mask.cumsum(-1) - 1).clamp(min=0)

    def apply(self, site, x):
        factors, bias = self.model.weight(site)
        y = x
        for factor in factors[:-1]:
            y = F.linear(y, factor)
        y = F.linear(y, factors[-1], bias)
        rest = self.model.rest(site)
        return y if rest is None else y.index_add(-1, rest[1], F.linear(x, rest[0]))

    def table(self, site):
        return self.model.weight(site)[0][0]

    def token_ids(self, _, dims):
        return self.ids

    def pixels(self, _, dims):
        return self.pictures

    def embedding(self, site, ids, dims):
        return F.embedding(ids, self.table(site))

    def positions(self, of, x, dims):
        table = self.table(of["table"])
        if self.ids is None:
            return table[of["offset"] :][: x.shape[1]].expand_as(x)
        return F.embedding(self.places + of["offset"], table)

    def grid_positions(self, of, x, dims):
        rows = self.table(of["table"])
        if rows.shape[0] != x.shape[1]:
            raise NotImplementedError("pictures of another size than the model's own are for tamis to run")
        return rows.expand_as(x)

    def types(self, site, x, dims):
        return self.table(site)[0].expand_as(x)

    def patches(self, site, x, dims):
        view = named(self.model.graph["sites"][site]["weight"])[1]
        kernel, (_, bias) = self.model.tensor(view["param"]), self.model.weight(site)
        return F.conv2d(x, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)

    def prepend(self, site, x, dims):
        token = self.table(site).reshape(1, 1, -1)
        return torch.cat([token.expand(x.shape[0], 1, -1), x], dim=1)

    def linear(self, site, x, dims):
        return self.apply(site, x)

    def layer_norm(self, of, x, dims):
        weights, bias = self.model.weight(of["site"])
        return F.layer_norm(x, x.shape[-1:], weights[0], bias, of["eps"])

    def rms_norm(self, of, x, dims):
        weight = self.table(of["site"])
        wide = x.float().unflatten(-1, (-1, len(weight)))  # of each head by itself, where it is narrower
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + of["eps"])
        return (weight * wide.to(x.dtype)).flatten(-2)

    def layer_scale(self, site, x, dims):
        return x * self.table(site)

    def activation(self, of, x, dims):
        return ACTIVATIONS[of](x)

    def attention(self, of, query, key, value, dims):
        width = self.model.extent(dims[-1][-1:])
        query, key, value = (x.unflatten(-1, (-1, width)).transpose(1, 2) for x in (query, key, value))
        if of["rope"] is not None:
            query, key = self.turned(of["rope"], query), self.turned(of["rope"], key)
        group = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))
        scores = query @ key.transpose(-1, -2) * of["scale"]
        scores = scores.masked_fill(~self.seen(of, scores.shape[-1], scores.device), torch.finfo(scores.dtype).min)
        shares = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        return (shares @ value).transpose(1, 2).flatten(2)

    def seen(self, of, tokens, device):
        """Which keys each query sees: [batch or 1, 1, queries, keys]."""
        at = torch.arange(tokens, device=device)
        back = at[:, None] - at[None, :]
        seen = torch.ones_like(back, dtype=torch.bool)
        if of["causal"]:
            seen = back >= 0
        if of["window"] is not None:
            seen = seen & (back < of["window"])
        seen = seen[None, None]
        return seen if self.ids is None else seen & self.mask[:, None, None, :].bool()

    def turned(self, rope, x):
        half = x.shape[-1] // 2
        speeds = rope["theta"] ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)
        if rope["scaling"] is not None:
            speeds = scaled(speeds, *named(rope["scaling"]))
        angles = self.places[:, None, :, None].double() * speeds
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    def experts(self, of, x, dims):
        """The best `top_k` rows of the router; two that lead to one expert let it run once, with the sum of their gates."""
        shape, x = x.shape, x.flatten(0, 1)
        logits, nulls, transfer = self.apply(of["router"], x), of.get("nulls"), of.get("transfer")
        if nulls is not None:  # rows behind which nothing is
            logits = torch.cat([logits, self.apply(nulls["router"], x)], dim=-1)
        shares = logits.softmax(-1, dtype=torch.float32)
        if transfer is not None:
            shares = F.linear(shares, self.table(transfer).float())
        gates, rows = shares.topk(of["top_k"], dim=-1)
        if nulls is not None:
            gates = gates.masked_fill(rows >= len(of["experts"]), 0.0)
            sums = gates.sum(-1, keepdim=True)
            gates, rows = gates / sums.masked_fill(sums == 0, 1.0), rows.clamp(max=len(of["experts"]) - 1)
        elif of["renormalize"]:
            gates = gates / gates.sum(-1, keepdim=True)
        if of.get("skip_below") is not None:
            alone = gates[:, 1:] < of["skip_below"] * gates[:, :1]
            first = torch.where(alone, torch.ones_like(alone, dtype=gates.dtype), gates[:, :1])
            gates = torch.cat([first, gates[:, 1:].masked_fill(alone, 0.0)], dim=-1)
        if of.get("routes") is not None and transfer is None:
            rows = torch.tensor(of["routes"]["to"], device=rows.device)[rows]
        weights = torch.zeros(len(x), len(of["experts"]), dtype=gates.dtype, device=x.device)
        weights = weights.scatter_add(1, rows, gates).to(x.dtype)
        y = torch.zeros_like(x)
        for number, expert in enumerate(of["experts"]):
            at = weights[:, number].nonzero()[:, 0]
            y = y.index_add(0, at, self.expert(of, expert, x[at]) * weights[at, number, None])
        return y.reshape(shape)

    def expert(self, of, expert, x):
        activate, inner = ACTIVATIONS[of["activation"]], self.apply(expert["up"], x)
        inner = activate(inner) if expert["gate"] is None else activate(self.apply(expert["gate"], x)) * inner
        return self.apply(expert["down"], inner)

    def add(self, _, left, right, dims):
        return left + right

    def multiply(self, _, left, right, dims):
        return left * right

    def weigh(self, _, x, weights, dims):
        return x * weights

    def scale(self, factor, x, dims):
        return x * factor

    def token(self, number, x, dims):
        return x[:, number]

    def mean(self, _, x, dims):
        if self.ids is None:
            return x.mean(1)
        mask = self.mask[..., None].to(x.dtype)
        return (x * mask).sum(1) / mask.sum(1)

    def last(self, _, x, dims):
        last = (self.mask * torch.arange(x.shape[1], device=x.device)).argmax(-1)
        return x[torch.arange(len(x), device=x.device), last]

    def output(self, _, x, dims):
        return x


def named(op):
    """The name and content of a tagged value: `"add"`, or `{"linear": 3}`."""
    return (op, None) if isinstance(op, str) else next(iter(op.items()))


def resolve(name):
    return "".join(part["text"] if "text" in part else str(part["member"][1]) for part in name)


def schedule(ops):
    """Operations with their operands, each behind those that it reads."""
    operands = {number: {} for number in range(len(ops["nodes"]))}
    for source, target, place in ops["edges"]:
        operands[target][place] = source
    order, done = [], set()
    while len(order) < len(operands):
        for number, reads in operands.items():
            if number not in done and done.issuperset(reads.values()):
                order.append((number, [reads[place] for place in sorted(reads)]))
                done.add(number)
    return order


def scaled(speeds, kind, of):
    """Rotary frequencies for longer texts than the model was trained on."""
    if kind == "linear":
        return speeds / of["factor"]
    blend = of["original_positions"] * speeds / (2 * pi) - of["low_freq_factor"]
    blend = (blend / (of["high_freq_factor"] - of["low_freq_factor"])).clamp(0, 1)
    return speeds * (1 - blend) / of["factor"] + speeds * blend
