#!/usr/bin/env python3
"""Trains the small models of the tests: `train.py DATA [vit-fashion vit-fashion-50 bert-eras llama-sotu mixtral-sotu]`.

Each is made by transformers' own class and written by save_pretrained, so that names, dtypes and configs are
those of the format. What DATA holds is told in sources.py. Seeds are fixed; the same machine and versions give
the same files, others very nearly. llama-sotu and mixtral-sotu have the same tokenizer.

The figures printed at the end are measured on the weights as stored, computed in float32.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
)

import measure
import sources

HERE = Path(__file__).parent


# The loop


def fit(model, batches, steps, peak, fast=False, log_every=100, precision=torch.bfloat16):
    """AdamW with a warm-up of a twentieth, then a cosine to zero. `batches(step)` gives a model's arguments.

    `fast` compiles the model, which needs a C++ compiler and batches of one shape. `precision` is that of matrix
    products: bfloat16 is slow on processors that do not know it.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    warm = max(1, steps // 20)
    shape = lambda n: min((n + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, n - warm) / (steps - warm))))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    model.train()
    called = torch.compile(model) if fast else model
    began, total = time.time(), 0.0
    for step in range(steps):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = called(**batches(step)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total += loss.item()
        if (step + 1) % log_every == 0:
            print(f"  step {step + 1}/{steps}  loss {total / log_every:.4f}  {time.time() - began:.0f} s", flush=True)
            total = 0.0
    return model.eval()


def epochs(count, size, generator):
    """Indices of `count` examples, shuffled anew each epoch, `size` at a time, for ever."""
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count // size * size].split(size)


def store(model, name, dtype, figure):
    """Writes the checkpoint in its dtype and what was measured; gives back the weights as stored, in float32."""
    folder = HERE / name
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    stored = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    figures = figure(stored)
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    parameters = sum(p.numel() for p in stored.parameters())
    print(f"{name}: {parameters} parameters, {figures}", flush=True)


# The models


def picture_batches(pixels, labels, size, seed, moved):
    """Batches mirrored half the time and moved by up to `moved` pixels."""
    generator = torch.Generator().manual_seed(seed)
    chosen = epochs(len(labels), size, generator)
    background = (0.0 - sources.PIXEL_MEAN) / sources.PIXEL_STD

    def batch(_):
        rows = next(chosen)
        seen = pixels[rows]
        if torch.rand((), generator=generator) < 0.5:
            seen = seen.flip(-1)
        up, left = torch.randint(0, 2 * moved + 1, (2,), generator=generator).tolist()
        padded = torch.nn.functional.pad(seen, (moved,) * 4, value=background)
        return {"pixel_values": padded[:, :, up : up + 28, left : left + 28], "labels": labels[rows]}

    return batch


def vit_fashion(data):
    sizes = {"patch_size": 7, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
    vit(data, "vit-fashion", 6, 4, **sizes)


def vit_fashion_50(data):
    """Fifty tokens a picture, for what depends on their number."""
    sizes = {"patch_size": 4, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 6}
    vit(data, "vit-fashion-50", 4, 3, precision=torch.float32, **sizes)


def vit(data, name, moved, still, precision=torch.bfloat16, **sizes):
    """Trains for `moved` epochs on pictures that are moved about, then for `still` on those that are not."""
    pictures, labels = sources.clothes(data, "train")
    pixels, labels = measure.pixels(pictures), torch.tensor(labels.astype("int64"))
    config = ViTConfig(
        image_size=28,
        num_channels=1,
        num_attention_heads=4,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(sources.CLOTHES)),
        label2id={label: n for n, label in enumerate(sources.CLOTHES)},
        **sizes,
    )
    torch.manual_seed(17)
    model = ViTForImageClassification(config)
    size = 128
    # What the moved pictures teach, then how the pictures are.
    epoch = len(labels) // size
    fit(model, picture_batches(pixels, labels, size, 17, moved=2), moved * epoch, 1.5e-3, precision=precision)
    fit(model, picture_batches(pixels, labels, size, 18, moved=0), still * epoch, 1e-3, precision=precision)
    store(model, name, torch.float32, lambda stored: measure.vit(stored, *sources.clothes(data, "t10k")))
    preprocessor = {
        "do_convert_rgb": False,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [sources.PIXEL_MEAN],
        "image_processor_type": "ViTImageProcessor",
        "image_std": [sources.PIXEL_STD],
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": 28, "width": 28},
    }
    (HERE / name / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def wordpiece(texts):
    """An uncased WordPiece tokenizer as BERT has it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=2048, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def bert_eras(data):
    split = sources.speeches(data)
    train, test = sources.labelled(split["train"]), sources.labelled(split["held-out"])
    tokenizer = wordpiece(text for text, _ in train)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(sources.ERAS)),
        label2id={name: n for n, name in enumerate(sources.ERAS)},
    )
    torch.manual_seed(11)
    model = BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(11)
    ids = tokenizer([text for text, _ in train], truncation=True, max_length=128)["input_ids"]
    labels = torch.tensor([label for _, label in train])
    size = 32
    chosen = epochs(len(train), size, generator)

    def batch(_):
        rows = next(chosen)
        inputs = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        return {**inputs, "labels": labels[rows]}

    fit(model, batch, steps=3 * len(train) // size, peak=6e-4)
    tokenizer.save_pretrained(HERE / "bert-eras")
    store(model, "bert-eras", torch.float16, lambda stored: measure.bert(stored, tokenizer, test))


def byte_bpe(texts):
    """A byte-level BPE tokenizer as GPT-2 has it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=2048,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=256, bos_token=end, eos_token=end, pad_token=end
    )


def language_model(data, name, model, tokenizer, dtype, passes, peak, size=32, length=128, fast=False, **extra):
    """Trains on windows of the training speeches, joined by the end token."""
    split = {part: [text for _, text in dated] for part, dated in sources.speeches(data).items()}
    stream = measure.stream(tokenizer, split["train"])
    generator = torch.Generator().manual_seed(23)

    def batch(_):
        starts = torch.randint(0, len(stream) - length, (size,), generator=generator)
        ids = torch.stack([stream[start : start + length] for start in starts])
        return {"input_ids": ids, "labels": ids, **extra}

    torch.manual_seed(23)
    fit(model, batch, steps=passes * len(stream) // (size * length), peak=peak, fast=fast)
    tokenizer.save_pretrained(HERE / name)

    def figure(stored):
        untrained = type(stored)(stored.config).eval()
        return {
            "held-out perplexity": measure.perplexity(stored, tokenizer, split["held-out"]),
            "later years perplexity": measure.perplexity(stored, tokenizer, split["later"]),
            "held-out perplexity, untrained": measure.perplexity(untrained, tokenizer, split["held-out"][:2]),
            "held-out perplexity, unigram": measure.unigram(stream, tokenizer, split["held-out"]),
        }

    store(model, name, dtype, figure)


def llama_sotu(data):
    tokenizer = byte_bpe(text for _, text in sources.speeches(data)["train"])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(5)
    model = LlamaForCausalLM(config)
    language_model(data, "llama-sotu", model, tokenizer, torch.bfloat16, passes=4, peak=3e-3, fast=True)


def mixtral_sotu(data):
    tokenizer = byte_bpe(text for _, text in sources.speeches(data)["train"])
    config = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=8,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.02,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(7)
    model = MixtralForCausalLM(config)
    # With the router's logits the loss has a term that keeps the experts balanced.
    language_model(
        data, "mixtral-sotu", model, tokenizer, torch.bfloat16, passes=3, peak=3e-3, output_router_logits=True
    )


MODELS = {
    "bert-eras": bert_eras,
    "llama-sotu": llama_sotu,
    "vit-fashion": vit_fashion,
    "vit-fashion-50": vit_fashion_50,
    "mixtral-sotu": mixtral_sotu,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all if none")
    parser.add_argument("--threads", type=int, default=1, help="one by default: two models train better side by side")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    for name in arguments.models or MODELS:
        began = time.time()
        print(name, flush=True)
        MODELS[name](arguments.data)
        print(f"{name}: {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
