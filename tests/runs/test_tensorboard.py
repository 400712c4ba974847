import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow as reference
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from torch.utils.tensorboard import SummaryWriter

from dcgan import images
from dcgan.runs import tensorboard


@given(st.binary(max_size=300))
def test_the_checksum_equals_that_of_tensorboard(data):
    assert int.from_bytes(tensorboard._masked_crc32c(data), "little") == reference.masked_crc32c(
        data
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_reads_the_same_as_from_torch_s_summary_writer(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    values = {"loss": 0.1, "rate": 1e9, "none": float("nan")}
    (tmp_path / "ours").mkdir()
    ours = tensorboard.EventFileWriter(tmp_path / "ours", 0)
    ours.add_scalars(50, values)
    ours.add_image(50, "a picture", picture.shape, images.encode_png(picture))
    with SummaryWriter(str(tmp_path / "torch"), purge_step=0) as writer:
        for tag, value in values.items():
            writer.add_scalar(tag, value, 50)
        writer.add_image("a picture", picture, 50, dataformats="HWC")
    read = [EventAccumulator(str(tmp_path / name)).Reload() for name in ("ours", "torch")]
    assert read[0].Tags() == read[1].Tags()
    assert read[0].file_version == read[1].file_version
    for tag in values:
        (a,), (b,) = (log.Scalars(tag) for log in read)
        assert a.step == b.step
        np.testing.assert_equal(a.value, b.value)
        assert abs(a.wall_time - b.wall_time) < 60
    (a,), (b,) = (log.Images("a picture") for log in read)
    assert (a.step, a.width, a.height) == (b.step, b.width, b.height)
    drawn = [Image.open(io.BytesIO(event.encoded_image_string)) for event in (a, b)]
    assert drawn[0].mode == {1: "L", 3: "RGB"}[channels]
    assert (np.asarray(drawn[0].convert("RGB")) == np.asarray(drawn[1])).all()


def test_a_second_file_replaces_the_events_from_its_purge_step_on(tmp_path):
    for purge, steps in ((0, (1, 2, 3)), (3, (3, 4))):
        file = tensorboard.EventFileWriter(tmp_path, purge)
        for step in steps:
            file.add_scalars(step, {"x": purge + step})
    assert len(list(tmp_path.iterdir())) == 2
    points = EventAccumulator(str(tmp_path)).Reload().Scalars("x")
    assert [(p.step, p.value) for p in points] == [(1, 1), (2, 2), (3, 6), (4, 7)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the plugin imports
def test_the_text_plugin_shows_texts_as_markdown(tmp_path):
    """Read by the plugin itself, through the data provider that TensorBoard's server uses."""
    from tensorboard.plugins.text.text_plugin import TextPlugin

    text = "D wins everything: try a lower `--lr-D` or Größe"
    (tmp_path / "ours").mkdir()
    ours = tensorboard.EventFileWriter(tmp_path / "ours", 0)
    ours.add_text(50, "health", text)
    ours.add_text(70, "health", "more")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
    plugin = TextPlugin(TBContext(data_provider=provider))
    shown = plugin.text_impl(RequestContext(), "ours", "health", "", enable_markdown=True)
    assert plugin.index_impl(RequestContext(), "") == {"ours": ["health"]}
    assert [event["step"] for event in shown] == [50, 70]
    html = "<p>D wins everything: try a lower <code>--lr-D</code> or Größe</p>"
    assert [event["text"] for event in shown] == [html, "<p>more</p>"]


def test_a_new_file_sorts_after_older_ones_even_if_the_clock_was_set_back(tmp_path, monkeypatch):
    """Otherwise TensorBoard reads it first, and drops its events as older than the others."""
    begun = tensorboard.EventFileWriter(tmp_path, 0)
    for step in (1, 2, 3, 4):
        begun.add_scalars(step, {"a": step})
    (tmp_path / "events.out.tfevents.mine").write_bytes(b"")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    for start in (3, 5):
        tensorboard.EventFileWriter(tmp_path, start).add_scalars(start, {"a": 10 * start})
    points = EventAccumulator(str(tmp_path)).Reload().Scalars("a")
    assert [(point.step, point.value) for point in points] == [(1, 1), (2, 2), (3, 30), (5, 50)]
