// The trainer's board: rows stand in the order that the server says, but never move away under somebody's hands.
(() => {
  "use strict";
  let wanted = [];

  function sort() {
    const body = document.getElementById("board");
    if (!body || body.contains(document.activeElement) || body.matches(":hover")) return;
    let before = body.firstElementChild;
    for (const id of wanted) {
      const row = document.getElementById(id);
      if (!row) continue;
      if (row === before) before = before.nextElementSibling;
      else body.insertBefore(row, before);
    }
  }

  document.addEventListener("caucus:message", event => { if (event.detail.order) wanted = event.detail.order; });
  document.addEventListener("caucus:shown", sort);
  setInterval(sort, 2000);

  // Links to what a person sees stand beside this page's own address
  document.addEventListener("click", event => {
    const link = event.target.closest?.("a[data-watch]");
    if (!link) return;
    event.preventDefault();
    window.open(location.pathname.replace(/\/$/, "") + "/" + link.getAttribute("href"), "_blank", "noopener");
  });
})();
