"""Runs a model that tamis wrote: interprets the graph in `tamis.graph.json`, beside which this file lies.

    AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)

The architecture's own classes cannot say what was done to the model; its graph can. Every operation of a graph is a method
here, named after it. Values are [batch, tokens, features].
"""

import json
from dataclasses import dataclass
from math import ceil, pi, prod, sqrt

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

    def get_text_config(self, *_, **__):
        """Of a model with a picture the fields of its language model, which are a plain object."""
        fields = getattr(self, "text_config", None)
        return TamisConfig(**fields) if isinstance(fields, dict) else self


@dataclass
class TamisOutput(ModelOutput):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple | None = None
    pooler_output: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None  # how many tokens each hidden state stands for, where they are fewer


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

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, pixel_values=None, **_):
        """Nothing is cached: each new token is made from the whole text, and a picture's tokens are chosen for it anew."""
        return {"input_ids": input_ids, "attention_mask": attention_mask, "pixel_values": pixel_values}

    def forward(self, input_ids=None, attention_mask=None, pixel_values=None, labels=None, token_type_ids=None, **_):
        run = Run(self, input_ids, attention_mask, pixel_values, token_type_ids)
        values, states, found, end = {}, {}, {}, run.state()
        for number, operands in self.order:
            op = self.graph["ops"]["nodes"][number]
            kind, of = named(op["op"])
            run.reads = [self.graph["ops"]["nodes"][operand]["value"] for operand in operands]
            run.before = [states[operand] for operand in operands]
            run.mask, run.sizes, run.places, run.kinds = run.before[0] if operands else (None,) * 4
            values[number] = getattr(run, kind)(of, *(values[operand] for operand in operands), dims=op["value"])
            states[number] = run.state()
            if kind == "output":
                found[of], end = values[number], states[number]
        run.mask, run.sizes, run.places, run.kinds = end
        logits = found.get("logits")
        loss = None
        if labels is not None and logits is not None:
            shifted = logits.ndim == 3 and run.is_causal
            if shifted and logits.shape[1] != labels.shape[1]:
                raise ValueError("a picture's tokens became fewer: there are not as many logits as labels")
            scores, wanted = (logits[:, :-1], labels[:, 1:]) if shifted else (logits, labels)
            loss = F.cross_entropy(scores.flatten(0, -2).float(), wanted.flatten())
        hidden = found.get("hidden")
        states = None if hidden is None else (hidden,)  # the last ones only
        mask = run.mask if run.is_reduced else None
        mask = mask if mask is None or run.sizes is None else mask * run.sizes
        return TamisOutput(loss, logits, hidden, states, found.get("pooled"), mask)

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

    def __init__(self, model, input_ids, attention_mask, pixel_values, token_type_ids):
        self.model, self.ids, self.pictures, self.segments = model, input_ids, pixel_values, token_type_ids
        ops = [named(op["op"]) for op in model.graph["ops"]["nodes"]]
        self.is_reduced = any(kind == "reduce_tokens" for kind, _ in ops)
        self.is_causal = any(kind == "attention" and of["causal"] for kind, of in ops)
        self.text_mask = attention_mask
        # Of the value at hand: which rows are no padding, how many tokens each stands for once some were merged, its place in the
        # text, and whether it is of a text (0), of a picture (1) or a key token of one (2).
        self.mask = self.sizes = self.places = self.kinds = None

    def state(self):
        return self.mask, self.sizes, self.places, self.kinds

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
        self.mask = torch.ones_like(self.ids) if self.text_mask is None else self.text_mask
        self.places = (self.mask.cumsum(-1) - 1).clamp(min=0)
        return self.ids

    def pixels(self, _, dims):
        return self.pictures

    def embedding(self, site, ids, dims):
        return F.embedding(ids, self.table(site))

    def positions(self, of, x, dims):
        table = self.table(of["table"])
        if self.places is None:
            return table[of["offset"] :][: x.shape[1]].expand_as(x)
        return F.embedding(self.places + of["offset"], table)

    def grid_positions(self, of, x, dims):
        rows = self.table(of["table"])
        size = [side // patch for side, patch in zip(self.pictures.shape[2:], of["patch"])]
        if size != of["grid"]:
            square = rows[1:].reshape(1, *of["grid"], -1).permute(0, 3, 1, 2)
            square = F.interpolate(square, size=size, mode="bicubic", align_corners=False)
            rows = torch.cat([rows[:1], square[0].flatten(1).T])
        return rows.expand_as(x)

    def types(self, site, x, dims):
        table = self.table(site)
        if self.segments is None or len(table) == 1:
            return table[0].expand_as(x)
        return F.embedding(self.segments, table)

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
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        if of.get("kind") == "flow":
            return self.flow(query, key, value).transpose(1, 2).flatten(2)
        seen = self.seen(of, key.shape[2], key.device)
        return (attended(of, query, key, seen, self.sizes) @ value).transpose(1, 2).flatten(2)

    def flow(self, query, key, value):
        """Flow attention (Flowformer, 2202.06258): padding takes no part, neither as source nor as sink."""
        query, key, eps, count = query.sigmoid(), key.sigmoid(), 1e-6, key.shape[2]
        if self.mask is not None:
            real = self.mask[:, None, :, None].to(key.dtype)
            query, key, value, count = query * real, key * real, value * real, real.sum(2, keepdim=True)

        def with_all(rows, all):
            return ((rows + eps) * (all.sum(2, keepdim=True) + eps)).sum(-1, keepdim=True)

        sink_in, source_out = 1 / with_all(query, key), 1 / with_all(key, query)
        allocation = with_all(query, key * source_out).sigmoid()
        competition = with_all(key, query * sink_in).clamp(-1, 1).exp()
        if self.mask is not None:
            competition = competition * real
        competition = competition / competition.sum(2, keepdim=True) * count
        return (query * sink_in) @ (key.transpose(2, 3) @ (value * competition)) * allocation

    def reduce_tokens(self, of, x, query, key, dims):
        """Fewer tokens. Where texts are of unlike lengths each is reduced by itself, so that padding decides nothing."""
        width = self.model.extent(self.reads[2][-1][-1:])
        query, key = (x.unflatten(-1, (-1, width)).transpose(1, 2) for x in (query, key))
        kind, rule = named(of["rule"])
        if kind == "picture":
            return self.reduce_picture(of, *named(rule), x, query, key)
        if self.mask is None or self.mask.all():
            x, self.sizes = Reduction(of, query, key, self.sizes)(x)
            if self.mask is not None:
                self.mask = self.mask[:, : x.shape[1]]
            return x
        rows, sizes = [], []
        for n, real in enumerate(self.mask.bool()):
            own = None if self.sizes is None else self.sizes[n : n + 1, real]
            row, size = Reduction(of, query[n : n + 1, :, real], key[n : n + 1, :, real], own)(x[n : n + 1, real])
            rows.append(row[0])
            sizes.append(None if size is None else size[0])
        self.mask = padded([torch.ones(len(row), dtype=self.mask.dtype, device=x.device) for row in rows], 0)
        if any(size is not None for size in sizes):  # a text too short to lose a token has none of its own
            sizes = [torch.ones(len(row), device=x.device) if size is None else size for row, size in zip(rows, sizes)]
            self.sizes = padded(sizes, 1)
        return padded(rows, 0)

    def reduce_picture(self, of, kind, rule, x, query, key):
        """Fewer tokens of each sample's picture, or the same ones and which of them are key."""
        if of["attention"]["rope"] is not None:
            query, key = self.turned(of["attention"]["rope"], query), self.turned(of["attention"]["rope"], key)
        samples = []
        for n in range(len(x)):
            real = torch.ones(x.shape[1], dtype=torch.bool, device=x.device) if self.mask is None else self.mask[n].bool()
            kinds = torch.zeros(int(real.sum()), dtype=torch.long, device=x.device) if self.kinds is None else self.kinds[n, real]
            own = Picture(of, query[n : n + 1, :, real], key[n : n + 1, :, real], kinds)
            row, kinds, stay = getattr(own, kind)(rule, x[n, real])
            places = None if self.places is None else torch.arange(len(row), device=x.device) if stay is None else self.places[n, real][stay]
            samples.append((row, kinds, places))
        return self.joined(samples)

    def joined(self, samples):
        """Samples of unlike lengths. Texts are padded in front, so that their last token is the last row."""
        rows, kinds, places = zip(*samples)
        masks = [torch.ones(len(row), dtype=torch.long, device=row.device) for row in rows]
        in_front = places[0] is not None
        self.mask, self.kinds = padded(masks, 0, in_front), padded(kinds, 0, in_front)
        self.places = padded(places, 0, True) if in_front else None
        return padded(rows, 0, in_front)

    def behind(self, first, x, dims):
        self.mask, self.kinds = (None if it is None else it[:, first:] for it in (self.mask, self.kinds))
        return x[:, first:]

    def insert_picture(self, of, text, picture, dims):
        """Rows of pictures in the place of their placeholders, which lie in one run of each text."""
        mask, _, _, known = self.before[1]
        samples = []
        for n in range(len(text)):
            real = self.mask[n].bool()
            row, at = text[n, real], (self.ids[n, real] == of["placeholder"]).nonzero()[:, 0].tolist()
            if not at or at != list(range(at[0], at[-1] + 1)):
                raise ValueError(f"text {n} has not one place for its picture, token {of['placeholder']}")
            patches = picture[n] if mask is None else picture[n, mask[n].bool()]
            kinds = torch.ones(len(patches), dtype=torch.long, device=row.device)
            kinds = kinds if known is None else known[n] if mask is None else known[n, mask[n].bool()]
            front, back = row[: at[0]], row[at[-1] + 1 :]
            row = torch.cat([front, patches, back])
            text_kinds = [torch.zeros(len(part), dtype=torch.long, device=row.device) for part in (front, back)]
            samples.append((row, torch.cat([text_kinds[0], kinds, text_kinds[1]]), torch.arange(len(row), device=row.device)))
        return self.joined(samples)

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
        return seen if self.mask is None else seen & self.mask[:, None, None, :].bool()

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
        if self.mask is None:
            return x[:, number]
        at = (self.mask.cumsum(-1) == number + 1).int().argmax(-1)  # padding may be in front
        return x[torch.arange(len(x), device=x.device), at]

    def mean(self, _, x, dims):
        weights = torch.ones_like(x[..., 0]) if self.sizes is None else self.sizes.to(x.dtype)
        weights = (weights if self.mask is None else weights * self.mask)[..., None]
        return (x * weights).sum(1) / weights.sum(1)

    def last(self, _, x, dims):
        last = (self.mask * torch.arange(x.shape[1], device=x.device)).argmax(-1)
        return x[torch.arange(len(x), device=x.device), last]

    def output(self, _, x, dims):
        return x


class Reduction:
    """Which tokens of samples of one length stay, and where the others go."""

    def __init__(self, of, query, key, sizes):
        self.of, self.query, self.key, self.sizes = of, query, key, sizes
        self.count, self.protected = key.shape[2], min(of["protected"], key.shape[2])

    def __call__(self, x):
        after = self.after()
        if after == self.count:
            return x, self.sizes
        kind, rule = named(self.of["rule"])
        return getattr(self, kind)(rule, x, after)

    def after(self):
        """How many tokens are left."""
        free = self.count - self.protected
        how, much = named(self.of["keep"])
        kind, rule = named(self.of["rule"])
        if kind == "drop_by_rank":
            free -= min(rule["similar"], free // 2)
        if how == "less":
            left = free - min(much, free)
        elif how == "share":
            left = min(max(ceil(much * free - 1e-9), 0), free)
        else:
            left = min(max(much - self.protected, 0), free)
        left = max(left, free - free // 2 if kind in ("merge_pairs", "merge_by_energy") else min(free, 1))
        return self.protected + left + (kind == "drop" and rule["fuse"] and left < free)

    def merge_pairs(self, _, x, after):
        """Even places propose, odd places receive; the most similar pairs become one."""
        keys, first = self.mean_keys(), self.protected
        cosines = keys[:, 0::2] @ keys[:, 1::2].transpose(1, 2)
        cosines[:, :, : first // 2] = -torch.inf
        cosines[:, : (first + 1) // 2] = -torch.inf
        best, into = cosines.max(-1)
        order = best.argsort(dim=-1, descending=True, stable=True)
        gone = order[:, : self.count - after]
        stay = order[:, self.count - after :].sort(-1).values * 2  # protected ones among them
        odd = torch.arange(1, self.count, 2, device=x.device).expand(len(x), -1)
        front = torch.arange(first, device=x.device).expand(len(x), -1)
        behind = torch.cat([stay[:, (first + 1) // 2 :], odd[:, first // 2 :]], dim=1)
        return self.merged(x, torch.cat([front, behind], dim=1), gone * 2, into.gather(1, gone) * 2 + 1)

    def merge_by_energy(self, rule, x, after):
        """Tokens that are like many others are paired, the rest stays."""
        gone, first, pairing = self.count - after, self.protected, rule.get("pairing", "alternate")
        keys = self.mean_keys()[:, first:]
        cosines = keys @ keys.transpose(1, 2)
        if rule.get("kernel", "elu") == "elu":
            added = F.elu((cosines - rule["margin"]).double())
        else:
            off, deviation = (1 - cosines).double(), 1 - rule["margin"]
            added = torch.exp(-0.5 * (off / deviation) ** 2) / (deviation * sqrt(2 * pi))
        order = added.mean(-1).float().argsort(dim=-1, descending=True, stable=True)
        if pairing == "alternate":
            goes, takes, stay = order[:, 0 : 2 * gone : 2], order[:, 1 : 2 * gone : 2], order[:, 2 * gone :]
        elif pairing == "halves":
            goes, takes, stay = order[:, :gone], order[:, gone : 2 * gone], order[:, 2 * gone :]
        else:
            goes, takes = order[:, 0::2], order[:, 1::2]
        between = cosines.gather(1, goes[..., None].expand(-1, -1, cosines.shape[2]))
        between = between.gather(2, takes[:, None].expand(-1, goes.shape[1], -1))
        alike, into = between.max(-1)
        if pairing == "closest":
            places = alike.argsort(dim=-1, descending=True, stable=True)
            places, rest = places[:, :gone], places[:, gone:]
            goes, stay, into = goes.gather(1, places), goes.gather(1, rest), into.gather(1, places)
        front = torch.arange(-first, 0, device=x.device).expand(len(x), -1)
        order = torch.cat([front, stay, takes], dim=1) + first
        if rule.get("restart"):
            self.sizes = None
        y, sizes = self.merged(x, order, goes + first, takes.gather(1, into) + first)
        return y, None if rule.get("restart") else sizes

    def merge_by_attention(self, rule, x, after):
        """The tokens that the first one attends to least go into those that they are most like by features."""
        first = self.protected
        order = self.by_score(self.scores("first_attention"))
        order, sources = order[:, :after], order[:, after : max(rule["kept"], after)]
        sizes = torch.ones_like(x[..., 0]) if self.sizes is None else self.sizes
        stay, gone = rows(x, order), rows(x, sources)
        cosines = F.normalize(gone, dim=-1) @ F.normalize(stay, dim=-1).transpose(1, 2)
        cosines[:, :, :first] = -torch.inf
        alike, into = cosines.max(-1)
        counts = torch.ones_like(stay[..., 0]).scatter_add(1, into, torch.ones_like(alike))
        y = stay.scatter_add(1, into[..., None].expand_as(gone), gone) / counts[..., None]
        return y, sizes.gather(1, order).scatter_add(1, into, sizes.gather(1, sources) * alike.clamp(min=0))

    def drop(self, rule, x, after):
        """The tokens of the lowest scores go, or become one."""
        return self.dropped(self.scores(rule["score"]), rule, x, after)

    def drop_by_rank(self, rule, x, after):
        """Tokens that are like more important ones go, then those of the lowest ranks."""
        shares = attended(self.of["attention"], self.query, self.key, None, self.sizes).double()
        alive = torch.ones_like(shares[:, 0, 0])
        free = self.count - self.protected
        alike = min(rule["similar"], free // 2)
        if alike > 0:
            order = self.by_score(ranks(rule, shares, alive, 1))[:, self.protected :]
            important, rest = order[:, : free - free // 2], order[:, free - free // 2 :].sort(-1).values
            keys = self.mean_keys()
            cosines = (rows(keys, rest) @ rows(keys, important).transpose(1, 2)).max(-1).values
            gone = cosines.argsort(dim=-1, descending=True, stable=True)[:, :alike]
            alive = alive.scatter(1, rest.gather(1, gone), 0.0)
        scores = ranks(rule, shares, alive, rule["iterations"]).masked_fill(alive == 0, -1.0)
        return self.dropped(scores, {"fuse": False, "sorted": False}, x, after)

    def dropped(self, scores, rule, x, after):
        order = self.by_score(scores)
        stays = after - rule["fuse"]
        kept, gone = order[:, :stays], order[:, stays:]
        if not rule["sorted"]:
            kept = kept.sort(-1).values
        y, sizes = rows(x, kept), None if self.sizes is None else self.sizes.gather(1, kept)
        if rule["fuse"]:
            y = torch.cat([y, (rows(x, gone) * scores.gather(1, gone)[..., None].to(x.dtype)).sum(1, keepdim=True)], dim=1)
            sizes = None if sizes is None else torch.cat([sizes, torch.ones_like(sizes[:, :1])], dim=1)
        return y, sizes

    def merged(self, x, order, gone, into):
        """Tokens in an order, and into some of them others: means by size."""
        sizes = torch.ones_like(x[..., 0]) if self.sizes is None else self.sizes
        places = torch.zeros_like(sizes, dtype=torch.long).scatter(1, order, torch.arange(order.shape[1], device=x.device).expand_as(order))
        place, weighted = places.gather(1, into), x * sizes[..., None].to(x.dtype)
        total = sizes.gather(1, order).scatter_add(1, place, sizes.gather(1, gone))
        y = rows(weighted, order).scatter_add(1, place[..., None].expand(-1, -1, x.shape[2]), rows(weighted, gone))
        return y / total[..., None].to(x.dtype), total

    def mean_keys(self):
        return F.normalize(self.key.float().mean(1), dim=-1)

    def scores(self, score):
        kind, of = named(score)
        if kind == "random":
            chances = [splitmix(of["start"], token) for token in range(self.count)]
            return torch.tensor(chances, device=self.key.device).expand(len(self.key), -1)
        query = self.query[:, :, :1] if kind == "first_attention" else self.query
        return attended(self.of["attention"], query, self.key, None, self.sizes).float().mean(1).sum(1)

    def by_score(self, scores):
        """Protected tokens, then the others, the best first; of equal ones the first."""
        order = scores[:, self.protected :].argsort(dim=-1, descending=True, stable=True) + self.protected
        front = torch.arange(self.protected, device=order.device).expand(len(order), -1)
        return torch.cat([front, order], dim=1)


class Picture:
    """Which tokens of one sample's picture stay. Each rule gives rows, their kinds, and their places before, where they keep those."""

    def __init__(self, of, query, key, kinds):
        self.of, self.query, self.key, self.kinds = of, query, key, kinds
        at = kinds.nonzero()[:, 0].tolist()
        self.first, self.end = (at[0], at[-1] + 1) if at else (0, 0)

    def attended(self, queries, seen=None):
        """How much queries attend to each token, averaged over heads, [queries, tokens]."""
        return attended(self.of["attention"], self.query[:, :, queries], self.key, seen, None)[0].float().mean(0)

    def last_query(self, _, x):
        count, (how, much) = self.end - self.first, named(self.of["keep"])
        left = {"less": lambda: count - much, "share": lambda: ceil(much * count - 1e-9), "exactly": lambda: much}[how]()
        left = max(min(max(left, 0), count), min(count, 1))
        scores = self.attended(slice(-1, None))[0, self.first : self.end]
        best = scores.argsort(descending=True, stable=True)[:left].sort().values + self.first
        at = torch.arange(len(x), device=x.device)
        stay = torch.cat([at[: self.first], best, at[self.end :]])
        return x[stay], self.kinds[stay], stay

    def by_text(self, rule, x):
        at = torch.arange(len(x), device=x.device)
        shares = self.attended(slice(self.end, None), (at[None] <= at[self.end :, None])[None, None])[:, self.first : self.end]
        stays = torch.ones(len(x), dtype=torch.bool, device=x.device)
        if len(shares):
            sums = shares.sum(0)
            goes = (sums < rule["global"] * sums.sum()) & (shares.max(0).values < rule["individual"])
            stays[self.first : self.end] = ~goes | (self.kinds[self.first : self.end] == 2)
        return x[stays], self.kinds[stays], None

    def merge_windows(self, rule, x):
        side, front = rule["window"], self.of["protected"]
        grid = torch.arange(len(x) - front, device=x.device).reshape(rule["grid"])
        windows = grid.unfold(0, side, side).unfold(1, side, side).flatten(2).flatten(0, 1)
        unit = F.normalize(x[front:].double(), dim=-1)[windows]
        cosines = unit @ unit.transpose(1, 2)
        others = side**2 * (side**2 - 1)
        alike = (cosines.sum((1, 2)) - cosines.diagonal(dim1=1, dim2=2).sum(-1)) / others >= rule["similarity"]
        alone = torch.ones(len(x) - front, dtype=torch.bool, device=x.device)
        alone[windows[alike].flatten()] = False
        y = torch.cat([x[:front], x[front:][windows[alike]].mean(1), x[front:][alone]])
        return y, torch.zeros(len(y), dtype=torch.long, device=x.device), None

    def keys(self, rule, x):
        front = self.of["protected"]
        scores = self.attended(slice(0, 1))[0, front:]
        best = scores.argsort(descending=True, stable=True)[: max(ceil(rule["share"] * len(scores) - 1e-9), 0)]
        kinds = torch.ones(len(x), dtype=torch.long, device=x.device)
        kinds[best + front] = 2
        return x, kinds, None


def attended(of, query, key, seen, sizes):
    """How much queries attend to keys, [batch, heads, queries, keys]."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ key.transpose(-1, -2) * of["scale"]
    if of.get("by_size") and sizes is not None:
        scores = scores + sizes.log()[:, None, None, :].to(scores.dtype)
    if seen is not None:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype)


def ranks(of, shares, alive, rounds):
    """Page ranks of the tokens that are there, [batch, tokens]: in each head a token's rank goes to those that it attends to."""
    shares = shares * alive[:, None, None]
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    there, weights = alive.sum(1, keepdim=True), alive.clone()
    if of["start"] == "first":
        weights[:, :1] *= there.sqrt()
    found = (weights / weights.sum(1, keepdim=True))[:, None, None]
    for _ in range(rounds):
        found = found @ shares
    found, heads = found[:, :, 0], torch.ones_like(shares[:, :, :1, 0])
    if of["variance"] is not None:
        off = (found * there[:, None] - 1) ** 2 * alive[:, None]
        variance = off.sum(-1, keepdim=True) / there[:, None]
        fits = (variance >= of["variance"][0]) & (variance <= of["variance"][1])
        heads = torch.where(fits.any(1, keepdim=True), fits.double(), heads)
    return ((found**2 * heads).sum(1) / heads.sum(1)).sqrt().float()


def rows(x, at):
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))


def padded(rows, value, in_front=False):
    side = "left" if in_front else "right"
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)


def splitmix(start, index):
    """Number `index` of the sequence with this start, in [0, 1)."""
    z = (start + (index + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return ((z ^ (z >> 31)) >> 40) / 2**24


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
