// The official Node client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { CERTAIN, LABELS, Played, UNCERTAIN, all, said, user } from './played.mjs';

const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const HELLO = { model: 'large', messages: user('hello there') };
const LONG = { model: 'once', messages: user('one two three four five six seven eight') };
const BRIEF = { 'retry-after-ms': '1' };
const create = (asked, options) => client.chat.completions.create(asked, options);

test('a reply is read with its usage and its request id', async () => {
  const reply = await create(HELLO);
  assert.equal(reply.choices[0].message.content, 'You said: hello there');
  assert.equal(reply.choices[0].finish_reason, 'stop');
  assert.equal(reply.usage.total_tokens, 9);
  assert.match(reply._request_id, /^req-/);
});

test('a stream comes in pieces and without usage unless asked', async () => {
  const chunks = await all(await create({ ...HELLO, stream: true }));
  assert.equal(said(chunks), 'You said: hello there');
  assert.ok(chunks.length > 4 && chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

test('the usage of a stream comes last where it is asked for', async () => {
  const chunks = await all(await create({ ...HELLO, stream: true, stream_options: { include_usage: true } }));
  assert.deepEqual([chunks.at(-1).choices, chunks.at(-1).usage.total_tokens], [[], 9]);
});

test('the stream helper puts the pieces together', async () => {
  const stream = client.chat.completions.stream(HELLO);
  let deltas = '';
  stream.on('content', (delta) => (deltas += delta));
  assert.equal(await stream.finalContent(), 'You said: hello there');
  assert.equal(deltas, 'You said: hello there');
});

test('characters that arrive in two pieces are whole', async () => {
  const text = 'wo bleibt mein Päckchen? 小包はどこ 📦';
  const { headers } = new Played({ split: 1 });
  const chunks = await all(await create({ model: 'large', messages: user(text), stream: true }, { headers }));
  assert.equal(said(chunks), `You said: ${text}`);
});

test('every field reaches the upstream as it was', async () => {
  const played = new Played();
  const asked = {
    messages: [{ role: 'developer', content: 'be brief' }, ...user([{ type: 'text', text: 'hi' }])],
    temperature: 0.25, seed: 7, logit_bias: { 50256: -100 }, metadata: { ticket: '7' }, reasoning_effort: 'low',
    top_k: 40, nested: { deep: [1, 2.5, null, 'ü'] },
  };
  await create({ model: 'large', ...asked }, { headers: played.headers });
  const [entry] = await played.entries();
  assert.deepEqual(entry.body, { model: 'gpt-mock-large', ...asked });
  assert.equal(entry.headers.authorization, 'Bearer sk-mock-of-the-upstream');
});

test('raw replies have our headers', async () => {
  const { data, response, request_id } = await create(HELLO).withResponse();
  assert.equal(data.choices[0].message.content, 'You said: hello there');
  assert.equal(response.headers.get('x-sprat-answered-by'), 'large');
  assert.equal(response.headers.get('x-sprat-cost-micro-usd'), '9');
  assert.equal(request_id, response.headers.get('x-request-id'));
});

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
  },
};
const TOOLS = { model: 'large', messages: user("The weather in 'Oslo' and in 'Lima'?"), tools: [WEATHER] };

test('parallel tool calls come whole and in pieces with their index', async () => {
  const { message, finish_reason } = (await create(TOOLS)).choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments).place), ['Oslo', 'Lima']);
  const pieces = (await all(await create({ ...TOOLS, stream: true }))).flatMap((c) => c.choices[0].delta.tool_calls ?? []);
  assert.deepEqual([...new Set(pieces.map((piece) => piece.index))], [0, 1]);
  const joined = await client.chat.completions.stream(TOOLS).finalMessage();
  assert.deepEqual(joined.tool_calls.map((call) => JSON.parse(call.function.arguments).place), ['Oslo', 'Lima']);
});

for (const stream of [false, true]) {
  test(`tools run until there is an answer, ${stream ? 'in pieces' : 'whole'}`, async () => {
    const asked = [];
    const tool = zodFunction({
      name: 'get_weather',
      parameters: z.object({ place: z.string() }),
      function: ({ place }) => (asked.push(place), `rain in ${place}`),
    });
    const runner = client.chat.completions.runTools({ ...TOOLS, tools: [tool], stream });
    assert.equal(await runner.finalContent(), 'The tools say: rain in Oslo; rain in Lima');
    assert.deepEqual(asked, ['Oslo', 'Lima']);
  });
}

const Ticket = z.object({ team: z.enum(['refund', 'delivery']), urgency: z.number(), tags: z.array(z.string()) });

test('a schema is parsed, whole and from a stream', async () => {
  const asked = {
    model: 'large',
    messages: user("delivery, urgency 2, 'late'"),
    response_format: zodResponseFormat(Ticket, 'ticket'),
  };
  const expected = { team: 'delivery', urgency: 2, tags: ['late'] };
  assert.deepEqual((await client.chat.completions.parse(asked)).choices[0].message.parsed, expected);
  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.deepEqual(final.choices[0].message.parsed, expected);
  await assert.rejects(client.chat.completions.parse({ ...asked, max_tokens: 1 }), OpenAI.LengthFinishReasonError);
});

const STATUSES = [
  [400, OpenAI.BadRequestError],
  [403, OpenAI.PermissionDeniedError],
  [404, OpenAI.NotFoundError],
  [409, OpenAI.ConflictError],
  [422, OpenAI.UnprocessableEntityError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
  [503, OpenAI.InternalServerError],
];
for (const [status, kind] of STATUSES) {
  for (const stream of [false, true]) {
    test(`status ${status} of the upstream is the error it means, ${stream ? 'in pieces' : 'whole'}`, async () => {
      const { headers } = new Played({ status, headers: BRIEF });
      await assert.rejects(create({ ...LONG, stream }, { headers }), (error) => {
        assert.ok(error instanceof kind);
        assert.equal(error.status, status);
        assert.ok(error.type && error.requestID.startsWith('req-'));
        return true;
      });
    });
  }
}

test('a key of ours that the upstream refuses is not the client\'s fault', async () => {
  const { headers } = new Played({ status: 401 });
  await assert.rejects(create(LONG, { headers }), (error) => error.status === 502 && !error.message.includes('sk-mock'));
});

test('the code and the field of an error are kept', async () => {
  const { headers } = new Played({ status: 400, code: 'context_length_exceeded' });
  await assert.rejects(create(LONG, { headers }), { code: 'context_length_exceeded', param: 'messages' });
  await assert.rejects(create({ ...HELLO, model: 'nobody' }), { status: 404, code: 'model_not_found', param: 'model' });
  await assert.rejects(create({ ...HELLO, model: 'gone' }), OpenAI.InternalServerError);
});

for (const status of [408, 409, 429, 500, 503]) {
  test(`the client tries again after ${status}`, async () => {
    const played = new Played({ status, times: 1, headers: BRIEF });
    await create(LONG, { headers: played.headers, maxRetries: 2 });
    const counts = (await played.entries()).map((entry) => entry.headers['x-stainless-retry-count']);
    assert.deepEqual(counts, ['0', '1']);
  });
}

test('the client waits as long as the upstream asks', async () => {
  const played = new Played({ status: 429, times: 1, headers: { 'retry-after': '1' } });
  await create(LONG, { headers: played.headers, maxRetries: 1 });
  const [first, second] = await played.entries();
  assert.ok(second.at - first.at >= 1);
});

test("the upstream's word on trying again reaches the client", async () => {
  const played = new Played({ status: 500, headers: { 'x-should-retry': 'false', ...BRIEF } });
  await assert.rejects(create(LONG, { headers: played.headers, maxRetries: 2 }), OpenAI.InternalServerError);
  assert.equal((await played.entries()).length, 1);
});

for (const play of [{ cut: 5 }, { error: 5 }]) {
  test(`a stream that breaks is an error after what came: ${Object.keys(play)}`, async () => {
    const stream = await create({ ...LONG, stream: true }, { headers: new Played(play).headers });
    const chunks = [];
    await assert.rejects(async () => {
      for await (const chunk of stream) chunks.push(chunk);
    }, OpenAI.APIError);
    assert.equal(said(chunks), 'You said: one two');
  });
}

test('a client that has no more time leaves', async () => {
  const { headers } = new Played({ hang_s: 2 });
  await assert.rejects(create(LONG, { headers, timeout: 300 }), OpenAI.APIConnectionTimeoutError);
});

test('a stream that is aborted is cancelled upstream', async () => {
  const played = new Played({ pause_ms: 100 });
  const stream = await create({ ...LONG, stream: true }, { headers: played.headers });
  for await (const _ of stream) break;
  stream.controller.abort();
  assert.ok(await played.ended('left'));
});

test('a request that is aborted before its reply is cancelled', async () => {
  const abort = new AbortController();
  const asking = create(LONG, { headers: new Played({ hang_s: 2 }).headers, signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  await assert.rejects(asking, OpenAI.APIUserAbortError);
});

test('a task answers small what it is sure of, and asks about the rest', async () => {
  for (const [text, by] of [[CERTAIN, 'linear'], [UNCERTAIN, 'large']]) {
    const { data, response } = await create({ model: 'tickets', messages: user(text) }).withResponse();
    assert.ok(LABELS.includes(data.choices[0].message.content));
    assert.equal(response.headers.get('x-sprat-answered-by'), by);
    assert.equal(response.headers.get('x-sprat-certificate'), 'certified');
  }
});

test('a task streams', async () => {
  const chunks = await all(await create({ model: 'tickets', messages: user(CERTAIN), stream: true }));
  assert.equal(said(chunks), 'delivery');
});

const Routed = zodResponseFormat(z.object({ team: z.enum(LABELS) }), 'routed');

test('a task answers in the schema that is asked for, whole and from a stream', async () => {
  for (const text of [CERTAIN, UNCERTAIN]) {
    const asked = { model: 'tickets', messages: user(text), response_format: Routed };
    assert.ok(LABELS.includes((await client.chat.completions.parse(asked)).choices[0].message.parsed.team));
    const final = await client.chat.completions.stream(asked).finalChatCompletion();
    assert.ok(LABELS.includes(final.choices[0].message.parsed.team));
  }
});

test('a schema with the enum among its definitions is understood', async () => {
  const Team = z.enum(LABELS);
  const format = zodResponseFormat(z.object({ team: Team }), 'routed', { schemaDefinitions: { Team } });
  assert.match(JSON.stringify(format), /\$ref/);
  const asked = { model: 'tickets', messages: user(CERTAIN), response_format: format };
  assert.equal((await client.chat.completions.parse(asked)).choices[0].message.parsed.team, 'delivery');
});

test('auto passes on an ordinary call that a task recognises, and says its hash', async () => {
  const system = { role: 'system', content: 'Which team should handle this ticket first?' };
  for (const text of [CERTAIN, UNCERTAIN]) {
    const played = new Played();
    const asked = { model: 'auto', messages: [system, ...user(text)], response_format: Routed };
    const asking = client.chat.completions.create(asked, { headers: played.headers });
    const { data, response } = await asking.withResponse();
    assert.ok(LABELS.includes(JSON.parse(data.choices[0].message.content).team));
    // The task doesn't list the hash, so that nothing is answered small, however sure.
    assert.deepEqual([response.headers.get('x-sprat-answered-by'), (await played.entries()).length], ['large', 1]);
    assert.equal(response.headers.get('x-sprat-call-hash').length, 64);
  }
});

test('models, embeddings and moderations', async () => {
  const names = (await all(client.models.list())).map((model) => model.id);
  assert.ok(['tickets', 'large', 'auto'].every((name) => names.includes(name)));
  assert.equal((await client.models.retrieve('tickets')).owned_by, 'sprat');
  const { data } = await client.embeddings.create({ model: 'large', input: ['ab', 'abcd'] });
  assert.deepEqual(data.map((item) => [...item.embedding]), [[2, 0.5, -0.25], [4, 0.5, -0.25]]);
  const { results } = await client.moderations.create({ model: 'large', input: ["I'll kill you", 'hello'] });
  assert.deepEqual(results.map((result) => result.flagged), [true, false]);
});
