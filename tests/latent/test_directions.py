"""Directions of exactly linear models, and against NumPy's linear algebra."""

import numpy as np
import pytest
import torch

from dcgan.errors import UsageError
from dcgan.latent import (
    direction_from_examples,
    linear_scores,
    move,
    orthogonalized,
    pca_directions,
    sefa,
    turn_vector,
    unit,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_linear_score_is_found_with_its_offset():
    z, true = normal(500, 6), normal(2, 6, seed=1) * 0.2
    scores = z @ true.T + torch.tensor([0.5, -1.0])
    weights, offsets = linear_scores(z, scores, ridge=0)
    assert torch.allclose(weights, true, atol=1e-5)
    assert offsets.tolist() == pytest.approx([0.5, -1.0], abs=1e-5)


def test_ridge_solves_the_normal_equations_without_a_penalty_on_the_offset():
    z, scores = normal(40, 5) * 3 + 2, normal(40, 2, seed=1)
    weights, offsets = linear_scores(z, scores, ridge=0.3)
    centred = z.numpy() - z.numpy().mean(0)
    penalty = 0.3 * (centred**2).mean() * np.eye(5) * 40
    expected = np.linalg.solve(centred.T @ centred + penalty, centred.T @ scores.numpy())
    assert np.allclose(weights.numpy(), expected.T, atol=1e-5)
    residuals = z @ weights.T + offsets - scores
    assert residuals.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)


def test_confident_scores_do_not_count_more_than_sure_ones():
    z = normal(50, 3)
    scores = (z[:, :1] > 0).float() * 8 - 4
    assert torch.equal(linear_scores(z, scores)[0], linear_scores(z, scores * 100)[0])


def test_an_orthogonalized_direction_changes_its_own_score_alone():
    weights = normal(4, 9)
    v = orthogonalized(weights[1], weights[[0, 2, 3]])
    changes = weights @ v
    assert changes[[0, 2, 3]].abs().max() < 1e-5
    assert v.norm().item() == pytest.approx(1)
    # It is the row of the pseudo-inverse, and so the shortest change of that score alone.
    assert torch.allclose(v, unit(torch.linalg.pinv(weights)[:, 1]), atol=1e-5)
    assert torch.equal(orthogonalized(weights[1], weights[:0]), unit(weights[1]))
    twice = weights[[0, 2, 0, 2]]  # of rank 2
    assert torch.allclose(orthogonalized(weights[1], twice) @ twice.T, torch.zeros(4), atol=1e-5)


def test_a_weight_in_the_span_of_the_others_leaves_no_direction():
    weights = normal(2, 5)
    assert not orthogonalized(weights.sum(0), weights).any()


def test_examples_give_the_direction_between_their_means():
    with_it, without = torch.tensor([[2.0, 1], [4, 1]]), torch.tensor([[0.0, 1], [0, -7], [0, 0]])
    assert torch.allclose(
        direction_from_examples(with_it, without),
        torch.tensor([0.6, 0.6]) / 0.6 * torch.tensor([3.0, 3.0]) / 18**0.5,
    )
    with pytest.raises(UsageError, match="an example with the attribute and one without"):
        direction_from_examples(with_it, without[:0])
    with pytest.raises(UsageError, match="have the same mean"):
        direction_from_examples(with_it, with_it.flip(0))


def test_the_turn_vector_joins_the_means_of_the_ends_whatever_the_order():
    values = torch.arange(20.0)
    z = torch.stack([values**2, -values], 1)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    turn = turn_vector(z[order], values[order], share=0.1)
    assert turn.tolist() == [(18**2 + 19**2) / 2 - 0.5, -18.0]
    assert turn_vector(z, values, share=0.01).tolist() == [361.0, -19.0]  # one at each end
    with pytest.raises(UsageError, match="at each end must be above 0"):
        turn_vector(z, values, share=0.6)
    with pytest.raises(UsageError, match="20 latents and 3 values"):
        turn_vector(z, values[:3])


def test_sefa_is_the_singular_value_decomposition_of_the_first_layer():
    kernel = normal(5, 3, 2, 2)
    directions, shares = sefa(kernel)
    u, s, _ = np.linalg.svd(kernel.flatten(1).numpy())
    cosines = np.abs(np.diag(directions.numpy() @ u))
    assert cosines == pytest.approx(np.ones(5), abs=1e-5)
    assert shares.numpy() == pytest.approx(s**2 / (s**2).sum(), abs=1e-6)
    # Along the first, the output of the layer changes most.
    change = torch.nn.functional.conv_transpose2d(directions[:, :, None, None], kernel)
    assert change.flatten(1).norm(dim=1).numpy() == pytest.approx(s, rel=1e-5)


def test_pca_is_numpys_and_its_directions_move_the_features_so():
    z = normal(300, 4)
    mixing = torch.tensor([[3.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0.1]])
    rotation = torch.linalg.qr(normal(7, 4, seed=2)).Q
    features = z @ mixing @ rotation.T + 5
    directions, shares = pca_directions(z, features, 3)
    centred = features.numpy() - features.numpy().mean(0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    assert shares.numpy() == pytest.approx((variances / variances.sum())[:3], abs=1e-5)
    assert (directions[:3].abs().diagonal() > 0.98).all()


def test_moving_stays_in_the_box_of_uniform_latents_and_leaves_labels():
    z = torch.tensor([[0.9, -0.9, 1.0], [0.0, 0.0, 0.0]])
    offset = torch.tensor([0.5, -0.05])
    assert move(z, offset, "normal").tolist() == [
        pytest.approx([1.4, -0.95, 1.0]),
        pytest.approx([0.5, -0.05, 0.0]),
    ]
    assert move(z, offset, "uniform")[0].tolist() == pytest.approx([1.0, -0.95, 1.0])


def test_latents_that_are_all_the_same_have_no_linear_model():
    with pytest.raises(UsageError, match="a direction needs latents that differ"):
        linear_scores(torch.ones(20, 5), torch.arange(20.0)[:, None])
