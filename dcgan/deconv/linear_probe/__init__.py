"""Features for classification with few labels (Radford et al. 2015, section 5).

`compare_features` does what the command does. Of its parts, `discriminator_features`, `extract` and
`scale` give features, and `probe` classifies by them.
"""

from dcgan.deconv.linear_probe.baselines import (
    PrincipalComponents,
    fit_principal_components,
)
from dcgan.deconv.linear_probe.comparison import compare_features, feature_arrays
from dcgan.deconv.linear_probe.features import (
    DiscriminatorFeatures,
    FeatureFunction,
    discriminator_features,
    extract,
    pixel_features,
    scale,
)
from dcgan.deconv.linear_probe.protocol import C_GRID, FeatureArrays, ProbeScores, probe
from dcgan.deconv.linear_probe.supervised import SupervisedCnn, probe_supervised
from dcgan.deconv.linear_probe.svm import LinearSvm
from dcgan.deconv.linear_probe.table import ProbeTable
from dcgan.deconv.linear_probe.tasks import Split, Task, label_tasks, split_images

__all__ = [
    "C_GRID",
    "DiscriminatorFeatures",
    "FeatureArrays",
    "FeatureFunction",
    "LinearSvm",
    "PrincipalComponents",
    "ProbeScores",
    "ProbeTable",
    "Split",
    "SupervisedCnn",
    "Task",
    "compare_features",
    "discriminator_features",
    "extract",
    "feature_arrays",
    "fit_principal_components",
    "label_tasks",
    "pixel_features",
    "probe",
    "probe_supervised",
    "scale",
    "split_images",
]
