"""Chat, whole and in pieces, synchronous and not."""

import asyncio

import pytest

from played import Played

HELLO = [{"role": "user", "content": "hello there"}]


def test_a_reply_is_read_with_its_usage_and_what_the_types_do_not_name(client):
    reply = client.chat.completions.create(model="large", messages=HELLO)
    assert reply.choices[0].message.content == "You said: hello there"
    assert (reply.choices[0].finish_reason, reply.object) == ("stop", "chat.completion")
    assert reply.model == "gpt-mock-large-2026-01-01"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (5, 4, 9)
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0
    assert reply.system_fingerprint == "fp_mock"
    assert reply._request_id.startswith("req-")


@pytest.mark.parametrize("name", ["large", "gpt-mock-large", "openai/gpt-mock-large"])
def test_a_model_is_found_by_our_name_and_by_the_providers(client, name):
    played = Played()
    client.chat.completions.create(model=name, messages=HELLO, extra_headers=played.headers)
    assert played.only()["body"]["model"] == "gpt-mock-large"


def test_a_stream_comes_in_pieces_and_without_usage_unless_asked(client):
    stream = client.chat.completions.create(model="large", messages=HELLO, stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "You said: hello there"
    assert len(chunks) > 4
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_the_usage_of_a_stream_comes_last_where_it_is_asked_for(client):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="large", messages=HELLO, stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 9
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_stream_helper_puts_the_pieces_together(client):
    with client.chat.completions.stream(model="large", messages=HELLO) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "You said: hello there"


def test_several_answers_come_with_their_index(client):
    reply = client.chat.completions.create(model="large", messages=HELLO, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    chunks = list(client.chat.completions.create(model="large", messages=HELLO, n=3, stream=True))
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert ends == [0, 1, 2]


def test_logprobs_come_whole_and_in_pieces(client):
    asked = {"model": "large", "messages": HELLO, "logprobs": True, "top_logprobs": 1}
    whole = client.chat.completions.create(**asked).choices[0].logprobs.content
    assert [token.token for token in whole] == ["You", " said:", " hello", " there"]
    assert whole[0].top_logprobs[0].logprob == -0.25
    pieces = client.chat.completions.create(**asked, stream=True)
    tokens = [t.token for c in pieces if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert tokens == [token.token for token in whole]


def test_stop_and_the_most_tokens_are_the_upstreams(client):
    cut = client.chat.completions.create(model="large", messages=HELLO, max_completion_tokens=2)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("You said:", "length")
    stopped = client.chat.completions.create(model="large", messages=HELLO, stop=[" there"])
    assert stopped.choices[0].message.content == "You said: hello"


def test_a_refusal_of_the_model_is_a_refusal(client):
    asked = {"model": "large", "messages": [{"role": "user", "content": "refuse this"}]}
    assert client.chat.completions.create(**asked).choices[0].message.refusal.startswith("I'm sorry")
    pieces = [c.choices[0].delta.refusal or "" for c in client.chat.completions.create(**asked, stream=True)]
    assert "".join(pieces).startswith("I'm sorry")


@pytest.mark.parametrize("split", [1, 7])
def test_characters_that_arrive_in_two_pieces_are_whole(client, split):
    text = "wo bleibt mein Päckchen? 小包はどこ 📦"
    asked = {"model": "large", "messages": [{"role": "user", "content": text}], "stream": True}
    chunks = client.chat.completions.create(**asked, extra_headers=Played(split=split).headers)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == f"You said: {text}"


def test_every_field_reaches_the_upstream_as_it_was(client):
    played = Played()
    asked = {
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ]},
        ],
        "temperature": 0.25, "top_p": 0.5, "seed": 7, "presence_penalty": -0.5, "frequency_penalty": 1.5,
        "logit_bias": {"50256": -100}, "max_completion_tokens": 50, "stop": ["\n\n"], "user": "u-1",
        "metadata": {"ticket": "7"}, "store": False, "service_tier": "flex", "reasoning_effort": "low",
        "verbosity": "low", "prediction": {"type": "content", "content": "a cat"}, "modalities": ["text"],
        "prompt_cache_key": "k", "safety_identifier": "s", "web_search_options": {"search_context_size": "low"},
    }
    unknown = {"top_k": 40, "guided_choice": ["a", "b"], "nested": {"deep": [1, 2.5, None, "ü"]}, "big": 12345678901234567890}
    client.chat.completions.create(model="large", **asked, extra_body=unknown, extra_headers=played.headers)
    assert played.only()["body"] == {"model": "gpt-mock-large", **asked, **unknown}


def test_a_stream_asks_the_upstream_for_its_usage_and_changes_nothing_else(client):
    played = Played()
    options = {"include_obfuscation": False}
    asked = {"messages": HELLO, "stream": True, "stream_options": options}
    list(client.chat.completions.create(model="large", **asked, extra_headers=played.headers))
    expected = {"model": "gpt-mock-large", **asked, "stream_options": {**options, "include_usage": True}}
    assert played.only()["body"] == expected


def test_the_clients_key_stays_here_and_its_own_headers_travel(client):
    played = Played()
    headers = {**played.headers, "openai-beta": "something=v1"}
    client.chat.completions.create(model="large", messages=HELLO, extra_headers=headers)
    sent = played.only()["headers"]
    assert sent["authorization"] == "Bearer sk-mock-of-the-upstream"
    assert "sk-of-the-client" not in str(sent)
    assert sent["openai-beta"] == "something=v1"
    assert not any(name.startswith("x-sprat-") for name in sent)


def test_raw_replies_have_our_headers_and_the_upstreams(client):
    raw = client.chat.completions.with_raw_response.create(model="large", messages=HELLO)
    assert raw.parse().choices[0].message.content == "You said: hello there"
    assert raw.headers["x-request-id"].startswith("req-")
    assert raw.headers["x-upstream-request-id"] == "req_of_the_upstream"
    assert (raw.headers["x-sprat-answered-by"], raw.headers["x-sprat-escalated"]) == ("large", "true")
    # 5 tokens at 0.25 and 4 at 2 dollars a million, rounded down.
    assert raw.headers["x-sprat-cost-micro-usd"] == "9"
    assert raw.headers["x-ratelimit-remaining-requests"] == "41"


def test_a_streaming_reply_can_be_read_line_by_line(client):
    asked = client.chat.completions.with_streaming_response.create(model="large", messages=HELLO, stream=True)
    with asked as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in raw.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


async def test_the_same_without_blocking(later):
    reply = await later.chat.completions.create(model="large", messages=HELLO)
    assert reply.choices[0].message.content == "You said: hello there"
    stream = await later.chat.completions.create(model="large", messages=HELLO, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "You said: hello there"


async def test_forty_at_once_get_each_its_own_answer(later):
    async def ask(number):
        messages = [{"role": "user", "content": f"number {number}"}]
        stream = await later.chat.completions.create(model="large", messages=messages, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream])

    said = await asyncio.gather(*map(ask, range(40)))
    assert said == [f"You said: number {number}" for number in range(40)]
