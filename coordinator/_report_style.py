"""The style sheet of a report: no font, picture or script from anywhere."""

from __future__ import annotations

from ._report_colours import theme

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 64px}
h1{font-size:24px;line-height:1.2;margin:0 0 4px}
h2{font-size:22px;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}
h3{font-size:16px;line-height:1.3;margin:36px 0 2px}
p{margin:0 0 10px;max-width:72ch;overflow-wrap:anywhere}
a{color:var(--link)}
.family{border-top:1px solid var(--rule);margin-top:28px;padding-top:24px}
.lead{font-size:17px;max-width:72ch}
.how,.note,.mute{color:var(--muted)}
.how{font-size:14px}
.note{font-size:13px;display:block}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px 20px;
margin:14px 0 0;padding:14px 16px;background:var(--surface);border-radius:8px}
dt{font-size:13px;color:var(--muted)}dd{margin:0;font-weight:600;overflow-wrap:anywhere}
nav ul,.key{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:8px 0}
.key{font-size:13px;color:var(--muted)}
.key svg{vertical-align:-2px;margin-right:6px}
.chart{direction:rtl;overflow-x:auto;margin:10px 0 4px;padding-bottom:4px;max-width:100%}
.chart:focus-visible,a:focus-visible,summary:focus-visible{outline:2px solid var(--link);
outline-offset:2px}
.chart>div{display:flex;direction:ltr;width:max-content;min-width:100%}
svg{display:block;flex:none}
svg text{fill:var(--ink);font-size:12px}
svg .mute{fill:var(--muted);font-size:11px}
svg .name{font-weight:600}
svg .on{fill:var(--on);font-size:11px;font-weight:600;pointer-events:none}
.gutter{position:sticky;left:0;background:var(--page);z-index:1}
.fill{fill:var(--c)}
.cell rect{fill:var(--c)}
.line{fill:none;stroke:var(--c);stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
.again .line,.again .branch{stroke-dasharray:7 4}
.thin{fill:none;stroke:var(--c);stroke-width:1;opacity:.5}
.range{fill:var(--c);opacity:.2}
.dot{fill:var(--c);stroke:var(--page);stroke-width:1.5}
.held{fill:var(--page);stroke:var(--c)}
.need{fill:var(--page);stroke:var(--c);stroke-width:1.5}
.change{stroke:var(--ink);stroke-width:1.5;fill:none}
.open .change{stroke-dasharray:2 3}
.changed text{font-size:11px;font-weight:600}
.changed.open text{font-weight:400;fill:var(--muted)}
.grid{stroke:var(--rule);stroke-width:1;opacity:.7;shape-rendering:crispEdges}
.rule{stroke:var(--muted);stroke-width:1;shape-rendering:crispEdges}
.hair{stroke:var(--ink);stroke-width:1;opacity:.4;fill:none;pointer-events:none}
.many .hair{opacity:.16}
.hair.open{stroke-dasharray:2 3}
.glyph{fill:var(--ink);stroke:var(--ink);stroke-width:1.5;stroke-linejoin:round}
.glyph.open{fill:var(--page)}
.mark text{font-size:11px;paint-order:stroke;stroke:var(--page);stroke-width:4px}
a.mark:hover text,a.mark:focus text{text-decoration:underline}
.lane{stroke:var(--c);fill:none}
.lane.active{stroke-width:5}
.lane.stored{stroke-width:1.5;stroke-dasharray:3 4}
.branch{stroke:var(--c);fill:none;stroke-width:2.5}
.knot{fill:var(--page);stroke:var(--c);stroke-width:2.5}
.pin .knot{fill:var(--ink);stroke:var(--page);stroke-width:1.5}
.version text{font-size:11px;paint-order:stroke;stroke:var(--page);stroke-width:3px}
.swatch{display:inline-block;margin-right:6px;vertical-align:-1px}
details{margin:2px 0 8px;font-size:14px}
summary{cursor:pointer;color:var(--link);padding:4px 0}
table{border-collapse:collapse;width:100%;font-size:14px;margin:8px 0;
font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:13px;padding:2px 0}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid var(--rule)}
th{color:var(--muted);font-weight:600;font-size:13px;white-space:nowrap}
td{overflow-wrap:anywhere}
.decisions td:nth-child(4),.decisions td:nth-child(3),.ranks td:nth-child(3){white-space:nowrap}
.decisions td:nth-child(5) b{white-space:nowrap}
td ul{list-style:none;margin:0;padding:0}
tr:target td{background:var(--surface)}
.left-out{border-left:3px solid var(--muted);padding-left:10px;color:var(--muted);font-size:14px}
footer{margin-top:40px;color:var(--muted);font-size:13px;overflow-wrap:anywhere}
.hidden{position:absolute;width:0;height:0}
.visually-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media (max-width:680px){
main{padding:20px 14px 48px}
.gutter{border-right:1px solid var(--rule)}
table,tbody,tr,td,caption{display:block;width:100%}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tr{border-bottom:1px solid var(--rule);padding:8px 0}
td,.decisions td{border:0;padding:2px 0;display:grid;grid-template-columns:104px 1fr;gap:8px;
white-space:normal}
td::before{content:attr(data-label);color:var(--muted);font-size:13px}
td>span{min-width:0}
}
@media print{
body{font-size:11pt}
main{max-width:none;padding:0}
.chart{overflow:visible;zoom:.68;break-inside:avoid}
.gutter{position:static}
h3{break-after:avoid}
tr,dl{break-inside:avoid}
a{color:inherit;text-decoration:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def style() -> str:
    """Return the rules; paper is always light."""
    dark = "@media screen and (prefers-color-scheme:dark){" + theme("dark") + "}"
    return theme("light") + dark + _RULES.replace("\n", "")
