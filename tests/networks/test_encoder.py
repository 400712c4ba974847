"""The encoder has the feature maps of its generator, in the other order."""

import pytest

from dcgan.networks import Encoder, Generator, encoder_options


@pytest.mark.parametrize("options", [{}, {"kernel_size": 5, "num_labels": 2}])
def test_an_encoder_has_the_channels_of_its_generator(options):
    G = Generator(32, 1, 5, 7, **options)
    encoder = Encoder(**encoder_options(G))
    of_G = [layer.weight.shape[0] for layer in G.layers if hasattr(layer, "weight")][2::2]
    assert [block[0].weight.shape[0] for block in encoder.blocks] == of_G[::-1]
    guess, logits = encoder(encoder.head.weight.new_zeros(3, 1, 32, 32))
    assert (guess.shape, logits.shape) == ((3, 7), (3, options.get("num_labels", 0)))
