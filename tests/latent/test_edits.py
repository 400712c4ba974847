"""Edits of latents whose scores are known functions of them."""

import torch

from dcgan.latent import edit


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def correlated(z: torch.Tensor) -> torch.Tensor:
    """Two scores whose gradients share most of their direction, and one that is not linear."""
    return torch.stack([4 * z[:, 0] + 3 * z[:, 1], 4 * z[:, 0], z[:, 2] * z[:, 3] * 3], 1)


def test_an_edit_sets_its_label_and_keeps_the_side_of_every_other():
    z = normal(64, 6)
    before = correlated(z)
    for index in range(3):
        for wanted in (True, False):
            after = correlated(edit(correlated, z, index, wanted))
            assert ((after[:, index] > 0) == wanted).float().mean() > 0.97
            others = [i for i in range(3) if i != index]
            kept = ((after > 0) == (before > 0))[:, others].float().mean(0)
            assert kept.min() > 0.97
    along = z + 4 * torch.eye(6)[0]
    flips = ((correlated(along) > 0) != (before > 0)).float().mean(0)
    assert flips[1] > 0.3, "the gradient alone would change the other"


def test_a_tied_label_may_change():
    def opposite(z):
        return torch.stack([z[:, 0], -z[:, 0]], 1) * 3

    z = torch.full((4, 3), -1.0)
    assert (opposite(edit(opposite, z, 0))[:, 0] < 1.9).all(), "both pull"
    assert (opposite(edit(opposite, z, 0, free=[1]))[:, 0] > 1.9).all()


def test_labels_beside_z_stay_and_uniform_latents_stay_in_their_box():
    def score(z):
        return 1.5 * z[:, :1]

    z = torch.cat([-normal(8, 3).abs().clamp(max=1), torch.ones(8, 2)], 1)
    after = edit(score, z, 0, distribution="uniform", latent_dim=3)
    assert torch.equal(after[:, 3:], z[:, 3:])
    assert torch.equal(after[:, 1:3], z[:, 1:3]), "nothing pulls these"
    assert (after[:, 0] > 0.99).all() and after.max() <= 1


def test_what_has_the_label_already_is_left_as_it_is():
    z = torch.tensor([[2.0, 0.3]])
    assert torch.equal(edit(lambda z: 3 * z[:, :1], z, 0), z)
