"""Errors, tries, time and leaving."""

import asyncio

import openai
import pytest

from played import Played

ASK = {"model": "once", "messages": [{"role": "user", "content": "one two three four five six seven eight"}]}

STATUSES = [
    (400, openai.BadRequestError),
    (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError),
    (409, openai.ConflictError),
    (413, openai.APIStatusError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
]
BRIEF = {"retry-after-ms": "1"}


@pytest.mark.parametrize(("status", "kind"), STATUSES)
@pytest.mark.parametrize("stream", [False, True])
def test_every_status_of_the_upstream_is_the_exception_it_means(client, status, kind, stream):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**ASK, stream=stream, extra_headers=Played(status=status, headers=BRIEF).headers)
    error = caught.value
    assert error.status_code == status
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert error.message and error.type and error.request_id.startswith("req-")


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_of_ours_that_the_upstream_refuses_is_not_the_clients_fault(client, stream):
    played = Played(status=401)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**ASK, stream=stream, extra_headers=played.headers)
    assert (caught.value.status_code, len(played.entries())) == (502, 1)
    assert "sk-mock" not in str(caught.value), "its words name the key"


@pytest.mark.parametrize(
    ("status", "code", "param"),
    [(400, "context_length_exceeded", "messages"), (400, "content_filter", None), (429, "insufficient_quota", None)],
)
def test_the_code_and_the_field_are_kept(client, status, code, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ASK, extra_headers=Played(status=status, code=code, headers=BRIEF).headers)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("extra", "kind", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"model": "tickets", "n": 2}, openai.BadRequestError, "n"),
        ({"model": "tickets", "logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"extra_headers": {"x-sprat-mode": "best"}}, openai.BadRequestError, "x-sprat-mode"),
    ],
)
def test_our_own_errors_are_the_exceptions_they_mean(client, extra, kind, param):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{**ASK, **extra})
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")


def test_an_unknown_path_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.batches.list()
    assert caught.value.code == "unknown_url"


def test_an_upstream_that_is_not_there_is_a_server_error(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**{**ASK, "model": "gone"})
    assert (caught.value.status_code, caught.value.type) == (503, "upstream_error")


def test_sprat_tries_again_where_the_client_would_not(client):
    played = Played(status=500, times=2)
    reply = client.chat.completions.create(**{**ASK, "model": "large"}, extra_headers=played.headers)
    assert reply.choices[0].finish_reason == "stop" and len(played.entries()) == 3


def test_sprat_waits_as_long_as_the_upstream_asks(client):
    played = Played(status=429, times=1, headers={"retry-after": "1"})
    client.chat.completions.create(**{**ASK, "model": "large"}, extra_headers=played.headers)
    first, second = played.entries()
    assert second["at"] - first["at"] >= 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_the_client_tries_again(client, status):
    played = Played(status=status, times=1, headers=BRIEF)
    reply = client.with_options(max_retries=2).chat.completions.create(**ASK, extra_headers=played.headers)
    assert reply.choices[0].finish_reason == "stop"
    assert [entry["headers"]["x-stainless-retry-count"] for entry in played.entries()] == ["0", "1"]


def test_the_client_waits_as_long_as_the_upstream_asks(client):
    played = Played(status=429, times=1, headers={"retry-after": "1"})
    client.with_options(max_retries=1).chat.completions.create(**ASK, extra_headers=played.headers)
    first, second = played.entries()
    assert second["at"] - first["at"] >= 1


@pytest.mark.parametrize(("status", "word", "tries"), [(500, "false", 1), (400, "true", 2)])
def test_the_upstreams_word_on_trying_again_reaches_the_client(client, status, word, tries):
    played = Played(status=status, times=1, headers={"x-should-retry": word, **BRIEF})
    asking = client.with_options(max_retries=1).chat.completions
    if tries == 1:
        with pytest.raises(openai.InternalServerError):
            asking.create(**ASK, extra_headers=played.headers)
    else:
        asking.create(**ASK, extra_headers=played.headers)
    assert len(played.entries()) == tries


def test_the_client_tries_again_before_a_stream_begins(client):
    played = Played(status=503, times=1, headers=BRIEF)
    stream = client.with_options(max_retries=1).chat.completions.create(**ASK, stream=True, extra_headers=played.headers)
    assert list(stream)[-1].choices[0].finish_reason == "stop" and len(played.entries()) == 2


def test_a_stream_that_is_cut_before_its_first_content_is_an_error_that_can_be_tried_again(client):
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK, stream=True, extra_headers=Played(cut=1).headers)


@pytest.mark.parametrize("play", [{"cut": 5}, {"error": 5}])
def test_a_stream_that_breaks_later_raises_after_what_came(client, play):
    stream = client.chat.completions.create(**ASK, stream=True, extra_headers=Played(**play).headers)
    said = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")
    assert "".join(said) == "You said: one two"
    assert caught.value.message and caught.value.type == "upstream_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_has_no_more_time_leaves_and_the_call_ends(client, stream):
    played = Played(hang_s=2)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(**ASK, stream=stream, extra_headers=played.headers)
    assert played.only()["ended"] is None


def test_a_stream_that_is_closed_is_cancelled_upstream(client):
    played = Played(pause_ms=100)
    stream = client.chat.completions.create(**ASK, stream=True, extra_headers=played.headers)
    next(iter(stream))
    stream.close()
    assert played.ended("left")


async def test_a_task_that_is_cancelled_is_cancelled_upstream(later):
    played = Played(pause_ms=100)

    async def read():
        stream = await later.chat.completions.create(**ASK, stream=True, extra_headers=played.headers)
        async for _ in stream:
            first.set()

    first = asyncio.Event()
    reading = asyncio.create_task(read())
    await first.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(played.ended, "left")


async def test_the_errors_are_the_same_without_blocking(later):
    with pytest.raises(openai.RateLimitError):
        await later.chat.completions.create(**ASK, extra_headers=Played(status=429, headers=BRIEF).headers)
    stream = await later.chat.completions.create(**ASK, stream=True, extra_headers=Played(cut=5).headers)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]
