"""Memory and time: what is measured, who may run, who waits, and how what goes wrong ends."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_image_package, write_package
from runtime_packages import write_map

from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.inference import memory
from clic_edge.inference.admission import Admission
from clic_edge.inference.footprint import (
    NOTE,
    Sample,
    footprints,
    measure_package,
    read_note,
    size_of,
    write_note,
)
from clic_edge.inference.limits import Clock, memory_short
from clic_edge.inference.made_up import made_up
from clic_edge.inference.memory import Room, host_free, host_total, room_of
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import load_package, write_digests
from clic_edge.inference.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clic_edge.domain.image import Image
    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.limits import Limits
    from clic_edge.inference.runtime import Runtime

MB = 1_000_000


def heavy(folder: Path, *, copies: int, slow: int = 0) -> Path:
    """Return a package that copies each window so many times, and thinks for a while."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    write_package(folder)
    weight = np.array((0, 10, 30), np.float32).reshape(3, 1, 1, 1, 1)
    nodes = [
        helper.make_node("Tile", ["image", "copies"], ["many"]),
        helper.make_node("ReduceMean", ["many", "channels"], ["mean"]),
        *(
            helper.make_node("Softplus", [f"slow{i}" if i else "many"], [f"slow{i + 1}"])
            for i in range(slow)
        ),
        *([helper.make_node("ReduceMean", [f"slow{slow}", "channels"], ["lost"])] if slow else []),
        *([helper.make_node("Mul", ["lost", "nothing"], ["none"])] if slow else []),
        helper.make_node("Add", ["mean", "none" if slow else "nothing"], ["same"]),
        helper.make_node("Conv", ["same", "weight", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("image", floats, ["n", 1, "x", "y", "z"])],
        [helper.make_tensor_value_info("logits", floats, ["n", 3, "x", "y", "z"])],
        [
            onnx.numpy_helper.from_array(np.array([1, copies, 1, 1, 1], np.int64), "copies"),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "channels"),
            onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(np.array([0, 0, -40], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder


# --- measured


@pytest.mark.slow
def test_a_package_is_measured_in_a_process_of_its_own_at_two_sizes(tmp_path: Path) -> None:
    folder = heavy(tmp_path / "heavy", copies=10_000)
    samples = measure_package(folder)
    assert [(one.device, one.batch) for one in samples] == [("cpu", 1)] * 2 + [("cpu", 2)] * 2
    assert samples[0].voxels < samples[1].voxels
    by_batch = {one.batch: one for one in footprints(samples)}
    window = 8**3 * 4 * 10_000
    assert window < by_batch[1].needed(2000) < 4 * window
    assert by_batch[2].needed(2000) > by_batch[1].needed(2000) + window / 2
    assert all(one.seconds > 0 for one in samples)


@pytest.mark.slow
def test_a_network_that_needs_more_than_there_is_is_refused_with_numbers(tmp_path: Path) -> None:
    folder = heavy(tmp_path / "heavy", copies=200_000)
    with pytest.raises(ConfigError) as caught:
        measure_package(folder, limit=250 * MB)
    assert caught.value.code == "model-too-large"
    assert f"{host_total() / 1e9:.1f} GB exist" in caught.value.sentence
    assert "more than the 0.2 GB" in caught.value.sentence


def test_the_note_is_for_the_package_that_it_names(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "model")
    sample = Sample(device="cpu", batch=2, voxels=10, peak_bytes=100, seconds=1)
    write_note(folder, load_package(folder).digest, (sample,))
    assert load_package(folder).names == ("model.toml", "model.onnx"), "no digest covers it"
    (found,) = read_note(folder, load_package(folder).digest)
    assert (found.batch, found.bytes_at_least) == (2, 100)
    assert read_note(folder, "another") == ()
    for broken in ("", "{}", json.dumps({"digest": load_package(folder).digest, "samples": [1]})):
        (folder / NOTE).write_text(broken)
        assert read_note(folder, load_package(folder).digest) == ()


def test_memory_is_a_line_through_the_smallest_and_the_largest_and_never_falls() -> None:
    def sample(voxels: int, peak: int, batch: int = 1) -> Sample:
        return Sample(device="cpu", batch=batch, voxels=voxels, peak_bytes=peak, seconds=voxels)

    one, two = footprints([sample(300, 700), sample(100, 500), sample(100, 900, 2)])
    assert (two.bytes_at_least, two.bytes_per_voxel, two.seconds(50)) == (400, 1, 50)
    assert (one.batch, one.bytes_at_least, one.bytes_per_voxel) == (2, 900, 0)
    (falls,) = footprints([sample(100, 500), sample(300, 400)])
    assert (falls.bytes_per_voxel, falls.needed(1000)) == (0, int(1.15 * 500))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hippocampus", "fdg-sarcoma"])
def test_a_model_that_ships_takes_what_is_made_up_for_it(root: Path, name: str) -> None:
    runtime = OnnxRuntime.load(root / "models" / name)
    declared = load_package(root / "models" / name).declaration
    small, large = made_up(declared)
    assert runtime.predict(small).geometry is small.geometry
    assert size_of(large, declared) >= 2 * size_of(small, declared)


@pytest.mark.slow
def test_a_package_for_images_is_measured_too(tmp_path: Path) -> None:
    samples = measure_package(write_image_package(tmp_path / "image"))
    assert [(one.device, one.batch) for one in samples] == [("cpu", 0)] * 2
    assert samples[1].voxels == 2048**2


@pytest.mark.slow
def test_a_network_in_a_process_that_comes_and_goes_is_measured_too(tmp_path: Path) -> None:
    samples = measure_package(write_map(tmp_path / "application"), Site(trusted=True))
    assert all(one.peak_bytes > 5 * MB for one in samples), "as much as Python takes at least"


@pytest.mark.slow
def test_a_package_that_takes_no_noise_is_left_unmeasured_and_one_that_breaks_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = write_package(tmp_path / "picky", slopes=(0, 10, float("nan")))
    assert measure_package(picky) == ()
    monkeypatch.setattr(sys, "executable", "/bin/false")  # as a network that ends the process
    with pytest.raises(Defect) as caught:
        measure_package(picky)
    assert caught.value.code == "measuring-failed"


# --- room


def test_what_is_promised_to_one_is_not_promised_to_another() -> None:
    room = Room(lambda: 100, total=100)
    with room.promised(60) as first, room.promised(60) as second, room.promised(40) as third:
        assert (first, second, third) == (True, False, True)
        assert room.free == 0
    assert room.free == 100


def test_many_at_once_never_get_more_than_there_is() -> None:
    room, most, lock = Room(lambda: 100, total=100), [0, 0], threading.Lock()
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait()
        with room.promised(30) as had:
            with lock:
                most[0] += had
                most[1] = max(most)
            together.wait()
            with lock:
                most[0] -= had
            return had

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 3
    assert most[1] == 3


def test_the_host_has_some_memory_free_and_not_more_than_it_has() -> None:
    assert 0 < host_free() < host_total()
    room = room_of("cpu")
    assert room
    assert room.total == host_total()
    assert room_of("a-server") is None


GIB = 1 << 30
CGROUP_2 = {
    "cgroup": "0::/system.slice/worker.service",
    "system.slice/worker.service/memory.max": "max",
    "system.slice/worker.service/memory.current": str(GIB),
    "system.slice/worker.service/memory.stat": "anon 1\ninactive_file 5",
    "system.slice/memory.max": str(3 * GIB),
    "system.slice/memory.current": str(2 * GIB),
    "system.slice/memory.stat": f"inactive_file {GIB // 2}",
}
CGROUP_1 = {
    "cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/1",
    "memory/docker/1/memory.limit_in_bytes": str(2 * GIB),
    "memory/docker/1/memory.usage_in_bytes": str(GIB),
    "memory/docker/1/memory.stat": f"total_inactive_file {GIB // 2}",
}


@pytest.mark.parametrize(
    ("files", "free", "total"),
    [
        (CGROUP_2, 1.5, 3),
        (CGROUP_1, 1.5, 2),
        ({"cgroup": "0::/"}, 6, 8),
        ({}, 6, 8),
        (CGROUP_1 | {"memory/docker/1/memory.limit_in_bytes": str(1 << 62)}, 6, 8),
    ],
    ids=["version 2, limited above", "version 1", "no limit", "no groups", "a limit that is none"],
)
def test_what_the_service_may_have_counts_where_it_is_less(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    free: float,
    total: float,
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {6 << 20} kB\n")
    for name, text in files.items():
        path = tmp_path / ("self/cgroup" if name == "cgroup" else f"groups/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "groups")
    assert (host_free(), host_total()) == (free * GIB, total * GIB)


# --- admitted


def admitted(folder: Path, free: Callable[[], int], *, total: int = 10**12) -> Runtime:
    """Return a runtime whose two batches need 400 and 100 bytes, whatever the size."""
    samples = [
        Sample(device="cpu", batch=batch, voxels=1, peak_bytes=peak, seconds=1)
        for batch, peak in ((2, 400), (1, 100))
    ]
    write_note(folder, load_package(folder).digest, tuple(samples))
    room = Room(free, total=total)
    return Admission(room_of=lambda _: room).over(OnnxRuntime.load(folder), folder)


def found_in(runtime: Runtime, volume: Volume | None = None) -> bool:
    volume = volume or volume_of(known_labels())
    return bool((runtime.predict(volume).label_map == known_labels()).all())


@pytest.mark.parametrize("free", [1000, 200], ids=["all at once", "one at a time"])
def test_a_case_runs_with_as_many_windows_at_a_time_as_fit(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    runtime = admitted(write_package(tmp_path), lambda: free)
    asked = OnnxRuntime.within

    def noted(self: OnnxRuntime, limits: object) -> OnnxRuntime:
        sizes.append(limits.batch)  # type: ignore[attr-defined]  # what is looked at
        return asked(self, limits)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(OnnxRuntime, "within", noted)
    assert found_in(runtime)
    assert sizes == [2 if free == 1000 else 1]


def test_a_case_that_does_not_fit_waits_and_goes_through_when_it_fits(tmp_path: Path) -> None:
    free = [50]
    runtime = admitted(write_package(tmp_path), lambda: free[0])
    with pytest.raises(Transient) as caught:
        runtime.predict(volume_of(known_labels()))
    assert caught.value.code == "memory-short"
    free[0] = 120
    assert found_in(runtime)


def test_a_case_that_can_never_fit_is_for_a_person(tmp_path: Path) -> None:
    runtime = admitted(write_package(tmp_path), lambda: 50, total=60)
    with pytest.raises(Defect) as caught:
        runtime.predict(volume_of(known_labels()))
    assert caught.value.code == "memory-too-small"


class Held:
    """A runtime in whose hands a case stays until it is let go; `device` is where it says it is."""

    def __init__(self, runtime: OnnxRuntime, device: str = "cpu") -> None:
        self._runtime = runtime
        self.device = device
        self.model, self.needs, self.takes = runtime.model, runtime.needs, runtime.takes
        self.entered, self.let_go = threading.Event(), threading.Event()

    def predict(self, seen: Volume | Image, /) -> Prediction:
        """Return what the real one finds, when it is let go."""
        self.entered.set()
        assert self.let_go.wait(60)
        return self._runtime.predict(seen)


def test_two_cases_at_once_do_not_overcommit(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    admitted(folder, lambda: 0)  # writes the note
    held, room = Held(OnnxRuntime.load(folder)), Room(lambda: 500, total=500)
    runtime = Admission(room_of=lambda _: room).over(held, folder)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(found_in, runtime)
        assert held.entered.wait(60)
        with pytest.raises(Transient) as caught:
            runtime.predict(volume_of(known_labels()))
        held.let_go.set()
        assert first.result()
    assert caught.value.code == "memory-short"
    assert found_in(runtime)


class OnCuda(Held):
    """A runtime that says that it is on CUDA, and can move: no test has a GPU for sure."""

    def within(self, limits: Limits) -> Runtime:
        """Return the real one where the CPU is asked for, else one that has no memory."""
        if limits.device == "cpu":
            return self._runtime
        return self

    def predict(self, seen: Volume | Image, /) -> Prediction:
        """Raise what a device without memory raises."""
        del seen
        raise memory_short()


@pytest.mark.parametrize("free", [0, 1000], ids=["none is free", "it was not enough"])
def test_a_case_that_finds_no_memory_on_the_device_goes_to_the_cpu(
    tmp_path: Path, free: int
) -> None:
    folder = write_package(tmp_path)
    sample = Sample(device="cuda", batch=2, voxels=1, peak_bytes=400, seconds=1)
    write_note(folder, load_package(folder).digest, (sample,))
    rooms = {"cuda": Room(lambda: free, total=1000), "cpu": Room(lambda: 1000, total=1000)}
    runtime = Admission(room_of=rooms.get).over(OnCuda(OnnxRuntime.load(folder), "cuda"), folder)
    prediction = runtime.predict(volume_of(known_labels()))
    np.testing.assert_array_equal(prediction.label_map, known_labels())
    assert prediction.device == "cpu"


# --- out of memory, and out of time, in the network itself


ALONE = "CLIC_EDGE_TEST_ALONE"
"""In the environment of a test that has a process of its own."""


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Let this process have so many bytes more than it has."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmData" in one]
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(line.split()[1]) * 1024 + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.slow
def test_a_network_that_runs_out_of_memory_is_run_again_with_less(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if ALONE not in os.environ:  # what other tests have loaded takes memory when it likes
        words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid)
        ran = subprocess.run(
            (sys.executable, *words),
            cwd=request.config.rootpath,
            env=os.environ | {ALONE: "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return
    folder = heavy(tmp_path / "heavy", copies=40_000)  # 82 MB for a window, 164 MB for two
    runtime = Admission().over(OnnxRuntime.load(folder), folder)
    small = Admission().over(OnnxRuntime.load(folder), folder)
    with at_most(130 * MB):
        with pytest.raises(Transient) as caught:
            OnnxRuntime.load(folder).predict(volume_of(known_labels()))
        assert caught.value.code == "memory-short"
        assert found_in(runtime)
    with at_most(50 * MB), pytest.raises(Transient) as caught:
        small.predict(volume_of(known_labels()))
    assert caught.value.code == "memory-short"
    assert found_in(small), "and the worker goes on"


@pytest.mark.slow
def test_a_pass_that_takes_too_long_is_ended_where_it_is(tmp_path: Path) -> None:
    folder = heavy(tmp_path / "slow", copies=2_000, slow=400)
    network = OnnxRuntime.load(folder)
    runtime = Admission(seconds=0.3).over(network, folder)
    with pytest.raises(Defect) as caught:
        runtime.predict(volume_of(known_labels()))
    assert caught.value.code == "prediction-too-slow"
    assert "0.3 seconds" in caught.value.sentence
    cause = caught.value.__cause__
    assert isinstance(cause, Defect)
    assert "terminate" in str(cause.__cause__), "the pass itself was ended"


def test_a_model_in_time_is_let_be_and_the_next_has_a_clock_of_its_own(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    runtime = Admission(seconds=30).over(OnnxRuntime.load(folder), folder)
    for _ in range(3):
        assert found_in(runtime)
    assert not [one for one in threading.enumerate() if "_watch" in one.name and one.is_alive()]


def test_between_passes_the_time_is_looked_at_too() -> None:
    clock = Clock(0.01)

    class Deaf:  # a network that can't be interrupted
        def __call__(self) -> None:
            for _ in range(1000):
                clock.check()
                time.sleep(0.01)

    with pytest.raises(Defect) as caught, clock.running(Deaf()):
        Deaf()()
    assert caught.value.code == "prediction-too-slow"
