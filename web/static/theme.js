// Runs before the first paint, so that a chosen theme does not flash. The switch is in src/lib/ui/theme.svelte.ts.
try {
  const theme = localStorage.getItem('nameplate.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Storage is forbidden: follow the system.
}
