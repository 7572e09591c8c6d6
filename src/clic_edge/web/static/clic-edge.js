// Every page works without this file. With it, what is marked `data-refresh` (seconds) is read
// again from its own page while somebody looks at it, and `data-confirm` asks before a form is sent.
"use strict";

async function refresh(part) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected || !answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(part.id);
  if (fresh && !part.contains(document.activeElement)) part.replaceChildren(...fresh.childNodes);
}

for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(() => {
    if (!document.hidden) refresh(part).catch(() => {});
  }, 1000 * Number(part.dataset.refresh));
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("change", (event) => {
  if (event.target.closest("form[data-send-on-change]")) event.target.form.requestSubmit();
});
