// Colours of Okabe and Ito's set, which colour-blind readers tell apart, darker on white and lighter on black until each
// stands out from the ground. No colour says anything that a label beside it doesn't.

const LIGHT = `
--ground:#fff;--raised:#f6f7f8;--text:#1d2329;--quiet:#57606a;--rule:#d9dde1;--band:#9aa4ae55;
--baseline:#6b747d;--installed:#d04f00;--tuned:#c78500;--style:#b45a91;--integration:#2f8fc4;--intervention:#00589b;--elsewhere:#00825f;
--one:#0064a8;--two:#5fb4e5;--three:#d98a00;--four:#b45a91;--five:#aab4bd;--six:#00825f;--seven:#d04f00;--eight:#8b949e;`

const DARK = `
--ground:#14181c;--raised:#1d2328;--text:#e4e8eb;--quiet:#a2abb4;--rule:#353d45;--band:#8b96a155;
--baseline:#a7b0b9;--installed:#ff8242;--tuned:#f0b429;--style:#e39cc6;--integration:#6cc3f2;--intervention:#4c9be0;--elsewhere:#2fc398;
--one:#4c9be0;--two:#a5d9f7;--three:#f0b429;--four:#e39cc6;--five:#6c7782;--six:#2fc398;--seven:#ff8242;--eight:#87919b;`

const GROUP_NAMES = [
  'baseline',
  'installed',
  'tuned',
  'style',
  'integration',
  'intervention',
  'elsewhere',
]
const PART_NAMES = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight']

const colours = [
  ...GROUP_NAMES.map(
    (name) =>
      `.fill.${name},.seen.${name},i.dot.${name}{fill:var(--${name});background:var(--${name})}.open.${name},.stem.${name},.ring.${name},.curve.${name},.leader.${name}{stroke:var(--${name})}`,
  ),
  ...PART_NAMES.map(
    (name) => `.part.${name},i.box.${name}{fill:var(--${name});background:var(--${name})}`,
  ),
].join('\n')

/** Of text, axes and what a stall is drawn with: a picture that stands alone has no more. */
const DRAWN = `
svg text{fill:var(--text)}
svg text.tick{fill:var(--quiet);font-variant-numeric:tabular-nums}
svg text.axis{fill:var(--quiet)}
svg text.strong{font-weight:600}
.grid{stroke:var(--rule);stroke-width:1}
.band{fill:var(--band)}
.leader{stroke-width:1;stroke:var(--quiet);opacity:.6}
.held{fill:var(--installed);fill-opacity:.35;stroke:var(--installed);stroke-width:1.5}
.arrival{stroke:var(--intervention);stroke-width:1;stroke-dasharray:3 3;opacity:.7}
.batch{fill:var(--intervention)}`

/** Of a picture on its own, which brings its ground: a page around it may be light or dark. */
export const PICTURE_STYLE: string = `
:root{${LIGHT}}
@media (prefers-color-scheme:dark){:root{${DARK}}}
svg{font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.ground{fill:var(--ground)}
svg text.heading{font-size:14px}${DRAWN}
`

/** Of the HTML report. */
export const STYLE: string = `
:root{${LIGHT}}
@media (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;display:grid;grid-template-columns:220px minmax(0,1fr)}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:20px 12px 20px 20px;border-right:1px solid var(--rule);min-height:100vh;font-size:13px}
nav p{margin:0 0 8px;font-weight:600}
nav ul{list-style:none;margin:0;padding:0}
nav ul ul{display:flex;flex-wrap:wrap;gap:0 8px;padding-left:10px;font-size:12px}
nav li{margin:3px 0}
nav a{color:var(--text);text-decoration:none}
nav ul ul a{color:var(--quiet)}
nav a:hover{text-decoration:underline}
main{padding:20px 28px 80px;max-width:1240px}
h1{font-size:26px;line-height:1.25;margin:0 0 16px}
h2{font-size:21px;margin:48px 0 8px;padding-top:8px;border-top:1px solid var(--rule)}
h3{font-size:16px;margin:0 0 4px}
a{color:var(--intervention)}
code{font:13px ui-monospace,Menlo,Consolas,monospace}
figure{margin:28px 0;scroll-margin-top:12px}
figcaption{color:var(--quiet);font-size:13px;margin-bottom:8px;max-width:860px}
.warning{border:1px solid var(--tuned);border-left-width:6px;padding:8px 12px}
.drawing{overflow-x:auto;display:flex;flex-wrap:wrap;gap:12px 16px}
.panel{width:546px}
.panel p{margin:8px 0 0;font-size:13px}
svg{display:block;flex:none;font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.drawing>svg{flex:0 1 auto;height:auto;min-width:min(720px,100%);max-width:100%}
${DRAWN}
.stem{stroke-width:2}
.open{fill:var(--ground);stroke-width:2}
.curve{fill:none;stroke-width:2}
.dash1{stroke-dasharray:7 3}.dash2{stroke-dasharray:2 3}.dash3{stroke-dasharray:9 3 2 3}
.reference{stroke:var(--text);stroke-width:1.5;stroke-dasharray:4 3}
.seen{opacity:.5}
.ring{fill:none;stroke-width:1;opacity:.5}
.fitted{fill:none;stroke:var(--text);stroke-width:1.5}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 8px;padding:0;font-size:13px}
.legend i{display:inline-block;width:11px;height:11px;margin-right:6px;vertical-align:-1px}
.legend i.dot{border-radius:50%}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:12.5px;margin:8px 0}
th,td{padding:3px 7px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th{color:var(--quiet);font-weight:600;vertical-align:bottom;white-space:normal}
th.text,td.text{text-align:left}
th.wrap,td.wrap{white-space:normal;overflow-wrap:anywhere}
tbody:first-child td.wrap:first-child{white-space:nowrap}
tbody tr:hover{background:var(--raised)}
details{margin:10px 0}
summary{cursor:pointer;font-weight:600;font-size:14px}
${colours}
@media (max-width:820px){body{display:block}nav{position:sticky;min-height:0;max-height:34vh;background:var(--ground);border-right:0;border-bottom:1px solid var(--rule);z-index:1}main{padding:16px}figure,section{scroll-margin-top:35vh}}
@media print{nav{display:none}body{display:block}}
`
