"""Tasks by name, `auto`, and the paths beside chat."""

from enum import Enum

import openai
import pytest
from pydantic import BaseModel

from played import LABELS, Played, tickets

Team = Enum("Team", {label: label for label in LABELS}, type=str)


class Routed(BaseModel):
    """Where a ticket goes."""

    team: Team


def user(text):
    return [{"role": "user", "content": text}]


def test_a_task_answers_small_what_it_is_sure_of(client):
    raw = client.chat.completions.with_raw_response.create(model="tickets", messages=user(tickets()))
    assert raw.parse().choices[0].message.content == "delivery"
    assert (raw.headers["x-sprat-answered-by"], raw.headers["x-sprat-escalated"]) == ("linear", "false")
    assert (raw.headers["x-sprat-task"], raw.headers["x-sprat-certificate"]) == ("tickets", "certified")
    assert float(raw.headers["x-sprat-confidence"]) >= float(raw.headers["x-sprat-threshold"])
    assert raw.headers["x-sprat-cost-micro-usd"] == "0"
    assert raw.parse().usage.total_tokens == 0


def test_a_task_asks_the_large_model_what_it_is_not_sure_of(client):
    raw = client.chat.completions.with_raw_response.create(model="tickets", messages=user(tickets(certain=False)))
    assert raw.parse().choices[0].message.content in LABELS
    assert (raw.headers["x-sprat-answered-by"], raw.headers["x-sprat-escalated"]) == ("large", "true")
    assert raw.parse().usage.total_tokens > 0


@pytest.mark.parametrize("certain", [True, False])
def test_a_task_streams(client, certain):
    options = {"include_usage": True}
    asked = {"model": "tickets", "messages": user(tickets(certain)), "stream": True}
    chunks = list(client.chat.completions.create(**asked, stream_options=options))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) in LABELS
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert all(chunk.choices for chunk in client.chat.completions.create(**asked))


@pytest.mark.parametrize("certain", [True, False])
def test_a_task_answers_in_the_schema_that_is_asked_for(client, certain):
    asked = {"model": "tickets", "messages": user(tickets(certain)), "response_format": Routed}
    assert client.chat.completions.parse(**asked).choices[0].message.parsed.team in Team
    with client.chat.completions.stream(**asked) as stream:
        assert stream.get_final_completion().choices[0].message.parsed.team in Team


def test_a_task_refuses_a_schema_that_its_answer_does_not_fit(client):
    class Other(BaseModel):
        team: Team
        why: str

    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.parse(model="tickets", messages=user(tickets()), response_format=Other)
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("mode", ["small-only", "large-only"])
def test_who_may_answer_is_the_clients_to_say(client, mode):
    asked = {"model": "tickets", "messages": user(tickets()), "extra_headers": {"x-sprat-mode": mode}}
    raw = client.chat.completions.with_raw_response.create(**asked)
    assert raw.headers["x-sprat-answered-by"] == {"small-only": "linear", "large-only": "large"}[mode]


def test_an_answer_that_nobody_may_give_is_not_tried_again(client):
    asked = {"model": "tickets", "messages": user(tickets(certain=False)), "extra_headers": {"x-sprat-mode": "small-only"}}
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.with_options(max_retries=3).chat.completions.create(**asked)
    assert caught.value.code == "no_answer"


PROMPT = {"role": "system", "content": "Which team should handle this ticket first?"}


@pytest.mark.parametrize("certain", [True, False])
def test_auto_passes_on_an_ordinary_call_that_a_task_recognises_and_says_its_hash(client, certain):
    played = Played()
    messages = [PROMPT, *user(tickets(certain))]
    asked = {"model": "auto", "messages": messages, "response_format": Routed, "extra_headers": played.headers}
    raw = client.chat.completions.with_raw_response.parse(**asked)
    assert raw.parse().choices[0].message.parsed.team in Team
    # The task doesn't list the hash, so that nothing is answered small, however sure.
    assert (raw.headers["x-sprat-task"], raw.headers["x-sprat-answered-by"]) == ("tickets", "large")
    assert (len(raw.headers["x-sprat-call-hash"]), len(played.entries())) == (64, 1)


def test_auto_sends_what_is_no_tasks_to_the_large_model(client):
    played = Played()
    reply = client.chat.completions.create(model="auto", messages=user("tell me a joke"), extra_headers=played.headers)
    assert reply.choices[0].message.content == "You said: tell me a joke"
    assert played.only()["body"]["model"] == "gpt-mock-large"


def test_the_models_are_listed_and_found(client):
    listed = {model.id: model for model in client.models.list()}
    assert {"tickets", "large", "once", "auto"} <= set(listed)
    assert (listed["tickets"].object, listed["tickets"].owned_by) == ("model", "sprat")
    assert client.models.retrieve("tickets") == listed["tickets"]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeddings_come_in_either_encoding(client, form):
    played = Played()
    reply = client.embeddings.create(model="large", input=["ab", "abcd"], dimensions=3, **form, extra_headers=played.headers)
    first, second = (item.embedding for item in reply.data)
    if form.get("encoding_format") == "base64":
        assert isinstance(first, str)
    else:
        assert (first, second) == ([2.0, 0.5, -0.25], [4.0, 0.5, -0.25])
    assert reply.usage.prompt_tokens == 2
    assert played.only()["body"]["dimensions"] == 3


def test_moderations(client):
    results = client.moderations.create(model="large", input=["I'll kill you", "hello"]).results
    assert [result.flagged for result in results] == [True, False]
    assert results[0].categories.violence and results[0].category_scores.violence == 0.98


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_errors_of_the_other_paths(client, status, kind):
    headers = Played(status=status, headers={"retry-after-ms": "1"}).headers
    with pytest.raises(kind):
        client.embeddings.create(model="once", input="x", extra_headers=headers)
    with pytest.raises(kind):
        client.moderations.create(model="once", input="x", extra_headers=headers)


async def test_the_other_paths_without_blocking(later):
    assert "tickets" in [model.id async for model in later.models.list()]
    assert len((await later.embeddings.create(model="large", input="x")).data) == 1
    reply = await later.chat.completions.create(model="tickets", messages=user(tickets()))
    assert reply.choices[0].message.content == "delivery"
