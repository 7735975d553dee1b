// The AI SDK with its provider for anything that speaks OpenAI's protocol.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, embedMany, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { CERTAIN, LABELS, Played, all } from './played.mjs';

const sprat = createOpenAICompatible({
  name: 'sprat',
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const HELLO = { model: sprat('large'), prompt: 'hello there', maxRetries: 0 };

test('a text, whole and in pieces, with its usage', async () => {
  const whole = await generateText(HELLO);
  assert.deepEqual([whole.text, whole.finishReason, whole.usage.totalTokens], ['You said: hello there', 'stop', 9]);
  const stream = streamText(HELLO);
  assert.equal((await all(stream.textStream)).join(''), 'You said: hello there');
  assert.equal((await stream.usage).totalTokens, 9);
});

const weather = tool({
  inputSchema: z.object({ place: z.string() }),
  execute: async ({ place }) => `rain in ${place}`,
});
const WEATHER = { ...HELLO, prompt: "The weather in 'Oslo' and in 'Lima'?", tools: { get_weather: weather } };

test('tools run until there is an answer, whole and in pieces', async () => {
  const asked = { ...WEATHER, stopWhen: stepCountIs(3) };
  for (const answer of [await generateText(asked), streamText(asked)]) {
    const text = await answer.text;
    assert.ok(text.includes('rain in Oslo') && text.includes('rain in Lima'), text);
    assert.equal((await answer.steps).length, 2);
  }
});

test('a schema is filled in, by the large model and by a task', async () => {
  const output = Output.object({ schema: z.object({ team: z.enum(LABELS) }) });
  for (const name of ['large', 'tickets']) {
    const { output: answer } = await generateText({ ...HELLO, model: sprat(name), prompt: CERTAIN, output });
    assert.ok(LABELS.includes(answer.team));
  }
});

test('errors keep their status, and whether to try again', async () => {
  for (const [status, again] of [[400, false], [429, true], [503, true]]) {
    const { headers } = new Played({ status, headers: { 'retry-after-ms': '1' } });
    const asking = generateText({ ...HELLO, model: sprat('once'), headers });
    await assert.rejects(asking, (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.deepEqual([error.statusCode, error.isRetryable], [status, again]);
      return true;
    });
  }
});

test('a stream that breaks says so', async () => {
  const { headers } = new Played({ cut: 5 });
  const parts = await all(streamText({ ...HELLO, headers, onError: () => {} }).fullStream);
  assert.ok(parts.some((part) => part.type === 'error'));
});

test('embeddings', async () => {
  const { embeddings } = await embedMany({ model: sprat.embeddingModel('large'), values: ['ab', 'abcd'] });
  assert.deepEqual(embeddings[1], [4, 0.5, -0.25]);
});
