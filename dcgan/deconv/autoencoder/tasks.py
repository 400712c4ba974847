"""The tasks of a run that recur every N steps: logging, pictures with PSNR, checkpoints."""

from types import TracebackType

from dcgan.config.denoising import denoise_config_to_dict
from dcgan.data import PackedImages
from dcgan.deconv.autoencoder.batches import split_images
from dcgan.deconv.autoencoder.evaluation import NETWORK, compare_methods, report_levels
from dcgan.deconv.autoencoder.figure import draw_comparison
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.autoencoder.trainer import DenoisingTrainer
from dcgan.errors import UserError
from dcgan.runs.checkpoint import DENOISER
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runs.layout import checkpoint_path
from dcgan.runs.recorder import RunRecorder
from dcgan.training.optimizer import get_lr

_EVALUATED = 128  # held-out images whose PSNR is logged


class DenoisingTasks:
    """Does what is due after each step of a trainer, in its run folder."""

    def __init__(
        self, trainer: DenoisingTrainer, packed: PackedImages, state: DenoisingState | None = None
    ):
        """`state`: that of the checkpoint that the trainer was loaded from, None for a new run."""
        self.trainer, self.config, self.packed = trainer, trainer.config, packed
        self.options = denoise_config_to_dict(self.config)
        self.recorder = RunRecorder(self.options, self.config.out, trainer.device, state)
        held_out = split_images(len(packed), self.config.held_out, self.config.seed)[1]
        self.evaluated, self.saved_step = held_out[:_EVALUATED], trainer.step

    def __enter__(self) -> "DenoisingTasks":
        self.recorder.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until all is written."""
        self.recorder.__exit__(kind, error, traceback)

    def after_step(self, scalars: dict) -> None:
        """Record the 0-dim scalars of the last step, and do the tasks that are due after it.

        Raises UserError for a loss that is not finite, and where an earlier write has failed.
        """
        config = self.config
        log, sample = self._is_due(config.log_every), self._is_due(config.sample_every)
        save = self._is_due(config.save_every)
        if log or sample or save:
            self._check_finite()
        self.recorder.add_step(self.trainer.step, scalars)
        scores = self._evaluate() if sample else {}
        if log or sample:
            self._write_line(scores)
        if save:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one. Raises as `after_step`."""
        if self.saved_step != self.trainer.step:
            self._check_finite()
            self.saved_step = self.trainer.step
            path = checkpoint_path(self.config.out, self.trainer.step)
            self.recorder.write_checkpoint(path, self.state())

    def save_at_once(self) -> None:
        """Write a checkpoint of this step, and wait until everything is written."""
        self.save()
        self.recorder.flush()

    def state(self) -> DenoisingState:
        """The contents of a checkpoint of this step; its tensors are no copies."""
        trainer, recorder, network = self.trainer, self.recorder, self.trainer.network
        sums = {f"sums.{name}": total for name, total in recorder.means.sums.items()}
        return DenoisingState(
            step=trainer.step,
            config=self.options,
            data=self.packed.fingerprint,
            seconds=recorder.seconds(),
            metrics=recorder.metrics,
            summed_steps=recorder.means.added,
            tensors=trainer.tensors() | sums,
            size=network.size,
            channels=network.channels,
            frozen=network.frozen,
            latent=network.decoder.latent,
        )

    def _is_due(self, every: int) -> bool:
        """Whether the step is a multiple of `every`, or the last."""
        step = self.trainer.step
        return step % every == 0 or step == self.config.steps

    def _write_line(self, scores: dict[str, float]) -> None:
        """Log the means since the last line, and scores of held-out images."""
        means = self.recorder.means.read()  # waits for the device
        rate = {"lr": get_lr(self.trainer.optimizer)}
        self.recorder.write_line({**rate, **means, **scores}, {}, f", loss {means['loss']:.4f}")

    def _evaluate(self) -> dict[str, float]:
        """The PSNR of held-out images at each noise level; writes a picture of some."""
        with self.recorder.excluded_from_rate():
            found = compare_methods(
                self.trainer.network,
                self.packed,
                self.evaluated,
                self.config.corruption,
                report_levels(self.config),
                training=None,
            )
            picture = draw_comparison(found)
            log = self.recorder.log
            step = self.trainer.step
            self.recorder.writer.submit(log.add_sample_picture, step, "samples/denoised", picture)
        return {
            f"psnr/{level:g}": value
            for level, value in zip(found.levels, found.psnr[NETWORK], strict=True)
        }

    def _check_finite(self) -> None:
        """Raise UserError where a loss or gradient was not finite. Waits for the device."""
        if self.trainer.found_non_finite.item():
            self.recorder.flush()
            found = latest_checkpoint(self.config.out, kind=DENOISER)
            raise UserError(
                f"the loss is not finite at step {self.trainer.step}: try a lower --lr; the last "
                f"good checkpoint is {found.path if found else 'none'}"
            )
