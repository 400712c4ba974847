"""The page: its layout, and which control asks for which answer."""

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dcgan.demo import pictures
from dcgan.demo.answers import FIRST_SEEDS, Answers
from dcgan.demo.blocks import guarded_blocks, in_words
from dcgan.demo.controls import CHOICES, FARTHEST, LEAST_TRUNCATION, NO_TRUNCATION, OPEN
from dcgan.demo.model import Model
from dcgan.demo.visitor import SHOW, Visitor

if TYPE_CHECKING:
    import gradio as gr

TITLE = "{}: dcgan demo"
# Of the grid: a click sends the seed of the picture. Of a file: its link is followed at once.
_CLICKS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-seed]');
  if (button) trigger('select', { seed: button.dataset.seed });
});"""
_SAVES = "watch('value', () => element.querySelector('a')?.click());"
_ROLE_NAMES = {
    SHOW: "shows it",
    **{letter: f"is {letter}" for letter in "ABC"},
    "with": "has it",
    "without": "lacks it",
    "first": "begins",
    "last": "ends",
}


def build_page(model: Model, answers: Answers) -> "gr.Blocks":
    """The page of a model, as Gradio's blocks that are not served yet."""
    import gradio as gr

    with guarded_blocks(analytics_enabled=False, title=TITLE.format(model.name)) as page:
        gr.HTML(f"<h1>{html.escape(model.name)}</h1>")
        visitor = gr.State(Visitor())
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                picture = gr.HTML(elem_id="picture")
                truncation = _truncation_slider(model)
                boxes = _label_boxes(model)
                sliders = _direction_sliders(model)
                own = gr.Slider(
                    *(-FARTHEST, FARTHEST, 0),
                    step=0.02,
                    label="your direction",
                    info='From pictures that lack something to those that have it: "Make" it below',
                )
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
                    [(name, value) for value, name in _ROLE_NAMES.items()],
                    value=SHOW,
                    label="A picture that is clicked",
                )
                grid = gr.HTML(elem_id="grid", js_on_load=_CLICKS)
                picks = gr.HTML(pictures.no_picks(), elem_id="picks")
                with gr.Row():
                    pick = gr.Button("Pick the large picture", size="sm")
                    clear = gr.Button("Clear picks", size="sm")
                with gr.Row():
                    combine = gr.Button("A - B + C", size="sm")
                    make = gr.Button("Make the direction", size="sm")
                    play = gr.Button("Animate", size="sm")
                animation = gr.HTML(elem_id="animation")
                photo = gr.Image(
                    label="A photo to find in the latent space",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=160,
                )
                use_photo = gr.Button("Use the photo as a clicked picture", size="sm")
                found = gr.HTML(elem_id="found")

        controls = [truncation, *boxes, own, *sliders]
        everything = [visitor, seeds, *controls]
        drawn = [picture, grid, picks]

        def wire(events: Any, answer: Callable, inputs: Sequence, outputs: Sequence, **options):
            gr.on(
                events,
                in_words(answer),
                list(inputs),
                list(outputs),
                preprocess=False,
                **{"queue": False, "show_progress": "hidden", **options},
            )

        # A pointer that drags asks again only when it has been answered, and last of all.
        last = {"trigger_mode": "always_last"}
        moved = [slider.input for slider in (truncation, own, *sliders)]
        wire(moved, answers.picture, [visitor, *controls], [picture], **last)
        redrawn = [page.load, truncation.release, *(box.input for box in boxes)]
        wire(redrawn, answers.all_pictures, everything, drawn, **last)
        for event, step in ((seeds.submit, 0), (before.click, -1), (after.click, 1)):
            shift = _with_step(answers.grid, step)
            wire(event, shift, [seeds, *controls], [seeds, grid], api_name=False)

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
        wire(combine.click, answers.arithmetic, [visitor, *controls], [visitor, picture])
        wire(make.click, answers.direction, [visitor, *controls], [visitor, picture])
        zeros = [0.0] * (1 + len(sliders))
        wire(reset.click, lambda: zeros, [], [own, *sliders])
        wire(save.click, answers.latents, [visitor, *controls], [saved])
        # What takes seconds waits in a queue, one visitor at a time.
        slow = {"queue": True, "concurrency_limit": 1, "concurrency_id": "slow"}
        slow["show_progress"] = "full"
        wire(play.click, answers.animation, [visitor, *controls], [animation], **slow)
        uploaded = [visitor, photo, *controls]
        wire(photo.upload, answers.upload, uploaded, [visitor, picture, found], **slow)
    return page


def _truncation_slider(model: Model) -> "gr.Slider":
    import gradio as gr

    most = NO_TRUNCATION[model.G.latent]
    return gr.Slider(
        *(LEAST_TRUNCATION, most, most),
        step=0.05,
        label="truncation",
        info=f"Fewer bad pictures and less variety. {most:g}: none",
    )


def _label_boxes(model: Model) -> list["gr.Dropdown"]:
    """One box for classes, one for each attribute."""
    import gradio as gr

    labels = model.G.labels
    if labels is None:
        return []
    if labels.kind == "class":
        classes: list[tuple[str, str | int]] = [(OPEN, OPEN)]
        classes += [(name, index) for index, name in enumerate(labels.names)]
        return [gr.Dropdown(classes, value=OPEN, label="class")]
    with gr.Accordion("Labels", elem_classes="many"):
        return [gr.Dropdown(list(CHOICES), value=OPEN, label=name) for name in labels.names]


def _direction_sliders(model: Model) -> list["gr.Slider"]:
    import gradio as gr

    names = model.directions.names
    with gr.Accordion("Directions", elem_classes="many"):
        return [gr.Slider(-FARTHEST, FARTHEST, 0, step=0.02, label=name) for name in names]


def _with_step(answer: Callable, step: int) -> Callable:
    """`Answers.grid` for a button."""

    def answered(seeds: object, *values: object) -> Any:
        return answer(seeds, step, *values)

    return answered
