"""The model card: README.md of a repository on the Hub.

Its form: https://huggingface.co/docs/hub/model-cards. The sections follow Mitchell et al. 2019,
Model Cards for Model Reporting.
"""

from dcgan.config import PushConfig
from dcgan.export.model_folder.facts import Evaluation
from dcgan.export.model_folder.markdown import code_block, escape, front_matter, table
from dcgan.hub import DISCRIMINATOR, GENERATOR
from dcgan.networks import Generator
from dcgan.runs import Checkpoint

PICTURE = "samples.png"
PICTURE_SEEDS = range(64)
_TAGS = ["dcgan", "gan", "deep-convolutional-gan", "image-generation", "safetensors"]
_MAX_LABELS = 50
_SOURCES = {  # and what they are
    "faces": "the cartoon faces that dcgan draws itself",
    "face-parts": "the cartoon faces that dcgan draws itself",
    "celeba": "CelebA, photographs of celebrities (Liu et al. 2015)",
    "lsun": "LSUN, photographs of scenes (Yu et al. 2015)",
    "folder": "images of the author's own",
    "voc": "PASCAL VOC, photographs (Everingham et al. 2010)",
    "cifar10": "CIFAR-10 (Krizhevsky 2009)",
    "mnist": "MNIST, handwritten digits (LeCun et al. 1998)",
    "fashion-mnist": "Fashion-MNIST, pictures of clothes (Xiao et al. 2017)",
    "svhn": "SVHN, house numbers in street views (Netzer et al. 2011)",
    "stl10": "STL-10 (Coates et al. 2011)",
}


def write_card(
    config: PushConfig,
    found: Checkpoint,
    G: Generator,
    command: str | None,
    count: int | None,
    evaluation: Evaluation | None,
) -> str:
    """The card in Markdown, with metadata in YAML. Texts of the checkpoint are escaped.

    command, count, evaluation: see `facts`.
    """
    license = {"license": config.license} if config.license else {}
    metadata: dict[str, str | list[str]] = {
        **license,
        "library_name": "dcgan",
        "pipeline_tag": "unconditional-image-generation",
        "tags": _TAGS,
    }
    title = escape(config.repository.partition("/")[2])
    sections = [
        front_matter(metadata),
        f"# {title}",
        f"A DCGAN (Radford et al. 2015) that generates images of {G.size}x{G.size} pixels, "
        "trained with the toolkit dcgan.",
        f"![Images of the seeds 0 to {PICTURE_SEEDS[-1]}]({PICTURE})",
        "## How to use",
        _how_to_use(config, G),
        "## Model",
        _model(config, found, G),
        "## Training",
        _training(found, command, count),
        "## Evaluation",
        _evaluation(evaluation),
        "## Licence",
        f"The author has chosen the licence {config.license} for the weights. "
        "That of the training images may set further limits."
        if config.license
        else "The author has not chosen a licence: ask before you use the weights.",
        "## Limits",
        _limits(G),
    ]
    return "\n\n".join(sections) + "\n"


def _how_to_use(config: PushConfig, G: Generator) -> str:
    name = f"hf://{config.repository}"
    shell = [f"dcgan sample {name} --seeds 0-63", f"dcgan walk {name} --seeds 3,14,15"]
    python = ["import dcgan", "", f'G = dcgan.load_generator("{name}")']
    text = "With dcgan and its extra `hub` installed:"
    parts = [text, code_block(shell, "sh"), code_block(python, "python")]
    if G.labels:
        names = [escape(label) for label in G.labels.names[:_MAX_LABELS]]
        more = len(G.labels.names) - len(names)
        listed = ", ".join(names) + (f" and {more:,} others" if more > 0 else "")
        kind = "classes" if G.labels.kind == "class" else "attributes"
        parts.append(f"`--label` asks for labels. They are {kind}: {listed}.")
    return "\n\n".join(parts)


def _model(config: PushConfig, found: Checkpoint, G: Generator) -> str:
    weights = sum(parameter.numel() for parameter in G.parameters())
    channels = found.config["channels"]
    rows = [
        ("image", f"{G.size}x{G.size} pixels, {'grey' if channels == 1 else 'RGB'}"),
        ("latent vector", f"{G.latent_dim} components, {escape(G.latent)}"),
        ("width", f"{found.config['width']}"),
        ("parameters of the generator", f"{weights:,}"),
        ("training steps", f"{found.step:,}"),
        ("weights", "moving average (EMA) of the generator"),
        ("files", f"`{GENERATOR}`" + (f", `{DISCRIMINATOR}`" if config.discriminator else "")),
    ]
    return table(["", ""], rows)


def _training(found: Checkpoint, command: str | None, count: int | None) -> str:
    source = found.config.get("source")
    known = _SOURCES.get(source) if isinstance(source, str) else None
    number = "an unknown number of" if count is None else f"{count:,}"
    text = f"Trained on {number} images. Source: {known or escape(source)}."
    if isinstance(fingerprint := found.header.get("data"), str):
        text += f" SHA-256 of the packed images: {escape(fingerprint)}."
    if command is None:
        return text
    return f"{text}\n\n{code_block([command], 'sh')}"


def _evaluation(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "None is stored for this checkpoint. `dcgan evaluate` computes one."
    rows = [
        (escape(group), escape(name), f"{value:.4g}")
        for group, scores in evaluation.scores.items()
        for name, value in scores.items()
    ]
    names = ("images", "real_images", "weights", "batch_norm", "truncation", "label", "precision")
    protocol = evaluation.protocol
    listed = "; ".join(
        f"{escape(name.replace('_', ' '))}: {escape(protocol[name])}"
        for name in names
        if protocol.get(name) is not None
    )
    scores = table(["features", "metric", "value"], rows)
    return f"{scores}\n\nProtocol of `dcgan evaluate`: {listed}."


def _limits(G: Generator) -> str:
    return "\n".join(
        [
            f"- Images have {G.size}x{G.size} pixels. Some have artefacts: GANs of this kind do.",
            "- It knows only what its training images show, with their biases and gaps.",
            "- It may reproduce training images. `dcgan neighbours` searches for near-copies.",
            "- Generated images are evidence of nothing, and persons in them do not exist.",
        ]
    )
