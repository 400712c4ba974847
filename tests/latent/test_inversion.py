"""Inversion: own samples come back, whatever else is inverted with them."""

import pytest
import torch
import torch.nn.functional as F

from dcgan import images, sampling
from dcgan.errors import UsageError
from dcgan.latent import feature_distance, inversion, invert, psnr, train_encoder
from dcgan.networks import Discriminator
from tests.latent.generators import ATTRIBUTES, CLASSES, make_generator

SEEDS = range(8)


@pytest.fixture(scope="module")
def G():
    return make_generator()


def own_images(G, seeds=SEEDS, label=None):
    """Inputs of G, and its images of them after rounding to 8 bits."""
    z = sampling.latents_from_seeds(G, seeds, label=label)
    pixels = torch.cat([torch.from_numpy(batch) for batch in sampling.render(G, z, "fp32")])
    return z, images.to_float(pixels)


@pytest.mark.parametrize(
    "options", [{}, {"latent": "uniform"}, {"channels": 1}, {"size": 32, "kernel_size": 5}]
)
def test_own_samples_come_back_from_8_bits(options):
    G = make_generator(**options)
    z, x = own_images(G)
    found = invert(G, x)
    similarity = F.cosine_similarity(found.latents, z)
    assert (similarity > 0.95).float().mean() >= 0.85, similarity
    back = similarity > 0.95
    # Rounding alone is left, which has 58.9 dB, or a little less of it: latents fit some of it.
    assert (found.psnr[back] > 57).all() and (found.psnr[back] < 62).all(), found.psnr
    torch.testing.assert_close(found.psnr, psnr(x, G(found.latents)), atol=0.05, rtol=0)
    if G.latent == "uniform":
        assert found.latents.abs().max() <= 1


def test_an_image_has_the_same_latents_whatever_is_beside_it(G):
    """Bit for bit, and for images that G cannot make, which are searched for from random latents
    too.
    """
    noise = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.cat([noise, own_images(G, range(2))[1]])
    together, reversed_ = invert(G, x), invert(G, x.flip(0))
    alone = torch.cat([invert(G, image[None]).latents for image in x])
    assert torch.equal(together.latents, alone)
    assert torch.equal(together.latents, reversed_.latents.flip(0))
    assert torch.equal(together.latents, invert(G, x).latents)


def test_restarts_find_what_one_start_misses(G):
    noise = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    one, more = (invert(G, noise, restarts=count) for count in (0, 4))

    def energy(found):
        error = (found.reconstructions - noise).square().flatten(1).mean(1)
        return 600 * error.log() + found.latents.square().sum(1)

    gain = energy(one) - energy(more)
    assert (gain > -0.01).all() and gain.max() > 0.1, gain


def test_psnr_is_its_closed_form():
    x = torch.zeros(2, 3, 4, 4)
    y = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), -0.02)])
    torch.testing.assert_close(psnr(x, y), torch.tensor([20.0, 40.0]))


def test_the_feature_distance_compares_directions_of_features():
    """It is 0 for the same image, does not see the contrast of a D without biases, and is the mean
    of the squared distances of unit vectors.
    """
    torch.manual_seed(0)
    D = Discriminator(16, width=4, bias_D=False).eval()
    x, y = torch.rand(2, 3, 3, 16, 16)
    assert feature_distance(D, x, x).max() < 1e-6
    assert feature_distance(D, x, 0.5 * x).max() < 1e-6
    expected = 0
    for a, b in zip(D.features(x), D.features(y), strict=True):
        expected += (2 - 2 * F.cosine_similarity(a, b)).mean((1, 2)) / len(D.blocks)
    torch.testing.assert_close(feature_distance(D, x, y), expected.detach())
    G = make_generator(width=4)
    found = invert(G, x, D)
    apart = feature_distance(D, x, found.reconstructions)
    torch.testing.assert_close(found.feature_distance, apart)


@pytest.mark.parametrize(("labels", "given"), [(CLASSES, "dog"), (ATTRIBUTES, "hat=1,beard=1")])
def test_given_labels_stay_and_the_latents_come_back(labels, given):
    G = make_generator(labels)
    z, x = own_images(G, label=given)
    found = invert(G, x, labels=labels.parse(given))
    assert torch.equal(found.latents[:, 6:], z[:, 6:])
    assert (F.cosine_similarity(found.latents[:, :6], z[:, :6]) > 0.95).sum() >= 7
    with pytest.raises(UsageError, match="labels of the images are not known"):
        invert(G, x)


@pytest.mark.parametrize("labels", [CLASSES, ATTRIBUTES])
def test_an_encoder_sees_the_labels(labels):
    G = make_generator(labels)
    z, x = own_images(G, range(16))
    encoder = train_encoder(G, 80)
    found = invert(G, x, encoder=encoder, restarts=0)
    right = (found.latents[:, 6:] == z[:, 6:]).all(1).float().mean()
    assert right > 0.75, right
    if labels is ATTRIBUTES:  # what is given stands, and the rest is seen
        found = invert(G, x, encoder=encoder, labels={0: 1.0}, restarts=0).latents[:, 6:]
        assert (found[:, 0] == 1).all()
        assert (found[:, 1] == z[:, 7]).float().mean() > 0.8


def test_a_trained_encoder_guesses_latents_and_is_reproducible(G):
    before = torch.random.get_rng_state()
    z, x = own_images(G, range(64))
    guess, logits = train_encoder(G, 60)(x)
    assert torch.equal(before, torch.random.get_rng_state())
    assert F.mse_loss(guess, z) < 0.7 < F.mse_loss(torch.zeros_like(z), z)
    assert logits.shape == (64, 0)
    assert torch.equal(train_encoder(G, 60)(x)[0], guess)


def test_what_cannot_be_inverted_is_refused(G):
    for x in (torch.zeros(3, 16, 16), torch.zeros(1, 1, 16, 16), torch.zeros(0, 3, 16, 16)):
        with pytest.raises(UsageError, match=r"inversion needs images \[N, 3, 16, 16\], not"):
            invert(G, x)
    with pytest.raises(UsageError, match="--restarts must be at least 0, not -1"):
        invert(G, torch.zeros(1, 3, 16, 16), restarts=-1)
    with pytest.raises(UsageError, match="a training step or more, not 0"):
        train_encoder(G, 0)


@pytest.mark.parametrize("restarts", [1, 2])
def test_restarts_do_not_begin_at_the_latents_of_the_first_seeds(G, restarts, monkeypatch):
    starts = []

    def search(G, image, start, labels, iterations):
        starts.append(start)
        return start, 0.0

    monkeypatch.setattr(inversion, "most_probable", search)
    z, x = own_images(G, range(4))
    invert(G, x[3:], restarts=restarts)
    assert len(starts) == 1 + restarts
    assert min(float((z - start).norm(dim=1).min()) for start in starts) > 0.1


@pytest.mark.parametrize("value", [255, 1.01, -1.01, float("nan"), float("inf")])
def test_images_of_another_range_are_refused(G, value):
    x = own_images(G, range(2))[1].clone()
    x[1, 0, 3, 3] = value
    with pytest.raises(UsageError, match="values from -1 to 1"):
        invert(G, x)


@pytest.mark.parametrize("labels", [{3: 1.0}, {-1: 1.0}, {"cat": 1.0}])
def test_labels_that_the_generator_does_not_have_are_refused(G, labels):
    conditional = make_generator(CLASSES)
    for network in (G, conditional):
        with pytest.raises(UsageError, match="labels of this generator by index"):
            invert(network, torch.zeros(1, 3, 16, 16), labels=labels)
