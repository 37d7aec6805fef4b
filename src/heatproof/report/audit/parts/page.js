"use strict";
(() => {
  const gallery = document.querySelector(".gallery");
  const printed = () => document.querySelectorAll("details").forEach((one) => { one.open = true; });
  addEventListener("beforeprint", printed);
  if (!gallery) return;
  const items = [...gallery.children];
  const at = (id) => document.getElementById("viewer-" + id);
  const viewer = document.getElementById("viewer");
  let shown = 0;
  let chosen = 0;

  const filters = [...document.querySelectorAll(".filters button")];
  for (const button of filters) {
    button.addEventListener("click", () => {
      for (const one of filters) one.setAttribute("aria-pressed", String(one === button));
      for (const item of items) item.hidden = button.dataset.why !== "" && item.dataset.why !== button.dataset.why;
    });
  }

  const visible = () => items.filter((item) => !item.hidden && item.querySelector(".frame"));
  const maps = (item) => [...item.querySelectorAll(".map")];

  function draw() {
    const item = visible()[shown];
    const frame = item.querySelector(".frame");
    const listed = maps(item);
    const map = listed[chosen];
    at("base").src = frame.querySelector("img").src;
    at("base").alt = frame.getAttribute("aria-label").replace("Enlarge ", "Input ");
    at("map").hidden = !map;
    if (map) at("map").src = map.src;
    at("map").alt = map ? "Evidence for " + map.dataset.class : "";
    at("map").style.opacity = String(at("opacity").value / 100);
    at("class").disabled = listed.length < 2;
    at("title").textContent = map ? "Evidence for " + map.dataset.class : "Without a map";
    at("text").textContent = [...item.querySelectorAll("p")].map((one) => one.innerText.replaceAll("\n", " · ")).join(" · ");
  }

  function open(item) {
    shown = visible().indexOf(item);
    chosen = Math.max(0, maps(item).findIndex((one) => !one.hidden));
    draw();
    if (!viewer.open) viewer.showModal();
  }

  function step(by) {
    const all = visible();
    open(all[(shown + by + all.length) % all.length]);
  }

  for (const item of items) {
    const frame = item.querySelector(".frame");
    if (frame) frame.addEventListener("click", () => open(item));
  }
  at("close").addEventListener("click", () => viewer.close());
  at("opacity").addEventListener("input", draw);
  at("before").addEventListener("click", () => step(-1));
  at("after").addEventListener("click", () => step(1));
  at("class").addEventListener("click", () => {
    chosen = (chosen + 1) % maps(visible()[shown]).length;
    draw();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.target.type === "range") return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
})();
