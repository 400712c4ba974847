"""The encoder has the feature maps of its generator, in the other order."""

import pytest

from dcgan.networks import Encoder, Generator, encoder_options


@pytest.mark.parametrize("max_channels", [None, 12, 5])
def test_an_encoder_has_the_channels_of_its_generator(max_channels):
    G = Generator(32, 1, 5, 7, kernel_size=5, num_labels=2, max_channels=max_channels)
    encoder = Encoder(**encoder_options(G))
    of_G = [layer.weight.shape[0] for layer in G.layers if hasattr(layer, "kernel_size")][1:]
    assert [block[0].weight.shape[0] for block in encoder.blocks] == of_G[::-1]
    guess, logits = encoder(encoder.head.weight.new_zeros(3, 1, 32, 32))
    assert (guess.shape, logits.shape) == ((3, 7), (3, 2))
