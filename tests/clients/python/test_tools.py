"""Tools and structured outputs, with the helpers that read them."""

import json
from enum import Enum

import openai
import pytest
from pydantic import BaseModel

from played import Played


def function(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters, "strict": True}}


WEATHER = function("get_weather", place={"type": "string"}, days={"type": "integer"})
ADD = function("add_numbers", a={"type": "number"})
ASK = {"role": "user", "content": "What will the weather be in 'Oslo' and in 'Lima' for 3 days?"}
TOOLS = {"model": "large", "messages": [ASK], "tools": [WEATHER, ADD]}
CALLS = [("get_weather", {"place": "Oslo", "days": 3}), ("get_weather", {"place": "Lima", "days": 3})]


def test_parallel_calls_come_whole(client):
    choice = client.chat.completions.create(**TOOLS).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == CALLS
    assert len({call.id for call in calls}) == 2


def test_parallel_calls_come_in_pieces_with_their_index(client):
    chunks = list(client.chat.completions.create(**TOOLS, stream=True))
    calls = {}
    for piece in (piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []):
        call = calls.setdefault(piece.index, {"name": "", "arguments": ""})
        call["name"] += piece.function.name or ""
        call["arguments"] += piece.function.arguments or ""
    assert [(calls[index]["name"], json.loads(calls[index]["arguments"])) for index in (0, 1)] == CALLS
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_one_call_at_a_time_where_that_is_asked_for(client):
    reply = client.chat.completions.create(**TOOLS, parallel_tool_calls=False)
    assert len(reply.choices[0].message.tool_calls) == 1


@pytest.mark.parametrize(
    ("choice", "name"),
    [("none", None), ("required", "get_weather"), ({"type": "function", "function": {"name": "add_numbers"}}, "add_numbers")],
)
def test_the_choice_of_a_tool_is_the_upstreams(client, choice, name):
    calls = client.chat.completions.create(**TOOLS, tool_choice=choice).choices[0].message.tool_calls
    assert (calls[0].function.name if calls else None) == name


def test_results_of_tools_go_back(client):
    asked = client.chat.completions.create(**TOOLS).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"rain {i}"} for i, call in enumerate(asked.tool_calls)]
    played = Played()
    reply = client.chat.completions.create(**{**TOOLS, "messages": [ASK, asked, *results]}, extra_headers=played.headers)
    assert reply.choices[0].message.content == "The tools say: rain 0; rain 1"
    sent = played.only()["body"]["messages"]
    assert sent[1]["tool_calls"][1]["id"] == sent[3]["tool_call_id"] == asked.tool_calls[1].id


class Team(str, Enum):
    refund = "refund"
    delivery = "delivery"


class Ticket(BaseModel):
    """A ticket."""

    team: Team
    subject: str
    urgency: int
    tags: list[str]


PARSE = {"model": "large", "messages": [{"role": "user", "content": "delivery: 'where is it', urgency 2"}]}


def test_a_schema_is_parsed(client):
    played = Played()
    reply = client.chat.completions.parse(**PARSE, response_format=Ticket, extra_headers=played.headers)
    ticket = Ticket(team=Team.delivery, subject="where is it", urgency=2, tags=["where is it"])
    assert reply.choices[0].message.parsed == ticket
    form = played.only()["body"]["response_format"]
    assert (form["type"], form["json_schema"]["strict"], form["json_schema"]["name"]) == ("json_schema", True, "Ticket")


def test_a_schema_is_parsed_from_a_stream(client):
    with client.chat.completions.stream(**PARSE, response_format=Ticket) as stream:
        kinds = {event.type for event in stream}
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert parsed.team is Team.delivery
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_an_answer_that_was_cut_is_not_parsed(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(**PARSE, response_format=Ticket, max_completion_tokens=1)


def test_tools_are_parsed(client):
    tool = openai.pydantic_function_tool(Ticket)
    messages = [{"role": "user", "content": "Make a Ticket for delivery, urgency 5"}]
    with client.chat.completions.stream(model="large", messages=messages, tools=[tool]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.parsed_arguments.urgency == done[0].parsed_arguments.urgency == 5


def test_an_object_without_a_schema(client):
    messages = [{"role": "user", "content": "JSON with the key 'colour'"}]
    reply = client.chat.completions.create(model="large", messages=messages, response_format={"type": "json_object"})
    assert list(json.loads(reply.choices[0].message.content)) == ["colour"]


async def test_a_schema_is_parsed_without_blocking(later):
    reply = await later.chat.completions.parse(**PARSE, response_format=Ticket)
    assert reply.choices[0].message.parsed.team is Team.delivery
    async with later.chat.completions.stream(**PARSE, response_format=Ticket) as stream:
        assert (await stream.get_final_completion()).choices[0].message.parsed.urgency == 2
