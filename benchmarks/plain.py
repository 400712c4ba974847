"""The same networks and the same step without any care for speed, in the order of PyTorch's DCGAN
example: the default memory format, a sigmoid before the cross entropy, two backward passes for D,
gradients of D that the step of G throws away, and four numbers read in every step.
"""

import torch
from torch import Tensor, nn


def generator(width: int, latent_dim: int = 100) -> nn.Sequential:
    layers = [nn.ConvTranspose2d(latent_dim, 8 * width, 4, bias=False)]
    for factor in (8, 4, 2):
        inputs, outputs = factor * width, factor * width // 2
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(width: int) -> nn.Sequential:
    layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for factor in (1, 2, 4):
        inputs, outputs = factor * width, 2 * factor * width
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False), nn.Sigmoid())


class Plain:
    """Trains 64x64 networks."""

    def __init__(self, width: int):
        self.G, self.D = generator(width), discriminator(width)
        for module in (*self.G, *self.D):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
        self.opt_G = torch.optim.Adam(self.G.parameters(), 2e-4, betas=(0.5, 0.999))
        self.opt_D = torch.optim.Adam(self.D.parameters(), 2e-4, betas=(0.5, 0.999))
        self.loss = nn.BCELoss()

    def update(self, real: Tensor) -> tuple[float, ...]:
        """One step of D and one of G on real images [N, 3, 64, 64]."""
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        self.D.zero_grad()
        D_real = self.D(real).flatten()
        loss_real = self.loss(D_real, ones)
        loss_real.backward()
        fake = self.G(torch.randn(len(real), 100, 1, 1))
        D_fake = self.D(fake.detach()).flatten()
        loss_fake = self.loss(D_fake, zeros)
        loss_fake.backward()
        self.opt_D.step()

        self.G.zero_grad()
        loss_G = self.loss(self.D(fake).flatten(), ones)
        loss_G.backward()
        self.opt_G.step()
        loss_D = loss_real + loss_fake
        return loss_D.item(), loss_G.item(), D_real.mean().item(), D_fake.mean().item()
