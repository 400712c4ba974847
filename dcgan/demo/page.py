"""The page: its layout, and which control asks for which answer."""

import functools
import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dcgan.demo import pictures
from dcgan.demo.answers import FIRST_SEEDS, Answers
from dcgan.demo.blocks import guarded_blocks, in_words
from dcgan.demo.components import direction_sliders, label_boxes, own_slider, truncation_slider
from dcgan.demo.model import Model
from dcgan.demo.visitor import ROLES, SHOW, Visitor

if TYPE_CHECKING:
    import gradio as gr

_OLD_FILES = (600, 600)  # seconds: how often they are removed, and their age
# Of the grid: a click sends the seed of the picture. Of a file: its link is followed at once.
_CLICKS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-seed]');
  if (button) trigger('select', { seed: button.dataset.seed });
});"""
_SAVES = "watch('value', () => element.querySelector('a')?.click());"


def build_page(model: Model, answers: Answers) -> "gr.Blocks":
    """The page of a model, as Gradio's blocks that are not served yet."""
    import gradio as gr

    options = {"analytics_enabled": False, "title": f"{model.name}: dcgan demo"}
    with guarded_blocks(answers.uploads, delete_cache=_OLD_FILES, **options) as page:
        gr.HTML(f"<h1>{html.escape(model.name)}</h1>")
        message = gr.HTML(elem_id="message")
        visitor = gr.State(Visitor())
        latent_of_photo = gr.State()  # found, and not shown yet
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                picture = gr.HTML(elem_id="picture")
                truncation = truncation_slider(model)
                boxes = label_boxes(model)
                sliders = direction_sliders(model)
                own = own_slider()
                with gr.Row():
                    reset = gr.Button("Reset sliders", size="sm")
                    save = gr.Button("Save latent", size="sm")
                saved = gr.HTML(elem_id="saved", js_on_load=_SAVES)
            with gr.Column(scale=3, min_width=320):
                with gr.Row():
                    before = gr.Button("◀", size="sm", min_width=40, scale=0)
                    seeds = gr.Textbox(FIRST_SEEDS, label="Seeds", max_lines=1)
                    after = gr.Button("▶", size="sm", min_width=40, scale=0)
                role = gr.Radio(
                    [("show it", SHOW), *ROLES],
                    value=SHOW,
                    label="A click on a picture: show it, or pick it for",
                )
                grid = gr.HTML(elem_id="grid", js_on_load=_CLICKS)
                picks = gr.HTML(pictures.no_picks(), elem_id="picks")
                with gr.Row():
                    pick = gr.Button("Pick the large picture", size="sm")
                    use_photo = gr.Button("Pick the photo", size="sm")
                    clear = gr.Button("Clear picks", size="sm")
                with gr.Row():
                    combine = gr.Button("A - B + C", size="sm")
                    make = gr.Button("Make the direction", size="sm")
                    play = gr.Button("Animate", size="sm")
                photo = gr.Image(
                    label="A photo to find in the latent space",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=160,
                )
                with gr.Row():
                    found = gr.HTML(elem_id="found")
                    animation = gr.HTML(elem_id="animation")

        controls = [truncation, *boxes, own, *sliders]

        def wire(
            events: Any, answer: Callable, inputs: Sequence, outputs: Sequence, **options: Any
        ) -> Any:
            listen = functools.partial(gr.on, events) if isinstance(events, list) else events
            return listen(
                in_words(answer, len(outputs)),
                list(inputs),
                [*outputs, message],
                preprocess=False,
                **{"queue": False, "show_progress": "hidden", **options},
            )

        # A pointer that drags asks again only when it has been answered, and last of all.
        last = {"trigger_mode": "always_last"}
        changed = [page.load, *(control.input for control in controls)]
        wire(changed, answers.picture, [visitor, *controls], [picture], **last)
        # Apart from it: after a click during the time that these take, it shows what was clicked.
        redrawn = [page.load, truncation.release, *(box.input for box in boxes)]
        wire(redrawn, answers.small_pictures, [visitor, seeds, *controls], [grid, picks], **last)
        for event, step in ((seeds.submit, 0), (before.click, -1), (after.click, 1)):
            wire(event, _with_step(answers.grid, step), [seeds, *controls], [seeds, grid])

        def click(
            event: gr.EventData, visitor: Visitor, role: object, *values: object
        ) -> tuple[Visitor, str, str]:
            seed = event._data.get("seed") if isinstance(event._data, dict) else None
            return answers.click(visitor, role, seed, *values)

        picking = [visitor, role, *controls]
        wire(grid.select, click, picking, [visitor, picture, picks])
        wire(pick.click, answers.pick_shown, picking, [visitor, picture, picks])
        wire(use_photo.click, answers.pick_photo, picking, [visitor, picture, picks])
        wire(clear.click, answers.clear, [visitor], [visitor, picks])
        moves = [own, *sliders]
        to_zero = _with_zeros(len(moves))
        unmoved, summed = to_zero(answers.unmoved), to_zero(answers.arithmetic)
        wire(reset.click, unmoved, [visitor, *controls], [picture, *moves])
        wire(combine.click, summed, [visitor, *controls], [visitor, picture, *moves])
        wire(make.click, answers.direction, [visitor, *controls], [visitor, picture])
        wire(save.click, answers.latents, [visitor, *controls], [saved])
        # What takes seconds waits in a queue, one visitor at a time.
        slow = {"queue": True, "concurrency_limit": 1, "concurrency_id": "slow"}
        slow["show_progress"] = "full"
        wire(play.click, answers.animation, [visitor, *controls], [animation], **slow)
        uploaded = [visitor, photo, *controls]
        sent = wire(photo.upload, answers.upload, uploaded, [latent_of_photo, found], **slow)
        to_show, shown = [visitor, latent_of_photo], [visitor, picture, latent_of_photo]
        wire(sent.then, to_zero(answers.show_photo), [*to_show, *controls], [*shown, *moves])
        # For the next one: this one is shown beside what was found, or is no photo.
        sent.then(lambda: None, None, [photo], queue=False, show_progress="hidden")
    return page


def _with_step(answer: Callable, step: int) -> Callable:
    """`Answers.grid` for a button."""

    @functools.wraps(answer)
    def answered(seeds: object, *values: object) -> Any:
        return answer(seeds, step, *values)

    del answered.__wrapped__  # whose arguments are others

    return answered


def _with_zeros(count: int) -> Callable[[Callable], Callable]:
    """Answers that also set so many sliders to 0."""

    def extend(answer: Callable) -> Callable:
        @functools.wraps(answer)
        def answered(*values: object) -> list | None:
            if (parts := answer(*values)) is None:
                return None
            return [*(parts if isinstance(parts, tuple) else [parts]), *[0.0] * count]

        return answered

    return extend
