"""The page of faults names every scenario there is, so that none is forgotten."""

from __future__ import annotations

from faults.bench import HEAD, PAGE, Outcome, modules, page, scenarios, section, title


def test_the_page_names_every_scenario_that_exists_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    named = {part.split("`")[0] for part in text.split("`test_")[1:]}
    assert named == {name.removeprefix("test_") for one in modules() for name in scenarios(one)}


def test_two_modules_of_scenarios_have_two_headings() -> None:
    assert len({title(module) for module in modules()}) == len(modules())


def test_a_run_of_one_module_leaves_the_other_sections_as_they_are() -> None:
    before = PAGE.read_text(encoding="utf-8")
    module = modules()[0]
    outcome = Outcome(
        fault="It breaks", where="here", end="delivered", lost=0, doubled=0, others="wait"
    )
    told = {name: [outcome] for name in scenarios(module)}
    after = page(before, {module.name: told})
    assert section(module, [outcome]) in after
    assert all(f"## {title(one)}" in after for one in modules() if title(one) in before)
    assert page(before, {module.name: told | {scenarios(module)[0]: []}}) == before
    assert page(after, {module.name: told}) == after
