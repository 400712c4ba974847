"""torch's optimizers without the import of its compiler, which takes as long as that of torch.

`torch.optim` wraps its methods for the case that they are compiled, and the first call of a wrapper
imports the compiler. Networks are compiled here, optimizers are not: the methods without their
wrappers do the same.
"""

from inspect import unwrap

import torch


class _Eager(torch.optim.Optimizer):
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)


class Adam(_Eager, torch.optim.Adam):
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class SGD(_Eager, torch.optim.SGD):
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))
