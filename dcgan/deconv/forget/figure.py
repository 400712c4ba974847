"""The picture of what was forgotten: a row for each generator, a column for each seed."""

from collections.abc import Mapping, Sequence

import numpy as np

from dcgan.explore.figures import GAP, Figure


def draw_rows(rows: Mapping[str, np.ndarray], seeds: Sequence[int]) -> np.ndarray:
    """Images uint8 [N, S, S, C] of the same seeds by the name of their row: uint8 [H, W, 3]."""
    sheet = Figure(next(iter(rows.values())).shape[1])
    width = sheet.cell + GAP
    for column, seed in enumerate(seeds):
        sheet.text(f"seed {seed}", GAP + column * width, GAP)
    y = GAP + sheet.line
    for name, pictures in rows.items():
        sheet.text(name, GAP, y)
        y += sheet.line
        for column, picture in enumerate(pictures):
            sheet.image(picture, GAP + column * width, y)
        y += sheet.cell + GAP
    return sheet.render()
