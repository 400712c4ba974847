"""The optimizers against torch's own, and what they import."""

import subprocess
import sys

import pytest
import torch

from dcgan.training.eager_optimizers import SGD, Adam


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (Adam, torch.optim.Adam, dict(lr=0.1, betas=(0.5, 0.9))),
        (SGD, torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
    ],
)
@pytest.mark.parametrize("fused", [False, True])
def test_they_update_as_those_of_torch(ours, theirs, options, fused):
    torch.manual_seed(0)
    start, targets = torch.randn(5), torch.randn(3, 5)
    ends = []
    for kind in (ours, theirs):
        weights = torch.nn.Parameter(start.clone())
        optimizer = kind([weights], fused=fused, **options)
        for target in targets:
            optimizer.zero_grad()
            (weights - target).square().sum().backward()
            optimizer.step()
        ends.append(weights.detach())
    assert not torch.equal(ends[0], start)
    assert torch.equal(*ends)


def test_they_do_not_import_the_compiler():
    """Which would take as long as the import of torch."""
    probe = (
        "import sys, torch\n"
        "from dcgan.training.eager_optimizers import SGD, Adam\n"
        "for kind in (SGD, Adam):\n"
        "    weights = torch.nn.Parameter(torch.ones(2))\n"
        "    optimizer = kind([weights], lr=0.1, fused=True)\n"
        "    optimizer.zero_grad()\n"
        "    weights.sum().backward()\n"
        "    optimizer.step()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0
