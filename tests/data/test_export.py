import json

import pytest
import torch
import yaml

from rationalizers.base import Output
from rationalizers.data.eraser import Eraser
from rationalizers.data.export import export_predictions, export_run
from rationalizers.data.predictions import Marked, Prediction, read_predictions, write_predictions
from rationalizers.data.words import WordFeaturizer
from rationalizers.eraser import score_predictions
from rationalizers.metrics.plausibility import SpanF1, TokenAUPRC, TokenF1
from rationalizers.rationale import Rationale
from rationalizers.run import FORMAT
from rationalizers.task import Classification
from tests.data.eraser_folder import DOCS, annotation, evidence, make, read


def record(name, words, selected, scores):
    return {
        "id": name,
        "words": words.split(),
        "selected": selected,
        "scores": scores,
        "prediction": "SUPPORTS",
        "probabilities": {"REFUTES": 0.25, "SUPPORTS": 0.75},
    }


def run_folder(root, corpus, records):
    folder = root / "run.partial"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"format": FORMAT, "data": {"corpus": corpus}}))
    (folder / "rationales.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


def test_scored_again_a_run_has_its_own_numbers(tmp_path):
    make(tmp_path)
    source = Eraser(name="movies", root=str(tmp_path), download=False)
    documents = source.load().splits["test"]
    featurizer = WordFeaturizer(min_count=1)
    featurizer.fit(documents)
    batch = featurizer.batch(documents)
    scores = torch.rand(batch.units.shape[0], generator=torch.Generator().manual_seed(5)).round(decimals=4)
    scores[torch.tensor([7, 8, 13])] += 1  # two words of evidence, and one beside
    rationale = Rationale(scores=scores, mask=torch.zeros_like(scores), ptr=batch.ptr).topk(torch.tensor([4, 3, 2]))
    output = Output(logits=torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]]), rationale=rationale)
    examples = [each.record() for each in featurizer.explain(batch, output, Classification(labels=["NEG", "POS"]))]

    annotations = source.annotations("test")
    path = write_predictions(tmp_path / "predictions.jsonl", export_predictions(examples, annotations))
    numbers = score_predictions(read_predictions(path, annotations=annotations), annotations)
    run = {}
    for metric in (TokenF1(), SpanF1(), TokenAUPRC()):
        metric.update(rationale, batch)
        run |= {name: float(value) for name, value in metric.compute().items()}
    pairs = {name: name for name in run if name.startswith("token_")} | {"token_auprc": "auprc", "exact_f1_macro": "exact_f1"}
    pairs |= {f"iou_f1_macro@{threshold}": f"iou_f1@{threshold}" for threshold in (0.1, 0.5)}
    assert {name: numbers[name] for name in pairs} == pytest.approx({name: run[told] for name, told in pairs.items()})
    assert 0 < numbers["token_f1"] < 1
    assert numbers["accuracy"] == pytest.approx(2 / 3)


def test_selected_runs_are_cut_where_documents_meet_and_unseen_words_come_last(tmp_path):
    make(tmp_path, name="fever", lines=[annotation("c", "SUPPORTS", [[evidence("r1", 7, 9)]], docids=["r3", "r1"])])
    seen = " ".join([*DOCS["r3"].split(), *DOCS["r1"].split()[:4]])
    example = record("c", seen, [[0, 1], [3, 6]], [0.5, None, 0.25, 1, 2, 3, 0, 0])
    (only,) = export_predictions([example], read(tmp_path, name="fever"))
    assert only == Prediction(
        "c",
        (
            Marked("r3", spans=((0, 1), (3, 4)), tokens=(0.5, -1, 0.25, 1)),
            Marked("r1", spans=((0, 2),), tokens=(2, 3, 0, 0, -1, -1, -1, -1, -1)),
        ),
        label="SUPPORTS",
        probabilities={"REFUTES": 0.25, "SUPPORTS": 0.75},
    )


def test_without_scores_all_words_are_alike(tmp_path):
    (only,) = export_predictions([record("t", "so so", [], [None, None])])
    assert only.documents == (Marked("t", spans=(), tokens=(-1, -1)),)


def test_other_examples_or_other_words_are_an_error(tmp_path):
    make(tmp_path)
    with pytest.raises(ValueError, match=r"example 'r9': it is not in the split 'test' of movies; export"):
        export_predictions([record("r9", "a", [], [0])], read(tmp_path))
    with pytest.raises(ValueError, match=r"example 'r1': its words are not those of r1 in .*docs; export"):
        export_predictions([record("r1", "a fine film", [], [0, 0, 0])], read(tmp_path))


def test_a_run_on_an_eraser_set_is_exported_by_its_documents(tmp_path):
    make(tmp_path, name="fever", lines=[annotation("c", "SUPPORTS", [[evidence("r1", 7, 9)]], docids=["r3", "r1"])])
    corpus = {"_target_": "rationalizers.data.eraser.Eraser", "name": "fever", "root": str(tmp_path)}
    example = record("c", DOCS["r3"], [[1, 3]], [0, 1, 2, 3])
    path = export_run(run_folder(tmp_path, corpus, [example]))
    assert path == tmp_path / "run.partial" / "predictions.jsonl"
    (only,) = read_predictions(path, annotations=read(tmp_path, name="fever"))
    assert [(document.docid, document.spans) for document in only.documents] == [("r3", ((1, 3),)), ("r1", ())]


def test_any_other_text_is_a_document_of_its_own_name(tmp_path):
    folder = run_folder(tmp_path, {"_target_": "strangers.Corpus"}, [record("t/0", "a b c", [[0, 2]], [2, 1, 0])])
    (only,) = read_predictions(export_run(folder))
    assert only.documents == (Marked("t/0", spans=((0, 2),), tokens=(2, 1, 0)),)


def test_graphs_have_no_predictions_of_this_kind(tmp_path):
    folder = run_folder(tmp_path, {}, [{"id": "g", "words": ["C", "O"], "edges": [[0, 1]], "selected": [[0, 1]]}])
    assert export_run(folder) is None
    assert not (folder / "predictions.jsonl").exists()


def test_a_folder_without_examples_is_an_error(tmp_path):
    folder = run_folder(tmp_path, {}, [])
    with pytest.raises(ValueError, match=r"rationales\.jsonl: expected one explained example per line, got none"):
        export_run(folder)
    (folder / "rationales.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no rationales\.jsonl"):
        export_run(folder)


def test_nothing_is_downloaded(tmp_path):
    corpus = {"_target_": "rationalizers.data.eraser.Eraser", "name": "movies", "root": str(tmp_path)}
    with pytest.raises(FileNotFoundError, match=r"eraser/movies"):
        export_run(run_folder(tmp_path, corpus, [record("r1", "a", [], [0])]))
