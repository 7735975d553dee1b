// Labels by keys: 1 to 9 choose, arrows move, s skips, u undoes, / finds. They can be switched off, for those whose own
// tools send keys.
'use strict';

(() => {
  const of = (id) => document.getElementById(id);
  const choices = () => [...document.querySelectorAll('.choice')].filter((choice) => !choice.hidden);
  const target = (choice) => choice.querySelector('input') ?? choice;
  const keysOff = 'sprat-keys-off';

  function number() {
    for (const kbd of document.querySelectorAll('.choice kbd')) kbd.textContent = '';
    choices().slice(0, 9).forEach((choice, at) => { choice.querySelector('kbd').textContent = String(at + 1); });
  }

  function find(text) {
    const wanted = text.trim().toLowerCase();
    for (const choice of document.querySelectorAll('.choice')) {
      choice.hidden = !choice.querySelector('bdi').textContent.toLowerCase().includes(wanted);
    }
    number();
  }

  // Up and down go by rows: to the nearest choice above or below.
  function move(key) {
    const all = choices();
    const at = all.findIndex((choice) => choice.contains(document.activeElement));
    if (at < 0) return all[0];
    if (key === 'ArrowRight') return all[at + 1] ?? all[0];
    if (key === 'ArrowLeft') return all[at - 1] ?? all[all.length - 1];
    const from = all[at].getBoundingClientRect();
    const side = key === 'ArrowDown' ? 1 : -1;
    const beyond = all
      .map((choice) => ({ choice, box: choice.getBoundingClientRect() }))
      .filter(({ box }) => side * (box.top - from.top) > 1)
      .sort((a, b) => Math.abs(a.box.top - from.top) - Math.abs(b.box.top - from.top) || Math.abs(a.box.left - from.left) - Math.abs(b.box.left - from.left));
    return beyond[0]?.choice;
  }

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.matches('input[type="text"], input[type="search"], select, textarea');
    if (event.target.id === 'find' && event.key === 'Enter') {
      event.preventDefault();
      target(choices()[0] ?? document.body).click();
      return;
    }
    if (event.target.id === 'find' && event.key === 'Escape') {
      event.target.value = '';
      find('');
      event.target.blur();
      return;
    }
    if (typing || !of('keys')?.checked) return;
    const choice = /^[1-9]$/.test(event.key) ? choices()[Number(event.key) - 1] : undefined;
    if (choice) {
      event.preventDefault();
      target(choice).click();
    } else if (event.key.startsWith('Arrow') && !event.target.matches('blockquote')) {
      const next = move(event.key);
      if (next) {
        event.preventDefault();
        target(next).focus();
      }
    } else if (event.key === 's' && of('skip')) {
      event.preventDefault();
      of('skip').click();
    } else if (event.key === 'u' && of('undo')) {
      event.preventDefault();
      of('undo').click();
    } else if (event.key === '/' && of('find')) {
      event.preventDefault();
      of('find').focus();
    }
  });

  document.addEventListener('input', (event) => { if (event.target.id === 'find') find(event.target.value); });
  document.addEventListener('change', (event) => {
    if (event.target.id === 'keys') localStorage.setItem(keysOff, event.target.checked ? '' : 'off');
  });

  function begin() {
    const keys = of('keys');
    if (keys) keys.checked = localStorage.getItem(keysOff) !== 'off';
    number();
  }
  // The next question gets the focus that went with the last one, so that it is read out.
  document.addEventListener('htmx:afterSwap', () => {
    begin();
    if (document.activeElement === document.body) of('ask-heading')?.focus({ preventScroll: true });
  });
  begin();
})();
