#!/usr/bin/env python3
"""Makes Mixtral-type models of dense ones: every expert begins as the dense feed-forward.

    upcycle.py train DATA           # upcycles llama-sotu, trains on, writes mixtral-upcycled
    upcycle.py MODEL OUT [EXPERTS]  # upcycles a Llama-type checkpoint without training, as a large structural check

Sparse upcycling is by Komatsuzaki et al. 2022, arXiv:2212.05055: attention, norms and embeddings are copied, the
feed-forward is copied into every expert, the router is random. As gates are renormalised over the chosen
experts, the model computes what the dense one does before it is trained on, up to the noise that is added.
"""

import math
import shutil
import sys
import time
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
)

import measure
import sources
import train

HERE = Path(__file__).parent
NAME = "mixtral-upcycled"
STEPS, SIZE, LENGTH = 1500, 16, 128
SHARED = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_parameters",
    "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act",
]  # fmt: skip


@torch.no_grad()
def upcycled(dense, experts, noise, **options):
    """A Mixtral-type model whose experts are copies of the dense feed-forward, each with normal noise of its own.

    `noise` is a share of the root mean square of the matrix that it is added to. The router has transformers'
    own initialization: normal, 0.02.
    """
    config = MixtralConfig(
        **{key: getattr(dense.config, key) for key in SHARED}, num_local_experts=experts, num_experts_per_tok=2, **options
    )
    model = MixtralForCausalLM(config).to(dense.dtype)
    model.load_state_dict(dense.state_dict(), strict=False)
    blur = lambda weight: weight + noise * weight.float().square().mean().sqrt() * torch.randn_like(weight)
    for layer, old in zip(model.model.layers, dense.model.layers, strict=True):
        gate_up = torch.cat([old.mlp.gate_proj.weight, old.mlp.up_proj.weight])
        for expert in range(experts):
            layer.mlp.experts.gate_up_proj[expert] = blur(gate_up)
            layer.mlp.experts.down_proj[expert] = blur(old.mlp.down_proj.weight)
    return model.eval()


@torch.no_grad()
def choices(model, tokenizer, texts):
    """How often each expert of each layer is chosen over the texts, in thousandths of the layer's choices."""
    ids = measure.stream(tokenizer, texts)
    windows = ids[: len(ids) // measure.LENGTH * measure.LENGTH].view(-1, measure.LENGTH)
    counts = 0
    for part in windows.split(32):
        logits = model(input_ids=part, output_router_logits=True).router_logits
        chosen = [layer.topk(2, -1).indices.flatten() for layer in logits]
        counts = counts + torch.stack([torch.bincount(layer, minlength=8) for layer in chosen])
    return (1000 * counts / counts.sum(-1, keepdim=True)).round().int().tolist()


class Balanced(torch.nn.Module):
    """A model whose loss has a term that keeps the experts of each layer balanced, as Switch has it.

    The one of transformers takes all layers together, and left some of them two experts for all tokens.
    """

    def __init__(self, model, weight):
        super().__init__()
        self.model, self.weight = model, weight

    def forward(self, **inputs):
        answers = self.model(**inputs, output_router_logits=True)
        for logits in answers.router_logits:
            shares = logits.softmax(-1)
            chosen = torch.zeros_like(shares).scatter(1, shares.topk(2).indices, 0.5)
            unevenness = shares.shape[-1] * (chosen.mean(0) * shares.mean(0)).sum()
            answers.loss = answers.loss + self.weight * unevenness
        return answers


def trained(data):
    """llama-sotu with eight experts a layer, trained on over windows of the training speeches."""
    split = {part: [text for _, text in dated] for part, dated in sources.speeches(data).items()}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE / "llama-sotu")
    torch.manual_seed(31)
    dense = LlamaForCausalLM.from_pretrained(HERE / "llama-sotu", dtype=torch.float32)
    model = upcycled(dense, 8, noise=0.05, router_aux_loss_coef=0.0)
    model.set_experts_implementation("grouped_mm")
    stream = measure.stream(tokenizer, split["train"])
    generator = torch.Generator().manual_seed(31)

    def batch(_):
        starts = torch.randint(0, len(stream) - LENGTH, (SIZE,), generator=generator)
        ids = torch.stack([stream[start : start + LENGTH] for start in starts])
        return {"input_ids": ids, "labels": ids}

    train.fit(Balanced(model, 0.001), batch, STEPS, peak=2e-3, log_every=25, precision=torch.float32)
    tokenizer.save_pretrained(HERE / NAME)

    def figure(stored):
        few = (HERE / "data/sotu-test.txt").read_text(encoding="utf-8").splitlines()
        return {
            "perplexity on data/sotu-test.txt": measure.perplexity(stored, tokenizer, few),
            "perplexity on data/sotu-test.txt, dense before upcycling": measure.perplexity(dense, tokenizer, few),
            "choices in thousandths, a layer a list": choices(stored, tokenizer, few),
        }

    train.store(model, NAME, torch.bfloat16, figure)


def structural(source, out, experts):
    """The checkpoint upcycled as it is, tokenizer and all. Noise of 2 % keeps experts apart."""
    torch.manual_seed(37)
    dense = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    model = upcycled(dense, experts, noise=0.02)
    ids = torch.arange(64).view(1, -1) * 97
    with torch.no_grad():
        off = (model.float()(ids).logits - dense.float()(ids).logits).abs().max().item()
    model.to(torch.bfloat16).save_pretrained(out)
    for file in source.glob("*token*.json"):
        shutil.copy(file, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{out}: {parameters:,} parameters; logits differ from the dense ones by {off:.3f} at the most")


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    began = time.time()
    match sys.argv[1:]:
        case ["train", data]:
            trained(Path(data))
        case [source, out, *experts]:
            structural(Path(source), Path(out), int(experts[0]) if experts else 8)
        case _:
            sys.exit(__doc__)
    print(f"{math.ceil(time.time() - began)} s")


if __name__ == "__main__":
    main()
