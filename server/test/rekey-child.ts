import { rekey } from '../control/backup/rekey.ts'

/** Changes the master key as a process of its own, which a fault point may kill. Arguments: database, key file. */
const [databaseUrl = '', masterKeyFile = ''] = process.argv.slice(2)
await rekey({ databaseUrl, masterKeyFile, newKeyFile: null, isStartOver: false, say: () => undefined })
