"""Reads the source data and fixes, in one place, what is train and what is held out.

DATA holds two directories:

  sotu/train.txt, sotu/test.txt   State of the Union speeches, one a line, oldest first (1790-1998, 1999-2021)
  fashion-mnist/*.gz              the four idx files

Held out are every tenth speech of sotu/train.txt ("held-out": the years of the training text) and the
whole of sotu/test.txt ("later": years the models never saw). No speech is in both a train and a test set.
"""

import gzip
import re
from pathlib import Path

import numpy as np

# The speeches carry no date, but they are sorted by year: one a year, none in 1933, two in 1953 and in 1961.
YEARS = sorted([year for year in range(1790, 2022) if year != 1933] + [1953, 1961])

ERAS = ["1790-1849", "1850-1899", "1900-1949", "1950-1998"]
CUTS = [1850, 1900, 1950]

CLOTHES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
# Mean and standard deviation of the training pixels in 0..1.
PIXEL_MEAN, PIXEL_STD = 0.2860, 0.3530

MIN_WORDS = 40


def speeches(data: Path) -> dict[str, list[tuple[int, str]]]:
    """(year, text) of each speech, as train, held-out and later."""
    known = (data / "sotu/train.txt").read_text(encoding="utf-8").splitlines()
    later = (data / "sotu/test.txt").read_text(encoding="utf-8").splitlines()
    assert len(known) + len(later) == len(YEARS)
    dated = list(zip(YEARS, known))
    return {
        "train": [speech for n, speech in enumerate(dated) if n % 10 != 9],
        "held-out": dated[9::10],
        "later": list(zip(YEARS[len(known) :], later)),
    }


def era(year: int) -> int:
    return sum(year >= cut for cut in CUTS)


def paragraphs(speech: str) -> list[str]:
    """The source has lost its line breaks: a paragraph is as many sentences as make MIN_WORDS words."""
    found, words = [], []
    for sentence in re.split(r"(?<=[.?!]) (?=[A-Z\"'])", speech):
        words += sentence.split()
        if len(words) >= MIN_WORDS:
            found.append(" ".join(words))
            words = []
    return found


def labelled(dated: list[tuple[int, str]]) -> list[tuple[str, int]]:
    """(paragraph, era) of all speeches."""
    return [(paragraph, era(year)) for year, text in dated for paragraph in paragraphs(text)]


def idx(path: Path) -> np.ndarray:
    """An idx file of bytes, gzipped or not."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    assert raw[:3] == b"\0\0\x08", "only unsigned bytes"
    shape = np.frombuffer(raw, ">u4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def write_idx(path: Path, array: np.ndarray):
    header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + np.ascontiguousarray(array, np.uint8).tobytes())


def clothes(data: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of "train" or "t10k"."""
    found = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        plain = data / "fashion-mnist" / f"{split}-{kind}"
        found.append(idx(plain if plain.exists() else plain.with_name(plain.name + ".gz")))
    return tuple(found)
