"""Losses against hand-made maps, pools on disk, and whole runs of a tiny network."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.lab import scenes
from model.lab.training import config as stages
from model.lab.training import trainer
from model.lab.training.__main__ import main
from model.lab.training.augment import Changes, changed
from model.lab.training.batch import Batch, Pictures, batches, draw, held_back, validation
from model.lab.training.config import STAGES, StageName, TrainConfig
from model.lab.training.losses import derivative_losses, mean_log_error
from model.lab.training.optimizers import optimizers_for
from model.lab.training.pool import Pool, PoolConfig, render
from model.lab.training.readout import (
    LEAST_LOG,
    MOST_LOG,
    begin_with_readout,
    detail_map,
    join_finer,
    refined,
)
from model.lab.training.start import init_for_training, init_transformer
from model.lab.training.tasks import draw_tiles, task
from model.lab.training.trainer import Trainer
from model.network import DepthProNetwork, init_random
from model.network.config import PRESETS, NetworkConfig
from model.network.depth_pro import pyramid
from model.network.layers import tokens_to_map
from model.network.tiles import merge_tiles, split_tiles
from model.weights import load, save
from stream.errors import ConfigError, ModelError, WeightsError
from tests.support.process import ROOT
from tests.support.tiny import TINY, tiny_model


def slope(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.linspace(0.2, 1.0, width).expand(1, height, width).clone()


# Losses ---------------------------------------------------------------------------------------------------------------


def test_losses_are_zero_for_the_truth_and_grow_with_the_error() -> None:
    def losses(error: float) -> list[float]:
        C = slope() * (1 + error)
        return [float(loss) for loss in (mean_log_error(C, slope()), *derivative_losses(C, slope()).values())]

    assert losses(0.0) == [0.0] * 4
    assert all(0 < little < much for little, much in zip(losses(0.1), losses(0.2), strict=True))


def test_an_error_counts_by_its_ratio_in_near_and_in_far_pictures() -> None:
    near, far = slope(), slope() / 8
    torch.testing.assert_close(mean_log_error(1.1 * near, near), mean_log_error(1.1 * far, far))
    assert derivative_losses(1.1 * near, near)["MAGE"] == pytest.approx(
        float(derivative_losses(1.1 * far, far)["MAGE"]), rel=1e-5
    )


def test_derivatives_do_not_see_an_offset_but_a_blurred_edge() -> None:
    target = torch.full((1, 32, 32), 0.2)
    target[:, :, 16:] = 1.0
    blurred = torch.nn.functional.avg_pool2d(target[:, None], 5, stride=1, padding=2, count_include_pad=False)[:, 0]
    for name, loss in derivative_losses(target + 0.05, target).items():
        assert float(loss) < 1e-6, name
        assert float(derivative_losses(blurred, target)[name]) > 1e-3, name


def test_the_gradient_is_in_units_of_the_mean_per_pixel() -> None:
    """A ramp that is too steep by 1 % of the mean per pixel: |∇x| = 0.01 and |∇y| = 0 at the finest scale."""
    target = torch.full((1, 64, 64), 0.5)
    steeper = target + 0.005 * torch.arange(64.0)
    assert float(derivative_losses(steeper, target, scales=1)["MAGE"]) == pytest.approx(0.01 / 2, rel=1e-4)


def test_the_sky_weighs_but_is_never_divided_by() -> None:
    sky = torch.zeros(1, 32, 32)
    assert float(mean_log_error(sky, sky)) == 0
    assert torch.isfinite(mean_log_error(sky + 0.1, sky))


# Pools ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, rendered by two processes."""
    folder = tmp_path_factory.mktemp("pool")
    done = sorted(render(folder, PoolConfig(count=6, size=64, samples=1, first_seed=40), processes=2))
    assert done == [(index, 0) for index in range(6)]
    return folder


@pytest.fixture(scope="module")
def pool(pool_folder: Path) -> Pool:
    return Pool.open(pool_folder)


def test_a_pool_holds_the_rendered_truth(pool: Pool) -> None:
    """The picture is not one that was squeezed when it was done: that would show by how much."""
    still = scenes.still(scenes.TRAIN_SEEDS[43], long_side=64, squeezed=True, samples=1)
    assert float(pool.focal[3]) == pytest.approx(still.f_px / 64)
    assert np.array_equal(pool.image[3], still.image)
    assert np.array_equal(pool.inverse_depth[3], (1 / still.depth).astype(np.float16))
    unsqueezed = scenes.still(scenes.TRAIN_SEEDS[43], long_side=64, samples=1)
    assert min(unsqueezed.image.shape[:2]) < 64
    assert float(pool.focal[3]) == pytest.approx(unsqueezed.f_px / unsqueezed.image.shape[1])
    assert (pool.inverse_depth[3] == 0).mean() == pytest.approx(np.isinf(unsqueezed.depth).mean(), abs=0.02)


def test_an_interrupted_pool_goes_on(tmp_path: Path) -> None:
    config = PoolConfig(count=3, size=32, samples=1)
    Pool.create(tmp_path, config).put(1, np.full((32, 32, 3), 7, np.uint8), np.full((32, 32), 2, np.float32), 24.0)
    assert sorted(render(tmp_path, config, processes=1)) == [(0, 0), (2, 0)]
    done = Pool.open(tmp_path)
    assert done.image[1].max() == 7
    assert float(done.focal[1]) == 0.75
    assert list(render(tmp_path, config, processes=1)) == []


def test_a_pool_grows(tmp_path: Path) -> None:
    small = Pool.create(tmp_path, PoolConfig(count=2, size=32))
    small.put(1, np.full((32, 32, 3), 7, np.uint8), np.full((32, 32), 2, np.float32), 24.0)
    large = Pool.create(tmp_path, PoolConfig(count=5, size=32))
    assert large.missing() == [0, 2, 3, 4]
    assert large.image[1].max() == 7
    assert float(Pool.open(tmp_path).focal[1]) == 0.75


@pytest.mark.parametrize(
    ("other", "advice"),
    [
        ({"count": 2}, "has 3 pictures already"),
        ({"size": 64, "samples": 1}, "holds a pool with `size=32`, `samples=2`; render it so"),
        ({"samples": 1}, "`samples=2`"),
        ({"first_seed": 1, "count": 4}, "`first_seed=0`"),
    ],
)
def test_another_pool_in_the_same_folder_is_refused(tmp_path: Path, other: dict[str, int], advice: str) -> None:
    Pool.create(tmp_path, PoolConfig(count=3, size=32))
    with pytest.raises(ConfigError, match=advice):
        Pool.create(tmp_path, PoolConfig(**({"count": 3, "size": 32} | other)))


def test_a_pool_without_pictures_and_a_folder_without_a_pool_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"python -m model\.lab\.training render"):
        Pool.open(tmp_path)
    Pool.create(tmp_path, PoolConfig(count=3, size=32))
    with pytest.raises(ConfigError, match="no picture yet"):
        Pool.open(tmp_path)
    (tmp_path / "film.mp4").touch()
    with pytest.raises(ConfigError, match=r"film\.mp4 is a file, and a pool is a folder"):
        Pool.create(tmp_path / "film.mp4", PoolConfig(count=3, size=32))


@pytest.mark.parametrize("file", ["pool.json", "image.npy", "ready.npy"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"count": 3, "sides": 4}', b"[]", None])
def test_a_damaged_pool_is_to_be_rendered_again(tmp_path: Path, file: str, content: bytes | None) -> None:
    config = PoolConfig(count=3, size=32)
    pool = Pool.create(tmp_path, config)
    pool.ready[:] = True
    del pool
    if content is None:
        content = (tmp_path / file).read_bytes()[:-1]
    (tmp_path / file).write_bytes(content)
    for action in (lambda: Pool.open(tmp_path), lambda: Pool.create(tmp_path, config)):
        with pytest.raises(ConfigError, match="delete the folder and render it again"):
            action()


def test_a_pool_larger_than_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GB free"):
        Pool.create(tmp_path / "pool", PoolConfig(count=100_000_000, size=4096))
    assert not list((tmp_path / "pool").iterdir())


def test_seeds_held_out_for_evaluation_cannot_be_trained_on() -> None:
    with pytest.raises(ConfigError, match="held out"):
        PoolConfig(count=2, first_seed=2**31 - 1)


def on_cpu(pool: Pool) -> Pictures:
    return Pictures(pool, torch.device("cpu"))


def test_batches_depend_on_seed_and_number_alone(pool: Pool) -> None:
    feed = batches(on_cpu(pool), seed=5, start=0, count=2, size=64)
    first, second = next(feed), next(feed)
    feed.close()
    resumed = batches(on_cpu(pool), seed=5, start=1, count=2, size=64)
    assert torch.equal(next(resumed).x_B3SS, second.x_B3SS)
    resumed.close()
    assert not torch.equal(first.x_B3SS, second.x_B3SS)


def test_held_back_pictures_are_never_drawn(pool: Pool) -> None:
    assert held_back(pool) == 1
    assert len(validation(on_cpu(pool), 64).fov_B) == 1
    focal = float(pool.focal[0])
    rng = np.random.default_rng(0)
    drawn = torch.cat([0.5 / torch.tan(torch.deg2rad(draw(on_cpu(pool), rng, 8, 64).fov_B) / 2) for _ in range(8)])
    assert float((drawn - focal).abs().min()) > 1e-4


def test_what_is_held_back_is_shown_as_it_is(pool: Pool) -> None:
    size = pool.config.size
    batch = validation(on_cpu(pool), size)
    shown = torch.from_numpy(pool.image[[0]]).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert float((batch.x_B3SS - shown).abs().max()) < 1e-5
    truth = torch.from_numpy(pool.inverse_depth[[0]].astype(np.float32)) * float(pool.focal[0])
    assert torch.equal(batch.target_BSS, truth)


def square(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A white square on black, 128 pixels, at 2 m."""
    image = torch.zeros(count, 128, 128, 3, dtype=torch.uint8)
    image[:, 54:74, 54:74] = 255
    return image, torch.full((count, 128, 128), 0.5, dtype=torch.float16)


@pytest.mark.parametrize("size", [64, 256])
def test_a_crop_lengthens_the_focal_length_as_it_magnifies(size: int) -> None:
    """A square of known size stays ``C``-consistent: its width in the picture over ``C`` never changes."""
    changes = Changes.draw(np.random.default_rng(1), 40)
    x, inverse = changed(*square(40), changes, size)
    row = x[:, :, size // 2].mean(1)
    levels = row.amin(1) + row.amax(1)
    width = (row > levels[:, None] / 2).float().mean(1)
    focal = torch.from_numpy(0.8 * changes.zoom_x)
    assert width / focal == pytest.approx(np.full(40, 20 / 128 / 0.8), rel=0.06 if size == 256 else 0.16)
    assert torch.all(inverse == 0.5)
    assert len({round(float(f), 3) for f in focal}) > 10


@pytest.mark.needs_cuda
def test_a_gpu_keeps_pictures_that_become_ready_and_makes_the_same_batches(tmp_path: Path) -> None:
    size, count = 64, 6
    pool = Pool.create(tmp_path / "pool", PoolConfig(count=count, size=size))
    rng = np.random.default_rng(3)

    def put(index: int) -> None:
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        pool.put(index, image, rng.uniform(1, 5, (size, size)).astype(np.float32), 50.0)

    put(0)
    put(1)
    gpu, cpu = Pictures(pool, torch.device("cuda")), on_cpu(pool)
    assert gpu.ready().tolist() == [True, True] + [False] * 4
    put(2)
    gpu._looked_s = -1e9  # long ago
    assert np.flatnonzero(gpu.ready()).tolist() == [0, 1, 2]
    changes = replace(Changes.draw(rng, 3), noise=np.zeros(3, np.float32))  # devices draw noise of their own
    indices = np.array([2, 0, 1])
    there, here = (pictures.take(indices, changes, size) for pictures in (gpu, cpu))
    for field in fields(Batch):
        one, other = (getattr(batch, field.name) for batch in (there, here))
        assert one.device.type == "cuda"
        assert float((one.cpu() - other).abs().mean()) < 1e-3


def test_a_mirrored_picture_has_mirrored_depth() -> None:
    rng = np.random.default_rng(2)
    image = torch.from_numpy(rng.integers(0, 256, (1, 64, 64, 3), np.uint8))
    inverse = torch.from_numpy(rng.random((1, 64, 64)).astype(np.float16))
    plain = Changes.none(1)
    mirrored = replace(plain, mirror=-plain.mirror)
    for one, other in zip(changed(image, inverse, plain, 64), changed(image, inverse, mirrored, 64), strict=True):
        assert float((one.flip(-1) - other).abs().max()) < 1e-4


def test_colours_change_as_they_are_told() -> None:
    """Against the same in numpy, one pixel for all."""
    plain = Changes.none(1)
    image = torch.tensor([200, 100, 50], dtype=torch.uint8).expand(1, 8, 8, 3)
    inverse = torch.zeros(1, 8, 8, dtype=torch.float16)
    one = {name: np.float32([value]) for name, value in (("saturation", 0.6), ("gamma", 1.3), ("contrast", 0.9))}
    changes = replace(plain, **one, shift=np.float32([0.05]), balance=np.float32([[1.1, 1.0, 0.9]]))
    x, _ = changed(image, inverse, changes, 8)
    rgb = np.array([200, 100, 50]) / 255
    grey = rgb @ [0.299, 0.587, 0.114]
    rgb = (grey + 0.6 * (rgb - grey)) ** 1.3 * [1.1, 1.0, 0.9]
    rgb = 0.5 + 0.9 * (rgb - 0.5) + 0.05
    assert x[0, :, 3, 3].numpy() == pytest.approx(2 * rgb - 1, abs=1e-5)


def test_blur_and_noise_are_as_wide_as_they_are_told() -> None:
    image, inverse = square(3)
    changes = replace(
        Changes.none(3), blur=np.float32([0, 1.0, 0]), noise=np.float32([0, 0, 0.03]), contrast=np.full(3, 0.5, "f4")
    )
    x, _ = changed(image, inverse, changes, 128)
    edge = torch.diff(x[1, 0, 64, 46:62])
    place = torch.arange(len(edge)) - (edge * torch.arange(len(edge))).sum() / edge.sum()
    assert float(((edge * place**2).sum() / edge.sum()).sqrt()) == pytest.approx(1.0, abs=0.03)
    assert float(torch.diff(x[0, 0, 64, 46:62]).count_nonzero()) == 1
    assert float((x[2] - x[0]).std()) == pytest.approx(2 * 0.03, rel=0.03)
    assert float((x[2] - x[0])[:, :40].mean().abs()) < 0.002


# Start and steps ------------------------------------------------------------------------------------------------------


def test_the_start_attends_to_what_is_alike_and_sees_smoothly() -> None:
    network = DepthProNetwork(TINY)
    init_for_training(network.requires_grad_(False), 3)
    vit = network.encoder.image_encoder
    width, heads = vit.embed_dim, vit.blocks[0].attn.num_heads
    queries, keys, values = vit.blocks[1].attn.qkv.weight.split(width)
    for query, key in zip(queries.chunk(heads), keys.chunk(heads), strict=True):
        alike = query.T @ key  # [width, width], rank width / heads
        assert float(alike.trace()) > 0.2 * width
    assert float((vit.blocks[1].attn.proj.weight @ values).trace()) < -0.2 * width
    filters = vit.patch_embed.proj.weight
    assert float(filters[0].std()) < 1e-6  # the first is the mean brightness
    gram = filters.flatten(1) @ filters.flatten(1).T
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-5, rtol=0)
    again = DepthProNetwork(TINY)
    init_for_training(again, 3)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_every_parameter_has_one_optimizer_and_matrices_have_muon() -> None:
    network = DepthProNetwork(TINY)
    init_for_training(network, 0)
    adamw, muon = optimizers_for([network], stages.Depth(learning_rate=0.01, weight_decay=0.0))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    adamw.step()
    by_adamw = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    muon.step()
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(before)
    by_muon = changed - by_adamw
    assert "encoder.patch_encoder.patch_embed.proj.weight" in by_muon
    assert "fov.encoder.0.blocks.1.mlp.fc1.weight" in by_muon
    assert "decoder.convs.1.weight" in by_adamw
    # Muon's step has the same length in all directions: its singular values are alike.
    name = "encoder.image_encoder.blocks.0.mlp.fc1.weight"
    step = torch.linalg.svdvals(network.get_parameter(name).detach() - before[name])
    assert float(step.min() / step.max()) > 0.4


# Runs -----------------------------------------------------------------------------------------------------------------


def short(**changes: object) -> TrainConfig:
    """A run of three steps a stage."""
    values: dict[str, object] = {
        "backbone": stages.Backbone(steps=3, batch=2),
        "tiles": stages.Tiles(steps=3, batch=1),
        "depth": stages.Depth(steps=3, batch=1),
        "boundaries": stages.Boundaries(steps=2, batch=1),
        "fov": stages.Fov(steps=3, batch=2),
    }
    return TrainConfig(**(values | changes))  # type: ignore[arg-type]


def only(*names: StageName) -> TrainConfig:
    """A run of these stages, of three steps each."""
    config = short()
    left_out = {name: replace(config.stage(name), steps=0) for name in STAGES if name not in names}
    return replace(config, **left_out)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save(tiny_model().network, path, trained=False)
    return str(path)


def test_a_run_leaves_a_network_the_product_loads_and_what_to_look_at(tmp_path: Path, pool: Pool, tiny: str) -> None:
    path = Trainer(tmp_path, [pool], short(), start_from=tiny).run()
    loaded = load(str(path))
    assert loaded.trained
    assert loaded.config == TINY
    before = load(tiny).network.state_dict()
    changed = {
        name.split(".")[0] for name, tensor in loaded.network.state_dict().items() if (tensor != before[name]).any()
    }
    assert changed == {"encoder", "decoder", "head", "fov"}
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == list(STAGES)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {f"{name}.safetensors" for name in STAGES} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize("second", ["tiles", "depth"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    second: StageName, tmp_path: Path, pool: Pool, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = only("backbone", second)
    whole = Trainer(tmp_path / "whole", [pool], config, start_from=tiny).run()

    stopped = Trainer(tmp_path / "broken", [pool], config, start_from=tiny)
    step = stopped._step

    steps = itertools.count(1)

    def stop_in_the_fifth(*args: Any) -> Any:  # the second of the second stage
        if next(steps) == 5:
            stopped.stop()
        return step(*args)

    monkeypatch.setattr(stopped, "_step", stop_in_the_fifth)
    assert stopped.run() is None
    assert not (tmp_path / "broken" / "trained.safetensors").exists()
    resumed = Trainer(tmp_path / "broken", [pool], config, start_from=tiny).run()
    assert len((tmp_path / "broken" / "history.jsonl").read_text().splitlines()) == 2
    a, b = (load(str(path)).network.state_dict() for path in (whole, resumed))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


def test_a_damaged_checkpoint_is_named(tmp_path: Path, pool: Pool, tiny: str) -> None:
    Trainer(tmp_path, [pool], only("backbone"), start_from=tiny).run()
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match=r"checkpoint\.pt is damaged"):
        Trainer(tmp_path, [pool], only("backbone"), start_from=tiny)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_validations_need_a_time(seconds: float) -> None:
    with pytest.raises(ConfigError, match="`validate_every`"):
        TrainConfig(validate_every=seconds)


def test_no_process_renders_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="processes"):
        list(render(tmp_path, PoolConfig(count=2, size=32), processes=0))


def test_another_configuration_does_not_continue_a_run(tmp_path: Path, pool: Pool, tiny: str) -> None:
    Trainer(tmp_path, [pool], short(), start_from=tiny).run()
    with pytest.raises(ConfigError, match=r"as it was begun, `seed=0`, `depth\.steps=3`, or"):
        Trainer(tmp_path, [pool], short(seed=1, depth=stages.Depth(steps=4, batch=1)), start_from=tiny)
    with pytest.raises(ConfigError, match=r"as it was begun, `start_from=.*`, or"):
        Trainer(tmp_path, [pool], short())


def test_a_run_without_a_start_is_gone_on_with_without_one(tmp_path: Path, pool: Pool, tiny: str) -> None:
    config = only("backbone")
    checkpoint = {"config": {"start_from": None} | asdict(config), "stage": "backbone", "step": 1}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match="as it was begun, without `start_from`, or"):
        Trainer(tmp_path, [pool], config, start_from=tiny)


def test_a_runs_folder_is_a_model_and_its_checkpoint_is_none(tmp_path: Path, pool: Pool, tiny: str) -> None:
    Trainer(tmp_path, [pool], only("backbone"), start_from=tiny).run()
    assert load(str(tmp_path)).trained
    with pytest.raises(WeightsError, match=r"take trained\.safetensors"):
        load(str(tmp_path / "checkpoint.pt"))


def test_a_disk_that_fills_is_told_in_a_line(
    tmp_path: Path, pool: Pool, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer, "draw_curves", full)
    with pytest.raises(
        ModelError, match=r"history\.jsonl and curves\.png cannot be written: No space left on device; make"
    ):
        Trainer(tmp_path, [pool], only("backbone"), start_from=tiny).run()


def test_pictures_that_are_enlarged_are_told_of(
    tmp_path: Path, pool: Pool, tiny: str, caplog: pytest.LogCaptureFixture
) -> None:
    larger = replace(TINY, tile_size=128)  # than the pool's pictures of 64 pixels
    Trainer(tmp_path / "alike", [pool], only("backbone"), start_from=tiny).run()
    assert not caplog.records
    network = DepthProNetwork(larger)
    init_for_training(network, 0)
    save(network, tmp_path / "larger.safetensors", trained=False)
    Trainer(tmp_path / "run", [pool], only("backbone"), start_from=str(tmp_path / "larger.safetensors")).run()
    assert "pictures of 64 pixels are enlarged to 128" in caplog.text


def test_a_start_that_cannot_be_loaded_leaves_no_run(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(WeightsError):
        Trainer(tmp_path / "run", [pool], short(), start_from=str(tmp_path / "nothing.safetensors"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "rate"), [("backbone", 5e-3), ("depth", 2e-3), ("fov", 5e-3)])
def test_steps_lower_the_loss(pool: Pool, name: StageName, rate: float) -> None:
    """A dozen or two on one batch: what is off by a factor comes near."""
    network = DepthProNetwork(TINY)
    init_for_training(network, 0)
    learner = task(name, network)
    optimizers = optimizers_for(learner.trained(), stages.Depth(learning_rate=rate))
    batch = validation(on_cpu(pool), learner.size)
    losses = []
    for _ in range(25):
        loss = torch.stack(list(learner.loss(batch).values())).sum()
        losses.append(loss.item())
        learner.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


def test_the_fov_stage_changes_its_branch_alone(pool: Pool) -> None:
    network = DepthProNetwork(TINY)
    init_random(network, 0)
    learner = task("fov", network)
    x = validation(on_cpu(pool), learner.size)
    torch.testing.assert_close(  # the shortcut through the smallest picture is the network itself
        learner.predict(x)[1],
        network(torch.nn.functional.interpolate(x.x_B3SS, scale_factor=4, mode="nearest"))[1],
        rtol=1e-4,
        atol=1e-4,
    )
    sum(learner.loss(x).values()).backward()  # type: ignore[union-attr]
    with_gradient = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert with_gradient == {"fov"}


def test_the_configuration_is_in_the_file(tmp_path: Path, pool: Pool, tiny: str) -> None:
    import safetensors

    path = Trainer(tmp_path, [pool], short(backbone=stages.Backbone(steps=0)), start_from=tiny).run()
    assert path is not None
    with safetensors.safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["training"])
    # Of the file it started from, the name alone: folders are nobody's business.
    assert told == {"start_from": "tiny.safetensors", **asdict(short(backbone=stages.Backbone(steps=0)))}


@pytest.mark.parametrize(
    "values", [{"steps": -1}, {"batch": 0}, {"learning_rate": 0.0}, {"average": 1.0}, {"learning_rate": float("nan")}]
)
def test_numbers_that_cannot_train_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        stages.Depth(**values)  # type: ignore[arg-type]


def test_a_run_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        replace(only("fov"), fov=stages.Fov(steps=0))


# The program ----------------------------------------------------------------------------------------------------------


def test_a_terminated_run_leaves_a_checkpoint_and_goes_on(tmp_path: Path, pool_folder: Path, tiny: str) -> None:
    run = tmp_path / "run"
    off = [f"--{name}.steps=0" for name in STAGES[1:]]
    options = ["--backbone.steps=100000", "--backbone.batch=1", *off, f"--start-from={tiny}", "--validate-every=0.5"]
    command = [sys.executable, "-m", "model.lab.training", "fit", str(run), f"--pool={pool_folder}", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (run / "checkpoint.pt").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "training: stopped; the same command goes on"
    first = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    assert first >= json.loads((run / "history.jsonl").read_text().splitlines()[-1])["step"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["render", "{tmp}/pool", "--size", "8"], "--size must be at least 32, not 8"),
        (["render", "{tmp}/pool", "--count", "2", "--size", "32", "--processes", "0"], "--processes takes"),
        (["fit", "{tmp}/run"], "--pool"),
        (["fit", "{tmp}/run", "--pool", "{tmp}"], "is no pool of rendered pictures"),
        (["fit", "{tmp}/run", "--pool", "{pool}", "--fov.batch", "0"], "--fov.batch must be 1 or more, not 0"),
        (["fit", "{tmp}/run", "--pool", "{pool}", "--preset", "mega"], "there is no preset 'mega'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    tmp_path: Path, pool_folder: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp=tmp_path, pool=pool_folder) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.startswith("training: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


# The whole network, put together from the stages at tile size -------------------------------------------------------


def pictures(preset: NetworkConfig) -> torch.Tensor:
    size = preset.input_size
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@torch.no_grad()
def after_backbone(preset: NetworkConfig) -> Any:
    """The stage, as if it had learnt something: its head says what is random, and depends on the picture."""
    network = DepthProNetwork(preset)
    init_for_training(network, 0)
    backbone: Any = task("backbone", network)
    backbone.depth.weight.normal_(0, 0.3 / preset.width**0.5, generator=torch.Generator().manual_seed(1))
    begin_with_readout(network, backbone.depth)
    return backbone


@torch.no_grad()
def with_details(preset: NetworkConfig) -> DepthProNetwork:
    """A network after ``backbone`` whose tiles say something random."""
    network: DepthProNetwork = after_backbone(preset).network
    generator = torch.Generator().manual_seed(2)
    init_transformer(network.encoder.patch_encoder, generator)  # unlike the global one
    for upsample in (network.encoder.upsample1, network.encoder.upsample0):
        weight = upsample[0].get_parameter("weight")
        weight.normal_(0, 0.3 / preset.width**0.5, generator=generator)
    return network


@torch.no_grad()
def sum_of_the_pyramid(network: DepthProNetwork, x: torch.Tensor) -> torch.Tensor:
    """``log C``, at half the network's resolution: what each level says, tiles joined without their overlap."""
    encoder, config = network.encoder, network.config
    x0, x1, x2 = pyramid(x)

    def detail(upsample: Any, tiles: torch.Tensor, count: int, drop: int) -> torch.Tensor:
        said = detail_map(upsample, config.decoder_dim, encoder.patch_encoder.forward_features(tiles)[:, 1:])
        cells = said.shape[-1] // config.grid  # of a token
        joined = merge_tiles(said[:, None], count, drop * cells)
        return torch.nn.functional.interpolate(joined, scale_factor=8 // cells, mode="nearest").squeeze(1)

    coarse = coarse_map(network, encoder.image_encoder.forward_features(x2)[:, 1:])
    medium = detail(encoder.upsample1, split_tiles(x1, config.tile_size, 3), 3, config.grid // 4)
    fine = detail(encoder.upsample0, split_tiles(x0, config.tile_size, 5), 5, config.grid // 8)
    return refined(refined(coarse) + medium) + fine


def coarse_map(network: DepthProNetwork, global_BNC: torch.Tensor) -> torch.Tensor:
    """``log C`` that the decoder's coarsest level has in its first channels; the tiles' transformer is left out."""
    encoder, decoder = network.encoder, network.decoder
    x = encoder.upsample_lowres(tokens_to_map(global_BNC))
    out = decoder.fusions[-1](decoder.convs[-1](encoder.fuse_lowres(torch.cat((torch.zeros_like(x), x), dim=1))))
    return torch.nn.functional.pixel_shuffle(out[:, :4], 2).squeeze(1)


def log_depth(network: DepthProNetwork, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        C, _ = network(x, with_fov=False)
    return C.log()


def test_the_whole_network_is_the_sum_of_what_its_levels_say() -> None:
    network, x = with_details(PRESETS["nano"]), pictures(PRESETS["nano"])
    expected = sum_of_the_pyramid(network, x)
    assert float((expected - sum_of_the_pyramid(after_backbone(PRESETS["nano"]).network, x)).std()) > 0.2
    shown = torch.nn.functional.interpolate(expected[:, None], scale_factor=2, mode="nearest")[:, 0]
    inside = (shown > LEAST_LOG) & (shown < MOST_LOG)
    assert float(inside.float().mean()) > 0.99
    # Within what straight lines between points of the exponential function are off.
    assert float((log_depth(network, x) - shown)[inside].abs().max()) < 0.01


def test_a_small_decoder_carries_averages() -> None:
    network, x = with_details(TINY), pictures(TINY)
    # Over each token of the finest tiles, of which there are 4 grids a side.
    maps = [
        torch.nn.functional.adaptive_avg_pool2d(m, 4 * TINY.grid)
        for m in (log_depth(network, x), sum_of_the_pyramid(network, x))
    ]
    torch.testing.assert_close(maps[0], maps[1], atol=0.03, rtol=0)


def test_after_backbone_the_whole_network_is_what_its_global_transformer_predicts() -> None:
    backbone, x = after_backbone(TINY), pictures(TINY)  # which has no room for joining places
    with torch.no_grad():
        expected, _ = backbone.predict(Batch(pyramid(x)[2], torch.zeros(0), torch.zeros(0)))
    # Averaged over what a place of the decoder's coarsest map covers: straight lines in between keep the mean.
    maps = [
        torch.nn.functional.adaptive_avg_pool2d(m, 2 * TINY.grid)
        for m in (expected.log(), log_depth(backbone.network, x))
    ]
    torch.testing.assert_close(maps[1], maps[0], atol=0.02, rtol=0)


@pytest.mark.parametrize("preset", [TINY, PRESETS["nano"]], ids=["tiny", "nano"])
def test_after_backbone_the_field_of_view_branch_is_what_its_head_said(preset: NetworkConfig) -> None:
    backbone, x = after_backbone(preset), pictures(preset)
    with torch.no_grad():
        backbone.fov.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(4))
        _, expected = backbone.predict(Batch(pyramid(x)[2], torch.zeros(0), torch.zeros(0)))
        backbone.finish()
        _, said = backbone.network(x)
    assert abs(float(expected[0] - expected[1])) > 0.1
    torch.testing.assert_close(said, expected, atol=0.01, rtol=0)


@torch.no_grad()
def joined(base_GG: torch.Tensor, slope_x: float = 0.0, slope_y: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The readout's map of tokens that are planes, and what the whole network makes of them, as large, ``[256, 256]``.

    The tiles see nothing.
    """
    network = DepthProNetwork(PRESETS["nano"])
    init_for_training(network, 0)
    readout = torch.nn.Linear(192, 64)
    inside = (torch.arange(8.0) + 0.5) / 8
    readout.weight.zero_()
    readout.weight[:, 0] = 1
    readout.weight[:, 1], readout.weight[:, 2] = inside.repeat(8), inside.repeat_interleave(8)
    readout.bias.fill_(-1.5)
    tokens = torch.zeros(1, 65, 192)
    tokens[0, 1:, 0], tokens[0, 1:, 1], tokens[0, 1:, 2] = base_GG.flatten(), slope_x, slope_y
    begin_with_readout(network, readout)
    join_finer(network)
    network.encoder.image_encoder.forward_features = lambda _: tokens
    C, _ = network(torch.zeros(1, 3, 512, 512), with_fov=False)
    said = readout(tokens[:, 1:]).reshape(8, 8, 8, 8).transpose(1, 2).reshape(1, 64, 64)
    return refined(refined(said))[0], C[0, ::2, ::2].log()


def test_planes_are_not_bent_where_tokens_meet_and_where_the_picture_ends() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    said, shown = joined(0.3 * columns - 0.4 * rows, 0.3, -0.4)
    assert float(said.max() - said.min()) > 5  # from the floor before one's feet to the sky
    torch.testing.assert_close(shown, said, atol=0.01, rtol=0)


def test_tokens_of_different_opinion_leave_no_blocks() -> None:
    said, shown = joined(0.5 * torch.randn(8, 8, generator=torch.Generator().manual_seed(4)))
    for dim in (0, 1):
        jumps, left = said.diff(dim=dim).abs(), shown.diff(dim=dim).abs()
        assert float(left.max() / jumps.max()) < 0.5  # in corners
        assert float(left[jumps > 0.01].mean() / jumps[jumps > 0.01].mean()) < 0.12
    assert float((shown - said).mean().abs()) < 0.05


def test_a_map_is_refined_along_its_slopes() -> None:
    ramp = torch.arange(8.0).expand(1, 8, 8)
    for turned in (ramp, ramp.mT):
        fine = refined(turned)
        assert torch.allclose(torch.nn.functional.avg_pool2d(fine, 2), turned)
        assert torch.allclose(fine.diff(dim=-1) + fine.diff(dim=-2).mT, torch.tensor(0.5))


def test_the_truth_of_the_heads_adds_up_and_lies_where_each_looks() -> None:
    learner: Any = task("tiles", DepthProNetwork(PRESETS["nano"]))
    C = torch.rand(2, 512, 512, generator=torch.Generator().manual_seed(0)) + 0.01
    coarse, medium, fine = learner.truth(C)
    assert [m.shape[-1] for m in (coarse, medium, fine)] == [64, 128, 256]
    assert torch.allclose(refined(refined(coarse) + medium) + fine, C[:, 1::2, 1::2].log(), atol=1e-5)
    plane = torch.exp(torch.linspace(-3, 1, 512)).expand(1, 512, 512)  # of a ground, say: no detail in it
    _, medium, fine = (m[..., 24:-24, 24:-24] for m in learner.truth(plane))
    assert float(medium.abs().max()) < 0.01
    assert float(fine.abs().max()) < 0.01
    edge = torch.full((1, 512, 512), 0.2)
    edge[:, :, 256:] = 0.4
    coarse, medium, fine = learner.truth(edge)
    side = fine[0, 128]
    assert float(side[128] - side[127]) == pytest.approx(np.log(2), abs=0.1)  # sharp
    assert float(coarse[0, 32].diff().max()) < 0.2  # smooth
    assert float(fine[0, 128, :64].abs().max()) < 1e-4  # nothing where nothing is


def test_drawn_tiles_show_what_they_are_to_predict() -> None:
    x = torch.arange(512 * 512.0).reshape(1, 1, 512, 512).expand(2, 3, 512, 512)
    for step in (2, 4):
        truth = x[:, 0, ::step, ::step]
        tiles, targets = draw_tiles(x, truth, 128, 3, torch.Generator().manual_seed(5))
        assert tiles.shape == (6, 3, 128, 128)
        assert torch.equal(tiles[:, 0, ::step, ::step], targets)
    assert len({float(t[0, 0]) for t in targets}) == 6


def test_the_tiles_stage_changes_its_part_alone(pool: Pool) -> None:
    """And keeps what the others know: all that they say travels in channels that they share with nobody."""
    network, x = with_details(PRESETS["nano"]), pictures(PRESETS["nano"])
    learner = task("tiles", network)
    batch = draw(on_cpu(pool), np.random.default_rng(0), 2, learner.size)
    optimizers = optimizers_for(learner.trained(), stages.Depth(learning_rate=1e-3))
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    for _ in range(2):
        sum(learner.loss(batch).values()).backward()  # type: ignore[union-attr]
        for optimizer in optimizers:
            optimizer.step()
    names = [key for key, p in network.named_parameters() if not torch.equal(p, before[key])]
    parts = tuple(f"encoder.{name}" for name in ("patch_encoder", "upsample0", "upsample1"))
    assert all(key.startswith(parts) for key in names)
    assert all(any(key.startswith(part) for key in names) for part in parts)
    shown = sum_of_the_pyramid(network, x).repeat_interleave(2, -1).repeat_interleave(2, -2)
    inside = (shown > LEAST_LOG) & (shown < MOST_LOG)
    assert float((log_depth(network, x) - shown)[inside].abs().max()) < 0.01


@pytest.mark.parametrize(("rate", "is_lost", "steps"), [(1e-7, False, 4), (0.1, True, 4), (0.1, True, 2)])
def test_a_stage_that_loses_what_was_learnt_says_so(
    tmp_path: Path,
    pool: Pool,
    tiny: str,
    rate: float,
    is_lost: bool,
    steps: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(trainer, "CHECKED_AFTER", 3)
    monkeypatch.setattr(trainer, "MAX_LOSS_OF_DELTA", -1.0 if is_lost else 0.03)
    caplog.set_level("INFO")
    config = replace(only("depth"), depth=stages.Depth(steps=steps, batch=1, learning_rate=rate))
    Trainer(tmp_path, [pool], config, start_from=tiny).run()
    told = [r for r in caplog.records if f"after {min(steps, 3)} steps" in r.getMessage()]
    assert [r.levelname for r in told] == ["WARNING" if is_lost else "INFO"]
    assert ("--depth.learning-rate" in told[0].getMessage()) == is_lost
