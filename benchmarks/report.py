"""Results as a table and as a chart.

`python -m benchmarks.report` puts those that are stored into docs/speed.md, and draws their chart.
"""

import json
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
RESULTS, PAGE = DOCS / "benchmarks" / "results.json", DOCS / "speed.md"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->"  # around them in the page
MAX_FOREIGN_LOAD = 0.05  # share of the processors used by other work; above it figures are suspect


def main() -> None:
    """Write the stored results into docs/speed.md, and their chart beside them."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    chart(results, RESULTS.with_name("chart.png"))
    PAGE.write_text(with_results(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def with_results(page: str, results: dict) -> str:
    """A page of Markdown with what stands between its two marks replaced by the results."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page needs the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{table(results)}\n{END}{after}"


def table(results: dict) -> str:
    """The rows as Markdown, under a line about the machine."""
    lines = [
        f"{results['machine']}; medians of {results['rounds']} rounds, in which the variants take "
        f"turns. {foreign_load(results['foreign'])}",
        "",
        "| benchmark | variant | per item | spread | speed-up | date |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        spread = f"{row['spread']:.0%}" if "spread" in row else ""
        ratio = f"{row['ratio']:.2f}" if "median_s" in row else ""
        cells = (row["benchmark"], variant(row), measured(row), spread, ratio, row["date"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def foreign_load(share: float | None) -> str:
    """A sentence on how busy other processes kept the machine; none where it is unknown."""
    if share is None:
        return ""
    suspect = ": the figures are suspect" if share > MAX_FOREIGN_LOAD else ""
    return f"Other processes used at most {share:.1%} of the processors{suspect}."


def variant(row: dict) -> str:
    share = row.get("of_fp32_matrix_product")
    return row["variant"] + (f" ({share:.0%} of matrix-product speed)" if share else "")


def measured(row: dict) -> str:
    """The figure of a row, with its unit."""
    if "share" in row:
        return f"{row['share']:.1%}"
    if "psnr_db" in row:
        return f"{', '.join(f'{psnr:.1f}' for psnr in row['psnr_db'])} dB"
    if "peak_mb" in row:
        return f"{row['peak_mb']:.3g} MB"
    return seconds(row["median_s"])


def seconds(value: float) -> str:
    """A time with three digits, in seconds, milli-, micro- or nanoseconds."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def chart(results: dict, path: Path) -> None:
    """Draw each variant's speed-up over the first of its benchmark as bars, if any was timed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    timed = [row for row in results["rows"] if "median_s" in row]
    if not timed:
        return
    kinds = [list(rows) for _, rows in groupby(timed, lambda row: row["benchmark"])]
    figure, axes = pyplot.subplots(
        len(kinds),
        figsize=(9, 0.5 + 0.45 * len(timed) + 0.4 * len(kinds)),
        gridspec_kw={"height_ratios": [len(rows) for rows in kinds]},
        squeeze=False,
        constrained_layout=True,
    )
    for axis, rows in zip(axes[:, 0], kinds, strict=True):
        bars = axis.barh([row["variant"] for row in rows], [row["ratio"] for row in rows])
        axis.bar_label(bars, fmt="%.2f", padding=3)
        axis.set_title(rows[0]["benchmark"], loc="left", fontsize=10)
        axis.invert_yaxis()
        axis.margins(x=0.1)
    figure.supxlabel("speed-up over the first variant")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
