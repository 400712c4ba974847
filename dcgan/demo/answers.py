"""The answers to a visitor: from what the page sends to what it shows.

All values come from the network. A method raises UserError for those that are none of the page's.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dcgan.demo import actions, pictures
from dcgan.demo.controls import Controls, read_controls, read_seeds
from dcgan.demo.model import Model
from dcgan.demo.uploads import invert_photo, read_upload
from dcgan.demo.visitor import ROLES, SHOW, Source, Visitor
from dcgan.errors import UserError

FIRST_SEEDS = "0-23"
_MAX_SEED = 10**19 - 1  # as many digits as `parse_seeds` takes


class Answers:
    """What the controls of the page of a model do. `uploads`: where the server keeps photos.

    `values` are those of the controls, see `read_controls`. Answers are HTML.
    """

    def __init__(self, model: Model, uploads: Path):
        self._model, self.uploads = model, uploads

    def picture(self, visitor: Visitor, *values: object) -> str:
        """The large picture."""
        return self._picture(visitor, read_controls(self._model, values))

    def small_pictures(self, visitor: Visitor, seeds: object, *values: object) -> tuple[str, str]:
        """The grid of seeds, and the picks."""
        controls = read_controls(self._model, values)
        return self._grid(read_seeds(seeds), controls), self._picks(visitor, controls)

    def grid(self, seeds: object, step: int, *values: object) -> tuple[str, str]:
        """The seeds so many grids further on, and their pictures."""
        controls, found = read_controls(self._model, values), read_seeds(seeds)
        if step:
            count = len(found)
            first = max(0, min(found[0] + step * count, _MAX_SEED - count + 1))
            seeds, found = f"{first}-{first + count - 1}", list(range(first, first + count))
        return str(seeds), self._grid(found, controls)

    def click(
        self, visitor: Visitor, role: object, seed: object, *values: object
    ) -> tuple[Visitor, str, str]:
        """A click on the picture of a seed: the visitor, the large picture, the picks."""
        controls = read_controls(self._model, values)
        (source,) = read_seeds(seed, 1)
        return self._pick(visitor, source, role, controls)

    def pick_shown(
        self, visitor: Visitor, role: object, *values: object
    ) -> tuple[Visitor, str, str]:
        """The large picture becomes a pick."""
        controls = read_controls(self._model, values)
        source = actions.shown_source(self._model, visitor, controls)
        if role == SHOW:
            raise UserError("choose first what to pick the picture for, such as A")
        return self._pick(visitor, source, role, controls)

    def pick_photo(
        self, visitor: Visitor, role: object, *values: object
    ) -> tuple[Visitor, str, str]:
        """The uploaded photo is shown, or becomes a pick."""
        controls = read_controls(self._model, values)
        if visitor.photo is None:
            raise UserError("send a photo first")
        return self._pick(visitor, visitor.photo, role, controls)

    def clear(self, visitor: Visitor) -> tuple[Visitor, str]:
        """The visitor without picks."""
        return dataclasses.replace(visitor, picks={}), pictures.no_picks()

    def unmoved(self, visitor: Visitor, *values: object) -> str:
        """The large picture with all sliders of directions at 0."""
        return self._picture(visitor, _unmoved(read_controls(self._model, values)))

    def arithmetic(self, visitor: Visitor, *values: object) -> tuple[Visitor, str]:
        """A - B + C as the large picture, with all sliders at 0."""
        controls = _unmoved(read_controls(self._model, values))
        visitor = actions.arithmetic(self._model, visitor, controls)
        return visitor, self._picture(visitor, controls)

    def direction(self, visitor: Visitor, *values: object) -> tuple[Visitor, str]:
        """The visitor with a direction, and the large picture moved along it."""
        controls = read_controls(self._model, values)
        visitor = actions.make_direction(self._model, visitor, controls)
        return visitor, self._picture(visitor, controls)

    def animation(self, visitor: Visitor, *values: object) -> str:
        """The animation between the first pick and the last."""
        return pictures.animated(
            actions.animate(self._model, visitor, read_controls(self._model, values))
        )

    def upload(self, visitor: Visitor, photo: object, *values: object) -> tuple[Source, str]:
        """The latent of a photo, and the photo beside what was found."""
        controls = read_controls(self._model, values)
        pixels = read_upload(self._model, photo, self.uploads)
        found = invert_photo(self._model, visitor, controls, pixels)
        return found.source, pictures.inverted(found.photo, found.made, found.psnr)

    def show_photo(
        self, visitor: Visitor, found: Source | None, *values: object
    ) -> tuple[Visitor, str, None] | None:
        """The visitor with the latent that `upload` has found, the large picture with all sliders
        at 0, and None in place of the latent. None where it has found none.

        A step of its own: what the visitor picks while a latent is searched for stays picked.
        """
        if found is None:
            return None
        controls = _unmoved(read_controls(self._model, values))
        visitor = visitor.with_photo(found)
        return visitor, self._picture(visitor, controls), None

    def latents(self, visitor: Visitor, *values: object) -> str:
        """A link to the file of the latent."""
        controls = read_controls(self._model, values)
        content = actions.latents_file(self._model, visitor, controls)
        return pictures.file_link(content, pictures.file_name(visitor.shown, "safetensors"))

    def _pick(
        self, visitor: Visitor, source: Source, role: object, controls: Controls
    ) -> tuple[Visitor, str, str]:
        visitor = visitor.pick(source, role)
        return visitor, self._picture(visitor, controls), self._picks(visitor, controls)

    def _picture(self, visitor: Visitor, controls: Controls) -> str:
        z = actions.shown_latent(self._model, visitor, controls)
        moved = actions.is_moved(visitor, controls)
        return pictures.shown(self._model.draw(z)[0], visitor.shown, moved)

    def _grid(self, seeds: Sequence[int], controls: Controls) -> str:
        drawn = self._model.draw(actions.latents(self._model, seeds, controls))
        return pictures.grid(list(drawn), seeds)

    def _picks(self, visitor: Visitor, controls: Controls) -> str:
        def draw(sources: Sequence[Source]) -> list:
            if not sources:
                return []
            return list(self._model.draw(actions.latents(self._model, sources, controls)))

        return pictures.picked((role, draw(visitor.picks.get(role, ()))) for role in ROLES)


def _unmoved(controls: Controls) -> Controls:
    return dataclasses.replace(controls, own=0.0, amounts=(0.0,) * len(controls.amounts))
