"""How far TESLA's gradient is from the exact one that it stands for.

    python benchmarks/unrolled_gradients.py --data digits --steps 10,30 --rates 0.001,0.01,0.1

Both are of MTT's loss on the same images, expert, segment and augmentation. Printed for each number of unrolled steps
and learned rate: the length of the difference as a share of the exact gradient's, the cosine of the angle between
them, and the ratio of their lengths; the mean over --segments draws.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from condensery import Rng, Task, driver, get_method
from condensery.data import ClassPool, load
from condensery.models.registry import resolve


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--network", default="convnet+width=16+depth=2")
    parser.add_argument("--experts", type=int, default=2)
    parser.add_argument("--steps", default="10,30")
    parser.add_argument("--rates", default="0.001,0.01,0.1")
    parser.add_argument("--segments", type=int, default=4)
    asked = parser.parse_args()
    data, device = load(asked.data, announce=print), torch.device("cpu")
    pool, network = ClassPool(data.train, data.spec, device), resolve(asked.network)
    task = Task(pool, network, (asked.ipc,) * data.spec.num_classes, device)
    for steps in map(int, asked.steps.split(",")):
        for rate in map(float, asked.rates.split(",")):
            found = torch.tensor([_apart(task, asked.experts, steps, rate, k) for k in range(asked.segments)])
            apart, cosine, length = found.mean(0).tolist()
            print(
                f"{steps} steps at {rate:g}: {100 * apart:.2g} % apart, cosine {cosine:.4f}, length {length:.3f}",
                flush=True,
            )


def _apart(task: Task, experts: int, steps: int, rate: float, segment: int) -> tuple[float, float, float]:
    both = []
    for gradient in ("exact", "tesla"):
        settings = {"experts": experts, "max_start_epoch": 3, "syn_steps": steps, "rate": rate}
        method = get_method("mtt", gradient=gradient, **settings)
        state = replace(driver.begin(method, task, Rng(0)), step=segment)
        (term,) = method.terms(task, state, Rng(0).fork("step", segment))
        (found,) = torch.autograd.grad(term, [state.synthetic.images])
        both.append(found.flatten())
    exact, tesla = both
    cosine = torch.cosine_similarity(exact, tesla, dim=0)
    return float((exact - tesla).norm() / exact.norm()), float(cosine), float(tesla.norm() / exact.norm())


if __name__ == "__main__":
    main()
