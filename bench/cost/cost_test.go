package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/price"
)

func recorded(name string) string {
	return filepath.Join("..", "..", "internal", "recorded", name+".jsonl.zst")
}

// TestCost holds what the recordings cost in committed mode against bounds, and what is
// computed of the other ways against figures that were computed apart from this program. All
// are counts by formula: they don't depend on the machine.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		trace   string
		large   bool
		commits int // write units of commits, at most

		// Write units of commits, plain and compressed. The latter is by level 3 of zstd's own
		// library, in frames without checksums. What we compress with has no such level; with its
		// default, which is meant to be near to it, there are 0.2 to 2.4 % more.
		plain, zstd int
	}{
		{trace: "small", commits: 3_200, plain: 39_407, zstd: 9_015},
		{trace: "evict", commits: 7_200, plain: 86_015, zstd: 32_946},
		{trace: "group", commits: 6_200, plain: 756_547, zstd: 32_059, large: true},
		{trace: "long", commits: 11_700, plain: 576_991, zstd: 81_951, large: true},
		{trace: "large", commits: 300, plain: 49_574, zstd: 14_101, large: true},
	} {
		t.Run(c.trace, func(t *testing.T) {
			if c.large && (testing.Short() || race) {
				t.Skip("a minute without the race detector, many with it")
			}
			a, err := account(t.Context(), recorded(c.trace), false, price.USEast1)
			if err != nil {
				t.Fatal(err)
			}
			own := a.Ways[0]
			if n := own.WriteUnits[dynamo.Commits]; n == 0 || n > c.commits {
				t.Errorf("%d write units for commits, want at most %d", n, c.commits)
			}
			for _, l := range a.Ways[1:] {
				n := l.WriteUnits[dynamo.Commits]
				if l.Way == plain && n != c.plain {
					t.Errorf("plain: %d write units for commits, want %d", n, c.plain)
				}
				if l.Way == withZstd && math.Abs(float64(n)/float64(c.zstd)-1) > 0.025 {
					t.Errorf("compressed: %d write units for commits, want %d within 2.5 %%", n, c.zstd)
				}
				if l.DollarsAMillion < own.DollarsAMillion {
					t.Errorf("%s costs $%.2f a million saves, we $%.2f", l.Way, l.DollarsAMillion, own.DollarsAMillion)
				}
			}
			if c.trace == "evict" || c.trace == "long" {
				archives(t, a)
			}
			if c.trace == "long" && (own.RequestsPerSave > 0.77 || own.HintsWritten > 1300) {
				t.Errorf("%.4f requests a save, want at most 0.77; %d hints written, want at most 1300",
					own.RequestsPerSave, own.HintsWritten)
			}
		})
	}
}

// archives holds what archiving takes against its bounds: values in the archive count too.
func archives(t *testing.T, a *Account) {
	t.Helper()
	if n := float64(a.Ways[0].S3Puts) / float64(a.Evicted) * 1000; !(n <= 4) {
		t.Errorf("%.1f objects put for 1000 evictions, want at most 4", n)
	}
	// Messages of evict have smaller bloom filters than the default, so less in common.
	most := a.EvictedBytesAMessage / 25
	if a.Trace == "evict" {
		most = a.EvictedBytesAMessage / 10
	}
	if n := a.ArchivedBytesAMessage; n == 0 || n > most {
		t.Errorf("%.0f bytes a message in segments, %.0f before, want at most %.0f", n, a.EvictedBytesAMessage, most)
	}
}

func TestTableAndChart(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "cost.svg")
	var table bytes.Buffer
	if err := run(t.Context(), []string{"--accepted", "--svg", svg, "--put", "0", recorded("small")}, &table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"small: 681 saves, 256 messages appended, 73 evicted; 1282 hints set",
		"sdsaws-accepted", "s3-per-save", "TransactWriteItems", "PUT and LIST $0, GET $0.4 (as given"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in:\n%s", want, table.String())
		}
	}
	drawn, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	if n := elements(t, drawn, "rect"); n != 5 {
		t.Errorf("%d bars, want 5", n)
	}
}

func TestOptionsCompared(t *testing.T) {
	var lines bytes.Buffer
	if err := run(t.Context(), []string{"--json", "--inline", "4,16", "--group", "1", recorded("small")}, &lines); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&lines)
	for _, inline := range []int{4 << 10, 16 << 10} {
		var got tried
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.InlineBytes != inline || got.GroupSize != 1 || got.Saves != 681 || got.WriteUnits[dynamo.Commits] == 0 {
			t.Errorf("%+v", got)
		}
	}
}

// elements counts elements of a document, which has to be well-formed.
func elements(t *testing.T, document []byte, name string) (n int) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == name {
			n++
		}
	}
}
