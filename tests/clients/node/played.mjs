// What the mock upstream is to do, and what it was asked.

import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

export class Played {
  constructor(play = {}) {
    this.name = randomUUID();
    this.headers = { 'x-play': JSON.stringify({ name: this.name, ...play }) };
  }

  async entries() {
    return (await fetch(`${process.env.MOCK_URL}/played/${this.name}`)).json();
  }

  /** Waits until the last request has ended like this at the mock. */
  async ended(expected, patience_ms = 10_000) {
    const until = performance.now() + patience_ms;
    let seen;
    do {
      seen = (await this.entries()).at(-1)?.ended;
      if (seen === expected) return true;
      await setTimeout(20);
    } while (performance.now() < until);
    return false;
  }
}

export const user = (content) => [{ role: 'user', content }];

// A text of the example that the small model is sure about, and one that it can't be.
export const CERTAIN = 'Where is my parcel? The tracking says nothing.';
export const UNCERTAIN = 'banana';

export const LABELS = [
  'billing', 'refund', 'delivery', 'returns', 'damaged', 'technical', 'account', 'order_change', 'subscription',
  'product_question', 'warranty', 'privacy', 'complaint', 'business', 'other',
];

export async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

export const said = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? '').join('');
