package replay_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
)

// TestCasesThatRecordingsDontHold plays the synthetic traces: docs/design.md says what
// each expects.
func TestCasesThatRecordingsDontHold(t *testing.T) {
	files, err := filepath.Glob("../trace/testdata/*.jsonl")
	if err != nil || len(files) < 8 {
		t.Fatalf("traces %q, %v", files, err)
	}
	for _, file := range files {
		for name, d := range map[string]sdsaws.Durability{"committed": sdsaws.Committed, "accepted": sdsaws.Accepted} {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				r, err := trace.NewReader(f)
				if err != nil {
					t.Fatal(err)
				}
				got, err := replay.NewPlayer("synthetic", backend(t), replay.Options{
					Namespace: "test", Durability: d, Rate: 6, Lag: time.Second}).Run(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if wrong := got.Wrong(); wrong != "" {
					t.Fatalf("%s: %+v", wrong, got)
				}
			})
		}
	}
}
