"""As much of a W&B server as a run talks to: it keeps what it is sent, and can refuse, fail, or go away."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Listens on a free port of this machine; a context.

    Attributes:
        status: of every answer; another than 200 has no content.
        runs: what a run was created with, by its name.
        history: its rows by step.
        files: content of what was uploaded, by ``run/name``, or name of the artifact and ``/name``.
        artifacts: what artifacts were committed, by name.
        asked: names of the questions, in order.
    """

    def __init__(self) -> None:
        self.status = 200
        self.runs: dict[str, dict[str, Any]] = {}
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self._creating: dict[str, dict[str, Any]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away."""
        self._http.shutdown()
        self._http.server_close()

    def answer(self, name: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question of GraphQL."""
        self.asked.append(name)
        if name == "RunResumeStatus":
            run = self.runs.get(given["name"])
            return {
                "model": {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}, "bucket": self._status(run)}
            }
        if name == "UpsertBucket":
            run = self.runs.setdefault(given["name"], {})
            run.update({key: value for key, value in given.items() if value is not None})
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}}
            return {"upsertBucket": {"bucket": {**self._status(run), "project": project}, "inserted": True}}
        if name == "CreateRunFiles":
            urls = [{"name": each, "uploadUrl": f"{self.address}/put/{given['run']}/{each}"} for each in given["files"]]
            return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": urls}}
        if name == "CreateArtifact":
            name = given["input"]["artifactCollectionName"]
            self._creating[name] = given["input"]
            return {
                "createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}}
            }
        if name in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            file = {"id": "f", "uploadUrl": f"{self.address}/put/manifest", "uploadHeaders": []}
            return {name[0].lower() + name[1:]: {"artifactManifest": {"id": "m", "file": file}}}
        if name == "CreateArtifactFiles":
            edges = [
                {
                    "node": {
                        "storagePath": each["name"],
                        "uploadUrl": f"{self.address}/put/{each['artifactID']}/{each['name']}",
                        "uploadHeaders": [],
                        "uploadMultipartUrls": None,
                        "artifact": {"id": each["artifactID"]},
                    }
                }
                for each in given["input"]["artifactFiles"]
            ]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if name == "CommitArtifact":
            made = self.artifacts[given["artifactID"]] = self._creating[given["artifactID"]]
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": made["digest"]}}}
        if name == "Viewer":
            return {"viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if "ArtifactType(" in query:
            return {"project": {"artifact": None}}
        return {}

    def _status(self, run: dict[str, Any] | None) -> dict[str, Any] | None:
        if run is None:
            return None
        rows = self.history.get(run["name"], {})
        tail = [json.dumps(rows[max(rows)])] if rows else []
        return {
            "id": run["name"],
            "name": run["name"],
            "displayName": run.get("displayName"),
            "summaryMetrics": "{}",
            "logLineCount": 0,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "config": run.get("config", "{}"),
            "tags": [],
            "wandbConfig": '{"t": {}}',
        }

    def stream(self, run: str, body: bytes) -> None:
        """Keep the rows that a run sends while it is going on."""
        for line in json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(line)
            self.history.setdefault(run, {}).setdefault(row["_step"], {}).update(row)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answer: dict[str, Any] = {}
                if server.status == 200 and self.path == "/graphql":
                    asked = json.loads(body)
                    given = asked.get("variables") or {}
                    answer = {"data": server.answer(asked.get("operationName") or "", asked["query"], given)}
                elif server.status == 200 and self.path.endswith("/file_stream"):
                    server.stream(self.path.split("/")[-2], body)
                elif server.status == 200 and self.path.startswith("/put/"):
                    server.files[self.path.removeprefix("/put/")] = body
                said = json.dumps(answer).encode()
                self.send_response(server.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_PUT = do_POST

            def log_message(self, *_: object) -> None:
                pass

        return Handler
