"""Progress on stderr where that is a terminal, quiet elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from condensery.cli.output import Lasting, Output, visible
from condensery.text import readable_seconds

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from condensery.evaluation.evaluator import Trained
    from condensery.selection import SelectionReport
    from condensery.session import StepReport

_RECENT = 50  # steps that the speed is measured over
_NEWS_AFTER, _NEWS_GROWTH, _NEWS_EVERY = (
    60.0,
    1.5,
    1800.0,
)  # seconds to the first line in a log file, and between lines


class Bar:
    """One bar that appears with the first news and makes room for lines."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.wanted = sys.stderr.isatty()
        self.live: Progress | None = None
        self.task: TaskID

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.output.say(line, self.live)

    def update(self, done: int, total: int, text: str) -> None:
        if not self.wanted:
            return
        if self.live is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=None), TextColumn("{task.description}", markup=False))
            # Redirecting would send piped stdout to stderr; `say` does what redirecting is for.
            self.live = Progress(
                *columns,
                console=Console(file=Lasting(sys.stderr)),  # type: ignore[arg-type]  # what rich writes to
                redirect_stdout=False,
                redirect_stderr=False,
                expand=True,
            )
            self.task = self.live.add_task(text, total=total)
            self.live.start()
        self.live.update(self.task, completed=done, description=visible(text))


class RunProgress(Bar):
    """The bar of a condensation."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self.recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self.next_news = _NEWS_AFTER

    def step(self, report: StepReport) -> None:
        """Callback for `condensery.condense`: a bar on a terminal, a line now and then in a log file."""
        if not self.recent:
            self.recent.append((report.step - 1, 0.0))
        self.recent.append((report.step, report.seconds))
        (first, began), (last, ended) = self.recent[0], self.recent[-1]
        speed = (last - first) / max(ended - began, 1e-9)
        left = readable_seconds((report.steps - report.step) / speed)
        text = (
            f"{report.step}/{report.steps}  loss {report.loss:.4g}  {_speed(speed)}  "
            f"{readable_seconds(report.seconds)}, {left} left"
        )
        if self.wanted:
            self.update(report.step, report.steps, text)
        elif report.seconds >= self.next_news and report.step < report.steps:
            self.next_news = min(report.seconds * _NEWS_GROWTH, report.seconds + _NEWS_EVERY)
            self.say(f"step {text}")


class SelectionProgress(Bar):
    """The bar of a selection."""

    def worked(self, report: SelectionReport) -> None:
        """Callback for `condensery.select`."""
        share = min(report.done / report.total, 1)
        left = readable_seconds(report.seconds * (1 - share) / max(share, 1e-9))
        text = f"{report.stage}  {100 * share:.0f} %  {readable_seconds(report.seconds)}, {left} left"
        self.update(round(report.done), max(1, round(report.total)), text)


class TeacherProgress(Bar):
    """The bar of a teacher's training."""

    def trained(self, done: int, total: int) -> None:
        """Callback for `condensery.label`."""
        self.update(done, total, f"teacher  {done}/{total} epochs")


class EvaluationProgress(Bar):
    """The bar of an evaluation."""

    def trained(self, news: Trained) -> None:
        """Callback for `condensery.evaluate`."""
        text = (
            f"{news.done}/{news.total} networks  {news.subject}, {news.network}: {100 * news.accuracy:.1f} %"
        )
        self.update(news.done, news.total, text)


def _speed(steps_per_second: float) -> str:
    return (
        f"{steps_per_second:.3g} steps/s" if steps_per_second >= 1 else f"{1 / steps_per_second:.3g} s/step"
    )
