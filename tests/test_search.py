"""Searches: what is proposed, in which order, and after having been killed; and the number that judges a run."""

import itertools
import json
import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from rationalizers.search import Search, value_of

SPACE = {"lr": FloatDistribution(1e-4, 1e-2, log=True), "layers": CategoricalDistribution(["1", "2"])}
COUNT = 12  # two beyond those that are drawn at random


def search(folder, *, space=SPACE, mode="min", seed=0, asked=None):
    return Search(folder, space, mode=mode, seed=seed, asked=asked or {"data": "toy"})


def worth(proposal):
    return abs(math.log10(proposal.values["lr"]) + 3) + (proposal.values["layers"] == "1")


def searched(found, count=COUNT):
    """Try everything that is proposed."""
    for proposal in found.proposals(count):
        found.tell(proposal, worth(proposal))
    return [(dict(proposal.values), value) for proposal, value in found.tried()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return searched(search(tmp_path_factory.mktemp("search")))


def test_proposals_are_seeded_and_lie_in_the_space(uninterrupted, tmp_path):
    assert len(uninterrupted) == COUNT
    assert all(1e-4 <= values["lr"] <= 1e-2 and values["layers"] in ("1", "2") for values, _ in uninterrupted)
    assert len({values["lr"] for values, _ in uninterrupted}) == COUNT
    assert searched(search(tmp_path, seed=1), 2) != uninterrupted[:2]


@pytest.mark.parametrize("ended", [0, 10])
def test_killed_and_started_again_it_proposes_the_same(uninterrupted, tmp_path, ended):
    first = search(tmp_path)
    for proposal in itertools.islice(first.proposals(COUNT), ended + 1):
        if len(first.tried()) <= ended:
            first.tell(proposal, worth(proposal))
    assert first.counts() == (ended, 1)
    again = search(tmp_path)
    assert next(again.proposals(COUNT)) == proposal
    assert searched(again) == uninterrupted
    assert again.counts() == (COUNT, 0)
    assert list(again.proposals(COUNT)) == []  # as many in all


def test_one_that_was_killed_before_it_had_values_is_proposed_anew(uninterrupted, tmp_path):
    first = search(tmp_path)
    first._study.ask()
    assert first.counts() == (0, 0)
    assert searched(search(tmp_path), 2) == uninterrupted[:2]


def test_failed_ones_take_their_places_and_are_never_best(tmp_path):
    found = search(tmp_path)
    given = iter([None, 2.0, float("nan"), 1.0, 1.0])
    for proposal in found.proposals(5):
        found.tell(proposal, next(given))
    assert [value for _, value in found.tried()] == [None, 2.0, None, 1.0, 1.0]
    assert found.best() == (found.tried()[3][0], 1.0)
    greatest = search(tmp_path / "greatest", mode="max")
    assert greatest.best() is None
    for proposal, value in zip(greatest.proposals(3), (1.0, 2.0, None), strict=True):
        greatest.tell(proposal, value)
    assert greatest.best() == (greatest.tried()[1][0], 2.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"space": {**SPACE, "lr": FloatDistribution(1e-4, 1e-1, log=True)}}, r"space\.lr\.high is 0\.1 now and 0\.01 there"),
        ({"asked": {"data": "movies"}}, r"asked\.data is 'movies' now and 'toy' there"),
        ({"seed": 1}, "seed is 1 now and 0 there"),
        ({"mode": "max"}, "mode is 'max' now and 'min' there"),
    ],
)
def test_a_folder_keeps_one_search(tmp_path, changed, told):
    search(tmp_path)
    with pytest.raises(ValueError, match=rf"study\.db holds another search: {told}.*runs=…"):
        search(tmp_path, **changed)


def test_nothing_to_search_is_no_search(tmp_path):
    with pytest.raises(ValueError, match="needs a range"):
        search(tmp_path, space={})
    assert not list(tmp_path.iterdir())


def test_a_run_is_judged_in_validation(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"best_epoch": 1, "val": {"loss": 0.25}, "test": {"loss": 0.5}}))
    assert value_of(tmp_path, "val/loss") == 0.25
    for monitor in ("test/loss", "train/loss", "loss"):
        with pytest.raises(ValueError, match=f"judged by a validation number, got trainer.monitor={monitor}"):
            value_of(tmp_path, monitor)
