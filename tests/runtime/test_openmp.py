"""How torch's OpenMP threads wait, in processes that import torch and dcgan in any order."""

import os
import subprocess
import sys

import pytest

from dcgan.runtime.threads import available_cpus

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP elsewhere")

# Threads that wait for the next product use CPU time only where they spin.
CPU_SECONDS = """
import time
x = torch.ones(300, 300)
x @ x
started = time.process_time()
for _ in range(60):
    x @ x
    time.sleep(0.003)
print(time.process_time() - started)
"""


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter, in which only these variables of OpenMP are set."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    command, environment = [sys.executable, "-c", code], {**ours, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("users", "expected"),
    [({}, "'1000'"), ({"GOMP_SPINCOUNT": "7"}, "'7'"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "'0'")],
)
def test_importing_dcgan_limits_spinning_unless_the_user_has_chosen(users, expected):
    """OpenMP itself reports the settings that it found when torch loaded it."""
    done = run_python("import dcgan, torch", OMP_DISPLAY_ENV="verbose", **users)
    assert f"GOMP_SPINCOUNT = {expected}" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(available_cpus() < 2, reason="a single thread does not wait")
def test_threads_sleep_early_where_torch_was_imported_first_too():
    configure = "import torch, dcgan; from dcgan.runtime.device import configure_torch\n"
    configure += "configure_torch()\n"
    first, spinning = (
        float(run_python(code + CPU_SECONDS, **users).stdout)
        for code, users in ((configure, {}), (configure, {"GOMP_SPINCOUNT": "300000"}))
    )
    assert first < 0.5 * spinning
