"""What a teacher must be: weights that fit it, read without running code, and this task's classes in their order."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from condensery.data import ClassPool
from condensery.errors import BadInput, one_line
from condensery.rng import Rng
from condensery.training import default_chunk, logits_of

_CHECKED = 2000  # real images on which a teacher shows that it knows the task
_BATCH = 256


class Smaller(nn.Module):
    """A network that sees images averaged to `size`, (height, width)."""

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size = network, size
        if callable(getattr(network, "embed", None)):
            self.embed = lambda images: cast(Any, network).embed(self.seen(images))

    def seen(self, images: Tensor) -> Tensor:
        """`images` (N, C, H, W) at the network's size."""
        return (
            images if images.shape[-2:] == self.size else F.interpolate(images, size=self.size, mode="area")
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        return self.network(self.seen(images))


def load_weights(network: nn.Module, path: Path, name: str) -> dict[str, str]:
    """Give `network` the weights in a file; tensors alone are read, no code.

    Args:
        path: .safetensors, or what `torch.save` made of a state dictionary, alone or as "state_dict".
        name: of the architecture, for messages.

    Returns:
        Name and SHA-256 of the file.

    Raises:
        BadInput: the file is missing or holds anything but tensors, or they are not those of the network.
    """
    try:
        content = path.read_bytes()
        loaded: Any = (
            load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        )
    except OSError as error:
        raise BadInput(
            f"cannot read the teacher's weights {path}: {error.strerror or one_line(error)}"
        ) from error
    except Exception as error:  # whatever torch makes of a file that is no state dictionary
        reason = one_line(error).partition(". ")[0][:120]
        raise BadInput(
            f"{path} holds no weights that can be read without running code: {reason}; save network.state_dict()"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(f"{path} holds no state dictionary: save network.state_dict()")
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(f"{path} holds no weights of {name}: {one_line(error)[:200]}") from error
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}


def require_same_task(network: nn.Module, pool: ClassPool) -> None:
    """Raise BadInput for a teacher of another task or another order of classes, as real training images tell.

    Up to 2,000 of them are classified. A teacher that is right hardly more often than chance, or much more often once
    its classes are renamed, is none of this task.
    """
    from scipy.optimize import linear_sum_assignment  # a tenth of a second that most runs do not need

    count, names = len(pool.labels), pool.spec.class_names
    chosen = np.sort(Rng(0).fork("teacher check").numpy().permutation(count)[:_CHECKED])
    images = pool.images_at(chosen)
    said = logits_of(network, images, default_chunk(images.device) or _BATCH)
    if not bool(torch.isfinite(said).all()):
        raise BadInput(
            "the teacher's outputs are not finite: its training diverged, or its weights are damaged"
        )
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (pool.labels[chosen], said.argmax(1).cpu().numpy()), 1)
    right, renamed = np.trace(table) / len(chosen), linear_sum_assignment(-table)[1]
    best = table[np.arange(len(names)), renamed].sum() / len(chosen)
    shown = f"it is right on {100 * right:.1f} % of {len(chosen)} real training images"
    if best > max(right + 0.1, 1.5 * right):
        c = int(np.flatnonzero(renamed != np.arange(len(names)))[0])
        raise BadInput(
            f"the teacher has its classes in another order: {shown}, and on {100 * best:.1f} % if its output for "
            f"{names[renamed[c]]!r} meant {names[c]!r}, and so on; its outputs must be {', '.join(names)[:120]}"
        )
    chance = 1 / len(names)
    if right < chance + 0.05 * (1 - chance):
        raise BadInput(
            f"the teacher does not know these images: {shown}, chance is {100 * chance:.1f} %; take one of this "
            "task, or train it longer (--teacher-epochs, --teacher-stage)"
        )
