import { searchDriver } from './opensearch/service.ts'

export default searchDriver('elasticsearch')
