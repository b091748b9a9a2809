/** Of the server that plays Langfuse. */
export const KEYS = { publicKey: 'pk-lf-bench', secretKey: 'sk-lf-bench' } as const
