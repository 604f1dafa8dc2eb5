"""The small models as tamis sees them: data, modules by their path in its tree, inputs of modules, gates on axes.

Used by the scripts beside this one. The weights are those stored; everything is computed in float64, but for the few
steps that transformers does in float32 whatever the model (rotary angles, RMS norms, all softmaxes but BERT's), so that
what differs from these values is the other implementation's rounding. Padding never counts.
"""

import copy
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast

MODELS = Path(__file__).parent.parent / "models"
sys.path.insert(0, str(MODELS))
import golden  # noqa: E402
import sources  # noqa: E402

numbers = golden.numbers

# What a sample is, by the model.
DATA = {
    "bert-eras": {"file": "data/sotu-train.jsonl", "field": "text", "label": "label", "samples": 32, "tokens": 128},
    "llama-sotu": {"file": "data/sotu-train.txt", "samples": 8, "tokens": 64},
    "mixtral-sotu": {"file": "data/sotu-train.txt", "samples": 8, "tokens": 64},
    "vit-fashion": {"file": "data/fashion-mnist", "split": "train", "samples": 32},
}
# Of each model: its layers, and in a layer its modules by tamis' names.
TREES = {
    "bert-eras": (
        "bert.encoder.layer",
        {
            "attention.query": "attention.self.query",
            "attention.key": "attention.self.key",
            "attention.value": "attention.self.value",
            "attention.output": "attention.output.dense",
            "mlp.up": "intermediate.dense",
            "mlp.down": "output.dense",
            "norm1": "attention.output.LayerNorm",
            "norm2": "output.LayerNorm",
        },
    ),
    "llama-sotu": (
        "model.layers",
        {
            "norm1": "input_layernorm",
            "attention.query": "self_attn.q_proj",
            "attention.key": "self_attn.k_proj",
            "attention.value": "self_attn.v_proj",
            "attention.output": "self_attn.o_proj",
            "norm2": "post_attention_layernorm",
            "mlp.gate": "mlp.gate_proj",
            "mlp.up": "mlp.up_proj",
            "mlp.down": "mlp.down_proj",
        },
    ),
    "vit-fashion": (
        "vit.layers",
        {
            "norm1": "layernorm_before",
            "attention.query": "attention.q_proj",
            "attention.key": "attention.k_proj",
            "attention.value": "attention.v_proj",
            "attention.output": "attention.o_proj",
            "norm2": "layernorm_after",
            "mlp.up": "mlp.fc1",
            "mlp.down": "mlp.fc2",
        },
    ),
}
OUTSIDE = {  # norms that are in no layer
    "bert-eras": {"embeddings.norm": "bert.embeddings.LayerNorm"},
    "llama-sotu": {"norm": "model.norm"},
    "vit-fashion": {"norm": "vit.layernorm"},
}
DECODER = {name: place for name, place in TREES["llama-sotu"][1].items() if not name.startswith("mlp")}
TREES["mixtral-sotu"] = ("model.layers", DECODER | {"router": "mlp.gate"})
OUTSIDE["mixtral-sotu"] = OUTSIDE["llama-sotu"]


class Expert(nn.Module):
    def __init__(self, gate, up, down):
        super().__init__()
        for name, weight in {"gate": gate, "up": up, "down": down}.items():
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
            linear.weight.data = weight.clone()
            self.add_module(name, linear)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


class Experts(nn.ModuleList):
    """Mixtral's experts one by one: in transformers they are two tensors, and no product of theirs can be hooked."""

    def __init__(self, fused):
        pairs = zip(fused.gate_up_proj.data, fused.down_proj.data)
        super().__init__(Expert(*gate_up.chunk(2), down) for gate_up, down in pairs)

    def forward(self, hidden, chosen, weights):
        out = torch.zeros_like(hidden)
        for number, expert in enumerate(self):
            token, slot = torch.where(chosen == number)
            if len(token):
                out.index_add_(0, token, expert(hidden[token]) * weights[token, slot, None])
        return out


class Subject:
    """A model, its samples in one padded batch, and its modules by path."""

    def __init__(self, name, samples=None, tokens=None):
        self.name, self.model = name, golden.load(name).requires_grad_(False)
        self.data = DATA[name] | {key: n for key, n in {"samples": samples, "tokens": tokens}.items() if n}
        self.config = self.model.config
        self.inputs, self.labels = self.read()
        if name == "vit-fashion":
            positions = self.model.vit.embeddings.position_embeddings.shape[1]
            self.mask = torch.ones(len(self.labels), positions, dtype=torch.bool)
        else:
            self.mask = self.inputs["attention_mask"].bool()
        if name == "mixtral-sotu":
            before = self.logits()
            for layer in self.model.model.layers:
                layer.mlp.experts = Experts(layer.mlp.experts)
            assert (self.logits() - before).abs().max() < 1e-4
        self.model.double()
        self.find()

    def read(self):
        data, samples = self.data, self.data["samples"]
        if self.name == "vit-fashion":
            pictures, labels = sources.clothes(MODELS / "data", data["split"])
            pixels = torch.tensor(pictures[:samples]).double().unsqueeze(1) / 255
            pixels = (pixels - sources.PIXEL_MEAN) / sources.PIXEL_STD
            return {"pixel_values": pixels}, torch.tensor(labels[:samples].astype("int64"))
        text = (MODELS / data["file"]).read_text(encoding="utf-8")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(MODELS / self.name)
        if "field" in data:
            lines = [json.loads(line) for line in text.splitlines()[:samples]]
            texts = [line[data["field"]] for line in lines]
            inputs = tokenizer(texts, truncation=True, max_length=data["tokens"], padding=True, return_tensors="pt")
            inputs = {key: inputs[key] for key in ("input_ids", "attention_mask")}
            return inputs, torch.tensor([line[data["label"]] for line in lines])
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        windows = torch.tensor(ids[: samples * data["tokens"]]).view(samples, data["tokens"])
        return {"input_ids": windows, "attention_mask": torch.ones_like(windows)}, None

    def find(self):
        """Modules by path. Linears of layers are `linears`, in the order in which they run."""
        prefix, inside = TREES[self.name]
        self.layers = list(self.model.get_submodule(prefix))
        self.linears = [{} for _ in self.layers]
        self.modules = {path: self.model.get_submodule(place) for path, place in OUTSIDE[self.name].items()}
        for n, layer in enumerate(self.layers):
            places = dict(inside)
            if self.name == "mixtral-sotu":
                products = [(e, part) for e in range(len(layer.mlp.experts)) for part in ("gate", "up", "down")]
                places |= {f"experts[{e}].{part}": f"mlp.experts.{e}.{part}" for e, part in products}
            for name, place in places.items():
                path, module = f"layers[{n}].{name}", layer.get_submodule(place)
                self.modules[path] = module
                if not name.startswith("norm"):
                    self.linears[n][path] = module

    def copy(self):
        """The same with a model of its own, to be changed."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        other.find()
        return other

    def axes(self):
        """Of each axis of heads and neurons: the linear that takes it in, how many elements, how wide each."""
        found = {}
        kv_heads = getattr(self.config, "num_key_value_heads", None)
        for n in range(len(self.layers)):
            output, down = f"layers[{n}].attention.output", f"layers[{n}].mlp.down"
            name, count = ("kv_heads", kv_heads) if kv_heads else ("heads", self.config.num_attention_heads)
            width = self.modules[output].weight.shape[1] // count
            found[f"layers[{n}].attention.{name}"] = (output, count, width)
            found[f"layers[{n}].mlp.neurons"] = (down, self.modules[down].weight.shape[1], 1)
        return found

    def batch(self, rows):
        """Some samples, as short as the longest of them."""
        if self.name == "vit-fashion":
            return {key: value[rows] for key, value in self.inputs.items()}
        longest = self.mask[rows].sum(1).max()
        return {key: value[rows, :longest] for key, value in self.inputs.items()}

    def logits(self, rows=slice(None)):
        return self.model(**self.batch(rows)).logits

    def predictions(self, logits):
        """Logits and targets: one of a sample, or one of each token but the first."""
        if self.labels is not None:
            return logits, self.labels
        return logits[:, :-1].flatten(0, 1), self.inputs["input_ids"][:, 1:].flatten()

    def loss(self, rows=slice(None)):
        logits = self.logits(rows)
        if self.labels is not None:
            return cross_entropy(logits, self.labels[rows])
        targets = self.batch(rows)["input_ids"][:, 1:].flatten()
        return cross_entropy(logits[:, :-1].flatten(0, 1), targets)

    def real(self, values):
        """Rows of the real tokens, [tokens, features], of what a module took in or gave for all samples."""
        return values[self.mask] if values.dim() == 3 else values

    @torch.no_grad()
    def observe(self, paths, what="input"):
        """Runs all samples and returns what modules take in (or give), by path; of an expert without tokens nothing."""
        seen = {}

        def watch(path):
            def hook(_, inputs, output):
                seen[path] = inputs[0] if what == "input" else output

            return hook

        hooks = [self.modules[path].register_forward_hook(watch(path)) for path in paths]
        self.logits()
        for hook in hooks:
            hook.remove()
        return seen

    @contextmanager
    def gated(self, gates):
        """While it lasts, each element of an axis is multiplied by its gate, where the axis is taken in."""

        def gate(axis):
            _, _, width = self.axes()[axis]
            return lambda _, inputs: (inputs[0] * gates[axis].repeat_interleave(width),)

        hooks = [self.modules[self.axes()[axis][0]].register_forward_pre_hook(gate(axis)) for axis in gates]
        yield
        for hook in hooks:
            hook.remove()
