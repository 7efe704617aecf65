"""What a trained rationalizer is published as: a run folder with a model card, pushed by huggingface_hub's own mixin.

``huggingface_hub.ModelHubMixin`` pushes (it makes the repository and commits the folder), with these deviations:

* It is no base of `rationalizers.load.Trained`, since huggingface_hub is an extra; a class of it is made to push something.
* ``config`` and ``model_card_kwargs`` are not taken and no ``config.json`` is written: a run says all this in ``config.yaml``.
* The patterns of files to push or delete are not taken: half a run folder is none.
* Its ``from_pretrained`` is not used. It asks for ``config.json`` first, and without a network that fails after 23 seconds of
  retries (2.4.0) even where the whole run is in the cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rationalizers.base import Rationalizer
from rationalizers.extras import require
from rationalizers.featurizer import Featurizer
from rationalizers.model_card import model_card
from rationalizers.run import difference, read_config, write_atomically, write_config, write_json
from rationalizers.source import HUB
from rationalizers.weights import write_weights


class Publishable:
    """A trained rationalizer that can be written as a run folder, and pushed.

    Attributes:
        model: whose weights are written.
        featurizer: whose assets are written.
        config: of the run.
        folder: of the run, where its ``metrics.json`` may be; ``None`` where there is none.
    """

    model: Rationalizer
    featurizer: Featurizer
    config: dict[str, Any]
    folder: Path | None

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a run folder that `rationalizers.load.load_rationalizer` opens.

        It holds ``config.yaml``, ``model.safetensors`` and ``assets``, ``metrics.json`` where the run has one, and a model card,
        ``README.md``; one that is there is left as it is.

        Args:
            folder: made if need be.

        Raises:
            FileExistsError: the folder holds another run, named by the first difference.
        """
        self._write(Path(folder), Path(folder).name)  # its place on this machine is nobody else's business

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push a rationalizer",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Publish what `save_pretrained` writes as a repository of the Hugging Face Hub, which is made if need be.

        Args:
            repo_id: ``owner/name``.
            commit_message: as in ``huggingface_hub.ModelHubMixin.push_to_hub``, and so are the others.
            private: nobody else sees the repository; ``None`` is what the owner has set.
            token: of an account; ``None`` is the one that is logged in.
            branch: to push to; ``None`` is the main branch.
            create_pr: propose the commit instead.

        Returns:
            the address of the commit.

        Raises:
            ConnectionError: the Hub cannot be reached, or does not take it.
            ImportError: huggingface_hub is not installed.
        """
        mixin, httpx = require("huggingface_hub", extra="text").ModelHubMixin, require("httpx2", extra="text")
        write = self._write

        class Published(mixin):  # type: ignore[misc, valid-type]
            def _save_pretrained(self, save_directory: Path) -> None:
                # The mixin names the folder after the repository, of which it has asked the hub for the owner.
                write(save_directory, HUB + "/".join(save_directory.parts[-2:]))

        settings = {
            "commit_message": commit_message,
            "private": private,
            "token": token,
            "branch": branch,
            "create_pr": create_pr,
        }
        try:
            address: str = Published().push_to_hub(repo_id, **settings)
        except httpx.HTTPError as error:
            raise ConnectionError(
                f"the Hugging Face Hub does not take {repo_id}: {error}; check the name, the network, and whether this account "
                "may write there (hf auth login, or HF_TOKEN)"
            ) from error
        return address

    def _write(self, folder: Path, source: str) -> None:
        """Write the run; its card says that it is loaded from ``source``."""
        if (folder / "config.yaml").is_file():
            found = difference(self.config, read_config(folder))
            if found:
                raise FileExistsError(f"{folder} holds another run: {found}; name another folder, or delete that one")
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        self.featurizer.save(folder / "assets")
        write_weights(self.model, folder)
        metrics = self._metrics()
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)
        if not (folder / "README.md").exists():
            write_atomically(folder / "README.md", model_card(self.model, self.config, metrics=metrics, source=source))
        write_config(folder, self.config)  # last: a folder without one is no run

    def _metrics(self) -> dict[str, Any] | None:
        file = None if self.folder is None else self.folder / "metrics.json"
        if file is None or not file.is_file():
            return None
        numbers: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return numbers
