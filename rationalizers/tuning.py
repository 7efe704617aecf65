"""Language models that get used to missing words: *compatibility* training, from scratch or of a pretrained model.

    min  (1 − ρ) E[−log f(y_t | y_<t)] + ρ E_S[−log f(y_t | y_S∩<t)]

with a random part S of the text in sight (`rationalizers.language.dropout`), per text; of an encoder-decoder, source and target
each have their own coin and their own S. Rationales for Sequential Predictions (Vafa et al., 2021,
https://arxiv.org/abs/2109.06387).

Deviations: absent words are masked by booleans, as in the search for rationales, and where no source word is in sight
attention to the source gives zero; the authors' code adds −10⁴, which cancels where everything is masked.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric

from rationalizers.base import OptimizerConfig
from rationalizers.build import build, trusting
from rationalizers.data.language import LanguageData
from rationalizers.encoders.architectures import check_causal, check_pair
from rationalizers.extras import require
from rationalizers.fitting import CHECKPOINTS, fit, quiet, shared
from rationalizers.language.dropout import check_law, visible
from rationalizers.language.masks import bias, seeing
from rationalizers.language.opening import opened
from rationalizers.run import FORMAT, close_run, open_run, versions, write_config, write_json
from rationalizers.segment import offsets
from rationalizers.training import fill

log = logging.getLogger(__name__)


class WordDropout(pl.LightningModule):
    """A language model of Hugging Face transformers that is trained with words missing.

    A batch has ``tokens [B, n]`` and ``length [B]``; of an encoder-decoder also ``source [B, s]`` and ``source_length [B]``, and
    its tokens begin with the one that starts the decoder. See `rationalizers.data.language.LanguageData`.

    Args:
        model: ``{pretrained: name, folder or package}``, or ``{architecture: {model_type: …, sizes}}`` with random weights.
        special: of a model with random weights, its ``vocab_size`` and the ids of special tokens, as ``config.json`` names them.
        absent: the law of S, ``uniform_length`` or ``inverse_length``.
        mixture: ρ in [0, 1]; 0 is ordinary training.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        smoothing: of labels, in [0, 1).

    Raises:
        ValueError: a value outside these ranges, or an architecture whose rationales could not be guaranteed
            (`rationalizers.encoders.architectures`).
    """

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        special: Mapping[str, int] | None = None,
        absent: str = "uniform_length",
        mixture: float = 0.5,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_law(absent, mixture)
        if not 0 <= smoothing < 1:
            raise ValueError(f"'smoothing' must be in [0, 1), got {smoothing}")
        self.absent, self.mixture, self.smoothing = absent, mixture, smoothing
        self.optimizer_config = OptimizerConfig(**optimizer)
        self.model = _language_model(model, special or {})
        # Mean surprise of a token: in training, of complete texts, of parts.
        self.trained, self.complete, self.missing = MeanMetric(), MeanMetric(), MeanMetric()

    @property
    def paired(self) -> bool:
        """Whether it is an encoder-decoder."""
        return bool(self.model.config.is_encoder_decoder)

    def forward(self, batch: Mapping[str, Tensor], *, mixture: float) -> tuple[Tensor, Tensor]:
        """Logits of the next token at every place that has one ``[R, V]``, and what stands there ``[R]``.

        Args:
            batch: the texts.
            mixture: how often anything is missing.
        """
        tokens = batch["tokens"][:, :-1]
        predicted = torch.arange(tokens.shape[1], device=tokens.device) < batch["length"][:, None] - 1
        seen = bias(seeing(self._visible(batch["length"] - 1, tokens.shape[1], mixture)).tril()[:, None], self.model.dtype)
        if self.paired:
            logits = self._translate(batch, tokens, seen, mixture)[predicted]
        else:
            positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
            states = self.model.base_model(input_ids=tokens, position_ids=positions, attention_mask=seen, use_cache=False)
            logits = self.model.get_output_embeddings()(states.last_hidden_state[predicted])
        return logits, batch["tokens"][:, 1:][predicted]

    def _translate(self, batch: Mapping[str, Tensor], tokens: Tensor, seen: Tensor, mixture: float) -> Tensor:
        """Logits of the decoder ``[B, n, V]``."""
        source = batch["source"]
        kept = self._visible(batch["source_length"], source.shape[1], mixture)
        encoded = self.model.get_encoder()(
            input_ids=source, attention_mask=bias(seeing(kept)[:, None], self.model.dtype), return_dict=True
        )
        across = kept[:, None, None].expand(-1, 1, tokens.shape[1], -1)
        logits: Tensor = self.model(
            encoder_outputs=encoded,
            attention_mask=bias(across, self.model.dtype, empty=True),
            decoder_input_ids=tokens,
            decoder_attention_mask=seen,
            use_cache=False,
        ).logits
        return logits

    def _visible(self, length: Tensor, longest: int, mixture: float) -> Tensor:
        """What others may see of padded texts ``[B, longest]`` bool."""
        real = torch.arange(longest, device=length.device) < length[:, None]
        kept = torch.zeros_like(real)
        kept[real] = visible(offsets(length), int(length.sum()), absent=self.absent, mixture=mixture)
        return kept

    def loss(self, batch: Mapping[str, Tensor], *, mixture: float, smoothing: float = 0.0) -> tuple[Tensor, int]:
        """Mean surprise of a token in nats, and of how many it is."""
        logits, target = self(batch, mixture=mixture)
        return F.cross_entropy(logits, target, label_smoothing=smoothing), target.shape[0]

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss with words missing as often as ``mixture`` says."""
        loss, count = self.loss(batch, mixture=self.mixture, smoothing=self.smoothing)
        self.trained.update(loss.detach(), count)
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Of complete texts, and of parts that are the same in every epoch."""
        self._measure(batch, batch_idx)

    def _measure(self, batch: Mapping[str, Tensor], index: int) -> None:
        self.complete.update(*self.loss(batch, mixture=0.0))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(index)
            self.missing.update(*self.loss(batch, mixture=1.0))

    def _measured(self) -> dict[str, float]:
        complete, missing = float(self.complete.compute()), float(self.missing.compute())
        self.complete.reset()
        self.missing.reset()
        return {
            "loss": (1 - self.mixture) * complete + self.mixture * missing,
            "perplexity": math.exp(complete),
            "perplexity_missing": math.exp(missing),
        }

    def on_validation_epoch_end(self) -> None:
        """Log perplexities and their mixture, which chooses the epoch."""
        for name, value in self._measured().items():
            self.log(f"val/{name}", value, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        """Log the mean surprise of training."""
        self.log("train/loss", self.trained.compute())
        self.trained.reset()

    @torch.no_grad()
    def measure(self, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """``perplexity`` of texts, ``perplexity_missing`` of parts of them by the law, and the ``loss`` that mixes both."""
        training = self.training
        self.eval()
        for index, batch in enumerate(batches):
            self._measure({name: value.to(self.device) for name, value in batch.items()}, index)
        self.train(training)
        return self._measured()

    def configure_optimizers(self) -> Any:
        """One optimizer with a learning-rate curve over all steps."""
        optimizer = self.optimizer_config.build([{"params": list(self.parameters()), "name": "model"}])
        total = max(1, int(self.trainer.estimated_stepping_batches))
        curve = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.optimizer_config.factor(step / total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": curve, "interval": "step"}}


def tune(config: Mapping[str, Any]) -> Path:
    """Train what ``config`` describes and return its folder; a finished one is returned as it is, a killed one goes on.

    The folder has the model and its tokenizer in ``model/``, as transformers reads them; ``config.yaml``, ``metrics.jsonl``
    with a line per epoch, ``timing.json``, ``last.ckpt``, and ``metrics.json`` with perplexities of the test texts before and
    after.

    Args:
        config: plain primitives: ``name``, ``folder``, ``seed``, ``trust``, ``model`` (a `WordDropout`), ``data`` (a
            `rationalizers.data.language.LanguageData`) and ``trainer`` (see `rationalizers.fitting.fit`). A model entry ``???``
            is filled in with the data's fact of that name.

    Raises:
        FileExistsError: the folder holds another one.
        ValueError: a ``???`` that the data does not know, or several devices.
    """
    if shared(config["trainer"]) is not None:
        raise ValueError("a language model is tuned on one device, since its batches have no parts; set trainer.devices=1")
    folder = Path(config["folder"])
    parts = {name: config[name] for name in ("name", "seed", "trust", "model", "data", "trainer")}
    described: dict[str, Any] = {"format": FORMAT, **parts, "versions": versions()}
    partial = open_run(folder, described)
    if partial is None:
        log.info("%s is finished already", folder)
        return folder
    with trusting(config["trust"]):
        data = build(described["data"], LanguageData)
        data.setup("fit")
        for name, count in data.report.items():
            log.info("%s = %s", name, count)
        described["model"] = fill(described["model"], data.facts())
        pl.seed_everything(config["seed"], verbose=False)
        model = build(described["model"], WordDropout)
    write_config(partial, described)
    size = sum(each.numel() for each in model.parameters())
    before = model.measure(data.test_dataloader())
    log.info("%d weights; before training: %s", size, before)
    model.train()
    with quiet():
        _, history = fit(model, data, described["trainer"], partial, seed=config["seed"])
    model.model.save_pretrained(partial / "model")
    data.tokenizer.save_pretrained(partial / "model")
    numbers = {
        "weights": size,
        "best_epoch": history.chosen(described["trainer"])["epoch"],
        "epochs": len(history.rows),
        "before": before,
        "after": model.measure(data.test_dataloader()),
    }
    write_json(partial / "metrics.json", numbers)
    write_json(partial / "timing.json", {"fit_seconds": history.seconds})
    shutil.copy2(partial / CHECKPOINTS / "last.ckpt", partial / "last.ckpt")
    close_run(partial, folder)
    shutil.rmtree(folder / CHECKPOINTS)
    return folder


def _language_model(model: Mapping[str, Any], special: Mapping[str, int]) -> Any:
    """A pretrained model, or one of random weights."""
    given = {name: value for name, value in model.items() if value is not None}
    if len(given) != 1 or not set(model) <= {"pretrained", "architecture"}:
        raise ValueError(f"'model' must have either 'pretrained' or 'architecture', got {dict(model)}")
    transformers = require("transformers", extra="text")
    settings: dict[str, Any] = {"attn_implementation": "sdpa", "dtype": torch.float32}
    if "pretrained" in given:
        from rationalizers.encoders.sources import pretrained_folder

        folder = str(pretrained_folder(given["pretrained"]))
        paired = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False).is_encoder_decoder
        kind, check = _KINDS[paired]
        return opened(folder, kind, check, device="cpu", **settings)
    config = transformers.AutoConfig.for_model(**{**special, **given["architecture"]})
    kind, check = _KINDS[config.is_encoder_decoder]
    check(config)
    return getattr(transformers, kind).from_config(config, **settings)


_KINDS = {False: ("AutoModelForCausalLM", check_causal), True: ("AutoModelForSeq2SeqLM", check_pair)}
