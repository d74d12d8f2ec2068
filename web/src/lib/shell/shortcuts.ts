/** Keys that work wherever nothing is being typed: `n` adds a hostname, `/` goes to the search field. */
export function startShortcuts(goTo: (href: string) => void): () => void {
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return
    if (document.querySelector('dialog[open]') !== null) return
    const search = document.querySelector<HTMLInputElement>('[data-search]')
    if (event.key === '/' && search !== null) search.focus()
    else if (event.key === 'n') goTo('/hostnames/new')
    else return
    event.preventDefault()
  }
  document.addEventListener('keydown', onKey)
  return () => document.removeEventListener('keydown', onKey)
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null
}
