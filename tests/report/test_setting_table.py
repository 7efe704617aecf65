"""What the configurations of methods differ in, and what they do not."""

from rationalizers.report.result import read_result
from rationalizers.report.setting_table import setting_table
from tests.report.run_folders import write_run


def table(tmp_path, **methods):
    groups = {
        method: [read_result(write_run(tmp_path, method=method, seed=seed, **each)) for seed, each in enumerate(runs)]
        for method, runs in methods.items()
    }
    found = setting_table(groups)
    assert found.methods == list(methods)
    return dict(found.rows)


def test_only_what_differs_between_methods_is_listed(tmp_path):
    found = table(
        tmp_path,
        a=[{"model": {"rate": 0.1, "deep": {"er": [1, 2]}}, "versions": {"torch": "2.13"}}] * 2,
        b=[{"model": {"rate": 0.10, "deep": {"er": [1, 3]}, "own": None}, "versions": {"torch": "2.12"}}] * 2,
    )
    assert found == {
        "model.deep.er.1": ["2", "3"],
        "model.own": [None, "None"],
        "versions.torch": ["2.13", "2.12"],
    }


def test_what_follows_the_seed_is_the_same(tmp_path):
    runs = [{"data": {"draw_seed": seed, "fold": seed + 7, "from": f"runs/x-s{seed}"}} for seed in (0, 1)]
    assert table(tmp_path, a=runs, b=runs) == {}
    other = [{"data": {"draw_seed": seed, "fold": seed + 7, "from": f"runs/y-s{seed}"}} for seed in (0, 1)]
    assert table(tmp_path / "named", a=runs, b=other) == {"data.from": ["runs/x", "runs/y"]}


def test_several_values_of_one_method_are_listed(tmp_path):
    found = table(tmp_path, a=[{"model": {"rate": rate}} for rate in (1, 2, 3, 4, 5, 6)], b=[{"model": {"rate": 1}}])
    assert found == {"model.rate": ["1, 2, 3, 4 and 2 more", "1"]}
