"""Advice for flags that are not known: what other programs call ours, and common slips."""

import dataclasses
import difflib
from collections.abc import Iterator, Sequence

from dcgan.config import format_flag

# Flags of PyTorch's DCGAN example, of torchrun and of other trainers, in lower case, without
# dashes and underscores.
_FLAGS_OF_OTHERS = {
    "epochs": "--steps (an epoch of N images has N / --batch-size steps)",
    "niter": "--steps (an epoch of N images has N / --batch-size steps)",
    "nepochs": "--steps (an epoch of N images has N / --batch-size steps)",
    "numepochs": "--steps (an epoch of N images has N / --batch-size steps)",
    "maxepochs": "--steps (an epoch of N images has N / --batch-size steps)",
    "kimg": "--steps (1,000 images have 1,000 / --batch-size steps)",
    "iterations": "--steps",
    "iters": "--steps",
    "niters": "--steps",
    "maxiter": "--steps",
    "maxsteps": "--steps",
    "numsteps": "--steps",
    "batch": "--batch-size",
    "batchsize": "--batch-size",
    "bs": "--batch-size",
    "imagesize": "--size",
    "imgsize": "--size",
    "resolution": "--size",
    "cropsize": "--size",
    "saveinterval": "--save-every",
    "sampleinterval": "--sample-every",
    "nc": "--channels",
    "nz": "--latent-dim",
    "zdim": "--latent-dim",
    "ngf": "--width",
    "ndf": "--width",
    "lr": "--lr-G and --lr-D",
    "learningrate": "--lr-G and --lr-D",
    "glr": "--lr-G",
    "dlr": "--lr-D",
    "dataroot": "--root",
    "datadir": "--root",
    "datapath": "--root",
    "datasetpath": "--root",
    "inputdir": "--root",
    "images": "--root",
    "dataset": "a preset as the first word, or --source",
    "outf": "--out",
    "outdir": "--out",
    "output": "--out",
    "outputdir": "--out",
    "logdir": "--out",
    "manualseed": "--seed",
    "netg": "--from",
    "netd": "--from",
    "checkpoint": "--from, or --out with a run to resume",
    "resume": "--out with the run folder, which is resumed",
    "gpus": "torchrun --nproc-per-node",
    "ngpu": "torchrun --nproc-per-node",
    "gpu": "--device cuda:N",
    "gpuids": "--device cuda:N",
    "cpu": "--device cpu",
    "nocuda": "--device cpu",
    "nogpu": "--device cpu",
    "cuda": "--device cuda",
    "mps": "--device mps",
    "accel": "--device auto",
    "amp": "--precision bf16",
    "fp16": "--precision bf16",
    "bf16": "--precision bf16",
    "numworkers": "--workers",
    "name": "--out runs/NAME",
    "n": "--count",
    "num": "--count",
    "numimages": "--count",
    "trunc": "--truncation",
    "psi": "--truncation",
    "class": "--label",
}
_TRUTH_VALUES = ("true", "false", "yes", "no", "on", "off", "0", "1")


def hints(kind: type, args: Sequence[str], first_words: Sequence[str], prog: str) -> Iterator[str]:
    """Sentences of advice for the flags `args` of the config dataclass `kind`, which do not parse.

    `first_words`: words such as presets, which must come before the flags.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    flags = {name: format_flag(name) for name in fields}
    switches = {name for name, field in fields.items() if field.type is bool}
    before = ""  # the flag before a word, which may be its value
    for i, word in enumerate(args):
        flag, _, value = word.partition("=")
        name = flag.lstrip("-").replace("-", "_")
        following = value or (args[i + 1] if i + 1 < len(args) else "")
        if not flag.startswith("-") or _is_number(flag):
            if word in first_words and not before:
                yield f"Put {word} before the flags: {prog} {word} ..."
            before = ""
            continue
        switch = name if name in switches else name.removeprefix("no_")
        before = "" if value or switch in switches else flag
        if switch in switches:
            if following.lower() in _TRUTH_VALUES:
                yield f"{flag} takes no value: write {flags[switch]} or --no-{flags[switch][2:]}."
        elif name in fields:
            if "positional" in fields[name].metadata:
                yield f"Leave out {flag}: {prog} {following or name.upper()} ..."
        elif ours := _FLAGS_OF_OTHERS.get(name.replace("_", "").lower()):
            if ours.split()[0].rstrip(",") in flags.values() or not ours.startswith("--"):
                yield f"Here {flag} is {ours}."
        elif similar := difflib.get_close_matches(flag, flags.values(), n=1, cutoff=0.75):
            yield f"Did you mean {similar[0]}?"
    # A word that no flag takes, as in `train folder pictures`.
    if args and not args[0].startswith("-") and "root" in fields and args[0] not in first_words:
        yield f"A folder of images is given as --root {args[0]}."


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
