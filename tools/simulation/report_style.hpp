// SPDX-License-Identifier: MPL-2.0
//
// The report page's style: light and dark, from a phone's width to a wall's, and on paper. The
// eight colours differ for colour-blind eyes too, in this order.

#pragma once

namespace rvi::simulation {

inline constexpr const char* report_style = R"css(
:root{color-scheme:light;--page:#f6f6f4;--card:#fff;--ink:#17181a;--soft:#5b5e63;--rule:#dfdfdb;
--grid:#e6e6e2;--good:#0b6b3a;--good-page:#e5f4ea;--bad:#b3201c;--bad-page:#fdeceb;
--c0:#2a78d6;--c1:#1baf7a;--c2:#eda100;--c3:#7a4fc4;--c4:#eb6834;--c5:#e87ba4;--c6:#0c6f6f;
--c7:#8a5a1f;--c8:#8b8d91}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#121315;--card:#1b1d20;
--ink:#f0f0ee;--soft:#a9acb1;--rule:#34373b;--grid:#2d3034;--good:#6fd99b;--good-page:#12291c;
--bad:#ff8f88;--bad-page:#331817;--c0:#4a93ec;--c1:#1ea877;--c2:#d9980f;--c3:#a48cec;--c4:#e0662f;
--c5:#d9688f;--c6:#2fa6a6;--c7:#b98a4c;--c8:#85888d}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1480px;margin:0 auto;padding:clamp(1rem,3vw,2.5rem)}
h1,h2,h3,p,ul,ol,dl,dd,figure,table{margin:0;padding:0}
h1{font-size:clamp(1.5rem,1.1rem + 1.6vw,2.25rem);line-height:1.2;overflow-wrap:anywhere;
text-wrap:balance}
h2{font-size:1.2rem;line-height:1.3;margin-bottom:.75rem}
h3{font-size:1rem;line-height:1.4}
section{margin-top:2.25rem}
.above{color:var(--soft);font-size:.875rem;margin-bottom:.25rem}
.below{color:var(--soft);margin-top:.5rem;overflow-wrap:anywhere}
.verdict{margin-top:1.25rem;padding:1rem 1.25rem;border-radius:.5rem;border:1px solid;
color:var(--good);background:var(--good-page)}
.verdict.broken{color:var(--bad);background:var(--bad-page)}
.verdict h2{margin:0}
.verdict p{color:var(--ink)}
.violations{list-style:none;margin-top:.75rem}
.violations li{padding:.6rem 0;border-top:1px solid var(--rule);color:var(--ink)}
.violations b{color:var(--bad)}
.violations p{overflow-wrap:anywhere}
.violations p:first-child{font-weight:600}
.violations .where{color:var(--soft);font-size:.875rem}
.tiles{display:grid;gap:1px;grid-template-columns:repeat(2,1fr);
background:var(--rule);border:1px solid var(--rule);border-radius:.5rem;overflow:hidden}
@media (min-width:36rem){.tiles{grid-template-columns:repeat(3,1fr)}}
@media (min-width:66rem){.tiles{grid-template-columns:repeat(6,1fr)}}
.tiles div{background:var(--card);padding:.85rem 1rem;display:flex;flex-direction:column}
.tiles dt{color:var(--soft);font-size:.875rem}
.tiles dd{font-size:1.4rem;line-height:1.3;font-weight:600;white-space:nowrap}
.tiles dd.note{font-size:.8125rem;font-weight:400;color:var(--soft);white-space:normal}
.grid-of-cards{display:grid;gap:1rem;align-items:start;grid-template-columns:minmax(0,1fr)}
.grid-of-charts{display:grid;gap:1rem;align-items:start;
grid-template-columns:repeat(auto-fit,minmax(min(100%,29rem),1fr))}
.grid-of-charts.three{grid-template-columns:minmax(0,1fr)}
@media (min-width:60rem){.grid-of-cards,.grid-of-charts.three{
grid-template-columns:repeat(3,minmax(0,1fr))}}
.card,figure{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;
padding:1rem 1.25rem;min-width:0}
.card h3{margin-bottom:.4rem}
.card p{font-size:.875rem}
figcaption p{color:var(--soft);font-size:.875rem}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--rule);vertical-align:baseline;
text-align:right;white-space:nowrap}
@media (max-width:30rem){th,td{padding-right:.5rem;font-size:.8125rem}}
th:first-child,td:first-child{text-align:left}
th:last-child,td:last-child{padding-right:0}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:600}
tbody th{font-weight:400}
.card>table tbody th{white-space:normal;overflow-wrap:anywhere}
.card .hash{font-family:ui-monospace,"DejaVu Sans Mono",monospace}
.scroll{overflow-x:auto}
.drawing{container-type:inline-size}
.plot{display:grid;grid-template-columns:auto 1fr;margin-top:.9rem;color:var(--soft);
font-size:.75rem;line-height:1;font-variant-numeric:tabular-nums}
.y-labels{position:relative;width:3.9rem}
.y-labels span{position:absolute;right:.5rem;transform:translateY(50%);white-space:nowrap}
.plot svg{display:block;width:100%;height:clamp(11rem,24vw,15rem);overflow:visible}
.three .plot svg{height:10.5rem}
.x-labels{position:relative;grid-column:2;height:1.6rem}
.x-labels span{position:absolute;top:.5rem;transform:translateX(-50%);white-space:nowrap}
@container (max-width:18rem){.x-labels span:nth-child(even){display:none}}
@container (max-width:27rem){.x-labels.long span:nth-child(even){display:none}}
path{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--grid)}
.faint{stroke-opacity:.55}
.line{stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.area{fill:var(--c);stroke:var(--card);stroke-width:1}
.wash{fill:var(--c);fill-opacity:.14}
.mark{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:4 3}
.reading{fill:transparent}
.reading:hover{fill:var(--ink);fill-opacity:.09}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}
.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}.s8{--c:var(--c8)}
.d1{stroke-dasharray:8 3}.d2{stroke-dasharray:2.5 2.5}.d3{stroke-dasharray:11 3 2 3}
.n0{stroke-width:7;stroke-opacity:.4}.n1{stroke-width:3.5}.n2{stroke-width:1.5;stroke:var(--ink)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin-top:.35rem;
font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.legend small{font-size:inherit;color:var(--soft)}
.key{width:22px;height:10px;flex:none}
.none{color:var(--soft);padding:1.5rem 0}
details{margin-top:.6rem;font-size:.875rem}
summary{cursor:pointer;color:var(--soft);width:max-content}
details .scroll{max-height:22rem;overflow:auto;margin-top:.4rem}
details thead th{position:sticky;top:0;background:var(--card)}
.bar{display:block;height:4px;border-radius:2px;margin-top:3px;
background:linear-gradient(to right,var(--c0) var(--part),var(--grid) 0)}
pre{margin:0;padding:1rem 1.25rem;max-height:32rem;overflow:auto;background:var(--card);
border:1px solid var(--rule);border-radius:.5rem;
font:.8125rem/1.5 ui-monospace,"DejaVu Sans Mono",Consolas,monospace}
footer{margin-top:2.25rem;color:var(--soft);font-size:.875rem}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
@page{margin:12mm}
@media print{.grid-of-cards{grid-template-columns:repeat(3,minmax(0,1fr))}
:root{font-size:11px}body{background:#fff;print-color-adjust:exact;
-webkit-print-color-adjust:exact}main{padding:0;max-width:none}
figure,.card,.tiles,.verdict,.violations li{break-inside:avoid}h2,h3{break-after:avoid}
details{display:none}pre{max-height:none;white-space:pre-wrap;overflow-wrap:anywhere}
.grid-of-charts{grid-template-columns:1fr 1fr}
.grid-of-charts.three{grid-template-columns:1fr 1fr 1fr}
.plot svg,.three .plot svg{height:9rem}}
)css";

} // namespace rvi::simulation
