#!/usr/bin/env python3
"""Holds three runtimes against each other: tamis, transformers and onnxruntime, on what every pass leaves of every model here.

    interop.py TAMIS OUTPUTS [--write] [CASE ...]

TAMIS is the program and OUTPUTS the example `outputs`, which prints what tamis itself computes (`cargo build --release --example
outputs`). Each case is a recipe that runs on a model of tests/models, or a family's smallest model of random weights that transformers
makes on the spot. The directory is loaded by transformers with `trust_remote_code`, exported by `tamis export --to onnx`, checked by
`onnx.checker` with shape inference, and run by onnxruntime. Inputs are two padded batches of texts of unlike lengths, or pictures.
What is compared are logits, or last hidden states, of real tokens; a figure is the largest difference of any number.

`--write` writes the table to docs/interop.md. Exits with 1 where something differs by more than 1e-4, or was refused where the case
does not say so. It needs torch, transformers, onnx and onnxruntime.
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import transformers

from evaluate import load
from vision_language import STEPS, expanded, samples

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
PAGE = HERE.parent.parent / "docs" / "interop.md"
BOUND = 1e-4
BATCHES = [[24, 17, 9], [61, 3, 40, 1]]  # lengths of texts; the last one is a single token

TEXTS = f'data calib = text("{MODELS}/data/sotu-train.txt", tokens: 64, samples: 8)'
LINES = f'data calib = text("{MODELS}/data/sotu-train.jsonl", label: "label", tokens: 64, samples: 16)'
CLOTHES = f'data calib = image("{MODELS}/data/fashion-mnist", split: "t10k", samples: 16)'
DATA = {"bert-eras": LINES, "vit-fashion": CLOTHES, "vit-fashion-50": CLOTHES}
TRAINED = ["bert-eras", "vit-fashion-50", "llama-sotu", "mixtral-sotu"]
ALL = ["bert-eras", "vit-fashion", "llama-sotu", "mixtral-sotu"]
DENSE, ENCODERS, EXPERTS = ALL[:3], ALL[:2], ["mixtral-sotu", "mixtral-upcycled"]
CASES = {
    "unchanged": (ALL + ["vit-fashion-50", "mixtral-upcycled", "llava-random"], ""),
    "prune heads, uneven": (ALL, "prune heads of layers[0] keep 50%"),
    "prune kv_heads": (["llama-sotu", "mixtral-sotu"], "prune kv_heads of layers[1] keep 1"),
    "prune neurons, uneven": (ALL, "prune neurons of layers[1] keep 60%"),
    "prune heads, neurons to flops": (DENSE, "prune heads, neurons of layers[*] to 60% flops"),
    "prune hidden": (ALL, "prune hidden by magnitude keep 75%"),
    "prune vocab": (["bert-eras", "llama-sotu", "mixtral-sotu"], "prune vocab by magnitude keep 90%"),
    "drop layers": (ALL, "drop layers[1]"),
    "factorize to a rank": (ALL, "factorize weights of layers[*].attention to rank(24)"),
    "factorize by svd_llm": (DENSE, "factorize weights of layers[*].mlp by svd_llm(calib) to 80% params"),
    "sparsify to 2:4": (ALL, "sparsify weights of layers[*] by magnitude to 2:4"),
    "sparsify by sparsegpt": (DENSE, "sparsify weights of layers[*].mlp by sparsegpt(calib) to 50% zeros"),
    "recover": (DENSE, "prune neurons of layers[*] keep 50%\nrecover outputs of layers[*] by least_squares(calib)"),
    "cast to f16": (ALL, "cast weights to f16"),
    "cast to bf16": (ALL, "cast weights to bf16"),
    "merge tokens by keys": (ENCODERS, "merge tokens at layers[*] by key_similarity remove 2"),
    "merge tokens by energy": (ENCODERS, "merge tokens at layers[*] by energy keep 80%"),
    "merge tokens by energy, all pairs": (ENCODERS, "merge tokens at layers[*] by energy(bipartite: first_half) keep 80%"),
    "merge tokens by energy, as words": (ENCODERS, "merge tokens at layers[*] by energy(form: text) keep 80%"),
    "merge tokens, weighed by size": (ENCODERS, "merge tokens at layers[0, 1] by key_similarity keep 70%"),
    "drop tokens by the class token": (ENCODERS, "drop tokens at layers[1, 2] by cls_attention keep 70%"),
    "drop tokens, fused": (ENCODERS, "drop tokens at layers[1, 2] by cls_attention(fuse: true) keep 70%"),
    "drop tokens by attention mass": (ENCODERS, "drop tokens at layers[*] by attention_mass keep 70%"),
    "drop tokens by page rank": (ENCODERS, "drop tokens at layers[*] by pagerank(similar: 2) keep 90%"),
    "drop tokens by page rank, class token": (ENCODERS, "drop tokens at layers[*] by pagerank(start: class_token, iterations: 3) keep 80%"),
    "drop tokens by chance": (ENCODERS, "drop tokens at layers[*] by random keep 80%"),
    "reduce tokens by lists": (
        ENCODERS,
        {
            "bert-eras": "reduce tokens at layers[1, 2] with { prune: [40, 30], merge: [30, 20] }",
            "vit-fashion": "reduce tokens at layers[1, 2] with { prune: [15, 12], merge: [13, 10] }",
        },
    ),
    "flow attention": (ENCODERS, "convert attention of layers[*] into flow"),
    "flow attention, fewer tokens": (ENCODERS, "drop tokens at layers[1] by attention_mass keep 70%\nconvert attention of layers[2] into flow"),
    **{f"picture and text, {name}": (["llava-random"], step) for name, step in STEPS.items()},
    "densify": (["vit-fashion"], "sparsify weights of layers[*] by magnitude to 50% zeros\ndensify weights of layers[*]"),
    "tune an adapter": (TRAINED, "tune weights of layers[*].attention on calib for 2 steps with { adapter: lowrank(4) }"),
    "distill": (DENSE, "prune neurons of layers[*] keep 50%\ndistill weights of layers[*] from input on calib for 2 steps"),
    "sparsify over training": (TRAINED, "sparsify weights of layers[*].attention by magnitude to 2:4 over tune(calib, steps: 3)"),
    "prune over training": (["bert-eras", "vit-fashion-50"], "prune heads, neurons of layers[*] to 60% flops over tune(calib, steps: 3) with { flow: mask_sparsity(0.05) }"),
    "heads, then tokens": (ENCODERS, "prune heads of layers[2] keep 50%\nmerge tokens at layers[1] by key_similarity remove 3"),
    "drop experts": (EXPERTS, "drop experts of layers[*] by frequency(calib) keep 5"),
    "drop experts, uneven": (EXPERTS, "drop experts of layers[1] by reap(calib) keep 50%"),
    "merge experts": (EXPERTS, "merge experts of layers[*] by routing(calib) into 4"),
    "merge experts, uneven": (EXPERTS, "merge experts of layers[*] by routing(calib) into 4 with { groups: global }"),
    "mix experts": (EXPERTS, "merge experts of layers[*] by evolution(calib, population: 4, iterations: 4, mixtures: 24) into 4"),
    "skip experts": (EXPERTS, "skip experts of layers[*] by gate_ratio(calib)"),
    "insert null_experts": (EXPERTS, "insert null_experts of layers[*] into 4 with { top_k: 3, spread: 0.3 }"),
    "merge, then factorize experts": (
        EXPERTS,
        "merge experts of layers[*] by weights into 4\nfactorize experts of layers[*] to rank(8) with { residual: sparse(10%) }",
    ),
}


def small(**fields):
    """A config of the smallest sizes, by the names that most families have."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320}
    return {**sizes, "max_position_embeddings": 80, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | fields


GROUPED = {"num_key_value_heads": 2}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3["original_max_position_embeddings"] = 16
MIXED = {"num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}
PICTURES = {"image_size": 28, "patch_size": 7, "num_channels": 3, "vocab_size": None}
POSITIONS = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 320, "n_positions": 80}
DISTILLED = {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "vocab_size": 320, "max_position_embeddings": 80}
LATENT = {"kv_lora_rank": 16, "q_lora_rank": None, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "first_k_dense_replace": 0}
DEEPSEEK = {**LATENT, **ROUTED, "num_key_value_heads": 4, "topk_method": "greedy", "n_group": 1, "topk_group": 1}
SWITCH = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "num_experts": 4, "vocab_size": 320}
SWITCH |= {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1}
FAMILIES = {
    "bert, two segments": ("BertForSequenceClassification", "BertConfig", small()),
    "bert, hidden states": ("BertModel", "BertConfig", small()),
    "bert, masked words": ("BertForMaskedLM", "BertConfig", small(tie_word_embeddings=True)),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", small(pad_token_id=1, type_vocab_size=1)),
    "distilbert": ("DistilBertModel", "DistilBertConfig", DISTILLED),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", POSITIONS),
    "gpt2, classes": ("GPT2ForSequenceClassification", "GPT2Config", {**POSITIONS, "pad_token_id": 0}),
    "llama 3, long texts": ("LlamaForCausalLM", "LlamaConfig", small(**GROUPED, rope_parameters=LLAMA3)),
    "mistral, a window": ("MistralForCausalLM", "MistralConfig", small(**GROUPED, sliding_window=8)),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", small(**GROUPED)),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", small(**GROUPED, head_dim=16)),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", small(**GROUPED, num_local_experts=4)),
    "qwen2-moe": ("Qwen2MoeForCausalLM", "Qwen2MoeConfig", small(**GROUPED, **MIXED, num_experts=4, shared_expert_intermediate_size=40)),
    "qwen3-moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", small(**GROUPED, **MIXED, num_experts=4, head_dim=16)),
    "olmoe": ("OlmoeForCausalLM", "OlmoeConfig", small(**GROUPED, num_experts=4, num_experts_per_tok=2)),
    "vit, hidden states": ("ViTModel", "ViTConfig", small(**PICTURES)),
    "deit, two heads": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", small(**PICTURES)),
    "dinov2": ("Dinov2Model", "Dinov2Config", small(**PICTURES, mlp_ratio=2)),
    "dinov2, larger pictures": ("Dinov2Model", "Dinov2Config", small(**PICTURES, mlp_ratio=2)),
    "deepseek": ("DeepseekV2ForCausalLM", "DeepseekV2Config", small(**DEEPSEEK)),
    "switch": ("SwitchTransformersForConditionalGeneration", "SwitchTransformersConfig", SWITCH),
}
REFUSED = {"deepseek", "switch"}
HEADS = "prune heads of layers[0] keep 50%"
FEWER = {
    "bert, two segments": f"{HEADS}; merge tokens at layers[0] by key_similarity remove 2",
    "roberta": f"{HEADS}; drop tokens at layers[0] by cls_attention(fuse: true) keep 70%",
    "vit, hidden states": f"{HEADS}; merge tokens at layers[0] by energy keep 80%",
    "deit, two heads": f"{HEADS}; merge tokens at layers[0] by key_similarity remove 2",
    "mixtral": f"{HEADS}; merge experts of layers[*] by weights into 2",
    "qwen2-moe": f"{HEADS}; merge experts of layers[*] by weights into 2",
    "qwen3-moe": f"{HEADS}; merge experts of layers[*] by weights into 2",
    "olmoe": f"{HEADS}; merge experts of layers[*] by weights into 2",
    "dinov2": f"{HEADS}; factorize weights of layers[*].mlp to rank(8)",
    "gpt2": f"{HEADS}; factorize weights of layers[*].mlp to rank(8)",
}


class Refused(Exception):
    """tamis says no, with a code."""


def run(*command, text=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, input=text)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr.strip())
        raise Refused(first)
    return done.stdout


def texts(directory, lengths, vocabulary):
    """Windows of a real text where the model has a tokenizer, and chance where it has none."""
    if (directory / "tokenizer.json").exists():
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        ids = tokenizer((MODELS / "data" / "sotu-test.txt").read_text()[:20000], add_special_tokens=False)["input_ids"]
        front = [tokenizer.cls_token_id] if tokenizer.cls_token_id is not None else []
        starts = np.cumsum([0, *lengths[:-1]])
        ids = [id % vocabulary for id in ids]  # where words were taken out, the tokenizer does not know yet
        return [(front + ids[start : start + length])[:length] for start, length in zip(starts, lengths)]
    draw = np.random.default_rng(len(lengths))
    return [draw.integers(3, vocabulary, length).tolist() for length in lengths]


def text_inputs(directory, config):
    """Texts as tamis takes them and as the others do; the last batch has its padding in front."""
    for lengths, in_front in [(BATCHES[0], False), (BATCHES[1], False), (BATCHES[0], True)]:
        rows = texts(directory, lengths, config["vocab_size"])
        ids = np.full((len(rows), max(lengths)), config.get("pad_token_id") or 0, dtype=np.int64)
        mask = np.zeros_like(ids)
        for at, row in enumerate(rows):
            place = slice(-len(row), None) if in_front else slice(None, len(row))
            ids[at, place], mask[at, place] = row, 1
        yield {"tokens": rows}, {"input_ids": ids, "attention_mask": mask}, in_front


def picture_inputs(config, side):
    draw = np.random.default_rng(7)
    channels = config["num_channels"]
    side = side or config["image_size"]
    for count in (1, 3):
        if channels == 1:
            raw = (MODELS / "data/fashion-mnist/t10k-images-idx3-ubyte").read_bytes()[16:]
            pictures = np.frombuffer(raw, np.uint8)[: count * side * side].reshape(count, 1, side, side)
            pictures = ((pictures / 255 - 0.286) / 0.353).astype(np.float32)
        else:
            pictures = draw.normal(size=(count, channels, side, side)).astype(np.float32)
        rows = [picture.ravel().tolist() for picture in pictures]
        yield {"pixels": rows, "shape": [channels, side, side]}, {"pixel_values": pictures}, False


def both_inputs():
    """Texts of a picture each, padded in front; their rows are fewer afterwards, and stand in front no more."""
    texts, pictures = samples()
    for count in (1, len(texts)):
        full = [expanded(ids, 36) for ids in texts[:count]]
        longest = max(map(len, full))
        ids = np.array([[0] * (longest - len(row)) + row for row in full], dtype=np.int64)
        mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in full], dtype=np.int64)
        rows = [picture.flatten().tolist() for picture in pictures[:count]]
        asked = {"tokens": texts[:count], "pixels": rows, "shape": list(pictures.shape[1:])}
        yield asked, {"input_ids": ids, "attention_mask": mask, "pixel_values": pictures[:count].numpy()}, False


def real(answers, mask):
    """The rows of real tokens; all rows where an answer is one of each sample."""
    answers = np.asarray(answers)
    return answers[mask.astype(bool)] if answers.ndim == 3 and mask is not None else answers.reshape(-1, answers.shape[-1])


def theirs(model, inputs, name):
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    with torch.no_grad():
        return getattr(model(**tensors), name).numpy()


def differences(programs, directory, case):
    """The largest differences: transformers and tamis, onnxruntime and tamis, onnxruntime and transformers."""
    tamis, outputs = programs
    file = directory / "model.onnx"
    run(tamis, "export", directory, "--to", "onnx")
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    takes = {port.name for port in session.get_inputs()}
    name = "logits" if "logits" in {port.name for port in session.get_outputs()} else "last_hidden_state"
    config = json.loads((directory / "config.json").read_text())
    config.setdefault("vocab_size", 320)
    if "auto_map" in config:
        model = load(directory, True)
    else:
        options = {"dtype": torch.float32, "attn_implementation": "eager"}
        model = getattr(transformers, config["architectures"][0]).from_pretrained(directory, **options).eval()
    if takes >= {"input_ids", "pixel_values"}:
        batches = both_inputs()
    elif "pixel_values" in takes:
        batches = picture_inputs(config, 35 if "larger" in case else None)
    else:
        batches = text_inputs(directory, config)
    worst = [0.0, 0.0, 0.0]
    for asked, inputs, in_front in batches:
        mask = inputs.get("attention_mask")
        segments = "two segments" in case
        if "token_type_ids" in takes:
            types = np.zeros_like(mask)
            types[:, 5:] = int(segments)
            inputs["token_type_ids"] = types
        ours = json.loads(run(outputs, directory, text=json.dumps(asked)))
        ours = np.asarray(ours["logits" if name == "logits" else "hidden"], dtype=np.float32)
        of_onnx = session.run([name], inputs)[0]
        if "pixel_values" in takes and mask is not None:
            mask = session.run(["reduced_attention_mask"], inputs)[0] > 0
        if not np.isfinite(of_onnx).all():
            raise AssertionError("onnxruntime finds what is no number")
        of_onnx = real(of_onnx, mask)
        of_torch = real(theirs(model, inputs, name), mask)
        pairs = [(of_torch, ours), (of_onnx, ours), (of_onnx, of_torch)]
        for at, (left, right) in enumerate(pairs):
            # tamis reads texts of one segment; transformers' own encoders take padding in front for a part of the text.
            if segments and at < 2:
                worst[at] = float("nan")
            elif at == 1 or not in_front:
                worst[at] = max(worst[at], float(np.abs(left - right).max()))
    return worst


def made(name, place):
    """A family's smallest model, with weights by chance."""
    kind, config, fields = FAMILIES[name]
    torch.manual_seed(3)
    fields = {key: value for key, value in fields.items() if value is not None}
    model = getattr(transformers, kind)(getattr(transformers, config)(**fields)).eval()
    for parameter in model.parameters():  # norms and biases too: ones and zeros would hide what is left out
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(place)
    return place


def compressed(tamis, model, step, place):
    if not step:
        # Exported into a copy, so that nothing is written beside the models.
        place.mkdir()
        for file in model.iterdir():
            (place / file.name).symlink_to(file)
        return place
    recipe = place.with_suffix(".tamis")
    data = DATA.get(model.name, TEXTS) + "\n" if "calib" in step else ""
    steps = step.replace("; ", "\n")
    recipe.write_text(f'model input = "{model}"\n{data}{steps}\nsave "{place}"\n')
    run(tamis, "run", recipe, "--no-cache")
    return place


def tried(make):
    """A row's figures, or why there are none."""
    try:
        return make()
    except Refused as why:
        return str(why)
    except Exception as why:  # of a runtime: told, and the others go on
        return f"{type(why).__name__}: {str(why).splitlines()[0][:200]}"


def shown(found):
    if isinstance(found, str):
        return [found.replace("|", "\\|").replace("error[", "`").replace("]:", "`:", 1)] + [""] * 2
    return ["–" if off != off else "0" if off == 0 else f"{off:.0e}" for off in found]


HEAD = """# tamis, transformers and onnxruntime

Whether three runtimes find the same numbers, on what every pass leaves of the models in `tests/models`, and on the smallest model of each
family. Written by `tests/golden/interop.py --write`, which says how; nothing here is copied by hand. What runs where: [elsewhere](elsewhere.md).

A figure is the largest difference between any two numbers of the answers (logits, or last hidden states) over two padded batches of
texts of 1 to 61 tokens, or over pictures; between onnxruntime and tamis also with the padding in front. All three compute in f32. `–`: tamis itself reads texts of one segment.

"""


def table(title, rows):
    heads = [*rows[0], "transformers − tamis", "onnxruntime − tamis", "onnxruntime − transformers"]
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * 5, *rows[1:]]]
    return "\n".join([f"## {title}", "", *lines]) + "\n"


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    programs, asked = [Path(program).resolve() for program in arguments[:2]], arguments[2:]
    passes, families, bad = [("model", "steps")], [("family", "steps")], []
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)

        def passed(case, model, step, directory):
            return differences(programs, compressed(programs[0], MODELS / model, step, directory), case)

        def of_family(name, step, directory):
            model = made(name, directory / "input")
            return differences(programs, compressed(programs[0], model, step, directory / "out"), name)

        rows = []
        for case, (models, steps) in CASES.items():
            for model in models:
                step = steps if isinstance(steps, str) else steps[model]
                rows.append((passes, case, model, step, partial(passed, case, model, step)))
        for name, (kind, *_) in FAMILIES.items():
            family = f"{name} (`{kind}`)"
            rows.append((families, name, family, "", partial(of_family, name, "")))
            if name not in REFUSED:
                step = FEWER.get(name, HEADS)
                rows.append((families, name, family, step, partial(of_family, name, step)))
        for number, (of, name, subject, step, make) in enumerate(rows):
            if asked and name not in asked:
                continue
            found = tried(partial(make, place / str(number)))
            lines = step.replace("; ", "\n").splitlines()
            of.append((subject, ", ".join(f"`{line}`" for line in lines) or "unchanged", *shown(found)))
            is_off = not isinstance(found, str) and any(off > BOUND for off in found)
            is_bad = is_off or isinstance(found, str) != (name in REFUSED)
            bad += [name] * is_bad
            print(f"{'BAD ' if is_bad else '    '}{name:32} {subject:16} {'  '.join(shown(found))}", flush=True)
    if "--write" in sys.argv:
        PAGE.write_text(HEAD + table("Passes", passes) + "\n" + table("Families", families))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
