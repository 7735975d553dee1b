// The workspaces that the dashboard is looked at with, and a server over each.

import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const sprat = resolve(root, process.env.SPRAT ?? 'target/debug/sprat');

const run = (args, cwd) => execFileSync(sprat, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/** The workspace that `sprat demo` makes, with rows to review. */
export function demo(folder) {
  const shop = join(folder, 'demo');
  run(['demo', '--dir', shop, '--json'], folder);
  run(['review', 'tickets', 'stream.jsonl', '-n', '24', '--no-ask', '--json'], shop);
  return shop;
}

/** A workspace without a task. */
export function empty(folder) {
  const nothing = join(folder, 'empty');
  mkdirSync(nothing);
  writeFileSync(join(nothing, 'sprat.toml'), '');
  return nothing;
}

/** A task that moderates, one that extracts, and one that was never taught. */
export function kinds(folder) {
  const workspace = join(folder, 'kinds');
  mkdirSync(join(workspace, 'tasks'), { recursive: true });
  writeFileSync(join(workspace, 'sprat.toml'), '');
  const bookings = join(root, 'examples/bookings');
  copyFileSync(join(bookings, 'tasks/bookings.toml'), join(workspace, 'tasks/bookings.toml'));
  run(['learn', 'bookings', join(bookings, 'rows.jsonl'), '--json'], workspace);
  const mails = readFileSync(join(bookings, 'rows.jsonl'), 'utf8').trim().split('\n').slice(0, 6).map((line) => JSON.parse(line));
  writeFileSync(join(workspace, 'mails.jsonl'), lines(mails.map(({ text }) => ({ text }))));
  run(['review', 'bookings', 'mails.jsonl', '-n', '3', '--no-ask', '--json'], workspace);
  const untaught = 'kind = "classify"\nlabels = ["billing", "refund"]\nlast = "people"\n';
  writeFileSync(join(workspace, 'tasks/untaught.toml'), untaught);
  writeFileSync(join(workspace, 'tasks/comments.toml'), COMMENTS);
  writeFileSync(join(workspace, 'comments.jsonl'), lines(comments(3000)));
  run(['learn', 'comments', 'comments.jsonl', '--json'], workspace);
  writeFileSync(join(workspace, 'more.jsonl'), lines(comments(3040).slice(3000).map(({ text }) => ({ text }))));
  run(['review', 'comments', 'more.jsonl', '-n', '12', '--no-ask', '--json'], workspace);
  return workspace;
}

const COMMENTS = `kind = "moderate"
labels = ["hate", "threat", "spam"]
rungs = ["linear"]
last = "people"

[target]
max_error = 0.05
max_missed = 0.05

[[target.category]]
label = "threat"
max_missed = 0.1
`;

const WORDS = {
  hate: ['despise', 'vermin', 'scum', 'filth', 'loathe'],
  threat: ['burn', 'smash', 'find', 'attack', 'regret'],
  spam: ['buy', 'cheap', 'offer', 'click', 'prize'],
};
const PLAIN = ['morning', 'garden', 'river', 'music', 'coffee', 'letter', 'window', 'summer', 'castle', 'forest', 'market', 'lamp'];

/** Invented comments, the same each time; in a few nothing tells of a label, and in a few a word tells of one that is missing. */
function comments(many) {
  let state = 7;
  const dice = (sides) => {
    // The constants of Numerical Recipes; the upper bits, because the lower ones repeat soon.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
  const one = (words) => words[dice(words.length)];
  return Array.from({ length: many }, (_, at) => {
    const label = Object.keys(WORDS).filter(() => dice(4) === 0);
    const told = label.filter(() => dice(80) > 0);
    const words = [...Array.from({ length: 6 }, () => one(PLAIN)), ...told.flatMap((name) => [one(WORDS[name]), one(WORDS[name])])];
    if (dice(80) === 0) words.push(one(WORDS[one(Object.keys(WORDS))]));
    return { text: `${words.join(' ')} ${at}`, label };
  });
}

/** `sprat serve` on free ports, for as long as `use` takes. */
export async function serve(folder, more, use) {
  const server = spawn(sprat, ['serve', '--listen', '127.0.0.1:0', '--management', '127.0.0.1:0', '--json', ...more], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const left = new Promise((done) => server.on('exit', done));
  try {
    const told = await new Promise((resolve, reject) => {
      let text = '';
      server.on('exit', () => reject(new Error(`sprat serve ended: ${text}`)));
      server.stdout.on('data', (chunk) => {
        text += chunk;
        try {
          resolve(JSON.parse(text));
        } catch {
          // The rest is still to come.
        }
      });
    });
    await use({ clients: told.base_url, base: told.management_url });
  } finally {
    server.kill('SIGINT');
    await left;
  }
}

export async function ask(clients, content, model = 'tickets') {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content }] });
  const reply = await fetch(`${clients}/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  await reply.text();
  return reply.headers.get('x-request-id');
}

/** Texts of the demo's stream, and some that the authored answers don't know, so that the large model fails; gives one of these. */
export async function traffic(clients, shop, requests) {
  const rows = readFileSync(join(shop, 'stream.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line).text);
  const texts = rows.slice(0, requests - 4);
  for (let at = 0; at < 4; at += 1) texts.splice(10 * at + 7, 0, `lorem ipsum ${at}`);
  let next = 0;
  const one = async () => {
    while (next < texts.length) await ask(clients, texts[next++]);
  };
  await Promise.all(Array.from({ length: 4 }, one));
  return ask(clients, 'dolor sit amet');
}
