#!/usr/bin/env python3
"""Times PyTorch's training steps of a model, to compare tamis with.

    train.py make DIR               writes a Llama of 4 layers of width 256, of random weights
    train.py time MODEL THREADS     prints one JSON object: seconds of a step, and the peak memory of this process

A step is forward, backward and AdamW in float32, on 64 pictures or on 8 windows of 128 tokens that stay the same.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
import transformers

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

STEPS = 20
ROUNDS = 5  # of which the fastest counts


def make(directory):
    config = transformers.LlamaConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(directory)


def measure(directory, threads):
    torch.set_num_threads(threads)
    architecture = json.loads((Path(directory) / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(directory, dtype=torch.float32).train()
    if "ViT" in architecture:
        pixels = (torch.arange(64 * 784) * 7919 % 997 / 500 - 1).view(64, 1, 28, 28)
        inputs = {"pixel_values": pixels, "labels": torch.arange(64) % 10}
    else:
        ids = ((torch.arange(8 * 128) * 7919) % 997).view(8, 128)
        inputs = {"input_ids": ids, "labels": ids}
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step():
        adam.zero_grad()
        model(**inputs).loss.backward()
        adam.step()

    for _ in range(3):
        step()
    seconds = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        seconds = min(seconds, (time.perf_counter() - start) / STEPS)
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak_memory": peak, "torch": torch.__version__}))


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    measure(sys.argv[2], int(sys.argv[3]))
