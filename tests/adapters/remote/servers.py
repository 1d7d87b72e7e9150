"""A small server on a raw socket: its answers are a table, it speaks two dialects, and it misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from decodekit import Prefix
from decodekit.testing import BytesTokenizer, NGramAdapter
from tests.adapters.remote.drawing import next_tokens

__all__ = ["Answer", "TableServer", "TalkingTokenizer", "serving"]

TEXT = (
    "the cat sat on the mat and the dog sat on the log. the cat saw the dog and the dog saw the cat. "
    "one day the cat and the dog went to the sea in a boat. "
) * 3

Answer = Callable[["TableServer", socket.socket, bytes], bool]
"""Sends a response in its own way; whether the connection stays open."""


class TalkingTokenizer(BytesTokenizer):
    """Bytes, with a chat template and a name for the end."""

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Bytes, or the end of text where it is named."""
        return [256] if special and text == "<end>" else super().encode(text)

    def encode_messages(self, messages: Sequence[Any]) -> list[int]:
        """A line per message; what the assistant has said ends with a dot, and then it begins again."""
        lines = (f"\n{each['role']}: {each['content']}" for each in messages)
        return self.encode("".join(lines) + ("." if messages[-1]["role"] == "assistant" else ""))


class TableServer:
    """Answers with the rows of a byte n-gram model.

    Args:
        dialect: 'llama_server', 'vllm' or 'openai_chat'.
        context: tokens.
        delay: seconds that every request waits, as a network would make it.
        pause: seconds per token.
    """

    def __init__(
        self, dialect: str = "llama_server", *, context: int = 1024, delay: float = 0, pause: float = 0
    ) -> None:
        self.model = NGramAdapter(TEXT, order=4)
        self.dialect, self.context, self.delay, self.pause = dialect, context, delay, pause
        self.fault: Callable[[int, str], Answer | None] = _well
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.connections = 0
        self.tokens = 0
        self.name = "table"
        self.prefill = "no"  # how an answer is to be continued
        self.longest_prefill: int | None = None  # characters; a longer one is ignored, and not counted
        self.after_temperature = False  # whether the values feel the temperature
        self.owner = dialect  # of its model, as it says
        self.gives_logprobs = True
        self.chance = np.random.default_rng(0)
        self.laws: list[np.ndarray] = []  # of the tokens that it drew
        self._rows: dict[tuple[int, ...], np.ndarray] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def asked(self, path: str) -> list[Any]:
        """The bodies that were sent to a path."""
        return [body for at, _, body in self.requests if at == path]

    def close(self) -> None:
        """Stop listening, and drop every connection."""
        self._socket.close()
        for connection in list(self._open):
            connection.close()

    def row(self, ids: Sequence[int]) -> np.ndarray:
        """float64[257], the logprobs after these ids."""
        key = tuple(ids)
        if key not in self._rows:
            (answer,) = self.model.predict([Prefix(key)])
            self._rows[key] = answer.logprobs  # type: ignore[union-attr]
        return self._rows[key]

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    if buffer.startswith(b"\x16\x03"):  # a TLS greeting
                        connection.sendall(respond(400, {"error": "this is plain HTTP"}))
                        return
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                while len(buffer) < int(headers.get("content-length", 0)):
                    buffer += connection.recv(65536)
                size = int(headers.get("content-length", 0))
                body = json.loads(buffer[:size]) if size else None
                buffer = buffer[size:]
                path = first.split(" ")[1]
                self.requests.append((path, headers, body))
                time.sleep(self.delay)
                fault = self.fault(len(self.requests), path)
                if not (fault or _plainly)(self, connection, b"".join(self.pieces(path, body))):
                    return
                if headers.get("connection") == "close":
                    return
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def pieces(self, path: str, body: Any) -> Iterator[bytes]:
        """The response, piece by piece."""
        try:
            answer = self.answer(path, body)
        except LookupError as error:
            yield respond(404, {"error": {"code": 404, "message": str(error), "type": "not_found_error"}})
            return
        except ValueError as error:
            yield respond(400, {"error": {"code": 400, "message": str(error), "type": "invalid_request_error"}})
            return
        if isinstance(answer, list) and body.get("stream"):
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in answer]
            events += [b"data: [DONE]\n\n"] if self.dialect != "llama_server" else []
            yield head + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
        else:
            yield respond(200, answer)

    def answer(self, path: str, body: Any) -> Any:
        llama = self.dialect == "llama_server"
        if path == "/v1/models":
            meta = {"meta": {"n_vocab": 257}} if llama else {"owned_by": self.owner, "max_model_len": self.context}
            return {"object": "list", "data": [{"id": self.name, **meta}]}
        if path == "/props" and llama:
            settings = {"params": {"speculative.types": "none"}, "n_ctx": self.context}
            return {"default_generation_settings": settings, "build_info": "table", "eos_token": "<end>"}
        if self.dialect == "openai_chat":
            if path != "/v1/chat/completions":
                raise LookupError("File Not Found")
            return self._chat(body)
        if path == "/apply-template" and llama:
            return {"prompt": bytes(self._talk(body["messages"], goes_on=self.prefill != "no")).decode()}
        if path == "/tokenize" and "messages" in body:
            assert body["continue_final_message"] != body["add_generation_prompt"]  # vLLM refuses both
            return {"tokens": self._talk(body["messages"], goes_on=body["continue_final_message"])}
        if path == "/tokenize":
            text = body["content"] if llama else body["prompt"]
            return {"tokens": [256] if text == "<end>" else list(text.encode())}
        if path == "/detokenize":
            text = bytes(token for token in body["tokens"] if token < 256).decode("utf-8", "replace")
            return {"content" if llama else "prompt": text}
        if path == "/version" and not llama:
            return {"version": "table"}
        if path == ("/completion" if llama else "/v1/completions"):
            return self.complete(body)
        raise LookupError("File Not Found")

    def complete(self, body: Any) -> Any:
        prompts = (
            body["prompt"]
            if isinstance(body["prompt"], list) and body["prompt"] and isinstance(body["prompt"][0], list)
            else [body["prompt"]]
        )
        prompts = [list(each.encode()) if isinstance(each, str) else each for each in prompts]
        for prompt in prompts:
            if max(prompt) > 256:
                raise ValueError("Prompt contains invalid tokens")
            if len(prompt) >= self.context:
                raise ValueError(f"request exceeds the available context size ({self.context} tokens)")
        make = self.llama if self.dialect == "llama_server" else self._vllm
        made = [make(prompt, body, index) for index, prompt in enumerate(prompts)]
        if body.get("stream"):
            return made[0]
        if self.dialect == "llama_server":
            return made[0] if len(made) == 1 else made
        return {"model": self.name, "choices": made, "system_fingerprint": "table"}

    def _talk(self, messages: list[Any], *, goes_on: bool) -> list[int]:
        """The ids of a conversation, whose last message may be one to be continued."""
        last = messages[-1]
        goes_on = goes_on and last["role"] == "assistant"
        prompt = TalkingTokenizer().encode_messages(messages[:-1] if goes_on else messages)
        return prompt + (list(last["content"].encode()) if goes_on else [])

    def _chat(self, body: Any) -> Any:
        talk, last = body["messages"], body["messages"][-1]
        asked = {
            "no": False,
            "last_message": True,
            "continue_final_message": body.get("continue_final_message")
            and not body.get("add_generation_prompt", True),
            "prefix": last.get("prefix"),
        }[self.prefill]
        goes_on = last["role"] == "assistant" and asked
        if self.longest_prefill is not None and goes_on and len(last["content"]) > self.longest_prefill:
            talk, goes_on = talk[:-1], False
        prompt = self._talk(talk, goes_on=bool(goes_on))
        entries, ends = [], "length"
        if "seed" in body:
            rows, ends = next_tokens(self, prompt, body)
        else:
            rows = list(self._greedy(prompt, body["max_tokens"], None, body["temperature"]))
        for row, chosen in rows:
            listed = [_texts(int(i), row) for i in np.lexsort((np.arange(257), -row))[: body.get("top_logprobs", 0)]]
            entries.append({**_texts(chosen, row), "top_logprobs": listed})
        scores: Any = [{"content": [entry]} if self.gives_logprobs else None for entry in entries]
        told: dict[str, Any] = {"model": self.name}
        if self.longest_prefill is None:
            told["usage"] = {"prompt_tokens": len(prompt)}
        if not body.get("stream"):
            text = "".join(entry["token"] for entry in entries)
            message = {"role": "assistant", "content": text}
            told_of = {"content": entries} if self.gives_logprobs else None
            choice = {"index": 0, "message": message, "finish_reason": ends, "logprobs": told_of}
            return told | {"choices": [choice]}
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None}
        choices = [first] + [
            {"index": 0, "delta": {"content": entry["token"]}, "finish_reason": None, "logprobs": each}
            for entry, each in zip(entries, scores, strict=True)
        ]
        choices.append({"index": 0, "delta": {}, "finish_reason": ends, "logprobs": None})
        return [{"model": self.name, "choices": [choice]} for choice in choices]

    def _felt(self, row: np.ndarray, temperature: float) -> np.ndarray:
        if not self.after_temperature or temperature in (0, 1):
            return row
        bent = row / temperature
        return np.asarray(bent - np.logaddexp.reduce(bent))

    def _greedy(
        self, prompt: list[int], count: int, forced: int | None, temperature: float
    ) -> Iterator[tuple[np.ndarray, int]]:
        ids = list(prompt)
        for _ in range(min(count, self.context - len(prompt))):
            if self.pause:
                time.sleep(self.pause)
            self.tokens += 1
            row = self._felt(self.row(ids), temperature)
            chosen = int(row[:256].argmax()) if forced is None else forced
            yield row, chosen
            ids.append(chosen)

    def llama(self, prompt: list[int], body: Any, index: int) -> Any:
        forced = body["logit_bias"][0][0] if body.get("logit_bias") else None
        entries, tokens = [], []
        for row, chosen in self._greedy(prompt, body["n_predict"], forced, body["temperature"]):
            listed = [_entry(int(i), row) for i in np.lexsort((np.arange(257), -row))[: body["n_probs"]]]
            entries.append({**_entry(chosen, row), "top_logprobs": listed})
            tokens.append(chosen)
        if not body.get("stream"):
            return {
                "index": index,
                "model": self.name,
                "tokens": tokens,
                "completion_probabilities": entries,
                "tokens_evaluated": len(prompt),
                "timings": {},
            }
        events: list[Any] = [
            {
                "index": 0,
                "tokens": [tokens[i]],
                "stop": False,
                "tokens_predicted": i + 1,
                "completion_probabilities": [each],
            }
            for i, each in enumerate(entries)
        ]
        return [*events, {"index": 0, "content": "", "tokens": [], "stop": True, "model": self.name, "timings": {}}]

    def _vllm(self, prompt: list[int], body: Any, index: int) -> Any:
        tops: list[Any] = []
        tokens = []
        named = body.get("logprob_token_ids")
        count = 257 if body["logprobs"] == -1 else body["logprobs"]
        if body.get("echo"):
            tops.append(None)
            tokens.append(prompt[0])
            for at in range(1, len(prompt)):
                tops.append(_keyed(self.row(prompt[:at]), count, [prompt[at]]))
                tokens.append(prompt[at])
        for row, chosen in self._greedy(prompt, body["max_tokens"], None, body["temperature"]):
            tops.append(_keyed(row, 0, [chosen, *named]) if named else _keyed(row, count, [chosen]))
            tokens.append(chosen)
        keys = [f"token_id:{token}" for token in tokens]
        if not body.get("stream"):
            return {
                "index": index,
                "text": "",
                "finish_reason": "length",
                "prompt_token_ids": prompt,
                "logprobs": {"tokens": keys, "top_logprobs": tops, "token_logprobs": []},
            }
        return [
            {
                "model": self.name,
                "choices": [
                    {
                        "index": 0,
                        "text": "",
                        "finish_reason": "length" if i == len(keys) - 1 else None,
                        "logprobs": {"tokens": [keys[i]], "top_logprobs": [tops[i]]},
                    }
                ],
            }
            for i in range(len(keys))
        ]


def respond(status: int, body: Any, *headers: str) -> bytes:
    """A JSON response."""
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def _well(number: int, path: str) -> None:
    return None


def _plainly(server: TableServer, connection: socket.socket, response: bytes) -> bool:
    connection.sendall(response)
    return True


def _entry(token: int, row: np.ndarray) -> dict[str, Any]:
    return {"id": token, "token": "", "bytes": [token] if token < 256 else [], "logprob": float(row[token])}


def _texts(token: int, row: np.ndarray) -> dict[str, Any]:
    text = bytes([token]).decode("utf-8", "replace") if token < 256 else "<end>"
    return {"token": text, "bytes": [token] if token < 256 else None, "logprob": float(row[token])}


def _keyed(row: np.ndarray, count: int, also: Sequence[int]) -> dict[str, float]:
    ids = [*also, *map(int, np.lexsort((np.arange(len(row)), -row))[:count])]
    return {f"token_id:{token}": float(row[token]) for token in dict.fromkeys(ids)}


@contextmanager
def serving(dialect: str = "llama_server", **settings: Any) -> Iterator[TableServer]:
    """A server for the length of a test."""
    server = TableServer(dialect, **settings)
    try:
        yield server
    finally:
        server.close()
