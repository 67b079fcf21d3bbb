/* Keeps the overview up to date: every few seconds, while somebody can see it. The server
   draws; this puts the drawing in place, and leaves alone what is open or focused. */
"use strict";
(() => {
  const live = document.getElementById("cp-live");
  const lost = document.getElementById("cp-lost");
  if (!live || !live.dataset.url) return;
  const pause = Number(live.dataset.seconds || 5) * 1000;
  let timer = null;
  let running = false;

  const replace = (html) => {
    const open = new Set([...live.querySelectorAll("details[open][id]")].map((d) => d.id));
    const scrolled = [...live.querySelectorAll(".cp-scroll")].map((box) => box.scrollLeft);
    live.innerHTML = html;
    open.forEach((id) => {
      const found = document.getElementById(id);
      if (found) found.open = true;
    });
    live.querySelectorAll(".cp-scroll").forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
  };

  const busy = () => {
    const selection = document.getSelection();
    const selecting = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
    return selecting || live.contains(document.activeElement);
  };

  const update = async () => {
    timer = null;
    if (document.hidden || running) return;
    running = true;
    try {
      const answer = await fetch(live.dataset.url, {
        credentials: "same-origin",
        headers: { Accept: "application/json" },
        redirect: "error",
      });
      if (!answer.ok) throw new Error(answer.status);
      const said = await answer.json();
      if (!busy()) replace(said.html);
      lost.hidden = true;
    } catch {
      lost.textContent = live.dataset.lost;
      lost.hidden = false;
    }
    running = false;
    schedule();
  };

  const schedule = () => {
    if (timer === null && !document.hidden) timer = setTimeout(update, pause);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = null;
    } else {
      update();
    }
  });
  schedule();
})();
