package offsets

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSetIsASet runs random additions and removals beside a map.
func TestSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		model := map[uint64]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "operations") {
			x := rapid.Uint64Range(0, 40).Draw(t, "x")
			if rapid.Bool().Draw(t, "add") {
				s.Add(x)
				model[x] = true
			} else {
				s.Remove(x)
				delete(model, x)
			}
			if s.Contains(x) != model[x] {
				t.Fatalf("Contains(%d) = %v", x, s.Contains(x))
			}
		}
		want := slices.Sorted(maps.Keys(model))
		if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != len(want) {
			t.Fatalf("set holds %v (%d), want %v", got, s.Len(), want)
		}
		if m, ok := s.Min(); ok != (len(want) > 0) || ok && m != want[0] {
			t.Fatalf("Min() = %d, %v, want the first of %v", m, ok, want)
		}
		if m, ok := s.Max(); ok != (len(want) > 0) || ok && m != want[len(want)-1] {
			t.Fatalf("Max() = %d, %v, want the last of %v", m, ok, want)
		}
		from, to := rapid.Uint64Range(0, 41).Draw(t, "from"), rapid.Uint64Range(0, 41).Draw(t, "to")
		part := s.Between(from, to)
		within := slices.DeleteFunc(slices.Clone(want), func(x uint64) bool { return x < from || x >= to })
		if got := slices.Collect(part.All()); !slices.Equal(got, within) || part.Len() != len(within) {
			t.Fatalf("between %d and %d: %v (%d), want %v", from, to, got, part.Len(), within)
		}
		var other Set
		for range rapid.IntRange(0, 20).Draw(t, "other's") {
			other.Add(rapid.Uint64Range(0, 41).Draw(t, "other"))
		}
		minus := s.Minus(&other)
		without := slices.DeleteFunc(slices.Clone(want), other.Contains)
		if !slices.Equal(slices.Collect(minus.All()), without) || minus.Len() != len(without) {
			t.Fatalf("minus %v: %v (%d), want %v", other, minus, minus.Len(), without)
		}
		if apart := s.Minus(&s); !slices.Equal(s.Minus(&other).spans, minus.spans) || apart.Len() > 0 {
			t.Fatalf("minus itself: %v", apart)
		}
		c := s.Clone()
		back, err := Decode(s.Append(nil), 1000)
		if err != nil || !slices.Equal(slices.Collect(back.All()), want) || back.Len() != len(want) {
			t.Fatalf("decoded %v, %v, want %v", slices.Collect(back.All()), err, want)
		}
		c.Add(1000)
		if s.Contains(1000) {
			t.Fatal("a clone shares its spans")
		}
	})
}

func TestDecodeRefusesMoreThanItsLimit(t *testing.T) {
	var s Set
	for x := range uint64(100) {
		s.Add(x)
	}
	if _, err := Decode(s.Append(nil), 99); err == nil {
		t.Fatal("100 offsets passed a limit of 99")
	}
	if _, err := Decode(s.Append(nil), 100); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{2, 3, 1, 4, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b, 1<<16)
		if err != nil {
			return
		}
		if s.Len() != len(slices.Collect(s.All())) {
			t.Fatal("length is wrong")
		}
		again, err := Decode(s.Append(nil), 1<<16)
		if err != nil || !slices.Equal(again.spans, s.spans) {
			t.Fatalf("encoding again gave %v, %v", again, err)
		}
		if len(s.Append(nil)) > len(b) || bytes.Equal(b, nil) {
			t.Fatal("the encoding is not the shortest")
		}
	})
}
