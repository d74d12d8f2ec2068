import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'
import { descriptorLimit, hasDescriptors } from './descriptors.ts'

test('room is told until the last descriptors, however few questions look', () => {
  const opened: number[] = []
  try {
    // Each question stands for a connection with the two descriptors that it takes.
    while (hasDescriptors('visitor') && opened.length < descriptorLimit()) {
      opened.push(openSync('/dev/null', 'r'), openSync('/dev/null', 'r'))
    }
    const free = descriptorLimit() - Math.max(...opened) - 1
    expect(free).toBeGreaterThan(20)
    expect(free).toBeLessThan(400)
    expect(hasDescriptors('upstream')).toBe(false)
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
  expect(hasDescriptors('visitor')).toBe(true)
})
