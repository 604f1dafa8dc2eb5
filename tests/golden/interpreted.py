#!/usr/bin/env python3
"""Holds the modeling file of saved graphs against tamis: both have to find the same loss.

    interpreted.py TAMIS [CASE ...]     # the path of the program; all cases if none

Runs recipes whose results no config can say on the models of tests/models, loads each by transformers with `trust_remote_code`
(`evaluate.py --trust`), and compares the loss on the same samples with the one that `tamis eval` finds. Exits with 1 where they
differ by more than 1e-5 of it. A language model also writes twelve tokens, to show that it can.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
TEXT = f'text("{MODELS}/data/sotu-test.txt", tokens: 128, samples: 16)'
LINES = f'text("{MODELS}/data/sotu-test.jsonl", label: "label", tokens: 128, samples: 32)'
PICTURES = f'image("{MODELS}/data/fashion-mnist", split: "t10k", samples: 32)'
WORDS = (TEXT, ["--data", f"{MODELS}/data/sotu-test.txt", "--tokens", "128", "--samples", "16"])
LABELLED = (LINES, ["--data", f"{MODELS}/data/sotu-test.jsonl", "--label", "label", "--samples", "32"])
CLOTHES = (PICTURES, ["--data", f"{MODELS}/data/fashion-mnist/t10k-images-idx3-ubyte", "--samples", "32"])
CASES = {
    "merged": ("mixtral-sotu", WORDS, "merge experts of layers[*] by routing(calib) into 4"),
    "merged, uneven": ("mixtral-sotu", WORDS, "merge experts of layers[*] by routing(calib) into 4 with { groups: global }"),
    "skipped": ("mixtral-sotu", WORDS, "skip experts of layers[*] by gate_ratio(calib)"),
    "mixed": ("mixtral-sotu", WORDS, "merge experts of layers[*] by evolution(calib, population: 4, iterations: 4, mixtures: 24) into 4"),
    "nulls": ("mixtral-sotu", WORDS, "insert null_experts of layers[*] into 4 with { top_k: 3, spread: 0.3 }"),
    "compressed": (
        "mixtral-sotu",
        WORDS,
        "merge experts of layers[*] by weights into 4\nfactorize experts of layers[*] to rank(8) with { residual: sparse(10%) }",
    ),
    "factored": ("llama-sotu", WORDS, "factorize weights of layers[*].mlp to rank(32)"),
    "uneven heads": ("llama-sotu", WORDS, "prune heads, neurons of layers[*] to 70% flops"),
    "classifier": ("bert-eras", LABELLED, "prune heads, neurons of layers[*] to 60% flops"),
    "merged tokens": ("vit-fashion", CLOTHES, "merge tokens at layers[*] by key_similarity remove 2"),
    "energy": ("vit-fashion", CLOTHES, "merge tokens at layers[*] by energy keep 80%"),
    "fused tokens": ("vit-fashion", CLOTHES, "drop tokens at layers[1, 2] by cls_attention(fuse: true) keep 70%"),
    "dropped by chance": ("vit-fashion", CLOTHES, "drop tokens at layers[*] by random keep 80%"),
    "tokens of texts": ("bert-eras", LABELLED, "drop tokens at layers[*] by attention_mass keep 70%"),
    "merged texts": ("bert-eras", LABELLED, "merge tokens at layers[*] by key_similarity remove 6"),
    "pictures": ("vit-fashion", CLOTHES, "prune heads, neurons of layers[*] to 60% flops"),
}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout


def main():
    tamis, worst = sys.argv[1], 0.0
    with tempfile.TemporaryDirectory() as place:
        for name in sys.argv[2:] or CASES:
            model, (spec, options), step = CASES[name]
            out = Path(place) / name.replace(", ", "-").replace(" ", "-")
            recipe = out.with_suffix(".tamis")
            data = f"data calib = {spec}\n" if "calib" in step else ""
            recipe.write_text(f'model input = "{MODELS / model}"\n{data}{step}\nsave "{out}"\n')
            run(tamis, "run", recipe, "--no-cache")
            found = json.loads(run(tamis, "eval", out, "--measure", "loss(data)", "--data", spec, "--format", "json"))
            ours = next(iter(found["measures"].values()))
            theirs = json.loads(run(sys.executable, HERE / "evaluate.py", out, *options, "--trust"))["loss"]
            off = abs(ours - theirs) / theirs
            worst = max(worst, off)
            print(f"{name:16} {model:14} tamis {ours:.7f}  transformers {theirs:.7f}  {off:.1e} apart", flush=True)
            if model in ("mixtral-sotu", "llama-sotu"):
                loaded = transformers.AutoModelForCausalLM.from_pretrained(out, trust_remote_code=True, dtype=torch.float32)
                tokenizer = transformers.AutoTokenizer.from_pretrained(out)
                start = tokenizer("The state of the Union", return_tensors="pt")
                written = loaded.generate(**start, max_new_tokens=12, do_sample=False, use_cache=False)
                print("    " + repr(tokenizer.decode(written[0])))
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    main()
