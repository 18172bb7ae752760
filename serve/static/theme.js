// Set the stored theme before the first paint. A classic script, since modules run too late.
document.documentElement.dataset.theme = (() => {
  try {
    return localStorage.getItem("gristmill.theme") ?? "system";
  } catch {
    return "system";
  }
})();
