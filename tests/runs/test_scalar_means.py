import torch

from dcgan.runs.scalar_means import ScalarMeans


def scalars(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_means_are_over_the_steps_since_the_last_read():
    means = ScalarMeans()
    means.add(scalars(loss_D=1.0, loss_G=2.0))
    means.add(scalars(loss_G=4.0, loss_D=2.0))
    assert means.read() == {"loss_D": 1.5, "loss_G": 3.0}
    means.add(scalars(loss_D=7.0, loss_G=8.0))
    assert means.read() == {"loss_D": 7.0, "loss_G": 8.0}


def test_restored_sums_give_the_same_means_as_without_interruption():
    whole, first = ScalarMeans(), ScalarMeans()
    steps = [scalars(loss=value) for value in (0.1, 0.7, 0.4)]
    for step in steps:
        whole.add(step)
    for step in steps[:2]:
        first.add(step)
    totals = {name: float(total) for name, total in first.sums.items()}
    resumed = ScalarMeans(totals, first.added)
    resumed.add(steps[2])
    assert resumed.read() == whole.read()


def test_the_given_tensors_are_not_changed():
    """They may be buffers of a CUDA graph."""
    values, means = scalars(loss=1.0), ScalarMeans()
    means.add(values)
    values["loss"] += 1
    means.add(values)
    assert values["loss"] == 2.0
    assert means.read() == {"loss": 1.5}
