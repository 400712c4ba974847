"""What the controls compute, compared with the commands and with closed forms."""

import dataclasses
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import latent, sampling
from dcgan.demo import actions
from dcgan.demo.controls import Controls
from dcgan.demo.visitor import ROLES, SHOW, Visitor
from dcgan.errors import UserError
from dcgan.explore import load_latents
from tests.demo.serving import tiny_model

CLASS, ATTRIBUTES, UNIFORM = map(tiny_model, ("class", "attributes", "uniform"))
REST = Controls(None, {}, 0.0, (0.0, 0.0))


def sampled(model, seeds, **options) -> np.ndarray:
    return np.concatenate(list(sampling.sample(model.G, seeds, precision="fp32", **options)))


def z_of(model, visitor, **changes) -> torch.Tensor:
    return actions.shown_latent(model, visitor, dataclasses.replace(REST, **changes))


@pytest.mark.parametrize(
    ("model", "chosen", "label"),
    [
        (CLASS, {}, None),
        (CLASS, {1: 1.0}, "dog"),
        (ATTRIBUTES, {}, None),
        (ATTRIBUTES, {0: 1.0, 1: 0.0}, "hat=1,beard=0"),
        (UNIFORM, {}, None),
    ],
)
def test_pictures_of_seeds_are_those_of_dcgan_sample(model, chosen, label):
    seeds = [0, 7, 10**19 - 1]
    for truncation in (None, 0.5):
        controls = Controls(truncation, chosen, 0.0, (0.0, 0.0))
        drawn = model.draw(actions.latents(model, seeds, controls)).astype(int)
        expected = sampled(model, seeds, truncation=truncation, label=label)
        assert np.abs(drawn - expected).max() <= 1


def test_a_picture_does_not_depend_on_those_drawn_beside_it():
    z = actions.latents(CLASS, range(5), REST)
    together = CLASS.draw(z)
    assert all(np.array_equal(CLASS.draw(z[i : i + 1])[0], together[i]) for i in range(5))


def test_chosen_labels_replace_those_of_a_latent():
    z = (*[0.5] * 6, 0.0, 0.0, 1.0)
    assert actions.latents(CLASS, [z], REST).tolist() == [list(z)]
    chosen = dataclasses.replace(REST, labels={0: 1.0})
    assert actions.latents(CLASS, [z], chosen)[0, 6:].tolist() == [1, 0, 0]
    two = (*[0.5] * 6, 1.0, 1.0)
    chosen = dataclasses.replace(REST, labels={1: 0.0})
    assert actions.latents(ATTRIBUTES, [two], chosen)[0, 6:].tolist() == [1, 0]


def test_sliders_move_along_their_directions_by_their_steps():
    """The directions of the model are the first two axes, with steps of 1 and 2."""
    start = z_of(CLASS, Visitor(3))
    moved = z_of(CLASS, Visitor(3), amounts=(0.5, -1.5)) - start
    assert torch.allclose(moved[0], torch.tensor([0.5, -3.0, *[0.0] * 7]), atol=1e-6)
    own = Visitor(3, own=(0.0, 0.0, 4.0, 0.0, 0.0, 0.0))
    moved = z_of(CLASS, own, own=-0.5) - start
    assert torch.allclose(moved[0], torch.tensor([0.0, 0.0, -2.0, *[0.0] * 6]), atol=1e-6)
    assert torch.equal(z_of(CLASS, Visitor(3), own=-0.5), start)


def test_uniform_latents_stay_in_their_cube():
    assert z_of(UNIFORM, Visitor(3), amounts=(2.0, 2.0)).abs().max() <= 1


def test_a_moved_picture_is_picked_with_its_movement():
    moved = dataclasses.replace(REST, amounts=(1.0, 0.0))
    assert actions.shown_source(CLASS, Visitor(3), REST) == 3
    source = actions.shown_source(CLASS, Visitor(3), moved)
    assert torch.equal(
        actions.latents(CLASS, [source], REST), actions.shown_latent(CLASS, Visitor(3), moved)
    )


def test_a_minus_b_plus_c_is_that_of_their_means():
    a, b, c = (3, 4), (5,), (6,)
    visitor = Visitor(picks={"A": a, "B": b, "C": c})
    z = {seed: actions.latents(ATTRIBUTES, [seed], REST)[0] for seed in (3, 4, 5, 6)}
    expected = latent.to_typical((z[3] + z[4]) / 2 - z[5] + z[6], 6, "normal")
    found = torch.tensor(actions.arithmetic(ATTRIBUTES, visitor, REST).shown)
    assert torch.allclose(found, expected, atol=1e-6)
    assert abs(found[:6].norm() - math.sqrt(6)) <= math.sqrt(2) + 1e-5
    same = Visitor(picks={"A": (3,), "B": (5,), "C": (5,)})
    found = torch.tensor(actions.arithmetic(ATTRIBUTES, same, REST).shown)
    assert torch.allclose(found, latent.to_typical(z[3], 6, "normal"), atol=1e-6)


def test_one_step_of_an_own_direction_leads_from_one_mean_to_the_other():
    visitor = Visitor(picks={"with": (1, 2), "without": (3, 4, 5)})
    own = torch.tensor(actions.make_direction(CLASS, visitor, REST).own)
    z = actions.latents(CLASS, range(6), REST)[:, :6]
    assert torch.allclose(z[3:].mean(0) + own, z[1:3].mean(0), atol=1e-5)
    with pytest.raises(UserError, match="the same mean"):
        same = Visitor(picks={"with": (1,), "without": (1,)})
        actions.make_direction(CLASS, same, REST)


@pytest.mark.parametrize("action", ["arithmetic", "make_direction", "animate"])
def test_a_missing_pick_is_named(action):
    with pytest.raises(UserError, match=r"pick a picture for '(B|without|last)' first"):
        visitor = Visitor(picks={"A": (1,), "C": (1,), "with": (1,), "first": (1,)})
        getattr(actions, action)(CLASS, visitor, REST)


def test_an_animation_leads_from_the_first_pick_to_the_last_and_back():
    visitor = Visitor(picks={"first": (2,), "last": (5,)})
    with Image.open(io.BytesIO(actions.animate(UNIFORM, visitor, REST))) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"), int))
    assert len(frames) == actions.FRAMES
    for frame, seed in ((0, 2), (actions.FRAMES // 2, 5)):
        expected = sampled(UNIFORM, [seed])[0]
        assert np.abs(frames[frame] - expected).mean() < 8, "256 colours"


def test_the_file_of_a_latent_is_one_that_dcgan_reads(tmp_path):
    path = tmp_path / "z.safetensors"
    moved = dataclasses.replace(REST, amounts=(1.0, 0.0), truncation=0.5)
    path.write_bytes(actions.latents_file(CLASS, Visitor(3), moved))
    assert torch.equal(load_latents(path, CLASS.G), actions.shown_latent(CLASS, Visitor(3), moved))


def test_a_role_keeps_its_last_picks():
    visitor = Visitor()
    for seed in range(20):
        visitor = visitor.pick(seed, "A").pick(seed, "first").pick(seed, SHOW)
    assert visitor.picks == {"A": tuple(range(12, 20)), "first": (19,)}
    assert visitor.shown == 19
    assert max(ROLES.values()) == 8, "the redrawn pictures of all picks take a second at most"
    for role in ("D", "", None, 3, ["A"], {"A": 1}):
        with pytest.raises(UserError, match="a click has one of the meanings"):
            visitor.pick(3, role)
