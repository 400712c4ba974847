"""The networks and the step of PyTorch's DCGAN example (github.com/pytorch/examples, dcgan/main.py)
and of the DCGAN tutorial, with the names of their tensors.

`size` other than 64 is the usual extension: more or fewer layers that halve or double the side.
"""

import itertools
from collections.abc import Sequence

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


class Generator(nn.Module):
    """netG. `factors`: channels of its feature maps as multiples of ngf, by default 8, 4, 2, 1."""

    def __init__(self, ngf=8, nz=10, nc=3, factors: Sequence[int] = (8, 4, 2, 1)):
        super().__init__()
        channels = [ngf * factor for factor in factors]
        layers = [nn.ConvTranspose2d(nz, channels[0], 4, 1, 0, bias=False)]
        for inputs, outputs in zip(channels, [*channels[1:], nc], strict=True):
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(True)]
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialize)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Discriminator(nn.Module):
    """netD. `factors`: channels of its feature maps as multiples of ndf, by default 1, 2, 4, 8."""

    def __init__(self, ndf=8, nc=3, factors: Sequence[int] = (1, 2, 4, 8)):
        super().__init__()
        channels = [ndf * factor for factor in factors]
        layers = [nn.Conv2d(nc, channels[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for inputs, outputs in itertools.pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False))
        self.main.append(nn.Sigmoid())
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).view(-1)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Example:
    """Both networks, their optimizers, and the step in the order of the example."""

    def __init__(self, netG: nn.Module, netD: nn.Module, lr: float = 2e-4):
        self.netG, self.netD = netG, netD
        self.optimizerD = torch.optim.Adam(netD.parameters(), lr=lr, betas=(0.5, 0.999))
        self.optimizerG = torch.optim.Adam(netG.parameters(), lr=lr, betas=(0.5, 0.999))

    def step(self, real: Tensor, z: Tensor) -> tuple[float, float]:
        """real: [N, C, S, S]; z: [N, nz, 1, 1]. Returns the losses of D and of G."""
        criterion, ones = nn.BCELoss(), torch.ones(len(real), dtype=real.dtype)
        zeros = 0 * ones
        self.netD.zero_grad()
        loss_real = criterion(self.netD(real), ones)
        loss_real.backward()
        fake = self.netG(z)
        loss_fake = criterion(self.netD(fake.detach()), zeros)
        loss_fake.backward()
        self.optimizerD.step()
        self.netG.zero_grad()
        loss_G = criterion(self.netD(fake), ones)
        loss_G.backward()
        self.optimizerG.step()
        return (loss_real + loss_fake).item(), loss_G.item()


def trained(steps: int = 10, lr: float = 2e-3, nz: int = 10, **options) -> Example:
    """The example after some steps on noise, with tiny networks of 64x64 pixels."""
    torch.manual_seed(0)
    example = Example(Generator(nz=nz, **options), Discriminator(), lr)
    for _ in range(steps):
        example.step(torch.rand(8, 3, 64, 64) * 2 - 1, torch.randn(8, nz, 1, 1))
    return example


def save(path, network: nn.Module, prefix: str = "", dtype=None):
    """Write the state dict of a network as the line in docs/moving.md does; returns the path."""
    state = {f"{prefix}{name}": tensor.clone() for name, tensor in network.state_dict().items()}
    if dtype:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    save_file(state, path)
    return path
