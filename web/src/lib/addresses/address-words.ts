import type { Address } from './api.ts'

/** An address's state as people read it. */
export function addressWords(address: Address): { tone: 'good' | 'wait' | 'none' | 'bad'; label: string } {
  if (address.use === 'shared') return { tone: 'none', label: 'Shared by all' }
  switch (address.state) {
    case 'free':
      return { tone: 'good', label: 'Free' }
    case 'allocated':
      return { tone: 'none', label: 'Allocated' }
    case 'reserved':
      return { tone: 'wait', label: 'Reserved' }
    case 'draining':
      return { tone: 'wait', label: 'Draining' }
    case 'quarantined':
      return { tone: 'wait', label: 'Resting' }
  }
}
