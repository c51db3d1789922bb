import type { ReadSource } from './found.ts'
import { readCloud } from './platform.ts'

/** Magento Commerce Cloud, whose files have the shape of Platform.sh's. */
export const readMagentoCloud: ReadSource = (texts) =>
  readCloud(texts, { apps: ['.magento.app.yaml'], services: '.magento/services.yaml' })
