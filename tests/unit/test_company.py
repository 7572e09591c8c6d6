"""Cases run beside each other, but for one that is tried alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from servers import wait_for

from clic_edge.pipeline.company import Company

SECONDS = 60


def test_who_is_tried_alone_waits_for_those_inside_and_lets_no_other_in() -> None:
    company, seen = Company(), list[str]()
    first = threading.Event()

    def be(name: str, *, alone: bool) -> None:
        with company.alone() if alone else company.beside_others():
            seen.append(f"{name} in")
            if alone:
                assert first.wait(SECONDS)
            seen.append(f"{name} out")

    with ThreadPoolExecutor(3) as threads:
        with company.beside_others(), company.beside_others():
            tried = threads.submit(be, "tried", alone=True)
            wait_for(lambda: company._alone == 1, "it is known")
            assert not seen
            late = [threads.submit(be, name, alone=False) for name in "bc"]
        first.set()
        for one in (tried, *late):
            one.result(SECONDS)
    assert seen[:2] == ["tried in", "tried out"]
    assert sorted(seen[2:]) == ["b in", "b out", "c in", "c out"]


def test_two_that_are_tried_alone_come_one_after_the_other() -> None:
    company, inside = Company(), list[int]()

    def be(_number: int) -> None:
        with company.alone():
            inside.append(1)
            assert sum(inside) == 1
            inside.append(-1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(be, range(50)))
    with ExitStack() as many:
        for _ in range(3):
            many.enter_context(company.beside_others())
