"""The BLAS for the core: one thread a call while anyone is inside, and as many as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from linprobe.blas import ONE_BLAS_THREAD


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    with ONE_BLAS_THREAD:  # loads the BLAS, so that it is there to be limited
        pass
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip(f"this BLAS does not run on two threads: {ThreadpoolController().info()}")
        yield


def test_a_call_has_one_thread_until_the_last_one_leaves(two_blas_threads):
    with ONE_BLAS_THREAD:
        assert blas_threads() == {1}
        with ONE_BLAS_THREAD:
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_the_limit_is_taken_back_after_an_error(two_blas_threads):
    with pytest.raises(ZeroDivisionError), ONE_BLAS_THREAD:
        _ = 1 / 0
    assert blas_threads() == {2}
