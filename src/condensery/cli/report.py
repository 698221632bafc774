"""`condense report`: one page, or one table, from runs that exist."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from condensery.cli import options
from condensery.cli.flags import Flag
from condensery.cli.output import Output
from condensery.text import readable_bytes


class Report(options.Page, Output):
    """Gather runs into one self-contained HTML page, or into a table.

    The page shows accuracies with their spread, published values, charts, the
    images, curves, features, costs, and the command behind each number. It
    needs no network. Runs must be of one image set.

    Examples:

      condense report runs/mnist
      condense report runs/mnist-dm runs/mnist-dc --out mnist.html
      condense report runs/* --out table.md
    """

    runs: options.Runs
    """Run folders, comparison folders, .safetensors files, or .jsonl files of evaluations or measurements."""
    out: Annotated[Path | None, Flag("FILE")] = None
    """What to write: .html, .md, .csv or .jsonl (default: report.html, for one run in its folder)."""
    title: str = ""
    """Title of the page (default: the data's name)."""
    open_: bool = False
    """Show the page in the web browser."""

    def work(self) -> None:
        from condensery.cli.tables import measurement_table
        from condensery.comparison.reports import report_of
        from condensery.report import require_writable, write_report
        from condensery.report.tables import row

        alone = len(self.runs) == 1 and self.runs[0].is_dir()
        path = self.out or (self.runs[0] if alone else Path()) / "report.html"
        require_writable(path)
        scatter = path.suffix.lower() == ".html" and not self.no_scatter
        found = report_of(self.runs, **self.of(report_of, scatter=scatter, announce=self.say))
        size = write_report(found, path)
        if found.measurements:
            self.show(measurement_table(found.measurements))
        self.say(f"Written to {path} ({readable_bytes(size)})")
        shown = {name: len(getattr(found, name)) for name in ("galleries", "curves", "scatters")}
        rows = list(map(row, found.measurements))
        self.result({"report": str(path), "bytes": size, "title": found.title, "measurements": rows, **shown})
        if self.open_:
            webbrowser.open(path.resolve().as_uri())
