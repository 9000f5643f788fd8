"use strict";

const views = {};
async function draw() {
  const { config, charts } = JSON.parse(document.getElementById("specs").textContent);
  const tooltip = { id: "tip", disableDefaultStyle: true };
  const options = { actions: false, config, hover: true, renderer: "svg", tooltip };
  const drawn = [...document.querySelectorAll("[data-chart]")].map(async (element) => {
    const name = element.dataset.chart;
    views[name] = (await vegaEmbed(element, charts[name], options)).view;
  });
  await Promise.all(drawn);
}

// Sets a signal in every chart that has it.
function tell(signal, value) {
  for (const view of Object.values(views)) {
    if (signal in view.getState({ signals: (name) => name === signal }).signals) {
      view.signal(signal, value).runAsync();
    }
  }
}

function linkStatuses() {
  const buttons = [...document.querySelectorAll("button[data-status]")];
  const names = [...new Set(buttons.map((button) => button.dataset.status))];
  let shown = names;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const status = button.dataset.status;
      shown = shown.includes(status)
        ? shown.filter((name) => name !== status)
        : names.filter((name) => name === status || shown.includes(name));
      // Charts without anything help nobody: hiding the last status shows all again.
      if (shown.length === 0) shown = names;
      for (const other of buttons) {
        other.setAttribute("aria-pressed", shown.includes(other.dataset.status));
      }
      tell("statuses", shown);
    });
  }
}

function linkRegions() {
  const select = document.getElementById("region");
  if (!select) return;
  const rows = document.querySelectorAll("#chart-regulation-within-region tbody tr");
  const pick = (region) => {
    select.value = region;
    tell("region", region);
    for (const row of rows) row.hidden = row.cells[0].textContent !== region;
  };
  select.addEventListener("change", () => pick(select.value));
  pick(select.value);
  views["region-regulation"]?.addEventListener("click", (event, item) => {
    if (item?.datum?.region) pick(item.datum.region);
  });
}

const DAY = 24 * 60 * 60 * 1000;

function linkDays() {
  const first = document.getElementById("first-day");
  if (!first) return;
  const last = document.getElementById("last-day");
  const earliest = Date.parse(first.min);
  const latest = Date.parse(last.max);
  const rows = document.querySelectorAll("#chart-day-rate tbody tr, #chart-day-events tbody tr");
  const pick = (from, to) => {
    from = Math.min(Math.max(from, earliest), latest);
    to = Math.min(Math.max(to, from), latest);
    first.valueAsNumber = from;
    last.valueAsNumber = to;
    tell("days", [from, to + DAY]);
    for (const row of rows) {
      const day = Date.parse(row.cells[0].textContent);
      row.hidden = day < from || day > to;
    }
  };
  const typed = () => {
    if (!Number.isNaN(first.valueAsNumber + last.valueAsNumber)) {
      pick(first.valueAsNumber, last.valueAsNumber);
    }
  };
  first.addEventListener("change", typed);
  last.addEventListener("change", typed);
  document.getElementById("all-days").addEventListener("click", () => pick(earliest, latest));
  views["day-events"]?.addSignalListener("brush", (name, brush) => {
    const [from, to] = brush.day ?? [earliest, latest];
    pick(Math.floor(from / DAY) * DAY, Math.ceil(to / DAY) * DAY - DAY);
  });
}

// On paper nobody can open a table. Long ones stay closed: they would fill pages. Wide charts
// are drawn narrower instead of being shrunk together with their text.
function prepareForPrint() {
  const opened = [];
  const widths = new Map();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      if (details.querySelectorAll("tr").length <= 60) {
        details.open = true;
        opened.push(details);
      }
    }
    for (const view of Object.values(views)) {
      widths.set(view, view.width());
      view.width(Math.min(view.width(), 640)).run();
    }
  });
  addEventListener("afterprint", () => {
    for (const details of opened.splice(0)) details.open = false;
    for (const [view, width] of widths) view.width(width).run();
  });
}

window.reportReady = draw().then(() => {
  linkStatuses();
  linkRegions();
  linkDays();
  prepareForPrint();
});
