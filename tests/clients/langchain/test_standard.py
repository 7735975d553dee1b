"""LangChain's standard chat-model tests, with ChatOpenAI pointed at Sprat.

Declared below is what ChatOpenAI can do with chat completions. What is sent goes to the mock as it is, so that pictures and
sounds are any bytes.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests, chat_models

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from played import LABELS, tickets


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The suite downloads the pictures and documents that it sends; any bytes do for a mock."""
    fetched = SimpleNamespace(get=lambda *_, **__: SimpleNamespace(content=b"fetched"))
    monkeypatch.setattr(chat_models, "httpx", fetched)


class TestChatCompletions(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict:
        return {"model": "large", "max_retries": 0, "timeout": 30, "stream_usage": True}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-mock-once"

    @property
    def supported_usage_metadata_details(self) -> dict:
        return {"invoke": ["reasoning_output", "cache_read_input"], "stream": ["reasoning_output", "cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self.ask(stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self.ask(stream)

    def ask(self, stream: bool) -> AIMessage:
        model = ChatOpenAI(**self.chat_model_params)
        if not stream:
            return model.invoke("Hello")
        whole = None
        for chunk in model.stream("Hello"):
            whole = chunk if whole is None else whole + chunk
        return whole


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict:
        # Without this the texts are cut into tokens by a table that has to be downloaded.
        return {"model": "large", "check_embedding_ctx_length": False}




@pytest.mark.parametrize("certain", [True, False])
def test_a_task_is_a_chat_model(certain):
    model = ChatOpenAI(model="tickets", max_retries=0)
    assert model.invoke(tickets(certain)).content in LABELS
    assert "".join(chunk.content for chunk in model.stream(tickets(certain))) in LABELS


def test_a_task_fills_in_a_schema():
    schema = {
        "title": "routed",
        "type": "object",
        "properties": {"team": {"enum": LABELS}},
        "required": ["team"],
        "additionalProperties": False,
    }
    model = ChatOpenAI(model="tickets", max_retries=0).with_structured_output(schema, method="json_schema")
    assert model.invoke(tickets()) == {"team": "delivery"}


def test_what_stood_behind_an_answer_can_be_seen():
    model = ChatOpenAI(model="tickets", max_retries=0, include_response_headers=True)
    assert model.invoke(tickets()).response_metadata["headers"]["x-sprat-answered-by"] == "linear"
