"""The direction in the space of a layer's maps whose removal takes an object out of the images.

A whole map draws parts of several things. A direction need not: it is found by gradient descent
through the rest of the generator and a segmentation network, so that the object disappears from its
pixels and the others stay. The maps may only be read and changed along one vector each, which is a
change of rank one in the next kernel (as Bau et al. 2020, arXiv:2007.15646, rewrite a rule of a
generator).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.fcn import FCN
from dcgan.deconv.forget.editing import reader
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.device import full_float32_precision
from dcgan.runtime.progress import progress_bar

_STEPS = 200
_LR = 0.01
_MAX_BATCH = 16
_MAX_BATCH_PIXELS = 2**16
_WITH_OBJECT = 0.75  # the share of a batch that has the object
_BORDER = 2  # pixels around the object that may change too, in an image of 64 pixels


@sharing_cpus()
def find_direction(
    G: Generator,
    segmenter: FCN,
    index: int,
    layer: int,
    z: Tensor,
    masks: Tensor,
    start: tuple[Tensor, Tensor],
    keep: float,
) -> tuple[Tensor, Tensor]:
    """Vectors [C] on the CPU for `erase_direction`: what is read of a layer's maps, and removed.

    z: latents [N, D]; masks: where `segmenter` finds the class `index` in their images, bool
    [N, S, S]. start: the weights [C] of the maps to begin with, for maps divided by their
    deviations [C], as `map_weights` returns them. Minimises the mean of -log(1 - p) over the
    object's pixels, where p is the object's probability, and `keep` times the mean absolute change
    of all pixels that are not of the object or beside it.
    """
    device = next(G.parameters()).device
    layers, place = fold_batch_norm(G).layers, reader(G, layer)
    has = masks.flatten(1).any(1)
    groups = [group for group in (has.nonzero()[:, 0], (~has).nonzero()[:, 0]) if len(group)]
    shares = (_WITH_OBJECT, 1 - _WITH_OBJECT) if len(groups) == 2 else (1.0,)
    batch = max(2, min(_MAX_BATCH, _MAX_BATCH_PIXELS // G.size**2))
    border = max(1, round(_BORDER * G.size / 64))
    weights, scale = (each.to(device) for each in start)
    reads = F.normalize(weights, dim=0).requires_grad_()
    removes = torch.zeros_like(reads).requires_grad_()
    optimizer = torch.optim.Adam([reads, removes], _LR)
    rng = torch.Generator().manual_seed(0)
    with progress_bar(_STEPS, "finding the direction", "step", delay=2) as bar:
        for step in range(_STEPS):
            chosen = torch.cat(
                [
                    group[torch.randint(len(group), (max(1, round(share * batch)),), generator=rng)]
                    for group, share in zip(groups, shares, strict=True)
                ]
            )
            latents = z[chosen].to(device)
            mask = masks[chosen].to(device).float()  # [n, S, S]
            far = 1 - F.max_pool2d(mask, 2 * border + 1, 1, border)
            with full_float32_precision():
                with torch.no_grad():
                    maps = layers[:place](latents[:, :, None, None])  # [n, C, h, w]
                    before = layers[place:](maps)
                amount = torch.einsum("nchw,c->nhw", maps, reads / scale)
                after = layers[place:](maps - amount[:, None] * (removes * scale)[:, None, None])
                scores = segmenter(after)
            own = torch.tensor(index, device=device)
            others = scores.index_fill(1, own, -torch.inf).logsumexp(1)
            shown = F.softplus(scores[:, index] - others).sum() / mask.sum()
            change = ((after - before).abs().mean(1) * far).sum() / far.sum().clamp(min=1)
            optimizer.param_groups[0]["lr"] = _LR * (1 - step / _STEPS)
            optimizer.zero_grad()
            (shown + keep * change).backward()
            optimizer.step()
            bar.update(1)
    return (reads / scale).detach().cpu(), (removes * scale).detach().cpu()
