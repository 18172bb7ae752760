// The chosen theme, set before anything is drawn. A classic script: modules run too late for that.
document.documentElement.dataset.theme = (() => {
  try {
    return localStorage.getItem("gristmill.theme") ?? "system";
  } catch {
    return "system";
  }
})();
