package dynamo

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// FuzzKeysNeverMeet holds that two channels or hints share a key only when they are the
// same, whatever bytes their names hold.
func FuzzKeysNeverMeet(f *testing.F) {
	long := strings.Repeat("x", 3000)
	for _, s := range [][4]string{
		{"a", "b/c", "a/b", "c"}, {"a", "%2F", "a", "/"}, {"a", "", "a", "\x00"},
		{"a", long, "a", long + "x"}, {"a/b", "c", "a", "b%2Fc"}, {"\xff", "\xfe", "\xff\xfe", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, ns1, name1, ns2, name2 string) {
		if store.CheckNamespace(ns1) != nil || store.CheckNamespace(ns2) != nil {
			return
		}
		for _, limit := range []int{maxKey, maxHintKey} {
			one, _ := partition(ns1, name1, limit)
			two, _ := partition(ns2, name2, limit)
			if same := ns1 == ns2 && name1 == name2; (one == two) != same {
				t.Fatalf("(%q, %q) and (%q, %q) have keys %q and %q", ns1, name1, ns2, name2, one, two)
			}
			if len(one) > limit {
				t.Fatalf("key of %d bytes, limit %d", len(one), limit)
			}
			if !strings.HasPrefix(one, escape(ns1)+"/") {
				t.Fatalf("%q does not begin with its namespace", one)
			}
			if i := strings.IndexFunc(one, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
				t.Fatalf("%q is not printable ASCII", one)
			}
		}
	})
}

// TestAHashedNameIsNoChannelsName: a channel may be called like the hash of another.
func TestAHashedNameIsNoChannelsName(t *testing.T) {
	hashed, ok := partition("ns", strings.Repeat("x", 2000), maxKey)
	if !ok {
		t.Fatal("a name of 2000 bytes was not hashed")
	}
	name := strings.TrimPrefix(hashed, "ns/")
	if literal, _ := partition("ns", name, maxKey); literal == hashed {
		t.Fatalf("the channel %q has the key of another", name)
	}
}

// TestSortKeysAreInOrder is what a load relies on: backwards, the head comes first and
// then the messages from the newest on.
func TestSortKeysAreInOrder(t *testing.T) {
	keys := []string{messageKey(0), messageKey(9), messageKey(10), messageKey(1 << 40), messageKey(1<<64 - 1), headKey}
	if !slices.IsSorted(keys) {
		t.Fatalf("%q are not in order", keys)
	}
	for _, o := range []uint64{0, 9, 10, 1 << 40, 1<<64 - 1} {
		if got, err := keyOffset(messagePrefix, messageKey(o)); err != nil || got != o {
			t.Errorf("offset %d came back as %d, %v", o, got, err)
		}
	}
	for _, bad := range []string{"", "m#", "m#1", "n#", "m#00000000000000fF", "m#0000000000000001x", "s#0000000000000001"} {
		if _, err := keyOffset(messagePrefix, bad); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%q: %v, want ErrMalformed", bad, err)
		}
	}
}
