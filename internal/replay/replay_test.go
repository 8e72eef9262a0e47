package replay_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/recorded"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
)

func small(t *testing.T) *trace.Reader {
	t.Helper()
	r, err := trace.NewReader(bytes.NewReader(recorded.Small))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func backend(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRecordedTrafficLoadsAsItWasSaved(t *testing.T) {
	for _, d := range []sdsaws.Durability{sdsaws.Committed, sdsaws.Accepted} {
		got, err := replay.NewPlayer("small", backend(t), replay.Options{
			Namespace: "test", Durability: d, Rate: 6, Lag: time.Second, ArchiveMessages: 10}).Run(t.Context(), small(t))
		if err != nil {
			t.Fatal(err)
		}
		if got.Loads != 32 || got.LoadsMatched != 32 || got.Saves != 681 ||
			got.Appended != 256 || got.Evicted != 73 || got.HintsSet != 1282 || got.Wrong() != "" {
			t.Errorf("durability %d: %+v", d, got)
		}
		t.Logf("durability %d: %+v", d, got)
	}
}

// TestAnotherLoadIsAMismatch changes what is recorded: the replay must notice.
func TestAnotherLoadIsAMismatch(t *testing.T) {
	p := replay.NewPlayer("small", backend(t), replay.Options{Namespace: "test", Lag: time.Second})
	r := small(t)
	changes := 0
	for {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == trace.LoadChannel && op.Messages > 0 {
			changes++
			switch changes % 3 {
			case 0:
				op.Messages++
			case 1:
				op.MetaSHA256 = op.HistorySHA256
			case 2:
				op.HistorySHA256 = op.MetaSHA256
			}
		}
		if err := p.Play(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Result(); changes == 0 || len(got.Mismatches) != changes || got.LoadsMatched != got.Loads-changes {
		t.Fatalf("%d loads changed, %+v", changes, got)
	}
}
