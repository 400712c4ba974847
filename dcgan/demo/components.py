"""The controls beside the picture, in the order in which `read_controls` takes their values."""

from typing import TYPE_CHECKING

from dcgan.demo.controls import CHOICES, FARTHEST, LEAST_TRUNCATION, NO_TRUNCATION, OPEN
from dcgan.demo.model import Model

if TYPE_CHECKING:
    import gradio as gr

_STEP = 0.02  # of the sliders of directions


def truncation_slider(model: Model) -> "gr.Slider":
    """The slider of the truncation threshold, at its right end, where nothing is truncated."""
    import gradio as gr

    most = NO_TRUNCATION[model.G.latent]
    return gr.Slider(
        *(LEAST_TRUNCATION, most, most),
        step=0.05,
        label="truncation",
        buttons=[],
        info=f"Fewer bad pictures and less variety. {most:g}: none",
    )


def label_boxes(model: Model) -> list["gr.Dropdown"]:
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


def direction_sliders(model: Model) -> list["gr.Slider"]:
    """A slider for each direction of the model."""
    import gradio as gr

    names = model.directions.names
    with gr.Accordion("Directions", elem_classes="many"):
        return [
            gr.Slider(-FARTHEST, FARTHEST, 0, step=_STEP, label=name, buttons=[]) for name in names
        ]


def own_slider() -> "gr.Slider":
    """The slider of the direction that the visitor makes."""
    import gradio as gr

    return gr.Slider(
        *(-FARTHEST, FARTHEST, 0),
        step=_STEP,
        label="your direction",
        buttons=[],
        info='From pictures "without" something to those "with" it. Make it from your picks first',
    )
