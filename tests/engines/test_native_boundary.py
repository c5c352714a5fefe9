"""Where Python meets the core: outputs are written or refused, the BLAS is the expected one, no memory is an error."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from linprobe import _core

PLAIN = {"picked": None, "scale": None, "shift": None}


def rows(n: int = 7, D: int = 5) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, D)).astype(np.float32)


@pytest.mark.parametrize(
    "S", [np.zeros((7, 3), np.float32), np.zeros((7, 3), order="F"), np.zeros((7, 6))[:, ::2], np.zeros((7, 3), "i8")]
)
def test_an_output_of_another_dtype_or_layout_is_refused_and_not_dropped(S):
    with pytest.raises(TypeError, match="scores"):
        _core.scores(rows(), **PLAIN, W=np.ones((3, 5)), b=np.zeros(3), doubles=True, S=S, threads=1)


def test_a_read_only_output_is_refused():
    S = np.zeros((7, 3))
    S.setflags(write=False)
    with pytest.raises(TypeError, match="scores"):
        _core.scores(rows(), **PLAIN, W=np.ones((3, 5)), b=np.zeros(3), doubles=True, S=S, threads=1)


@pytest.mark.parametrize("wrong", ["z", "g", "back", "columns"])
def test_every_output_of_a_split_step_is_refused_in_the_dtype_of_the_others(wrong):
    outputs = {"z": (7, 3), "g": (7, 3), "back": (3, 5), "columns": (3,)}
    single = {"z", "g"} ^ {wrong}
    arrays = {name: np.zeros(shape, np.float32 if name in single else np.float64) for name, shape in outputs.items()}
    with pytest.raises(TypeError, match="split"):
        _core.split(
            rows(), **PLAIN, y=np.arange(7) % 3, weight=None, W=np.zeros((3, 5)), b=np.zeros(3), loss="hinge",
            delta=1.0, rho=1.0, relax=1.6, threads=1, **arrays,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["W", "b"])
def test_weights_of_an_sgd_epoch_are_refused_in_fortran_order_and_in_another_dtype(name):
    for changed in (np.asfortranarray, lambda array: array.astype(np.float64)):
        arrays = {"W": np.zeros((3, 5), np.float32), "b": np.zeros(3, np.float32)}
        arrays[name] = changed(arrays[name])
        if arrays[name].flags.c_contiguous and arrays[name].dtype == np.float32:
            continue  # a vector has one order
        with pytest.raises(TypeError, match=f'"{name}"'):
            _core.sgd_epoch_float32(
                rows(), picked=np.arange(7), scale=None, shift=None, y=np.arange(7) % 3, weight=None, arrays=arrays,
                batch=7, rates=np.ones(1), loss="hinge", delta=1.0, update="plain", momentum=0.0, rho=0.0, beta1=0.0,
                beta2=0.0, epsilon=1.0, l2=0.0, l1=0.0, step=0, averaged=-1, threads=1,
            )  # fmt: skip


def test_a_blas_with_another_signature_is_refused():
    from scipy.linalg import cython_blas

    products = cython_blas.__pyx_capi__
    for wrong in (("dgemm", "dgemm"), ("sgemm", "sgemm"), ("sgemv", "dgemm")):
        with pytest.raises(ValueError, match="expected the 13 arguments of gemm"):
            _core.use_blas(*(products[name] for name in wrong))
    _core.use_blas(products["sgemm"], products["dgemm"])


OUT_OF_MEMORY = """
import resource
import numpy as np
from linprobe import Objective
from linprobe.optimizers import SGD

random = np.random.default_rng(0)
X, y = random.standard_normal((1000, 3000)).astype(np.float32), np.arange(1000) % 300
objective = Objective(X, y, loss="softmax", penalty="l2", reg=0.1, n_classes=300, n_threads=2)
few = Objective(X, y % 6, loss="softmax", penalty="l2", reg=0.1, n_threads=2)
W, b = np.zeros((300, 3000)), np.zeros(300)

def work():
    objective.value_and_gradient(W, b)
    few.value_and_gradient(W[:6], b[:6])
    SGD(epochs=1, batch_size=500).minimize(objective)

work()
with open("/proc/self/status") as lines:
    size = next(int(line.split()[1]) for line in lines if line.startswith("VmSize")) * 1024
for megabytes in {megabytes}:
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 2**20, resource.RLIM_INFINITY))
    try:
        work()
        print("done")
    except MemoryError:
        print("MemoryError")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is set and read as Linux has it")
@pytest.mark.skipif("LINPROBE_SANITIZED" in os.environ, reason="a sanitizer takes terabytes of the address space")
@pytest.mark.parametrize("bfloat16", ["off", ""])
def test_without_memory_a_pass_raises_memory_error_and_the_process_lives(bfloat16):
    code = OUT_OF_MEMORY.replace("{megabytes}", "(0, 2, 5, 9, 14, 20, 35, 50, 70, 100, 140, 4000)")
    # The C library raises this threshold as blocks are freed, and then keeps them: a later pass may fit into these.
    environment = os.environ | {"LINPROBE_BFLOAT16": bfloat16, "MALLOC_MMAP_THRESHOLD_": str(2**16)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.split()
    assert set(said) <= {"done", "MemoryError"}
    if bfloat16 == "off":  # smaller blocks may fit into what the first call has left
        assert said[0] == "MemoryError"
    assert said[-1] == "done"  # the pool still works


CHANGED_LABELS = """
import threading, time
import numpy as np
from linprobe import Objective

y, rows = np.zeros(200_000, np.int64), np.arange(200_000)
X = np.zeros((200_000, 8), np.float32)
objective = Objective(X, y, rows=rows, loss="softmax", penalty="l2", reg=0.1, n_classes=3)
stop = threading.Event()

def spoil():
    while not stop.is_set():
        time.sleep(0.001)
        y[-1000:] = rows[-1000:] = 2**40

thread = threading.Thread(target=spoil)
thread.start()
for _ in range(30):
    y[:], rows[:] = 0, np.arange(200_000)
    objective.value_and_gradient(np.zeros((3, 8)), np.zeros(3))
stop.set()
thread.join()
"""

DAEMON = """
import threading, time
import numpy as np
from linprobe import Objective

objective = Objective(np.zeros((2000, 50)), np.arange(2000) % 2, loss="softmax", penalty="l2", reg=0.1, n_threads=2)

def on():
    while True:
        objective.value_and_gradient(np.zeros((2, 50)), np.zeros(2))

threading.Thread(target=on, daemon=True).start()
time.sleep(0.3)
"""


@pytest.mark.parametrize("code", [CHANGED_LABELS, DAEMON], ids=["labels that change", "a daemon thread at exit"])
def test_no_other_thread_can_end_the_process_during_a_pass(code):
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
