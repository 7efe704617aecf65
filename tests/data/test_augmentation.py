"""Copies of labelled examples: only shortcuts differ, and what stands in their place comes from where it should."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from rationalizers.batch import Packed
from rationalizers.build import build, trusting
from rationalizers.data import augmentation
from rationalizers.data.augmentation import Augmentation, Material, NearestStates, RandomSpans, Released
from rationalizers.data.module import TextData
from rationalizers.encoders import Encoder
from rationalizers.load import load_rationalizer
from tests.tiny import ROOT, data_config, finished_run

CLS, SEP = 1, 2
VOCABULARY = tuple(f"unit-{row}" for row in range(100))


def example(name, inner, *, shortcuts=(), evidence=(), label=0, labelled=True):
    """``[CLS] inner [SEP]``; shortcuts and evidence are half-open intervals of the inner units."""
    n = len(inner) + 2
    fixed = torch.zeros(n, dtype=torch.bool)
    fixed[[0, -1]] = True
    marks = {"discovered": torch.where(fixed, -1, 0), "evidence": torch.zeros(n, dtype=torch.bool)}
    for field, spans in (("discovered", shortcuts), ("evidence", evidence)):
        for start, end in spans:
            marks[field][start + 1 : end + 1] = 1
    return Packed(
        units=torch.tensor([CLS, *inner, SEP]),
        ptr=torch.tensor([0, n]),
        y=torch.tensor([label]),
        fixed=fixed,
        fields={**marks, "word": torch.arange(n) - 1},
        labelled=torch.tensor([labelled]),
        spans=torch.tensor([(0, start + 1, end + 1, group) for group, (start, end) in enumerate(evidence)]).reshape(-1, 4),
        words=(tuple(f"word-{unit}" for unit in inner),),
        ids=(name,),
    )


LABELLED = (
    example("a", range(10, 18), shortcuts=((0, 3), (5, 6)), evidence=((3, 5),)),
    example("b", range(20, 26), label=1, evidence=((0, 1),)),
    example("c", range(30, 37), shortcuts=((4, 7),), evidence=((0, 2),)),
)
OTHERS = (example("d", range(40, 52), label=1, labelled=False), example("e", range(60, 62), labelled=False))


def material(**changes):
    known = {"labelled": LABELLED, "others": OTHERS, "further": {}, "run": None, "seed": 0, "vocabulary": VOCABULARY}
    return Material(**{**known, **changes})


def units(copies):
    return [copy.units.tolist() for copy in copies]


def marked(row):
    return row.fields["discovered"] > 0


def check_unchanged(copies, labelled):
    """What copies may never change."""
    assert [copy.ids for copy in copies] == [row.ids for row in labelled]
    for copy, row in zip(copies, labelled, strict=True):
        assert copy.units[~marked(row)].equal(row.units[~marked(row)])
        for name in ("ptr", "y", "position", "fixed", "labelled", "annotated", "spans", "index"):
            assert getattr(copy, name).equal(getattr(row, name))
        assert set(copy.fields) == set(row.fields)
        for name in set(row.fields) - {"discovered"}:
            assert copy.fields[name].equal(row.fields[name])
        assert copy.fields["discovered"].dtype == row.fields["discovered"].dtype
        assert copy.words == ()


# Any augmentation -----------------------------------------------------------------------------------------------------


class Known(Encoder):
    """States that are given for every unit, ``[V, D]``."""

    width = embedding_width = 2

    def __init__(self, table):
        super().__init__()
        self.table = table

    def embed(self, batch):
        return self.table[batch.units]

    def encode(self, e, batch):
        return e

    def mask_embedding(self):
        return self.table[0]


class Opened:
    """Stands for `load_rationalizer`: a model with known states."""

    def __init__(self, table, *, vocabulary=VOCABULARY):
        self.asked, self.vocabulary = [], list(vocabulary)
        self.model = SimpleNamespace(generator=Known(table).eval())

    def __call__(self, folder, *, trust, device):
        self.asked.append((folder, trust, device))
        return SimpleNamespace(model=self.model, featurizer=SimpleNamespace(vocabulary=self.vocabulary))


@pytest.fixture
def opened(monkeypatch):
    """A model in which every unit has a state of its own, drawn at random."""
    found = Opened(torch.randn(100, 2, generator=torch.Generator().manual_seed(1)))
    monkeypatch.setattr(augmentation, "load_rationalizer", found)
    return found


def released(labelled=LABELLED, **changes):
    """Copies as a corpus comes with them: other units at discovered places, unlabelled, further fields unknown."""
    return [
        replace(
            row,
            units=torch.where(marked(row), row.units + 50, row.units),
            labelled=torch.tensor([False]),
            fields={"evidence": row.fields["evidence"], "word": row.fields["word"]},
            **changes,
        )
        for row in labelled
    ]


ALL = [
    (RandomSpans(), {}, False),
    (NearestStates(), {"run": Path("run")}, True),
    (Released(split="copies", flags=True), {"further": {"copies": released()}}, True),
    (Released(split="copies", flags=False), {"further": {"copies": released()}}, False),
]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("made", "changes", "flags"), ALL)
class TestAnyAugmentation:
    def test_only_shortcuts_differ(self, made, changes, flags):
        copies = made.copies(material(**changes))
        check_unchanged(copies, LABELLED)
        assert copies[0].units[marked(LABELLED[0])].ne(LABELLED[0].units[marked(LABELLED[0])]).any()

    def test_an_example_without_shortcuts_is_an_unchanged_copy(self, made, changes, flags):
        assert made.copies(material(**changes))[1].units.equal(LABELLED[1].units)
        plain = [example("x", range(10, 14)), example("y", range(20, 25))]
        further = {"further": {"copies": released(plain)}} if "further" in changes else {}
        assert units(made.copies(material(**{**changes, **further}, labelled=plain))) == units(plain)

    def test_copies_are_discovered_or_not(self, made, changes, flags):
        for copy, row in zip(made.copies(material(**changes)), LABELLED, strict=True):
            expected = row.fields["discovered"] if flags else torch.where(row.fixed, -1, 0)
            assert copy.fields["discovered"].equal(expected)

    def test_originals_and_other_copies_are_left_alone(self, made, changes, flags):
        before = units(LABELLED)
        first, second = made.copies(material(**changes)), made.copies(material(**changes))
        assert units(first) == units(second)
        for copy in first:
            copy.units[:] = 99
        assert units(LABELLED) == before
        assert all(copy.units.ne(99).all() for copy in second)

    def test_without_labelled_examples_there_are_no_copies(self, made, changes, flags):
        assert made.copies(material(**changes, labelled=())) == []

    def test_shortcuts_must_be_known(self, made, changes, flags):
        unknown = [replace(row, fields={"evidence": row.fields["evidence"]}) for row in LABELLED]
        with pytest.raises(ValueError, match=r"fields\['discovered'\]; name the run .* data.module.shortcuts="):
            made.copies(material(**changes, labelled=unknown))

    @pytest.mark.parametrize("place", [0, 4])
    def test_neither_evidence_nor_a_fixed_unit_is_a_shortcut(self, made, changes, flags, place):
        wrong = LABELLED[0].fields["discovered"].clone()
        wrong[place] = 1
        rows = [replace(LABELLED[0], fields={**LABELLED[0].fields, "discovered": wrong}), *LABELLED[1:]]
        with pytest.raises(
            ValueError, match=r"example 'a': expected units that are neither evidence nor fixed .* got 1 that are"
        ):
            made.copies(material(**changes, labelled=rows))

    def test_copies_make_a_batch(self, made, changes, flags):
        assert len(Packed.collate(made.copies(material(**changes)))) == 3


# Random spans ---------------------------------------------------------------------------------------------------------


def runs_of(row):
    """Discovered places of an example, run by run."""
    places = torch.nonzero(marked(row)).flatten().tolist()
    found = []
    for place in places:
        if found and found[-1][-1] == place - 1:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def places_of(length, rows=(*LABELLED, *OTHERS)):
    """All texts of that many units in a row that are not fixed."""
    inner = [row.units[1:-1].tolist() for row in rows]
    return [tuple(each[start : start + length]) for each in inner for start in range(len(each) - length + 1)]


@pytest.mark.parametrize("seed", range(20))
def test_a_run_is_overwritten_by_consecutive_units_of_one_example(seed):
    copies = RandomSpans().copies(material(seed=seed))
    for copy, row in zip(copies, LABELLED, strict=True):
        for run in runs_of(row):
            text = tuple(copy.units[run].tolist())
            assert text in places_of(len(run))
            assert text != tuple(row.units[run].tolist())  # every text stands in one place only


def test_every_other_place_is_drawn_equally_often():
    # Chi-squared of 36 and 23 places; the 99.9 % quantiles of 35 and 22 degrees of freedom are 66.6 and 48.3.
    drawn = {0: Counter(), 1: Counter()}
    for seed in range(2000):
        copy = RandomSpans().copies(material(seed=seed))[0]
        for which, run in enumerate(runs_of(LABELLED[0])):
            drawn[which][tuple(copy.units[run].tolist())] += 1
    for which, (size, limit) in enumerate(((3, 48.3), (1, 66.6))):
        own = tuple(LABELLED[0].units[runs_of(LABELLED[0])[which]].tolist())
        places = set(places_of(size)) - {own}
        assert set(drawn[which]) == places
        expected = 2000 / len(places)
        assert sum((count - expected) ** 2 / expected for count in drawn[which].values()) < limit


def test_random_spans_are_a_pure_function_of_the_seed():
    first = units(RandomSpans().copies(material(seed=3)))
    torch.manual_seed(99)
    assert units(RandomSpans().copies(material(seed=3))) == first
    assert units(RandomSpans().copies(material(seed=4))) != first


def test_a_run_as_long_as_nothing_else_is_refused():
    long = [example("long", range(70, 90), shortcuts=((0, 20),)), *LABELLED]
    with pytest.raises(ValueError, match=r"nowhere else in the training set are 20 units in a row.*\[semantic\]"):
        RandomSpans().copies(material(labelled=long))


def test_a_run_never_reaches_into_the_next_example():
    # Without special tokens nothing but the offsets parts two examples.
    def bare(row):
        inner = {name: values[1:-1] for name, values in row.fields.items()}
        return Packed(units=row.units[1:-1], ptr=row.ptr - row.ptr.sign() * 2, y=row.y, fields=inner, ids=row.ids)

    rows = [bare(row) for row in LABELLED]
    places = set(places_of(3))
    for seed in range(100):
        copies = RandomSpans().copies(material(labelled=rows, others=[bare(row) for row in OTHERS], seed=seed))
        assert tuple(copies[0].units[:3].tolist()) in places
        assert tuple(copies[2].units[4:].tolist()) in places


def test_the_only_other_place_is_taken():
    long = [example("long", range(70, 90), shortcuts=((0, 20),))]
    copy = RandomSpans().copies(material(labelled=long, others=[example("other", range(20, 40), labelled=False)]))[0]
    assert copy.units.tolist() == [CLS, *range(20, 40), SEP]


def test_flags_may_be_truth_values():
    rows = [replace(row, fields={**row.fields, "discovered": marked(row)}) for row in LABELLED]
    assert units(RandomSpans().copies(material(labelled=rows))) == units(RandomSpans().copies(material()))
    assert not any(copy.fields["discovered"].any() for copy in RandomSpans().copies(material(labelled=rows)))


# Nearest states -------------------------------------------------------------------------------------------------------


def nearest_by_hand(rows, states):
    """The units of the copies, one unit at a time."""
    found = []
    for one, row in enumerate(rows):
        copy = row.units.tolist()
        for place in torch.nonzero(marked(row)).flatten().tolist():
            among = [
                (torch.dist(states[one][place], states[other][k]).item(), int(theirs.units[k]))
                for other, theirs in enumerate(rows)
                if other != one
                for k in range(theirs.units.shape[0])
                if not theirs.fixed[k] and not theirs.fields["evidence"][k] and theirs.units[k] != row.units[place]
            ]
            copy[place] = min(among)[1]
        found.append(copy)
    return found


def states_of(rows, table):
    return [table[row.units] for row in rows]


@pytest.mark.parametrize("distances", [2**25, 1, 20])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_unit_is_replaced_by_that_of_the_nearest_state(opened, monkeypatch, distances, batch_size):
    monkeypatch.setattr(augmentation, "DISTANCES", distances)
    with trusting(["tests"]):
        nearest = NearestStates(batch_size=batch_size, device="cpu")
    copies = nearest.copies(material(run=Path("runs/fr")))
    assert units(copies) == nearest_by_hand(LABELLED, states_of(LABELLED, opened.model.generator.table))
    assert opened.asked == [(Path("runs/fr"), ("tests",), "cpu")]


def test_neither_evidence_nor_the_same_example_nor_the_same_unit_is_retrieved(opened):
    # The shortcut 10 also stands in its own example and in another; nearest of all are evidence and the special tokens.
    rows = [
        example("a", [10, 11, 10, 12], shortcuts=((0, 1),)),
        example("b", [10, 20, 21], evidence=((1, 2),)),
        example("c", [22, 23]),
    ]
    table = torch.full((100, 2), 50.0)
    for distance, unit in enumerate((10, 12, CLS, SEP, 20, 11, 23, 21, 22)):
        table[unit] = torch.tensor([float(distance), 0.0])
    opened.model.generator.table = table
    copies = NearestStates().copies(material(labelled=rows, run=Path("run")))
    assert copies[0].units.tolist() == [CLS, 23, 11, 10, 12, SEP]
    # Examples that are not labelled have no say, however near.
    table[40] = table[10]
    assert units(NearestStates().copies(material(labelled=rows, run=Path("run")))) == units(copies)


def test_one_of_several_neighbours_is_drawn_by_the_seed(opened):
    rows = [example("a", [10, 11], shortcuts=((0, 1),)), example("b", range(20, 28))]
    distance = torch.cdist(opened.model.generator.table[[10]], opened.model.generator.table[20:28])[0]
    three = {20 + place for place in distance.argsort()[:3].tolist()}

    def drawn(neighbours, seed):
        return int(NearestStates(neighbours=neighbours).copies(material(labelled=rows, run=Path("run"), seed=seed))[0].units[1])

    counts = Counter(drawn(3, seed) for seed in range(60))
    assert set(counts) == three
    assert min(counts.values()) >= 10
    assert drawn(3, 5) == drawn(3, 5)
    assert {drawn(1, seed) for seed in range(5)} == {20 + int(distance.argmin())}
    # More than there are is all of them.
    assert {drawn(1000, seed) for seed in range(200)} == set(range(20, 28))


def test_a_unit_without_a_neighbour_is_named(opened):
    for rows in (
        [example("a", [10, 11], shortcuts=((0, 1),))],
        [example("b", [12]), example("a", [12], shortcuts=((0, 1),))],
        [example("b", [13], evidence=((0, 1),)), example("a", [10, 11], shortcuts=((0, 1),))],
    ):
        with pytest.raises(ValueError, match=r"example 'a': a discovered unit has no neighbour.*data.module.labelled_share"):
            NearestStates().copies(material(labelled=rows, run=Path("run")))


def test_a_run_must_be_named():
    with pytest.raises(ValueError, match=r"name its run: data.module.shortcuts="):
        NearestStates().copies(material())


def test_the_run_must_know_the_same_units(opened):
    opened.vocabulary[3] = "other"
    with pytest.raises(ValueError, match="run: its vocabulary of 100 units must be that of the examples"):
        NearestStates().copies(material(run=Path("run")))


def test_the_model_must_have_an_encoder(opened):
    opened.model = SimpleNamespace(generator=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="run: NearestStates needs a model whose 'generator' is an Encoder"):
        NearestStates().copies(material(run=Path("run")))


@pytest.mark.parametrize("name", ["neighbours", "batch_size"])
def test_numbers_must_be_positive(name):
    with pytest.raises(ValueError, match=f"'{name}' must be at least 1, got 0"):
        NearestStates(**{name: 0})


# Released copies ------------------------------------------------------------------------------------------------------


def test_released_copies_are_matched_by_name_and_may_be_of_more_examples():
    copies = released()
    expected = units(copies)
    further = {"copies": [released(OTHERS)[0], *reversed(copies)]}
    assert units(Released(split="copies", flags=True).copies(material(further=further))) == expected


def test_fixed_units_are_those_of_the_original():
    copies = released()
    copies[0].units[0] = 77
    found = Released(split="copies", flags=True).copies(material(further={"copies": copies}))
    check_unchanged(found, LABELLED)


def refused(copies, match):
    with pytest.raises(ValueError, match=match):
        Released(split="copies", flags=True).copies(material(further={"copies": copies}))


def test_released_copies_must_be_copies():
    refused(released(LABELLED[:2]), "split 'copies' has no copy of example 'c'")
    refused([*released(), released()[0]], "split 'copies' has 4 copies with 3 names")
    refused(released(y=torch.tensor([1])), "copy of example 'a': expected its label, got another")
    refused(released(y=None), "copy of example 'a': expected its label, got another")
    longer = [example("a", range(10, 19)), *released()[1:]]
    refused(longer, "copy of example 'a': expected its 10 units, got 11")
    moved = replace(released()[2], spans=torch.tensor([[0, 1, 2, 0]]))
    refused([*released()[:2], moved], "copy of example 'c': expected its evidence, got other")
    without = replace(released()[2], fields={"evidence": torch.zeros(9, dtype=torch.bool)})
    refused([*released()[:2], without], "copy of example 'c': expected its evidence, got other")
    copies = released()
    copies[0].units[[4, 7]] = 77
    refused(copies, r"copy of example 'a': expected other units only where .* got 2 elsewhere, first unit 4; .*shortcuts=null")


def test_an_unknown_split_lists_those_that_exist():
    with pytest.raises(ValueError, match=r"of which it has \['copies', 'more'\]; got 'none'.*\[random,semantic\]"):
        Released(split="none", flags=True).copies(material(further={"more": [], "copies": []}))


# Through the data module ----------------------------------------------------------------------------------------------

GROUP = ROOT / "conf" / "augmentation"


def described():
    """Every description of the configuration group, by name."""
    return {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in sorted(GROUP.glob("*.yaml"))}


def test_a_description_adds_one_augmentation_of_its_name():
    assert set(described()) == {"random", "semantic", "released_random", "released_semantic"}
    for name, entry in described().items():
        assert set(entry) == {name}
        assert isinstance(build(entry[name], Augmentation), Augmentation)
    assert {name: build(entry[name], Augmentation).flags for name, entry in described().items()} == {
        "random": False,
        "semantic": True,
        "released_random": False,
        "released_semantic": True,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of RNP; nobody may change it."""
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def data():
    """The corpus of that run; every filler that is no evidence and begins with a ``t`` is a shortcut."""
    description = {name: value for name, value in data_config().items() if name != "_target_"}
    with trusting(["tests"]):
        found = TextData(**description)
    found.setup()
    return found


def tiny(data, **changes):
    rows = [
        replace(row, fields={**row.fields, "discovered": starting_with_t(row) & ~row.fields["evidence"] & ~row.fixed})
        for row in data.labelled
    ]
    others = [row for row in data.splits["train"] if not bool(row.labelled)]
    return Material(
        **{
            **{"labelled": rows, "others": others, "further": {}, "run": None, "seed": 0},
            **{"vocabulary": data.text.vocabulary},
            **changes,
        }
    )


def starting_with_t(row):
    return torch.tensor([word.startswith("t") for word in row.words[0]])


def test_the_states_are_those_of_the_trained_generator(folder, data):
    given = tiny(data, run=folder)
    copies = NearestStates(batch_size=5).copies(given)
    check_unchanged(copies, given.labelled)
    generator = load_rationalizer(folder).model.generator
    with torch.no_grad():
        states = [generator.states(row) for row in given.labelled]
    assert units(copies) == nearest_by_hand(given.labelled, states)
    assert sum(int(marked(row).sum()) for row in given.labelled) > 20
    assert all(
        (copy.units != row.units).equal(marked(row)) for copy, row in zip(copies, given.labelled, strict=True)
    )  # no unit is replaced by itself


def test_a_run_of_another_method_or_of_nothing_is_refused(folder, data, tmp_path):
    with pytest.raises(FileNotFoundError):
        NearestStates().copies(tiny(data, run=tmp_path / "nothing"))
    with pytest.raises(ValueError, match="must be that of the examples"):
        NearestStates().copies(tiny(data, run=folder, vocabulary=[*data.text.vocabulary, "more"]))
