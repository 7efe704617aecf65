"""Hydra's sweeps as ranges of a search, and values of these as overrides and names of folders."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from experiments.search_space import ending, gathered, label_of, overrides_of, space_of


def test_sweeps_of_a_command_line_become_one_entry():
    typed = ["method=rnp", "a.lr=tag(log, interval(1e-4, 1e-2))", "method.name='it''s'", "--cfg", "job"]
    assert gathered(["method=rnp", typed[1], "--cfg", "job", "share=0.1,0.2"]) == [
        "method=rnp",
        "--cfg",
        "job",
        "space=['a.lr=tag(log, interval(1e-4, 1e-2))','share=0.1,0.2']",
    ]
    assert gathered(["kind=choice('a b',c)"]) == [r"space=['kind=choice(\'a b\',c)']"]
    for nothing in ([], ["method=rnp"], ["--help"], ["a=interval("]):
        assert gathered(nothing) == nothing


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("x=interval(1, 8)", FloatDistribution(1.0, 8.0)),
        ("x=interval(0.1, 1)", FloatDistribution(0.1, 1.0)),
        ("x=tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("x=int(interval(1, 8))", IntDistribution(1, 8)),
        ("x=tag(log, int(interval(1, 8)))", IntDistribution(1, 8, log=True)),
        ("x=range(2, 9, 3)", IntDistribution(2, 8, step=3)),
        ("x=range(8, 1, -2)", IntDistribution(2, 8, step=2)),
        ("x=range(0.1, 0.5, 0.2)", FloatDistribution(0.1, 0.3, step=0.2)),
        ("x=choice(0.12345, 7, 'a b')", CategoricalDistribution(["0.12345", "7", r"a\ b"])),
        ("x=true,false", CategoricalDistribution(["True", "False"])),
    ],
)
def test_ranges_are_those_of_hydra(written, expected):
    assert space_of([written]) == {"x": expected}
    assert len(ending(expected)) >= 2


def test_groups_and_packages_can_be_chosen():
    written = ["method=rnp,fr", "selector@method.model.selector=choice(soft,straight_through)"]
    assert list(space_of(written)) == ["method", "selector@method.model.selector"]


def test_what_is_no_range_or_common_to_all_is_refused():
    with pytest.raises(ValueError, match=r"'space' must hold ranges, got 'x=3'"):
        space_of(["x=3"])
    for written in ("x=shuffle(range(1, 3))", "x=shuffle(1, 2)"):
        with pytest.raises(ValueError, match="a search draws by itself"):
            space_of([written])
    for name in ("seed", "trainer.monitor", "trainer.mode", "runs"):
        with pytest.raises(ValueError, match=f"a search cannot choose '{name}', got '{name}=1,2'"):
            space_of([f"{name}=1,2"])


def test_a_folder_is_named_by_the_values_that_its_run_is_given():
    values = {"method.model.optimizer.lr": 0.00123456, "layers": 3, "encoder": "'a/b'", "reader.layers": 1, "share": 1e-5}
    assert overrides_of(values) == [
        "method.model.optimizer.lr=0.001235",
        "layers=3",
        "encoder='a/b'",
        "reader.layers=1",
        "share=1e-05",
    ]
    assert label_of(values) == "lr_0.001235-layers_3-encoder_-a-b--reader.layers_1-share_1e-05"
