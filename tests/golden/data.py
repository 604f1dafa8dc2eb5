"""What transformers makes of text and pictures: tokens and pixels that tamis' readers are compared with.

    python tests/golden/data.py

writes `data.json` and `pictures/`. Needs transformers (here 5.23.0; no torch), tokenizers 0.23.3, Pillow 12.3.0 and numpy.
Not Pillow 13, which resizes
columns before rows where that is less work, so that roundings differ by one. Long results are told by their SHA-256, as little-endian 32-bit integers, and by their beginning.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import AutoTokenizer
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
DATA = MODELS / "data"


def told(ids: list[list[int]]) -> dict:
    flat = np.array([token for row in ids for token in row], dtype="<u4")
    lengths = [len(row) for row in ids]
    return {
        "count": len(ids),
        "tokens": sum(lengths),
        "sha256": hashlib.sha256(flat.tobytes()).hexdigest(),
        "first": ids[0][:40],
    }


def texts(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def windows(model: str, text: str, length: int) -> dict:
    tokenizer = AutoTokenizer.from_pretrained(MODELS / model)
    ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    return told([ids[at : at + length] for at in range(0, len(ids) - length + 1, length)])


def sentences(model: str, sentences: list[str], length: int) -> dict:
    tokenizer = AutoTokenizer.from_pretrained(MODELS / model)
    return told(tokenizer(sentences, truncation=True, max_length=length).input_ids)


def pattern(height: int, width: int, channels: int) -> np.ndarray:
    """Bytes with edges and slopes; the test makes the same."""
    at = np.arange(height * width * channels, dtype=np.int64)
    return ((at * at * 31 + at * 7 + (at >> 3) * 13) % 256).astype(np.uint8).reshape(height, width, channels)


RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resampled() -> list[dict]:
    found = []
    for height, width in [(5, 4), (23, 17), (40, 60), (17, 11), (1, 3), (23, 5)]:
        for name, filter in RESAMPLE.items():
            image = Image.fromarray(pattern(23, 17, 3)).resize((width, height), filter)
            values = np.asarray(image).transpose(2, 0, 1)
            found.append({
                "filter": name, "height": height, "width": width,
                "sha256": hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest(),
                "first": values.flatten()[:24].tolist(),
            })  # fmt: skip
    return found


def pictures() -> dict[str, Image.Image]:
    colours = Image.fromarray(pattern(23, 17, 3))
    grey = Image.fromarray(pattern(12, 31, 1)[:, :, 0])
    clear = Image.fromarray(pattern(9, 9, 4), "RGBA")
    smooth = Image.fromarray(np.linspace(0, 255, 20 * 28 * 3).reshape(20, 28, 3).astype(np.uint8))
    return {
        "a/colours.png": colours, "a/palette.png": colours.convert("P", palette=Image.Palette.ADAPTIVE),
        "b/clear.png": clear, "b/grey.png": grey, "b/smooth.jpg": smooth,
    }  # fmt: skip


STANDARD = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PROCESSORS = {
    "vit": (ViTImageProcessorPil, {
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 10, "width": 14},
        "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_convert_rgb": True,
    }),
    "clip": (CLIPImageProcessorPil, {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 11},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": 8, "width": 8}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True, **STANDARD,
    }),
    "bit": (BitImageProcessorPil, {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": 9},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": 14, "width": 12}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True, **STANDARD,
    }),
}  # fmt: skip


def prepared() -> list[dict]:
    found = []
    for name, image in pictures().items():
        path = HERE / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    for name, (processor, config) in PROCESSORS.items():
        for path in sorted(pictures()):
            with Image.open(HERE / "pictures" / path) as image:
                pixels = processor(**config)(image.convert("RGB"), return_tensors="np").pixel_values[0]
            values = [round(float(value), 6) for value in pixels.flatten()]
            found.append({"config": name, "picture": path, "shape": list(pixels.shape), "values": values})
    return found


def main():
    train = (DATA / "sotu-train.txt").read_text(encoding="utf-8")
    joined = "\n".join(row["text"] for row in texts("sotu-train.jsonl"))
    rows = texts("sotu-test.jsonl")
    golden = {
        "windows": {"txt": windows("llama-sotu", train, 128), "jsonl": windows("llama-sotu", joined, 64)},
        "sentences": {
            "short": sentences("bert-eras", [row["text"] for row in rows], 32),
            "whole": sentences("bert-eras", [row["text"] for row in rows], 128),
            "labels": [row["label"] for row in rows][:40],
        },
        "resampled": resampled(),
        "configs": {name: config for name, (_, config) in PROCESSORS.items()},
        "prepared": prepared(),
    }
    (HERE / "data.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
