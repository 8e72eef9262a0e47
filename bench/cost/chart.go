package main

import (
	"bytes"
	"fmt"
	"html"
)

// What the ways are called in the chart.
var labels = map[string]string{
	ours: "sdsaws", oursAccepted: "sdsaws, accepted mode",
	plain: "plain", withZstd: "plain, compressed", s3PerSave: "snapshot in S3",
}

// Measures of the chart, in pixels.
const (
	chartWidth = 720
	leftEdge   = 190 // of bars
	barRoom    = 470
	rowHeight  = 14
	barHeight  = 10
	baseline   = 9  // of text in a row
	gap        = 10 // between traces
)

// Text is readable on white and on black where a viewer ignores media queries, and crisper
// where it doesn't.
const chartStyle = `<style>
text{font:11px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#7d8590}
.t{font-weight:600}.e{text-anchor:end}
.a{fill:#2da44e}.b{fill:#8c959f}
@media (prefers-color-scheme:light){text{fill:#57606a}.t{fill:#24292f}}
@media (prefers-color-scheme:dark){text{fill:#9198a1}.t{fill:#f0f6fc}.a{fill:#3fb950}.b{fill:#6e7681}}
</style>
`

// chart draws what a million saves of each trace cost, as SVG: the longest bar of a trace
// is its dearest way.
func chart(all []*Account) []byte {
	var bars bytes.Buffer
	y := 0
	for i, a := range all {
		if i > 0 {
			y += gap
		}
		fmt.Fprintf(&bars, "<text class=\"t\" x=\"0\" y=\"%d\">%s</text>\n", y+baseline, html.EscapeString(a.Trace))
		most := 0.0
		for _, l := range a.Ways {
			most = max(most, l.DollarsAMillion)
		}
		for _, l := range a.Ways {
			bar(&bars, &l, most, y)
			y += rowHeight
		}
	}
	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">
<title>Dollars per million saves, for each recorded conversation and way to keep it</title>
%s`, chartWidth, y, chartStyle)
	svg.Write(bars.Bytes())
	svg.WriteString("</svg>\n")
	return svg.Bytes()
}

func bar(b *bytes.Buffer, l *Ledger, most float64, y int) {
	class := "b"
	if l.Way == ours || l.Way == oursAccepted {
		class = "a"
	}
	width := max(1, l.DollarsAMillion/max(most, 1e-9)*barRoom)
	fmt.Fprintf(b, "<text class=\"e\" x=\"%d\" y=\"%d\">%s</text>", leftEdge-7, y+baseline, html.EscapeString(labels[l.Way]))
	fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", class, leftEdge, y, width, barHeight)
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">$%.2f</text>\n", leftEdge+width+6, y+baseline, l.DollarsAMillion)
}
