#!/usr/bin/env python3
"""Writes ../models/llava-random and vision_language.json: what a small LLaVA answers with all of its picture's tokens and with fewer.

    vision_language.py                    # writes both
    vision_language.py --check PROGRAM    # what transformers finds in directories that the program wrote, beside vision_language.json

The model is made by transformers' own classes and has random weights, larger than training begins with, so that attention is not
flat. Answers are of its weights widened to float64. FastV (arXiv:2403.06764) and MustDrop (2411.10803) are written here as their
cards tell them: layer by layer over transformers' modules, one sample at a time; without dropping the same walk is held against
transformers' own answer first. `published` is what transformers counts for llava-1.5-7b-hf, on its meta device.
"""

import json
import subprocess
import sys
import tempfile
from math import ceil
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.core_model_loading import revert_weight_conversion

HERE = Path(__file__).parent
MODEL = HERE.parent / "models" / "llava-random"
PLACEHOLDER, SIDE = 60, 24


def small():
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, image_size=SIDE, patch_size=4, projection_dim=16)
    text = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2)
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=PLACEHOLDER, image_seq_length=36)


def large():
    vision = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336, patch_size=14, projection_dim=768)
    text = LlamaConfig(vocab_size=32064, max_position_embeddings=4096)
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=32000)


def write():
    torch.manual_seed(11)
    model = LlavaForConditionalGeneration(small())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_((1 if name.endswith("weight") else 0) + 0.1 * torch.randn_like(weight))
            elif weight.ndim == 1:
                weight.normal_(std=0.3)
            else:
                weight.normal_(std=1.6 / weight[0].numel() ** 0.5 if "embed" not in name else 0.8)
    model.to(torch.bfloat16).save_pretrained(MODEL)
    (MODEL / "generation_config.json").unlink(missing_ok=True)


def samples():
    draw = torch.Generator().manual_seed(5)
    texts = [[1, 7, PLACEHOLDER, 9, 33, 12], [1, PLACEHOLDER, 5, 21], [1, 40, 41, 42, PLACEHOLDER, 3, 50, 51, 52, 53, 17]]
    pictures = torch.randn(len(texts), 3, SIDE, SIDE, generator=draw)
    pictures[0, :, :12, :12] = 0.2  # one window of like patches
    return texts, (pictures * 100).round() / 100


def expanded(ids, count):
    return [it for id in ids for it in ([id] * count if id == PLACEHOLDER else [id])]


def gathered(x, keep):
    return x[:, torch.tensor(keep)]


class Walk:
    """The language model, layer by layer, over one sample."""

    def __init__(self, model, ids, features):
        self.text = model.model.language_model
        self.head = model.lm_head
        at = ids.index(PLACEHOLDER)
        embed = lambda ids: self.text.embed_tokens(torch.tensor([ids], dtype=torch.long))
        self.x = torch.cat([embed(ids[:at]), features[None], embed(ids[at + 1 :])], dim=1)
        self.first, self.count = at, len(features)  # of the picture
        self.places = torch.arange(self.x.shape[1])[None]
        self.keys = None

    def layer(self, number):
        """Runs a layer; what its queries attend to, averaged over heads."""
        layer, n = self.text.layers[number], self.x.shape[1]
        mask = torch.full((n, n), -torch.inf, dtype=self.x.dtype).triu(1)[None, None]
        turns = self.text.rotary_emb(self.x, self.places)
        attended, shares = layer.self_attn(hidden_states=layer.input_layernorm(self.x), position_embeddings=turns, attention_mask=mask)
        x = self.x + attended
        self.x = x + layer.mlp(layer.post_attention_layernorm(x))
        return shares[0].mean(0)

    def keep(self, picture):
        """Leaves these of the picture's tokens, by place among them."""
        behind = self.first + self.count
        at = list(range(self.first)) + [self.first + i for i in picture] + list(range(behind, self.x.shape[1]))
        self.x, self.places = gathered(self.x, at), gathered(self.places, at)
        self.count = len(picture)

    def logits(self):
        return self.head(self.text.norm(self.x))[0]


def fastv(walk, layers):
    """`layers`: layer -> the share of the picture's tokens that stays before it."""
    shares = None
    for number in range(len(walk.text.layers)):
        if number in layers:
            row = shares[-1, walk.first : walk.first + walk.count]
            stay = ceil(layers[number] * walk.count - 1e-9)
            best = sorted(range(walk.count), key=lambda i: (-row[i].item(), i))[:stay]
            walk.keep(sorted(best))
        shares = walk.layer(number)
    return walk.logits()


def mustdrop(walk, layers, whole, one, keys):
    counts = []
    for number in range(len(walk.text.layers)):
        shares = walk.layer(number)
        if number in layers:
            behind = walk.first + walk.count
            a = shares[behind:, walk.first : behind]
            if len(a):
                sums, most = a.sum(0), a.max(0).values
                goes = (sums < whole * sums.sum()) & (most < one)
                stay = [i for i in range(walk.count) if i in keys or not goes[i]]
                walk.keep(stay)
                keys = {stay.index(i) for i in keys}
                walk.places = torch.arange(walk.x.shape[1])[None]
            counts.append(walk.count)
    return walk.logits(), counts


def merged_windows(x, side, window, least):
    """Windows of like patches as one token each, behind the class token, before the patches that stay."""
    patches, unit = x[0, 1:], torch.nn.functional.normalize(x[0, 1:], dim=-1)
    found, alone = [], set(range(side * side))
    for top in range(0, side, window):
        for left in range(0, side, window):
            at = [(top + y) * side + left + x for y in range(window) for x in range(window)]
            cosines = unit[at] @ unit[at].T
            n = len(at)
            if (cosines.sum() - cosines.trace()) / (n * (n - 1)) >= least:
                found.append(patches[at].mean(0))
                alone -= set(at)
    return torch.stack([x[0, 0], *found, *(patches[i] for i in sorted(alone))])[None], len(found)


def looked_at(model, picture, window=None, least=None, share=None):
    """Features of a picture for the language model, and the places of its key tokens."""
    tower = model.model.vision_tower
    tower = getattr(tower, "vision_model", tower)
    x = tower.pre_layrnorm(tower.embeddings(picture[None]))
    layers, keys, merged = tower.encoder.layers, set(), 0
    for number, layer in enumerate(layers[:-1]):
        attended, shares = layer.self_attn(hidden_states=layer.layer_norm1(x), attention_mask=None)
        x = x + attended
        x = x + layer.mlp(layer.layer_norm2(x))
        if number == 0 and window:
            x, merged = merged_windows(x, SIDE // 4, window, least)
        if number == len(layers) - 2 and share:
            row = shares[0].mean(0)[0, 1:]
            keys = set(sorted(range(len(row)), key=lambda i: (-row[i].item(), i))[: ceil(share * len(row) - 1e-9)])
    return model.model.multi_modal_projector(x[:, 1:])[0], keys, merged


def rounded(x):
    return [[round(v, 7) for v in row] for row in x.tolist()]


def main():
    write()
    model = LlavaForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float64, attn_implementation="eager").eval()
    texts, pictures = samples()
    pictures = pictures.double()
    out = {"texts": texts, "pictures": [picture.flatten().tolist() for picture in pictures.float()]}
    out["pictures"] = [[round(v, 2) for v in picture] for picture in out["pictures"]]
    cases = {
        "fastv at 2, half": {2: 0.5},
        "fastv at 1 and 3": {1: 0.75, 3: 0.4},
        "fastv at 5, a tenth": {5: 0.1},
    }
    drops = {
        "mustdrop": dict(layers=[1, 3], whole=0.012, one=0.02, share=0.08),
        "mustdrop, windows": dict(layers=[1, 3], whole=0.012, one=0.02, share=0.2, window=3, least=0.3),
    }
    names = ["whole", *cases, *drops]
    out["logits"], out["counts"] = {name: [] for name in names}, {name: [] for name in drops}
    with torch.no_grad():
        for ids, picture in zip(texts, pictures):
            features, _, _ = looked_at(model, picture)
            whole = fastv(Walk(model, ids, features), {})
            theirs = model(input_ids=torch.tensor([expanded(ids, 36)]), pixel_values=picture[None]).logits[0]
            assert (whole - theirs).abs().max() < 1e-9, (whole - theirs).abs().max()
            out["logits"]["whole"].append(rounded(whole))
            for name, layers in cases.items():
                out["logits"][name].append(rounded(fastv(Walk(model, ids, features), layers)))
            for name, case in drops.items():
                features, keys, merged = looked_at(model, picture, case.get("window"), case.get("least"), case["share"])
                logits, counts = mustdrop(Walk(model, ids, features), case["layers"], case["whole"], case["one"], keys)
                out["logits"][name].append(rounded(logits))
                out["counts"][name].append([merged, len(keys), len(features), *counts])
    for name, logits in out["logits"].items():
        out["logits"][name] = [[sample[0], sample[-2], sample[-1]] + [[len(sample)]] for sample in logits]
    with torch.device("meta"):
        published = LlavaForConditionalGeneration(large())
    names = {name: list(tensor.shape) for name, tensor in revert_weight_conversion(published, published.state_dict()).items()}
    out["published"] = {"parameters": sum(torch.Size(shape).numel() for shape in names.values()), "tensors": len(names)}
    for file in MODEL.iterdir():
        file.chmod(0o644)
    (HERE / "vision_language.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(out["counts"], out["published"])
    with safe_open(MODEL / "model.safetensors", "pt") as file:
        print(list(file.keys())[:3], list(file.keys())[-12:])


STEPS = {
    "fastv at 2, half": "drop tokens at language.layers[2] by last_query_attention keep 50%",
    "fastv at 1 and 3": "drop tokens at language.layers[1] by last_query_attention keep 75%\ndrop tokens at language.layers[3] by last_query_attention keep 40%",
    "fastv at 5, a tenth": "drop tokens at language.layers[5] by last_query_attention keep 10%",
    "mustdrop": "drop tokens at language.layers[2, 4] by text_attention(global: 0.012, individual: 0.02, key: 8%)",
    "mustdrop, windows": "merge tokens at vision.layers[1] by patch_windows(window: 3, similarity: 0.3)\n"
    "drop tokens at language.layers[2, 4] by text_attention(global: 0.012, individual: 0.02, key: 20%)",
}


def check(program):
    """Each sample alone, and all in one padded batch; the next token that `generate` finds is that of the last logits."""
    golden = json.loads((HERE / "vision_language.json").read_text())
    texts, pictures = samples()
    worst = 0.0
    for name, steps in STEPS.items():
        with tempfile.TemporaryDirectory() as place:
            recipe = Path(place) / "x.tamis"
            recipe.write_text(f'model input = "{MODEL}"\n{steps}\nsave "out"\n')
            subprocess.run([program, "run", recipe, "--no-cache"], check=True, cwd=place, capture_output=True)
            model = AutoModelForImageTextToText.from_pretrained(Path(place) / "out", trust_remote_code=True, dtype=torch.float32)
        longest = max(len(ids) + 35 for ids in texts)
        full = [expanded(ids, 36) for ids in texts]
        ids = torch.tensor([[0] * (longest - len(ids)) + ids for ids in full])
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in full])
        with torch.no_grad():
            together = model(input_ids=ids, attention_mask=mask, pixel_values=pictures).logits
            for n, own in enumerate(full):
                whole = golden["logits"][name][n]
                for sample in (texts[n], own):
                    alone = model(input_ids=torch.tensor([sample]), pixel_values=pictures[n : n + 1]).logits[0]
                    assert len(alone) == whole[3][0], (name, n, len(alone), whole[3])
                    for at, row in zip((0, -2, -1), whole):
                        worst = max(worst, (alone[at] - torch.tensor(row)).abs().max().item())
                worst = max(worst, (together[n, -1] - torch.tensor(whole[2])).abs().max().item())
                made = model.generate(input_ids=torch.tensor([own]), pixel_values=pictures[n : n + 1], max_new_tokens=2, do_sample=False)
                assert made[0, len(own)] == torch.tensor(whole[2]).argmax(), (name, n)
        print(f"{name}: off by {worst:.0e} at most so far")
    assert worst < 1e-4, worst


if __name__ == "__main__":
    check(str(Path(sys.argv[2]).resolve())) if sys.argv[1:2] == ["--check"] else main()
