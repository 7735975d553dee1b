import sys
from pathlib import Path

import openai
import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def client():
    """The client as the two variables make it, without tries of its own."""
    return openai.OpenAI(max_retries=0, timeout=30)


@pytest_asyncio.fixture
async def later():
    async with openai.AsyncOpenAI(max_retries=0, timeout=30) as client:
        yield client
