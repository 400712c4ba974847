"""`dcgan features`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import FeaturesConfig
from dcgan.runtime.terminal import print_lines


def features(args: Sequence[str], prog: str) -> None:
    """Classify images by D's features with few labels, beside random filters, pixels, PCA, ..."""
    config = parse_flags(FeaturesConfig, args, prog, features.__doc__)

    import json

    from dcgan.deconv.linear_probe import compare_features
    from dcgan.explore.outputs import check_outputs
    from dcgan.runtime.atomic_files import replace_atomically

    if config.out is not None:
        check_outputs([config.out], [config.checkpoint])
    table = compare_features(config)
    print_lines(*table.lines())
    if config.out is not None:
        with replace_atomically(config.out) as partial:
            content = json.dumps(table.to_json(), indent=2)
            partial.write_text(content + "\n", encoding="utf-8")
        print_lines(config.out)
