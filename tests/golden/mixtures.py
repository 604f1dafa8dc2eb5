#!/usr/bin/env python3
"""Writes mixtures/: tiny models of random weights, one of each family that no trained model here is of, and what they answer.

    mixtures.py            # writes the directory beside this file

Each has config.json, model.safetensors as save_pretrained writes them, and answers.json: the logits that transformers computes in
float32 for two sequences. Weights are five times larger than usual, so that routers prefer and attention looks somewhere.
"""

import json
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent / "mixtures"  # of experts, but for one
COMMON = dict(
    vocab_size=24,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=32,
    initializer_range=0.1,
)
MANY = dict(num_experts=6, num_experts_per_tok=2)
MODELS = {
    "qwen3": ("Qwen3", dict(head_dim=8)),
    "qwen2_moe": ("Qwen2Moe", MANY | dict(moe_intermediate_size=8, shared_expert_intermediate_size=12)),
    "qwen3_moe": ("Qwen3Moe", MANY | dict(moe_intermediate_size=8, head_dim=8, mlp_only_layers=[0], norm_topk_prob=True)),
    "olmoe": ("Olmoe", MANY | dict(num_key_value_heads=4)),
}
IDS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [2, 7, 18, 8]]


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for name, (kind, fields) in MODELS.items():
        torch.manual_seed(sum(map(ord, name)))
        config = getattr(transformers, f"{kind}Config")(**(COMMON | fields))
        model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.save_pretrained(HERE / name)
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        (HERE / name / "model.safetensors").chmod(0o644)
        model.set_attn_implementation("eager")
        answers = [model(torch.tensor([ids])).logits[0] for ids in IDS]
        rows = [[[float(f"{it:.7g}") for it in row] for row in answer.tolist()] for answer in answers]
        (HERE / name / "answers.json").write_text(json.dumps({"input_ids": IDS, "logits": rows}) + "\n")


if __name__ == "__main__":
    main()
