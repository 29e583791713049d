// Runs before the first paint, so that a chosen theme never flashes the other one.
{
  let theme = "system"
  try {
    theme = JSON.parse(localStorage.getItem("shizuku") ?? "{}").theme ?? theme
  } catch {
    // No localStorage here: the system's theme it is; store.js says so.
  }
  document.documentElement.dataset.theme = theme
}
