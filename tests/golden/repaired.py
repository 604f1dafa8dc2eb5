"""Recovery without training: rearranged masks, tuned masks, output projections fitted anew. For calibrated.py.

The student is the model with the masked units out and with all that was mended so far; the teacher the dense model.
Order: attention, then mlp, layer by layer. Sums run over all real tokens.
"""

import torch
from torch.nn.functional import kl_div

from by_gates import gradients
from subject import numbers


def mask(axis, count):
    """Heads of even index stay, and neurons whose index is no multiple of three."""
    unit = torch.arange(count)
    return unit % 2 == 0 if axis.endswith("heads") else unit % 3 != 0


def rearranged(rows, count):
    """Which units go: at first the lowest; then each other one, ascending, comes in, and the best to leave leaves."""
    order = rows.square().sum(0).sort(stable=True).indices.tolist()
    out, cost = order[:count], lambda units: rows[:, units].sum(1).square().sum()
    before = cost(out)
    for unit in order[count:]:
        out.append(unit)
        without = rows[:, out].sum(1, keepdim=True) - rows[:, out]
        out.pop(without.square().sum(0).argmin())
    return {"out": sorted(out), "cost": numbers(cost(out)), "cost of the lowest": numbers(before)}


def rearrange(subject):
    """As many units as the mask takes out, by the gradients of single samples."""
    with torch.enable_grad():
        rows = gradients(subject, 1)
    return {axis: rearranged(rows[axis], int((~mask(axis, rows[axis].shape[1])).sum())) for axis in rows}


def streams(subject, axis):
    """What the projection takes in, what it gives, and the stream that this is added to."""
    path = subject.axes()[axis][0]
    inner = path.replace("output", "query").replace("down", "up")  # takes in the stream itself: norms come after
    seen = subject.observe([path, inner])
    given = subject.observe([path], "output")[path]
    return subject.real(seen[path]), subject.real(given), subject.real(seen[inner])


def damped(normal, target, start):
    """start + d, where d minimises |normal d - (target - normal start)|^2 + |d|^2."""
    residual = target - normal @ start
    return start + torch.linalg.solve(normal @ normal + torch.eye(len(normal), dtype=normal.dtype), normal @ residual)


def scales(contributions, target, intercept):
    """Of [units, tokens, out]: how much of each makes the target, and one number added to all outputs."""
    columns = list(contributions.flatten(1))
    start = torch.ones(len(columns), dtype=target.dtype)
    if intercept:
        columns.append(torch.ones_like(columns[0]))
        start = torch.cat([start, torch.zeros(1, dtype=target.dtype)])
    columns = torch.stack(columns)
    return damped(columns @ columns.T, columns @ target.flatten(), start)


def neuron_scales(inputs, weight, target):
    """The same for units of one feature, without their contributions: there are too many."""
    return damped(
        (weight.T @ weight) * (inputs.T @ inputs),
        ((target @ weight) * inputs).sum(0),
        torch.ones(inputs.shape[1], dtype=inputs.dtype),
    )


def student_of(subject):
    student = subject.copy()
    gates = {axis: mask(axis, count).double() for axis, (_, count, _) in student.axes().items()}
    return student, gates


def quality(subject, student):
    """After it: the mean KL from the dense model, and the loss."""
    logs = subject.logits().log_softmax(-1)
    divergence = kl_div(student.logits().log_softmax(-1), logs, log_target=True, reduction="batchmean")
    return {"kl": numbers(divergence), "loss": numbers(student.loss())}


def tune(subject, first_attention):
    """Mask tuning: the scale of each unit that stays. What is fitted is the stream after the block, so the target is
    the teacher's, less the student's stream before and the bias. An attention's intercept goes into its bias."""
    student, gates = student_of(subject)
    found = {}
    with student.gated(gates):
        for axis, (path, count, width) in subject.axes().items():
            if path == "layers[0].attention.output" and not first_attention:
                continue
            linear, kept = student.modules[path], mask(axis, count)
            _, given, stream = streams(subject, axis)
            inputs, _, own = streams(student, axis)
            target = given + stream - own - linear.bias
            heads = axis.endswith("heads")
            if heads:
                parts = zip(inputs.split(width, 1), linear.weight.split(width, 1))
                contributions = torch.stack([x @ w.T for (x, w), stays in zip(parts, kept) if stays])
                found_scales = scales(contributions, target, intercept=True)
                linear.bias += found_scales[-1]
            else:
                found_scales = neuron_scales(inputs[:, kept], linear.weight[:, kept], target)
            assert found_scales.abs().max() < 10
            gates[axis][kept] = found_scales[: kept.sum()]
            found[axis] = {"scales": numbers(gates[axis][kept])}
            if heads:
                found[axis]["intercept"] = numbers(found_scales[-1])
        return found | quality(subject, student)


def refit(subject, ridge=1e-6):
    """Least squares: the columns that stay give what the dense model's projection gave, bias as it was. The ridge,
    times the mean of the Gram matrix' diagonal, holds them to what they were: nothing masked, nothing changed."""
    student, gates = student_of(subject)
    found = {}
    with student.gated(gates):
        for axis, (path, count, width) in subject.axes().items():
            linear, kept = student.modules[path], mask(axis, count).repeat_interleave(width)
            _, given, _ = streams(subject, axis)
            inputs, own, _ = streams(student, axis)
            inputs, before = inputs[:, kept], linear.weight[:, kept].clone()
            gram = inputs.T @ inputs
            gram += ridge * gram.diag().mean() * torch.eye(len(gram), dtype=gram.dtype)
            after = before + torch.linalg.solve(gram, inputs.T @ (given - own)).T
            linear.weight[:, kept] = after
            error = given - linear.bias - inputs @ after.T
            found[path] = {
                "first row": numbers(after[0]),
                "squared error": numbers(error.square().sum()),
                "squared error before": numbers((given - own).square().sum()),
            }
        return found | quality(subject, student)


def repaired(subject):
    student, gates = student_of(subject)
    with student.gated(gates):
        masked = quality(subject, student)
    return {
        "mask": "heads of even index stay, and neurons whose index is no multiple of three",
        "masked": masked,
        "rearranged": rearrange(subject),
        "tuned": tune(subject, first_attention=False),
        "tuned, the first attention too": tune(subject, first_attention=True),
        "least squares": refit(subject),
    }


def check():
    """The worked cases of the papers' methods."""
    rows = torch.tensor([[1.0, -1, 0.2], [1, -1, -0.2]])
    assert rearranged(rows, 2)["out"] == [0, 1]
    as_double = lambda values: torch.tensor(values, dtype=torch.float64)
    found = damped(torch.diag(as_double([10.0, 1])), as_double([20.0, 1]), as_double([1.0, 1]))
    assert torch.allclose(found, as_double([1.990099, 1]))
