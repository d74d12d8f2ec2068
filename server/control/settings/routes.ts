import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { WriteQuery } from '../schema.ts'
import { SettingsChange, SettingsView, ToldSettings } from './schema.ts'
import type { SettingsService } from './service.ts'

const tags = ['settings']

/** `/settings`. */
export function settingsRoutes(service: SettingsService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/settings',
      {
        schema: {
          tags,
          summary: 'Get the settings (admin)',
          operationId: 'getSettings',
          response: { 200: SettingsView },
        },
      },
      (request) => service.read(request.actor),
    )
    app.get(
      '/settings/public',
      {
        schema: {
          tags,
          summary: 'Get what tenants are told: addresses and CNAME target for their names',
          operationId: 'getPublicSettings',
          response: { 200: ToldSettings },
        },
      },
      (request) => service.readPublic(request.actor),
    )
    app.patch(
      '/settings',
      {
        schema: {
          tags,
          summary: 'Change settings (admin)',
          operationId: 'changeSettings',
          querystring: WriteQuery,
          body: SettingsChange,
          response: { 200: SettingsView },
        },
      },
      (request) => service.change(request.actor, request.body, request.query),
    )
  }
}
