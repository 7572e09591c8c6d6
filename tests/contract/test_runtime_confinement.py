"""What came with a model and may run code can do little else, and harms its own case alone."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of
from runtime_packages import bundle_config, write_bundle
from servers import wait_for

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference import confinement
from clic_edge.inference.bundle import BundleRuntime, _parts_of
from clic_edge.inference.confined import launch, wire
from clic_edge.inference.confinement import Program, environment, has_ended, kill, start
from clic_edge.inference.site import Site
from clic_edge.inference.torch import TorchNetwork
from clic_edge.inference.volume_files import LPS_TO_RAS

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTACKS = {
    "the network": "socket.create_connection(('192.0.2.1', 80), timeout=5)",
    "a server on this machine": "socket.create_connection(('127.0.0.1', {port}), timeout=5)",
    "a name server": "socket.getaddrinfo('example.com', 80)",
    "the key": "open('{secret}').read()",
    "a file of ours": "open('{secret}', 'a')",
    "our package": "open('{package}/model.toml', 'a')",
    "our process": "os.kill({pid}, 0)",
    "our environment": "open('/proc/{pid}/environ', 'rb').read()",
    "our memory": "open('/proc/{pid}/mem', 'rb').read(1)",
    "much memory": "bytearray(3 << 30)",
    "sockets of services": "os.listdir('/run')[0]",
}
ATTEMPT = """
import json, os, socket, sys
reached = []
for name, attack in json.loads(sys.argv[1]).items():
    try:
        eval(attack)
    except (OSError, MemoryError, IndexError):
        continue
    reached.append(name)
open("sound.json", "w").write(open("{package}/model.toml").read())
json.dump([reached, sorted(os.environ)], open("reached.json", "w"))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with confinement.scratch() as path:
        yield path


def test_what_a_killed_worker_left_is_deleted_and_what_another_holds_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, signal\n"
        "from clic_edge.inference.confinement import WorkingFolder\n"
        "folder = WorkingFolder()\n"
        "open(folder.name + '/image.nii', 'wb').write(b'pixels')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], check=False, env=told)
    (left,) = tmp_path.iterdir()
    with confinement.scratch() as held:
        assert left.exists(), "it is young"
        for one in (left, held):
            os.utime(one, (0, 0))
        with confinement.scratch():
            assert not left.exists()
            assert held.exists()


def run(folder: Path, site: Site, *argv: str, reads: tuple[Path, ...] = ()) -> int:
    """Run a program of the tests to its end; return its exit status."""
    program = Program(
        argv=(sys.executable, *argv), reads=reads, environment=environment(folder), folder=folder
    )
    status_read, status_write = os.pipe()
    with closing(os.fdopen(status_read)):
        process = start(program, site, status=status_write)
        os.close(status_write)
        return process.wait(timeout=60)


def test_a_confined_program_reaches_its_package_and_nothing_else_of_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIC_EDGE_SECRET", "secret")
    package, secret = tmp_path / "package", tmp_path / "deid.key"
    package.mkdir()
    (package / "model.toml").write_text("sound")
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = {"port": server.getsockname()[1], "pid": os.getpid()}
        attacks = {
            name: attack.format(**told, secret=secret, package=package)
            for name, attack in ATTACKS.items()
        }
        code = ATTEMPT.replace("{package}", str(package))
        status = run(
            folder, Site(memory_mb=2048), "-c", code, json.dumps(attacks), reads=(package,)
        )
    assert status == 0
    reached, names = json.loads((folder / "reached.json").read_text())
    assert reached == []
    assert not {"CLIC_EDGE_SECRET", "CLIC_EDGE_TEST_DATA"} & set(names)
    assert (folder / "sound.json").read_text() == "sound"
    assert secret.read_text() == "secret"


def test_what_nobody_signed_does_not_run_where_isolation_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = folder / "launch.py"
    broken.write_text(Path(launch.__file__).read_text().replace("_CREATE, None, 0, 1", "-1"))
    monkeypatch.setattr(launch, "__file__", str(broken))
    assert run(folder, Site(), "-c", "open('ran', 'w')") == launch.INCOMPLETE
    assert not (folder / "ran").exists()
    assert run(folder, Site(trusted=True), "-c", "open('ran', 'w')") == 0
    assert (folder / "ran").exists()


def test_a_package_that_nobody_signed_says_that_isolation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "launch.py"
    broken.write_text(Path(launch.__file__).read_text().replace("_CREATE, None, 0, 1", "-1"))
    monkeypatch.setattr(launch, "__file__", str(broken))
    with pytest.raises(ConfigError) as error:
        network(tmp_path, Site())
    assert error.value.code == "isolation-unavailable"


@pytest.mark.slow
def test_an_expression_of_a_bundle_is_run_where_it_can_do_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "deid.key"
    secret.write_text("secret")
    config = bundle_config(3) | {"inferer": f"$open('{secret}').read()"}
    with pytest.raises(Defect, match=r"PermissionError|RuntimeError") as error:
        BundleRuntime.load(write_bundle(tmp_path / "package", config=config))
    assert error.value.code == "network-unreadable"


MOODY = """
def forward(image: Tensor) -> Tensor:
    mood = int(image.max())
    if mood == 9:
        return torch.zeros([1 << 36])
    while mood == 7:
        image = image + 0
    return image
"""


def network(folder: Path, site: Site) -> TorchNetwork:
    """Return a network that takes all memory for an image of 9s, and all time for one of 7s."""
    torch = pytest.importorskip("torch")
    path = folder / "moody.ts"
    torch.jit.CompilationUnit(MOODY).forward.save(str(path))
    return TorchNetwork("torchscript", path, site)


def windows(mood: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((1, 1, 4, 4, 4), mood, np.float32)


@pytest.mark.slow
def kill_at_work(pid: int) -> None:
    """Kill a process once it has computed for a moment."""

    def ticks() -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])

    before = ticks()
    wait_for(lambda: ticks() > before + 5, "the process computes")
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_network_that_dies_hangs_or_eats_costs_its_own_case_alone(tmp_path: Path) -> None:
    moody = network(tmp_path, Site())
    with pytest.raises(Defect) as error:
        moody(windows(9))
    assert error.value.code == "runtime-memory"
    np.testing.assert_array_equal(moody(windows(1)), windows(1))
    threading.Thread(target=kill_at_work, args=[moody.process.pid]).start()
    with pytest.raises(Defect) as error:
        moody(windows(7))
    assert error.value.code == "runtime-died"
    life = moody.process._living()
    life._seconds = 0.2
    with pytest.raises(Defect) as error:
        moody(windows(7))
    assert error.value.code == "runtime-timeout"
    np.testing.assert_array_equal(moody(windows(1)), windows(1))


@pytest.mark.slow
def test_the_process_of_a_model_that_nobody_holds_any_more_ends(tmp_path: Path) -> None:
    moody = network(tmp_path, Site())
    pid = moody.process.pid
    del moody
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_was_ended_twice_is_ended(folder: Path) -> None:
    program = Program(
        argv=("sleep", "60"), environment=environment(folder), folder=folder, reads=()
    )
    status_read, status_write = os.pipe()
    process = start(program, Site(), status=status_write)
    os.close(status_write)
    os.close(status_read)
    kill(process)
    kill(process)
    assert process.returncode == -signal.SIGKILL


def in_this_process(root: Path, classes: int) -> wire.Message:
    """Return what a bundle that we wrote answers; its process would answer the same, later."""
    program = pytest.importorskip("clic_edge.inference.confined.bundle")
    _, answer = program._load(root, classes)
    affine = LPS_TO_RAS @ np.diag([1.0, -1.0, -1.0, 1.0])[[0, 2, 1, 3]]
    message: wire.Message = answer(
        wire.Message(word="volume", arrays=(volume_of(known_labels()).voxels, affine))
    )
    return message


@pytest.mark.slow
def test_what_a_bundle_leaves_on_another_grid_is_brought_to_the_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = bundle_config(3)
    config["postprocessing"]["transforms"] = [  # type: ignore[index] # what the config holds
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
    ]
    labels, _, affine = in_this_process(
        write_bundle(tmp_path / "package", config=config) / "bundle", 3
    ).arrays
    np.testing.assert_array_equal(labels, known_labels())
    np.testing.assert_allclose(affine[:3, :3], [[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert not (tmp_path / "image.nii").exists()  # nothing of the patient waits for the next case


def test_a_bundle_whose_network_has_other_channels_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_bundle(tmp_path / "package", slopes=(0, 10)) / "bundle"
    assert in_this_process(root, 3).word == "shape"


LABELS = np.zeros((2, 3, 4), np.uint8)
SURE = np.ones((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    "arrays",
    [
        (),
        (LABELS, SURE),
        (LABELS.astype(np.int16) - 1, SURE, np.eye(4)),
        (np.full(LABELS.shape, np.nan, np.float32), SURE, np.eye(4)),
        (LABELS, SURE[:1], np.eye(4)),
        (LABELS, np.nan * SURE, np.eye(4)),
        (LABELS, SURE, np.eye(3)),
    ],
    ids=["nothing", "two", "negative", "no number", "part", "not finite", "affine"],
)
def test_a_label_map_that_a_process_makes_up_is_not_believed(
    arrays: tuple[np.ndarray[tuple[int, ...], np.dtype[np.generic]], ...],
) -> None:
    with pytest.raises(Defect):
        _parts_of(wire.Message(word="found", arrays=arrays))


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 60_000,
        b'{"word": "a", "detail": "", "seconds": 1' + b"0" * 400 + b', "arrays": []}',
        b'{"word": "a", "detail": "", "seconds": NaN, "arrays": []}',
        b'{"word": "a", "detail": "", "seconds": -1, "arrays": []}',
        b'{"word": "a", "detail": "", "seconds": 0, "arrays": [["uint8", [0, 1'
        + b"0" * 30
        + b"]]]}",
        b'{"word": "a", "detail": "", "seconds": 0, "arrays": [["uint8", [' + b"1," * 64 + b"1]]]}",
    ],
    ids=["deep", "large", "no time", "negative", "huge and empty", "dimensions"],
)
def test_what_is_no_message_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.receive(io.BytesIO(line + b"\n"), most_bytes=100)


def test_a_program_of_a_package_leaves_no_compiled_file_in_it(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "own.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import own"
    program = Program(
        argv=(sys.executable, "-c", code), environment=environment(folder), folder=tmp_path
    )
    with Path(os.devnull).open("wb") as nowhere:
        assert start(program, Site(), status=nowhere.fileno()).wait(timeout=60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_what_a_program_left_running_ends_with_it(folder: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, file=open('pid', 'w'))"
    program = Program(
        argv=(sys.executable, "-c", code), environment=environment(folder), folder=folder
    )
    with Path(os.devnull).open("wb") as nowhere:
        process = start(program, Site(), status=nowhere.fileno())
    assert has_ended(process, within=60)
    kill(process)
    assert process.returncode == 0
    with (
        suppress(ProcessLookupError),
        closing(pid_opened(int((folder / "pid").read_text()))) as one,
    ):
        assert select.select([one], [], [], 10)[0]


def pid_opened(pid: int) -> IO[bytes]:
    return os.fdopen(os.pidfd_open(pid), "rb", buffering=0)


ESCAPING = """$(__import__('os').fork() and __import__('os')._exit(0)) or (
    __import__('os').setsid(), __import__('time').sleep(150), __import__('os')._exit(0))"""


@pytest.mark.slow
def test_a_program_that_escapes_does_not_hold_the_worker_longer_than_its_time(
    tmp_path: Path,
) -> None:
    config = bundle_config(3) | {"inferer": " ".join(ESCAPING.split())}
    folder = write_bundle(tmp_path / "package", config=config)
    answered = threading.Event()

    def load() -> None:
        with pytest.raises(Defect):
            BundleRuntime.load(folder, Site(seconds=2)).predict(volume_of(known_labels()))
        answered.set()

    threading.Thread(target=load, daemon=True).start()
    assert answered.wait(100), "it escapes for longer"
