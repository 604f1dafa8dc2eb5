#!/usr/bin/env python3
"""Writes runtime.json: what transformers computes with three real models, to hold the runtime against.

    runtime.py MODELS          # a directory with minilm, smollm2, dinov2-small, fashion-mnist and sotu

The weights are taken as stored and widened to float32; attention is the plain one ("eager"), dropout is off, and
numbers have seven significant digits. "hidden" is the last hidden state (after the last norm, where a model has one) at
one position of one row, "layers" the first eight values of the stream at one position, before the first layer and
after each (of smollm2 the last one after the last norm, of dinov2-small before it).

minilm gets four texts of very different length in one padded batch, smollm2 the first 48 and the next 32 tokens of the
text in one padded batch. dinov2-small gets pictures of 28 x 28 with each pixel repeated to 8 x 8 and the grey copied to
three channels, divided by 255, less the mean and by the deviation of its preprocessor config; and inputs of a formula,
pixel_values[c, y, x] = sin(0.01 (c + 1) x + 0.02 y), evaluated in float64 and rounded to float32.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))
import sources  # noqa: E402

logging.set_verbosity_error()
logging.disable_progress_bar()

LENGTHS = (1, 12, 70, 500)  # words of the texts


def load(kind, directory):
    """The model, once no tensor is missing. MiniLM's file holds a buffer of positions that is no weight."""
    options = {"dtype": torch.float32, "attn_implementation": "eager", "output_loading_info": True}
    model, info = kind.from_pretrained(directory, **options)
    wrong = {key: set(found) - {"embeddings.position_ids"} for key, found in info.items()}
    assert not any(wrong.values()), wrong
    return model.eval()


def numbers(tensor):
    if isinstance(tensor, list):
        return [numbers(part) for part in tensor]
    if isinstance(tensor, torch.Tensor):
        return numbers(tensor.tolist())
    return float(f"{tensor:.7g}")


def hidden(states, places):
    return [{"row": row, "position": at, "values": numbers(states[row, at])} for row, at in places]


def layers(states, row, position):
    return {"row": row, "position": position, "values": numbers([state[row, position, :8] for state in states])}


def alone(model, ids, mask, states):
    """A padded row is what it is by itself, or the padding leaks."""
    for row, count in enumerate(mask.sum(1).tolist()):
        single = model(input_ids=ids[row : row + 1, :count]).last_hidden_state[0]
        assert (single - states[row, :count]).abs().max() < 1e-3 * states[row, :count].abs().max()


def minilm(models):
    model, tokenizer = load(AutoModel, models / "minilm"), AutoTokenizer.from_pretrained(models / "minilm")
    lines = (HERE.parent / "models/data/sotu-test.jsonl").read_text(encoding="utf-8").splitlines()
    words = " ".join(json.loads(line)["text"] for line in lines[:20]).split()
    starts = [sum(LENGTHS[:n]) for n in range(len(LENGTHS))]
    texts = [" ".join(words[start : start + length]) for start, length in zip(starts, LENGTHS)]
    inputs = tokenizer(texts, truncation=True, max_length=256, padding=True, return_tensors="pt")
    output = model(**inputs, output_hidden_states=True)
    counts = inputs["attention_mask"].sum(1).tolist()
    alone(model, inputs["input_ids"], inputs["attention_mask"], output.last_hidden_state)
    places = [(row, at) for row, count in enumerate(counts) for at in sorted({0, count // 2, count - 1})]
    weights = inputs["attention_mask"].unsqueeze(-1)
    return {
        "inputs": {"texts": texts, "tokens": 256} | {key: value.tolist() for key, value in inputs.items()},
        "hidden": hidden(output.last_hidden_state, places),
        "pooled": numbers((output.last_hidden_state * weights).sum(1) / weights.sum(1)),
        "layers": layers(output.hidden_states, 2, 5),
    }


def smollm2(models):
    model, tokenizer = load(AutoModelForCausalLM, models / "smollm2"), AutoTokenizer.from_pretrained(models / "smollm2")
    text = (models / "sotu/test.txt").read_text(encoding="utf-8")
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    long, short = tokens[:48], tokens[48:80]
    ids = torch.tensor([long, short + [tokenizer.pad_token_id] * 16])
    mask = torch.tensor([[1] * 48, [1] * 32 + [0] * 16])
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    alone(model.model, ids, mask, output.hidden_states[-1])
    places = [(0, 0), (0, 1), (0, 20), (0, 47), (1, 0), (1, 31)]
    logits = []
    for row, at in places:
        best = output.logits[row, at].topk(8)
        logits.append(
            {
                "row": row,
                "position": at,
                "first 32": numbers(output.logits[row, at, :32]),
                "top ids": best.indices.tolist(),
                "top logits": numbers(best.values),
                "log of the sum of exponentials": numbers(output.logits[row, at].logsumexp(-1)),
            }
        )
    logs = output.logits.log_softmax(-1)
    losses = [-logs[row, torch.arange(n - 1), ids[row, 1:n]] for row, n in enumerate((48, 32))]
    return {
        "inputs": {"file": "sotu/test.txt", "input_ids": ids.tolist(), "attention_mask": mask.tolist()},
        "logits": logits,
        "losses": {"tokens": [numbers(row) for row in losses], "mean": numbers(torch.cat(losses).mean())},
        "hidden": hidden(output.hidden_states[-1], places),
        "layers": layers(output.hidden_states, 0, 20),
    }


def wave(size):
    c, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (3, size, size)), indexing="ij")
    return (0.01 * (c + 1) * x + 0.02 * y).sin().float().unsqueeze(0)


def dinov2(models):
    model = load(AutoModel, models / "dinov2-small")
    preprocessor = json.loads((models / "dinov2-small/preprocessor_config.json").read_text())
    mean, std = (torch.tensor(preprocessor[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    pictures, _ = sources.clothes(models, "t10k")
    grey = torch.tensor(pictures[:4]).repeat_interleave(8, 1).repeat_interleave(8, 2)
    clothes = (grey.unsqueeze(1).expand(-1, 3, -1, -1) / 255 - mean) / std
    cases = []
    for inputs, pixels in [
        ({"file": "fashion-mnist/t10k-images-idx3-ubyte.gz", "pictures": [0, 1, 2, 3], "size": 224}, clothes),
        ({"formula": "sin(0.01 (c + 1) x + 0.02 y)", "size": 224}, wave(224)),
        ({"formula": "sin(0.01 (c + 1) x + 0.02 y)", "size": 518}, wave(518)),
    ]:
        output = model(pixel_values=pixels, output_hidden_states=True)
        last = output.last_hidden_state.shape[1] - 1
        places = [(row, at) for row in range(len(pixels)) for at in (0, 18, last)]
        cases.append(
            {
                "inputs": inputs | {"pixel_values at [0, c, 100, 90..98]": numbers(pixels[0, :, 100, 90:98])},
                "positions": last + 1,
                "hidden": hidden(output.last_hidden_state, places),
                "layers": layers(output.hidden_states, 0, 18),
            }
        )
    return {"image_mean": preprocessor["image_mean"], "image_std": preprocessor["image_std"], "cases": cases}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    models = Path(sys.argv[1])
    made = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    parts = {"computed": f"float32, eager attention; {made}"}
    parts |= {"minilm": minilm(models), "smollm2": smollm2(models), "dinov2-small": dinov2(models)}
    lines = [f"{json.dumps(key)}: {json.dumps(part, ensure_ascii=False)}" for key, part in parts.items()]
    path = HERE / "runtime.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
