"""Four ways of reading the same copies."""

from experiments.aopc_benchmark import AOPCBenchmark

SMALL = [
    "method=noise",
    "data=toy_text",
    "data.module.corpus.train=40",
    "data.module.corpus.val=8",
    "data.module.corpus.test=20",
]


def test_all_ways_give_the_same_numbers():
    benchmark = AOPCBenchmark(overrides=SMALL, run=None, split="test", batch_size=8, units=2000, absence="compact")
    measured = benchmark.measure(rounds=1, threads=1)
    assert measured.facts["largest_difference"] < 1e-5
    assert measured.facts["documents"] == 20
    assert measured.facts["numbers"]["comprehensiveness_aopc"] != 0
    # Erased and kept copies of a document together are six documents, besides the document itself.
    copies, padded = measured.facts["units"].values()
    assert padded / copies == 13 / 7
    assert set(measured.ratios) == {"aopc", "aopc_by_size", "aopc_one_at_a_time"}
    assert len(measured.seconds["packed"]) == 1
