// Draws the charts from the cells of the table beside them.
'use strict';

(() => {
  const charts = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const written = (micro, digits) => (micro < 0 ? '−$' : '$') + (Math.abs(micro) / 1e6).toFixed(micro === 0 ? 0 : digits);
  const dollars = (micro) => {
    const amount = Math.abs(micro) / 1e6;
    return written(micro, amount >= 1 ? 2 : amount >= 0.01 ? 3 : amount >= 0.0001 ? 4 : 6);
  };
  // As many digits as the steps of an axis need, at least cents, so that no two ticks read the same.
  const dollarTicks = (ticks, step) => ticks.map((micro) => written(micro, Math.min(6, Math.max(2, Math.ceil(6 - Math.log10(step) - 1e-9)))));
  // 1, 2, 5, 10, 20 ...: whole requests, whole millionths of a dollar.
  const whole = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].flatMap((zeros) => [1, 2, 5].map((first) => first * 10 ** zeros));
  const count = (number) => number.toLocaleString('en');

  // One value for each hour or day of the span; hours in which nothing happened count nothing.
  function values(charts) {
    const { from, until, step } = charts.dataset;
    const rows = new Map();
    for (const row of charts.parentElement.querySelectorAll('.series tbody tr')) {
      rows.set(Number(row.dataset.at), row.dataset);
    }
    const hasSingle = [...rows.values()].some((row) => row.single !== undefined);
    const all = { at: [], small: [], escalated: [], other: [], spent: [], large: [], single: hasSingle ? [] : null };
    const sum = { spent: 0, large: 0, single: 0 };
    const last = Date.now();
    for (let at = Number(from); at < Number(until) && at <= last; at += Number(step)) {
      const row = rows.get(at) ?? {};
      const number = (name) => Number(row[name] ?? 0);
      for (const name of ['spent', 'large', 'single']) sum[name] += number(name);
      all.at.push(at / 1000);
      all.small.push(number('small'));
      all.escalated.push(number('escalated'));
      all.other.push(number('requests') - number('small') - number('escalated'));
      all.spent.push(sum.spent);
      all.large.push(sum.large);
      all.single?.push(sum.single);
    }
    all.empty = rows.size === 0;
    // Labels or audits may have cost something though nothing can be compared.
    all.unknown = [...rows.values()].every((row) => Number(row.compared) === 0 && Number(row.spent) === 0);
    all.daily = Number(step) > 3600000;
    return all;
  }

  // The words beside the cursor.
  function tip(lines) {
    let box;
    return {
      hooks: {
        init: (chart) => {
          box = document.createElement('div');
          box.className = 'tip';
          box.hidden = true;
          chart.over.append(box);
        },
        setCursor: (chart) => {
          const { idx, left } = chart.cursor;
          box.hidden = idx === null || idx === undefined || left < 0;
          if (box.hidden) return;
          box.textContent = lines(idx);
          const room = chart.over.clientWidth - box.offsetWidth;
          const beside = left + 14 > room ? left - box.offsetWidth - 14 : left + 14;
          box.style.transform = `translate(${Math.max(0, Math.min(beside, room))}px, 4px)`;
        },
      },
    };
  }

  function when(at, daily) {
    const format = daily
      ? { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }
      : { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' };
    return new Intl.DateTimeFormat(undefined, format).format(new Date(at * 1000));
  }

  function axes(texts) {
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const base = { stroke: colour('--muted'), font, ticks: { show: false }, grid: { stroke: colour('--line'), width: 1 } };
    const width = (chart, labels) => Math.max(36, 14 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length)));
    return [
      { ...base, grid: { show: false }, space: 64, size: 32, gap: 9, values: (chart, ticks, axis, space, step) => ticks.map((at) => tick(at, step)) },
      { ...base, size: width, incrs: whole, values: (chart, ticks, axis, space, step) => texts(ticks, step) },
    ];
  }

  function tick(at, step) {
    const date = new Date(at * 1000);
    const daily = step >= 86400;
    const options = daily ? { day: 'numeric', month: 'short' } : { hour: '2-digit', minute: '2-digit' };
    return new Intl.DateTimeFormat(undefined, options).format(date);
  }

  function common(box, data, texts, lines) {
    return {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, plugins: [tip(lines)], axes: axes(texts),
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
      tzDate: data.daily ? (at) => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC') : (at) => new Date(at * 1000),
    };
  }

  const kinds = {
    cost(box, data) {
      const line = (name, more) => ({ stroke: colour(name), width: 2, points: { show: false }, ...more });
      const series = [{}, line('--slate', { dash: [5, 4] }), line('--accent', { width: 2.5 })];
      const columns = [data.at, data.large, data.spent];
      if (data.single) {
        series.splice(2, 0, line('--warn', { dash: [2, 3] }));
        columns.splice(2, 0, data.single);
      }
      const lines = (at) => [
        when(data.at[at], data.daily),
        `with Sprat: ${dollars(data.spent[at])}`,
        `large model alone: ${dollars(data.large[at])}`,
        ...(data.single ? [`cheapest single model: ${dollars(data.single[at])}`] : []),
      ].join('\n');
      const range = (chart, low, high) => (high > low || high > 0 ? uPlot.rangeNum(Math.min(0, low), high, { min: { pad: 0, soft: 0, mode: 1 }, max: { pad: 0.1 } }) : [0, 1]);
      return new uPlot({ ...common(box, data, dollarTicks, lines), series, scales: { y: { range } } }, columns, box);
    },
    requests(box, data) {
      // Stacked by drawing the sums from the tallest down.
      const two = data.small.map((small, at) => small + data.escalated[at]);
      const all = two.map((sum, at) => sum + data.other[at]);
      const bars = uPlot.paths.bars({ size: [0.7, 40], radius: 0 });
      const bar = (name) => ({ fill: colour(name), stroke: colour(name), width: 0, paths: bars, points: { show: false } });
      const lines = (at) => [
        when(data.at[at], data.daily),
        `answered small: ${count(data.small[at])}${all[at] ? ` (${(data.small[at] / all[at] * 100).toFixed(1)}%)` : ''}`,
        `escalated: ${count(data.escalated[at])}`,
        ...(data.other[at] ? [`neither: ${count(data.other[at])}`] : []),
      ].join('\n');
      const half = (data.at[1] - data.at[0]) / 2;
      const scales = { x: { range: (chart, low, high) => [low - half, high + half] }, y: { range: (chart, low, high) => [0, Math.max(1, high * 1.1)] } };
      const options = common(box, data, (ticks) => ticks.map(count), lines);
      return new uPlot({ ...options, series: [{}, bar('--line'), bar('--slate'), bar('--accent')], scales }, [data.at, all, two, data.small], box);
    },
  };

  function draw(root) {
    for (const group of root.querySelectorAll('.charts')) {
      const data = values(group);
      for (const box of group.querySelectorAll('.chart')) {
        if (box.querySelector('.uplot')) continue;
        const unknown = box.dataset.chart === 'cost' && data.unknown;
        if (data.empty || unknown || data.at.length < 2) {
          const none = document.createElement('p');
          none.className = 'none';
          none.textContent = unknown && !data.empty ? 'Nothing to compare: no request has both a known cost and a known baseline' : 'Nothing was served in this time';
          box.replaceChildren(none);
          continue;
        }
        box.replaceChildren();
        charts.push({ box, chart: kinds[box.dataset.chart](box, data) });
      }
    }
  }

  function drop(gone) {
    for (let at = charts.length - 1; at >= 0; at -= 1) {
      if (gone(charts[at].box)) charts.splice(at, 1)[0].chart.destroy();
    }
  }

  const again = () => {
    drop(() => true);
    draw(document);
  };
  let resizing;
  addEventListener('resize', () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      for (const { box, chart } of charts) chart.setSize({ width: box.clientWidth, height: box.clientHeight });
    }, 100);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  // htmx tells of the first page too, and of whatever comes later.
  document.addEventListener('htmx:afterSwap', () => {
    drop((box) => !box.isConnected);
    draw(document.getElementById('live') ?? document);
  });
  draw(document);
})();
