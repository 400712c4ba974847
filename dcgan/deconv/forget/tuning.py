"""Kernels that no longer draw an object, tuned against a segmentation network that learns too.

A fixed network is deceived by small changes of colour, so that it finds no object where everyone
still sees one. Here it goes on learning to find the object where it was, while the kernels learn
that it cannot: it is the discriminator of a GAN whose real images are G's own without the object,
and the object's class is its class for fake pixels (as in Sushko et al. 2021, arXiv:2012.04781).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.fcn import FCN
from dcgan.deconv.forget.editing import kernels, reader
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.device import full_float32_precision
from dcgan.runtime.progress import progress_bar

_STEPS = 300
_LR = 0.02  # of a kernel's root mean square, as batch norm hides the scale of most kernels
_FINDER_LR = 5e-4
_MAX_BATCH = 16
_MAX_BATCH_PIXELS = 2**16
_WITH_OBJECT = 0.5  # the share of a batch that has the object
_BORDER = 1  # pixels around the object that change with it, in an image of 64 pixels


@sharing_cpus()
def tune_kernels(
    G: Generator, segmenter: FCN, index: int, z: Tensor, masks: Tensor, keep: float
) -> Generator:
    """A copy of G whose kernels, but for the first layer's, are changed so that an object is gone.

    z: latents [N, D]; masks: where `segmenter` finds the class `index` in their images, bool
    [N, S, S]. The kernels minimise the mean of -log(1 - p) over the pixels of the object and beside
    it, where p is the object's probability, and `keep` times the mean absolute change of the other
    pixels, of images in [-1, 1]. A copy of the segmentation network learns in turn, from images
    before and after the change, to find the object at these pixels and elsewhere what `segmenter`
    finds before.
    """
    device = next(G.parameters()).device
    tuned = copy.deepcopy(G).eval().requires_grad_(False)
    finder = copy.deepcopy(segmenter).eval()
    rates = [(kernel, _LR * kernel.square().mean().sqrt().item()) for kernel in kernels(tuned)]
    kernel_groups = [{"params": [kernel.requires_grad_()], "lr": lr} for kernel, lr in rates]
    optimizers = [
        torch.optim.Adam(kernel_groups),
        torch.optim.Adam(finder.parameters(), _FINDER_LR),
    ]
    schedules = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, _STEPS) for optimizer in optimizers
    ]
    layers, place = fold_batch_norm(G).layers, reader(G, 1)
    own = torch.tensor(index, device=device)
    border = max(1, round(_BORDER * G.size / 64))
    batches = _Batches(masks, max(2, min(_MAX_BATCH, _MAX_BATCH_PIXELS // G.size**2)))
    with progress_bar(_STEPS, "forgetting", "step", delay=2) as bar, full_float32_precision():
        for _ in range(_STEPS):
            chosen = batches.draw()
            near = masks[chosen].to(device).float()  # [n, S, S]
            near = F.max_pool2d(near, 2 * border + 1, 1, border)
            with torch.no_grad():
                maps = layers[:place](z[chosen].to(device)[:, :, None, None])  # [n, C, 4, 4]
                before = layers[place:](maps)
                classes = segmenter(before).argmax(1).masked_fill(near > 0, index)
            after = tuned.layers[place:](maps)
            scores = finder.requires_grad_(False)(after)
            others = scores.index_fill(1, own, -torch.inf).logsumexp(1)
            shown = (F.softplus(scores[:, index] - others) * near).sum() / near.sum()
            far = 1 - near
            change = ((after - before).abs().mean(1) * far).sum() / far.sum().clamp(min=1)
            _update(optimizers[0], shown + keep * change)
            found = finder.requires_grad_(True)(torch.cat([before, after.detach()]))
            _update(optimizers[1], F.cross_entropy(found, classes.repeat(2, 1, 1)))
            for schedule in schedules:
                schedule.step()
            bar.update(1)
    return tuned.requires_grad_(False)


class _Batches:
    """Random indices of images, half of them with the object where some lack it."""

    def __init__(self, masks: Tensor, size: int):
        has = masks.flatten(1).any(1)
        groups = [(has.nonzero()[:, 0], _WITH_OBJECT), ((~has).nonzero()[:, 0], 1 - _WITH_OBJECT)]
        self.groups = [(rows, round(share * size)) for rows, share in groups if len(rows)]
        self.rng = torch.Generator().manual_seed(0)

    def draw(self) -> Tensor:
        return torch.cat(
            [
                rows[torch.randint(len(rows), (count,), generator=self.rng)]
                for rows, count in self.groups
            ]
        )


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
