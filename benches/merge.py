#!/usr/bin/env python3
"""Merges the experts of a Mixtral layer as tamis does, with NumPy and SciPy, to compare the time.

    merge.py MODEL OUT GROUPS

GROUPS has for each expert the number of its group, with commas. Neurons of a member are put into the order that is most like
the first one's of its group (scipy.optimize.linear_sum_assignment over products of all rows and columns in float32), then
matrices are averaged. Prints how long each part took, and the largest difference to the matrices in OUT, which tamis wrote.
"""

import json
import struct
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

NAME = "model.layers.0.block_sparse_moe.experts.{}.{}.weight"


def opened(folder):
    path = Path(folder) / "model.safetensors"
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    raw = np.memmap(path, np.uint8, "r", offset=8 + size)

    def matrix(name):
        start, end = header[name]["data_offsets"]
        bits = raw[start:end].view(np.uint16).reshape(header[name]["shape"])
        return (bits.astype(np.uint32) << 16).view(np.float32)

    return matrix


def bf16(values):
    """Rounded to nearest even, as bits."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def main():
    model, out, groups = sys.argv[1], sys.argv[2], [int(it) for it in sys.argv[3].split(",")]
    read = opened(model)
    expert = lambda number: [read(NAME.format(number, part)) for part in ("w1", "w3", "w2")]
    spent = {"products": 0.0, "assignment": 0.0, "the rest": 0.0}
    began = time.perf_counter()

    def clock(part):
        nonlocal began
        now = time.perf_counter()
        spent[part] += now - began
        began = now

    merged = []
    for group in range(max(groups) + 1):
        members = [number for number, it in enumerate(groups) if it == group]
        leader = expert(members[0])
        sums = [matrix.copy() for matrix in leader]
        for member in members[1:]:
            gate, up, down = expert(member)
            clock("the rest")
            gain = leader[0] @ gate.T
            gain += leader[1] @ up.T
            gain += leader[2].T @ down
            clock("products")
            _, order = linear_sum_assignment(gain, maximize=True)
            clock("assignment")
            for total, matrix in zip(sums, (gate[order], up[order], down[:, order])):
                total += matrix
        merged.append([bf16(total / np.float32(len(members))) for total in sums])
    with (Path(out) / "reference.bin").open("wb") as file:
        for matrices in merged:
            for matrix in matrices:
                file.write(matrix.tobytes())
    clock("the rest")
    for part, seconds in spent.items():
        print(f"  {part}: {seconds:.1f} s")
    theirs = opened(out)
    wide = lambda bits: (bits.astype(np.uint32) << 16).view(np.float32)
    pairs = ((group, at, part) for group in range(len(merged)) for at, part in enumerate(("w1", "w3", "w2")))
    furthest = max(np.abs(wide(merged[g][at]) - theirs(NAME.format(g, part))).max() for g, at, part in pairs)
    print(f"  the largest difference between both: {furthest:.3g}")


if __name__ == "__main__":
    main()
