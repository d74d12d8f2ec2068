import { Type } from 'typebox'
import { Email, NewPassword } from '../auth/schema.ts'

/** Answer of `GET /setup`: open until the first admin is made. */
export const SetupState = Type.Object({ isOpen: Type.Boolean() })

/** Body of `POST /setup`: the token is what stands after `#` in the printed link. */
export const SetupBody = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 200 }),
  email: Email,
  password: NewPassword,
})
