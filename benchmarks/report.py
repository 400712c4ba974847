"""Results as a table and as a chart."""

from itertools import groupby
from pathlib import Path

NOISY = 0.05  # share of the processors in others' hands above which ratios are suspect


def table(results: dict) -> str:
    """The rows as Markdown, under the machine they are of."""
    lines = [results["machine"] + f"; medians of {results['rounds']} rounds.", ""]
    lines += ["| what | how | an item | ± | times as fast |", "|---|---|---|---|---|"]
    for row in results["rows"]:
        lines.append(
            f"| {row['benchmark']} | {row['variant']} | {seconds(row['median_s'])} "
            f"| {row['spread']:.0%} | {row['ratio']:.2f} |"
        )
    return "\n".join(lines)


def seconds(value: float) -> str:
    """Three digits in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def chart(results: dict, path: Path) -> None:
    """Bars of how many times as fast as the first of its kind each variant is."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    kinds = [list(rows) for _, rows in groupby(results["rows"], lambda row: row["benchmark"])]
    figure, axes = pyplot.subplots(
        len(kinds),
        figsize=(9, 0.5 + 0.45 * len(results["rows"]) + 0.4 * len(kinds)),
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
    figure.supxlabel("times as fast as the first")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
