"""The names of tensors in the networks of PyTorch's DCGAN example and of its DCGAN tutorial.

Their networks are one `nn.Sequential` named main, in which every layer counts, also those without
weights: github.com/pytorch/examples, dcgan/main.py.
"""

from dcgan.networks import Discriminator, Generator


def example_names(network: Generator | Discriminator) -> dict[str, str]:
    """The names of all tensors of a network here, and in the example.

    A D must have batch norm, no biases, and nothing else that the example's lacks.
    """
    if isinstance(network, Generator):
        return {name: "main" + name.removeprefix("layers") for name in network.state_dict()}
    names: dict[str, str] = {}
    layers = 0
    for i, block in enumerate(network.blocks):
        for j, layer in enumerate(block.children()):
            names |= {f"blocks.{i}.{j}.{k}": f"main.{layers}.{k}" for k in layer.state_dict()}
            layers += 1
    return names | {"score.weight": f"main.{layers}.weight"}
