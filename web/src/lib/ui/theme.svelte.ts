/** `system` follows the device. */
export type ThemeChoice = 'system' | 'light' | 'dark'

const KEY = 'nameplate.theme'

/** The chosen colour theme, kept for this browser; static/theme.js applies it before the first paint. */
class Theme {
  #choice = $state<ThemeChoice>(stored())

  get choice(): ThemeChoice {
    return this.#choice
  }

  choose(choice: ThemeChoice): void {
    this.#choice = choice
    if (choice === 'system') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = choice
    try {
      if (choice === 'system') localStorage.removeItem(KEY)
      else localStorage.setItem(KEY, choice)
    } catch {
      // Storage is forbidden: the choice lasts as long as the tab.
    }
  }
}

function stored(): ThemeChoice {
  const theme = document.documentElement.dataset['theme']
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}

/** The one theme of this tab. */
export const theme = new Theme()
