"""Effects of changes, and names of directions, on logits that are linear in z."""

import pytest
import torch

from dcgan.explore.effects import SURE, measure_effect, move_until_set, name_direction


def test_sets_and_flips_are_counted():
    before = torch.tensor([[-1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [-1, 1, 1]])
    after = torch.tensor([[1.0, 1, 1], [1, 1, 1], [-1, 1, -1], [1, -1, 1]])
    effect = measure_effect(before, after, 0)
    assert (effect.set, effect.count) == (0.75, 4)
    assert effect.flips == (0.75, 0.5, 0.0)
    assert effect.worst() == (0.5, 1)
    assert effect.worst(tied=[1]) == (0.0, 2)


def test_flips_are_counted_among_the_images_that_a_classifier_was_sure_about():
    before = torch.tensor([[-9.0, 3.0], [-9.0, -3.0], [-9.0, 0.1], [-9.0, -0.1]])
    after = torch.tensor([[9.0, -3.0], [9.0, -3.0], [-9.0, -0.1], [9.0, 0.1]])
    effect = measure_effect(before, after, 0, SURE)
    assert (effect.count, effect.set, effect.flips) == (4, 0.75, (0.75, 0.5))


def test_flips_of_labels_that_were_not_sure_do_not_count():
    before = torch.tensor([[-2.0, 1, 1], [-9, -3, 1], [-2, 4, -1], [-2, 2, 1]])
    after = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-2, 1, 1], [-2, 1, -1]])
    effect = measure_effect(before, after, 0, sure=2.0)
    assert effect.set == 0.25
    assert effect.flips == pytest.approx((1 / 4, 1 / 3, 0))


def test_each_latent_goes_no_further_than_it_needs():
    z = torch.tensor([[-0.4], [-1.4], [-50.0]])
    logits, steps = move_until_set(lambda z: z, z, torch.tensor([1.0]), 5.0, 0, "normal")
    assert steps.tolist() == pytest.approx([1.0, 2.0, 5.0])
    assert logits.flatten().tolist() == pytest.approx([0.6, 0.6, -45.0])


def test_a_direction_has_the_name_of_what_it_moves_most_in_its_own_deviations():
    up, down = torch.tensor([[3.0, -1.0]]), torch.tensor([[-3.0, 1.0]])
    naming = name_direction(down, up, torch.tensor([6.0, 1.0]))  # by 1 and by -2 deviations
    assert (naming.index, naming.sign) == (1, -1)
    assert naming.share == pytest.approx(4 / 5)
    assert name_direction(up, up, torch.ones(2)).share == 0


def test_against_a_direction_until_the_label_is_gone():
    z = torch.tensor([[0.4], [-3.0]])
    logits, steps = move_until_set(lambda z: z, z, torch.tensor([1.0]), 5.0, 0, "normal", False)
    assert steps.tolist() == pytest.approx([-1.0, 0.0])
    assert logits.flatten().tolist() == pytest.approx([-0.6, -3.0])
