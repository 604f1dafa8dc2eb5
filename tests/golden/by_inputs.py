"""What is decided by the inputs of linears: Wanda, SparseGPT, low rank. For calibrated.py.

`W` is [out, in], `x` the rows of real tokens [tokens, in]. "2:4" keeps two of four consecutive inputs and on a tie the
lower index; "50%" drops half of each row (Wanda) or of each block of 128 columns (SparseGPT), on a tie the lower index
first. Sequential: block by block, the inputs of a block come from the pruned blocks before it, all those inside a
block from the block as it was.
"""

import torch

from subject import numbers


def row_bits(kept):
    """Which inputs stay, four a hexadecimal digit, the first input in the highest bit."""
    return "".join(f"{int(''.join(map(str, four)), 2):x}" for four in kept.int().view(-1, 4).tolist())


def lowest(scores, count, keep_lower_on_ties):
    """Marks the lowest of each row, exactly so many."""
    if keep_lower_on_ties:
        return lowest(scores.flip(-1), count, False).flip(-1)
    order = scores.sort(dim=-1, stable=True).indices[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, True)


def dropped(scores, to):
    if to == "2:4":
        return lowest(scores.unflatten(-1, (-1, 4)), 2, True).flatten(-2)
    return lowest(scores, scores.shape[-1] // 2, False)


def wanda(subject, to):
    """An expert that no token reached has no norms: its weights are compared by magnitude."""
    subject, found, unreached = subject.copy(), {}, []
    for linears in subject.linears:
        seen = subject.observe(linears)
        for path, linear in linears.items():
            scores = linear.weight.abs()
            if path in seen:
                scores = scores * subject.real(seen[path]).norm(dim=0)
            else:
                unreached.append(path)
            out = dropped(scores, to)
            linear.weight[out] = 0
            kept = ~out
            found[path] = {
                "zeros": (linear.weight == 0).sum().item(),
                "kept in the first row": row_bits(kept[0]),
                "kept in the last row": row_bits(kept[-1]),
                "sum": numbers(linear.weight.sum()),
                "sum of magnitudes": numbers(linear.weight.abs().sum()),
            }
    return {"loss": numbers(subject.loss()), "without tokens": unreached, "weights": found}


def obs(weight, gram, to, damp=0.01, block=128):
    """The SparseGPT update: columns from left to right, each error carried to the columns on its right."""
    weight, gram = weight.clone(), gram.clone()
    dead = gram.diag() == 0
    gram[dead, dead] = 1
    weight[:, dead] = 0
    gram += damp * gram.diag().mean() * torch.eye(len(gram), dtype=gram.dtype)
    upper = torch.linalg.cholesky(torch.linalg.inv(gram), upper=True)
    for start in range(0, len(gram), block):
        end = min(start + block, len(gram))
        part, factor = weight[:, start:end].clone(), upper[start:end, start:end]
        errors, out = torch.zeros_like(part), torch.zeros_like(part, dtype=torch.bool)
        if to == "50%":
            scores = (part / factor.diag()) ** 2
            out = lowest(scores.flatten(), scores.numel() // 2, False).view_as(part)
        for column in range(end - start):
            if to == "2:4" and column % 4 == 0:
                four = slice(column, column + 4)
                out[:, four] = lowest((part[:, four] / factor.diag()[four]) ** 2, 2, True)
            kept = part[:, column].masked_fill(out[:, column], 0)
            error = (part[:, column] - kept) / factor[column, column]
            part[:, column:] -= error.outer(factor[column, column:])
            part[:, column], errors[:, column] = kept, error
        weight[:, start:end] = part
        weight[:, end:] -= errors @ upper[start:end, end:]
    return weight


def squared_error(change, gram):
    """||(W - W') X||^2 over all real tokens."""
    return ((change @ gram) * change).sum()


def sparsegpt(subject, to):
    subject, found = subject.copy(), {}
    for linears in subject.linears:
        seen = subject.observe(linears)
        for path, linear in linears.items():
            x = subject.real(seen[path])
            gram, before = x.T @ x, linear.weight.clone()
            linear.weight.copy_(obs(before, gram, to))
            found[path] = {
                "zeros": (linear.weight == 0).sum().item(),
                "first row": numbers(linear.weight[0, :32]),
                "norm": numbers(linear.weight.norm()),
                "squared error": numbers(squared_error(before - linear.weight, gram)),
            }
    return {"loss": numbers(subject.loss()), "weights": found}


def truncated(weight, whitening, rank):
    """The best product of that rank for inputs that the whitening turns into white ones, and the energy it drops."""
    u, sigma, v = torch.linalg.svd(weight @ whitening, full_matrices=False)
    product = torch.linalg.solve(whitening, (u[:, :rank] * sigma[:rank]) @ v[:rank], left=False)
    return product, (sigma[rank:] ** 2).sum()


def low_rank(subject, path, rank):
    seen, weight = subject.observe([path])[path], subject.modules[path].weight
    x = subject.real(seen)
    gram = x.T @ x
    # The mean magnitude of each input over a sample's tokens, summed over samples.
    magnitude = torch.stack([row[mask].abs().mean(0) for row, mask in zip(seen, subject.mask)]).sum(0)
    whitenings = {
        "svd": torch.eye(len(gram), dtype=gram.dtype),
        "asvd": torch.diag(magnitude**0.5 + 1e-6),
        "svd_llm": torch.linalg.cholesky(gram),
    }
    found = {}
    for name, whitening in whitenings.items():
        product, energy = truncated(weight, whitening, rank)
        error = squared_error(weight - product, gram)
        if name == "svd_llm":
            assert (error - energy).abs() < 1e-6 * error
        found[name] = {"squared error": numbers(error), "first row": numbers(product[0])}
    return found


def svd_llm(subject, rank, update):
    """Block by block, by the inputs behind the compressed ones. Updated: whitened by the dense model's inputs, and the outer
    factors then fitted to the compressed one's."""
    dense, subject, found = subject, subject.copy(), {}
    for linears in subject.linears:
        seen, of_dense = subject.observe(linears), dense.observe(linears)
        for path, linear in linears.items():
            x, white = (part.real(rows[path]) for part, rows in ((subject, seen), (dense, of_dense)))
            gram, weight = x.T @ x, linear.weight.clone()
            lower = torch.linalg.cholesky(white.T @ white if update else gram)
            u, sigma, v = torch.linalg.svd(weight @ lower, full_matrices=False)
            left, right = u[:, :rank] * sigma[:rank], torch.linalg.solve(lower, v[:rank], left=False)
            if update:
                left = weight @ gram @ right.T @ torch.linalg.inv(right @ gram @ right.T)
            linear.weight.copy_(left @ right)
            found[path] = numbers(linear.weight.norm())
    return {"loss": numbers(subject.loss()), "norms": found}


def input_norms(subject):
    """Of the dense model: the sum of squares of each input over the real tokens, the first 16 and the sum of all."""
    found = {}
    for path, seen in subject.observe([path for linears in subject.linears for path in linears]).items():
        squares = subject.real(seen).square()
        found[path] = {"tokens": len(squares), "first": numbers(squares.sum(0)[:16]), "sum": numbers(squares.sum())}
    return found


def check():
    """The worked cases of the papers' methods."""
    as_double = lambda rows: torch.tensor(rows, dtype=torch.float64)
    scores = as_double([[4.0, 1, 0, -1], [0.5, 2, -3, 1]]).abs() * as_double([1.0, 4, 2, 8])
    assert dropped(scores, "50%").tolist() == [[True, False, True, False], [True, False, True, False]]
    gram, weight = as_double([[3.0, 2, 2], [2, 3, 2], [2, 2, 3]]), as_double([[1.0, -0.5, 0.25]])
    upper = torch.linalg.cholesky(torch.linalg.inv(gram), upper=True)
    assert torch.allclose(upper.diag() ** 2, as_double([5 / 7, 0.6, 1 / 3]))
    # Of 3 one goes, the one of score .1875: nothing stands to its right, the loss is half of .1875.
    pruned = obs(weight, gram, "50%", damp=0)
    assert torch.allclose(pruned, as_double([[1.0, -0.5, 0]]))
    assert torch.allclose(squared_error(weight - pruned, gram) / 2, as_double(0.09375))
    product, _ = truncated(as_double([[1.0, 0], [0, 0.8]]), torch.linalg.cholesky(as_double([[1.0, 0], [0, 4]])), 1)
    assert torch.allclose(product, as_double([[0.0, 0], [0, 0.8]]))
