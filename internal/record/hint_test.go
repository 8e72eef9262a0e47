package record

import (
	"bytes"
	"errors"
	"testing"
)

func TestAHintIsReadBackOrRefused(t *testing.T) {
	for _, value := range [][]byte{nil, []byte("hint"), bytes.Repeat([]byte{0xff}, 1000)} {
		stored := Hint("alice", "id", value)
		if len(stored) != len(value)+HintOverhead {
			t.Errorf("%d bytes for %d", len(stored), len(value))
		}
		if got, err := OpenHint("alice", "id", stored); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%q, %v", got, err)
		}
		for i := range stored {
			other := bytes.Clone(stored)
			other[i] ^= 1
			if got, err := OpenHint("alice", "id", other); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Errorf("byte %d altered: %q, %v", i, got, err)
			}
			if got, err := OpenHint("alice", "id", stored[:i]); err == nil {
				t.Errorf("cut at %d: %q", i, got)
			}
		}
		for _, place := range [][2]string{{"alice", "di"}, {"bob", "id"}, {"alicei", "d"}, {"", "aliceid"}} {
			if got, err := OpenHint(place[0], place[1], stored); !errors.Is(err, ErrCorrupt) {
				t.Errorf("as the hint of %q: %q, %v", place, got, err)
			}
		}
	}
}
