"""A conditional generative adversarial network on the real images.

Mehdi Mirza and Simon Osindero, "Conditional Generative Adversarial Nets", arXiv 1411.1784, as Bo Zhao's thesis (2022),
appendix A.3, and Zhang et al., arXiv 2309.07698, use it; the auxiliary classifier is that of Odena et al., ICML 2017.
What these leave open: Adam with rate 0.0002 and betas 0.5 and 0.999, and a running average of the generator's weights.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.optimizers import Adam
from condensery.pretraining.discriminators import ImageDiscriminator, discriminator_loss, generator_loss
from condensery.rng import Rng

LR, BETAS = 2e-4, (0.5, 0.999)
AVERAGED, EARLY = (
    0.01,
    10,
)  # share of the newest weights in the running average; 10 / (10 + steps) where that is more


class ConditionalGan:
    """Generator, discriminator and the running average of the generator, with their optimisers.

    Args:
        generator: makes images of codes (N, code_length) and what stands for classes (N, E); its weights are trained.
        embeddings: what stands for the classes, (classes, E), on the device.
        class_weight: of the auxiliary classifier; 0 for none.
        width: filters of the discriminator's first block.
    """

    def __init__(
        self,
        generator: nn.Module,
        embeddings: Tensor,
        shape: tuple[int, int, int],
        *,
        code_length: int,
        class_weight: float,
        width: int,
        rng: Rng,
    ) -> None:
        self.embeddings, self.code_length, self.class_weight = embeddings, code_length, class_weight
        classes, length = embeddings.shape
        with rng.fork("discriminator").seeded():
            discriminator = ImageDiscriminator(shape, length, classes, width).to(embeddings.device)
        self.networks: dict[str, nn.Module] = {
            "generator": generator.train(),
            "discriminator": discriminator.train(),
            "average": copy.deepcopy(generator).eval().requires_grad_(False),
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: Adam(self.networks[name].parameters(), LR, BETAS) for name in ("generator", "discriminator")
        }

    def step(self, images: Tensor, labels: Tensor, rng: Rng) -> None:
        """One update of the discriminator, one of the generator with images of the same classes."""
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        classes = self.embeddings[labels]
        made = generator(
            random_codes(len(labels), self.code_length, rng.fork("codes")).to(images.device), classes
        )
        real, said = discriminator(images, classes)
        loss = discriminator_loss(real, discriminator(made.detach(), classes)[0])
        self._update("discriminator", loss + self.class_weight * F.cross_entropy(said, labels))
        judged, said = discriminator(made, classes)
        self._update("generator", generator_loss(judged) + self.class_weight * F.cross_entropy(said, labels))
        self._average()

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward(inputs=list(self.networks[name].parameters()))
        self.optimizers[name].step()

    @torch.no_grad()
    def _average(self) -> None:
        newest, weights = self.networks["generator"].state_dict(), self.optimizers["generator"].state
        steps = float(next(iter(weights.values()))["step"])
        share = max(AVERAGED, EARLY / (EARLY + steps))
        for name, tensor in self.networks["average"].state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(newest[name], share)


def random_codes(count: int, length: int, rng: Rng, threshold: float = 0.0) -> Tensor:
    """Standard normal codes, float32 (count, length), on the CPU.

    Args:
        threshold: values beyond it are drawn again (the truncation trick of Brock et al., 2019); 0 for none.
    """
    codes = torch.empty(count, length)
    if threshold:
        return nn.init.trunc_normal_(codes, a=-threshold, b=threshold, generator=rng.torch())
    return codes.normal_(generator=rng.torch())
