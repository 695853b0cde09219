"use strict";
// The page is whole without this. It lets the map be walked by keyboard, reads a point aloud, shows one language alone, and opens what is
// folded when the page is printed.
(() => {
  const map = document.querySelector(".map");
  const panel = document.getElementById("map-panel");
  if (map && panel) {
    const points = Array.from(map.querySelectorAll(".point"));
    const centres = points.map((point) => {
      const box = point.getBBox();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    });
    const told = (point) => point.getAttribute("aria-label");
    const show = (point) => {
      panel.textContent = told(point);
      panel.dir = "auto";
    };
    panel.hidden = false;
    panel.textContent = "Point at a mark, or walk from one to the next with the arrow keys.";
    points.forEach((point, index) => {
      point.setAttribute("tabindex", index === 0 ? "0" : "-1");
      point.addEventListener("pointerenter", () => show(point));
      point.addEventListener("focus", () => show(point));
    });
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    map.addEventListener("keydown", (event) => {
      const direction = directions[event.key];
      const from = points.indexOf(document.activeElement);
      if (!direction || from < 0) {
        return;
      }
      event.preventDefault();
      let best = -1;
      let least = Infinity;
      centres.forEach((centre, index) => {
        const across = centre.x - centres[from].x;
        const down = centre.y - centres[from].y;
        const along = across * direction[0] + down * direction[1];
        const beside = Math.abs(across * direction[1]) + Math.abs(down * direction[0]);
        if (index !== from && along > 0 && along + 2 * beside < least && !points[index].classList.contains("faded")) {
          best = index;
          least = along + 2 * beside;
        }
      });
      if (best >= 0) {
        points[from].setAttribute("tabindex", "-1");
        points[best].setAttribute("tabindex", "0");
        points[best].focus();
      }
    });
    const entries = Array.from(map.closest("figure").querySelectorAll(".legend li"));
    const buttons = [];
    entries.forEach((entry) => {
      const label = entry.querySelector(".language bdi");
      if (!label) {
        return;
      }
      const language = label.textContent;
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.append(...entry.childNodes);
      entry.append(button);
      buttons.push(button);
      button.addEventListener("click", () => {
        const alone = button.getAttribute("aria-pressed") !== "true";
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button && alone)));
        points.forEach((point) => point.classList.toggle("faded", alone && point.dataset.language !== language));
      });
    });
  }
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not(.unprinted)").forEach((one) => {
      one.open = true;
    });
  });
})();
