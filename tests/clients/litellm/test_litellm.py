"""LiteLLM as a client: `openai/…` with `api_base`, as its documentation says for servers that speak OpenAI's protocol."""

import json
import os
import sys
from pathlib import Path

import litellm
import pytest
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from played import LABELS, Played, tickets

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


def asked(model="large", text="hello there", **more):
    messages = [{"role": "user", "content": text}]
    base = os.environ["OPENAI_BASE_URL"]
    call = {"model": f"openai/{model}", "messages": messages, "api_base": base, "num_retries": 0, "max_retries": 0}
    return call | more


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_reply_with_its_usage():
    reply = litellm.completion(**asked())
    assert reply.choices[0].message.content == "You said: hello there"
    assert (reply.choices[0].finish_reason, reply.usage.total_tokens) == ("stop", 9)


def test_a_stream_with_its_usage():
    chunks = list(litellm.completion(**asked(stream=True, stream_options={"include_usage": True})))
    assert joined(chunks) == "You said: hello there"
    assert [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)] == [9]
    assert litellm.stream_chunk_builder(chunks).choices[0].message.content == "You said: hello there"


async def test_without_blocking():
    assert (await litellm.acompletion(**asked())).usage.total_tokens == 9
    stream = await litellm.acompletion(**asked(stream=True))
    assert joined([chunk async for chunk in stream]) == "You said: hello there"


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tool_calls(stream):
    reply = litellm.completion(**asked(text="The weather in 'Oslo' and in 'Lima'?", tools=[WEATHER], stream=stream))
    reply = litellm.stream_chunk_builder(list(reply)) if stream else reply
    assert reply.choices[0].finish_reason == "tool_calls"
    calls = reply.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["place"] for call in calls] == ["Oslo", "Lima"]


def test_results_of_tools_go_back():
    call = asked(text="The weather in 'Oslo'?", tools=[WEATHER])
    message = litellm.completion(**call).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    reply = litellm.completion(**{**call, "messages": [*call["messages"], message, result]})
    assert reply.choices[0].message.content == "The tools say: rain"


def test_a_schema_from_a_class():
    class Ticket(BaseModel):
        team: str
        urgency: int

    reply = litellm.completion(**asked(text="'refund', urgency 2", response_format=Ticket))
    assert Ticket.model_validate_json(reply.choices[0].message.content) == Ticket(team="refund", urgency=2)


def test_unknown_fields_and_headers_reach_the_upstream():
    played = Played()
    litellm.completion(**asked(extra_body={"top_k": 40}, seed=7, extra_headers=played.headers))
    body = played.only()["body"]
    assert (body["model"], body["top_k"], body["seed"]) == ("gpt-mock-large", 40, 7)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, litellm.BadRequestError),
        # A key that the upstream refuses is ours, not the client's: 502.
        (401, litellm.BadGatewayError),
        (404, litellm.NotFoundError),
        # LiteLLM's own table has no other class for it.
        (422, litellm.BadRequestError),
        (429, litellm.RateLimitError),
        (500, litellm.InternalServerError),
        (503, litellm.ServiceUnavailableError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_status_is_the_exception_it_means(status, kind, stream):
    headers = Played(status=status, headers={"retry-after-ms": "1"}).headers
    with pytest.raises(kind):
        list(litellm.completion(**asked("once", stream=stream, extra_headers=headers)))


def test_a_context_that_is_too_long_is_known_as_that():
    headers = Played(status=400, code="context_length_exceeded").headers
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**asked("once", extra_headers=headers))


def test_the_client_tries_again():
    played = Played(status=503, times=1, headers={"retry-after-ms": "1"})
    litellm.completion(**asked("once", extra_headers=played.headers, num_retries=2, max_retries=2))
    assert len(played.entries()) == 2


@pytest.mark.parametrize("play", [{"cut": 5}, {"error": 5}])
def test_a_stream_that_breaks_raises(play):
    stream = litellm.completion(**asked("once", stream=True, extra_headers=Played(**play).headers))
    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        list(stream)


def test_a_client_that_has_no_more_time_leaves():
    with pytest.raises(litellm.Timeout):
        litellm.completion(**asked("once", timeout=0.3, extra_headers=Played(hang_s=2).headers))


@pytest.mark.parametrize("certain", [True, False])
def test_a_task_is_a_model(certain):
    assert litellm.completion(**asked("tickets", tickets(certain))).choices[0].message.content in LABELS
    assert joined(litellm.completion(**asked("tickets", tickets(certain), stream=True))) in LABELS


def test_auto_is_a_model():
    assert litellm.completion(**asked("auto")).choices[0].message.content == "You said: hello there"


def test_embeddings():
    base = os.environ["OPENAI_BASE_URL"]
    reply = litellm.embedding(model="openai/large", input=["ab"], api_base=base)
    assert reply.data[0]["embedding"] == [2.0, 0.5, -0.25]
