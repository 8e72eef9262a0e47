package ordeal

import (
	"slices"
	"testing"
)

// TestEachFaultOfAGroupIsPlayed: one at each request, and all of them, whether an operation
// has more requests than the group has faults or fewer.
func TestEachFaultOfAGroupIsPlayed(t *testing.T) {
	all := []Group{{Faults: []Fault{"a", "b", "c"}}, {Faults: []Fault{"d"}, Leaves: true}}
	for requests, want := range map[int][][]Fault{
		1: {{"a", "b", "c"}},
		2: {{"a", "c"}, {"b"}},
		3: {{"a"}, {"b"}, {"c"}},
		4: {{"a"}, {"b"}, {"c"}, {"a"}},
	} {
		for n := range requests {
			got := at(all, n, requests)
			if len(got) != 2 || !slices.Equal(got[0].Faults, want[n]) || !slices.Equal(got[1].Faults, []Fault{"d"}) {
				t.Errorf("request %d of %d: %v, want %v and d", n+1, requests, got, want[n])
			}
			if got[0].Leaves || !got[1].Leaves {
				t.Errorf("request %d of %d: %v", n+1, requests, got)
			}
		}
	}
}
