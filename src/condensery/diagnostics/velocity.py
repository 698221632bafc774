"""Kernel velocity: how fast the direction turns in which a method updates its synthetic images.

Lee et al., ICML 2022, section 3.3 and Figure 4, after Stanislav Fort et al., NeurIPS 2020, "Deep learning versus kernel
learning". The kernel is the Gram matrix of the Jacobian of the matching loss with respect to the synthetic images:
K[i, j] is the inner product of the loss gradients of images i and j. Its velocity between two updates is one
minus the cosine of the two kernels. Lee et al. find peaks wherever a new network begins, higher in DCC than in DC,
which is why DCC warms up; to see those of DCC itself measure it with warmup="none". The number of images, which the
figure does not name, is the set's. A step is one update, so real batches change too; Fort et al. keep the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from condensery import driver
from condensery.diagnostics.findings import finding, make_task, method_of, spread, with_budget
from condensery.errors import BadInput
from condensery.method import Method, Task
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng


def gram(jacobian: Tensor) -> Tensor:
    """Inner products of all pairs of rows: gradients of N images (N, ...) -> (N, N), float64."""
    rows = jacobian.flatten(1).double()
    return rows @ rows.T


def kernel_velocity(before: Tensor, after: Tensor) -> float:
    """1 - <K, K'> / (|K| |K'|) of two kernels (N, N), in Frobenius products: 0 for the same up to scale, at most 1.

    (Gram matrices have no negative inner products.)

    Raises:
        BadInput: a kernel is zero and has no direction.
    """
    length = float(before.norm() * after.norm())
    if length == 0:
        raise BadInput("a kernel of zeros has no velocity: the loss does not depend on the images")
    return 1 - float((before * after).sum()) / length


def measure(
    images: ImageData,
    sets: Sequence[SyntheticSet],
    *,
    network: str = "convnet",
    seed: int = 0,
    device: str = "auto",
    steps: int = 50,
    **fields: Any,
) -> dict[str, Any]:
    """Velocities along the first steps of a run by the method, fields and budget of each set.

    The run is made anew, from its own start: of a set only its record counts and how many images it has.

    Args:
        images: the real images.
        sets: condensed by any method, with any number of steps.
        network: architecture.
        seed: decides every draw of the runs.
        device: "auto", "cpu" or "cuda".
        steps: updates, at least 2, of which all but the first have a velocity.
        fields: of the methods, which replace those of the sets, such as warmup="none" for DCC.

    Returns:
        `velocity`, a list for each set, one value from each update to the next; `new_network`, whether the second of
        the two was the first on a new network; `at_new_network` and `elsewhere` {mean, std, n} of the values where it
        was and was not, None where there is no such value.

    Raises:
        BadInput: fewer than 2 steps, a set that does not fit the data, or a record without a method.
    """
    if steps < 2:
        raise BadInput(f"velocity is a difference: steps must be at least 2, not {steps}")
    task = make_task(images, sets, network, device)
    velocities, new = [], []
    for i, synthetic in enumerate(sets):
        method = method_of(synthetic, **fields)
        source = Rng(seed).fork("velocity", i)
        values, marks = _along_run(method, with_budget(task, synthetic), steps, source)
        velocities.append(values)
        new.append(marks)
    marked = [
        pair
        for values, marks in zip(velocities, new, strict=True)
        for pair in zip(values, marks, strict=True)
    ]
    summary = {
        key: spread(values) if (values := [v for v, is_new in marked if is_new is wanted]) else None
        for key, wanted in (("at_new_network", True), ("elsewhere", False))
    }
    found = {"steps": steps, "changed_fields": fields, "velocity": velocities, "new_network": new, **summary}
    return finding("kernel velocity", images, sets, task, seed, **found)


def _along_run(method: Method, task: Task, steps: int, rng: Rng) -> tuple[list[float], list[bool]]:
    """(velocities, whether a new network began) from each update of a run to the next."""
    method.check(task)
    state = driver.begin(method, task, rng)
    values, new = [], []
    kernel: Tensor | None = None
    is_new = False
    for after, _ in driver.trajectory(method, task, state, rng, steps):
        jacobian = after.leaves()[0].grad  # of the update that was just made
        assert jacobian is not None
        next_kernel = gram(jacobian)
        if kernel is not None:
            values.append(kernel_velocity(kernel, next_kernel))
            new.append(is_new)
        kernel, is_new, state = next_kernel, after.network is not state.network, after
    return values, new
