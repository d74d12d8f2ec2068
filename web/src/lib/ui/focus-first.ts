/** Puts the focus into the field that a person came to a page to fill; for `{@attach focusFirst}`. */
export function focusFirst(element: HTMLElement): void {
  element.focus({ preventScroll: true })
}
