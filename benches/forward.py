#!/usr/bin/env python3
"""Times PyTorch's forward pass of a model, to compare tamis with.

    forward.py MODEL TOKENS WINDOWS BATCH THREADS RUNS

MODEL is a directory that transformers loads. A run takes WINDOWS windows of TOKENS tokens through it, BATCH at a time,
in float32 with PyTorch's own attention (sdpa), to the logits of all positions (of an encoder without a head, to its
last hidden state). Prints one JSON object: the median of the runs after a batch to warm up, the runs, and the peak
resident memory of this process, the loading of the model included. The ids are made up; time does not depend on them.
"""

import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load(directory):
    architecture = json.loads((Path(directory) / "config.json").read_text())["architectures"][0]
    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model = getattr(transformers, architecture).from_pretrained(directory, **options).eval()
    model.config.use_cache = False
    return model


@torch.no_grad()
def seconds(model, batches):
    start = time.perf_counter()
    for ids in batches:
        model(input_ids=ids)
    return time.perf_counter() - start


def main():
    directory, tokens, windows, batch, threads, count = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    model = load(directory)
    ids = (torch.arange(windows * tokens) * 7919 + 13) % model.config.vocab_size
    batches = ids.view(windows, tokens).split(batch)
    seconds(model, batches[:1])
    runs = [seconds(model, batches) for _ in range(count)]
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = {"seconds": statistics.median(runs), "runs": runs, "peak_memory": peak}
    asked = {"tokens": tokens, "windows": windows, "batch": batch, "threads": threads}
    print(json.dumps(found | asked | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
