"""A mock of OpenAI's API on loopback: it says on the wire what the real one says, and remembers what it was asked.

What it answers follows from the request, so that suites written for real models pass: a tool is called where it is
demanded or named, a schema is filled in, `stop` and `max_tokens` cut, usage is counted in words. How it misbehaves is
said by the request too, in the header `x-play`, a JSON object:

| key | what it does |
|---|---|
| `name` | requests are remembered under it: `GET /played/NAME` |
| `status`, `times` | this status instead of an answer; only the first `times` times where given |
| `headers` | more headers, of the reply that `status` makes |
| `code` | the error's `code`, where a status has several |
| `hang_s` | seconds of silence before the reply's head |
| `pause_ms` | a pause before each event of a stream |
| `cut` | the connection breaks after so many events |
| `error` | an error event after so many events |
| `split` | a stream is written in pieces of so many bytes, in the middle of characters too |
"""

import base64
import itertools
import json
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-mock-of-the-upstream"

ERRORS = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-mock."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Country not supported."),
    404: ("invalid_request_error", "model_not_found", "The model `gpt-none` does not exist."),
    408: ("server_error", None, "The request timed out."),
    409: ("invalid_request_error", None, "The resource is being changed by another request."),
    413: ("invalid_request_error", None, "The request is too large."),
    422: ("invalid_request_error", None, "The request was well-formed but could not be followed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for gpt-mock: limit 3, used 3, requested 1."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded."),
}
ERROR_OF_CODE = {
    # LiteLLM knows it by these words.
    "context_length_exceeded": ("invalid_request_error", "messages", "This model's maximum context length is 8."),
    "content_filter": ("invalid_request_error", None, "The response was filtered."),
    "insufficient_quota": ("insufficient_quota", None, "You exceeded your current quota."),
}


def text_of(message):
    """What a message says, in whichever form its content has."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", f"[{part['type']}]") for part in content)


def quoted(text):
    return re.findall(r"'([^']+)'", text)


def fill(schema, prompt, root=None, phrase=None):
    """A value that a JSON schema allows, made from the prompt's words and numbers."""
    root = root or schema
    if "$ref" in schema:
        part = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            part = part[step]
        return fill(part, prompt, root, phrase)
    if "enum" in schema:
        return next((value for value in schema["enum"] if str(value) in prompt), schema["enum"][0])
    if "const" in schema:
        return schema["const"]
    for choice in schema.get("anyOf") or schema.get("oneOf") or []:
        return fill(choice, prompt, root, phrase)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", prompt) or ["1"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: fill(part, prompt, root, phrase) for name, part in properties.items()}
        case "array":
            return [fill(schema.get("items", {"type": "string"}), prompt, root, phrase)]
        case "integer":
            return int(float(numbers[0]))
        case "number":
            return float(numbers[0])
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return phrase or next(iter(quoted(prompt)), prompt)


def wanted_tools(asked, prompt):
    """The functions that a model would call, each with the phrase it is about."""
    functions = [tool["function"] for tool in asked.get("tools") or []]
    choice = asked.get("tool_choice", "auto")
    after_tools = asked["messages"][-1]["role"] == "tool"
    words = set(re.findall(r"\w{5,}", prompt.lower()))
    named = [f for f in functions if re.search(rf"\b{re.escape(f['name'])}\b", prompt)]
    meant = named or [f for f in functions if words & set(f["name"].lower().split("_"))]
    if choice == "none" or not functions:
        return []
    if isinstance(choice, dict):
        wanted = [f for f in functions if f["name"] == choice["function"]["name"]]
    elif choice == "required":
        wanted = (meant or functions)[:1]
    else:
        wanted = [] if after_tools else meant[:1]
    about = quoted(prompt) if asked.get("parallel_tool_calls", True) else quoted(prompt)[:1]
    return [(function, phrase) for function in wanted for phrase in about or [None]]


class Answer:
    """What the model says to a chat call, before it is put on the wire."""

    def __init__(self, asked, number):
        self.asked = asked
        self.id = f"chatcmpl-mock{number:06}"
        prompt = next((text_of(m) for m in reversed(asked["messages"]) if m["role"] == "user"), "")
        calls = wanted_tools(asked, prompt)
        self.calls = [self.call(f"call_{number:06}{i}", *wanted, prompt) for i, wanted in enumerate(calls)]
        self.refusal = "I'm sorry, I can't help with that." if "refuse this" in prompt else None
        self.text = None if self.calls or self.refusal else self.say(prompt)
        self.reason = "tool_calls" if self.calls else "stop"
        if self.text is not None:
            self.cut()

    def call(self, id, function, phrase, prompt):
        arguments = fill(function.get("parameters") or {"type": "object"}, prompt, phrase=phrase)
        said = {"name": function["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
        return {"id": id, "type": "function", "function": said}

    def say(self, prompt):
        form = self.asked.get("response_format") or {}
        if form.get("type") == "json_schema":
            return json.dumps(fill(form["json_schema"]["schema"], prompt), ensure_ascii=False)
        if form.get("type") == "json_object":
            return json.dumps({name: prompt for name in quoted(prompt)} or {"answer": prompt}, ensure_ascii=False)
        results = [text_of(m) for m in self.asked["messages"] if m["role"] == "tool"]
        if self.asked["messages"][-1]["role"] == "tool":
            return "The tools say: " + "; ".join(results)
        return f"You said: {prompt}"

    def cut(self):
        stops = self.asked.get("stop") or []
        for stop in [stops] if isinstance(stops, str) else stops:
            self.text = self.text.split(stop)[0]
        most = self.asked.get("max_completion_tokens") or self.asked.get("max_tokens")
        tokens = self.tokens()
        if most and len(tokens) > most:
            self.text, self.reason = "".join(tokens[:most]), "length"

    def tokens(self):
        return re.findall(r"\s*\S+|\s+$", self.text or self.refusal or "")

    def usage(self):
        prompt = sum(len(text_of(m).split()) + 3 for m in self.asked["messages"])
        said = len(self.tokens()) + sum(len(c["function"]["arguments"].split()) + 2 for c in self.calls)
        said *= self.asked.get("n") or 1
        return {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def logprobs(self, tokens):
        if not self.asked.get("logprobs"):
            return None
        one = lambda token: {"token": token, "logprob": -0.25, "bytes": list(token.encode())}
        top = min(self.asked.get("top_logprobs") or 0, 1)
        content = [{**one(token), "top_logprobs": [one(token)] * top} for token in tokens]
        return {"content": content, "refusal": None}

    def head(self, kind):
        return {
            "id": self.id,
            "object": kind,
            "created": int(time.time()),
            "model": self.asked["model"] + "-2026-01-01",
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
        }

    def whole(self):
        message = {"role": "assistant", "content": self.text, "refusal": self.refusal, "annotations": []}
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {"message": message, "logprobs": self.logprobs(self.tokens()), "finish_reason": self.reason}
        choices = [{"index": index, **choice} for index in range(self.asked.get("n") or 1)]
        return {**self.head("chat.completion"), "choices": choices, "usage": self.usage()}

    def deltas(self):
        """The pieces of one choice; tool calls by index, their arguments in halves."""
        yield {"role": "assistant", "content": None if self.calls else "", "refusal": None}
        for token in self.tokens():
            yield {"refusal" if self.refusal else "content": token}
        for index, call in enumerate(self.calls):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            yield {"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]}
            middle = len(arguments) // 2
            for half in (arguments[:middle], arguments[middle:]):
                yield {"tool_calls": [{"index": index, "function": {"arguments": half}}]}

    def events(self):
        """The data of each event. `obfuscation` is sent by OpenAI too, and named in no client's types."""
        wants_usage = (self.asked.get("stream_options") or {}).get("include_usage")
        head = self.head("chat.completion.chunk") | ({"usage": None} if wants_usage else {})
        for index, delta in itertools.product(range(self.asked.get("n") or 1), [*self.deltas(), None]):
            logprobs = self.logprobs([delta["content"]]) if delta and delta.get("content") else None
            choice = {"index": index, "delta": delta or {}, "logprobs": logprobs}
            choice["finish_reason"] = None if delta else self.reason
            yield {**head, "choices": [choice], "obfuscation": "x7Qp"}
        if wants_usage:
            yield {**head, "choices": [], "usage": self.usage(), "obfuscation": ""}
        yield "[DONE]"


def embeddings(asked):
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    vectors = [[float(len(str(text))), 0.5, -0.25] for text in texts]
    if asked.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<3f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def moderations(asked):
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    bad = ["kill" in (text if isinstance(text, str) else text.get("text", "")) for text in texts]
    results = [
        {
            "flagged": flagged,
            "categories": {"violence": flagged, "self-harm": False},
            "category_scores": {"violence": 0.98 if flagged else 0.001, "self-harm": 0.0004},
            "category_applied_input_types": {"violence": ["text"], "self-harm": ["text"]},
        }
        for flagged in bad
    ]
    return {"id": "modr-mock", "model": asked["model"], "results": results}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        name = self.path.removeprefix("/played/")
        self.reply(200, self.server.played(name))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        play = json.loads(self.headers.get("x-play", "{}"))
        entry, nth = self.server.remember(play.get("name"), self.path, dict(self.headers), asked)
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self.refuse(401, {})
        time.sleep(play.get("hang_s", 0))
        if "status" in play and nth <= play.get("times", nth):
            return self.refuse(play["status"], play)
        match self.path:
            case "/v1/chat/completions" if asked.get("stream"):
                self.stream(Answer(asked, self.server.number()), play, entry)
            case "/v1/chat/completions":
                self.reply(200, Answer(asked, self.server.number()).whole())
            case "/v1/embeddings":
                self.reply(200, embeddings(asked))
            case "/v1/moderations":
                self.reply(200, moderations(asked))
            case _:
                return self.refuse(404, {})
        entry["ended"] = entry["ended"] or "whole"

    def reply(self, status, value, headers=()):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.head(status, "application/json", [("content-length", str(len(body))), *headers])
        self.wfile.write(body)

    def head(self, status, kind, headers):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("x-request-id", "req_of_the_upstream")
        self.send_header("openai-processing-ms", "12")
        self.send_header("x-ratelimit-remaining-requests", "41")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status, play):
        kind, code, message = ERRORS[status]
        code, param = play.get("code", code), None
        if code in ERROR_OF_CODE:
            kind, param, message = ERROR_OF_CODE[code]
        error = {"message": message, "type": kind, "param": param, "code": code}
        self.reply(status, {"error": error}, play.get("headers", {}).items())

    def stream(self, answer, play, entry):
        self.head(200, "text/event-stream; charset=utf-8", [("transfer-encoding", "chunked")])
        try:
            for number, event in enumerate(answer.events()):
                time.sleep(play.get("pause_ms", 0) / 1000)
                if number == play.get("cut"):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    entry["ended"] = "cut here"
                    return
                if number == play.get("error"):
                    error = {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}
                    event = {"error": error}
                data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
                self.chunk(f"data: {data}\n\n".encode(), play.get("split"))
            self.chunk(b"")
        except (BrokenPipeError, ConnectionResetError):
            entry["ended"] = "left"
            self.close_connection = True

    def chunk(self, data, split=None):
        """A chunk of HTTP's chunked coding; several of a few bytes where that is asked for."""
        pieces = [data[at : at + split] for at in range(0, len(data), split)] if split else [data]
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()

    def log_message(self, *_):
        pass


class Upstream(ThreadingHTTPServer):
    """The server, on a free port, in threads of this process."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.entries = []
        self.numbers = itertools.count(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def number(self):
        with self.lock:
            return next(self.numbers)

    def remember(self, name, path, headers, body):
        """The entry of a request, and the how manieth of its name it is."""
        headers = {key.lower(): value for key, value in headers.items()}
        entry = {"name": name, "path": path, "headers": headers, "body": body, "at": time.time(), "ended": None}
        with self.lock:
            self.entries.append(entry)
            return entry, sum(other["name"] == name for other in self.entries)

    def played(self, name):
        with self.lock:
            return [dict(entry) for entry in self.entries if entry["name"] == name]

    def handle_error(self, request, client_address):
        """A client that leaves in the middle is part of the play."""
