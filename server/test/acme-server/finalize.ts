import { authenticate, payloadOf, signerOf } from './authenticate.ts'
import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import { checkCsr } from './csr.ts'
import { decodeBase64url } from './jws.ts'
import { orderAnswer, ownOrder, refreshOrder } from './orders.ts'
import { AcmeProblem } from './problem.ts'
import { profileStillOffered } from './profiles.ts'

/** finalize (RFC 8555 section 7.4): the order goes to processing, and at once on to valid where no delay is set. */
export function answerFinalize(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const { settings, state, faults, log } = context
  const signed = authenticate(context, request, 'account')
  const account = signerOf(signed)
  const order = ownOrder(context, account, call.id)
  const { csr } = payloadOf(signed)
  refreshOrder(context, order)
  if (order.status !== 'ready') {
    throw new AcmeProblem(
      'orderNotReady',
      `Order's status (${JSON.stringify(order.status)}) is not acceptable for finalization`,
    )
  }
  if (typeof csr !== 'string') throw new AcmeProblem('malformed', 'finalize needs a csr')
  profileStillOffered(context, order.profile)
  const checked = checkCsr(decodeBase64url(csr), {
    identifiers: order.identifiers,
    accountKey: account.key.key,
    compromisedKeys: state.compromisedKeys,
  })
  const isStuck = faults.takeStuck()
  order.status = 'processing'
  order.processing = {
    csr: checked,
    dueAt: isStuck ? Number.POSITIVE_INFINITY : settings.clock() + settings.finalizeDelayMs,
  }
  log.add({
    kind: 'finalized',
    orderId: order.id,
    accountId: account.id,
    names: order.identifiers.map(({ value }) => value),
  })
  refreshOrder(context, order)
  return orderAnswer(context, order)
}
