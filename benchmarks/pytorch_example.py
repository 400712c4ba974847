"""PyTorch's DCGAN example, as far as its speed is concerned (github.com/pytorch/examples, dcgan).

The default memory format, a sigmoid before the cross entropy, two backward passes for D, gradients
of D computed and discarded in the step of G, and losses read in every step. As a script it trains
on a folder of images, which it decodes in every epoch.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn


def make_generator(width: int, latent_dim: int = 100) -> nn.Sequential:
    layers = [nn.ConvTranspose2d(latent_dim, 8 * width, 4, bias=False)]
    for factor in (8, 4, 2):
        inputs, outputs = factor * width, factor * width // 2
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def make_discriminator(width: int) -> nn.Sequential:
    layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for factor in (1, 2, 4):
        inputs, outputs = factor * width, 2 * factor * width
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False), nn.Sigmoid())


class ExampleTrainer:
    """The example's networks for 64x64 images, its optimizers and its step."""

    def __init__(self, width: int, device: str = "cpu"):
        self.G = make_generator(width).to(device)
        self.D = make_discriminator(width).to(device)
        for module in (*self.G, *self.D):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
        self.opt_G = torch.optim.Adam(self.G.parameters(), 2e-4, betas=(0.5, 0.999))
        self.opt_D = torch.optim.Adam(self.D.parameters(), 2e-4, betas=(0.5, 0.999))
        self.loss = nn.BCELoss()

    def update(self, real: Tensor) -> tuple[float, ...]:
        """One step of D and one of G on real images [N, 3, 64, 64]."""
        ones = torch.ones(len(real), device=real.device)
        zeros = torch.zeros(len(real), device=real.device)
        self.D.zero_grad()
        D_real = self.D(real).flatten()
        loss_real = self.loss(D_real, ones)
        loss_real.backward()
        fake = self.G(torch.randn(len(real), 100, 1, 1, device=real.device))
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


def main() -> None:
    """Train on a folder of images, with the flags and the printed lines of the example."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms, utils

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=["folder"], required=True)
    parser.add_argument("--dataroot", required=True)
    parser.add_argument("--batchSize", type=int, default=64)
    parser.add_argument("--niter", type=int, default=25)
    parser.add_argument("--outf", type=Path, default=Path("."))
    args = parser.parse_args()
    args.outf.mkdir(parents=True, exist_ok=True)

    to_tensor = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    transform = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), *to_tensor])
    loader = DataLoader(
        datasets.ImageFolder(args.dataroot, transform), args.batchSize, shuffle=True, num_workers=2
    )
    trainer, fixed_noise = ExampleTrainer(width=64), torch.randn(args.batchSize, 100, 1, 1)
    for epoch in range(args.niter):
        for i, (real, _) in enumerate(loader):
            losses = trainer.update(real)
            print(f"[{epoch}/{args.niter}][{i}/{len(loader)}]", *losses, flush=True)
            if i % 100 == 0:
                utils.save_image(real, args.outf / "real.png", normalize=True)
                fake = trainer.G(fixed_noise).detach()
                utils.save_image(fake, args.outf / f"fake-{epoch:03d}.png", normalize=True)
        torch.save(trainer.G.state_dict(), args.outf / f"G-{epoch}.pth")
        torch.save(trainer.D.state_dict(), args.outf / f"D-{epoch}.pth")


if __name__ == "__main__":
    main()
