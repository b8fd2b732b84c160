/** The status page's style: light and dark by the system's wish, from a phone's width on, without any other file. */
export const statusPageStyle = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #d9dee5; --text: #1b2330; --soft: #5a6676; --link: #0b5cad;
  --good: #146c37; --good-soft: #e3f4e8; --warn: #8a5300; --warn-soft: #fdf1d8; --bad: #b3151f; --bad-soft: #fde5e5;
  --calm: #2f5f96; --calm-soft: #e6eef8;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10151c; --card: #18202a; --line: #2d3846; --text: #e4e9f0; --soft: #9aa7b8; --link: #7cb7f2;
    --good: #6fd693; --good-soft: #15311f; --warn: #f2bd62; --warn-soft: #35290f; --bad: #ff8a8a; --bad-soft: #3c1a1d;
    --calm: #94bdee; --calm-soft: #1a2a3e;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--page); color: var(--text); }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem 1rem; z-index: 1; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 4px; }
a { color: var(--link); }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; padding-top: 1.25rem; }
h1 { font-size: 1.35rem; margin: 0; letter-spacing: -.01em; }
h1 small { font-weight: 400; color: var(--soft); font-size: 1rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
.live { margin-left: auto; color: var(--soft); font-size: .9rem; font-variant-numeric: tabular-nums; }
.live::before { content: ""; display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; margin-right: .45rem; background: var(--good); }
.live.away { color: var(--bad); font-weight: 600; }
.live.away::before { background: var(--bad); }
.stale main > :not(#verdict) { opacity: .55; }

.verdict { border-radius: .75rem; padding: .9rem 1.1rem; margin: 1rem 0 0; border: 1px solid var(--line); border-left: .45rem solid var(--soft); background: var(--card); }
.verdict.good { border-left-color: var(--good); background: var(--good-soft); }
.verdict.warn { border-left-color: var(--warn); background: var(--warn-soft); }
.verdict.bad { border-left-color: var(--bad); background: var(--bad-soft); }
.verdict strong { font-size: 1.15rem; }
.verdict p { margin: 0; }
.problems { list-style: none; margin: .6rem 0 0; padding: 0; display: grid; gap: .6rem; }
.problems li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; overflow-wrap: anywhere; }
.problems:empty { display: none; }
.problems b { color: var(--warn); }
.problems .bad b { color: var(--bad); }
.problems .calm b { color: var(--calm); }
.remedy, .evidence, .cause, .soft { color: var(--soft); font-size: .925rem; }
.evidence { font-family: ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace; font-size: .85rem; }

.parts { display: flex; flex-wrap: wrap; gap: .4rem; margin: .9rem 0 0; padding: 0; list-style: none; }
.chip { display: inline-block; border-radius: 1rem; padding: .05rem .65rem; font-size: .875rem; background: var(--calm-soft); color: var(--calm); white-space: nowrap; }
.chip.good { background: var(--good-soft); color: var(--good); }
.chip.warn { background: var(--warn-soft); color: var(--warn); }
.chip.bad { background: var(--bad-soft); color: var(--bad); font-weight: 600; }
.parts .chip { white-space: normal; }

.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; margin: 0 0 .75rem; }
.card > summary { display: flex; flex-wrap: wrap; gap: .2rem .9rem; align-items: center; padding: .75rem 1.1rem; cursor: pointer; border-radius: .75rem; }
.card > summary { list-style: none; }
.card > summary::-webkit-details-marker { display: none; }
.card > summary::before { content: ""; width: .5rem; height: .5rem; border-right: 2px solid var(--soft); border-bottom: 2px solid var(--soft); transform: rotate(-45deg); }
.card[open] > summary::before { transform: rotate(45deg); }
.card > summary h3 { font-size: 1.05rem; margin: 0; }
.card > summary .who { font-weight: 600; }
.card > summary .who.bad { color: var(--bad); }
.card > div { padding: 0 1.1rem 1rem; }
.vips { font-variant-numeric: tabular-nums; margin-left: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; }
th, td { padding: .4rem .9rem .4rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
thead th { border-top: 0; overflow-wrap: normal; }
td.name { font-weight: 600; white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.self td.name::after { content: " (here)"; color: var(--soft); font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .8rem 0 0; font-size: .925rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.nodes { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .35rem 1.1rem; }

.tools { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.25rem; margin: 0 0 .6rem; font-size: .925rem; }
.tools label { display: inline-flex; align-items: center; gap: .4rem; }
select, input, button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .25rem .5rem; min-height: 2.25rem; max-width: 100%; }
.timeline { list-style: none; margin: 0; padding: .3rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; }
.timeline li { display: grid; grid-template-columns: 6.6rem 1fr; gap: 0 1rem; padding: .4rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.timeline li:first-child { border-top: 0; }
.timeline li.day { display: block; color: var(--soft); font-weight: 600; font-size: .875rem; }
.timeline time { color: var(--soft); font-variant-numeric: tabular-nums; font-size: .9rem; }
.timeline .bad { color: var(--bad); font-weight: 600; }
.timeline .warn { color: var(--warn); }
.timeline .good { color: var(--good); }
.timeline .fresh { animation: fresh 4s ease-out; }
@keyframes fresh { from { background: var(--calm-soft); } }
@media (prefers-reduced-motion: reduce) { .timeline .fresh { animation: none; } }
#older { margin-top: .6rem; padding: .25rem .9rem; cursor: pointer; }
.empty { color: var(--soft); padding: .4rem 0; margin: 0; }
footer { align-items: baseline; padding-top: 1.5rem; padding-bottom: 3rem; color: var(--soft); font-size: .9rem; display: flex; flex-wrap: wrap; gap: .3rem 1.25rem; }
footer a { padding: .2rem 0; }

@media (max-width: 42rem) {
  header, main, footer { padding-left: .8rem; padding-right: .8rem; }
  .live { margin-left: 0; width: 100%; }
  .vips { margin-left: 0; width: 100%; }
  .card > summary { padding: .7rem .8rem; }
  .card > div, .nodes, .timeline { padding-left: .8rem; padding-right: .8rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: block; border-top: 1px solid var(--line); padding: .5rem 0; }
  tbody tr:first-child { border-top: 0; }
  td { display: block; border: 0; padding: .1rem 0; }
  td.number { display: inline-block; margin-right: 1.1rem; }
  td.name, td.state { display: inline-block; margin-right: .7rem; }
  td[data-label]:not(:empty)::before { content: attr(data-label) " "; color: var(--soft); font-size: .85rem; }
  .timeline li, dl { grid-template-columns: 1fr; }
  dl { gap: 0; }
  dt { font-size: .85rem; margin-top: .35rem; }
}
`;
