import type { Dashboard } from '../../packages/relay/src/dashboard.fixture.ts'

interface Rule {
  readonly record: string
  readonly expr: string
}

/** What a dashboard asks Prometheus, as recording rules, whose names tell the panel or the variable. */
export function queriesOf(json: string): Rule[] {
  const { panels, templating } = JSON.parse(json) as Dashboard
  const ofPanels = panels.flatMap((panel) => {
    if (panel.type === 'row') return []
    return panel.targets.map(({ refId, expr }) => ({
      record: `panel_${panel.id}_${refId}`,
      // Durations of Grafana's; the dashboard's own variables stand in quotes.
      expr: expr.replaceAll(/\$__(?:range|rate_interval)\b/g, '5m'),
    }))
  })
  const ofVariables = templating.list.flatMap(({ name, definition = '' }) => {
    const series = /^label_values\((.*), \w+\)$/.exec(definition)?.[1]
    return series === undefined ? [] : [{ record: `variable_${name}`, expr: series }]
  })
  return [...ofPanels, ...ofVariables]
}
