import type {
  Dashboard as AnyDashboard,
  Panel as AnyPanel,
  DataQuery,
  FieldConfig,
  RowPanel,
  VariableModel,
} from '@grafana/schema'
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen'
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen'

/** A type of Grafana's as it stands in JSON: for an enum its strings. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [Key in keyof T]: Json<T[Key]> } : T

/** What is left out of options Grafana fills in. */
type Given<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Key in keyof T]?: Given<T[Key]> }
    : T

type Placed = Required<Pick<AnyPanel, 'id' | 'title' | 'gridPos'>>

/** Of Prometheus the package has no type, and of any query only what is common to all. */
type Query = Required<Pick<DataQuery, 'datasource'>> & {
  readonly refId: string
  readonly expr: string
  readonly legendFormat: string
  readonly range: boolean
  readonly instant?: boolean
}

type Panel<Type extends string, Options, Custom> = Placed &
  Pick<AnyPanel, 'description' | 'datasource'> & {
    readonly type: Type
    readonly options: Given<Options>
    readonly fieldConfig: {
      readonly defaults: Omit<FieldConfig, 'custom'> & { readonly custom?: Custom }
      readonly overrides: readonly []
    }
    readonly targets: readonly Query[]
  }

/** Our dashboard: of what Grafana knows, the kinds of panels that it has. */
export type Dashboard = Json<
  Omit<AnyDashboard, 'panels' | 'templating'> & {
    // `definition` is the query as the list of variables shows it.
    readonly templating: {
      readonly list: readonly (VariableModel & { readonly definition?: string })[]
    }
    readonly panels: readonly (
      | (RowPanel & Placed)
      | Panel<'stat', stat.Options, never>
      | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
    )[]
  }
>
