"""Condensation into a generative model: a codebook and a class-conditioned generator in place of images.

David Junhao Zhang, Heng Wang, Chuhui Xue, Rui Yan, Wenqing Zhang, Song Bai and Mike Zheng Shou, "Dataset Condensation
via Generative Model", arXiv 2309.07698; the authors have published no code. Equations and sections are that paper's.

A step updates discriminator and classifier, then codes and generator; each `generator_updates`-th (M of Algorithm 1)
also the feature network, on the same real images. After `network_updates` (N) of these it is drawn anew. Rates fall
over the steps.

Fields: the paper gives the rates, optimizer, blocks, soft_labels (section 4.2), codebook (3.2), generator (4.5),
condition, codes and judged (Tables 6, 7 and 8), centre (Figure 4), weights of 1 and no augmentation; DiM matched
`logits`. Chosen by measurement: associates, match_weight, discriminator_lr. The paper leaves all others open.

Differences from the paper:

1. Batch norm of the generator has its pretraining's statistics and becomes part of the convolutions.
2. Generator's loss is -log D, not log(1 - D): the same direction without fading.
3. Class centre of equation 3: the mean feature of real images under the feature network, not the teacher's, which is of
   another network.
4. Dot products of equation 3 are of features of length 1.
5. Margin (equation 4) is in mean distances of real classes, the loss the mean over pairs, not the sum.
6. Matching is the mean over a layer's values, not the sum of equation 2.
7. Associates come from a cluster for each image (k-means on the teacher's last features). The paper does not say how it
   samples; `dealt` draws from the whole class; `class` compares the mean of a class's synthetic images with that of its
   real ones, as the loss that the paper takes from CAFE does.
8. Pretraining is not described: the discriminator of thesis A.3 with the class as one more channel and an auxiliary
   classifier; Adam, 2e-4, betas 0.5 and 0.999, batches of 128; a running average of the generator (1 % of the newest
   weights).
9. Discriminator of features: two hidden layers of 256 units, LeakyReLU; Adam, betas 0.5 and 0.999. The classifier is
   linear.
10. Soft labels are the teacher's mean probabilities of the class's real images, which the paper does not name.
11. Online features (Table 6) are renewed at each update of the feature network from `real_batch` images per class.
12. The projection begins as one that makes a standard normal vector of each class, as codes are (`projection`). The
   paper wants it to balance the two; a linear layer as it comes makes less, and nearly the same of classes that look
   alike. Not with `online`, whose features move away from those that it was made for: 8x8 digits, 10 per class, 100
   steps fell to 19.5 +- 6.7 % (n = 2) with it.
13. Inversion. With `inversion_steps` codes and generator are first fitted to real images, each the nearest to its
   cluster's mean; Adam, 0.03 for codes and 0.003 for the generator.
14. Values are not bounded (no tanh): condensed images leave the range of pixels.
15. Tiles. With `factor` 2 a generated image is four, of half the sides each (IDC, Kim et al., ICML 2022).
16. Teacher. With `teacher_weight` a network trained on the real images classifies random crops of the synthetic ones,
   and its cross entropy is one more loss, as in SRe2L (Yin et al., NeurIPS 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.matching.layers import layer_features, layer_gap, pooled
from condensery.matching.relations import inter_class, intra_class, mean_distance
from condensery.method import Preparation, State, Task
from condensery.methods.adversary import (
    BETAS,
    Drawn,
    codes_for,
    drawn_images,
    new_discriminator,
    train_discriminator,
)
from condensery.methods.associates import Divided, Eye, divided
from condensery.methods.generative_settings import GenerativeSettings
from condensery.optimizers import Adam
from condensery.pretraining import GeneratorTraining, Inversion, generator_loss, joined
from condensery.rng import Rng
from condensery.synthetic import Generated, own_codes
from condensery.synthetic.low_resolution import tiled
from condensery.teaching import teacher_network, teacher_preparation
from condensery.teaching.classes import standardised
from condensery.training import train_step


@dataclass(frozen=True)
class Generative(GenerativeSettings):
    """Learn a codebook and a generator: images with the features of real ones, diverse, apart from other classes."""

    name: ClassVar[str] = "generative"
    summary: ClassVar[str] = (
        "condensation into a generative model (Zhang et al., 2023): codebook and generator"
    )

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        teacher = (
            teacher_preparation(task.pool, self._teacher(task), task.device) if self._taught(task) else None
        )
        guide = self._guide(task).preparation(without=self)
        first = joined(teacher, guide) if guide else teacher
        bare = replace(self, condition="one-hot", soft_labels="no", gan_steps=0, inversion_steps=0)
        gan = joined(first, self._training(task, rng).preparation(_WithStandIn(**asdict(bare))))
        if not self.inversion_steps:
            return gan
        return joined(gan, self._inverting(task, rng).preparation(gan.without))

    def start(self, task: Task, rng: Rng) -> State:
        known = self._known(task)
        gan = self._training(task, rng).trained()
        embeddings = nn.Embedding.from_pretrained(self._embeddings(task, known), freeze=True)
        if self.inversion_steps:
            synthetic = cast(Inversion, self._inverting(task, rng).trained()).synthetic
        else:
            synthetic = self._generated(task, gan.networks["average"], embeddings, rng.fork("codebook"))
        networks = {"discriminator": gan.networks["discriminator"], "embeddings": embeddings}
        memory = {"soft labels": known.probabilities} if known and self._soft(task) else {}
        if self._divides:
            memory |= {"clusters": self._divided(task, rng).clusters}
        state = State(synthetic, {"synthetic": self._synthetic_optimizer(synthetic)}, networks, memory)
        state = replace(state, prepared=self._guide_network(task))
        return self._with_network(task, state, task.new_network(rng.fork("network")), rng)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        left = max(0.0, 1 - state.step / (task.steps or self.steps(task.ipc)))
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = group["initial_lr"] * left
        drawn = self._drawn(state, rng)
        joint = self.inter_weight or self.adversarial_weight or self.class_weight
        parts = [drawn] if joint else drawn.by_class()  # which takes less memory
        for part in parts:
            found = self.losses(task, state, rng, part)
            weighted = torch.stack([self._weights[name] * loss for name, loss in found.items()])
            yield weighted.sum() / len(parts)

    def losses(self, task: Task, state: State, rng: Rng, drawn: Drawn | None = None) -> dict[str, Tensor]:
        """The losses of this step by name, not weighted; without those whose weight is 0.

        Args:
            drawn: the images that they are of; None for all of this step.
        """
        drawn = drawn or self._drawn(state, rng)
        synthetic, labels = cast(Generated, state.synthetic), drawn.labels
        images = synthetic.of_codes(self._codes_of(synthetic, drawn, rng), labels[:: self.factor**2])
        layers, associates = self._seen(task, state, images, drawn, rng)
        matched = self._matched(layers, associates, len(drawn.classes))
        features = layers[-1].view(len(drawn.classes), -1, layers[-1].shape[1])  # (classes, n, D)
        centres = associates[-1].view(features.shape).mean(1)  # (classes, D), of real images
        judged, crops = images if self.judged == "pixels" else layers[-1], rng.fork("teacher", *drawn.classes)
        scale = mean_distance(centres).clamp(min=1e-6) if self.inter_weight else 1.0
        others = {
            "match": lambda: layer_gap(*matched),
            "intra": lambda: intra_class(features, centres, self.temperature, self.centre == "class"),
            "inter": lambda: inter_class(features.mean(1) / scale, self.margin),
            "teacher": lambda: self._guide(task).loss(state.prepared, images, labels, crops),
        }
        found = self._discriminated(state, judged, labels)
        return found | {name: loss() for name, loss in others.items() if self._weights[name]}

    def _discriminated(self, state: State, judged: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The losses by the discriminator and its classifier."""
        if not (self.adversarial_weight or self.class_weight):
            return {}
        source, said = state.networks["discriminator"](judged, state.networks["embeddings"](labels))
        targets = state.memory["soft labels"][labels] if "soft labels" in state.memory else labels
        found = {"adversarial": generator_loss(source), "class": F.cross_entropy(said, targets)}
        return {name: loss for name, loss in found.items() if self._weights[name]}

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        real, labels = task.real_batch(self.network_batch, rng)
        if self.adversarial_weight or self.class_weight:
            self._discriminate(task, state, real, labels, rng)
        updates, early = divmod(state.step + 1, self.generator_updates)
        if early:
            return state.next()
        if age := updates % self.network_updates:
            network, optimizer = state.networks["network"].train(), state.optimizers["network"]
            for group in optimizer.param_groups:
                group["lr"] = self.network_lr * (1 - (age - 1) / self.network_updates)
            train_step(network, optimizer, self._augmented(task, real, rng), labels, task.chunk)
            self._renew(task, state, network, rng)
            return state.next()
        network = task.new_network(rng.fork("network"))
        self._renew(task, state, network, rng)
        return self._with_network(task, state.next(), network, rng)

    def _drawn(self, state: State, rng: Rng) -> Drawn:
        """The synthetic images of this step."""
        return drawn_images(cast(Generated, state.synthetic), self.class_batch, self.code_batch, rng)

    def _codes_of(self, synthetic: Generated, drawn: Drawn, rng: Rng) -> Tensor:
        if self.codes == "learned":
            return own_codes(synthetic.codes, synthetic.counts)[drawn.places]
        fresh = self._random_codes(len(drawn.places), rng.fork("random codes", *drawn.classes))
        return fresh.to(synthetic.codes)

    def _seen(
        self, task: Task, state: State, images: Tensor, drawn: Drawn, rng: Rng
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Features of each layer (N, D): of the images, and the means of the real ones of each."""
        augmentation, size = self._augmentation(task), (task.spec.height, task.spec.width)
        parameters = augmentation.sample(rng.fork("augmentation"), size)
        network = state.networks["network"].eval()
        eye = Eye(task, network, augmentation, parameters, self.matched == "logits")
        clusters = state.memory.get("clusters") if self.associates == "clusters" else None
        joint = self.associates == "class"
        return eye.layers(images), eye.associates(drawn, self.real_batch, clusters, rng, joint=joint)

    def _matched(
        self, layers: list[Tensor], associates: list[Tensor], classes: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Features that are matched, of synthetic images or the means of their classes, and of real ones.

        Takes logits from the end of both lists.
        """
        if self.matched == "logits":
            sides = [layers.pop()], [associates.pop()]
        else:
            first = -1 if self.matched == "last" else 0
            sides = layers[first:], associates[first:]
        if self.associates != "class":
            return sides
        ours, real = ([side.unflatten(0, (classes, -1)).mean(1) for side in both] for both in sides)
        return ours, real

    def _inverting(self, task: Task, rng: Rng) -> GeneratorTraining:
        """The inversion, whose targets are the real images nearest to the means of their class's clusters."""

        def synthetic() -> Generated:
            embeddings = nn.Embedding.from_pretrained(self._embeddings(task, self._known(task)), freeze=True)
            network = self._training(task, rng).trained().networks["average"]
            return self._generated(task, network, embeddings, rng.fork("codebook"))

        return self._inversion(
            task, synthetic, lambda: task.pool.images_at(self._divided(task, rng).nearest.numpy()), rng
        )

    def _divided(self, task: Task, rng: Rng) -> Divided:
        """The real images of each class in clusters, one for each synthetic image."""
        taught = self._taught(task)
        teacher = teacher_network(task.pool, self._teacher(task), task.device) if taught else None
        return divided(task, tiled(task.counts, self.factor), teacher, rng)

    def _guide_network(self, task: Task) -> nn.Module | None:
        return self._guide(task).teacher()

    # ---- what is trained along

    def _discriminate(self, task: Task, state: State, real: Tensor, labels: Tensor, rng: Rng) -> None:
        """One update of the discriminator and its classifier."""
        synthetic, network = cast(Generated, state.synthetic), state.networks["network"].eval()
        with torch.no_grad():
            codes, each = codes_for(synthetic, labels, rng.fork("judged codes")), self.factor**2
            if self.codes != "learned":
                codes = self._random_codes(len(labels), rng.fork("judged codes")).to(task.device)
            tiles = torch.randint(each, (len(labels),), generator=rng.fork("judged tiles").torch())
            chosen = (torch.arange(len(labels)) * each + tiles).to(task.device)
            seen = [real, synthetic.of_codes(codes, labels)[chosen]]
            if self.judged == "features":
                seen = [
                    layer_features(network, task.forward_only(images), task.chunk)[-1].flatten(1)
                    for images in seen
                ]
        train_discriminator(
            state.networks["discriminator"],
            state.optimizers["discriminator"],
            seen[0],
            seen[1],
            labels,
            state.networks["embeddings"](labels),
        )

    def _with_network(self, task: Task, state: State, network: nn.Module, rng: Rng) -> State:
        """`state` with another feature network and, since its features mean something else, another discriminator."""
        networks: dict[str, nn.Module] = {**state.networks, "network": network}
        optimizers = {**state.optimizers, "network": self._recipe.make_optimizer(network, self.network_lr)}
        if self.judged == "features":
            length = cast(nn.Embedding, networks["embeddings"]).embedding_dim
            networks["discriminator"] = new_discriminator(task, network, length, rng)
        if (
            networks["discriminator"] is not state.networks.get("discriminator")
            or "discriminator" not in optimizers
        ):
            parameters = networks["discriminator"].parameters()
            optimizers["discriminator"] = Adam(parameters, self.discriminator_lr, BETAS)
        return replace(state, networks=networks, optimizers=optimizers)

    @torch.no_grad()
    def _renew(self, task: Task, state: State, network: nn.Module, rng: Rng) -> None:
        """Online class features: those of `network`, as it is now, take the place of the ones before."""
        if self.condition != "online":
            return
        means = []
        for c in task.classes:
            images = task.forward_only(task.pool.sample(c, self.real_batch, rng.fork("online", c)))
            means.append(pooled(layer_features(network.eval(), images, task.chunk)[-1]).mean(0))
        cast(nn.Embedding, state.networks["embeddings"]).weight.copy_(standardised(torch.stack(means)))


@dataclass(frozen=True)
class _WithStandIn(Generative):
    """For estimates: steps that cost the same, without a trained teacher."""

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        return None

    def _guide_network(self, task: Task) -> nn.Module | None:
        return self._guide(task).stand_in() if self.teacher_weight else None
