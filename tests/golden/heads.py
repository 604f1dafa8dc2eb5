#!/usr/bin/env python3
"""Writes heads.json: for every class with a head, a tiny config and the tensors that save_pretrained writes for it.

    heads.py            # writes the file beside this one

Made by transformers: config.json as it is saved, and name, element type and shape of each tensor of the file.
"""

import json
import struct
import tempfile
from pathlib import Path

import torch
import transformers

BERT = dict(
    vocab_size=11,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=10,
    num_labels=3,
)
DISTILBERT = dict(
    vocab_size=11, dim=8, hidden_dim=12, n_layers=2, n_heads=2, max_position_embeddings=10, num_labels=3
)
VIT = dict(
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=8,
    patch_size=4,
    num_labels=3,
)
GPT2 = dict(vocab_size=11, n_embd=8, n_layer=2, n_head=2, n_positions=10, num_labels=3)
LLAMA = dict(
    vocab_size=11,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=10,
    num_labels=3,
)
SMALL_EXPERTS = dict(num_experts=3, num_experts_per_tok=2, moe_intermediate_size=5)
TEXT = ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
CHOICE = [*TEXT, "ForMultipleChoice"]

CLASSES = {
    "Bert": (BERT, ["Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "LMHeadModel", *CHOICE]),
    "Roberta": (BERT, ["Model", "ForMaskedLM", "ForCausalLM", *CHOICE]),
    "XLMRoberta": (BERT, ["ForMaskedLM", "ForSequenceClassification"]),
    "Camembert": (BERT, ["ForMaskedLM", "ForTokenClassification"]),
    "DistilBert": (DISTILBERT, ["Model", "ForMaskedLM", *CHOICE]),
    "ViT": (VIT, ["Model", "ForImageClassification"]),
    "DeiT": (VIT, ["Model", "ForImageClassification", "ForImageClassificationWithTeacher"]),
    "Dinov2": (VIT, ["Model"]),
    "GPT2": (GPT2, ["Model", "LMHeadModel", *TEXT]),
    "Llama": (LLAMA, ["Model", "ForCausalLM", *TEXT]),
    "Mistral": (LLAMA, ["ForCausalLM", "ForSequenceClassification"]),
    "Qwen2": (LLAMA, ["Model", "ForCausalLM", "ForTokenClassification"]),
    "Qwen3": (dict(LLAMA, head_dim=4), ["Model", "ForCausalLM", "ForSequenceClassification"]),
    "Qwen2Moe": (dict(LLAMA, **SMALL_EXPERTS, shared_expert_intermediate_size=6), ["Model", "ForCausalLM"]),
    "Qwen3Moe": (dict(LLAMA, **SMALL_EXPERTS, head_dim=4, mlp_only_layers=[0]), ["Model", "ForCausalLM"]),
    "Olmoe": (dict(LLAMA, num_experts=3, num_experts_per_tok=2), ["Model", "ForCausalLM"]),
    "Mixtral": (dict(LLAMA, num_local_experts=3, num_experts_per_tok=2), ["Model", "ForCausalLM", TEXT[0]]),
}


def header(path):
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    return {name: [tensor["dtype"], tensor["shape"]] for name, tensor in sorted(tensors.items())}


def saved(kind, name, fields, options):
    # Only two of the classes insist on the two outputs that their heads have anyway.
    fields = dict(fields, num_labels=2) if name == "ForQuestionAnswering" else fields
    config = getattr(transformers, f"{kind}Config")(**fields)
    model = getattr(transformers, kind + name)(config)
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory, **options)
        config = json.loads((Path(directory) / "config.json").read_text())
        return {"config": config, "tensors": header(Path(directory) / "model.safetensors")}


def main():
    torch.manual_seed(0)
    all_saved = {}
    for kind, (fields, names) in CLASSES.items():
        for name in names:
            all_saved[kind + name] = saved(kind, name, fields, {})
    fields = CLASSES["Mixtral"][0]
    all_saved["MixtralForCausalLM, fused"] = saved(
        "Mixtral", "ForCausalLM", fields, {"save_original_format": False}
    )
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in all_saved.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("heads.json").write_text(text)


if __name__ == "__main__":
    main()
