"""`condense search`: networks ranked by training them on small proxies of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from condensery.cli import arguments
from condensery.cli.declared import everything
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Draws, Images
from condensery.cli.output import SPARE, table
from condensery.cli.studies import Making, Study
from condensery.text import percent, readable_bytes, readable_seconds

if TYPE_CHECKING:
    from condensery.apps.search.outcome import Ranking


class Searched(Options, panel="Which networks"):
    network: str = "convnet"
    """Architecture that gets the options of the grid, see condense networks."""
    grid: Annotated[
        Mapping[str, Sequence[str]] | None, Flag("OPTION=A,B", arguments.grid, list[str], names=("--grid",))
    ] = None
    """Values of one option of the network (default: the 720 ConvNets of the papers: width 32 to 256, depth 1 to 4, five
    norms, three activations, three poolings). Can be repeated."""
    sample: int | None = None
    """Draw N networks of the grid (default: all)."""


class Proxies(Making, panel="Proxies"):
    proxies: Annotated[Sequence[str], Flag("A,B", arguments.words, choices=everything)] = (
        *("random", "herding", "dm", "early"),
    )
    """Methods and selections that make proxies, and early: the whole set for as many steps. Some of early, {};
    LABEL=NAME for a second setting of one."""
    ipc: int = 10
    """Images per class."""
    condense_with: str = "convnet"
    """Architecture that methods make sets with."""


class Trained(Options, panel="How networks are trained"):
    epochs: int = 300
    """Epochs on proxies."""
    whole_epochs: int = 100
    """Epochs on the whole training set; 0 trains no network on it. Without the validation images."""
    whole: bool = False
    """Train all networks on the whole set, not only the best by each proxy."""
    batch_size: int = 250
    """Images in a step."""
    repeats: int = 1
    """Trainings of each network."""
    validation: float = 0.1
    """Share of the training images of each class that judge networks."""
    augmentation: str = "auto"
    """Siamese groups joined by _, or auto, or none."""


class Search(Images, Searched, Proxies, Trained, Draws, Study):
    """Rank networks on small proxies of the training set.

    Every network is trained on every proxy, and validated on training images that
    no proxy has seen. The best of each are then trained on the whole training
    set: how well do the ranks agree, how good is the network that was chosen?
    After Ctrl-C the same command goes on with the network where it was.

    Examples:

      condense search --data mnist --sample 60 --proxies random,dm --steps 300
      condense search --data photos/ --size 32 --grid width=32,64 --sample 4
    """

    first = "data size grid sample proxies ipc steps epochs whole_epochs workers dry_run out seed"

    def work(self) -> int:
        data = self.source
        from condensery.apps.search.networks import search

        out = self.out or Path("search") / arguments.data_name(data)
        found = search(**self.asked(search, data, out))
        self.show(table(map(_row, found.rankings)), SPARE)
        return self.finish(found)


def _row(one: Ranking) -> dict[str, str]:
    rhos = one.correlations.items()
    return {
        "proxy": one.proxy,
        ">test %": percent(sum(one.test) / len(one.test) if one.test else None),
        **{f">Spearman\nbest {n}": "-" if rho is None else f"{rho:.2f}" for n, rho in rhos},
        ">to train": readable_seconds(one.train_seconds),
        ">to make": readable_seconds(one.make_seconds),
        ">images": f"{one.images:,}",
        ">size": readable_bytes(one.bytes),
        "chosen network": one.chosen,
    }
