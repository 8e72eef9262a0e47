package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sdsaws/sdsaws/dynamo"
)

// purposes are the columns of write units.
var purposes = []dynamo.Purpose{dynamo.Commits, dynamo.Claims, dynamo.Deletes, dynamo.Manifests, dynamo.HintOps}

// show prints an account for people: units and dollars first, then requests by kind.
func show(out io.Writer, a *Account) error {
	fmt.Fprintf(out, "%s: %d saves, %d messages appended, %d evicted; %d hints set\n",
		a.Trace, a.Saves, a.Appended, a.Evicted, a.HintsSet)
	if a.ArchivedBytesAMessage > 0 {
		fmt.Fprintf(out, "An evicted message had %.0f bytes, and has %.0f in a segment.\n",
			a.EvictedBytesAMessage, a.ArchivedBytesAMessage)
	}
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t$ A MILLION SAVES\t")
	for _, p := range purposes {
		fmt.Fprintf(t, "%s\t", strings.ToUpper(string(p)))
	}
	fmt.Fprintln(t, "READ UNITS\tPUT\tGET\tLIST\tREQUESTS A SAVE\tHINTS WRITTEN\tSTORED\tVALUES\tARCHIVED\t")
	for _, l := range a.Ways {
		fmt.Fprintf(t, "%s\t%.2f\t", l.Way, l.DollarsAMillion)
		for _, p := range purposes {
			fmt.Fprintf(t, "%d\t", l.WriteUnits[p])
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%.3f\t%d\t%d\t%d\t%d\t\n", l.ReadUnits, l.S3Puts, l.S3Gets, l.S3Lists,
			l.RequestsPerSave, l.HintsWritten, l.StoredBytes, l.ValueBytes, l.ArchivedBytes)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range a.Ways {
		fmt.Fprintf(out, "%17s ", l.Way)
		for _, operation := range slices.Sorted(maps.Keys(l.Requests)) {
			fmt.Fprintf(out, " %d %s", l.Requests[operation], operation)
		}
		fmt.Fprintln(out)
	}
	p := a.Prices
	_, err := fmt.Fprintf(out, "A million write units $%v, read units $%v, PUT and LIST $%v, GET $%v (%s, %s).\n\n",
		p.WriteUnits, p.ReadUnits, p.Puts, p.Gets, p.Region, p.Listed)
	return err
}
