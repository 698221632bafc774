"""Progress on stderr where that is a terminal; elsewhere a line now and then for what takes long."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from condensery.cli.output import Lasting, Output, plain, table
from condensery.text import accuracy, readable_seconds

if TYPE_CHECKING:
    from condensery.comparison.run import Run as Cells
    from condensery.evaluation.news import Trained, Training
    from condensery.selection import SelectionReport
    from condensery.session import StepReport

_RECENT = 50  # steps that the speed is measured over
_NEWS_AFTER, _NEWS_GROWTH, _NEWS_EVERY = (
    60.0,
    1.5,
    1800.0,
)  # seconds to the first line in a log file, between lines


class Progress:
    """What the library reports, as a bar or a table that appears with the first news and makes room for lines.

    Its methods that are named after a kind of work are callbacks of the library.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.wanted = sys.stderr.isatty()
        self.live: Live | None = None
        self.recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self.next_news = _NEWS_AFTER
        self.began = time.perf_counter()
        self.share = 0.0  # of an evaluation that is done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """Print a line, above what is drawn."""
        if self.live and self.output.stream.isatty():
            self.live.console.print(plain(line))
        else:
            self.output.say(line)

    def draw(self, picture: Callable[[], RenderableType], transient: bool = False) -> None:
        """Draw this from now on."""
        self.picture = picture
        if self.live is None and self.wanted:
            # Redirecting would send piped stdout to stderr; `say` does what redirecting is for.
            self.live = Live(
                get_renderable=lambda: self.picture(),
                console=Console(file=Lasting(sys.stderr)),  # type: ignore[arg-type]  # what rich writes to
                transient=transient,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start(refresh=True)

    def bar(self, done: float, total: float, text: str) -> None:
        self.draw(lambda: bar(done, total, text))

    def condensing(self, report: StepReport) -> None:
        """A bar on a terminal, a line now and then in a log file."""
        if not self.recent:
            self.recent.append((report.step - 1, 0.0))
        self.recent.append((report.step, report.seconds))
        (first, began), (last, ended) = self.recent[0], self.recent[-1]
        speed = (last - first) / max(ended - began, 1e-9)
        left = readable_seconds((report.steps - report.step) / speed)
        pace = f"{speed:.3g} steps/s" if speed >= 1 else f"{1 / speed:.3g} s/step"
        took = f"{readable_seconds(report.seconds)}, {left} left"
        text = f"{report.step}/{report.steps}  loss {report.loss:.4g}  {pace}  {took}"
        if self.wanted:
            self.bar(report.step, report.steps, text)
        elif report.step < report.steps:
            self.now_and_then(report.seconds, f"step {text}")

    def now_and_then(self, seconds: float, line: str) -> None:
        """A line in a log file, after a minute and then ever less often."""
        if seconds >= self.next_news:
            self.next_news = min(seconds * _NEWS_GROWTH, seconds + _NEWS_EVERY)
            self.say(line)

    def selecting(self, report: SelectionReport) -> None:
        share = min(report.done / report.total, 1)
        left = readable_seconds(report.seconds * (1 - share) / max(share, 1e-9))
        text = f"{report.stage}  {100 * share:.0f} %  {readable_seconds(report.seconds)}, {left} left"
        if self.wanted:
            self.bar(report.done, report.total, text)
        else:
            self.now_and_then(report.seconds, text)

    def teaching(self, done: int, total: int) -> None:
        self.bar(done, total, f"teacher  {done}/{total} epochs")

    def training(self, news: Training) -> None:
        """A bar on a terminal, a line now and then in a log file, while networks train."""
        self.share = news.share
        together = f", {news.at_once} at once" if news.at_once > 1 else ""
        found = f"{news.subject}, {news.network}: epoch {news.epoch:,} of {news.epochs:,}{together}"
        self._judging(f"{news.done}/{news.total} networks  {found}")

    def evaluating(self, news: Trained) -> None:
        """A bar on a terminal, a line now and then in a log file, after every network."""
        self.share = max(self.share, news.done / news.total)
        found = f"{news.subject}, {news.network}: {100 * news.accuracy:.1f} %"
        self._judging(f"{news.done}/{news.total} networks  {found}")

    def _judging(self, text: str) -> None:
        seconds = time.perf_counter() - self.began
        left = f"about {readable_seconds(seconds / self.share * (1 - self.share))} left"
        if self.wanted:
            self.bar(self.share, 1, text if self.share == 1 else f"{text}, {left}")
        elif self.share < 1:
            self.now_and_then(seconds, f"{text}  {readable_seconds(seconds)}, {left}")

    def comparing(self, cells: Cells) -> None:
        """A table on a terminal, a line for every finished job elsewhere."""
        if self.wanted:
            self.draw(lambda: progress_table(cells), transient=True)
        elif cells.line:
            self.say(f"[{cells.done}/{cells.total}{_left(cells)}] {cells.line}")


def bar(done: float, total: float, text: str) -> Table:
    """A line as wide as the terminal: how much is done, and what is said about it."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_row(ProgressBar(total=total, completed=done), plain(text))
    return line


def progress_table(cells: Cells) -> Table:
    """Rows are sets, columns architectures; each cell says what is going on or what was found."""
    networks = dict.fromkeys(cell.record["network"] for row in cells.rows.values() for cell in row)
    done = f"{cells.done} of {cells.total} cells done, {readable_seconds(cells.elapsed)} so far"
    rows = (
        {"": row, **{f">{network}": _cell(*cells.at(row, network)) for network in networks}}
        for row in cells.rows
    )
    return table(rows, title=f"{done}{_left(cells)}")


def _left(cells: Cells) -> str:
    return "" if cells.left is None else f", about {readable_seconds(cells.left)} left"


def _cell(state: str, accuracies: list[float]) -> str:
    """ "89.3 ± 0.5", "89.3 ± 0.5 (testing)", "waiting" """
    if not accuracies:
        return state
    from statistics import fmean, pstdev

    found = accuracy(fmean(accuracies), pstdev(accuracies), len(accuracies))
    return found if state == "done" else f"{found} ({state})"
