// Times in the viewer's zone, and lists that are kept up to date without getting in anybody's way. The page is painted
// after this has run once: a time that is rewritten later would move what stands around it.
'use strict';

(() => {
  const now = new Date();
  const formats = {
    second: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
    minute: { hour: '2-digit', minute: '2-digit' },
  };
  const day = { day: 'numeric', month: 'short' };
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

  function localize(root) {
    for (const time of root.querySelectorAll('time[data-to]')) {
      const at = new Date(time.dateTime);
      const format = { ...formats[time.dataset.to] };
      if (at.toDateString() !== now.toDateString()) Object.assign(format, day);
      if (at.getFullYear() !== now.getFullYear()) format.year = 'numeric';
      time.textContent = new Intl.DateTimeFormat(undefined, format).format(at);
      time.title = whole.format(at);
      delete time.dataset.to;
    }
  }

  // What somebody reads, points at or has the focus in stays as it is.
  let paused = false;
  const busy = (part) =>
    paused || document.hidden || part.contains(document.activeElement) ||
    part.querySelector('details[open], .chart:hover') !== null ||
    (part.matches('.requests') && part.matches(':hover'));

  document.addEventListener('htmx:beforeRequest', (event) => {
    const part = event.detail.elt;
    if (part.hasAttribute('data-live') && busy(part)) event.preventDefault();
  });
  // Time may have passed between asking and answering.
  document.addEventListener('htmx:beforeSwap', (event) => {
    const part = event.detail.requestConfig?.elt;
    if (part?.hasAttribute('data-live') && busy(part)) event.detail.shouldSwap = false;
  });

  function pausing() {
    const pause = document.getElementById('pause');
    pause?.addEventListener('click', () => {
      paused = !paused;
      pause.setAttribute('aria-pressed', String(paused));
      pause.textContent = paused ? 'Paused' : 'Pause';
    });
  }

  // A choice shows what was chosen; the button is for those without scripts, and the style sheet hides it from the others.
  function filters() {
    const form = document.querySelector('.filters');
    form?.addEventListener('change', () => form.requestSubmit());
  }

  document.addEventListener('htmx:load', (event) => localize(event.detail.elt));
  localize(document);
  pausing();
  filters();
})();
